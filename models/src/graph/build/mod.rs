//! Builds the layer graph of a step, operation by operation.
//!
//! **Invariant.** An operation is added after everything it uses, so the order of adding can be executed as it stands.
//! **Not here.** The shape rules: [`super::check`] states them a second time and holds what is built here against them.

mod backward;
mod forward;
mod shapes;

use super::op::{LayerOp, OpKind, Phase};
use super::role::{Activation, Module, ModuleKind, Role};
use super::tensor::{Tensor, TensorShape};
use crate::workload::{Mode, Workload};
use petgraph::graph::{DiGraph, NodeIndex};
use shapes::Shapes;
use std::collections::BTreeMap;

/// The operations of a workload that [`Workload::validate`] accepts, with the tensors they pass on as edges.
pub(super) fn build(workload: &Workload) -> DiGraph<LayerOp, Tensor> {
    let mut builder = Builder::new(workload);
    match workload.mode {
        Mode::Training => {
            builder.forward();
            builder.backward();
        }
    }
    builder.graph
}

/// Which operation: kind, layer, name of the forward operation, and which norm it is, if it is one.
struct At {
    kind: OpKind,
    layer: Option<u32>,
    name: String,
    norm: Option<ModuleKind>,
}

/// An operation that is no norm.
fn at(kind: OpKind, layer: Option<u32>, name: impl Into<String>) -> At {
    At { kind, layer, name: name.into(), norm: None }
}

struct Builder {
    graph: DiGraph<LayerOp, Tensor>,
    /// Who makes the tensor of this name, and the tensor.
    made: BTreeMap<String, (NodeIndex, Tensor)>,
    shapes: Shapes,
}

/// What [`Builder::add`] adds.
struct New<'a> {
    name: String,
    kind: OpKind,
    layer: Option<u32>,
    inputs: &'a [&'a str],
    outputs: &'a [(Made<'a>, &'a TensorShape)],
    /// Which norm it is, if it is one.
    norm: Option<ModuleKind>,
}

/// What an operation makes.
#[derive(Clone, Copy)]
enum Made<'a> {
    /// A forward operation: an activation of its layer.
    Activation(Activation),
    /// The others: a gradient of this name.
    Gradient(&'a str),
}

impl Builder {
    fn new(of: &Workload) -> Self {
        Self { graph: DiGraph::new(), made: BTreeMap::new(), shapes: Shapes::new(&of.shape, of.batch, of.seq_len) }
    }

    fn add(&mut self, phase: Phase, new: &New<'_>) {
        let mut weights = self.shapes.weights(new.kind, new.norm, new.layer);
        if phase == Phase::Backward {
            // The gradient of a product's input needs the matrix, that of a norm the gain.
            weights.truncate(1);
        }
        let suffix = match phase {
            Phase::Forward => "",
            Phase::Backward => ".backward",
            Phase::WeightGradient => ".weight_gradient",
        };
        let tensor = |&(made, shape): &(Made<'_>, &TensorShape)| {
            let (name, role) = match made {
                Made::Activation(of) => (of.named(new.layer), Role::Activation(of, new.layer)),
                Made::Gradient(name) => (name.to_owned(), Role::Gradient),
            };
            Tensor { name, role, shape: shape.clone() }
        };
        let outputs: Vec<Tensor> = new.outputs.iter().map(tensor).collect();
        let node = self.graph.add_node(LayerOp {
            name: format!("{}{suffix}", new.name),
            kind: new.kind,
            phase,
            layer: new.layer,
            outputs: outputs.clone(),
            weights,
        });
        for &name in new.inputs {
            let (maker, tensor) = self.made[name].clone();
            self.graph.add_edge(maker, node, tensor);
        }
        for tensor in outputs {
            let before = self.made.insert(tensor.name.clone(), (node, tensor));
            assert!(before.is_none(), "every tensor of a layer graph is made once");
        }
    }

    /// Adds an operation that makes one gradient of `shape`.
    fn back(&mut self, at: At, inputs: &[&str], gradient: &str, shape: &TensorShape) {
        let At { kind, layer, name, norm } = at;
        let outputs = [(Made::Gradient(gradient), shape)];
        self.add(Phase::Backward, &New { name, kind, layer, inputs, outputs: &outputs, norm });
    }

    /// Adds the gradient of the parameters of the operation `name`, from the gradient(s) of its
    /// output and, except for the embedding, its input.
    fn weight_gradient(&mut self, at: At, inputs: &[&str]) {
        let At { kind, layer, name, norm } = at;
        let weights = self.shapes.weights(kind, norm, layer);
        let tied = self.shapes.design.tied();
        let table = Role::Parameter(Module { layer: None, kind: ModuleKind::TokenTable }.weight());
        let names: Vec<String> = weights
            .iter()
            .map(|weight| match (kind, weight.role) {
                // The tied table gets two gradients; whoever holds the table adds them.
                (OpKind::Embedding, role) if tied && role == table => format!("d.{}.embed", weight.name),
                (OpKind::LmHead, role) if role == table => format!("d.{}.lm_head", weight.name),
                _ => format!("d.{}", weight.name),
            })
            .collect();
        let outputs: Vec<_> =
            names.iter().zip(&weights).map(|(name, weight)| (Made::Gradient(name), &weight.shape)).collect();
        let new = New { name, kind, layer, inputs, outputs: &outputs, norm };
        self.add(Phase::WeightGradient, &new);
    }
}
