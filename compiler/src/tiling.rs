//! The choice of a tiling for a geometry: the cheapest one, by the kernels' estimates, that seems to
//! fit a PE's memory.
//!
//! Layers are alike, so bytes and cycles come from lowering one and two layers. The memory plan of
//! the whole step decides whether it fits in truth.
//! **Invariant.** An estimate only chooses; no report contains one, unless it says so.
//! **Not here.** What a tiling does (`passes`), geometries (`mapping`).

use crate::geometry::{Features, Geometry};
use crate::kernel::{Act, Kernel};
use crate::kernels::ferry::Save;
use crate::mapping::Task;
use crate::memory;
use crate::passes::{Checkpoints, Tiling, lower, waiting_bytes};
use crate::schedule::{Pass, Tiled};
use models::{GptShape, LayerGraph};
use sim_core::arch::ArchSpec;

/// Most parts of the feed-forward layer that are tried.
const FFN_PARTS_MAX: u32 = 8;
/// Most layers between kept inputs that are tried.
const BLOCK_MAX: u32 = 8;

/// What the user asks to be done with layer inputs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum CheckpointWish {
    /// What is estimated to be fastest.
    #[default]
    Auto,
    /// They stay on the wafer.
    Stay,
    /// They leave it and come back, all of them.
    Offload,
    /// Some stay, the others are computed again.
    Recompute,
}

/// What the user fixes by hand; the rest is chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Map {
    /// Lanes.
    pub lanes: Option<u32>,
    /// Columns per head.
    pub head_columns: Option<u32>,
    /// Tokens per PE.
    pub tokens: Option<u32>,
    /// Chunks of a PE's tokens in attention.
    pub attention_chunks: Option<u32>,
    /// Parts of the feed-forward layer.
    pub ffn_parts: Option<u32>,
    /// Parts in which the tokens of a PE pass the LM head.
    pub lm_chunks: Option<u32>,
    /// Layer inputs.
    pub checkpoints: CheckpointWish,
}

/// Layers lowered with one choice for their inside.
#[derive(Debug, Clone)]
struct Inside {
    tiling: Tiling,
    /// Most bytes that live in a kernel of a layer, beside inputs of other layers.
    bytes: u64,
    /// Cycles of a layer, and of its forward pass.
    layer: u64,
    forward: u64,
}

/// What comes before and behind the layers, with some number of parts of the LM head.
#[derive(Debug, Clone, Copy)]
struct Outside {
    lm_chunks: u32,
    bytes: u64,
    cycles: u64,
}

/// All choices for one geometry.
#[derive(Debug, Clone)]
pub struct Choices {
    layers: u32,
    /// Bytes of what waits of a layer from the forward to the backward pass.
    waiting: u64,
    /// Cycles for it to leave the wafer and to come back.
    ferry: u64,
    inside: Vec<Inside>,
    outside: Vec<Outside>,
    wish: CheckpointWish,
}

/// A tiling with its estimated cycles per micro-batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Choice {
    /// The tiling.
    pub tiling: Tiling,
    /// Rough cycles.
    pub estimate: u64,
}

/// Layer graphs of one and of two layers.
#[derive(Debug)]
pub struct Samples {
    one: LayerGraph,
    two: LayerGraph,
}

impl Samples {
    /// For the task's model; None if the model is faulty.
    #[must_use]
    pub fn of(task: &Task<'_>) -> Option<Samples> {
        let graph = |layers| {
            let shape = GptShape { layers, ..task.shape.clone() };
            LayerGraph::training_step(&shape, u64::from(task.sequences), task.seq_len).ok()
        };
        Some(Samples { one: graph(1)?, two: graph(2)? })
    }

    /// Rough cycles of a step of `layers` layers, without regard to memory.
    #[must_use]
    pub fn estimate(&self, g: &Geometry, arch: &ArchSpec, layers: u32) -> u64 {
        let cycles =
            |graph| cycles(&lower(graph, g, &Tiling { lm_chunks: 2.min(g.tokens / 4), ..Tiling::WHOLE }), g, arch);
        let (one, two) = (cycles(&self.one), cycles(&self.two));
        one + two.saturating_sub(one) * u64::from(layers - 1)
    }
}

fn cycles(tiled: &Tiled, g: &Geometry, arch: &ArchSpec) -> u64 {
    tiled.tiles.iter().map(|t| t.kernel.estimate(g, arch)).sum()
}

/// Bytes that live, most in a layer's kernel and most in another one.
fn alive(tiled: &Tiled, g: &Geometry) -> [u64; 2] {
    let kernels: Vec<&dyn Kernel> = tiled.tiles.iter().map(|t| &*t.kernel).collect();
    let mut most = [0, 0];
    for (tile, bytes) in tiled.tiles.iter().zip(memory::alive(g, &kernels)) {
        let at = usize::from(tile.layer.is_none());
        most[at] = bytes.max(most[at]);
    }
    most
}

/// Divisors of a PE's tokens into multiples of 4, the largest parts first.
fn divisions(tokens: u32) -> Vec<u32> {
    (1..=tokens / 4).filter(|c| tokens.is_multiple_of(4 * c)).collect()
}

