//! Options of traces, and what records a program.
//!
//! **Not here.** Executing it (`inside`).

use crate::fail::{Failure, Kind};
use crate::files::Destination;
use clap::Args;
use report::encoding::fst::{PES, Wave};
use report::encoding::perfetto::pe::{PE_CYCLE, Recorder};
use report::encoding::trace_window::{LIMIT, TraceWindow};
use sim_core::coord::Grid;
use sim_core::diag::Diagnostic;
use sim_core::program::Program;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// A trace, and the part of the run that it shows.
#[derive(Debug, Clone, Default, Args)]
pub(super) struct TraceOptions {
    /// Writes a trace for ui.perfetto.dev; one cycle is one nanosecond there
    #[arg(long, value_name = "FILE.pftrace", help_heading = "Output")]
    pub(super) trace: Option<PathBuf>,
    /// Traces cycles A to B-1 only
    #[arg(long, value_name = "A..B", value_parser = window, help_heading = "Output")]
    window: Option<Range<u64>>,
    /// Traces the PEs of columns x0 to x1-1 and rows y0 to y1-1 only
    #[arg(long, value_name = "x0..x1,y0..y1", value_parser = region, help_heading = "Output")]
    region: Option<(Range<u32>, Range<u32>)>,
    /// Writes a trace however large it becomes
    #[arg(long, help_heading = "Output")]
    pub(super) force: bool,
}

/// Traces of a program's PEs.
#[derive(Debug, Clone, Default, Args)]
pub(super) struct ProgramTrace {
    #[command(flatten)]
    options: TraceOptions,
    /// Writes waveforms of a few PEs for GTKWave or Surfer
    #[arg(long, value_name = "FILE.fst")]
    wave: Option<PathBuf>,
}

fn window(text: &str) -> Result<Range<u64>, String> {
    range(text).ok_or_else(|| "two cycles A..B, A before B, such as 0..2000".to_owned())
}

fn region(text: &str) -> Result<(Range<u32>, Range<u32>), String> {
    let both = text.split_once(',').and_then(|(x, y)| Some((range(x)?, range(y)?)));
    both.ok_or_else(|| "columns and rows that are not empty, such as 0..8,0..4 for 8 columns and 4 rows".to_owned())
}

/// A range that is not empty.
fn range<T: std::str::FromStr + PartialOrd>(text: &str) -> Option<Range<T>> {
    let (from, to) = text.split_once("..")?;
    let range = from.trim().parse().ok()?..to.trim().parse().ok()?;
    (range.start < range.end).then_some(range)
}

impl TraceOptions {
    /// The part of a run of known length on a mesh that is traced.
    pub(super) fn part(&self, grid: Grid, cycles: u64) -> Result<TraceWindow, Failure> {
        let wrong = |option: &str, message: String| {
            Err(Failure::one(Kind::InvalidInput, Diagnostic::new("cli-trace", option, message)))
        };
        let mut part = TraceWindow::whole(grid);
        if let Some(window) = &self.window {
            if window.start >= cycles {
                return wrong("--window", format!("begins behind the end, which is cycle {cycles}"));
            }
            part.window = window.clone();
        }
        part.window.end = part.window.end.min(cycles);
        (part.x, part.y) = self.place(grid)?;
        Ok(part)
    }

    /// Columns and rows of a mesh that are traced.
    fn place(&self, grid: Grid) -> Result<(Range<u32>, Range<u32>), Failure> {
        let Grid { width, height } = grid;
        let Some((x, y)) = &self.region else { return Ok((0..width, 0..height)) };
        if x.start >= width || y.start >= height {
            let message = format!("has no PE of the mesh, which has {width} columns and {height} rows");
            return Err(Failure::one(Kind::InvalidInput, Diagnostic::new("cli-trace", "--region", message)));
        }
        Ok((x.start..x.end.min(width), y.start..y.end.min(height)))
    }
}

impl ProgramTrace {
    /// Files that are written.
    pub(super) fn files(&self) -> Vec<&Path> {
        self.options.trace.iter().chain(&self.wave).map(PathBuf::as_path).collect()
    }

