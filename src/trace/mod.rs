//! Traces for the viewers that people have: Perfetto's track events, and FST waveforms.
//!
//! One cycle is one nanosecond of the viewers' time, so that every edge is exact.
//!
//! **Invariant.** A trace is a function of what was executed: the same bytes every time.
//! **Not here.** What happens in a cycle (`fabric`), files (`files`).

pub mod pe;
mod proto;
pub mod step;
pub mod wave;
mod writer;

use crate::fail::{Failure, Kind};
use sim_core::coord::{Grid, PeCoord};
use sim_core::diag::Diagnostic;
use std::ops::Range;

/// Bytes of a trace that is written without being forced.
pub const LIMIT: u64 = 256 << 20;

/// The part of a run that is traced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// Cycles.
    pub window: Range<u64>,
    /// Columns.
    pub x: Range<u32>,
    /// Rows.
    pub y: Range<u32>,
}

impl Part {
    /// Everything on a mesh.
    #[must_use]
    pub fn whole(grid: Grid) -> Part {
        Part { window: 0..u64::MAX, x: 0..grid.width, y: 0..grid.height }
    }

    /// Whether a PE belongs to it.
    #[must_use]
    pub fn has(&self, pe: PeCoord) -> bool {
        self.x.contains(&pe.x) && self.y.contains(&pe.y)
    }

    /// Its PEs.
    #[must_use]
    pub fn pes(&self) -> u64 {
        u64::from(self.x.end.saturating_sub(self.x.start)) * u64::from(self.y.end.saturating_sub(self.y.start))
    }

    /// Refuses what would become a large file.
    ///
    /// # Errors
    /// `cli-trace` with the estimate, unless it is forced.
    pub fn afford(&self, bytes: u64, option: &str, force: bool) -> Result<(), Failure> {
        if bytes <= LIMIT || force {
            return Ok(());
        }
        let message = format!("would be about {} MiB; without being forced at most {} MiB", bytes >> 20, LIMIT >> 20);
        let help = "a shorter --window A..B, a smaller --region x0..x1,y0..y1, or --force";
        Err(Failure::one(Kind::Refused, Diagnostic::new("cli-trace", option, message).help(help)))
    }
}
