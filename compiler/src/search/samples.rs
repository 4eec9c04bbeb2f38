//! What the search knows of a model from few of its layers: layers are alike, so one and two of them tell the cycles and
//! the bytes of any number.
//!
//! **Invariant.** An estimate only chooses; no report contains one, unless it says so.
//! **Not here.** The choices (`geometries`, `strategies`).

use crate::layout::{Geometry, Precision};
use crate::options::{MappingConstraints, MemoryStrategy};
use crate::passes::{lower, outline};
use crate::schedule::{Operations, ScheduledKernel};
use models::{LayerGraph, ModelShape};
use sim_core::arch::ArchSpec;

/// What a geometry is chosen for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Task<'a> {
    /// The model.
    pub(super) shape: &'a ModelShape,
    /// Sequences of a micro-batch.
    pub(super) sequences: u32,
    /// Tokens of a sequence.
    pub(super) seq_len: u32,
    /// Types of numbers.
    pub(super) precision: Precision,
    /// What is fixed by hand.
    pub(super) constraints: MappingConstraints,
}

/// The operations of one and of two layers.
#[derive(Debug)]
pub(super) struct Samples {
    pub(super) one: Operations,
    pub(super) two: Operations,
}

impl Samples {
    /// For the task's model; None if the model is faulty.
    #[must_use]
    pub(super) fn of(task: &Task<'_>) -> Option<Samples> {
        let operations = |layers| {
            let shape = ModelShape { layers, ..task.shape.clone() };
            let graph = LayerGraph::training_step(&shape, u64::from(task.sequences), task.seq_len).ok()?;
            Some(Operations::of(&graph))
        };
        Some(Samples { one: operations(1)?, two: operations(2)? })
    }

    /// Cycles that [`Samples::estimate`] says at least: without tuning, from what dominates.
    #[must_use]
    pub(super) fn at_least(&self, g: &Geometry, arch: &ArchSpec, layers: u32, strategy: &MemoryStrategy) -> u64 {
        let strategy = MemoryStrategy { lm_chunks: 2.min(g.tokens / 4), ..*strategy };
        let schedule = outline(&self.one, g, &strategy);
        let of = |k: &ScheduledKernel| k.kernel.at_least(g, arch) * k.layer.map_or(1, |_| u64::from(layers));
        schedule.kernels.iter().map(of).sum()
    }

    /// Rough cycles of a step of `layers` layers with a memory strategy, without regard to memory.
    #[must_use]
    pub(super) fn estimate(&self, g: &Geometry, arch: &ArchSpec, layers: u32, strategy: &MemoryStrategy) -> u64 {
        let strategy = MemoryStrategy { lm_chunks: 2.min(g.tokens / 4), ..*strategy };
        let schedule = lower(&self.one, g, arch, &strategy);
        let cycles = |of_layer: bool| -> u64 {
            let kernels = schedule.kernels.iter().filter(|t| t.layer.is_some() == of_layer);
            kernels.map(|t| t.kernel.estimate(g, arch)).sum()
        };
        cycles(false) + cycles(true) * u64::from(layers)
    }
}

/// Bytes for buffers and code in a PE.
#[must_use]
pub(super) fn room(arch: &ArchSpec) -> u64 {
    u64::from(arch.pe.sram.value).saturating_sub(u64::from(arch.pe.stack.value))
}