impl Choices {
    /// Lowers samples in all ways that the map leaves open.
    #[must_use]
    pub fn of(samples: &Samples, g: &Geometry, arch: &ArchSpec, layers: u32, map: &Map) -> Choices {
        let whole = lower(&samples.two, g, &Tiling::WHOLE);
        let waiting: u64 = waiting_bytes(&whole.tiles, g).iter().sum::<u64>() / 2;
        let kept = Act::whole(g, "x", Features::Hidden);
        let unit = u64::from(g.len(Features::Hidden)) * u64::from(g.act.bytes());
        let ferry = 2 * Save { act: kept }.estimate(g, arch) * waiting / unit.max(1);
        let mut inside = Vec::new();
        let parts = |n: &u32| map.ffn_parts.is_none_or(|fixed| fixed == *n);
        let ffn_parts: Vec<u32> = (1..=FFN_PARTS_MAX.min(g.ffn)).filter(parts).collect();
        for attention_chunks in divisions(g.tokens) {
            if map.attention_chunks.is_some_and(|fixed| fixed != attention_chunks) {
                continue;
            }
            for &ffn_parts in ffn_parts.iter().filter(|n| n.is_power_of_two() || map.ffn_parts.is_some()) {
                for again in [false, true] {
                    let tiling = Tiling { attention_chunks, ffn_parts, again, ..Tiling::WHOLE };
                    inside.push(Inside::of(samples, g, arch, tiling, 2 * waiting));
                }
            }
        }
        let chunks = |n: &u32| map.lm_chunks.is_none_or(|fixed| fixed == *n);
        let outside = (1..=g.tokens / 4).filter(chunks).map(|lm| Outside::of(samples, g, arch, lm, waiting)).collect();
        Choices { layers, waiting, ferry, inside, outside, wish: map.checkpoints }
    }

    /// The cheapest choice that takes at most `room` bytes of buffers; or the bytes that the least
    /// one needs.
    ///
    /// # Errors
    /// The least number of bytes that is needed.
    pub fn best(&self, room: u64) -> Result<Choice, u64> {
        let mut best: Option<Choice> = None;
        let mut least = u64::MAX;
        for inside in &self.inside {
            for (checkpoints, kept, cost) in self.checkpoints(inside, room) {
                let inner = inside.bytes + self.waiting * u64::from(kept);
                let fits = |o: &&Outside| o.bytes + self.waiting * u64::from(kept) <= room;
                let outside = self.outside.iter().find(fits);
                let outer = self.outside.iter().map(|o| o.bytes + self.waiting * u64::from(kept)).min().unwrap_or(0);
                least = least.min(inner.max(outer));
                let Some(outside) = outside.filter(|_| inner <= room) else { continue };
                let tiling = Tiling { lm_chunks: outside.lm_chunks, checkpoints, ..inside.tiling };
                let estimate = outside.cycles + u64::from(self.layers) * inside.layer + cost;
                if best.is_none_or(|b| estimate < b.estimate) {
                    best = Some(Choice { tiling, estimate });
                }
            }
        }
        best.ok_or(least)
    }

    /// What may become of the layers' inputs: how many of them are on the wafer at the same time,
    /// and the cycles that it costs.
    fn checkpoints(&self, inside: &Inside, room: u64) -> Vec<(Checkpoints, u32, u64)> {
        let layers = self.layers;
        let mut out = Vec::new();
        if matches!(self.wish, CheckpointWish::Auto | CheckpointWish::Stay) {
            out.push((Checkpoints::Stay, layers, 0));
        }
        let away = |stay: u32| {
            let cost = self.ferry * u64::from(layers - stay);
            (Checkpoints::Offload { stay }, stay.max(1), cost)
        };
        match self.wish {
            CheckpointWish::Offload => out.push(away(0)),
            CheckpointWish::Auto => {
                let fit = room.saturating_sub(inside.bytes) / self.waiting.max(1);
                let fit = u32::try_from(fit).unwrap_or(u32::MAX).min(layers - 1);
                out.extend([fit, fit * 3 / 4, fit / 2, fit / 4, 0].map(away));
            }
            CheckpointWish::Stay | CheckpointWish::Recompute => {}
        }
        if matches!(self.wish, CheckpointWish::Auto | CheckpointWish::Recompute) {
            for block in 2..=BLOCK_MAX.min(layers.saturating_sub(1)) {
                let blocks = layers.div_ceil(block);
                let again = (blocks - 1) * (block - 1);
                let cost = inside.forward * u64::from(again);
                out.push((Checkpoints::Recompute { block }, blocks + block - 1, cost));
            }
        }
        // Of fewer than three layers there is nothing to compute again.
        if out.is_empty() {
            out.push((Checkpoints::Stay, layers, 0));
        }
        out
    }
}

impl Inside {
    fn of(samples: &Samples, g: &Geometry, arch: &ArchSpec, tiling: Tiling, waiting: u64) -> Inside {
        let (one, two) = (lower(&samples.one, g, &tiling), lower(&samples.two, g, &tiling));
        let layer = cycles(&two, g, arch).saturating_sub(cycles(&one, g, arch));
        let of_forward = one.tiles.iter().filter(|t| t.layer.is_some() && t.pass == Pass::Forward);
        let forward = of_forward.map(|t| t.kernel.estimate(g, arch)).sum();
        Inside { tiling, bytes: alive(&two, g)[0].saturating_sub(waiting), layer, forward }
    }
}

impl Outside {
    fn of(samples: &Samples, g: &Geometry, arch: &ArchSpec, lm_chunks: u32, waiting: u64) -> Outside {
        let tiled = lower(&samples.one, g, &Tiling { lm_chunks, ..Tiling::WHOLE });
        let own = tiled.tiles.iter().filter(|t| t.layer.is_none());
        let cycles = own.map(|t| t.kernel.estimate(g, arch)).sum();
        Outside { lm_chunks, bytes: alive(&tiled, g)[1].saturating_sub(waiting), cycles }
    }
}
