//! The feed-forward block in parts of its features: all its kernels for one part, then all for the next.
//!
//! The block is wider than the rest of the model, so its activations are often the largest buffers of a layer. Cut into
//! parts, only those of one part live at a time; the last product adds the parts up.
//!
//! **Invariant.** A run of kernels is cut only if every kernel that uses one of its buffers can be.
//! **Not here.** What is left of a kernel in a part, which every kernel says itself ([`Part`]).

use super::access::buffers;
use crate::ids::{BufferId, Phase};
use crate::kernel::Part;
use crate::kernels::{ByFeatures, Class, KernelKind};
use crate::layout::{Features, Geometry};
use crate::schedule::ScheduledKernel;
use std::collections::BTreeSet;
use std::sync::Arc;

/// Cuts every layer's feed-forward kernels, forward as well as backward, into so many parts.
pub(super) fn cut(kernels: &mut Vec<ScheduledKernel>, g: &Geometry, parts: u32) {
    let size = g.ffn.div_ceil(parts);
    let mut rest = std::mem::take(kernels).into_iter().peekable();
    while let Some(scheduled) = rest.next() {
        // A layer's forward kernels, or its recomputed and backward ones.
        let key = |t: &ScheduledKernel| (t.layer, t.phase == Phase::Forward);
        let of = key(&scheduled);
        let mut layer = vec![scheduled];
        while rest.peek().is_some_and(|t| key(t) == of) {
            layer.extend(rest.next());
        }
        kernels.extend(if of.0.is_some() { cut_layer(layer, g, size) } else { layer });
    }
}

pub(super) fn apart(scheduled: &ScheduledKernel, g: &Geometry) -> bool {
    matches!(part(&scheduled.kernel, 0, g.ffn), Part::Apart)
}

fn cut_layer(layer: Vec<ScheduledKernel>, g: &Geometry, size: u32) -> Vec<ScheduledKernel> {
    let first = layer.iter().position(|t| !apart(t, g));
    let last = layer.iter().rposition(|t| !apart(t, g));
    let (Some(first), Some(last)) = (first, last) else { return layer };
    let (others, run): (Vec<ScheduledKernel>, Vec<ScheduledKernel>) =
        layer[first..=last].iter().cloned().partition(|t| apart(t, g));
    let written: BTreeSet<BufferId> = run.iter().flat_map(|t| buffers(&t.kernel, g).1).collect();
    let wide = |t: &ScheduledKernel| {
        let (reads, writes) = buffers(&t.kernel, g);
        reads.iter().chain(&writes).any(|n| written.contains(n))
    };
    // What lies between goes ahead, if it does not depend on the run.
    if others.iter().any(wide) {
        return layer;
    }
    assert!(size > 0, "a part has features");
    let mut out = layer[..first].to_vec();
    out.extend(others);
    for start in (0..g.ffn).step_by(size as usize) {
        let slots = size.min(g.ffn - start);
        for scheduled in &run {
            if let Part::Of(kernel) = part(&scheduled.kernel, start, slots) {
                out.push(ScheduledKernel { kernel: Arc::new(kernel), ..scheduled.clone() });
            }
        }
    }
    out.extend_from_slice(&layer[last + 1..]);
    out
}

/// What is left of a kernel if feed-forward buffers hold only `slots` slots, from `first` on.
fn part(kernel: &KernelKind, first: u32, slots: u32) -> Part<KernelKind> {
    let features = Features::Ffn;
    match kernel.class() {
        Class::Product(kernel) => kernel.kind_of_part(features, first, slots),
        Class::WeightGradient(kernel) => kernel.kind_of_part(features, first, slots),
        Class::ColumnSum(kernel) => kernel.kind_of_part(features, first, slots),
        Class::ElementFunction(kernel) => kernel.kind_of_part(features, first, slots),
        // Products are tuned only once they are cut; the others work on hidden features, or on none.
        Class::OutputStationary(_)
        | Class::Attention(_)
        | Class::AttentionGradient(_)
        | Class::RowSum(_)
        | Class::Fixed => Part::Apart,
    }
}
