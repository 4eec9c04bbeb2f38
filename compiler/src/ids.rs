//! What things are called inside the compiler: phases of a step, buffers, tensors of the host, products of a layer.
//! Names are printed from these and never read back.
//!
//! **Invariant.** No name is taken apart to find out what it says: whoever has to decide something matches an enum.
//! **Not here.** Roles of tensors in the layer graph (`models::graph`).

use models::OpKind;
use models::graph::{Activation, Parameter};
use std::fmt;

/// Which part of the step a kernel belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Phase {
    /// From tokens to loss.
    Forward,
    /// A layer's forward operations again, from its kept input.
    Recompute,
    /// Gradients of activations.
    Backward,
    /// Gradients of weights.
    WeightGradient,
}

impl Phase {
    /// Name in reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Phase::Forward => "forward",
            Phase::Recompute => "recompute",
            Phase::Backward => "backward",
            Phase::WeightGradient => "weight_gradient",
        }
    }
}

/// A buffer in the memory of every PE. Its `Display` is its name in reports and dumps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum BufferId {
    /// The residual stream that enters a layer, or is behind the last one, `x.3`: a checkpoint, kept from the forward
    /// pass for recomputation.
    Residual(u32),
    /// An activation that lives within a layer, by its own name.
    Activation(Activation),
    /// Queries, keys and values, one behind the other; later their gradients in their place, `qkv`.
    Qkv,
    /// Gradient of the residual stream, `d.x`.
    StreamGradient,
    /// Gradients between the products of the feed-forward block, `d.ffn`.
    FfnGradient,
    /// Gradients between the products of the head, `d.head`.
    HeadGradient,
    /// 32-bit sums of the gradient of the head's input over chunks of tokens, `d.head.sum`.
    HeadGradientSums,
    /// Gradients behind the pooler, `d.pooled`.
    PooledGradient,
    /// Gradient of an activation, `d.attn`.
    Gradient(Activation),
    /// Largest score and sum of exponentials of every token, from attention's forward to its backward pass, `stats`.
    Statistics,
    /// A PE's part of the gradients of a norm's parameters, `norm.parts`.
    NormParts,
    /// A PE's part of the loss, `loss.parts`.
    LossParts,
    /// Scratch of one kernel, by a name of the kernel's own; it starts with a dot.
    Scratch(&'static str),
    /// A buffer of a kernel that is planned or tested by itself. The schedule makes none.
    Named(&'static str),
}

impl BufferId {
    /// The buffer in another layer, which `layer` gives for its own.
    #[must_use]
    pub fn relabelled(self, layer: impl FnOnce(u32) -> u32) -> BufferId {
        match self {
            BufferId::Residual(l) => BufferId::Residual(layer(l)),
            BufferId::Activation(_)
            | BufferId::Qkv
            | BufferId::StreamGradient
            | BufferId::FfnGradient
            | BufferId::HeadGradient
            | BufferId::HeadGradientSums
            | BufferId::PooledGradient
            | BufferId::Gradient(_)
            | BufferId::Statistics
            | BufferId::NormParts
            | BufferId::LossParts
            | BufferId::Scratch(_)
            | BufferId::Named(_) => self,
        }
    }
}

impl From<&'static str> for BufferId {
    fn from(name: &'static str) -> BufferId {
        BufferId::Named(name)
    }
}

impl fmt::Display for BufferId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self {
            BufferId::Residual(layer) => return write!(f, "x.{layer}"),
            BufferId::Gradient(of) => return write!(f, "d.{}", of.name()),
            BufferId::Activation(of) => of.name(),
            BufferId::Qkv => "qkv",
            BufferId::StreamGradient => "d.x",
            BufferId::FfnGradient => "d.ffn",
            BufferId::HeadGradient => "d.head",
            BufferId::HeadGradientSums => "d.head.sum",
            BufferId::PooledGradient => "d.pooled",
            BufferId::Statistics => "stats",
            BufferId::NormParts => "norm.parts",
            BufferId::LossParts => "loss.parts",
            BufferId::Scratch(name) | BufferId::Named(name) => name,
        };
        f.pad(name)
    }
}

/// A tensor of the host: what enters the wafer at an edge, or leaves it. Its `Display` is its name in a checkpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TensorId {
    /// Parameters, or, on the way off the wafer, their gradient.
    Parameter(Parameter),
    /// A buffer that the host keeps for a while, indexed by column, row and element of a PE.
    Checkpoint(BufferId),
    /// The loss.
    Loss,
    /// A tensor of a kernel that is tested by itself. The schedule makes none.
    Named(&'static str),
}

