//! One operation of a layer graph: what it computes, in which part of the step, from which parameters.
//!
//! **Invariant.** Kind and phase together name the kernel that executes an operation: `Qkv` backward is the gradient with
//! respect to the input of the QKV product.
//! **Not here.** Which tensors an operation reads: those are the edges of the graph ([`super::LayerGraph`]).

use super::tensor::{Tensor, TensorShape};
use serde::{Deserialize, Serialize};

/// What an operation computes. With [`Phase`] it names the kernel: `Qkv` backward is the gradient
/// with respect to the input of the QKV product.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum OpKind {
    /// Token embedding plus position embedding. Has no input gradient.
    Embedding,
    /// Multiplication by a constant.
    Scale,
    /// LayerNorm over the features of a token, with gain and bias.
    LayerNorm,
    /// RMSNorm over the features of a token, with gain.
    RmsNorm,
    /// One product to queries, keys and values.
    Qkv,
    /// Rotation of pairs of features of queries and keys by their token's position.
    Rotary,
    /// `q·kᵀ / sqrt(d_head)`, in a decoder under the causal mask.
    AttentionScores,
    /// ALiBi: from every score, the head's slope times the distance of query and key.
    Alibi,
    /// Softmax over the keys of each query.
    Softmax,
    /// Probabilities times values, heads side by side again.
    AttentionValues,
    /// Product after attention.
    Projection,
    /// Sum of the skip path and the branch. Backward, two gradients are added where the paths
    /// part: the one through the skip path and the one through the branch.
    Residual,
    /// Product of a gated feed-forward block whose result goes through SiLU. Backward, it is added
    /// to the gradient by way of [`OpKind::FfnUp`].
    FfnGate,
    /// First product of the feed-forward block.
    FfnUp,
    /// Exact GELU, `x·Φ(x)`.
    Gelu,
    /// GELU by the hyperbolic tangent.
    GeluTanh,
    /// `SiLU(gate) · up`.
    SwiGlu,
    /// Last product of the feed-forward block.
    FfnDown,
    /// LayerNorm after the last layer.
    FinalLayerNorm,
    /// RMSNorm after the last layer.
    FinalRmsNorm,
    /// Product in front of the logits of a masked-token model.
    HeadDense,
    /// Product with the first token of every sequence.
    Pooler,
    /// Hyperbolic tangent.
    Tanh,
    /// Product to the labels of a sequence.
    Classifier,
    /// Product with the transposed token embedding, or with a table of its own.
    LmHead,
    /// Mean cross-entropy over all tokens of the batch, or over its sequences.
    CrossEntropy,
}

impl OpKind {
    /// Whether it is a product of every token with a matrix of parameters.
    #[must_use]
    pub fn is_product(self) -> bool {
        use OpKind::{FfnDown, FfnGate, FfnUp, HeadDense, LmHead, Projection, Qkv};
        matches!(self, Qkv | Projection | FfnGate | FfnUp | FfnDown | HeadDense | LmHead)
    }

    /// Whether it normalises the features of a token.
    #[must_use]
    pub fn is_norm(self) -> bool {
        matches!(self, Self::LayerNorm | Self::RmsNorm | Self::FinalLayerNorm | Self::FinalRmsNorm)
    }
}

/// Which part of the step an operation belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// From the inputs to the loss.
    Forward,
    /// Gradients with respect to activations.
    Backward,
    /// Gradients with respect to parameters.
    WeightGradient,
}

impl Phase {
    /// The word used in listings and reports.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Forward => "forward",
            Self::Backward => "backward",
            Self::WeightGradient => "weight_gradient",
        }
    }
}

/// One operation of the step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LayerOp {
    /// Unique name: `h.0.qkv`, `h.0.qkv.backward`, `h.0.qkv.weight_gradient`.
    pub name: String,
    /// What it computes.
    pub kind: OpKind,
    /// Which part of the step it belongs to.
    pub phase: Phase,
    /// The decoder layer, counted from 0; `None` before the first and after the last.
    pub layer: Option<u32>,
    /// What it makes, each with a name that is unique in the graph. Most make one tensor; QKV makes
    /// `q`, `k` and `v`, a weight gradient one per parameter.
    pub outputs: Vec<Tensor>,
    /// The parameters it reads; for a weight gradient, those whose gradient it makes. Of a product,
    /// the matrix comes first.
    pub weights: Vec<Tensor>,
}

impl LayerOp {
    /// Shape of the first output, the only one of most operations.
    #[must_use]
    pub fn out(&self) -> &TensorShape {
        &self.outputs[0].shape
    }
}
