//! Builds the layer graph of a training step, operation by operation.
//!
//! Invariant: an operation is added after everything it uses, so the order of adding can be
//! executed as it stands.
//! Deliberately not here: the shape rules; [`super::check`] states them a second time and holds
//! what is built here against them.

mod backward;
mod forward;

use std::collections::BTreeMap;

use petgraph::graph::{DiGraph, NodeIndex};

use super::{Axis, LayerGraph, LayerOp, OpKind, Phase, Tensor, TensorShape};
use crate::design::{Block, Decimal, Design, FeedForward, Head, Norm, Positions};
use crate::diagnostic;
use crate::shape::ModelShape;
use sim_core::diag::Diagnostic;

/// The most layers that a graph is built for: some 300 megabytes of graph.
const LAYERS_MAX: u32 = 10_000;
/// The most tokens per step.
const TOKENS_MAX: u64 = 1 << 40;

impl LayerGraph {
    /// The training step of `shape` on `batch` sequences of `seq_len` tokens.
    ///
    /// # Errors
    /// All diagnostics at once: those of [`ModelShape::validate`], an empty step (`step-zero`), a sequence
    /// longer than the position table (`step-positions`), a step beyond any real one
    /// (`step-size-limit`).
    pub fn training_step(shape: &ModelShape, batch: u64, seq_len: u32) -> Result<Self, Vec<Diagnostic>> {
        let diagnostics = step_diagnostics(shape, batch, seq_len);
        if !diagnostics.is_empty() {
            return Err(diagnostics);
        }
        let mut builder = Builder::new(shape, batch, seq_len);
        builder.forward();
        builder.backward();
        let built = Self { shape: shape.clone(), batch, seq_len, graph: builder.graph };
        built.check()?;
        Ok(built)
    }
}

fn step_diagnostics(shape: &ModelShape, batch: u64, seq_len: u32) -> Vec<Diagnostic> {
    let mut diagnostics = shape.validate();
    for (key, size) in [("batch", batch), ("seq_len", u64::from(seq_len))] {
        if size == 0 {
            diagnostics.push(diagnostic::of("step-zero", key, "is 0", "must be at least 1"));
        }
    }
    if seq_len > shape.max_positions {
        let message = format!("{seq_len} tokens, the model has {} positions", shape.max_positions);
        let help = format!("at most {}", shape.max_positions);
        diagnostics.push(diagnostic::of("step-positions", "seq_len", message, help));
    }
    if shape.layers > LAYERS_MAX {
        let message = format!("{} layers, a graph has at most {LAYERS_MAX}", shape.layers);
        diagnostics.push(diagnostic::of("step-size-limit", "layers", message, ""));
    }
    if batch.checked_mul(seq_len.into()).is_none_or(|tokens| tokens > TOKENS_MAX) {
        let message = format!("{batch} sequences of {seq_len} tokens, the most is {TOKENS_MAX} tokens");
        diagnostics.push(diagnostic::of("step-size-limit", "batch", message, ""));
    }
    diagnostics
}

/// Sizes and shapes that recur, for one model and step.
struct Shapes {
    design: Design,
    layers: u32,
    /// Hidden, key and feed-forward features; entries of the vocabulary, positions, labels.
    d: u64,
    k: u64,
    f: u64,
    vocab: u64,
    positions: u64,
    labels: u64,
    /// `[batch, seq, d_model]`
    hidden: TensorShape,
    /// `[batch, seq, features of keys]`
    keys: TensorShape,
    /// `[batch, seq, d_ff]`
    inner: TensorShape,
    /// `[batch, head, query, key]`
    square: TensorShape,
    /// `[batch, seq, vocab]`, or `[batch, label]`
    logits: TensorShape,
    /// `[batch, d_model]`
    pooled: TensorShape,
}

