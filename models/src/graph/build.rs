//! Builds the layer graph of a training step, operation by operation.
//!
//! Invariant: an operation is added after everything it uses, so the order of adding can be
//! executed as it stands.
//! Deliberately not here: the shape rules; [`super::check`] states them a second time and holds
//! what is built here against them.

use std::collections::BTreeMap;

use petgraph::graph::{DiGraph, NodeIndex};

use super::{Axis, LayerGraph, LayerOp, OpKind, Phase, Tensor, TensorShape};
use crate::fault::ModelFault;
use crate::shape::GptShape;

/// The most layers that a graph is built for: some 300 megabytes of graph.
const LAYERS_MAX: u32 = 10_000;
/// The most tokens per step.
const TOKENS_MAX: u64 = 1 << 40;

impl LayerGraph {
    /// The training step of `shape` on `batch` sequences of `seq_len` tokens.
    ///
    /// # Errors
    /// All faults at once: those of [`GptShape::validate`], an empty step (`step-zero`), a sequence
    /// longer than the position table (`step-positions`), a step beyond any real one
    /// (`step-size-limit`).
    pub fn training_step(shape: &GptShape, batch: u64, seq_len: u32) -> Result<Self, Vec<ModelFault>> {
        let faults = step_faults(shape, batch, seq_len);
        if !faults.is_empty() {
            return Err(faults);
        }
        let mut builder = Builder::new(shape, batch, seq_len);
        builder.forward();
        builder.backward();
        let built = Self { shape: shape.clone(), batch, seq_len, graph: builder.graph };
        built.check()?;
        Ok(built)
    }
}

fn step_faults(shape: &GptShape, batch: u64, seq_len: u32) -> Vec<ModelFault> {
    let mut faults = shape.validate();
    for (key, size) in [("batch", batch), ("seq_len", u64::from(seq_len))] {
        if size == 0 {
            faults.push(ModelFault::new("step-zero", key, "is 0", "must be at least 1"));
        }
    }
    if seq_len > shape.max_positions {
        let message = format!("{seq_len} tokens, the model has {} positions", shape.max_positions);
        let help = format!("at most {}", shape.max_positions);
        faults.push(ModelFault::new("step-positions", "seq_len", message, help));
    }
    if shape.layers > LAYERS_MAX {
        let message = format!("{} layers, a graph has at most {LAYERS_MAX}", shape.layers);
        faults.push(ModelFault::new("step-size-limit", "layers", message, ""));
    }
    if batch.checked_mul(seq_len.into()).is_none_or(|tokens| tokens > TOKENS_MAX) {
        let message = format!("{batch} sequences of {seq_len} tokens, the most is {TOKENS_MAX} tokens");
        faults.push(ModelFault::new("step-size-limit", "batch", message, ""));
    }
    faults
}

/// Shapes that recur, for one model and step.
struct Shapes {
    /// `[batch, seq, d_model]`
    hidden: TensorShape,
    /// `[batch, seq, d_ff]`
    inner: TensorShape,
    /// `[batch, head, query, key]`
    square: TensorShape,
    /// `[batch, seq, vocab]`
    logits: TensorShape,
    /// `[vocab, d_model]`
    wte: TensorShape,
    /// `[max_positions, d_model]`
    wpe: TensorShape,
}

/// Which operation: kind, layer, name of the forward operation.
type At = (OpKind, Option<u32>, String);

struct Builder {
    graph: DiGraph<LayerOp, Tensor>,
    /// Who makes the tensor of this name, and its shape.
    made: BTreeMap<String, (NodeIndex, TensorShape)>,
    shapes: Shapes,
    layers: u32,
    d: u64,
    f: u64,
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
    fn new(shape: &GptShape, batch: u64, seq_len: u32) -> Self {
        use Axis::{Batch, Feature, Head, Key, Position, Query, Seq, Vocab};
        let (d, f, t) = (u64::from(shape.d_model), u64::from(shape.d_ff), u64::from(seq_len));
        let tokens = |axis, size| TensorShape::new(&[(Batch, batch), (Seq, t), (axis, size)]);
        let heads = u64::from(shape.heads);
        let shapes = Shapes {
            hidden: tokens(Feature, d),
            inner: tokens(Feature, f),
            square: TensorShape::new(&[(Batch, batch), (Head, heads), (Query, t), (Key, t)]),
            logits: tokens(Vocab, shape.vocab.into()),
            wte: TensorShape::new(&[(Vocab, shape.vocab.into()), (Feature, d)]),
            wpe: TensorShape::new(&[(Position, shape.max_positions.into()), (Feature, d)]),
        };
        Self { graph: DiGraph::new(), made: BTreeMap::new(), shapes, layers: shape.layers, d, f }
    }

