//! A training step, compiled: the pipeline as a straight list of calls.
//!
//! `LayerGraph → Tiled → placed → Program`. Routes and code are emitted together by each kernel.
//!
//! **Invariant.** Every launch's program depends only on its kernel, the geometry, the machine and
//! its addresses.
//! **Not here.** Executing (`fabric`), reports (the root package).

use crate::kernel::{Addresses, Kernel};
use crate::layout::Geometry;
use crate::memory::{self, Codes, MemoryPlan};
use crate::options::{MemoryStrategy, Reduction};
use crate::passes::{lower, started};
use crate::schedule::{Operations, Schedule, ScheduledKernel};
use sim_core::arch::ArchSpec;
use sim_core::diag::Diagnostic;
use sim_core::program::Program;
use std::fmt::Write;
use std::sync::Arc;

/// A kernel with its addresses.
#[derive(Debug)]
pub struct Launch {
    /// The kernel.
    pub kernel: Arc<dyn Kernel>,
    /// `forward`, `recompute`, `backward` or `weight_gradient`.
    pub phase: &'static str,
    /// The layer, if it belongs to one.
    pub layer: Option<u32>,
    /// Where its buffers are.
    pub addresses: Addresses,
    /// How often it runs in a micro-batch.
    pub count: u64,
}

/// A training step.
#[derive(Debug)]
pub struct Compiled {
    /// The layout.
    pub geometry: Geometry,
    /// Sequences per micro-batch.
    pub micro_batch: u32,
    /// Micro-batches per step and system.
    pub micro_batches: u64,
    /// The kernels of a micro-batch in order.
    pub launches: Vec<Launch>,
    /// The memory of a PE.
    pub memory: MemoryPlan,
    /// How it was brought to fit.
    pub strategy: MemoryStrategy,
    /// Rough cycles of the step: what the choice was made by, never a result.
    pub estimate: u64,
    /// The mapping that would have been taken else.
    pub runner_up: Option<RunnerUp>,
    schedule: String,
}

/// Matrix products with stationary outputs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StationaryOutputs {
    /// Their names.
    pub names: Vec<String>,
    /// Cycles of a micro-batch that they save, by estimate.
    pub saved: u64,
}

/// The second best mapping by the estimates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunnerUp {
    /// The layout.
    pub geometry: Geometry,
    /// How it is brought to fit.
    pub strategy: MemoryStrategy,
    /// Sequences per micro-batch.
    pub micro_batch: u32,
    /// Rough cycles of the step.
    pub estimate: u64,
}

impl Compiled {
    /// The program of a launch.
    #[must_use]
    pub fn program(&self, launch: &Launch, arch: &ArchSpec) -> Program {
        launch.kernel.program(&self.geometry, arch, &launch.addresses)
    }

    /// The matrix products with stationary outputs, by their names in the order of their first launch.
    #[must_use]
    pub fn stationary_outputs(&self, arch: &ArchSpec) -> StationaryOutputs {
        let mut out = StationaryOutputs::default();
        for launch in &self.launches {
            if let Some(saved) = launch.kernel.saved(&self.geometry, arch) {
                out.saved += saved * launch.count;
                let name = launch.kernel.name();
                if !out.names.contains(&name) {
                    out.names.push(name);
                }
            }
        }
        out
    }

    /// How vectors are summed over rows: chains, unless all that can be are summed otherwise.
    #[must_use]
    pub fn reduction(&self) -> Reduction {
        let all = self.launches.iter().filter_map(|launch| launch.kernel.reduction());
        all.max().unwrap_or(Reduction::Chain)
    }

    /// Cycles of a micro-batch that the fastest reductions save, compared to chains, by estimate.
    #[must_use]
    pub fn fastest_reductions_save(&self, arch: &ArchSpec) -> u64 {
        let estimate = |launch: &Launch, kind| {
            let kernel = launch.kernel.reduced(&self.geometry, arch, kind)?;
            Some(kernel.estimate(&self.geometry, arch))
        };
        let saved = |launch: &Launch| {
            let chain = estimate(launch, Some(Reduction::Chain))?;
            Some(launch.count * chain.saturating_sub(estimate(launch, None)?))
        };
        self.launches.iter().filter_map(saved).sum()
    }

    /// Text of a stage: `tiled` (kernels and windows) or `placed` (addresses and lifetimes); None
    /// for a name that is not a stage. Programs have their own text form.
    #[must_use]
    pub fn dump(&self, stage: &str) -> Option<String> {
        match stage {
            "tiled" => Some(self.schedule.clone()),
            "placed" => {
                let mut text = String::new();
                let m = &self.memory;
                writeln!(
                    text,
                    "peak {} B of {} B: code {} B, stack {} B; {} micro-batches of {}",
                    m.peak_bytes, m.capacity, m.code_bytes, m.stack_bytes, self.micro_batches, self.micro_batch
                )
                .expect("writing to a string");
                for b in &m.buffers {
                    writeln!(
                        text,
                        "@{:<6} {:>6} B  launches {:>4}..={:<4} {}",
                        b.addr, b.bytes, b.first, b.last, b.name
                    )
                    .expect("writing to a string");
                }
                Some(text)
            }
            _ => None,
        }
    }
}

/// A memory strategy with its estimated cycles per micro-batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Choice {
    /// The memory strategy.
    pub strategy: MemoryStrategy,
    /// Rough cycles.
    pub estimate: u64,
}

/// Lowers for one geometry with a memory strategy.
pub(crate) fn build(
    operations: &Operations,
    arch: &ArchSpec,
    g: &Geometry,
    choice: Choice,
    codes: &Codes,
) -> Result<Compiled, Diagnostic> {
    let schedule = started(lower(operations, g, arch, &choice.strategy), arch);
    if let Some(missing) = schedule.verify(operations).into_iter().next() {
        return Err(missing);
    }
    let kernels: Vec<&dyn Kernel> = schedule.kernels.iter().map(|t| &*t.kernel).collect();
    let (memory, addresses) = memory::plan(g, arch, &kernels, codes).map_err(|fault| *fault)?;
    Ok(Compiled::of(g, choice, schedule, memory, addresses))
}

impl Compiled {
    fn of(g: &Geometry, choice: Choice, schedule: Schedule, memory: MemoryPlan, addresses: Vec<Addresses>) -> Compiled {
        let text = schedule.to_string();
        let launch = |(t, addresses): (ScheduledKernel, Addresses)| Launch {
            kernel: t.kernel,
            phase: t.phase.name(),
            layer: t.layer,
            addresses,
            count: 1,
        };
        Compiled {
            geometry: g.clone(),
            micro_batch: g.sequences,
            micro_batches: 1,
            launches: schedule.kernels.into_iter().zip(addresses).map(launch).collect(),
            memory,
            strategy: choice.strategy,
            estimate: choice.estimate,
            runner_up: None,
            schedule: text,
        }
    }
}
