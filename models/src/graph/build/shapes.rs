//! The tensor shapes and parameters of a model's operations, for one workload.
//!
//! **Invariant.** Parameters have the names and layouts of Hugging Face's GPT-2, whatever the design.
//! **Not here.** Which operations there are ([`super::forward`], [`super::backward`]); the shape rules, which
//! [`crate::graph`] states a second time and holds what is built against.

use crate::graph::op::OpKind;
use crate::graph::role::{Activation, Module, ModuleKind, Parameter, Role};
use crate::graph::tensor::{Axis, Tensor, TensorShape};
use crate::shape::ModelShape;
use crate::shape::design::{Block, Decimal, Design, FeedForward, Head, Norm, Positions};

/// Sizes and shapes that recur, for one model and step.
pub(super) struct Shapes {
    pub(super) design: Design,
    pub(super) layers: u32,
    /// Hidden, key and feed-forward features; entries of the vocabulary, positions, labels.
    d: u64,
    k: u64,
    f: u64,
    vocab: u64,
    positions: u64,
    labels: u64,
    /// `[batch, seq, d_model]`
    pub(super) hidden: TensorShape,
    /// `[batch, seq, features of keys]`
    pub(super) keys: TensorShape,
    /// `[batch, seq, d_ff]`
    pub(super) inner: TensorShape,
    /// `[batch, head, query, key]`
    pub(super) square: TensorShape,
    /// `[batch, seq, vocab]`, or `[batch, label]`
    pub(super) logits: TensorShape,
    /// `[batch, d_model]`
    pub(super) pooled: TensorShape,
}

impl Shapes {
    pub(super) fn new(shape: &ModelShape, batch: u64, seq_len: u32) -> Self {
        use Axis::{Batch, Feature, Head as Heads, Key, Label, Query, Seq, Vocab};
        let (d, f, t) = (u64::from(shape.d_model), u64::from(shape.d_ff), u64::from(seq_len));
        let k = u64::from(shape.kv_heads()) * u64::from(shape.d_head());
        let tokens = |axis, size| TensorShape::new(&[(Batch, batch), (Seq, t), (axis, size)]);
        let (heads, labels) = (u64::from(shape.heads), u64::from(shape.classes()));
        Self {
            design: shape.design,
            layers: shape.layers,
            d,
            k,
            f,
            vocab: shape.vocab.into(),
            positions: shape.max_positions.into(),
            labels,
            hidden: tokens(Feature, d),
            keys: tokens(Feature, k),
            inner: tokens(Feature, f),
            square: TensorShape::new(&[(Batch, batch), (Heads, heads), (Query, t), (Key, t)]),
            logits: match shape.design.head {
                Head::Classifier { .. } => TensorShape::new(&[(Batch, batch), (Label, labels)]),
                Head::Tied | Head::Untied { .. } | Head::MaskedLm => tokens(Vocab, shape.vocab.into()),
            },
            pooled: TensorShape::new(&[(Batch, batch), (Feature, d)]),
        }
    }

    /// The parameters of an operation; `norm` says which norm it is, if it is one.
    pub(super) fn weights(&self, kind: OpKind, norm: Option<ModuleKind>, layer: Option<u32>) -> Vec<Tensor> {
        let (d, k, f, biases) = (self.d, self.k, self.f, self.design.biases);
        let module = |kind| Module { layer, kind };
        let linear = |kind, input: u64, output: u64, bias: bool| {
            let matrix = TensorShape::new(&[(Axis::Input, input), (Axis::Output, output)]);
            parameters(module(kind), matrix, bias.then(|| TensorShape::new(&[(Axis::Output, output)])))
        };
        let feature = TensorShape::new(&[(Axis::Feature, d)]);
        match kind {
            OpKind::Embedding => self.tables(),
            OpKind::LmHead => self.lm_head(),
            OpKind::LayerNorm | OpKind::FinalLayerNorm | OpKind::RmsNorm | OpKind::FinalRmsNorm => {
                let of = module(norm.expect("whoever builds a norm says which one it is"));
                parameters(of, feature.clone(), self.design.norm.has_bias().then_some(feature))
            }
            OpKind::Qkv => linear(ModuleKind::Qkv, d, d + 2 * k, biases.qkv),
            OpKind::Projection => linear(ModuleKind::AttentionProjection, d, d, biases.projection),
            OpKind::FfnGate => linear(ModuleKind::FfnGate, d, f, biases.feed_forward),
            OpKind::FfnUp => linear(ModuleKind::FfnUp, d, f, biases.feed_forward),
            OpKind::FfnDown => linear(ModuleKind::FfnDown, f, d, biases.feed_forward),
            OpKind::HeadDense => linear(ModuleKind::HeadDense, d, d, true),
            OpKind::Pooler => linear(ModuleKind::Pooler, d, d, true),
            OpKind::Classifier => linear(ModuleKind::Classifier, d, self.labels, true),
            _ => Vec::new(),
        }
    }

