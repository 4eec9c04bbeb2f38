//! Parameters, bytes and floating-point operations of a model, in closed form.
//!
//! Published figures are held against these counts. There are three conventions of counting FLOPs
//! ([`FlopConvention`]), which differ by a factor of 1.8 for Cerebras-GPT 111M: a utilisation says little without its
//! convention.
//!
//! **Invariant.** Every count is an exact integer; nothing here rounds. Shapes that
//! [`ModelShape::validate`] accepts never reach the ends of the types; others saturate.
//! **Not here.** Time, and operations that only a particular mapping adds (recomputation,
//! padding).
//!
//! Letters in formulas: `V` vocab, `P` max_positions, `L` layers, `d` d_model, `k` features of keys,
//! `f` d_ff, `T` tokens per sequence.

use super::design::{Block, Decimal, Design, Head, Norm, Positions};
use super::model::ModelShape;
use serde::{Deserialize, Serialize};
use sim_core::program::DType;

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
    /// Features of keys, and of values.
    k: u128,
    f: u128,
    vocab: u128,
    positions: u128,
    labels: u128,
    heads: u128,
    /// Rotated features of queries and keys.
    rotated: u128,
    design: Design,
}

/// 1 for true.
fn count(flag: bool) -> u128 {
    u128::from(flag)
}

impl Wide {
    fn of(shape: &ModelShape) -> Self {
        let heads = u128::from(shape.heads) + u128::from(shape.kv_heads());
        Self {
            layers: shape.layers.into(),
            d: shape.d_model.into(),
            k: u128::from(shape.kv_heads()) * u128::from(shape.d_head()),
            f: shape.d_ff.into(),
            vocab: shape.vocab.into(),
            positions: shape.max_positions.into(),
            labels: shape.classes().into(),
            heads: shape.heads.into(),
            rotated: heads * shape.design.rotary().map_or(0, |rotary| rotary.dims.into()),
            design: shape.design,
        }
    }

    /// Products side by side at the start of the feed-forward block.
    fn ups(&self) -> u128 {
        1 + count(self.design.gated())
    }

    /// Norms of a layer.
    fn norms(&self) -> u128 {
        2 - count(self.design.block == Block::ParallelOneNorm)
    }

    /// Parameters of a norm: gain, and bias if it has one.
    fn norm(&self) -> u128 {
        self.d * (1 + count(self.design.norm.has_bias()))
    }

    /// `2d² + 2dk + (ups + 1)df`: the weights of a layer's matrix products.
    fn layer_weights(&self) -> u128 {
        let (d, k, f) = (self.d, self.k, self.f);
        2 * d * d + 2 * d * k + (self.ups() + 1) * d * f
    }

    /// A layer of GPT-2 has `4d² + 2df + 9d + f`; with `f = 4d` that is `12d² + 13d`.
    fn layer(&self) -> u128 {
        let (d, biases) = (self.d, self.design.biases);
        let qkv = count(biases.qkv) * (d + 2 * self.k);
        let feed_forward = count(biases.feed_forward) * (self.ups() * self.f + d);
        let biases = qkv + count(biases.projection) * d + feed_forward;
        self.layer_weights() + biases + self.norms() * self.norm()
    }

    /// Tables of tokens, positions and token types, and the norm behind them.
    fn embedding(&self) -> u128 {
        let positions = count(self.design.positions == Positions::Learned) * self.positions;
        let rows = self.vocab + positions + u128::from(self.design.token_types);
        rows * self.d + count(self.design.embedding_norm) * self.norm()
    }

    /// Everything behind the layers.
    fn head(&self) -> u128 {
        let (d, norm) = (self.d, self.norm());
        let last = count(self.design.block != Block::Post) * norm;
        last + match self.design.head {
            Head::Tied => 0,
            Head::Untied { bias } => self.vocab * (d + count(bias)),
            Head::MaskedLm => d * d + d + norm + self.vocab,
            Head::Classifier { .. } => d * d + d + self.labels * (d + 1),
        }
    }

    /// GPT-2: `Vd + Pd + L(4d² + 2df + 9d + f) + 2d`.
    fn parameters(&self) -> u128 {
        self.embedding() + self.layers * self.layer() + self.head()
    }

