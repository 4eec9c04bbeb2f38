//! How a result was obtained: what the caller knows of it, beside what the execution says.
//!
//! **Invariant.** No number of a result depends on it.
//! **Not here.** Clocks and the memory of the host: the caller measures them.

use crate::common::Simulation;
use fabric::{EngineKind, Fold, RunOptions};
use runner::train::Effort;

/// How a result was obtained.
#[derive(Debug, Clone, Default)]
pub struct Provenance {
    /// A command that gives the result again; empty where no command line was involved.
    pub command: String,
    /// Seed of everything random.
    pub seed: u64,
    /// The engine and the foldings.
    pub options: RunOptions,
    /// Threads of the host.
    pub threads: usize,
    /// Time of the host, in seconds.
    pub wall_seconds: f64,
    /// Most memory that the process took, in bytes; 0 where the system does not say.
    pub peak_rss_bytes: u64,
}

/// Name of the engine in reports.
#[must_use]
pub fn engine_name(options: &RunOptions) -> &'static str {
    match options.engine {
        EngineKind::Fast => "fast",
        EngineKind::Reference => "reference",
    }
}

/// Name of the foldings that are allowed, in reports.
#[must_use]
pub fn fold_name(options: &RunOptions) -> &'static str {
    match (options.engine, options.fold) {
        (EngineKind::Reference, _) | (_, Fold { time: false, space: false }) => "none",
        (_, Fold { time: true, space: true }) => "time,space",
        (_, Fold { time: true, .. }) => "time",
        (_, Fold { space: true, .. }) => "space",
    }
}

impl Provenance {
    /// What the simulation took, with the cycles that were stepped.
    pub(crate) fn simulation(&self, effort: Effort) -> Simulation {
        Simulation {
            engine: engine_name(&self.options).to_owned(),
            fold: fold_name(&self.options).to_owned(),
            threads: self.threads,
            wall_seconds: self.wall_seconds,
            stepped_cycles: effort.stepped_cycles,
            stepped_pe_cycles: effort.stepped_pe_cycles,
            covered_pe_cycles: effort.covered_pe_cycles,
            cached_programs: effort.cached_programs,
            peak_rss_bytes: self.peak_rss_bytes,
        }
    }
}
