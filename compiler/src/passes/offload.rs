//! What becomes of layer inputs between the forward and the backward pass: they leave the wafer and come back, or only
//! some are kept and the others are computed again.
//!
//! The input of every layer is a checkpoint: its backward pass starts by computing the layer's activations from it. In a
//! deep model the checkpoints of all layers do not fit into memory at the same time.
//!
//! **Not here.** How a checkpoint crosses the edge (`kernels::checkpoint_transfer`, `kernels::gemm`'s `piggyback`).

use super::access::access;
use super::chunk_attention::is_attention;
use crate::ids::Phase;
use crate::kernel::{Access, ActivationView, CheckpointTransfer, Requirement, Way};
use crate::kernels::checkpoint_transfer::StandaloneTransfer;
use crate::kernels::{Class, KernelKind};
use crate::layout::Geometry;
use crate::schedule::ScheduledKernel;
use sim_core::arch::ArchSpec;
use sim_core::coord::Span;
use std::collections::BTreeSet;
use std::sync::Arc;

/// A buffer that waits from the forward to the backward pass.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Waiting {
    requirement: Requirement,
    /// Its last use before, and its first use after.
    last: usize,
    next: usize,
}

/// The first kernel of a layer's backward pass, if there is one.
fn turning_point(kernels: &[ScheduledKernel]) -> usize {
    kernels.iter().position(|t| t.layer.is_some() && t.phase != Phase::Forward).unwrap_or(kernels.len())
}

/// The waiting buffers in the order in which they are made.
pub(super) fn waiting(kernels: &[ScheduledKernel], g: &Geometry) -> Vec<Waiting> {
    let turn = turning_point(kernels);
    let mut seen = BTreeSet::new();
    let mut out = Vec::new();
    for scheduled in kernels[..turn].iter().filter(|t| t.layer.is_some()) {
        for requirement in scheduled.kernel.requirements(g).into_iter().filter(|n| n.access != Access::Scratch) {
            if !seen.insert(requirement.buffer) {
                continue;
            }
            let uses = |t: &ScheduledKernel| access(&t.kernel, g, requirement.buffer) != (false, false);
            let forward = |t: &ScheduledKernel| t.phase == Phase::Forward && t.layer.is_some();
            let last = kernels[..turn].iter().rposition(|t| forward(t) && uses(t));
            let head = last.map(|l| l + 1..turn).is_some_and(|r| kernels[r].iter().any(uses));
            let next = kernels[turn..].iter().position(uses).map(|i| i + turn);
            if let (Some(last), Some(next), false) = (last, next, head)
                && access(&kernels[next].kernel, g, requirement.buffer).0
            {
                out.push(Waiting { requirement, last, next });
            }
        }
    }
    out.sort_by_key(|w| std::cmp::Reverse(w.next));
    out
}

/// Brings all waiting buffers off the wafer and back, but for the last `stay`: beside matrix products
/// as far as these have time for it, and for the rest in kernels of their own.
pub(super) fn offload(kernels: &mut Vec<ScheduledKernel>, g: &Geometry, arch: &ArchSpec, (stay, early): (u32, bool)) {
    let mut waiting = waiting(kernels, g);
    waiting.truncate(waiting.len().saturating_sub(stay as usize));
    let mut alone: Vec<(usize, ScheduledKernel)> = Vec::new();
    for w in &waiting {
        let act = whole(&w.requirement, g);
        let transfer = |rows, way| -> Arc<KernelKind> {
            Arc::new(StandaloneTransfer(CheckpointTransfer { act: act.clone(), rows, way }).into())
        };
        let layers = [w.last, w.next].map(|i| kernels[i].layer);
        let places = leaving(kernels, g, w);
        let (rest, end) = carry(kernels, g, arch, &act, Way::Out, &places);
        if let Some(rows) = rest {
            let kernel = transfer(rows, Way::Out);
            alone.push((end.max(w.last) + 1, ScheduledKernel { kernel, phase: Phase::Forward, layer: layers[0] }));
        }
        let places = returning(kernels, w, early);
        let (rest, end) = carry(kernels, g, arch, &act, Way::In { begins: true }, &places);
        if let Some(rows) = rest {
            let kernel = transfer(rows, Way::In { begins: end == 0 });
            alone.push((w.next, ScheduledKernel { kernel, phase: Phase::Recompute, layer: layers[1] }));
        }
    }
    // Of those at one place, the ones that leave come first: they make room.
    alone.sort_by_key(|(place, scheduled)| (*place, scheduled.phase));
    let all = kernels.len() + alone.len();
    let mut alone = alone.into_iter().peekable();
    let mut out = Vec::with_capacity(all);
    for (i, scheduled) in std::mem::take(kernels).into_iter().enumerate() {
        while let Some((_, transfer)) = alone.next_if(|(place, _)| *place == i) {
            out.push(transfer);
        }
        out.push(scheduled);
    }
    assert_eq!(out.len(), all, "every transfer has found its place among the kernels");
    *kernels = out;
}

/// The whole buffer.
fn whole(requirement: &Requirement, g: &Geometry) -> ActivationView {
    assert!(requirement.len.is_multiple_of(g.tokens), "`{}` is an activation of all tokens", requirement.buffer);
    let act = ActivationView::whole(g, requirement.buffer, crate::layout::Features::Hidden);
    ActivationView {
        dtype: requirement.dtype,
        all_slots: requirement.len / g.tokens,
        slots: requirement.len / g.tokens,
        ..act
    }
}

