//! Queries, keys and values computed a second time in a layer's backward pass.
//!
//! The backward pass of a layer first recomputes the layer, and then goes back through the feed-forward block before it
//! comes to attention. What attention needs would wait in memory all that time. Computed again right before attention's
//! backward kernel, it takes none meanwhile.
//!
//! **Not here.** The first recomputation, from the layer's input (`schedule`).

use super::access::buffers;
use super::chunk_attention::is_attention;
use super::split_ffn::apart;
use crate::ids::{BufferId, Phase};
use crate::layout::Geometry;
use crate::schedule::ScheduledKernel;
use std::collections::BTreeSet;

/// Repeats the recomputed kernels of every layer whose results wait for the end of the
/// feed-forward layer's backward pass, right before they are used.
pub(super) fn repeat_projections(kernels: &mut Vec<ScheduledKernel>, g: &Geometry) {
    let mut rest = std::mem::take(kernels).into_iter().peekable();
    while let Some(scheduled) = rest.next() {
        let key = |t: &ScheduledKernel| (t.layer, t.phase == Phase::Forward);
        let of = key(&scheduled);
        let mut layer = vec![scheduled];
        while rest.peek().is_some_and(|t| key(t) == of) {
            layer.extend(rest.next());
        }
        kernels.extend(if of.0.is_some() && !of.1 { repeat_layer(layer, g) } else { layer });
    }
}

fn repeat_layer(layer: Vec<ScheduledKernel>, g: &Geometry) -> Vec<ScheduledKernel> {
    let wide = |t: &ScheduledKernel| !apart(t, g);
    let Some(end) = layer.iter().rposition(wide).map(|i| i + 1) else { return layer };
    let begin = layer.iter().position(|t| t.phase != Phase::Recompute).unwrap_or(end).min(end);
    let used = |range: &[ScheduledKernel]| -> BTreeSet<BufferId> {
        range.iter().flat_map(|t| buffers(&t.kernel, g).0).collect()
    };
    let (busy, later) = (used(&layer[begin..end]), used(&layer[end..]));
    // Recomputed kernels all of whose results wait, and that start from what is there.
    let mut gone: BTreeSet<BufferId> = BTreeSet::new();
    let mut again: Vec<ScheduledKernel> = Vec::new();
    for scheduled in &layer[..begin] {
        let (reads, writes) = buffers(&scheduled.kernel, g);
        let waits = |n: &BufferId| later.contains(n) && !busy.contains(n);
        let there = |n: &BufferId| gone.contains(n) || !written(&layer[..begin], g).contains(n);
        let attention = is_attention(&scheduled.kernel);
        if !attention && writes.iter().all(waits) && reads.iter().all(there) {
            gone.extend(writes);
            again.push(scheduled.clone());
        }
    }
    // Attention is not computed again: its result and its statistics wait.
    let Some(at) = layer[end..].iter().position(|t| buffers(&t.kernel, g).0.iter().any(|n| gone.contains(n))) else {
        return layer;
    };
    assert!(!again.is_empty(), "what is used late and has gone is computed again");
    let mut out = layer[..end + at].to_vec();
    out.extend(again);
    out.extend_from_slice(&layer[end + at..]);
    out
}

fn written(kernels: &[ScheduledKernel], g: &Geometry) -> BTreeSet<BufferId> {
    kernels.iter().flat_map(|t| buffers(&t.kernel, g).1).collect()
}
