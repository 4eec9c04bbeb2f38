//! What switches, control wavelets and filters do in routers (rules S1 to S6).
//!
//! A control wavelet that leaves a router may move the switch of its color there, from the next cycle on.
//! So what wavelets did is noted while the cycle goes on, and acts at its end ([`Band::settle`]).
//!
//! **Invariant.** The path of a color in a router is always that of its switch's present position.
//! **Not here.** Control tasks and the instructions that send and open (`ce`).

use super::agent::{ce_agent, router_agent};
use super::band::Band;
use super::fifo::{CONTROL, NONE, Word, control_task};
use super::state::{Path, RAMP};
use super::switched::Setting;
use sim_core::program::Pop;

impl Band {
    /// The ports that the head wavelet of a path leaves by; None if its color is closed.
    pub(super) fn head_ports(&self, path: &Path) -> Option<u8> {
        if path.from == NONE {
            return None;
        }
        let switched = self.t.switched_colors.get(path.switched as usize);
        if switched.is_some_and(|s| s.closed) {
            return None;
        }
        let word = self.t.fifos.word(path.from);
        let down = match word & CONTROL {
            0 => switched.and_then(|s| s.filter).is_none_or(|f| f.at < f.pass),
            _ => control_task(word).is_some(),
        };
        Some(if down { path.ports } else { path.ports & !RAMP })
    }

    /// The word that goes on where `word` leaves by a path: perhaps without its first command.
    pub(super) fn passed(&self, path: &Path, word: Word) -> Word {
        let Some(switched) = self.t.switched_colors.get(path.switched as usize) else { return word };
        let pops = match switched.pop {
            Pop::Never => false,
            Pop::Always => true,
            Pop::OnAdvance => word & 3 == 1,
        };
        if word & CONTROL != 0 && pops { word & !0xffff | (word & 0xffff) >> 2 } else { word }
    }

    /// At the end of a cycle: what a wavelet that left by path `at` of the router of `pe` did there.
    pub(super) fn settle(&mut self, at: u32, pe: usize, word: Word) {
        let path = self.t.paths[at as usize];
        let Some(switched) = self.t.switched_colors.get_mut(path.switched as usize) else { return };
        if word & CONTROL == 0 {
            if let Some(filter) = &mut switched.filter
                && path.ports & RAMP != 0
            {
                filter.at = (filter.at + 1) % filter.period;
            }
            return;
        }
        let command = word & 3;
        let (before, last) = (usize::from(switched.position), switched.paths.len() as u8 - 1);
        switched.position = match command {
            1 if switched.position < last => switched.position + 1,
            1 if switched.ring => 0,
            2 => 0,
            _ => switched.position,
        };
        switched.closed |= command == 3;
        switched.paths[before] = path;
        self.t.paths[at as usize] = switched.paths[usize::from(switched.position)];
        if command == 3 {
            self.activate_teardown(pe, path.color);
        }
    }

    fn activate_teardown(&mut self, pe: usize, color: u8) {
        let Some(image) = self.t.images.get(usize::from(self.t.ces[pe].image)) else { return };
        for &(of, task) in &image.teardowns {
            if of == color {
                self.t.registers[pe].active |= 1 << task;
            }
        }
        self.wheel.wake(ce_agent(pe as u32), self.now + 1);
    }

    /// Rules S4 and S7: the PE changes what its router does with a color.
    pub(super) fn set(&mut self, pe: u32, color: u8, setting: Setting) {
        let router = self.t.routers[pe as usize];
        for at in router.start..router.start + u32::from(router.count) {
            let path = self.t.paths[at as usize];
            if path.color != color || path.switched == NONE {
                continue;
            }
            let switched = &mut self.t.switched_colors[path.switched as usize];
            match setting {
                Setting::Filter(filter) => switched.filter = filter,
                Setting::Turn { position, open } => {
                    switched.paths[usize::from(switched.position)] = path;
                    switched.position = position.min(switched.paths.len() as u32 - 1) as u8;
                    switched.closed &= !open;
                    self.t.paths[at as usize] = switched.paths[usize::from(switched.position)];
                }
            }
            self.wheel.wake(router_agent(pe), self.now + 1);
        }
    }
}
