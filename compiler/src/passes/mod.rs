//! Changes of a schedule so that a step needs less memory, at the price of cycles; and the fastest form of what is left.
//!
//! Without them a step of most models does not fit into 48 KiB per PE. A [`MemoryStrategy`] says which passes are
//! applied and how far; [`lower`] applies them in their order.
//!
//! | pass | what it costs | what it saves |
//! |---|---|---|
//! | `chunk_attention` | more rounds around the column | gathered features and scores |
//! | `rematerialise` | products of queries, keys and values, once more | their life over the feed-forward block's backward pass |
//! | `split_ffn` | shorter rounds | the feed-forward block's activations, of which one part lives at a time |
//! | `dataflow` | nothing: the fastest form of every product | cycles |
//! | `reduction` | nothing: the fastest form of sums over rows | cycles |
//! | `offload` | traffic at the edge, mostly beside matrix products; or another forward pass | layer inputs |
//!
//! **Invariant.** A pass moves, cuts, repeats, replaces or inserts kernels; what they compute together stays.
//! **Not here.** Which strategy is worth it (`search`).

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

/// The kernels of a training step before the passes, but for chunks of attention.
pub(crate) fn outline(operations: &Operations, g: &Geometry, strategy: &MemoryStrategy) -> Schedule {
    let mut schedule = Schedule::new(operations, g, strategy.lm_chunks, strategy.gather);
    chunk_attention::cut(&mut schedule.kernels, strategy);
    schedule
}

/// Lowers a training step, and applies the passes of a memory strategy.
#[must_use]
pub fn lower(operations: &Operations, g: &Geometry, arch: &ArchSpec, strategy: &MemoryStrategy) -> Schedule {
    let mut schedule = outline(operations, g, strategy);
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

/// The schedule on a machine on which a layer takes time to start (`wafer.layer_start`).
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
