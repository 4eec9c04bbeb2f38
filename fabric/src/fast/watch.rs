//! Watched boundaries between rows or columns: what crosses them and when (rule F4).
//!
//! **Invariant.** A trace is a sum over its events, so it does not depend on their order within a
//! cycle.
//! **Not here.** What equal traces allow (`fold::gap`).

use super::fifo::NONE;
use super::{Class, Engine};
use crate::fold::Axis;
use sim_core::coord::{Grid, PeIdx};

/// A boundary that is watched (rule F4): between line `line` and the next one.
#[derive(Debug, Clone)]
pub(crate) struct Watch {
    pub(crate) axis: Axis,
    pub(crate) line: u32,
    /// Cycle of the first event.
    pub(crate) first: Option<u64>,
    /// Order-free hash of all events, relative to the first, and their number.
    pub(crate) trace: (u64, u64, u64),
    /// Whether the lines behind it were quiescent at the first event.
    pub(crate) quiet: bool,
    /// Whether no router behind it had moved a wavelet before the first event.
    pub(crate) untouched: bool,
    /// Cycles that were skipped before the first event.
    pub(crate) skipped: u64,
    /// Class of every PE at the first event.
    pub(crate) classes: Vec<Class>,
}

impl Watch {
    /// Of the boundary between a line and the next.
    pub(crate) fn new(axis: Axis, line: u32) -> Watch {
        Watch {
            axis,
            line,
            first: None,
            trace: (0, 0, 0),
            quiet: false,
            untouched: false,
            skipped: 0,
            classes: Vec::new(),
        }
    }

    /// Whether the two boundaries of a gap began in the same cycle and then differed: no later
    /// event can mend that.
    pub(crate) fn differs(pair: &[Watch]) -> bool {
        pair[0].first == pair[1].first && pair[0].trace != pair[1].trace
    }

    /// Its number among the boundaries of a mesh.
    pub(super) fn boundary(&self, grid: Grid) -> u32 {
        match self.axis {
            Axis::Rows => self.line,
            Axis::Columns => grid.height + self.line,
        }
    }
}

impl Engine {
    /// Adds an event to the trace of a boundary.
    #[inline]
    pub(super) fn record(&mut self, boundary: u32, key: u64) {
        let watch = self.watched[boundary as usize];
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
    /// whether the lines behind it are quiescent and what all PEs do.
    pub(super) fn check_quiet(&mut self) {
        if self.unbegun == 0 {
            return;
        }
        for k in 0..self.moves.len() {
            let path = self.t.paths[self.moves[k] as usize];
            self.begin(self.t.fifos.all[path.from as usize].boundary);
            for i in path.first as usize..path.first as usize + usize::from(path.count) {
                let target = self.t.targets[i];
                if !target.edge && target.to != NONE {
                    self.begin(self.t.fifos.all[target.to as usize].boundary);
                }
            }
        }
    }

    /// The first event of a boundary.
    fn begin(&mut self, boundary: u32) {
        if boundary == NONE || self.watched[boundary as usize] == NONE {
            return;
        }
        let w = &mut self.watches[self.watched[boundary as usize] as usize];
        if w.first.is_some() {
            return;
        }
        self.unbegun -= 1;
        w.first = Some(self.now);
        w.skipped = self.skipped;
        let n = self.t.grid.pes() as u32;
        let behind = |pe: &u32| w.axis.line(self.t.grid.coord(PeIdx(*pe))) > w.line;
        let still = |agent| !self.wheel.expects(agent, self.now);
        w.untouched = (0..n).filter(behind).all(|pe| self.last_event[pe as usize] == 0);
        w.quiet = (0..n).filter(behind).all(|pe| still(pe) && still(n + pe));
        w.classes = self.t.ces.iter().map(|ce| ce.as_ref().map_or(Class::Idle, |ce| ce.class)).collect();
    }
}

/// A 64-bit mixing function (SplitMix64's).
fn mix(mut x: u64) -> u64 {
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}
