//! How a program is executed: which engine, which foldings, which limits.
//!
//! **Invariant.** Nothing in here changes a result, but for what it leaves out on request: both engines
//! and all foldings give the same cycles and counters.
//! **Not here.** The machine (`sim_core::arch`), and values (`values`).

use sim_core::coord::Grid;
#[cfg(doc)]
use sim_core::report::Outcome;

/// Which engine executes a program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EngineKind {
    /// The fast engine, with folding where it is allowed.
    Fast,
    /// The reference engine, which evaluates every PE in every cycle.
    Reference,
}

/// Which foldings the fast engine may use (rules F2 to F4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fold {
    /// Skip whole periods of a run (rule F2).
    pub time: bool,
    /// Execute equal blocks, rows and columns once (rules F3 and F4).
    pub space: bool,
}

impl Fold {
    /// Both foldings are allowed.
    pub const ALL: Fold = Fold { time: true, space: true };
    /// No folding: everything is executed.
    pub const NONE: Fold = Fold { time: false, space: false };
}

/// How a program is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RunOptions {
    /// Which engine executes it.
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
