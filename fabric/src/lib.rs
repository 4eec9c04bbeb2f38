//! Executes a [`Program`] on the modelled machine.
//!
//! Two engines implement `docs/MODEL.md`: the [`mod@reference`] engine, plain and slow, which is the
//! meaning of that page, and the [`fast`] engine with exact [`fold`]ing. They share types and no
//! rules.
//!
//! **Invariant.** Every cycle of an [`Outcome`] comes from executing the program.
//! **Not here.** What a program computes, and where it came from; files; printing.

pub mod fast;
pub mod fold;
pub mod reference;
pub mod values;
mod waits;

pub use values::{HostStreams, Values, WaferMemory};

use sim_core::arch::ArchSpec;
use sim_core::coord::Grid;
use sim_core::error::RunError;
use sim_core::program::Program;
use sim_core::report::Outcome;

/// Which engine executes a program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EngineKind {
    /// The fast engine, with folding where it is allowed.
    Fast,
    /// The reference engine.
    Reference,
}

/// Which foldings the fast engine may use (rules F2 to F4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fold {
    /// Skip whole periods.
    pub time: bool,
    /// Run equal blocks and rows once.
    pub space: bool,
}

impl Fold {
    /// Both foldings.
    pub const ALL: Fold = Fold { time: true, space: true };
    /// No folding.
    pub const NONE: Fold = Fold { time: false, space: false };
}

/// How to run a program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RunOptions {
    /// The engine.
    pub engine: EngineKind,
    /// Foldings that are allowed.
    pub fold: Fold,
    /// Whether [`Outcome::per_pe`] and [`Outcome::per_color`] are wanted.
    pub per_pe: bool,
    /// Size of the cells of PEs whose sums are wanted ([`Outcome::per_cell`]).
    pub cells: Option<Grid>,
    /// The run is stopped when it reaches this many cycles.
    pub cycle_limit: u64,
    /// Bytes of host memory that the run may take.
    pub memory_limit: u64,
    /// Bands of rows that the fast engine steps on threads of their own where it does not fold;
    /// None: as many as there are threads, if the mesh is worth it. Results do not depend on it.
    pub bands: Option<u32>,
}

impl Default for RunOptions {
    fn default() -> Self {
        RunOptions {
            engine: EngineKind::Fast,
            fold: Fold::ALL,
            per_pe: false,
            cells: None,
            cycle_limit: 1 << 42,
            memory_limit: 16 << 30,
            bands: None,
        }
    }
}

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
