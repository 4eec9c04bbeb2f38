//! Which buffers the tensors of a layer graph are in, and what the schedule knows of an operation.
//!
//! **Invariant.** A buffer's name says what it holds; tensors of one buffer are never needed at the
//! same time. All gradients of the residual stream are in [`STREAM`].
//! **Not here.** Kernels.

use crate::geometry::Features;
use crate::kernel::{Name, local};
use crate::kernels::activation::Function;
use crate::kernels::embed::Table;
use models::design::{Block, Decimal, Design};
use models::{LayerGraph, LayerOp, OpKind, Phase};
use petgraph::graph::NodeIndex;
use std::collections::BTreeSet;

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

/// The buffers of a tensor.
#[derive(Debug, Clone)]
pub(super) struct Buffers {
    /// Of the tensor.
    pub(super) own: Name,
    /// Of the gradient with respect to it.
    pub(super) gradient: Name,
}

/// A forward operation, with all names that its kernels have to do with.
#[derive(Debug)]
pub(super) struct Step {
    pub(super) op: LayerOp,
    /// Tensors that it uses.
    pub(super) inputs: Vec<Buffers>,
    /// The first tensor that it makes.
    pub(super) out: Buffers,
    /// Whether a layer's backward operations need what it makes.
    pub(super) again: bool,
    /// Its parameters.
    pub(super) weights: Vec<Name>,
    /// What their names begin with; empty if there are none.
    pub(super) stem: Name,
    /// The operations of the graph that stand for it: itself, and its gradients.
    pub(super) forward: Name,
    pub(super) backward: Name,
    pub(super) weight_gradient: Name,
    /// Its kernels, for people.
    pub(super) label: Name,
    pub(super) input_gradient_label: Name,
    pub(super) weight_gradient_label: Name,
    pub(super) bias_gradient_label: Name,
}

impl Step {
    fn of(graph: &LayerGraph, node: NodeIndex, names: &Names) -> Step {
        let op = graph.op(node).clone();
        let buffers =
            |tensor: &str| Buffers { own: names.buffer(tensor).into(), gradient: names.gradient(tensor).into() };
        let (name, label) = (op.name.as_str(), local(&op.name));
        Step {
            inputs: graph.inputs(node).into_iter().map(|(_, tensor)| buffers(&tensor.name)).collect(),
            out: buffers(&op.outputs[0].name),
            again: needed(graph, node),
            weights: op.weights.iter().map(|weight| weight.name.as_str().into()).collect(),
            stem: stem(&op).into(),
            forward: name.into(),
            backward: format!("{name}.backward").into(),
            weight_gradient: format!("{name}.weight_gradient").into(),
            label: label.into(),
            input_gradient_label: format!("{label} input gradient").into(),
            weight_gradient_label: format!("{label} weight gradient").into(),
            bias_gradient_label: format!("{label} bias gradient").into(),
            op,
        }
    }
}

/// A layer graph as the schedule takes it, whatever the geometry: its forward operations in their
/// order, with all names.
#[derive(Debug)]
pub struct Steps {
    pub(super) names: Names,
    /// Before the layers.
    pub(super) below: Vec<Step>,
    /// Layer by layer.
    pub(super) layers: Vec<Vec<Step>>,
    /// Behind the layers.
    pub(super) above: Vec<Step>,
    /// All operations of the graph, backward ones too.
    pub(super) operations: BTreeSet<Name>,
}

impl Steps {
    /// Of a graph.
    #[must_use]
    pub fn of(graph: &LayerGraph) -> Steps {
        let names = Names::of(graph);
        let operations = graph.graph().node_weights().map(|op| op.name.as_str().into()).collect();
        let layers = (0..names.layers).map(|_| Vec::new()).collect();
        let mut steps = Steps { names, below: Vec::new(), layers, above: Vec::new(), operations };
        for node in graph.topological_order() {
            let op = graph.op(node);
            if op.phase != Phase::Forward {
                continue;
            }
            let place = match op.layer {
                Some(layer) => &mut steps.layers[layer as usize],
                None if op.name.starts_with("embed") => &mut steps.below,
                None => &mut steps.above,
            };
            place.push(Step::of(graph, node, &names));
        }
        steps
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
fn stem(op: &LayerOp) -> &str {
    let Some(weight) = op.weights.first() else { return "" };
    weight.name.strip_suffix(".weight").unwrap_or(&weight.name)
}
