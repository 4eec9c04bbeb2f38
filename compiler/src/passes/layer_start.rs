//! Machines on which a layer takes time to start (`wafer.layer_start`): a delay is put wherever kernels of a layer
//! follow those of another one, since then its weights begin to stream. That is once per layer in the forward pass, and
//! once more in the backward pass.
//!
//! **Not here.** The delay itself (`kernels::layer_start`).

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