impl From<Parameter> for TensorId {
    fn from(parameter: Parameter) -> TensorId {
        TensorId::Parameter(parameter)
    }
}

impl From<&'static str> for TensorId {
    fn from(name: &'static str) -> TensorId {
        TensorId::Named(name)
    }
}

impl fmt::Display for TensorId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TensorId::Parameter(parameter) => parameter.fmt(f),
            TensorId::Checkpoint(buffer) => write!(f, "checkpoint {buffer}"),
            TensorId::Loss => f.write_str("loss"),
            TensorId::Named(name) => f.write_str(name),
        }
    }
}

/// A product of activations with a matrix of parameters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Product {
    /// To queries, keys and values.
    Qkv,
    /// After attention.
    Projection,
    /// The gate of the feed-forward block.
    FfnGate,
    /// The first one of the feed-forward block.
    FfnUp,
    /// The last one of the feed-forward block.
    FfnDown,
    /// In front of the logits of a masked-token model.
    HeadDense,
    /// With the first token of every sequence.
    Pooler,
    /// To the labels of a sequence.
    Classifier,
    /// To logits.
    LmHead,
    /// A product that is tested by itself. The schedule makes none.
    Named(&'static str),
}

impl Product {
    /// The product that an operation is, if it is one.
    #[must_use]
    pub fn of(kind: OpKind) -> Option<Product> {
        match kind {
            OpKind::Qkv => Some(Product::Qkv),
            OpKind::Projection => Some(Product::Projection),
            OpKind::FfnGate => Some(Product::FfnGate),
            OpKind::FfnUp => Some(Product::FfnUp),
            OpKind::FfnDown => Some(Product::FfnDown),
            OpKind::HeadDense => Some(Product::HeadDense),
            OpKind::Pooler => Some(Product::Pooler),
            OpKind::Classifier => Some(Product::Classifier),
            OpKind::LmHead => Some(Product::LmHead),
            OpKind::Embedding
            | OpKind::Scale
            | OpKind::LayerNorm
            | OpKind::RmsNorm
            | OpKind::Rotary
            | OpKind::AttentionScores
            | OpKind::Alibi
            | OpKind::Softmax
            | OpKind::AttentionValues
            | OpKind::Residual
            | OpKind::Gelu
            | OpKind::GeluTanh
            | OpKind::SwiGlu
            | OpKind::FinalLayerNorm
            | OpKind::FinalRmsNorm
            | OpKind::Tanh
            | OpKind::CrossEntropy => None,
        }
    }

    /// Its name in reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Product::Qkv => "qkv",
            Product::Projection => "proj",
            Product::FfnGate => "ffn_gate",
            Product::FfnUp => "ffn_up",
            Product::FfnDown => "ffn_down",
            Product::HeadDense => "head_dense",
            Product::Pooler => "pooler",
            Product::Classifier => "classifier",
            Product::LmHead => "lm head",
            Product::Named(name) => name,
        }
    }

    /// What it computes itself, or one of its gradients.
    #[must_use]
    pub const fn makes(self, part: ProductPart) -> Label {
        Label { product: self, part }
    }
}

/// What a kernel computes of a product.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ProductPart {
    /// Its result.
    Output,
    /// The gradient of its input.
    InputGradient,
    /// The gradient of its matrix.
    WeightGradient,
    /// The gradient of its bias.
    BiasGradient,
}

/// Which part of which product a kernel computes, for people: `qkv input gradient`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Label {
    /// The product.
    pub product: Product,
    /// What of it.
    pub part: ProductPart,
}

impl From<&'static str> for Label {
    fn from(name: &'static str) -> Label {
        Product::Named(name).makes(ProductPart::Output)
    }
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.product.name();
        match (self.part, self.product) {
            (ProductPart::Output, _) => f.write_str(name),
            (ProductPart::InputGradient, _) => write!(f, "{name} input gradient"),
            (ProductPart::WeightGradient, _) => write!(f, "{name} weight gradient"),
            // Reports have called it so since there is a bias there.
            (ProductPart::BiasGradient, Product::LmHead) => f.write_str("lm_head bias gradient"),
            (ProductPart::BiasGradient, _) => write!(f, "{name} bias gradient"),
        }
    }
}
