//! Watched boundaries between rows: what crosses them and when (rule F4).
//!
//! **Invariant.** A trace is a sum over its events, so it does not depend on their order within a
//! cycle.
//! **Not here.** What equal traces allow (`fold::rows`).

use super::fifo::NONE;
use super::{Class, Engine};

/// A row boundary that is watched (rule F4): between row `row` and the next one.
#[derive(Debug, Clone, Default)]
pub(crate) struct Watch {
    pub(crate) row: u32,
    /// Rows below up to here (exclusive) must be quiescent at the first event.
    pub(crate) until: u32,
    /// Cycle of the first event.
    pub(crate) first: Option<u64>,
    /// Order-free hash of all events, relative to the first, and their number.
    pub(crate) trace: (u64, u64, u64),
    /// Whether the rows below were quiescent at the first event.
    pub(crate) quiet: bool,
    /// Cycles that were skipped before the first event.
    pub(crate) skipped: u64,
    /// Class of every PE of those rows at the first event.
    pub(crate) classes: Vec<Class>,
}

impl Engine {
    /// Adds an event to the trace of a row boundary.
    #[inline]
    pub(super) fn record(&mut self, row: u32, key: u64) {
        let watch = self.watched[row as usize];
        if watch == NONE {
            return;
        }
        let w = &mut self.watches[watch as usize];
        let first = *w.first.get_or_insert(self.now);
        let at = self.now - first;
        w.trace.0 = w.trace.0.wrapping_add(mix(at ^ key.rotate_left(32)));
        w.trace.1 = w.trace.1.wrapping_add(mix(at.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ key));
        w.trace.2 += 1;
    }

    /// Before a cycle is committed: if it brings the first event of a watched boundary, notes
    /// whether the rows below are quiescent and what their PEs wait for.
    pub(super) fn check_quiet(&mut self) {
        if self.watches.iter().all(|w| w.first.is_some()) {
            return;
        }
        let mut due = vec![false; self.watches.len()];
        let mut note = |boundary: u32| {
            if boundary != NONE && self.watched[boundary as usize] != NONE {
                due[self.watched[boundary as usize] as usize] = true;
            }
        };
        for &at in &self.moves {
            let path = self.t.paths[at as usize];
            note(self.t.fifos.all[path.from as usize].boundary);
            for i in path.first as usize..path.first as usize + usize::from(path.count) {
                let target = self.t.targets[i];
                if !target.edge {
                    note(self.t.fifos.all[target.to as usize].boundary);
                }
            }
        }
        let (width, n) = (self.t.grid.width, self.t.grid.pes() as u32);
        for (i, w) in self.watches.iter_mut().enumerate() {
            if !due[i] || w.first.is_some() {
                continue;
            }
            let pes = (w.row + 1) * width..w.until * width;
            w.skipped = self.skipped;
            w.quiet = pes.clone().all(|pe| {
                let still = |agent| !self.wheel.expects(agent, self.now);
                still(pe) && still(n + pe)
            });
            w.classes = pes.map(|pe| self.t.ces[pe as usize].as_ref().map_or(Class::Idle, |ce| ce.class)).collect();
        }
    }
}

/// A 64-bit mixing function (SplitMix64's).
fn mix(mut x: u64) -> u64 {
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}