    /// The tables of the embedding.
    pub(super) fn tables(&self) -> Vec<Tensor> {
        let table = |kind, axis, rows| {
            parameter(Module { layer: None, kind }.weight(), TensorShape::new(&[(axis, rows), (Axis::Feature, self.d)]))
        };
        let mut tables = vec![table(ModuleKind::TokenTable, Axis::Vocab, self.vocab)];
        if self.design.positions == Positions::Learned {
            tables.push(table(ModuleKind::PositionTable, Axis::Position, self.positions));
        }
        if self.design.token_types > 0 {
            tables.push(table(ModuleKind::TypeTable, Axis::TokenType, self.design.token_types.into()));
        }
        tables
    }

    pub(super) fn lm_head(&self) -> Vec<Tensor> {
        let (bias, kind) = match self.design.head {
            Head::Untied { bias } => (bias, ModuleKind::LmHead),
            head => (head == Head::MaskedLm, ModuleKind::TokenTable),
        };
        let of = |kind| Module { layer: None, kind };
        let shape = TensorShape::new(&[(Axis::Vocab, self.vocab), (Axis::Feature, self.d)]);
        let mut weights = vec![parameter(of(kind).weight(), shape)];
        if bias {
            weights.push(parameter(of(ModuleKind::LmHead).bias(), TensorShape::new(&[(Axis::Vocab, self.vocab)])));
        }
        weights
    }

    /// The kind of a norm in a layer, and at the end.
    pub(super) fn norm(&self) -> (OpKind, OpKind) {
        match self.design.norm {
            Norm::LayerNorm => (OpKind::LayerNorm, OpKind::FinalLayerNorm),
            Norm::RmsNorm => (OpKind::RmsNorm, OpKind::FinalRmsNorm),
        }
    }

    /// What stands between the products of the feed-forward block: kind, and what it makes.
    pub(super) fn activation(&self) -> (OpKind, Activation) {
        match self.design.feed_forward {
            FeedForward::Gelu => (OpKind::Gelu, Activation::Gelu),
            FeedForward::GeluTanh => (OpKind::GeluTanh, Activation::Gelu),
            FeedForward::SwiGlu => (OpKind::SwiGlu, Activation::SwiGlu),
        }
    }

    /// The name of the tensor that enters layer `l`, or what is behind the last one.
    pub(super) fn entering(&self, l: u32) -> String {
        match (l.checked_sub(1), self.design.block) {
            (None, _) if self.design.embedding_norm => "embed_ln".to_owned(),
            (None, _) if self.design.embedding_scale != Decimal::ONE => "embed_scaled".to_owned(),
            (None, _) => "embed".to_owned(),
            (Some(below), Block::Post) => format!("h.{below}.ln_2"),
            (Some(below), _) => format!("h.{below}.resid_2"),
        }
    }
}

/// A tensor of parameters, called as checkpoints call it.
fn parameter(parameter: Parameter, shape: TensorShape) -> Tensor {
    Tensor { name: parameter.to_string(), role: Role::Parameter(parameter), shape }
}

/// A module's weight, and its bias if that has a shape.
fn parameters(module: Module, weight: TensorShape, bias: Option<TensorShape>) -> Vec<Tensor> {
    let bias = bias.map(|shape| parameter(module.bias(), shape));
    [parameter(module.weight(), weight)].into_iter().chain(bias).collect()
}
