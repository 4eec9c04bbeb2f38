//! Which buffers the tensors of a layer graph are in, and what the schedule knows of an operation.
//!
//! **Invariant.** A buffer's name says what it holds; tensors of one buffer are never needed at the
//! same time. All gradients of the residual stream are in [`STREAM`].
//! **Not here.** Kernels.

use crate::geometry::Features;
use crate::kernel::local;
use crate::kernels::activation::Function;
use crate::kernels::embed::Table;
use models::design::{Block, Decimal, Design};
use models::{LayerGraph, LayerOp, OpKind, Phase};
use petgraph::graph::NodeIndex;

/// Buffer of the gradient of the residual stream.
pub(super) const STREAM: &str = "d.x";

/// Names of buffers for the tensors of a model.
#[derive(Debug, Clone, Copy)]
pub(super) struct Names {
    pub(super) design: Design,
    pub(super) layers: u32,
}

/// The residual stream that enters layer `l`; kept from the forward pass for recomputation.
fn residual(l: u32) -> String {
    format!("x.{l}")
}

impl Names {
    pub(super) fn of(graph: &LayerGraph) -> Names {
        Names { design: graph.shape().design, layers: graph.shape().layers }
    }

    /// What an operation multiplies by.
    pub(super) fn factor(&self, op: &LayerOp) -> Decimal {
        if op.name == "embed_scaled" { self.design.embedding_scale } else { self.design.logit_scale }
    }

    /// The buffer behind the last layer.
    pub(super) fn top(&self) -> String {
        residual(self.layers)
    }

    /// The buffer of a tensor.
    pub(super) fn buffer(&self, tensor: &str) -> String {
        let name = local(tensor);
        let layer = || tensor.split('.').nth(1).and_then(|l| l.parse::<u32>().ok());
        let last = if self.design.block == Block::Post { "ln_2" } else { "resid_2" };
        match name {
            "embed_ln" => residual(0),
            // Multiplied where it is.
            "embed" | "embed_scaled" if !self.design.embedding_norm => residual(0),
            "q" | "k" | "v" | "q_rot" | "k_rot" => "qkv".to_owned(),
            name if name == last => residual(layer().map_or(0, |l| l + 1)),
            name => name.to_owned(),
        }
    }

    /// The buffer of the gradient with respect to a tensor.
    pub(super) fn gradient(&self, tensor: &str) -> String {
        let post = self.design.block == Block::Post;
        match self.buffer(tensor).as_str() {
            "embed" | "resid_1" | "resid_2" | "ffn_down" | "proj" => STREAM.to_owned(),
            "ln_1" if post => STREAM.to_owned(),
            name if name.starts_with("x.") => STREAM.to_owned(),
            "gelu" | "swiglu" | "ffn_up" => "d.ffn".to_owned(),
            "head_gelu" | "head_dense" => "d.head".to_owned(),
            "pooler" | "pooled" => "d.pooled".to_owned(),
            "embed_scaled" => STREAM.to_owned(),
            "qkv" => "qkv".to_owned(),
            name => format!("d.{name}"),
        }
    }
}

/// How a buffer is spread over the columns.
pub(super) fn features(buffer: &str) -> Features {
    match buffer {
        "ffn_up" | "ffn_gate" | "gelu" | "swiglu" => Features::Ffn,
        "qkv" => Features::Qkv,
        "logits" => Features::Vocab,
        _ => Features::Hidden,
    }
}

/// A forward operation.
#[derive(Debug, Clone)]
pub(super) struct Step<'a> {
    pub(super) op: &'a LayerOp,
    /// Tensors that it uses.
    pub(super) inputs: Vec<String>,
    /// Whether a layer's backward operations need what it makes.
    pub(super) again: bool,
}

impl<'a> Step<'a> {
    pub(super) fn of(graph: &'a LayerGraph, node: NodeIndex) -> Step<'a> {
        let inputs = graph.inputs(node).into_iter().map(|(_, tensor)| tensor.name.clone()).collect();
        Step { op: graph.op(node), inputs, again: needed(graph, node) }
    }
}

/// Whether a backward operation of the same layer uses what a forward operation makes, or what is
/// made of it in the layer.
fn needed(graph: &LayerGraph, node: NodeIndex) -> bool {
    let layer = graph.op(node).layer;
    let user = |user: NodeIndex| {
        let op = graph.op(user);
        op.layer == layer && (op.phase != Phase::Forward || needed(graph, user))
    };
    graph.users(node).into_iter().any(|(node, _)| user(node))
}

/// The function that an operation of one operand applies.
pub(super) fn function(kind: OpKind) -> Option<Function> {
    match kind {
        OpKind::Gelu => Some(Function::Gelu),
        OpKind::GeluTanh => Some(Function::GeluTanh),
        OpKind::Tanh => Some(Function::Tanh),
        _ => None,
    }
}

/// The tables of an embedding.
pub(super) fn tables(op: &LayerOp) -> Vec<Table> {
    op.weights.iter().filter_map(|weight| Table::of(&weight.name)).collect()
}

/// Name of an operation's parameters without what follows the last dot.
pub(super) fn stem(op: &LayerOp, last: &str) -> String {
    let name = &op.weights[0].name;
    name.strip_suffix(last).and_then(|n| n.strip_suffix('.')).unwrap_or(name).to_owned()
}
