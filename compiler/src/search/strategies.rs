//! The choice of a memory strategy for one geometry: the cheapest one, by the kernels' estimates, that seems to fit a
//! PE's memory.
//!
//! One and two layers are lowered with every combination of passes. The difference tells the bytes and cycles of a
//! layer, and what is left those of what is around the layers; any number of layers follows by arithmetic. Whether the
//! step fits in truth is decided by its memory plan later.
//!
//! **Invariant.** An estimate only chooses; no report contains one, unless it says so.
//! **Not here.** What a memory strategy does (`passes`), geometries (`geometries`).

use super::samples::{Samples, room};
use crate::compiled::Choice;
use crate::ids::Phase;
use crate::kernel::{Access, Requirement};
use crate::kernels::KernelKind;
use crate::layout::Geometry;
use crate::memory::{self, Codes};
use crate::options::{CheckpointRequest, Checkpoints, Chunks, MappingConstraints, MemoryStrategy};
use crate::passes::chunk_attention::{in_chunks, is_attention};
use crate::passes::{lower, waiting_bytes};
use crate::schedule::{Schedule, ScheduledKernel};
use rayon::prelude::*;
use sim_core::arch::ArchSpec;
use std::collections::BTreeSet;

/// Most parts of the feed-forward layer that are tried.
const FFN_PARTS_MAX: u32 = 8;
/// Most layers between kept inputs that are tried.
const BLOCK_MAX: u32 = 8;
/// Lengths of outer products' AXPYs that are aimed at.
const GATHERS: [u32; 3] = [MemoryStrategy::WHOLE.gather, 32, 16];

/// Layers lowered with one choice for their inside.
#[derive(Debug, Clone)]
struct Inside {
    strategy: MemoryStrategy,
    /// Most bytes that live in a kernel of a layer, code included, beside inputs of other layers.
    bytes: u64,
    /// Cycles of a layer, and of its forward pass.
    layer: u64,
    forward: u64,
}

/// What comes before and behind the layers, with some number of parts of the LM head.
#[derive(Debug, Clone, Copy)]
struct Outside {
    lm_chunks: u32,
    gather: u32,
    bytes: u64,
    cycles: u64,
}

/// All choices for one geometry.
#[derive(Debug)]
pub(super) struct Choices {
    layers: u32,
    /// Bytes of what waits of a layer from the forward to the backward pass.
    waiting: u64,
    /// Cycles that it takes more to leave the wafer and to come back, late and early.
    transfer: [u64; 2],
    inside: Vec<Inside>,
    outside: Vec<Outside>,
    request: CheckpointRequest,
    /// Cycles in which a layer starts.
    start: u64,
    /// Bytes of code of the kernels that were looked at.
    pub(crate) codes: Codes,
}

fn cycles(schedule: &Schedule, g: &Geometry, arch: &ArchSpec) -> u64 {
    schedule.kernels.iter().map(|t| t.kernel.estimate(g, arch)).sum()
}

/// Divisors of a PE's tokens into multiples of `unit`, the largest parts first.
fn divisions(tokens: u32, unit: u32) -> impl Iterator<Item = u32> {
    (1..=tokens / unit).filter(move |c| tokens.is_multiple_of(unit * c))
}

