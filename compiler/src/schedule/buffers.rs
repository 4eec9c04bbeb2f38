//! Which buffers the tensors of a layer graph are in.
//!
//! **Invariant.** Tensors of one buffer are never needed at the same time. All gradients of the residual stream are in
//! [`BufferId::StreamGradient`].
//! **Not here.** Operations (`operations`), kernels.

use crate::ids::BufferId;
use crate::layout::Features;
use models::LayerGraph;
use models::design::{Block, Decimal, Design};
use models::graph::Activation;

/// An activation of a layer, or of what is below or above all layers.
pub(super) type At = (Activation, Option<u32>);

/// What decides in which buffers the tensors of a model are.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tensors {
    pub(super) design: Design,
    pub(super) layers: u32,
}

impl Tensors {
    pub(super) fn of(graph: &LayerGraph) -> Tensors {
        Tensors { design: graph.shape().design, layers: graph.shape().layers }
    }

    /// What the operation that makes an activation multiplies by.
    pub(super) fn factor(&self, makes: Activation) -> Decimal {
        if makes == Activation::EmbeddingScaled { self.design.embedding_scale } else { self.design.logit_scale }
    }

    /// The buffer behind the last layer.
    pub(super) fn top(&self) -> BufferId {
        BufferId::Residual(self.layers)
    }

    /// The buffer of an activation.
    pub(super) fn buffer(&self, (of, layer): At) -> BufferId {
        use Activation as A;
        let last = if self.design.block == Block::Post { A::Norm2 } else { A::Residual2 };
        match of {
            A::EmbeddingNorm => BufferId::Residual(0),
            // Multiplied where it is.
            A::Embedding | A::EmbeddingScaled if !self.design.embedding_norm => BufferId::Residual(0),
            A::Queries | A::Keys | A::Values | A::QueriesRotated | A::KeysRotated => BufferId::Qkv,
            of if of == last => BufferId::Residual(layer.map_or(0, |l| l + 1)),
            of => BufferId::Activation(of),
        }
    }

    /// The buffer of the gradient with respect to an activation.
    pub(super) fn gradient(&self, of: At) -> BufferId {
        use Activation as A;
        match self.buffer(of) {
            BufferId::Residual(_) => BufferId::StreamGradient,
            BufferId::Qkv => BufferId::Qkv,
            BufferId::Activation(own) => match own {
                A::Norm1 if self.design.block == Block::Post => BufferId::StreamGradient,
                A::Embedding | A::EmbeddingScaled | A::Residual1 | A::Residual2 | A::FfnDown | A::Projection => {
                    BufferId::StreamGradient
                }
                A::Gelu | A::SwiGlu | A::FfnUp => BufferId::FfnGradient,
                A::HeadGelu | A::HeadDense => BufferId::HeadGradient,
                A::Pooler | A::Pooled => BufferId::PooledGradient,
                A::EmbeddingNorm
                | A::Norm1
                | A::Queries
                | A::Keys
                | A::Values
                | A::QueriesRotated
                | A::KeysRotated
                | A::Scores
                | A::ScoresByDistance
                | A::Softmax
                | A::Attention
                | A::Norm2
                | A::FfnGate
                | A::FinalNorm
                | A::FinalNormScaled
                | A::HeadNorm
                | A::Logits
                | A::Loss => BufferId::Gradient(own),
            },
            other => unreachable!("no activation is in `{other}`"),
        }
    }
}

/// How an activation is spread over the columns.
pub(super) fn features(of: Activation) -> Features {
    use Activation as A;
    match of {
        A::FfnUp | A::FfnGate | A::Gelu | A::SwiGlu => Features::Ffn,
        A::Queries | A::Keys | A::Values | A::QueriesRotated | A::KeysRotated => Features::Qkv,
        A::Logits => Features::Vocab,
        A::Embedding
        | A::EmbeddingScaled
        | A::EmbeddingNorm
        | A::Norm1
        | A::Scores
        | A::ScoresByDistance
        | A::Softmax
        | A::Attention
        | A::Projection
        | A::Residual1
        | A::Norm2
        | A::FfnDown
        | A::Residual2
        | A::FinalNorm
        | A::FinalNormScaled
        | A::HeadDense
        | A::HeadGelu
        | A::HeadNorm
        | A::Pooler
        | A::Pooled
        | A::Loss => Features::Hidden,
    }
}
