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

mod access;
pub(crate) mod chunk_attention;
pub(crate) mod dataflow;
mod layer_start;
mod offload;
pub(crate) mod reduction;
mod rematerialise;
mod split_ffn;

use crate::layout::Geometry;
use crate::options::{Checkpoints, MemoryStrategy};
use crate::schedule::{Operations, Schedule, ScheduledKernel};
use sim_core::arch::ArchSpec;

/// Lowers a training step, and applies the passes of a memory strategy.
#[must_use]
pub fn lower(operations: &Operations, g: &Geometry, arch: &ArchSpec, strategy: &MemoryStrategy) -> Schedule {
    let mut schedule = Schedule::new(operations, g, strategy.lm_chunks, strategy.gather);
    chunk_attention::cut(&mut schedule.kernels, strategy);
    if strategy.rematerialise {
        rematerialise::repeat_projections(&mut schedule.kernels, g);
    }
    if strategy.ffn_parts > 1 {
        split_ffn::cut(&mut schedule.kernels, g, strategy.ffn_parts);
    }
    dataflow::tune(&mut schedule.kernels, g, arch, strategy.stationary);
    reduction::choose(&mut schedule.kernels, g, arch, strategy.reduction);
    match strategy.checkpoints {
        Checkpoints::Stay => {}
        Checkpoints::Offload { stay, early } => offload::offload(&mut schedule.kernels, g, arch, (stay, early)),
        Checkpoints::Recompute { block } => offload::recompute(&mut schedule.kernels, block),
    }
    schedule
}

/// The same on a machine on which a layer takes time to start (`wafer.layer_start`).
#[must_use]
pub fn started(mut schedule: Schedule, arch: &ArchSpec) -> Schedule {
    if arch.wafer.layer_start.value > 0 {
        schedule.kernels = layer_start::starts(schedule.kernels);
    }
    schedule
}

/// Bytes per PE of every buffer that waits from the forward to the backward pass.
#[must_use]
pub fn waiting_bytes(kernels: &[ScheduledKernel], g: &Geometry) -> Vec<u64> {
    offload::waiting_bytes(kernels, g)
}
