//! The design of a model: which operations its layers consist of, apart from their sizes.
//!
//! **Invariant.** Every value describes operations that the layer graph has and that kernels execute;
//! what is not here is refused where a model is read ([`crate::hf`]).
//! **Not here.** Sizes ([`crate::shape`]).

use std::fmt;

use serde::{Deserialize, Serialize};

/// Which operations a model consists of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Design {
    /// What normalises, everywhere in the model.
    pub norm: Norm,
    /// What is added under its root.
    pub epsilon: Decimal,
    /// How attention and feed-forward block are put together.
    pub block: Block,
    /// How a token's position enters.
    pub positions: Positions,
    /// What stands between the products of the feed-forward block.
    pub feed_forward: FeedForward,
    /// Which products have a bias.
    pub biases: Biases,
    /// Heads of keys and values, each shared by equally many heads of queries; `None`: one each.
    pub kv_heads: Option<u32>,
    /// Whether a token sees only itself and the tokens before it.
    pub causal: bool,
    /// Rows of the table of token types; 0 without one.
    pub token_types: u32,
    /// Whether a LayerNorm follows the embedding.
    pub embedding_norm: bool,
    /// What embeddings are multiplied by (maximal update parametrisation).
    pub embedding_scale: Decimal,
    /// What logits are multiplied by.
    pub logit_scale: Decimal,
    /// Whether scores are divided by the features of a head, instead of their root.
    pub scores_by_features: bool,
    /// What stands on top, and what the loss is taken of.
    pub head: Head,
}

/// Normalisation over the features of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Norm {
    /// To mean 0 and variance 1, with gain and bias.
    LayerNorm,
    /// By the root of the mean square, with gain.
    RmsNorm,
}

impl Norm {
    /// Whether the mean is subtracted first.
    #[must_use]
    pub const fn centres(self) -> bool {
        match self {
            Norm::LayerNorm => true,
            Norm::RmsNorm => false,
        }
    }

    /// Whether a bias is added at the end.
    #[must_use]
    pub const fn has_bias(self) -> bool {
        match self {
            Norm::LayerNorm => true,
            Norm::RmsNorm => false,
        }
    }
}

/// A positive number in units of 1e-12, so that designs can be compared and hashed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Decimal(pub u64);

impl Decimal {
    /// 1.
    pub const ONE: Decimal = Decimal(1_000_000_000_000);
    /// 1e-5, what GPT-2 adds under the root of its norms.
    pub const GPT2: Decimal = Decimal(10_000_000);

    /// The nearest number of units; `None` for what is not a number from 1e-12 to 1e6.
    #[must_use]
    pub fn of(value: f64) -> Option<Decimal> {
        let units = (value * 1e12).round();
        ((1.0..=1e18).contains(&units)).then_some(Decimal(units as u64))
    }

    /// The number.
    #[must_use]
    pub fn value(self) -> f64 {
        self.0 as f64 / 1e12
    }
}

/// How the two halves of a layer are put together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Block {
    /// Each half normalises its input and is added to it (GPT-2, LLaMA).
    Pre,
    /// Each half is added to its input, and the sum is normalised (BERT). No norm at the end.
    Post,
    /// Attention and feed-forward block work on one and the same normalised input, and are added to it
    /// (GPT-J).
    ParallelOneNorm,
    /// Attention and feed-forward block work side by side, each behind a norm of its own (GPT-NeoX).
    ParallelTwoNorms,
}

/// How a token's position enters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Positions {
    /// A table of embeddings, added to that of the token.
    Learned,
    /// Rotation of queries and keys.
    Rotary(Rotary),
    /// ALiBi: scores lose a slope, which is the head's own, times the distance of query and key.
    Alibi,
}

/// Rotation of pairs of features of queries and keys: pair `i` at position `p` by the angle
/// `p · base^(−2i / dims)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Rotary {
    /// Features of a head that are rotated, the first ones; even.
    pub dims: u32,
    /// What the angles are powers of.
    pub base: u32,
    /// Which features are a pair.
    pub pairs: Pairs,
}

/// Which of the rotated features are a pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pairs {
    /// `i` and `i + dims / 2`.
    Halves,
    /// `2i` and `2i + 1`.
    Neighbours,
}

impl Rotary {
    /// The two features of pair `i` of a head.
    #[must_use]
    pub fn pair(self, i: u32) -> (u32, u32) {
        match self.pairs {
            Pairs::Halves => (i, i + self.dims / 2),
            Pairs::Neighbours => (2 * i, 2 * i + 1),
        }
    }

