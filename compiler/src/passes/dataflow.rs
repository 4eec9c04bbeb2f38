//! Matrix products in their fastest form: with stationary inputs and several sums on their way at the same time, or with
//! stationary outputs.
//!
//! **Not here.** The forms (`kernels::gemm`).

use crate::kernels::KernelKind;
use crate::kernels::gemm::Tuned;
use crate::layout::Geometry;
use crate::options::Stationary;
use crate::schedule::ScheduledKernel;
use sim_core::arch::ArchSpec;
use std::sync::Arc;

/// Gives every product the form that is fastest, or that which is fixed.
pub(super) fn tune(kernels: &mut [ScheduledKernel], g: &Geometry, arch: &ArchSpec, fixed: Option<Stationary>) {
    for scheduled in kernels {
        if let Some(kernel) = tuned(&scheduled.kernel, g, arch, fixed) {
            scheduled.kernel = Arc::new(kernel);
        }
    }
}

fn tuned(kernel: &KernelKind, g: &Geometry, arch: &ArchSpec, fixed: Option<Stationary>) -> Option<KernelKind> {
    match kernel {
        KernelKind::Gemm(gemm) => Some(match gemm.tuned(g, arch, fixed) {
            Tuned::Inputs(gemm) => gemm.into(),
            Tuned::Outputs(product) => product.into(),
        }),
        KernelKind::Activation(_)
        | KernelKind::ActivationGrad(_)
        | KernelKind::SwiGlu(_)
        | KernelKind::SwiGluGrad(_)
        | KernelKind::Distances(_)
        | KernelKind::AttentionForward(_)
        | KernelKind::AttentionBackward(_)
        | KernelKind::StandaloneTransfer(_)
        | KernelKind::ColSum(_)
        | KernelKind::Add(_)
        | KernelKind::Copy(_)
        | KernelKind::Fill(_)
        | KernelKind::Scale(_)
        | KernelKind::EmbedScatter(_)
        | KernelKind::EmbedGrad(_)
        | KernelKind::OutputStationary(_)
        | KernelKind::LayerStart(_)
        | KernelKind::CrossEntropy(_)
        | KernelKind::LayerNorm(_)
        | KernelKind::LayerNormGrad(_)
        | KernelKind::Outer(_)
        | KernelKind::Rotate(_)
        | KernelKind::RowSum(_) => None,
    }
}

/// By how many cycles a product with stationary outputs is faster than with stationary inputs, by estimate; None for
/// all other kernels.
pub(crate) fn saved(kernel: &KernelKind, g: &Geometry, arch: &ArchSpec) -> Option<u64> {
    match kernel {
        KernelKind::OutputStationary(product) => Some(product.saved(g, arch)),
        KernelKind::Activation(_)
        | KernelKind::ActivationGrad(_)
        | KernelKind::SwiGlu(_)
        | KernelKind::SwiGluGrad(_)
        | KernelKind::Distances(_)
        | KernelKind::AttentionForward(_)
        | KernelKind::AttentionBackward(_)
        | KernelKind::StandaloneTransfer(_)
        | KernelKind::ColSum(_)
        | KernelKind::Add(_)
        | KernelKind::Copy(_)
        | KernelKind::Fill(_)
        | KernelKind::Scale(_)
        | KernelKind::EmbedScatter(_)
        | KernelKind::EmbedGrad(_)
        | KernelKind::Gemm(_)
        | KernelKind::LayerStart(_)
        | KernelKind::CrossEntropy(_)
        | KernelKind::LayerNorm(_)
        | KernelKind::LayerNormGrad(_)
        | KernelKind::Outer(_)
        | KernelKind::Rotate(_)
        | KernelKind::RowSum(_) => None,
    }
}
