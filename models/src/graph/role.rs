//! What a tensor of the layer graph is: which activation of which layer, or which parameter of which module.
//!
//! Names are for people and for checkpoints; whoever has to decide something by what a tensor is asks its role.
//! **Invariant.** A name follows from the role ([`Activation::named`], [`Parameter`]'s `Display`), never the other way
//! round.
//! **Not here.** Shapes (`tensor`).

use serde::{Deserialize, Serialize};
use std::fmt;

/// An activation that a forward operation makes, whatever the layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Activation {
    /// Sum of the embeddings of a token, `embed`.
    Embedding,
    /// The embedding's sum times the model's constant, `embed_scaled`.
    EmbeddingScaled,
    /// The embedding's sum after its norm, `embed_ln`.
    EmbeddingNorm,
    /// Result of a layer's first norm, `ln_1`.
    Norm1,
    /// Queries, `q`.
    Queries,
    /// Keys, `k`.
    Keys,
    /// Values, `v`.
    Values,
    /// Queries rotated by position, `q_rot`.
    QueriesRotated,
    /// Keys rotated by position, `k_rot`.
    KeysRotated,
    /// Scores of queries and keys, `scores`.
    Scores,
    /// Scores that fall with the distance, `alibi`.
    ScoresByDistance,
    /// Probabilities of attention, `softmax`.
    Softmax,
    /// Result of attention, `attn`.
    Attention,
    /// Result of the product after attention, `proj`.
    Projection,
    /// The residual stream behind attention, `resid_1`.
    Residual1,
    /// Result of a layer's second norm, `ln_2`.
    Norm2,
    /// Result of the gate's product, `ffn_gate`.
    FfnGate,
    /// Result of the first product of the feed-forward block, `ffn_up`.
    FfnUp,
    /// Result of GELU, `gelu`.
    Gelu,
    /// Result of SwiGLU, `swiglu`.
    SwiGlu,
    /// Result of the last product of the feed-forward block, `ffn_down`.
    FfnDown,
    /// The residual stream behind the feed-forward block, `resid_2`.
    Residual2,
    /// Result of the norm behind the layers, `ln_f`.
    FinalNorm,
    /// The last norm's result times the model's constant, `ln_f_scaled`.
    FinalNormScaled,
    /// Result of the product in front of the logits, `head_dense`.
    HeadDense,
    /// The head's first product after GELU, `head_gelu`.
    HeadGelu,
    /// The head's first product after GELU and a norm, `head_ln`.
    HeadNorm,
    /// Result of the pooler's product, `pooler`.
    Pooler,
    /// The pooler's product after the hyperbolic tangent, `pooled`.
    Pooled,
    /// Logits, `logits`.
    Logits,
    /// The loss, `loss`.
    Loss,
}

impl Activation {
    /// Its name within its layer.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Embedding => "embed",
            Self::EmbeddingScaled => "embed_scaled",
            Self::EmbeddingNorm => "embed_ln",
            Self::Norm1 => "ln_1",
            Self::Queries => "q",
            Self::Keys => "k",
            Self::Values => "v",
            Self::QueriesRotated => "q_rot",
            Self::KeysRotated => "k_rot",
            Self::Scores => "scores",
            Self::ScoresByDistance => "alibi",
            Self::Softmax => "softmax",
            Self::Attention => "attn",
            Self::Projection => "proj",
            Self::Residual1 => "resid_1",
            Self::Norm2 => "ln_2",
            Self::FfnGate => "ffn_gate",
            Self::FfnUp => "ffn_up",
            Self::Gelu => "gelu",
            Self::SwiGlu => "swiglu",
            Self::FfnDown => "ffn_down",
            Self::Residual2 => "resid_2",
            Self::FinalNorm => "ln_f",
            Self::FinalNormScaled => "ln_f_scaled",
            Self::HeadDense => "head_dense",
            Self::HeadGelu => "head_gelu",
            Self::HeadNorm => "head_ln",
            Self::Pooler => "pooler",
            Self::Pooled => "pooled",
            Self::Logits => "logits",
            Self::Loss => "loss",
        }
    }

    /// Its name in the graph: `h.3.ln_1` in layer 3, `ln_f` outside of the layers.
    #[must_use]
    pub fn named(self, layer: Option<u32>) -> String {
        layer.map_or_else(|| self.name().to_owned(), |layer| format!("h.{layer}.{}", self.name()))
    }
}

