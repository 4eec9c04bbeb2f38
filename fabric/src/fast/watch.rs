//! Watched boundaries between rows or columns: what crosses them and when (rule F4).
//!
//! To leave rows out, folding has to know that two boundaries see the same traffic, one of them some cycles
//! later. Keeping every event would take more memory than the mesh; so a trace is two 64-bit sums of mixed
//! events and their number, with the sums so far at fixed distances, so that a difference is found early.
//!
//! **Invariant.** A trace is a sum over its events, so it does not depend on their order within a
//! cycle.
//! **Not here.** How events are recorded (`trace`), and what equal traces allow (`fold::execute`).

use super::fifo::NONE;
use super::state::Class;
use sim_core::axis::Axis;
use sim_core::coord::Grid;

/// Cycles between two marks of a trace.
pub(super) const MARK: u64 = 1024;

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
    pub(super) marks: Vec<(u64, u64, u64)>,
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
    pub(super) of: Vec<u32>,
}

impl Watches {
    /// Watches on the boundaries of a mesh.
    pub(crate) fn new(all: Vec<Watch>, grid: Grid) -> Watches {
        let mut of = if all.is_empty() { Vec::new() } else { vec![NONE; (grid.height + grid.width) as usize] };
        for (i, w) in all.iter().enumerate() {
            of[w.boundary(grid) as usize] = i as u32;
        }
        Watches { all, of }
    }

    /// Whether any boundary is watched.
    #[inline]
    pub(crate) fn any(&self) -> bool {
        !self.of.is_empty()
    }
}