impl Choices {
    /// Lowers samples in all ways that the map leaves open, and that may be the cheapest one that
    /// fits.
    #[must_use]
    pub(super) fn of(
        samples: &Samples,
        g: &Geometry,
        arch: &ArchSpec,
        layers: u32,
        constraints: &MappingConstraints,
        codes: Codes,
    ) -> Choices {
        let whole = lower(&samples.two, g, arch, &constraints.whole());
        let waiting: u64 = waiting_bytes(&whole.kernels, g).iter().sum::<u64>() / 2;
        // What the inputs of the first of two layers cost that leave.
        let stay = waiting_bytes(&whole.kernels, g).len() as u32 / 2;
        let all = cycles(&whole, g, arch);
        let transfer = [false, true].map(|early| {
            let away = MemoryStrategy { checkpoints: Checkpoints::Offload { stay, early }, ..constraints.whole() };
            cycles(&lower(&samples.two, g, arch, &away), g, arch).saturating_sub(all)
        });
        let lowering = Lowering { samples, g, arch, waiting, codes };
        let fixed = |by_hand: Option<u32>, n: &u32| by_hand.is_none_or(|fixed| fixed == *n);
        let chunks = |queries, keys| -> Vec<Chunks> {
            let queries = divisions(g.tokens, 4).filter(|n| fixed(queries, n));
            let keys: Vec<u32> = divisions(g.tokens, 1).filter(|n| fixed(keys, n)).collect();
            // A column without a key of its own would have nothing to do.
            let enough = |n: &u32| g.tokens / n >= g.head_columns.min(g.tokens);
            let keys: Vec<u32> = if keys.iter().any(enough) { keys.into_iter().filter(enough).collect() } else { keys };
            queries.flat_map(|queries| keys.iter().map(move |&keys| Chunks { queries, keys })).collect()
        };
        let chunks = [
            chunks(constraints.attention_chunks, constraints.key_chunks),
            chunks(constraints.backward_chunks, constraints.backward_key_chunks),
        ];
        let parts = (1..=FFN_PARTS_MAX.min(g.ffn)).filter(|n| fixed(constraints.ffn_parts, n));
        let parts: Vec<u32> = parts.filter(|n| n.is_power_of_two() || constraints.ffn_parts.is_some()).collect();
        let mut lm_chunks: Vec<u32> = (1..=g.tokens / 4).filter(|n| fixed(constraints.lm_chunks, n)).collect();
        lm_chunks.dedup_by_key(|n| g.tokens.div_ceil(*n).next_multiple_of(4));
        let (inside, outside, request) = (Vec::new(), Vec::new(), constraints.checkpoints);
        let (start, codes) = (u64::from(arch.wafer.layer_start.value), Codes::default());
        let mut choices = Choices { layers, waiting, transfer, inside, outside, request, start, codes };
        for gather in GATHERS.into_iter().chain(constraints.gather).filter(|n| fixed(constraints.gather, n)) {
            let most = MemoryStrategy { gather, ..constraints.whole() };
            if choices.best(room(arch)).is_ok_and(|best| best.estimate <= samples.estimate(g, arch, layers, &most)) {
                break;
            }
            let insides = |(&ffn_parts, rematerialise)| {
                lowering.inside(MemoryStrategy { ffn_parts, rematerialise, ..most }, &chunks)
            };
            let outside = |&n: &u32| lowering.outside(MemoryStrategy { lm_chunks: n, ..most });
            let both = parts.iter().flat_map(|n| [(n, false), (n, true)]).collect::<Vec<_>>();
            let (inside, outside) = rayon::join(
                || both.into_par_iter().flat_map_iter(insides).collect::<Vec<_>>(),
                || lm_chunks.par_iter().map(outside).collect::<Vec<_>>(),
            );
            choices.inside.extend(inside);
            choices.outside.extend(outside);
        }
        choices.codes = lowering.codes;
        choices
    }