    /// Weights by which every token is multiplied; GPT-2: `Vd + L(4d² + 2df)`, a tied output
    /// embedding counted once.
    fn token_weights(&self) -> u128 {
        let head = match self.design.head {
            Head::Tied | Head::Untied { .. } => self.vocab * self.d,
            Head::MaskedLm => self.d * self.d + self.vocab * self.d,
            Head::Classifier { .. } => 0,
        };
        self.layers * self.layer_weights() + head
    }

    /// Weights by which one token of every sequence is multiplied.
    fn sequence_weights(&self) -> u128 {
        match self.design.head {
            Head::Classifier { .. } => self.d * (self.d + self.labels),
            Head::Tied | Head::Untied { .. } | Head::MaskedLm => 0,
        }
    }

    /// Appendix F: per layer and token forward `8d² + 8dT + 4df + 14d + 20f`, three times that for
    /// training, and `10Vd` for the embeddings. With `f = 4d`: `72Ld² + 24LdT + 282Ld + 10Vd`.
    ///
    /// What the paper's models lack is counted likewise, operation by operation: 4 per feature for
    /// RMSNorm, 21 for SwiGLU, 3 per rotated feature, 2 per score for ALiBi, 1 per scaled number; `4Vd` is the embedding's part of `10Vd`.
    fn cerebras_flops(&self, t: u128) -> u128 {
        let (d, f) = (self.d, self.f);
        let norm = match self.design.norm {
            Norm::LayerNorm => 7 * d,
            Norm::RmsNorm => 4 * d,
        };
        let inner = (20 + count(self.design.gated())) * f;
        let alibi = count(self.design.positions == Positions::Alibi) * 2 * self.heads * t;
        let small = self.norms() * norm + inner + 3 * self.rotated + alibi;
        let layer = 2 * self.layer_weights() + 8 * d * t + small;
        let head = match self.design.head {
            Head::Tied | Head::Untied { .. } => 6 * self.vocab * d,
            Head::MaskedLm => 6 * self.vocab * d + 3 * (2 * d * d + 20 * d + norm),
            Head::Classifier { .. } => 0,
        };
        let scales = [self.design.embedding_scale, self.design.logit_scale];
        let scaled = scales.iter().filter(|scale| **scale != Decimal::ONE).count() as u128 * 2 * d;
        3 * self.layers * layer + head + 4 * self.vocab * d + scaled
    }

    /// Training FLOPs per token, and those per sequence beside them.
    fn flops(&self, t: u128, convention: FlopConvention) -> (u128, u128) {
        let sequence = 6 * self.sequence_weights();
        match convention {
            FlopConvention::Cerebras => (self.cerebras_flops(t), sequence),
            FlopConvention::Palm => (6 * self.token_weights() + 12 * self.layers * self.d * t, sequence),
            FlopConvention::SixN => (6 * self.parameters(), 0),
        }
    }
}

fn narrow(count: u128) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

/// All trainable parameters, a tied embedding counted once and positions included.
#[must_use]
pub fn parameters(shape: &ModelShape) -> u64 {
    narrow(Wide::of(shape).parameters())
}

/// Weights that take part in a matrix product: PaLM's and Megatron's `N`.
#[must_use]
pub fn matmul_weights(shape: &ModelShape) -> u64 {
    let wide = Wide::of(shape);
    narrow(wide.token_weights() + wide.sequence_weights())
}

/// Bytes of all parameters stored as `dtype`.
#[must_use]
pub fn parameter_bytes(shape: &ModelShape, dtype: DType) -> u64 {
    parameters(shape).saturating_mul(dtype.bytes().into())
}

/// Training FLOPs per token (forward and backward) in sequences of `seq_len` tokens. Work that is
/// done once per sequence, that of a classifier, is shared among its tokens and rounded down.
#[must_use]
pub fn flops_per_token(shape: &ModelShape, seq_len: u32, convention: FlopConvention) -> u64 {
    let t = u128::from(seq_len);
    let (token, sequence) = Wide::of(shape).flops(t, convention);
    narrow(token + sequence / t.max(1))
}

/// Training FLOPs for `tokens` tokens in sequences of `seq_len`; exact for whole sequences.
#[must_use]
pub fn training_flops(shape: &ModelShape, seq_len: u32, tokens: u64, convention: FlopConvention) -> u128 {
    let t = u128::from(seq_len);
    let (token, sequence) = Wide::of(shape).flops(t, convention);
    token * u128::from(tokens) + sequence * u128::from(tokens) / t.max(1)
}
