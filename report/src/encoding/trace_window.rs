//! The part of a run that a trace shows: some cycles of some PEs.
//!
//! **Invariant.** What would become a large file is refused before it is made, unless it is forced.
//! **Not here.** The formats (`perfetto`, `fst`).

use runner::Error;
use sim_core::coord::{Grid, PeCoord};
use sim_core::diag::Diagnostic;
use std::ops::Range;

/// Bytes of a trace that is written without being forced.
pub const LIMIT: u64 = 256 << 20;

/// The part of a run that is traced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TraceWindow {
    /// Cycles that are shown.
    pub window: Range<u64>,
    /// Columns that are shown.
    pub x: Range<u32>,
    /// Rows that are shown.
    pub y: Range<u32>,
}

impl TraceWindow {
    /// Everything on a mesh.
    #[must_use]
    pub fn whole(grid: Grid) -> TraceWindow {
        TraceWindow { window: 0..u64::MAX, x: 0..grid.width, y: 0..grid.height }
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
    pub fn afford(&self, bytes: u64, option: &str, force: bool) -> Result<(), Error> {
        if bytes <= LIMIT || force {
            return Ok(());
        }
        let message = format!("would be about {} MiB; without being forced at most {} MiB", bytes >> 20, LIMIT >> 20);
        let help = "a shorter --window A..B, a smaller --region x0..x1,y0..y1, or --force";
        Err(Error::Refused(vec![Diagnostic::new("cli-trace", option, message).help(help)]))
    }
}