impl Shapes {
    fn new(shape: &ModelShape, batch: u64, seq_len: u32) -> Self {
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

    /// The parameters of an operation.
    fn weights(&self, kind: OpKind, name: &str, layer: Option<u32>) -> Vec<Tensor> {
        let (d, k, f, biases) = (self.d, self.k, self.f, self.design.biases);
        let stem = |module: &str| layer.map_or(module.to_owned(), |l| format!("h.{l}.{module}"));
        let linear = |module: &str, input: u64, output: u64, bias: bool| {
            let matrix = TensorShape::new(&[(Axis::Input, input), (Axis::Output, output)]);
            named(&stem(module), matrix, bias.then(|| TensorShape::new(&[(Axis::Output, output)])))
        };
        let feature = TensorShape::new(&[(Axis::Feature, d)]);
        match kind {
            OpKind::Embedding => self.tables(),
            OpKind::LmHead => self.lm_head(),
            OpKind::LayerNorm | OpKind::FinalLayerNorm => named(name, feature.clone(), Some(feature)),
            OpKind::RmsNorm | OpKind::FinalRmsNorm => named(name, feature, None),
            OpKind::Qkv => linear("attn.c_attn", d, d + 2 * k, biases.qkv),
            OpKind::Projection => linear("attn.c_proj", d, d, biases.projection),
            OpKind::FfnGate => linear("mlp.c_gate", d, f, biases.feed_forward),
            OpKind::FfnUp => linear("mlp.c_fc", d, f, biases.feed_forward),
            OpKind::FfnDown => linear("mlp.c_proj", f, d, biases.feed_forward),
            OpKind::HeadDense => linear("head.dense", d, d, true),
            OpKind::Pooler => linear("pooler.dense", d, d, true),
            OpKind::Classifier => linear("classifier", d, self.labels, true),
            _ => Vec::new(),
        }
    }

    /// The tables of the embedding.
    fn tables(&self) -> Vec<Tensor> {
        let table = |name: &str, axis, rows| {
            let shape = TensorShape::new(&[(axis, rows), (Axis::Feature, self.d)]);
            Tensor { name: name.to_owned(), shape }
        };
        let mut tables = vec![table("wte", Axis::Vocab, self.vocab)];
        if self.design.positions == Positions::Learned {
            tables.push(table("wpe", Axis::Position, self.positions));
        }
        if self.design.token_types > 0 {
            tables.push(table("wtt", Axis::TokenType, self.design.token_types.into()));
        }
        tables
    }

    fn lm_head(&self) -> Vec<Tensor> {
        let (bias, name) = match self.design.head {
            Head::Untied { bias } => (bias, "lm_head.weight"),
            head => (head == Head::MaskedLm, "wte"),
        };
        let shape = TensorShape::new(&[(Axis::Vocab, self.vocab), (Axis::Feature, self.d)]);
        let mut weights = vec![Tensor { name: name.to_owned(), shape }];
        if bias {
            let shape = TensorShape::new(&[(Axis::Vocab, self.vocab)]);
            weights.push(Tensor { name: "lm_head.bias".to_owned(), shape });
        }
        weights
    }

    /// The kind of a norm in a layer, and at the end.
    fn norm(&self) -> (OpKind, OpKind) {
        match self.design.norm {
            Norm::LayerNorm => (OpKind::LayerNorm, OpKind::FinalLayerNorm),
            Norm::RmsNorm => (OpKind::RmsNorm, OpKind::FinalRmsNorm),
        }
    }

    /// What stands between the products of the feed-forward block: kind and name.
    fn activation(&self) -> (OpKind, &'static str) {
        match self.design.feed_forward {
            FeedForward::Gelu => (OpKind::Gelu, "gelu"),
            FeedForward::GeluTanh => (OpKind::GeluTanh, "gelu"),
            FeedForward::SwiGlu => (OpKind::SwiGlu, "swiglu"),
        }
    }

    /// The name of the tensor that enters layer `l`, or what is behind the last one.
    fn entering(&self, l: u32) -> String {
        match (l.checked_sub(1), self.design.block) {
            (None, _) if self.design.embedding_norm => "embed_ln".to_owned(),
            (None, _) if self.design.embedding_scale != Decimal::ONE => "embed_scaled".to_owned(),
            (None, _) => "embed".to_owned(),
            (Some(below), Block::Post) => format!("h.{below}.ln_2"),
            (Some(below), _) => format!("h.{below}.resid_2"),
        }
    }
}

/// Which operation: kind, layer, name of the forward operation.
type At = (OpKind, Option<u32>, String);

struct Builder {
    graph: DiGraph<LayerOp, Tensor>,
    /// Who makes the tensor of this name, and its shape.
    made: BTreeMap<String, (NodeIndex, TensorShape)>,
    shapes: Shapes,
}

/// What [`Builder::add`] adds.
struct New<'a> {
    name: String,
    kind: OpKind,
    layer: Option<u32>,
    inputs: &'a [&'a str],
    outputs: &'a [(&'a str, &'a TensorShape)],
}

