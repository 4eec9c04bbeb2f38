//! What executing a program gives: cycles, where every PE spent them, and how they were obtained.
//!
//! **Invariant.** Counters are integers. For every kernel the four parts of [`PeCycles`] add up
//! to cycles × PEs.
//! **Not here.** Rates, percentages, text (the root package).

mod cells;
mod colors;

pub use cells::CellCounters;
pub use colors::{ColorCounters, ColorSent};

use crate::coord::{Dir, PeCoord};
use crate::units::Cycles;
use serde::{Deserialize, Serialize};
use std::ops::{Add, AddAssign};

/// Where PE-cycles went. Every cycle of every PE is in exactly one part (rule P1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub struct PeCycles {
    /// An instruction was issued, or being set up or dispatched.
    pub compute: u64,
    /// No instruction could be issued; at least one waited for a wavelet or for a microthread,
    /// and none for room.
    pub wait: u64,
    /// No instruction could be issued and at least one waited for room in an output queue.
    pub back_pressure: u64,
    /// There was nothing to do.
    pub idle: u64,
}

impl PeCycles {
    /// All four parts together.
    #[must_use]
    pub fn total(self) -> u64 {
        self.compute + self.wait + self.back_pressure + self.idle
    }

    /// Every part, `n` times.
    #[must_use]
    pub fn times(self, n: u64) -> PeCycles {
        PeCycles {
            compute: self.compute * n,
            wait: self.wait * n,
            back_pressure: self.back_pressure * n,
            idle: self.idle * n,
        }
    }
}

impl Add for PeCycles {
    type Output = PeCycles;
    fn add(self, other: PeCycles) -> PeCycles {
        PeCycles {
            compute: self.compute + other.compute,
            wait: self.wait + other.wait,
            back_pressure: self.back_pressure + other.back_pressure,
            idle: self.idle + other.idle,
        }
    }
}

impl AddAssign for PeCycles {
    fn add_assign(&mut self, other: PeCycles) {
        *self = *self + other;
    }
}

/// What one PE counted in a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub struct PeCounters {
    /// Where its cycles went.
    pub cycles: PeCycles,
    /// Multiply-accumulates executed (elements of `fmac`).
    pub macs: u64,
    /// Wavelets that left its router, by port: North, East, South, West, ramp (down).
    pub sent: [u64; 5],
    /// Cycle after the last one in which its compute element had anything to do; 0 if none.
    pub finish: u64,
}

impl PeCounters {
    /// Wavelets that crossed a link (the ramp is not a hop).
    #[must_use]
    pub fn hops(&self) -> u64 {
        self.sent[..Dir::Ramp as usize].iter().sum()
    }
}

/// Something that was not stepped cycle by cycle, and why that is exact.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct FoldNote {
    /// `time`, `blocks` or `rows`.
    pub kind: String,
    /// What was folded, by how much, and on which check.
    pub text: String,
}

/// Result of executing one program.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Outcome {
    /// From the start to the last event.
    pub cycles: Cycles,
    /// Sum over all PEs.
    pub pe_cycles: PeCycles,
    /// Multiply-accumulates of all PEs.
    pub macs: u64,
    /// Link crossings of all wavelets.
    pub wavelet_hops: u64,
    /// Cycles that an engine really stepped (folded ones not counted).
    pub stepped_cycles: u64,
    /// PE-cycles that an engine really stepped.
    pub stepped_pe_cycles: u64,
    /// What was folded.
    pub folds: Vec<FoldNote>,
    /// Per PE in row-major order, if it was asked for.
    pub per_pe: Option<Vec<PeCounters>>,
    /// What the PEs' routers sent by color, if `per_pe` was asked for.
    pub per_color: Option<ColorCounters>,
    /// Sums over cells of PEs, if they were asked for.
    pub per_cell: Option<CellCounters>,
}

/// One PE's finishing time, for reports that ask for it.
pub type Finish = (PeCoord, u64);