/// Where a buffer may leave: from behind the kernel that makes it on, as long as its layer lasts and
/// nothing else is made in its place.
fn leaving(kernels: &[ScheduledKernel], g: &Geometry, w: &Waiting) -> Vec<usize> {
    let writes = |t: &ScheduledKernel| access(&t.kernel, g, w.requirement.buffer).1;
    let made = kernels[..=w.last].iter().rposition(writes).map_or(0, |i| i + 1);
    let layer = kernels[w.last].layer;
    let stays = |t: &&ScheduledKernel| t.phase == Phase::Forward && !writes(t) && (t.layer == layer);
    let begin = made + kernels[made..].iter().take_while(|t| t.layer != layer).count();
    (begin..begin + kernels[begin..].iter().take_while(stays).count()).collect()
}

/// Where it may come back, the last place first: in the layer that is worked on before, behind its
/// attention, in which memory is short, or `early`.
fn returning(kernels: &[ScheduledKernel], w: &Waiting, early: bool) -> Vec<usize> {
    let attention = |t: &ScheduledKernel| !early && is_attention(&t.kernel);
    let layer = kernels[w.next].layer.map(|layer| layer + 1);
    let before = |t: &&ScheduledKernel| t.phase != Phase::Forward && t.layer == layer && !attention(t);
    (w.next - kernels[..w.next].iter().rev().take_while(before).count()..w.next).rev().collect()
}

/// Lets products at the given places carry a buffer. Gives the rows that are left, and the last place
/// that carries some, or 0.
fn carry(
    kernels: &mut [ScheduledKernel],
    g: &Geometry,
    arch: &ArchSpec,
    act: &ActivationView,
    way: Way,
    places: &[usize],
) -> (Option<Span>, usize) {
    let mut rows = Span::run(0, g.used_rows());
    let mut carriers: Vec<(usize, Span)> = Vec::new();
    for &place in places {
        let transfer = CheckpointTransfer { act: act.clone(), rows, way };
        if let Some((_, done)) = carrying(&kernels[place].kernel, g, arch, &transfer) {
            carriers.push((place, Span { count: done, ..rows }));
            rows = Span::run(rows.start + done, rows.count - done);
        }
        if rows.count == 0 {
            break;
        }
    }
    let first = carriers.iter().map(|c| c.0).min();
    let carried: u32 = carriers.iter().map(|(_, rows)| rows.count).sum();
    assert_eq!(carried + rows.count, g.used_rows(), "every row of a checkpoint is carried once, or is left");
    for &(place, rows) in &carriers {
        let way = if way == Way::Out { way } else { Way::In { begins: Some(place) == first } };
        let transfer = CheckpointTransfer { act: act.clone(), rows, way };
        if let Some((kernel, _)) = carrying(&kernels[place].kernel, g, arch, &transfer) {
            kernels[place].kernel = Arc::new(kernel);
        }
    }
    ((rows.count > 0).then_some(rows), carriers.iter().map(|c| c.0).max().unwrap_or(0))
}

/// A kernel while it carries rows of a buffer besides, and how many; None if it cannot, or if that is not worth it.
fn carrying(
    kernel: &KernelKind,
    g: &Geometry,
    arch: &ArchSpec,
    transfer: &CheckpointTransfer,
) -> Option<(KernelKind, u32)> {
    let (kernel, rows) = match kernel.class() {
        Class::Product(product) => product.carrying(g, arch, transfer)?,
        Class::OutputStationary(product) => product.carrying(g, arch, transfer)?,
        Class::Attention(_)
        | Class::AttentionGradient(_)
        | Class::WeightGradient(_)
        | Class::ColumnSum(_)
        | Class::RowSum(_)
        | Class::ElementFunction(_)
        | Class::Fixed => return None,
    };
    Some((kernel.into(), rows))
}

/// Keeps the inputs of every `block`-th layer only, and computes those of the others again before
/// the block's backward pass.
pub(super) fn recompute(kernels: &mut Vec<ScheduledKernel>, block: u32) {
    let forward = |t: &&ScheduledKernel| t.phase == Phase::Forward && t.layer.is_some();
    let by_layer: Vec<ScheduledKernel> = kernels.iter().filter(forward).cloned().collect();
    let layers = by_layer.iter().filter_map(|t| t.layer).max().map_or(0, |l| l + 1);
    assert!(block > 1, "of every layer's input nothing is computed again");
    let turn = turning_point(kernels);
    let mut out = Vec::new();
    let mut begun = BTreeSet::new();
    for (i, scheduled) in std::mem::take(kernels).into_iter().enumerate() {
        if let Some(layer) = scheduled.layer.filter(|_| i >= turn) {
            let first = layer / block * block;
            // The last block's inputs are still there.
            if begun.insert(first) && first + block < layers {
                let again = by_layer.iter().filter(|t| t.layer.is_some_and(|l| (first..layer).contains(&l)));
                out.extend(again.map(|t| ScheduledKernel { phase: Phase::Recompute, ..t.clone() }));
            }
        }
        out.push(scheduled);
    }
    *kernels = out;
}

/// Bytes of what waits, per PE.
pub(super) fn waiting_bytes(kernels: &[ScheduledKernel], g: &Geometry) -> Vec<u64> {
    let bytes = |w: &Waiting| u64::from(w.requirement.len) * u64::from(w.requirement.dtype.bytes());
    waiting(kernels, g).iter().map(bytes).collect()
}
