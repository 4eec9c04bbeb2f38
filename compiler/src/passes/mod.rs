//! Passes over the kernels of a step that trade cycles for memory, between `Tiled` and `Placed`.
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

mod again;
mod checkpoint;
mod parts;
mod reduction;
mod start;

use crate::geometry::Geometry;
use crate::kernel::{Access, Chunks, Kernel, Name, Reduction, Stationary};
use crate::schedule::{Pass, Steps, Tile, Tiled};
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
pub struct Tiling {
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
    pub again: bool,
    /// Layer inputs.
    pub checkpoints: Checkpoints,
    /// What stays where it is in matrix products, if it is fixed; else what is fastest in each of them.
    pub stationary: Option<Stationary>,
    /// How vectors are summed over rows, if it is fixed; else by a chain, or, where that makes a step
    /// faster by more than differences count, by what is fastest.
    pub reduction: Option<Reduction>,
}

impl Tiling {
    /// Everything at once, all on the wafer.
    pub const WHOLE: Tiling = Tiling {
        lm_chunks: 1,
        attention: Chunks::ONE,
        attention_backward: Chunks::ONE,
        ffn_parts: 1,
        gather: 64,
        again: false,
        checkpoints: Checkpoints::Stay,
        stationary: None,
        reduction: None,
    };

    /// Chunks of attention in a pass.
    pub(crate) fn chunks(&self, pass: Pass) -> Chunks {
        if pass == Pass::Backward { self.attention_backward } else { self.attention }
    }
}

/// Lowers a training step, and applies the passes of a tiling.
#[must_use]
pub fn lower(steps: &Steps, g: &Geometry, arch: &ArchSpec, tiling: &Tiling) -> Tiled {
    let mut tiled = Tiled::new(steps, g, tiling.lm_chunks, tiling.gather);
    for tile in &mut tiled.tiles {
        if let Some(kernel) = tile.kernel.in_chunks(tiling.chunks(tile.pass)) {
            tile.kernel = kernel;
        }
    }
    if tiling.again {
        again::repeat_projections(&mut tiled.tiles, g);
    }
    if tiling.ffn_parts > 1 {
        parts::cut(&mut tiled.tiles, g, tiling.ffn_parts);
    }
    for tile in &mut tiled.tiles {
        if let Some(kernel) = tile.kernel.tuned(g, arch, tiling.stationary) {
            tile.kernel = kernel;
        }
    }
    reduction::choose(&mut tiled.tiles, g, arch, tiling.reduction);
    match tiling.checkpoints {
        Checkpoints::Stay => {}
        Checkpoints::Offload { stay, early } => checkpoint::offload(&mut tiled.tiles, g, arch, (stay, early)),
        Checkpoints::Recompute { block } => checkpoint::recompute(&mut tiled.tiles, block),
    }
    tiled
}

/// The same on a machine on which a layer takes time to start (`wafer.layer_start`).
#[must_use]
pub fn started(mut tiled: Tiled, arch: &ArchSpec) -> Tiled {
    if arch.wafer.layer_start.value > 0 {
        tiled.tiles = start::starts(tiled.tiles);
    }
    tiled
}

/// Bytes per PE of every buffer that waits from the forward to the backward pass.
#[must_use]
pub fn waiting_bytes(tiles: &[Tile], g: &Geometry) -> Vec<u64> {
    checkpoint::waiting_bytes(tiles, g)
}

/// Whether a kernel reads, and whether it writes a buffer.
fn access(kernel: &Arc<dyn Kernel>, g: &Geometry, buffer: &str) -> (bool, bool) {
    let mut found = (false, false);
    for need in kernel.needs(g).iter().filter(|n| *n.name == *buffer) {
        found.0 |= matches!(need.access, Access::Read | Access::Update);
        found.1 |= matches!(need.access, Access::Write | Access::Update);
    }
    found
}

/// Names of the buffers that a kernel reads, and of those that it writes.
fn names(tile: &Tile, g: &Geometry) -> (Vec<Name>, Vec<Name>) {
    let (mut reads, mut writes) = (Vec::new(), Vec::new());
    for need in tile.kernel.needs(g) {
        match need.access {
            Access::Read => reads.push(need.name),
            Access::Write => writes.push(need.name),
            Access::Update => {
                reads.push(need.name.clone());
                writes.push(need.name);
            }
            Access::Scratch => {}
        }
    }
    (reads, writes)
}
