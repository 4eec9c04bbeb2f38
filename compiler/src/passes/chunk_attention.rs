//! Attention with the tokens of a PE in chunks, so that a PE gathers fewer features and has fewer scores at a time.
//!
//! **Invariant.** Chunks change attention's own scratch, code and cycles, and nothing else.
//! **Not here.** How many chunks (`search`).

use crate::kernels::{Class, KernelKind};
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

/// A kernel in chunks, if it is attention.
pub(crate) fn in_chunks(kernel: &KernelKind, chunks: Chunks) -> Option<KernelKind> {
    match kernel.class() {
        Class::Attention(attention) => Some(attention.in_chunks(chunks).into()),
        Class::AttentionGradient(attention) => Some(attention.in_chunks(chunks).into()),
        Class::Product(_)
        | Class::OutputStationary(_)
        | Class::WeightGradient(_)
        | Class::ColumnSum(_)
        | Class::RowSum(_)
        | Class::ElementFunction(_)
        | Class::Fixed => None,
    }
}

/// Whether a kernel is attention.
pub(crate) fn is_attention(kernel: &KernelKind) -> bool {
    matches!(kernel.class(), Class::Attention(_) | Class::AttentionGradient(_))
}
