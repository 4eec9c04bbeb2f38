//! Parameters, bytes and floating-point operations of a model, in closed form.
//!
//! Invariant: every count is an exact integer; nothing here rounds. Shapes that
//! [`GptShape::validate`] accepts never reach the ends of the types; others saturate.
//! Deliberately not here: time, and operations that only a particular mapping adds (recomputation,
//! padding).
//!
//! Letters in formulas: `V` vocab, `P` max_positions, `L` layers, `d` d_model, `f` d_ff, `T` tokens
//! per sequence.

use serde::{Deserialize, Serialize};

use crate::graph::{LayerGraph, LayerOp, OpKind, Phase};
use crate::shape::GptShape;

/// Number format of a stored tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Dtype {
    /// IEEE binary16.
    F16,
    /// bfloat16.
    Bf16,
    /// IEEE binary32.
    F32,
}

impl Dtype {
    /// Bytes per element.
    #[must_use]
    pub fn bytes(self) -> u64 {
        match self {
            Self::F16 | Self::Bf16 => 2,
            Self::F32 => 4,
        }
    }
}

/// How training FLOPs are counted. All three count forward and backward without recomputation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FlopConvention {
    /// Cerebras-GPT (arXiv 2304.03208), appendix F: every operation of the layer, softmax, GELU and
    /// LayerNorm included, no causal saving, no input gradient of the embedding.
    Cerebras,
    /// PaLM (arXiv 2204.02311), appendix B: `6N + 12LdT` with `N` the weights that take part in a
    /// matrix product, `Vd + L(4d² + 2df)`; Megatron-LM's count comes to the same.
    Palm,
    /// `6N` with `N` all parameters (Kaplan, Chinchilla): attention is not counted.
    SixN,
}

impl FlopConvention {
    /// All conventions, in the order of reports.
    pub const ALL: [Self; 3] = [Self::Cerebras, Self::Palm, Self::SixN];

    /// The key used in reports: `cerebras`, `palm`, `six_n`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Cerebras => "cerebras",
            Self::Palm => "palm",
            Self::SixN => "six_n",
        }
    }
}

/// The sizes of a shape, wide enough that no product of four overflows.
struct Wide {
    layers: u128,
    d: u128,
    f: u128,
    vocab: u128,
    positions: u128,
}

impl Wide {
    fn of(shape: &GptShape) -> Self {
        Self {
            layers: shape.layers.into(),
            d: shape.d_model.into(),
            f: shape.d_ff.into(),
            vocab: shape.vocab.into(),
            positions: shape.max_positions.into(),
        }
    }

    /// `Vd + Pd + L(4d² + 2df + 9d + f) + 2d`; with `f = 4d` the layer is `12d² + 13d`.
    fn parameters(&self) -> u128 {
        let (d, f) = (self.d, self.f);
        let layer = 4 * d * d + 2 * d * f + 9 * d + f;
        (self.vocab + self.positions) * d + self.layers * layer + 2 * d
    }

    /// `Vd + L(4d² + 2df)`: the weights of matrix products, the tied output embedding counted once.
    fn matmul_weights(&self) -> u128 {
        let (d, f) = (self.d, self.f);
        self.vocab * d + self.layers * (4 * d * d + 2 * d * f)
    }

    /// Appendix F: per layer and token forward `8d² + 8dT + 4df + 14d + 20f`, three times that for
    /// training, and `10Vd` for the embeddings. With `f = 4d`: `72Ld² + 24LdT + 282Ld + 10Vd`.
    fn cerebras_flops(&self, t: u128) -> u128 {
        let (d, f) = (self.d, self.f);
        let layer = 8 * d * d + 8 * d * t + 4 * d * f + 14 * d + 20 * f;
        3 * self.layers * layer + 10 * self.vocab * d
    }
}

fn narrow(count: u128) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

/// All trainable parameters, the tied embedding counted once and positions included.
#[must_use]
pub fn parameters(shape: &GptShape) -> u64 {
    narrow(Wide::of(shape).parameters())
}

/// Weights that take part in a matrix product: PaLM's and Megatron's `N`.
#[must_use]
pub fn matmul_weights(shape: &GptShape) -> u64 {
    narrow(Wide::of(shape).matmul_weights())
}

/// Bytes of all parameters stored as `dtype`.
#[must_use]
pub fn parameter_bytes(shape: &GptShape, dtype: Dtype) -> u64 {
    parameters(shape).saturating_mul(dtype.bytes())
}

/// Training FLOPs per token (forward and backward) in sequences of `seq_len` tokens.
#[must_use]
pub fn flops_per_token(shape: &GptShape, seq_len: u32, convention: FlopConvention) -> u64 {
    let (wide, t) = (Wide::of(shape), u128::from(seq_len));
    narrow(match convention {
        FlopConvention::Cerebras => wide.cerebras_flops(t),
        FlopConvention::Palm => 6 * wide.matmul_weights() + 12 * wide.layers * wide.d * t,
        FlopConvention::SixN => 6 * wide.parameters(),
    })
}

/// Training FLOPs for `tokens` tokens in sequences of `seq_len`.
#[must_use]
pub fn training_flops(shape: &GptShape, seq_len: u32, tokens: u64, convention: FlopConvention) -> u128 {
    u128::from(flops_per_token(shape, seq_len, convention)) * u128::from(tokens)
}

/// Multiply-accumulates of `op` in matrix products; 0 for operations without any.
///
/// Attention is counted over the whole `T × T` square, as all three conventions do. Summed over a
/// training step and doubled this is exactly [`FlopConvention::Palm`] times the tokens of the step.
#[must_use]
pub fn op_macs(graph: &LayerGraph, op: &LayerOp) -> u128 {
    let shape = graph.shape();
    let t = u128::from(graph.seq_len());
    let tokens = u128::from(graph.batch()) * t;
    match (op.kind, op.phase) {
        (OpKind::AttentionScores | OpKind::AttentionValues, phase) => {
            // Backward makes two products of the forward one's size: d.q and d.k, d.softmax and d.v.
            let products = if phase == Phase::Forward { 1 } else { 2 };
            products * tokens * t * u128::from(shape.d_model)
        }
        (OpKind::Qkv | OpKind::Projection | OpKind::FfnUp | OpKind::FfnDown | OpKind::LmHead, _) => {
            tokens * op.weights[0].shape.elements()
        }
        _ => 0,
    }
}
