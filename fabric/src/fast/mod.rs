//! The fast engine: the machine of `docs/MODEL.md`, evaluated only where something can change.
//!
//! The reference engine evaluates every PE in every cycle; on a full wafer that is 745,500 evaluations per
//! cycle, nearly all of which find nothing to do. Here routers, compute elements and ports of edge streams
//! are *agents* (`agent`), and an agent is evaluated in a cycle only if an event may have changed what it
//! can do: a wavelet became ready, room was made, a setup or a long instruction ended. A timing wheel
//! (`wheel`) says who is due. An agent decides from the state at the start of the cycle, which FIFOs keep
//! apart from what happens in it (`fifo`). Large meshes are cut into bands of rows (`band`) that are
//! stepped on several threads (`tiles`, `wavefront`).
//!
//! **Invariant.** Evaluating an agent too often changes nothing, and nothing depends on the order
//! of evaluations within a cycle. So results depend on neither the number of evaluations nor that of
//! bands.
//! **Not here.** What may be left out (`fold`).

mod addr;
mod agent;
mod alu;
mod band;
mod banks;
mod build;
mod ce;
mod class;
mod deadlock;
mod engine;
mod fifo;
mod invariants;
mod lowered;
mod memory;
mod periods;
mod router;
mod scalar;
pub(crate) mod snapshot;
mod state;
mod switch;
mod switched;
mod tables;
mod tiles;
mod trace;
mod values;
mod watch;
mod wavefront;
mod wheel;

use crate::options::RunOptions;
use crate::values::Values;
pub(crate) use engine::{Detail, Instruments, run_detailed};
use sim_core::arch::ArchSpec;
use sim_core::error::RunError;
use sim_core::program::Program;
use sim_core::report::{CellCounters, Outcome};
pub(crate) use state::Class;
pub(crate) use watch::Watch;

/// Executes `program` without space folding.
///
/// # Errors
/// See [`crate::run`].
pub(crate) fn run(
    program: &Program,
    arch: &ArchSpec,
    options: &RunOptions,
    values: Option<&mut Values<'_>>,
) -> Result<Outcome, RunError> {
    let instruments = Instruments { time_fold: options.fold.time && values.is_none(), watches: Vec::new() };
    let detail = run_detailed(program, arch, options, instruments, values)?;
    let mut outcome = detail.outcome;
    let colors = detail.colors.unwrap_or_default();
    outcome.per_cell = options.cells.map(|cell| CellCounters::of(program.grid(), cell, &detail.pes, &colors));
    if options.per_pe {
        outcome.per_pe = Some(detail.pes);
        outcome.per_color = Some(colors);
    }
    outcome.folds.extend(snapshot::notes(&detail.skips));
    Ok(outcome)
}
