//! What the schedule takes of a layer graph: its forward operations in their order, with the names
//! that their kernels have to do with. Made once, for every geometry that is tried.
//!
//! **Invariant.** Nothing here depends on the geometry.
//! **Not here.** Which buffers tensors are in (`names`), kernels.

use super::buffers::Names;
use crate::kernel::{Name, local};
use crate::kernels::activation::Function;
use crate::kernels::embed::Table;
use models::{LayerGraph, LayerOp, OpKind, Phase as GraphPhase};
use petgraph::graph::NodeIndex;
use std::collections::BTreeSet;

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
pub(super) struct Operation {
    pub(super) op: LayerOp,
    /// Tensors that it uses.
    pub(super) inputs: Vec<Buffers>,
    /// The first tensor that it makes.
    pub(super) out: Buffers,
    /// Whether a layer's backward operations need what it makes.
    pub(super) recomputed: bool,
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

impl Operation {
    fn of(graph: &LayerGraph, node: NodeIndex, names: &Names) -> Operation {
        let op = graph.op(node).clone();
        let buffers =
            |tensor: &str| Buffers { own: names.buffer(tensor).into(), gradient: names.gradient(tensor).into() };
        let (name, label) = (op.name.as_str(), local(&op.name));
        Operation {
            inputs: graph.inputs(node).into_iter().map(|(_, tensor)| buffers(&tensor.name)).collect(),
            out: buffers(&op.outputs[0].name),
            recomputed: needed(graph, node),
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
pub struct Operations {
    pub(super) names: Names,
    /// Before the layers.
    pub(super) below: Vec<Operation>,
    /// Layer by layer.
    pub(super) layers: Vec<Vec<Operation>>,
    /// Behind the layers.
    pub(super) above: Vec<Operation>,
    /// All operations of the graph, backward ones too.
    pub(super) operations: BTreeSet<Name>,
}

impl Operations {
    /// Of a graph.
    #[must_use]
    pub fn of(graph: &LayerGraph) -> Operations {
        let names = Names::of(graph);
        let operations = graph.graph().node_weights().map(|op| op.name.as_str().into()).collect();
        let layers = (0..names.layers).map(|_| Vec::new()).collect();
        let mut operations = Operations { names, below: Vec::new(), layers, above: Vec::new(), operations };
        for node in graph.topological_order() {
            let op = graph.op(node);
            if op.phase != GraphPhase::Forward {
                continue;
            }
            let place = match op.layer {
                Some(layer) => &mut operations.layers[layer as usize],
                None if op.name.starts_with("embed") => &mut operations.below,
                None => &mut operations.above,
            };
            place.push(Operation::of(graph, node, &names));
        }
        operations
    }
}

/// Whether a backward operation of the same layer uses what a forward operation makes, or what is
/// made of it in the layer.
fn needed(graph: &LayerGraph, node: NodeIndex) -> bool {
    let layer = graph.op(node).layer;
    let user = |user: NodeIndex| {
        let op = graph.op(user);
        op.layer == layer && (op.phase != GraphPhase::Forward || needed(graph, user))
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
