//! Attention with the tokens of a PE in chunks, so that a PE gathers fewer features and has fewer scores at a time.
//!
//! **Invariant.** Chunks change attention's own scratch, code and cycles, and nothing else.
//! **Not here.** How many chunks (`search`).

use crate::kernels::KernelKind;
use crate::options::{Chunks, MemoryStrategy};
use crate::schedule::ScheduledKernel;
use std::sync::Arc;

/// Cuts every attention kernel as the strategy says.
pub(super) fn cut(kernels: &mut [ScheduledKernel], strategy: &MemoryStrategy) {
    for scheduled in kernels {
        if let Some(kernel) = in_chunks(&scheduled.kernel, strategy.chunks(scheduled.phase)) {
            scheduled.kernel = Arc::new(kernel);
        }
    }
}

/// The same kernel in chunks, if it is attention.
pub(crate) fn in_chunks(kernel: &KernelKind, chunks: Chunks) -> Option<KernelKind> {
    match kernel {
        KernelKind::AttentionForward(attention) => Some(attention.in_chunks(chunks).into()),
        KernelKind::AttentionBackward(attention) => Some(attention.in_chunks(chunks).into()),
        KernelKind::Activation(_)
        | KernelKind::ActivationGrad(_)
        | KernelKind::SwiGlu(_)
        | KernelKind::SwiGluGrad(_)
        | KernelKind::Distances(_)
        | KernelKind::StandaloneTransfer(_)
        | KernelKind::ColSum(_)
        | KernelKind::Add(_)
        | KernelKind::Copy(_)
        | KernelKind::Fill(_)
        | KernelKind::Scale(_)
        | KernelKind::EmbedScatter(_)
        | KernelKind::EmbedGrad(_)
        | KernelKind::Gemm(_)
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

/// Whether a kernel is attention.
pub(crate) fn is_attention(kernel: &KernelKind) -> bool {
    matches!(kernel, KernelKind::AttentionForward(_) | KernelKind::AttentionBackward(_))
}
