//! Layers start: wherever kernels of a layer follow those of another one, its weights begin to
//! stream. Forward that is once per layer, backward once more.

use crate::kernels::layer_start::LayerStart;
use crate::schedule::ScheduledKernel;
use std::sync::Arc;

/// Puts a delay in front of every layer.
pub(crate) fn starts(kernels: Vec<ScheduledKernel>) -> Vec<ScheduledKernel> {
    let mut before = None;
    let mut out = Vec::with_capacity(kernels.len());
    for scheduled in kernels {
        if scheduled.layer.is_some() && scheduled.layer != before {
            out.push(ScheduledKernel { kernel: Arc::new(LayerStart.into()), ..scheduled.clone() });
        }
        before = scheduled.layer;
        out.push(scheduled);
    }
    out
}
