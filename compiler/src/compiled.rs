//! A training step, compiled: the pipeline as a straight list of calls.
//!
//! `LayerGraph → Tiled → placed → Program`. Routes and code are emitted together by each kernel.
//!
//! **Invariant.** Every launch's program depends only on its kernel, the geometry, the machine and
//! its addresses.
//! **Not here.** Executing (`fabric`), reports (the root package).

use crate::ids::Phase;
use crate::kernel::{Addresses, Requirement};
use crate::kernels::KernelKind;
use crate::kernels::stencil::Stencil;
use crate::layout::Geometry;
use crate::memory::{self, Codes, MemoryPlan, TooSmall};
use crate::options::{MemoryStrategy, Reduction};
use crate::passes::{dataflow, lower, reduction, started};
use crate::schedule::{Operations, Schedule, ScheduledKernel};
use sim_core::arch::ArchSpec;
use sim_core::diag::Diagnostic;
use sim_core::program::Program;
use std::sync::Arc;

/// A kernel with its addresses.
#[derive(Debug)]
pub struct Launch {
    /// The kernel.
    pub kernel: Arc<KernelKind>,
    /// Which part of the step it belongs to.
    pub phase: Phase,
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

impl Launch {
    /// What it has in common with launches whose programs differ from its own in names only.
    #[must_use]
    pub fn stencil(&self) -> Stencil {
        Stencil::of(&self.kernel, &self.addresses)
    }
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
            if let Some(saved) = dataflow::saved(&launch.kernel, &self.geometry, arch) {
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
        let all = self.launches.iter().filter_map(|launch| reduction::reduction(&launch.kernel));
        all.max().unwrap_or(Reduction::Chain)
    }

    /// Cycles of a micro-batch that the fastest reductions save, compared to chains, by estimate.
    #[must_use]
    pub fn fastest_reductions_save(&self, arch: &ArchSpec) -> u64 {
        let estimate = |launch: &Launch, kind| {
            let kernel = reduction::reduced(&launch.kernel, &self.geometry, arch, kind)?;
            Some(kernel.estimate(&self.geometry, arch))
        };
        let saved = |launch: &Launch| {
            let chain = estimate(launch, Some(Reduction::Chain))?;
            Some(launch.count * chain.saturating_sub(estimate(launch, None)?))
        };
        self.launches.iter().filter_map(saved).sum()
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
    let kernels: Vec<&KernelKind> = schedule.kernels.iter().map(|t| &*t.kernel).collect();
    let launches: Vec<Vec<Requirement>> = kernels.iter().map(|k| k.all_requirements(g, arch)).collect();
    let planned = memory::plan(arch, &launches, |launch| codes.of(g, arch, kernels[launch]));
    let (memory, addresses) = planned.map_err(|why| does_not_fit(g, arch, &why, &kernels))?;
    Ok(Compiled::of(g, choice, schedule, memory, addresses))
}

/// The diagnostic `M001`: a step does not fit the memory of a PE.
fn does_not_fit(g: &Geometry, arch: &ArchSpec, why: &TooSmall, kernels: &[&KernelKind]) -> Diagnostic {
    let TooSmall { launch, top, code, buffers } = why;
    let largest: Vec<String> = buffers.iter().take(4).map(|(buffer, bytes)| format!("{buffer} {bytes} B")).collect();
    let (stack, capacity) = (arch.pe.stack.value, arch.pe.sram.value);
    let message = format!(
        "with {} sequences at a time kernel `{}` needs {} B of a PE ({top} B of buffers, {code} B of code, {stack} B of stack), which has {capacity} B; `{}` does not fit; the largest buffers are {}",
        g.sequences,
        kernels.get(*launch).map_or(String::new(), |k| k.name()),
        top + code + u64::from(stack),
        buffers.first().map_or(String::new(), |(buffer, _)| buffer.to_string()),
        largest.join(", ")
    );
    Diagnostic::new("M001", "micro-batch", message).help("choose a smaller --micro-batch")
}

impl Compiled {
    fn of(g: &Geometry, choice: Choice, schedule: Schedule, memory: MemoryPlan, addresses: Vec<Addresses>) -> Compiled {
        let launch = |(t, addresses): (ScheduledKernel, Addresses)| Launch {
            kernel: t.kernel,
            phase: t.phase,
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
        }
    }
}
