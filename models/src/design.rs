//! The design of a model: which operations its layers consist of, apart from their sizes.
//!
//! Invariant: every value describes operations that the layer graph has and that kernels execute;
//! what is not here is refused where a model is read ([`crate::hf`]).
//! Deliberately not here: sizes ([`crate::shape`]).

use std::fmt;

use serde::{Deserialize, Serialize};

/// Which operations a model consists of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Design {
    /// What normalises, everywhere in the model.
    pub norm: Norm,
    /// What is added under its root.
    pub epsilon: Epsilon,
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

/// A small number in units of 1e-12, so that designs can be compared and hashed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Epsilon(pub u64);

impl Epsilon {
    /// 1e-5, that of GPT-2.
    pub const GPT2: Epsilon = Epsilon(10_000_000);

    /// The nearest number of units; `None` for what is not a number from 1e-12 to 1.
    #[must_use]
    pub fn of(value: f64) -> Option<Epsilon> {
        let units = (value * 1e12).round();
        ((1.0..=1e12).contains(&units)).then_some(Epsilon(units as u64))
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
    /// Both halves work on the same normalised input, and are added to it (GPT-J).
    ParallelOneNorm,
    /// The same, each half with a norm of its own (GPT-NeoX).
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
    /// Those of the feed-forward block.
    pub feed_forward: bool,
}

impl Biases {
    /// All of them.
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
        epsilon: Epsilon::GPT2,
        block: Block::Pre,
        positions: Positions::Learned,
        feed_forward: FeedForward::Gelu,
        biases: Biases::ALL,
        kv_heads: None,
        causal: true,
        token_types: 0,
        embedding_norm: false,
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
            epsilon: Epsilon(1_000_000),
            positions: Positions::Rotary(Rotary { dims, base: 10_000, pairs: Pairs::Halves }),
            feed_forward: FeedForward::SwiGlu,
            biases: Biases::NONE,
            head: Head::Untied { bias: false },
            ..Design::GPT2
        }
    }

    /// BERT with a classifier of two labels.
    pub const BERT: Design = Design {
        epsilon: Epsilon(1),
        block: Block::Post,
        causal: false,
        token_types: 2,
        embedding_norm: true,
        head: Head::Classifier { labels: 2 },
        ..Design::GPT2
    };

    /// The rotation of queries and keys, if there is one.
    #[must_use]
    pub fn rotary(&self) -> Option<Rotary> {
        match self.positions {
            Positions::Rotary(rotary) => Some(rotary),
            Positions::Learned => None,
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