    /// Angle of pair `i` per position, in radians.
    #[must_use]
    pub fn frequency(self, i: u32) -> f64 {
        f64::from(self.base).powf(-2.0 * f64::from(i) / f64::from(self.dims))
    }
}

/// What stands between the products of the feed-forward block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FeedForward {
    /// Exact GELU, `x·Φ(x)`.
    Gelu,
    /// GELU by the hyperbolic tangent, `x/2·(1 + tanh(√(2/π)·(x + 0.044715·x³)))`.
    GeluTanh,
    /// `SiLU(gate) · up` of two products, with `SiLU(x) = x / (1 + e^−x)`.
    SwiGlu,
}

/// Which products have a bias.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Biases {
    /// Queries, keys and values.
    pub qkv: bool,
    /// The product after attention.
    pub projection: bool,
    /// Whether products of the feed-forward block have biases.
    pub feed_forward: bool,
}

impl Biases {
    /// Every one of these products has a bias.
    pub const ALL: Biases = Biases { qkv: true, projection: true, feed_forward: true };
    /// None of them.
    pub const NONE: Biases = Biases { qkv: false, projection: false, feed_forward: false };
}

/// What stands on top.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Head {
    /// Logits of the next token by the transposed token embedding.
    Tied,
    /// Logits of the next token by a table of its own.
    Untied {
        /// Whether logits have a bias.
        bias: bool,
    },
    /// Logits of the hidden token: product, exact GELU, LayerNorm, transposed token embedding with
    /// bias. The loss is taken of all tokens.
    MaskedLm,
    /// Logits of the sequence's label: product and tanh of the first token, and a last product.
    Classifier {
        /// Labels to choose from.
        labels: u32,
    },
}

impl Design {
    /// GPT-2, GPT-3 and Cerebras-GPT.
    pub const GPT2: Design = Design {
        norm: Norm::LayerNorm,
        epsilon: Decimal::GPT2,
        block: Block::Pre,
        positions: Positions::Learned,
        feed_forward: FeedForward::Gelu,
        biases: Biases::ALL,
        kv_heads: None,
        causal: true,
        token_types: 0,
        embedding_norm: false,
        embedding_scale: Decimal::ONE,
        logit_scale: Decimal::ONE,
        scores_by_features: false,
        head: Head::Tied,
    };

    /// GPT-J, with 64 rotated features per head.
    pub const GPT_J: Design = Design {
        block: Block::ParallelOneNorm,
        positions: Positions::Rotary(Rotary { dims: 64, base: 10_000, pairs: Pairs::Neighbours }),
        feed_forward: FeedForward::GeluTanh,
        biases: Biases { qkv: false, projection: false, feed_forward: true },
        head: Head::Untied { bias: true },
        ..Design::GPT2
    };

    /// GPT-NeoX, with `dims` rotated features per head.
    #[must_use]
    pub const fn gpt_neox(dims: u32) -> Design {
        Design {
            block: Block::ParallelTwoNorms,
            positions: Positions::Rotary(Rotary { dims, base: 10_000, pairs: Pairs::Halves }),
            head: Head::Untied { bias: false },
            ..Design::GPT2
        }
    }

    /// LLaMA, with `dims` features per head.
    #[must_use]
    pub const fn llama(dims: u32) -> Design {
        Design {
            norm: Norm::RmsNorm,
            epsilon: Decimal(1_000_000),
            positions: Positions::Rotary(Rotary { dims, base: 10_000, pairs: Pairs::Halves }),
            feed_forward: FeedForward::SwiGlu,
            biases: Biases::NONE,
            head: Head::Untied { bias: false },
            ..Design::GPT2
        }
    }

    /// BERT with a classifier of two labels.
    pub const BERT: Design = Design {
        epsilon: Decimal(1),
        block: Block::Post,
        causal: false,
        token_types: 2,
        embedding_norm: true,
        head: Head::Classifier { labels: 2 },
        ..Design::GPT2
    };

    /// BTLM and Jais: GPT-2 with ALiBi and SwiGLU, scaled by maximal update parametrisation.
    #[must_use]
    pub const fn btlm(logit_scale: Decimal) -> Design {
        Design {
            positions: Positions::Alibi,
            feed_forward: FeedForward::SwiGlu,
            embedding_scale: Decimal(14_600_000_000_000),
            logit_scale,
            scores_by_features: true,
            ..Design::GPT2
        }
    }