impl Builder {
    fn new(shape: &ModelShape, batch: u64, seq_len: u32) -> Self {
        Self { graph: DiGraph::new(), made: BTreeMap::new(), shapes: Shapes::new(shape, batch, seq_len) }
    }

    fn add(&mut self, phase: Phase, new: &New<'_>) {
        let mut weights = self.shapes.weights(new.kind, &new.name, new.layer);
        if phase == Phase::Backward {
            // The gradient of a product's input needs the matrix, that of a norm the gain.
            weights.truncate(1);
        }
        let suffix = match phase {
            Phase::Forward => "",
            Phase::Backward => ".backward",
            Phase::WeightGradient => ".weight_gradient",
        };
        let outputs: Vec<Tensor> =
            (new.outputs.iter()).map(|&(name, shape)| Tensor { name: name.to_owned(), shape: shape.clone() }).collect();
        let node = self.graph.add_node(LayerOp {
            name: format!("{}{suffix}", new.name),
            kind: new.kind,
            phase,
            layer: new.layer,
            outputs: outputs.clone(),
            weights,
        });
        for &name in new.inputs {
            let (maker, shape) = &self.made[name];
            self.graph.add_edge(*maker, node, Tensor { name: name.to_owned(), shape: shape.clone() });
        }
        for Tensor { name, shape } in outputs {
            let before = self.made.insert(name, (node, shape));
            assert!(before.is_none(), "every tensor of a layer graph is made once");
        }
    }

    /// Adds an operation with one output of `shape`.
    fn one(&mut self, phase: Phase, at: At, inputs: &[&str], output: &str, shape: &TensorShape) {
        let (kind, layer, name) = at;
        self.add(phase, &New { name, kind, layer, inputs, outputs: &[(output, shape)] });
    }

    /// Adds the gradient of the parameters of the operation `name`, from the gradient(s) of its
    /// output and, except for the embedding, its input.
    fn weight_gradient(&mut self, at: At, inputs: &[&str]) {
        let (kind, layer, name) = at;
        let weights = self.shapes.weights(kind, &name, layer);
        let tied = self.shapes.design.tied();
        let names: Vec<String> = weights
            .iter()
            .map(|weight| match (kind, weight.name.as_str()) {
                // The tied table gets two gradients; whoever holds the table adds them.
                (OpKind::Embedding, "wte") if tied => "d.wte.embed".to_owned(),
                (OpKind::LmHead, "wte") => "d.wte.lm_head".to_owned(),
                (_, name) => format!("d.{name}"),
            })
            .collect();
        let outputs: Vec<_> = names.iter().zip(&weights).map(|(name, weight)| (name.as_str(), &weight.shape)).collect();
        let new = New { name, kind, layer, inputs, outputs: &outputs };
        self.add(Phase::WeightGradient, &new);
    }
}

/// `stem.weight`, and `stem.bias` if it has a shape.
fn named(stem: &str, weight: TensorShape, bias: Option<TensorShape>) -> Vec<Tensor> {
    let weight = Tensor { name: format!("{stem}.weight"), shape: weight };
    let bias = bias.map(|shape| Tensor { name: format!("{stem}.bias"), shape });
    [weight].into_iter().chain(bias).collect()
}
