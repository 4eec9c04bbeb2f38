//! Executes a [`Program`] on the modelled machine.
//!
//! Two engines implement `docs/MODEL.md`: the [`mod@reference`] engine, plain and slow, which is the
//! meaning of that page, and the [`fast`] engine with exact [`fold`]ing. They share types and no
//! rules.
//!
//! **Invariant.** Every cycle of an [`Outcome`] comes from executing the program.
//! **Not here.** What a program computes, and where it came from; files; printing.

mod analysis;
pub mod fast;
pub mod fold;
mod options;
pub mod reference;
pub mod values;

pub use options::{EngineKind, Fold, RunOptions};
pub use values::{HostStreams, Values, WaferMemory};

use analysis::waits;
use sim_core::arch::ArchSpec;
use sim_core::error::RunError;
use sim_core::program::Program;
use sim_core::report::Outcome;

/// Executes `program` on `arch`; with `values`, memory and wavelets carry real numbers.
///
/// The program must have passed `sim_core::program::verify`.
///
/// # Errors
/// A deadlock, a memory fault, or a limit that was reached; see [`RunError`].
pub fn run(
    program: &Program,
    arch: &ArchSpec,
    options: &RunOptions,
    values: Option<&mut Values<'_>>,
) -> Result<Outcome, RunError> {
    let outcome = match options.engine {
        EngineKind::Reference => reference::run(program, arch, options, values),
        EngineKind::Fast if values.is_some() => fast::run(program, arch, options, values),
        EngineKind::Fast => fold::run(program, arch, options),
    };
    outcome.map_err(|error| waits::explain(error, program))
}
