//! Recording what crosses the watched boundaries of a band.
//!
//! **Invariant.** An event is recorded before anything comes of it, so that what all PEs do at the first
//! event is what they did before it.
//! **Not here.** What is kept of a trace (`watch`), and what equal traces allow (`fold::execute`).

use super::agent::{ce_agent, router_agent};
use super::band::Band;
use super::fifo::NONE;
use super::watch::MARK;
use sim_core::util::random::{GAMMA, mix};

impl Band {
    /// Adds an event at a FIFO to the trace of the boundary that it stands behind, if that is
    /// watched; before anything comes of the event.
    pub(super) fn watch(&mut self, fifo: u32, kind: u64) {
        let mark = self.t.fifos.marks[fifo as usize];
        if mark.boundary == NONE || self.watches.of[mark.boundary as usize] == NONE {
            return;
        }
        let watch = self.watches.of[mark.boundary as usize] as usize;
        if self.watches.all[watch].first.is_none() {
            self.begin(watch);
        }
        let w = &mut self.watches.all[watch];
        let (at, key) = (self.now - w.first.unwrap_or(self.now), mark.key | kind);
        while at >= MARK * (w.marks.len() as u64 + 1) {
            w.marks.push(w.trace);
        }
        w.trace.0 = w.trace.0.wrapping_add(mix(at ^ key.rotate_left(32)));
        w.trace.1 = w.trace.1.wrapping_add(mix(at.wrapping_mul(GAMMA) ^ key));
        w.trace.2 += 1;
    }

    /// At the first event of a boundary: notes whether the lines behind it are quiescent, and what
    /// all PEs do.
    fn begin(&mut self, watch: usize) {
        let w = &mut self.watches.all[watch];
        (w.first, w.skipped) = (Some(self.now), self.skipped);
        let behind = |pe: &u32| w.axis.line(self.t.coord(*pe)) > w.line;
        let expected = self.wheel.expected();
        let still = |agent: u32| expected[(agent / 64) as usize] & 1 << (agent % 64) == 0;
        // What waits behind a head gets ready without an evaluation.
        let fifos = &self.t.fifos;
        let settled = |id: u32| fifos.waits(id, self.now).all(|wait| wait == 0);
        let taken_behind = |id: &u32| {
            let consumer = fifos.all[*id as usize].consumer;
            consumer < 2 * self.t.pes() && behind(&(consumer >> 1))
        };
        let ready = (0..fifos.all.len() as u32).filter(taken_behind).all(settled);
        w.untouched = (0..self.t.pes()).filter(behind).all(|pe| self.t.routers[pe as usize].last_event == 0);
        w.quiet = ready && (0..self.t.pes()).filter(behind).all(|pe| still(router_agent(pe)) && still(ce_agent(pe)));
        w.classes = self.t.ces.iter().map(|ce| ce.class).collect();
    }
}