/// A part of the model that has parameters, whatever the layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum ModuleKind {
    /// Embeddings of tokens, `wte`.
    TokenTable,
    /// Embeddings of positions, `wpe`.
    PositionTable,
    /// Embeddings of types of tokens, `wtt`.
    TypeTable,
    /// The norm of embeddings, `embed_ln`.
    EmbeddingNorm,
    /// A layer's first norm, `ln_1`.
    Norm1,
    /// The product to queries, keys and values, `attn.c_attn`.
    Qkv,
    /// The product after attention, `attn.c_proj`.
    AttentionProjection,
    /// A layer's second norm, `ln_2`.
    Norm2,
    /// The gate's product, `mlp.c_gate`.
    FfnGate,
    /// The first product of the feed-forward block, `mlp.c_fc`.
    FfnUp,
    /// Its last product, `mlp.c_proj`.
    FfnDown,
    /// The norm behind the layers, `ln_f`.
    FinalNorm,
    /// The product in front of the logits, `head.dense`.
    HeadDense,
    /// The norm behind it, `head_ln`.
    HeadNorm,
    /// The pooler, `pooler.dense`.
    Pooler,
    /// The classifier, `classifier`.
    Classifier,
    /// The product to logits, `lm_head`.
    LmHead,
}

impl ModuleKind {
    /// Its name within its layer.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::TokenTable => "wte",
            Self::PositionTable => "wpe",
            Self::TypeTable => "wtt",
            Self::EmbeddingNorm => "embed_ln",
            Self::Norm1 => "ln_1",
            Self::Qkv => "attn.c_attn",
            Self::AttentionProjection => "attn.c_proj",
            Self::Norm2 => "ln_2",
            Self::FfnGate => "mlp.c_gate",
            Self::FfnUp => "mlp.c_fc",
            Self::FfnDown => "mlp.c_proj",
            Self::FinalNorm => "ln_f",
            Self::HeadDense => "head.dense",
            Self::HeadNorm => "head_ln",
            Self::Pooler => "pooler.dense",
            Self::Classifier => "classifier",
            Self::LmHead => "lm_head",
        }
    }

    /// Whether it is a table of embeddings, whose only parameter has the module's own name.
    #[must_use]
    pub const fn is_table(self) -> bool {
        matches!(self, Self::TokenTable | Self::PositionTable | Self::TypeTable)
    }
}

/// A part of the model that has parameters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Module {
    /// The layer, counted from 0; `None` outside of the layers.
    pub layer: Option<u32>,
    /// Which part.
    pub kind: ModuleKind,
}

impl Module {
    /// Its matrix, gain or table.
    #[must_use]
    pub const fn weight(self) -> Parameter {
        Parameter { module: self, part: Part::Weight }
    }

    /// Its bias.
    #[must_use]
    pub const fn bias(self) -> Parameter {
        Parameter { module: self, part: Part::Bias }
    }
}

impl fmt::Display for Module {
    /// `h.3.attn.c_attn`, or without a layer `ln_f`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(layer) = self.layer {
            write!(f, "h.{layer}.")?;
        }
        f.write_str(self.kind.name())
    }
}

/// Which of a module's parameters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Part {
    /// Its matrix, gain or table.
    Weight,
    /// Its bias.
    Bias,
}

/// A tensor of parameters. Its `Display` is its name in a checkpoint: `h.3.attn.c_attn.weight`, `wte`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Parameter {
    /// The module that it belongs to.
    pub module: Module,
    /// Which of the module's parameters.
    pub part: Part,
}

impl fmt::Display for Parameter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.module.fmt(f)?;
        match self.part {
            Part::Weight if self.module.kind.is_table() => Ok(()),
            Part::Weight => f.write_str(".weight"),
            Part::Bias => f.write_str(".bias"),
        }
    }
}

/// What a tensor is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Role {
    /// What a forward operation makes: the activation, and its layer.
    Activation(Activation, Option<u32>),
    /// Parameters of the model.
    Parameter(Parameter),
    /// A gradient, of an activation along one path or of parameters.
    Gradient,
}