    /// The parameters of an operation, under their Hugging Face names.
    fn weights(&self, kind: OpKind, name: &str, layer: Option<u32>) -> Vec<Tensor> {
        let (d, f) = (self.d, self.f);
        let stem = |module: &str| layer.map_or(module.to_owned(), |l| format!("h.{l}.{module}"));
        let linear = |module: &str, input: u64, output: u64| {
            let matrix = TensorShape::new(&[(Axis::Input, input), (Axis::Output, output)]);
            let bias = TensorShape::new(&[(Axis::Output, output)]);
            pair(&stem(module), matrix, bias)
        };
        match kind {
            OpKind::Embedding => vec![
                Tensor { name: "wte".into(), shape: self.shapes.wte.clone() },
                Tensor { name: "wpe".into(), shape: self.shapes.wpe.clone() },
            ],
            OpKind::LmHead => vec![Tensor { name: "wte".into(), shape: self.shapes.wte.clone() }],
            OpKind::LayerNorm | OpKind::FinalLayerNorm => {
                let gain = TensorShape::new(&[(Axis::Feature, d)]);
                pair(name, gain.clone(), gain)
            }
            OpKind::Qkv => linear("attn.c_attn", d, 3 * d),
            OpKind::Projection => linear("attn.c_proj", d, d),
            OpKind::FfnUp => linear("mlp.c_fc", d, f),
            OpKind::FfnDown => linear("mlp.c_proj", f, d),
            _ => Vec::new(),
        }
    }

