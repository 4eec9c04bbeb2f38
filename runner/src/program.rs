//! One program, instead of the step of a model.
//!
//! **Invariant.** A program that the verifier ([`check`]) did not see or refuses ends in an error, never in
//! a panic.
//! **Not here.** The text form of programs (`sim_core::program`), what is reported (`report`).

use crate::error::Error;
use fabric::reference;
use fabric::reference::watch::Watch;
use fabric::{HostStreams, RunOptions, Values, WaferMemory};
use sim_core::arch::ArchSpec;
use sim_core::coord::PeCoord;
use sim_core::diag::Diagnostic;
use sim_core::error::RunError;
use sim_core::program::parse::{Data, Observed, SourceMap};
use sim_core::program::{Program, verify};
use sim_core::report::Outcome;

/// A program that was executed.
#[derive(Debug)]
pub struct ExecutedProgram {
    /// Cycles and counters.
    pub outcome: Outcome,
    /// The memories of all PEs at the end, and what left at the edges, if values were carried.
    pub values: Option<(WaferMemory, HostStreams)>,
}

/// Verifies a program; gives the diagnostics with which it can be executed nevertheless. These are
/// those that say that counts differ (R025): what blocks whom then shows more than the counts.
///
/// # Errors
/// All diagnostics, if there are others.
pub fn check(program: &Program, arch: &ArchSpec) -> Result<Vec<Diagnostic>, Error> {
    let all = verify(program, arch);
    if all.iter().any(|d| d.code != "R025") { Err(Error::of_program(all)) } else { Ok(all) }
}

/// Numbers that a run carries.
#[derive(Debug, Clone, Copy)]
pub enum Numbers<'a> {
    /// None: a run for its cycles.
    Without,
    /// Real ones; memories and wavelets from the edges are zero but for what the program says.
    Zero,
    /// Real ones, with those that the text of the program says.
    Given(&'a Data, &'a SourceMap),
}

/// Executes a program with or without numbers.
///
/// # Errors
/// If values would take more memory of the host than `options` allows, an expression of the text has no
/// value, or the program fails; `at` names it.
pub fn execute(
    program: &Program,
    arch: &ArchSpec,
    options: &RunOptions,
    numbers: Numbers<'_>,
    at: &str,
) -> Result<ExecutedProgram, Error> {
    let run = |values: Option<&mut Values<'_>>| fabric::run(program, arch, options, values);
    let (outcome, values) = carrying(program, arch, options, numbers, at, run)?;
    Ok(ExecutedProgram { outcome, values })
}

/// Executes a program on the reference engine, which `watch` sees, and gives what it had when it ended, and
/// why, if that was before its end.
///
/// # Errors
/// As [`execute`], but for programs that fail while they are executed.
pub fn observe(
    program: &Program,
    arch: &ArchSpec,
    options: &RunOptions,
    numbers: Numbers<'_>,
    at: &str,
    watch: &mut dyn Watch,
) -> Result<(ExecutedProgram, Option<RunError>), Error> {
    let run = |values: Option<&mut Values<'_>>| reference::observe(program, arch, options, values, watch);
    let (reference::Observed { outcome, stopped }, values) = carrying(program, arch, options, numbers, at, run)?;
    Ok((ExecutedProgram { outcome, values }, stopped))
}

/// What a run gives, and the numbers at its end, if it carries any.
type Carried<T> = (T, Option<(WaferMemory, HostStreams)>);

/// Runs with numbers or without.
fn carrying<T>(
    program: &Program,
    arch: &ArchSpec,
    options: &RunOptions,
    numbers: Numbers<'_>,
    at: &str,
    run: impl FnOnce(Option<&mut Values<'_>>) -> Result<T, RunError>,
) -> Result<Carried<T>, Error> {
    let failed = |error| Error::Execution { at: at.to_owned(), error };
    if matches!(numbers, Numbers::Without) {
        return Ok((run(None).map_err(failed)?, None));
    }
    let mut memory = memory(program, arch, options.memory_limit)?;
    let (mut inputs, mut outputs) = (HostStreams::default(), HostStreams::default());
    if let Numbers::Given(data, map) = numbers {
        give(program, (data, map), &mut memory, &mut inputs).map_err(Error::Invalid)?;
    }
    let mut carried = Values { memory: &mut memory, inputs: &inputs, outputs: &mut outputs };
    let done = run(Some(&mut carried)).map_err(failed)?;
    Ok((done, Some((memory, outputs))))
}

/// Puts the numbers that the text says into memories and streams.
fn give(
    program: &Program,
    (data, map): (&Data, &SourceMap),
    memory: &mut WaferMemory,
    inputs: &mut HostStreams,
) -> Result<(), Vec<Diagnostic>> {
    let grid = memory.grid;
    data.start(program, map, |pe, from, bytes| {
        // The verifier has seen that buffers lie in memory.
        let own = memory.pes.get_mut(grid.index(pe).0 as usize);
        if let Some(place) = own.and_then(|own| own.get_mut(from as usize..from as usize + bytes.len())) {
            place.copy_from_slice(bytes);
        }
    })?;
    data.feed(program, map, |stream, port, words| {
        inputs.ports.insert((stream.to_owned(), port), words);
    })
}

/// A run as the expectations of a text look at it.
pub struct Observation<'a>(pub &'a ExecutedProgram);

impl Observed for Observation<'_> {
    fn memory(&self, pe: PeCoord, from: u64, bytes: u64) -> Option<&[u8]> {
        let (memory, _) = self.0.values.as_ref()?;
        let own = memory.grid.contains(pe).then(|| &memory.pes[memory.grid.index(pe).0 as usize])?;
        own.get(from as usize..(from + bytes) as usize)
    }

    fn words(&self, stream: &str, port: u32) -> &[u32] {
        let left = self.0.values.as_ref().and_then(|(_, streams)| streams.ports.get(&(stream.to_owned(), port)));
        left.map_or(&[], Vec::as_slice)
    }

    fn cycles(&self) -> u64 {
        self.0.outcome.cycles.0
    }
}

/// Memories of all PEs, if the host may hold them.
fn memory(program: &Program, arch: &ArchSpec, limit: u64) -> Result<WaferMemory, Error> {
    let grid = program.grid();
    let needs = grid.pes().saturating_mul(u64::from(arch.pe.sram.value)).saturating_mul(2);
    if needs > limit {
        let message = format!("values of {} PEs take {needs} bytes of this computer and may take {limit}", grid.pes());
        let diagnostic = Diagnostic::new("cli-values", "values", message);
        return Err(Error::Refused(vec![diagnostic.help("a smaller mesh, or a higher --memory-limit")]));
    }
    Ok(WaferMemory::new(grid, arch.pe.sram.value))
}
