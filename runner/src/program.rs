//! One program, instead of the step of a model.
//!
//! **Invariant.** A program that the verifier ([`check`]) did not see or refuses ends in an error, never in
//! a panic.
//! **Not here.** The text form of programs (`sim_core::program`), what is reported (`report`).

use crate::error::Error;
use fabric::{HostStreams, RunOptions, Values, WaferMemory};
use sim_core::arch::ArchSpec;
use sim_core::diag::Diagnostic;
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

/// Executes a program; `values`: real numbers are carried, and wavelets from the edges are zero.
///
/// # Errors
/// If values would take more memory of the host than `options` allows, or the program fails; `at`
/// names it.
pub fn execute(
    program: &Program,
    arch: &ArchSpec,
    options: &RunOptions,
    values: bool,
    at: &str,
) -> Result<ExecutedProgram, Error> {
    let failed = |error| Error::Execution { at: at.to_owned(), error };
    if !values {
        let outcome = fabric::run(program, arch, options, None).map_err(failed)?;
        return Ok(ExecutedProgram { outcome, values: None });
    }
    let mut memory = memory(program, arch, options.memory_limit)?;
    let (inputs, mut outputs) = (HostStreams::default(), HostStreams::default());
    let mut carried = Values { memory: &mut memory, inputs: &inputs, outputs: &mut outputs };
    let outcome = fabric::run(program, arch, options, Some(&mut carried)).map_err(failed)?;
    Ok(ExecutedProgram { outcome, values: Some((memory, outputs)) })
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
