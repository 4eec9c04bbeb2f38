//! The feed-forward layer in parts of its features: up, activation, down and their gradients for
//! one part, then for the next.
//!
//! **Invariant.** A run of kernels is cut only if every kernel that uses one of its buffers can be.
//! **Not here.** What a part of a kernel is ([`crate::kernel::Kernel::part`]).

use super::access::names;
use crate::kernel::{Name, Part};
use crate::layout::{Features, Geometry};
use crate::schedule::ScheduledKernel;
use std::collections::BTreeSet;

/// Cuts every layer's feed-forward kernels, forward as well as backward, into so many parts.
pub(super) fn cut(kernels: &mut Vec<ScheduledKernel>, g: &Geometry, parts: u32) {
    let size = g.ffn.div_ceil(parts);
    let mut rest = std::mem::take(kernels).into_iter().peekable();
    while let Some(scheduled) = rest.next() {
        // A layer's forward kernels, or its recomputed and backward ones.
        let key = |t: &ScheduledKernel| (t.layer, t.phase == crate::ids::Phase::Forward);
        let of = key(&scheduled);
        let mut layer = vec![scheduled];
        while rest.peek().is_some_and(|t| key(t) == of) {
            layer.extend(rest.next());
        }
        kernels.extend(if of.0.is_some() { cut_layer(layer, g, size) } else { layer });
    }
}

fn apart(scheduled: &ScheduledKernel, g: &Geometry) -> bool {
    matches!(scheduled.kernel.part(Features::Ffn, 0, g.ffn), Part::Apart)
}

fn cut_layer(layer: Vec<ScheduledKernel>, g: &Geometry, size: u32) -> Vec<ScheduledKernel> {
    let first = layer.iter().position(|t| !apart(t, g));
    let last = layer.iter().rposition(|t| !apart(t, g));
    let (Some(first), Some(last)) = (first, last) else { return layer };
    let (others, run): (Vec<ScheduledKernel>, Vec<ScheduledKernel>) =
        layer[first..=last].iter().cloned().partition(|t| apart(t, g));
    let written: BTreeSet<Name> = run.iter().flat_map(|t| names(t, g).1).collect();
    let wide = |t: &ScheduledKernel| {
        let (reads, writes) = names(t, g);
        reads.iter().chain(&writes).any(|n| written.contains(n))
    };
    // What lies between goes ahead, if it does not depend on the run.
    if others.iter().any(wide) {
        return layer;
    }
    let mut out = layer[..first].to_vec();
    out.extend(others);
    for start in (0..g.ffn).step_by(size as usize) {
        let slots = size.min(g.ffn - start);
        for scheduled in &run {
            if let Part::Of(kernel) = scheduled.kernel.part(Features::Ffn, start, slots) {
                out.push(ScheduledKernel { kernel, ..scheduled.clone() });
            }
        }
    }
    out.extend_from_slice(&layer[last + 1..]);
    out
}
