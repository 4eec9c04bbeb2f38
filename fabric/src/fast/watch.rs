//! Watched boundaries between rows or columns: what crosses them and when (rule F4).
//!
//! **Invariant.** A trace is a sum over its events, so it does not depend on their order within a
//! cycle.
//! **Not here.** What equal traces allow (`fold::gap`).

use super::Class;
use super::band::Band;
use super::build::{ce_agent, router_agent};
use super::fifo::NONE;
use crate::fold::Axis;
use sim_core::coord::Grid;

/// Cycles between two marks of a trace.
const MARK: u64 = 1024;

/// A boundary that is watched (rule F4): between line `line` and the next one.
#[derive(Debug, Clone)]
pub(crate) struct Watch {
    pub(crate) axis: Axis,
    pub(crate) line: u32,
    /// Cycle of the first event.
    pub(crate) first: Option<u64>,
    /// Order-free hash of all events, relative to the first, and their number.
    pub(crate) trace: (u64, u64, u64),
    /// The trace so far at multiples of [`MARK`] cycles behind the first event.
    marks: Vec<(u64, u64, u64)>,
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
            marks: Vec::new(),
            quiet: false,
            untouched: false,
            skipped: 0,
            classes: Vec::new(),
        }
    }

    /// Whether the two boundaries of a gap differ so far: no later event can mend that.
    pub(crate) fn differs(pair: &[Watch]) -> bool {
        let [a, b] = pair else { return false };
        (a.first == b.first && a.trace != b.trace) || a.marks.iter().zip(&b.marks).any(|(a, b)| a != b)
    }

    /// Its number among the boundaries of a mesh.
    pub(super) fn boundary(&self, grid: Grid) -> u32 {
        match self.axis {
            Axis::Rows => self.line,
            Axis::Columns => grid.height + self.line,
        }
    }
}

/// The watched boundaries of a run.
#[derive(Debug, Default)]
pub(crate) struct Watches {
    /// In pairs: the two boundaries of a gap.
    pub(crate) all: Vec<Watch>,
    /// Watch of each boundary, or [`NONE`].
    of: Vec<u32>,
}

impl Watches {
    /// On a mesh.
    pub(crate) fn new(all: Vec<Watch>, grid: Grid) -> Watches {
        let mut of = if all.is_empty() { Vec::new() } else { vec![NONE; (grid.height + grid.width) as usize] };
        for (i, w) in all.iter().enumerate() {
            of[w.boundary(grid) as usize] = i as u32;
        }
        Watches { all, of }
    }

    /// Whether there are any.
    #[inline]
    pub(crate) fn any(&self) -> bool {
        !self.of.is_empty()
    }
}

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
        w.trace.1 = w.trace.1.wrapping_add(mix(at.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ key));
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

/// A 64-bit mixing function (SplitMix64's).
fn mix(mut x: u64) -> u64 {
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}