    /// The cheapest choice that takes at most `room` bytes of buffers and code; or the one that
    /// takes least.
    ///
    /// # Errors
    /// The bytes that are needed at least, and the choice that needs them; None if there is no
    /// choice at all.
    pub(super) fn best(&self, room: u64) -> Result<Choice, Option<(u64, Choice)>> {
        let mut best: Option<Choice> = None;
        let mut least: Option<(u64, Choice)> = None;
        for inside in &self.inside {
            for (checkpoints, kept, cost) in self.checkpoints(inside, room) {
                let kept = self.waiting * u64::from(kept);
                for outside in self.outside.iter().filter(|o| o.gather == inside.strategy.gather) {
                    let strategy = MemoryStrategy { lm_chunks: outside.lm_chunks, checkpoints, ..inside.strategy };
                    let estimate = outside.cycles + u64::from(self.layers) * inside.layer + cost;
                    let (bytes, choice) = (kept + inside.bytes.max(outside.bytes), Choice { strategy, estimate });
                    if bytes <= room && best.is_none_or(|b| estimate < b.estimate) {
                        best = Some(choice);
                    }
                    if least.is_none_or(|(b, l)| (bytes, estimate) < (b, l.estimate)) {
                        least = Some((bytes, choice));
                    }
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
        if matches!(self.request, CheckpointRequest::Auto | CheckpointRequest::Stay) {
            out.push((Checkpoints::Stay, layers, 0));
        }
        let away = |stay: u32, early: bool| {
            let cost = self.transfer[usize::from(early)] * u64::from(layers - stay);
            (Checkpoints::Offload { stay, early }, stay.max(1) + u32::from(early), cost)
        };
        let both = |stay| [away(stay, false), away(stay, true)];
        match self.request {
            CheckpointRequest::Offload => out.extend(both(0)),
            CheckpointRequest::Auto => {
                let fitting = |bytes: u64| {
                    let fit = room.saturating_sub(bytes) / self.waiting.max(1);
                    u32::try_from(fit).unwrap_or(u32::MAX).min(layers - 1)
                };
                let fit = fitting(inside.bytes);
                out.extend([fit, fit * 3 / 4, fit / 2, fit / 4, 0].into_iter().flat_map(both));
                // As many as fit beside a head that takes more than a layer.
                let outside = self.outside.iter().filter(|o| o.gather == inside.strategy.gather);
                let beside: BTreeSet<u32> = outside.map(|o| fitting(o.bytes)).filter(|n| *n < fit).collect();
                out.extend(beside.into_iter().flat_map(both));
                out.extend((fit > 0).then(|| away(fit - 1, true)));
            }
            CheckpointRequest::Stay | CheckpointRequest::Recompute => {}
        }
        if matches!(self.request, CheckpointRequest::Auto | CheckpointRequest::Recompute) {
            for block in 2..=BLOCK_MAX.min(layers.saturating_sub(1)) {
                let blocks = layers.div_ceil(block);
                let again = (blocks - 1) * (block - 1);
                let cost = (inside.forward + self.start) * u64::from(again);
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

/// Attention in some number of chunks.
struct Cut {
    chunks: Chunks,
    /// Bytes that live in the kernel.
    bytes: u64,
    /// Its rough cycles.
    cycles: u64,
}

/// Lowers samples for one geometry.
struct Lowering<'a> {
    samples: &'a Samples,
    g: &'a Geometry,
    arch: &'a ArchSpec,
    /// Bytes of what waits of a layer.
    waiting: u64,
    codes: Codes,
}

impl Lowering<'_> {
    /// The kernels with the bytes that live in them, code included.
    fn alive<'t>(&self, schedule: &'t Schedule) -> Vec<(&'t ScheduledKernel, u64)> {
        let (g, arch) = (self.g, self.arch);
        let launches: Vec<_> = schedule.kernels.iter().map(|t| t.kernel.all_requirements(g, arch)).collect();
        let alive = schedule.kernels.iter().zip(memory::alive(&launches));
        alive.map(|(t, bytes)| (t, bytes + self.codes.of(g, arch, &t.kernel))).collect()
    }

    /// Bytes of a kernel that live as long as it: scratch and code.
    fn own(&self, kernel: &KernelKind) -> u64 {
        self.scratch(kernel) + self.codes.of(self.g, self.arch, kernel)
    }

    fn scratch(&self, kernel: &KernelKind) -> u64 {
        let scratch = kernel.all_requirements(self.g, self.arch).into_iter().filter(|n| n.access == Access::Scratch);
        scratch.map(|n: Requirement| u64::from(n.len) * u64::from(n.dtype.bytes())).sum()
    }

    /// Layers lowered with a memory strategy, and attention in all numbers of chunks, forward and backward:
    /// chunks change nothing but attention's own scratch, code and cycles.
    fn inside(&self, strategy: MemoryStrategy, chunks: &[Vec<Chunks>; 2]) -> Vec<Inside> {
        let (one, two) = (
            lower(&self.samples.one, self.g, self.arch, &strategy),
            lower(&self.samples.two, self.g, self.arch, &strategy),
        );
        let of_layer: Vec<(&ScheduledKernel, u64)> =
            self.alive(&two).into_iter().filter(|(t, _)| t.layer.is_some()).collect();
        let attention = |t: &ScheduledKernel| is_attention(&t.kernel);
        let (cut, rest): (Vec<_>, Vec<_>) = of_layer.into_iter().partition(|(t, _)| attention(t));
        let rest = rest.into_iter().map(|(_, bytes)| bytes).max().unwrap_or(0);
        let (g, arch) = (self.g, self.arch);
        let cycles = |schedule: &Schedule, only: &dyn Fn(&ScheduledKernel) -> bool| -> u64 {
            let kernels = schedule.kernels.iter().filter(|t| only(t) && !attention(t));
            kernels.map(|t| t.kernel.estimate(g, arch)).sum()
        };
        let layer = cycles(&two, &|_| true).saturating_sub(cycles(&one, &|_| true));
        let forward = cycles(&one, &|t| t.layer.is_some() && t.phase == Phase::Forward);
        let [there, back] = [false, true].map(|back| {
            let of = |t: &ScheduledKernel| attention(t) && (t.phase == Phase::Backward) == back;
            let kernels: Vec<&(&ScheduledKernel, u64)> = cut.iter().filter(|(t, _)| of(t)).collect();
            // As often in a layer.
            let count = kernels.len() - one.kernels.iter().filter(|t| of(t)).count();
            (self.cuts(&kernels, &chunks[usize::from(back)]), count as u64)
        });
        let mut all = Vec::new();
        for backward in &back.0 {
            // What the forward pass has free anyway it takes: its fastest cut that is no larger, or, if
            // there is none, its smallest.
            let most = rest.max(backward.bytes);
            let fits = there.0.iter().filter(|c| c.bytes <= most).min_by_key(|c| c.cycles);
            let Some(ahead) = fits.or_else(|| there.0.iter().min_by_key(|c| c.bytes)) else { continue };
            let strategy = MemoryStrategy { attention: ahead.chunks, attention_backward: backward.chunks, ..strategy };
            let bytes = most.max(ahead.bytes).saturating_sub(2 * self.waiting);
            let layer = layer + there.1 * ahead.cycles + back.1 * backward.cycles;
            all.push(Inside { strategy, bytes, layer, forward: forward + ahead.cycles });
        }
        all
    }

    /// Attention kernels of one kind in numbers of chunks: bytes that live in one, and its cycles.
    /// What takes as many bytes as another and more cycles is left out before code is counted.
    fn cuts(&self, all: &[&(&ScheduledKernel, u64)], chunks: &[Chunks]) -> Vec<Cut> {
        let Some((first, _)) = all.first() else { return Vec::new() };
        let mut kernels: Vec<(Chunks, KernelKind, u64, u64)> = Vec::new();
        for &chunks in chunks {
            if let Some(kernel) = in_chunks(&first.kernel, chunks) {
                let (bytes, at_least) = (self.scratch(&kernel), kernel.at_least(self.g, self.arch));
                kernels.push((chunks, kernel, bytes, at_least));
            }
        }
        kernels.sort_by_key(|&(_, _, bytes, at_least)| (bytes, at_least));
        let mut best = u64::MAX;
        kernels.retain_mut(|(_, kernel, _, cycles)| {
            // What cannot be faster is not priced.
            if *cycles >= best {
                return false;
            }
            *cycles = kernel.estimate(self.g, self.arch);
            let faster = *cycles < best;
            best = best.min(*cycles);
            faster
        });
        let mut beside = 0;
        for (scheduled, bytes) in all {
            beside = beside.max(bytes - self.own(&scheduled.kernel));
        }
        let cut = |(chunks, kernel, _, cycles): (Chunks, KernelKind, u64, u64)| Cut {
            chunks,
            bytes: beside + self.own(&kernel),
            cycles,
        };
        kernels.into_iter().map(cut).collect()
    }

    fn outside(&self, strategy: MemoryStrategy) -> Outside {
        let MemoryStrategy { lm_chunks, gather, .. } = strategy;
        let schedule = lower(&self.samples.one, self.g, self.arch, &strategy);
        let own = |t: &&ScheduledKernel| t.layer.is_none();
        let cycles = schedule.kernels.iter().filter(own).map(|t| t.kernel.estimate(self.g, self.arch)).sum();
        let bytes =
            self.alive(&schedule).into_iter().filter(|(t, _)| own(t)).map(|(_, bytes)| bytes).max().unwrap_or(0);
        Outside { lm_chunks, gather, bytes: bytes.saturating_sub(self.waiting), cycles }
    }
}
