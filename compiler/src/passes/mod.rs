//! Passes over the kernels of a step that trade cycles for memory, between `Schedule` and `Placed`.
//!
//! | what | takes | saves |
//! |---|---|---|
//! | chunks of attention | rounds around the column | gathered features, scores |
//! | parts of the feed-forward layer | shorter rounds | its activations, of which one part lives at a time |
//! | recomputing twice | products of queries, keys and values | their life over the feed-forward layer's backward pass |
//! | shorter AXPYs of outer products | setups of more vector instructions | gathered features |
//! | checkpoints off the wafer | edge traffic, beside matrix products as far as these have time | layer inputs |
//! | recomputing blocks of layers | another forward pass | layer inputs inside a block |
//!
//! **Invariant.** A pass moves, cuts, repeats or inserts kernels; what they compute together stays.
//! **Not here.** Which passes are worth it (`step`).

mod checkpoint;
mod parts;
mod reduction;
mod rematerialise;
mod start;

use crate::geometry::Geometry;
use crate::kernel::{Access, Chunks, Kernel, Name, Reduction, Stationary};
use crate::schedule::{Operations, Pass, Schedule, ScheduledKernel};
use sim_core::arch::ArchSpec;
use std::sync::Arc;

/// What becomes of layer inputs between the forward and the backward pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Checkpoints {
    /// They stay on the wafer.
    Stay,
    /// Those of the first layers leave over the edge and come back.
    Offload {
        /// Buffers that stay nevertheless: those that are needed again first.
        stay: u32,
        /// Whether they may come back during all of the backward pass of the layer that is worked on
        /// before, beside its own input; else only behind its attention.
        early: bool,
    },
    /// Only those of every `block`-th layer are kept; the others are computed again.
    Recompute {
        /// Layers from one kept input to the next.
        block: u32,
    },
}

/// How a step is brought to fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct MemoryStrategy {
    /// Parts in which the tokens of a PE pass the LM head.
    pub lm_chunks: u32,
    /// Chunks of a PE's tokens in attention.
    pub attention: Chunks,
    /// The same in its backward pass.
    pub attention_backward: Chunks,
    /// Parts of the feed-forward layer's features.
    pub ffn_parts: u32,
    /// Length of outer products' AXPYs that is aimed at.
    pub gather: u32,
    /// Whether queries, keys and values are computed once more before attention's backward pass.
    pub rematerialise: bool,
    /// Layer inputs.
    pub checkpoints: Checkpoints,
    /// What stays where it is in matrix products, if it is fixed; else what is fastest in each of them.
    pub stationary: Option<Stationary>,
    /// How vectors are summed over rows, if it is fixed; else by a chain, or, where that makes a step
    /// faster by more than differences count, by what is fastest.
    pub reduction: Option<Reduction>,
}

impl MemoryStrategy {
    /// Everything at once, all on the wafer.
    pub const WHOLE: MemoryStrategy = MemoryStrategy {
        lm_chunks: 1,
        attention: Chunks::ONE,
        attention_backward: Chunks::ONE,
        ffn_parts: 1,
        gather: 64,
        rematerialise: false,
        checkpoints: Checkpoints::Stay,
        stationary: None,
        reduction: None,
    };

    /// Chunks of attention in a pass.
    pub(crate) fn chunks(&self, pass: Pass) -> Chunks {
        if pass == Pass::Backward { self.attention_backward } else { self.attention }
    }
}

/// Lowers a training step, and applies the passes of a memory strategy.
#[must_use]
pub fn lower(operations: &Operations, g: &Geometry, arch: &ArchSpec, strategy: &MemoryStrategy) -> Schedule {
    let mut schedule = Schedule::new(operations, g, strategy.lm_chunks, strategy.gather);
    for scheduled in &mut schedule.kernels {
        if let Some(kernel) = scheduled.kernel.in_chunks(strategy.chunks(scheduled.pass)) {
            scheduled.kernel = kernel;
        }
    }
    if strategy.rematerialise {
        rematerialise::repeat_projections(&mut schedule.kernels, g);
    }
    if strategy.ffn_parts > 1 {
        parts::cut(&mut schedule.kernels, g, strategy.ffn_parts);
    }
    for scheduled in &mut schedule.kernels {
        if let Some(kernel) = scheduled.kernel.tuned(g, arch, strategy.stationary) {
            scheduled.kernel = kernel;
        }
    }
    reduction::choose(&mut schedule.kernels, g, arch, strategy.reduction);
    match strategy.checkpoints {
        Checkpoints::Stay => {}
        Checkpoints::Offload { stay, early } => checkpoint::offload(&mut schedule.kernels, g, arch, (stay, early)),
        Checkpoints::Recompute { block } => checkpoint::recompute(&mut schedule.kernels, block),
    }
    schedule
}

/// The same on a machine on which a layer takes time to start (`wafer.layer_start`).
#[must_use]
pub fn started(mut schedule: Schedule, arch: &ArchSpec) -> Schedule {
    if arch.wafer.layer_start.value > 0 {
        schedule.kernels = start::starts(schedule.kernels);
    }
    schedule
}

/// Bytes per PE of every buffer that waits from the forward to the backward pass.
#[must_use]
pub fn waiting_bytes(kernels: &[ScheduledKernel], g: &Geometry) -> Vec<u64> {
    checkpoint::waiting_bytes(kernels, g)
}

/// Whether a kernel reads, and whether it writes a buffer.
fn access(kernel: &Arc<dyn Kernel>, g: &Geometry, buffer: &str) -> (bool, bool) {
    let mut found = (false, false);
    for requirement in kernel.requirements(g).iter().filter(|n| *n.name == *buffer) {
        found.0 |= matches!(requirement.access, Access::Read | Access::Update);
        found.1 |= matches!(requirement.access, Access::Write | Access::Update);
    }
    found
}

/// Names of the buffers that a kernel reads, and of those that it writes.
fn names(scheduled: &ScheduledKernel, g: &Geometry) -> (Vec<Name>, Vec<Name>) {
    let (mut reads, mut writes) = (Vec::new(), Vec::new());
    for requirement in scheduled.kernel.requirements(g) {
        match requirement.access {
            Access::Read => reads.push(requirement.name),
            Access::Write => writes.push(requirement.name),
            Access::Update => {
                reads.push(requirement.name.clone());
                writes.push(requirement.name);
            }
            Access::Scratch => {}
        }
    }
    (reads, writes)
}
