//! What a router does in a cycle: which wavelets it moves, and in which order colors are served (rule R3).
//!
//! Most routers hold wavelets of one color at a time; those are moved without going through the service
//! order. Routers of meshes with switches, control wavelets or filters take a slower way, in which the
//! ports that a wavelet leaves by depend on the wavelet.
//!
//! **Invariant.** Reads queues as they were at the start of the cycle (`fifo`), and changes only the
//! service order of its own router.
//! **Not here.** What switches and control wavelets do (`switch`).

use super::agent::router_agent;
use super::band::Band;
use super::fifo::NONE;
use super::state::{Port, RAMP, ports};

/// Ports of a color that is closed: none, and never free.
const CLOSED: u8 = u8::MAX;

impl Band {
    /// Moves what the router of a PE can move in this cycle (rule R3).
    pub(super) fn evaluate_router(&mut self, pe: u32) {
        if !self.t.switched_colors.is_empty() {
            return self.evaluate_switched_router(pe);
        }
        let router = &self.t.routers[pe as usize];
        let (start, occupied) = (router.start, router.occupied);
        // Mostly one color has wavelets, and a service order of one needs no loop.
        let moved = if occupied.is_power_of_two() {
            let local = occupied.trailing_zeros();
            let moves = self.try_move(start + local, pe);
            if moves {
                self.t.routers[pe as usize].serve(local as u8);
            }
            moves
        } else {
            occupied != 0 && self.evaluate_occupied(pe, start, occupied)
        };
        if moved {
            let router = &mut self.t.routers[pe as usize];
            router.last_event = self.now + 1 + self.skipped;
            // One that may not be called quiet yet is evaluated once more.
            if router.occupied != 0 || self.watches.any() {
                self.wheel.wake(router_agent(pe), self.now + 1);
            }
        }
    }

    /// Several colors of a router, in service order.
    fn evaluate_occupied(&mut self, pe: u32, start: u32, occupied: u32) -> bool {
        let count = usize::from(self.t.routers[pe as usize].count);
        debug_assert!(occupied >> count == 0, "a path is occupied that the router does not have");
        let (mut taken, mut moved, mut at) = (0u8, 0, 0);
        while at + moved < count {
            let local = self.t.routers[pe as usize].order[at];
            let index = start + u32::from(local);
            if occupied & 1 << local == 0
                || self.t.paths[index as usize].ports & taken != 0
                || !self.try_move(index, pe)
            {
                at += 1;
                continue;
            }
            taken |= self.t.paths[index as usize].ports;
            // Behind those that moved before.
            self.t.routers[pe as usize].serve(local);
            moved += 1;
        }
        moved > 0
    }

    /// Moves the head wavelet of a path whose color is not switched, if that can be.
    #[inline]
    fn try_move(&mut self, index: u32, pe: u32) -> bool {
        let path = &self.t.paths[index as usize];
        if path.edges != 0 {
            let ports = path.ports;
            let moves = self.can_move(index as usize, ports, pe);
            if moves {
                self.move_head(index as usize, ports, pe);
            }
            return moves;
        }
        let count = usize::from(path.count);
        let full = |to: u32| to == NONE || !self.t.fifos.room(to, self.now);
        if path.from == NONE
            || !self.t.fifos.ready(path.from, self.now)
            || (0..count).any(|i| full(self.t.target(path, i)))
        {
            return false;
        }
        let path = &mut self.t.paths[index as usize];
        path.moved += 1;
        let path = *path;
        let word = self.pop(path.from, NONE, pe);
        // The ramp is the last port.
        let links = count - usize::from(path.ports & RAMP != 0);
        for i in 0..count {
            let latency = if i < links { self.hop } else { self.ramp_down };
            self.put(self.t.target(&path, i), self.now + latency, word);
        }
        true
    }

    /// Rule R3 where switches and control wavelets may act: all colors are evaluated.
    fn evaluate_switched_router(&mut self, pe: u32) {
        let router = &self.t.routers[pe as usize];
        let (start, count) = (router.start as usize, usize::from(router.count));
        let (mut taken, mut moved, mut at) = (0u8, 0, 0);
        while at + moved < count {
            let local = self.t.routers[pe as usize].order[at];
            let index = start + usize::from(local);
            let ports = self.head_ports(&self.t.paths[index]).unwrap_or(CLOSED);
            if ports & taken != 0 || !self.can_move(index, ports, pe) {
                at += 1;
                continue;
            }
            taken |= ports;
            self.move_head(index, ports, pe);
            self.t.routers[pe as usize].serve(local);
            moved += 1;
        }
        if moved > 0 {
            self.wheel.wake(router_agent(pe), self.now + 1);
            self.t.routers[pe as usize].last_event = self.now + 1 + self.skipped;
        }
    }

    /// Whether the head wavelet of a path can leave by the ports `leave`.
    #[inline]
    fn can_move(&mut self, index: usize, leave: u8, pe: u32) -> bool {
        let path = &self.t.paths[index];
        if path.from == NONE || leave == CLOSED || !self.t.fifos.ready(path.from, self.now) {
            return false;
        }
        for (i, port) in ports(path.ports) {
            if leave & port == 0 {
                continue;
            }
            let to = self.t.target(path, i);
            if to == NONE {
                return false;
            }
            if path.edges & port == 0 {
                if !self.t.fifos.room(to, self.now) {
                    return false;
                }
                continue;
            }
            let Port { next, left, .. } = self.t.ports[to as usize];
            if left == 0 {
                return false;
            }
            if next > self.now {
                self.wheel.wake(router_agent(pe), next);
                return false;
            }
        }
        true
    }

    /// Moves the head wavelet of a path by the ports `leave`.
    #[inline]
    fn move_head(&mut self, index: usize, leave: u8, pe: u32) {
        let path = &mut self.t.paths[index];
        path.moved += 1;
        let path = *path;
        if path.ports & !leave & RAMP != 0
            && let Some(switched) = self.t.switched_colors.get_mut(path.switched as usize)
        {
            switched.kept[usize::from(switched.position)] += 1;
        }
        let word = self.pop(path.from, path.switched, pe);
        let mut sent = word;
        if !self.t.switched_colors.is_empty() {
            self.passes.push((index as u32, pe, word));
            sent = self.passed(&path, word);
        }
        for (i, port) in ports(path.ports) {
            if leave & port == 0 {
                continue;
            }
            let to = self.t.target(&path, i);
            if path.edges & port == 0 {
                let latency = if port == RAMP { self.ramp_down } else { self.hop };
                self.put(to, self.now + latency, sent);
                continue;
            }
            let p = &mut self.t.ports[to as usize];
            debug_assert!(p.left > 0, "a stream off the wafer takes more wavelets than it has");
            p.next = self.now + u64::from(p.interval);
            p.left -= 1;
            if self.memories.is_some() {
                p.values.push(sent as u32);
            }
        }
    }
}