    /// What scores are multiplied by, with `d_head` features per head.
    #[must_use]
    pub fn score_scale(&self, d_head: u32) -> f64 {
        let d = f64::from(d_head);
        if self.scores_by_features { 1.0 / d } else { 1.0 / d.sqrt() }
    }

    /// The rotation of queries and keys, if there is one.
    #[must_use]
    pub fn rotary(&self) -> Option<Rotary> {
        match self.positions {
            Positions::Rotary(rotary) => Some(rotary),
            Positions::Learned | Positions::Alibi => None,
        }
    }

    /// Whether the token embedding also makes the logits.
    #[must_use]
    pub fn tied(&self) -> bool {
        matches!(self.head, Head::Tied | Head::MaskedLm)
    }

    /// Whether the feed-forward block has two products side by side.
    #[must_use]
    pub fn gated(&self) -> bool {
        self.feed_forward == FeedForward::SwiGlu
    }
}

impl fmt::Display for Design {
    /// One line of words: `pre-LayerNorm, learned positions, GELU, tied head`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let norm = match self.norm {
            Norm::LayerNorm => "LayerNorm",
            Norm::RmsNorm => "RMSNorm",
        };
        match self.block {
            Block::Pre => write!(f, "pre-{norm}")?,
            Block::Post => write!(f, "post-{norm}")?,
            Block::ParallelOneNorm => write!(f, "parallel blocks behind one {norm}")?,
            Block::ParallelTwoNorms => write!(f, "parallel blocks behind a {norm} each")?,
        }
        match self.positions {
            Positions::Learned => write!(f, ", learned positions")?,
            Positions::Alibi => write!(f, ", ALiBi")?,
            Positions::Rotary(r) => write!(f, ", rotary positions on {} features per head", r.dims)?,
        }
        let feed_forward = match self.feed_forward {
            FeedForward::Gelu => "GELU",
            FeedForward::GeluTanh => "GELU by tanh",
            FeedForward::SwiGlu => "SwiGLU",
        };
        write!(f, ", {feed_forward}")?;
        if let Some(heads) = self.kv_heads {
            write!(f, ", {heads} heads of keys and values")?;
        }
        if !self.causal {
            write!(f, ", bidirectional")?;
        }
        let scales = [self.embedding_scale, self.logit_scale] != [Decimal::ONE; 2];
        if scales || self.scores_by_features {
            write!(f, ", maximal update parametrisation")?;
        }
        if self.token_types > 0 {
            write!(f, ", {} token types", self.token_types)?;
        }
        match self.head {
            Head::Tied => write!(f, ", tied head"),
            Head::Untied { bias: true } => write!(f, ", untied head with bias"),
            Head::Untied { bias: false } => write!(f, ", untied head"),
            Head::MaskedLm => write!(f, ", masked-token head"),
            Head::Classifier { labels } => write!(f, ", pooler and classifier of {labels} labels"),
        }
    }
}

/// ALiBi's slope of head `h` of `heads`: powers of `2^(−8 / heads)`; where `heads` is not a power of
/// two, those of the next smaller one, and then every other one of twice that.
#[must_use]
pub fn alibi_slope(h: u32, heads: u32) -> f64 {
    let power = 1 << heads.max(1).ilog2();
    let exponent = if h < power {
        f64::from(h + 1) / f64::from(power)
    } else {
        f64::from(2 * (h - power) + 1) / f64::from(2 * power)
    };
    (-8.0 * exponent).exp2()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slopes_are_those_of_the_paper() {
        let slopes = |heads| (0..heads).map(|h| alibi_slope(h, heads)).collect::<Vec<f64>>();
        assert_eq!(slopes(8), (1..=8).map(|k| (-f64::from(k)).exp2()).collect::<Vec<f64>>());
        let twelve = slopes(12);
        assert_eq!(twelve[..8], slopes(8)[..]);
        assert_eq!(twelve[8..], [0.5, 1.5, 2.5, 3.5].map(|e: f64| (-e).exp2()));
    }

    #[test]
    fn decimals_are_what_was_written() {
        for value in [1e-12, 1e-5, 0.222, 1.0, 14.6] {
            assert_eq!(Decimal::of(value).map(Decimal::value), Some(value));
        }
        assert_eq!([0.0, -1.0, f64::NAN, f64::INFINITY].map(Decimal::of), [None; 4]);
    }
}