    fn add(&mut self, phase: Phase, new: &New<'_>) {
        let mut weights = self.weights(new.kind, &new.name, new.layer);
        if phase == Phase::Backward {
            // The gradient of a product's input needs the matrix, that of LayerNorm the gain.
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
        let weights = self.weights(kind, &name, layer);
        let names: Vec<String> = weights
            .iter()
            .map(|weight| match (kind, weight.name.as_str()) {
                // The tied table gets two gradients; whoever holds the table adds them.
                (OpKind::Embedding, "wte") => "d.wte.embed".to_owned(),
                (OpKind::LmHead, "wte") => "d.wte.lm_head".to_owned(),
                (_, name) => format!("d.{name}"),
            })
            .collect();
        let outputs: Vec<_> = names.iter().zip(&weights).map(|(name, weight)| (name.as_str(), &weight.shape)).collect();
        let new = New { name, kind, layer, inputs, outputs: &outputs };
        self.add(Phase::WeightGradient, &new);
    }

    /// The name of the tensor that enters layer `l`.
    fn entering(l: u32) -> String {
        l.checked_sub(1).map_or("embed".to_owned(), |below| format!("h.{below}.resid_2"))
    }

    fn forward(&mut self) {
        use OpKind::{CrossEntropy, Embedding, FinalLayerNorm, LmHead};
        let (hidden, logits) = (self.shapes.hidden.clone(), self.shapes.logits.clone());
        let at = |kind, name: &str| (kind, None, name.to_owned());
        self.one(Phase::Forward, at(Embedding, "embed"), &[], "embed", &hidden);
        for l in 0..self.layers {
            self.forward_attention(l);
            self.forward_ffn(l);
        }
        let top = Self::entering(self.layers);
        self.one(Phase::Forward, at(FinalLayerNorm, "ln_f"), &[&top], "ln_f", &hidden);
        self.one(Phase::Forward, at(LmHead, "lm_head"), &["ln_f"], "logits", &logits);
        self.one(Phase::Forward, at(CrossEntropy, "loss"), &["logits"], "loss", &TensorShape::new(&[]));
    }

    fn forward_attention(&mut self, l: u32) {
        use OpKind::{AttentionScores, AttentionValues, LayerNorm, Projection, Qkv, Residual, Softmax};
        let (hidden, square) = (self.shapes.hidden.clone(), self.shapes.square.clone());
        let n = |tensor: &str| format!("h.{l}.{tensor}");
        let x = Self::entering(l);
        let (q, k, v) = (n("q"), n("k"), n("v"));
        let at = |kind, name: &str| (kind, Some(l), format!("h.{l}.{name}"));
        let f = Phase::Forward;
        self.one(f, at(LayerNorm, "ln_1"), &[&x], &n("ln_1"), &hidden);
        let outputs = [(q.as_str(), &hidden), (k.as_str(), &hidden), (v.as_str(), &hidden)];
        let inputs = [n("ln_1")];
        let qkv = New { name: n("qkv"), kind: Qkv, layer: Some(l), inputs: &[&inputs[0]], outputs: &outputs };
        self.add(f, &qkv);
        self.one(f, at(AttentionScores, "scores"), &[&q, &k], &n("scores"), &square);
        self.one(f, at(Softmax, "softmax"), &[&n("scores")], &n("softmax"), &square);
        self.one(f, at(AttentionValues, "attn"), &[&n("softmax"), &v], &n("attn"), &hidden);
        self.one(f, at(Projection, "proj"), &[&n("attn")], &n("proj"), &hidden);
        self.one(f, at(Residual, "resid_1"), &[&x, &n("proj")], &n("resid_1"), &hidden);
    }

    fn forward_ffn(&mut self, l: u32) {
        use OpKind::{FfnDown, FfnUp, Gelu, LayerNorm, Residual};
        let (hidden, inner) = (self.shapes.hidden.clone(), self.shapes.inner.clone());
        let n = |tensor: &str| format!("h.{l}.{tensor}");
        let at = |kind, name: &str| (kind, Some(l), format!("h.{l}.{name}"));
        let (f, x) = (Phase::Forward, n("resid_1"));
        self.one(f, at(LayerNorm, "ln_2"), &[&x], &n("ln_2"), &hidden);
        self.one(f, at(FfnUp, "ffn_up"), &[&n("ln_2")], &n("ffn_up"), &inner);
        self.one(f, at(Gelu, "gelu"), &[&n("ffn_up")], &n("gelu"), &inner);
        self.one(f, at(FfnDown, "ffn_down"), &[&n("gelu")], &n("ffn_down"), &hidden);
        self.one(f, at(Residual, "resid_2"), &[&x, &n("ffn_down")], &n("resid_2"), &hidden);
    }

    fn backward(&mut self) {
        use OpKind::{CrossEntropy, Embedding, FinalLayerNorm, LmHead};
        let (hidden, logits) = (self.shapes.hidden.clone(), self.shapes.logits.clone());
        let at = |kind, name: &str| (kind, None, name.to_owned());
        let b = Phase::Backward;
        let top = Self::entering(self.layers);
        self.one(b, at(CrossEntropy, "loss"), &["logits"], "d.logits", &logits);
        self.one(b, at(LmHead, "lm_head"), &["d.logits"], "d.ln_f", &hidden);
        self.weight_gradient(at(LmHead, "lm_head"), &["d.logits", "ln_f"]);
        let inputs = ["d.ln_f", top.as_str()];
        self.one(b, at(FinalLayerNorm, "ln_f"), &inputs, &format!("d.{top}"), &hidden);
        self.weight_gradient(at(FinalLayerNorm, "ln_f"), &inputs);
        for l in (0..self.layers).rev() {
            self.backward_ffn(l);
            self.backward_attention(l);
        }
        self.weight_gradient(at(Embedding, "embed"), &["d.embed"]);
    }

    fn backward_ffn(&mut self, l: u32) {
        use OpKind::{FfnDown, FfnUp, Gelu, LayerNorm, Residual};
        let (hidden, inner) = (self.shapes.hidden.clone(), self.shapes.inner.clone());
        let n = |tensor: &str| format!("h.{l}.{tensor}");
        let d = |tensor: &str| format!("d.h.{l}.{tensor}");
        let at = |kind, name: &str| (kind, Some(l), format!("h.{l}.{name}"));
        let (b, dy, x) = (Phase::Backward, d("resid_2"), n("resid_1"));
        self.one(b, at(FfnDown, "ffn_down"), &[&dy], &d("gelu"), &inner);
        self.weight_gradient(at(FfnDown, "ffn_down"), &[&dy, &n("gelu")]);
        self.one(b, at(Gelu, "gelu"), &[&d("gelu"), &n("ffn_up")], &d("ffn_up"), &inner);
        self.one(b, at(FfnUp, "ffn_up"), &[&d("ffn_up")], &d("ln_2"), &hidden);
        self.weight_gradient(at(FfnUp, "ffn_up"), &[&d("ffn_up"), &n("ln_2")]);
        let branch = d("resid_1.branch");
        self.one(b, at(LayerNorm, "ln_2"), &[&d("ln_2"), &x], &branch, &hidden);
        self.weight_gradient(at(LayerNorm, "ln_2"), &[&d("ln_2"), &x]);
        self.one(b, at(Residual, "resid_2"), &[&dy, &branch], &d("resid_1"), &hidden);
    }

    fn backward_attention(&mut self, l: u32) {
        use OpKind::{AttentionScores, AttentionValues, LayerNorm, Projection, Qkv, Residual, Softmax};
        let (hidden, square) = (self.shapes.hidden.clone(), self.shapes.square.clone());
        let n = |tensor: &str| format!("h.{l}.{tensor}");
        let d = |tensor: &str| format!("d.h.{l}.{tensor}");
        let at = |kind, name: &str| (kind, Some(l), format!("h.{l}.{name}"));
        let (b, dy, x) = (Phase::Backward, d("resid_1"), Self::entering(l));
        let (dq, dk, dv) = (d("q"), d("k"), d("v"));
        self.one(b, at(Projection, "proj"), &[&dy], &d("attn"), &hidden);
        self.weight_gradient(at(Projection, "proj"), &[&dy, &n("attn")]);
        let (inputs, outputs) = ([d("attn"), n("softmax"), n("v")], d("softmax"));
        self.add(
            b,
            &New {
                name: n("attn"),
                kind: AttentionValues,
                layer: Some(l),
                inputs: &inputs.each_ref().map(String::as_str),
                outputs: &[(&outputs, &square), (&dv, &hidden)],
            },
        );
        self.one(b, at(Softmax, "softmax"), &[&outputs, &n("softmax")], &d("scores"), &square);
        let inputs = [d("scores"), n("q"), n("k")];
        self.add(
            b,
            &New {
                name: n("scores"),
                kind: AttentionScores,
                layer: Some(l),
                inputs: &inputs.each_ref().map(String::as_str),
                outputs: &[(&dq, &hidden), (&dk, &hidden)],
            },
        );
        self.one(b, at(Qkv, "qkv"), &[&dq, &dk, &dv], &d("ln_1"), &hidden);
        self.weight_gradient(at(Qkv, "qkv"), &[&dq, &dk, &dv, &n("ln_1")]);
        let branch = format!("d.{x}.branch");
        self.one(b, at(LayerNorm, "ln_1"), &[&d("ln_1"), &x], &branch, &hidden);
        self.weight_gradient(at(LayerNorm, "ln_1"), &[&d("ln_1"), &x]);
        self.one(b, at(Residual, "resid_1"), &[&dy, &branch], &format!("d.{x}"), &hidden);
    }
}

/// `stem.weight` and `stem.bias`.
fn pair(stem: &str, weight: TensorShape, bias: TensorShape) -> Vec<Tensor> {
    vec![Tensor { name: format!("{stem}.weight"), shape: weight }, Tensor { name: format!("{stem}.bias"), shape: bias }]
}
