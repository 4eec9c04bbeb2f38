//! The layer graph as the schedule takes it: its forward operations in their order, each with its buffers and its
//! parameters. It is made once, since thousands of geometries are tried and it is the same for all of them.
//!
//! **Invariant.** Nothing here depends on the geometry.
//! **Not here.** Which buffers tensors are in (`buffers`), kernels.

use super::buffers::{At, Tensors, features};
use crate::ids::{BufferId, Product};
use crate::kernels::activation::Function;
use crate::kernels::embed::Table;
use crate::layout::Features;
use models::graph::{Activation, Module, Parameter, Role};
use models::{LayerGraph, OpKind, Phase as GraphPhase, Tensor};
use petgraph::graph::NodeIndex;
use std::collections::BTreeSet;
use std::sync::Arc;

/// Name of an operation in the layer graph, which says nothing to the compiler.
pub(super) type Name = Arc<str>;

/// The buffers of an activation.
#[derive(Debug, Clone, Copy)]
pub(super) struct Buffers {
    /// How it is spread over the columns.
    pub(super) features: Features,
    /// Of the activation.
    pub(super) own: BufferId,
    /// Of the gradient with respect to it.
    pub(super) gradient: BufferId,
}

/// A forward operation, with all that its kernels have to do with.
#[derive(Debug)]
pub(super) struct Operation {
    pub(super) kind: OpKind,
    /// The layer, if it belongs to one.
    pub(super) layer: Option<u32>,
    /// Activations that it uses.
    pub(super) inputs: Vec<Buffers>,
    /// The first activation that it makes.
    pub(super) makes: Activation,
    /// Its buffers.
    pub(super) out: Buffers,
    /// Whether a layer's backward operations need what it makes.
    pub(super) recomputed: bool,
    /// Its parameters.
    pub(super) weights: Vec<Parameter>,
    /// The operations of the graph that stand for it: itself, and its gradients.
    pub(super) forward: Name,
    pub(super) backward: Name,
    pub(super) weight_gradient: Name,
}

impl Operation {
    fn of(graph: &LayerGraph, node: NodeIndex, tensors: &Tensors) -> Operation {
        let op = graph.op(node);
        let buffers = |tensor: &Tensor| {
            let at = activation(tensor);
            Buffers { features: features(at.0), own: tensors.buffer(at), gradient: tensors.gradient(at) }
        };
        let name = op.name.as_str();
        Operation {
            kind: op.kind,
            layer: op.layer,
            inputs: graph.inputs(node).into_iter().map(|(_, tensor)| buffers(tensor)).collect(),
            makes: activation(&op.outputs[0]).0,
            out: buffers(&op.outputs[0]),
            recomputed: needed(graph, node),
            weights: op.weights.iter().map(parameter).collect(),
            forward: name.into(),
            backward: format!("{name}.backward").into(),
            weight_gradient: format!("{name}.weight_gradient").into(),
        }
    }

    /// The product that it is.
    pub(super) fn product(&self) -> Product {
        Product::of(self.kind).expect("whoever asks has found that it is nothing else")
    }

    /// The module whose parameters it reads.
    pub(super) fn module(&self) -> Module {
        self.weights.first().expect("whoever asks has found an operation with parameters").module
    }

    /// The tables of an embedding.
    pub(super) fn tables(&self) -> Vec<Table> {
        self.weights.iter().filter_map(|weight| Table::of(weight.module.kind)).collect()
    }
}

/// The activation that a tensor between forward operations is.
fn activation(tensor: &Tensor) -> At {
    match tensor.role {
        Role::Activation(of, layer) => (of, layer),
        Role::Parameter(_) | Role::Gradient => unreachable!("{}: forward operations pass on activations", tensor.name),
    }
}

/// The parameters that a tensor on an operation is.
fn parameter(tensor: &Tensor) -> Parameter {
    match tensor.role {
        Role::Parameter(parameter) => parameter,
        Role::Activation(..) | Role::Gradient => unreachable!("{}: what operations read is parameters", tensor.name),
    }
}

/// Whether an activation is made before the first layer.
fn below_layers(of: Activation) -> bool {
    matches!(of, Activation::Embedding | Activation::EmbeddingScaled | Activation::EmbeddingNorm)
}

/// A layer graph as the schedule takes it, whatever the geometry: its forward operations in their
/// order, with all names.
#[derive(Debug)]
pub struct Operations {
    pub(super) tensors: Tensors,
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
        let tensors = Tensors::of(graph);
        let operations = graph.graph().node_weights().map(|op| op.name.as_str().into()).collect();
        let layers = (0..tensors.layers).map(|_| Vec::new()).collect();
        let mut operations = Operations { tensors, below: Vec::new(), layers, above: Vec::new(), operations };
        for node in graph.topological_order() {
            let op = graph.op(node);
            if op.phase != GraphPhase::Forward {
                continue;
            }
            let place = match op.layer {
                Some(layer) => &mut operations.layers[layer as usize],
                None if below_layers(activation(&op.outputs[0]).0) => &mut operations.below,
                None => &mut operations.above,
            };
            place.push(Operation::of(graph, node, &tensors));
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
