//! Builds the layer graph of a step, operation by operation.
//!
//! **Invariant.** An operation is added after everything it uses, so the order of adding can be executed as it stands.
//! **Not here.** The shape rules: [`super::check`] states them a second time and holds what is built here against them.

mod backward;
mod forward;
mod shapes;

use super::op::{LayerOp, OpKind, Phase};
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
    fn new(of: &Workload) -> Self {
        Self { graph: DiGraph::new(), made: BTreeMap::new(), shapes: Shapes::new(&of.shape, of.batch, of.seq_len) }
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