    /// Files of the traces, with the options that name them.
    pub(super) fn destinations(&self) -> Vec<Destination<'_>> {
        let named = [("--trace", &self.options.trace), ("--wave", &self.wave)];
        let named = named.into_iter().filter_map(|(option, path)| Some((option, path.as_deref()?)));
        named.map(|(option, path)| Destination { option, path, folder: false }).collect()
    }

    /// Cycles that a run may take until a trace of it is refused, which is known before the run is
    /// executed to its end; None if there is no such number.
    ///
    /// # Errors
    /// What can be refused at once.
    pub(super) fn most_cycles(&self, grid: Grid) -> Result<Option<u64>, Failure> {
        let options = &self.options;
        if self.files().is_empty() {
            return Ok(None);
        }
        let (x, y) = options.place(grid)?;
        let part = TraceWindow { x, y, ..TraceWindow::whole(grid) };
        if self.wave.is_some() && part.pes() > PES && !options.force {
            let message = format!("would show {} PEs; without being forced at most {PES}", part.pes());
            let help = "a smaller --region x0..x1,y0..y1, or --force";
            return Err(Failure::one(Kind::Refused, Diagnostic::new("cli-trace", "--wave", message).help(help)));
        }
        let most = LIMIT / (part.pes() * PE_CYCLE);
        match &options.window {
            _ if options.force => Ok(None),
            // A run may end within the window.
            Some(window) if window.end - window.start > most => Ok(Some(window.start + most)),
            Some(_) => Ok(None),
            None => Ok(Some(most)),
        }
    }

    /// Why a run that takes more than so many cycles is not executed to its end.
    pub(super) fn refusal(&self, most: u64) -> Failure {
        let message = format!(
            "would be more than {} MiB, as the run takes more than {most} cycles; without being forced it may not",
            LIMIT >> 20
        );
        let help = "a shorter --window A..B, a smaller --region x0..x1,y0..y1, or --force";
        Failure::one(Kind::Refused, Diagnostic::new("cli-trace", self.option(), message).help(help))
    }

    fn option(&self) -> &'static str {
        if self.options.trace.is_some() { "--trace" } else { "--wave" }
    }

    /// The part of a run of known length that is shown, and whether that may be large.
    ///
    /// # Errors
    /// If it has no cycle or no PE, or the trace of it would be too large.
    pub(super) fn part(&self, grid: Grid, cycles: u64) -> Result<TraceWindow, Failure> {
        let part = self.options.part(grid, cycles)?;
        if !self.files().is_empty() {
            let length = part.window.end.saturating_sub(part.window.start);
            part.afford(part.pes().saturating_mul(length).saturating_mul(PE_CYCLE), self.option(), self.options.force)?;
        }
        Ok(part)
    }

    /// Whether what is large may be made.
    pub(super) fn forced(&self) -> bool {
        self.options.force
    }

    /// What records a part of a program's run, if that is wanted.
    pub(super) fn recorder<'p>(
        &self,
        program: &'p Program,
        part: &TraceWindow,
    ) -> Result<Option<Recorder<'p>>, Failure> {
        if self.files().is_empty() {
            return Ok(None);
        }
        let wave = self.wave.as_ref().map(|_| Wave::new(program, part)).transpose()?;
        Ok(Some(Recorder::new(program, part.clone(), self.options.trace.is_some(), wave)))
    }

    /// The files of what was recorded up to a cycle.
    pub(super) fn recorded(&self, recorder: Recorder<'_>, end: u64) -> Result<Vec<(PathBuf, Vec<u8>)>, Failure> {
        let (trace, wave) = recorder.finish(end);
        let trace = self.options.trace.clone().zip(trace);
        let wave = self.wave.clone().zip(wave.map(|wave| wave.finish(end)).transpose()?);
        Ok(trace.into_iter().chain(wave).collect())
    }
}

const _: () = assert!(LIMIT / PE_CYCLE > 1_000_000, "a million PE-cycles are traced without being forced");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_and_regions_are_ranges() {
        assert_eq!(window("5..7"), Ok(5..7));
        assert_eq!(region("0..2, 3..4"), Ok((0..2, 3..4)));
        for wrong in ["", "5", "7..5", "5..5", "a..b", "-1..2"] {
            assert!(window(wrong).is_err(), "{wrong}");
        }
        for wrong in ["", "0..2", "0..2,", "0..2,3..3", "0..2,1..2,3"] {
            assert!(region(wrong).is_err(), "{wrong}");
        }
    }
}
