//! The layer graph of a step: which operations there are and which tensors they pass on.
//!
//! Nodes are [`LayerOp`]s, edges are [`Tensor`]s from the operation that makes them to one that uses them. A tensor is
//! named after the activation that it holds (`h.0.ln_1`, `logits`); `d.` in front means the gradient of the loss with
//! respect to it. Parameters carry the names of Hugging Face's GPT-2, whatever the design (`wtt`: token types;
//! `mlp.c_gate`: the gate). They hang on the operations as [`LayerOp::weights`] and are not edges, because on a
//! weight-streaming machine no operation makes them. [`crate::oracle`] uses the same names.
//!
//! **Invariant.** The graph is acyclic, nodes are stored in an executable order, every shape passes
//! [`LayerGraph::check`], and the same arguments give the same graph.
//! **Not here.** Token and target ids, which are inputs of the step; dropout, which the published runs do without;
//! recomputation and everything else that a mapping decides.

mod build;
mod check;
mod macs;
mod op;
mod role;
mod tensor;

pub use op::{LayerOp, OpKind, Phase};
pub use role::{Activation, Module, ModuleKind, Parameter, Part, Role};
pub use tensor::{Axis, Dim, Tensor, TensorShape};

use crate::shape::ModelShape;
use crate::workload::Workload;
use petgraph::Direction;
use petgraph::graph::{DiGraph, NodeIndex};
use petgraph::visit::EdgeRef;
use sim_core::diag::Diagnostic;
use std::collections::BTreeSet;
use std::fmt;

/// The operations and tensors of one step, all sequences of the step together.
#[derive(Clone, Debug)]
pub struct LayerGraph {
    workload: Workload,
    graph: DiGraph<LayerOp, Tensor>,
}

impl LayerGraph {
    /// The operations of `workload`.
    ///
    /// # Errors
    /// Every diagnostic of [`Workload::validate`] at once.
    pub fn of(workload: Workload) -> Result<Self, Vec<Diagnostic>> {
        let diagnostics = workload.validate();
        if !diagnostics.is_empty() {
            return Err(diagnostics);
        }
        let built = Self { graph: build::build(&workload), workload };
        built.check()?;
        Ok(built)
    }

    /// The training step of `shape` on `batch` sequences of `seq_len` tokens.
    ///
    /// # Errors
    /// As [`LayerGraph::of`].
    pub fn training_step(shape: &ModelShape, batch: u64, seq_len: u32) -> Result<Self, Vec<Diagnostic>> {
        Self::of(Workload::training(shape, batch, seq_len))
    }

    /// What it is the graph of.
    #[must_use]
    pub fn workload(&self) -> &Workload {
        &self.workload
    }

    /// The model it was built for.
    #[must_use]
    pub fn shape(&self) -> &ModelShape {
        &self.workload.shape
    }

    /// Sequences in the step.
    #[must_use]
    pub fn batch(&self) -> u64 {
        self.workload.batch
    }

    /// Tokens per sequence.
    #[must_use]
    pub fn seq_len(&self) -> u32 {
        self.workload.seq_len
    }

    /// The graph itself, for petgraph's algorithms.
    #[must_use]
    pub fn graph(&self) -> &DiGraph<LayerOp, Tensor> {
        &self.graph
    }

    /// The operation `node`.
    ///
    /// # Panics
    /// If `node` is from another graph.
    #[must_use]
    pub fn op(&self, node: NodeIndex) -> &LayerOp {
        &self.graph[node]
    }

    /// The operation called `name`.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<NodeIndex> {
        self.graph.node_indices().find(|node| self.graph[*node].name == name)
    }

    /// The tensors that `node` uses with the operations that make them, in argument order.
    #[must_use]
    pub fn inputs(&self, node: NodeIndex) -> Vec<(NodeIndex, &Tensor)> {
        let mut edges: Vec<_> = self.graph.edges_directed(node, Direction::Incoming).collect();
        edges.sort_by_key(|edge| edge.id());
        edges.into_iter().map(|edge| (edge.source(), edge.weight())).collect()
    }

    /// The operations that use what `node` makes, with the tensor, in the order they were built.
    #[must_use]
    pub fn users(&self, node: NodeIndex) -> Vec<(NodeIndex, &Tensor)> {
        let mut edges: Vec<_> = self.graph.edges_directed(node, Direction::Outgoing).collect();
        edges.sort_by_key(|edge| edge.id());
        edges.into_iter().map(|edge| (edge.target(), edge.weight())).collect()
    }

    /// All operations, each after everything it uses; where that leaves a choice, in the order of
    /// building: layer by layer forward, then backward with each weight gradient next to its
    /// backward operation.
    #[must_use]
    pub fn topological_order(&self) -> Vec<NodeIndex> {
        let mut missing: Vec<usize> = self
            .graph
            .node_indices()
            .map(|node| self.graph.edges_directed(node, Direction::Incoming).count())
            .collect();
        let mut ready: BTreeSet<NodeIndex> =
            self.graph.node_indices().filter(|node| missing[node.index()] == 0).collect();
        let mut order = Vec::with_capacity(missing.len());
        while let Some(node) = ready.pop_first() {
            order.push(node);
            for user in self.graph.edges(node).map(|edge| edge.target()) {
                missing[user.index()] -= 1;
                if missing[user.index()] == 0 {
                    ready.insert(user);
                }
            }
        }
        assert_eq!(order.len(), missing.len(), "a layer graph is acyclic by construction");
        order
    }

    /// The parameters of the model as the forward operations read them, each once, by name.
    #[must_use]
    pub fn parameters(&self) -> Vec<&Tensor> {
        let forward = self.graph.node_weights().filter(|op| op.phase == Phase::Forward);
        let mut parameters: Vec<&Tensor> = forward.flat_map(|op| &op.weights).collect();
        parameters.sort_by(|a, b| a.name.cmp(&b.name));
        parameters.dedup_by(|a, b| a.name == b.name);
        parameters
    }
}

impl fmt::Display for LayerGraph {
    /// One line per operation in topological order:
    /// `name = Kind(inputs; weights) -> outputs with shapes`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Workload { shape, mode, batch, seq_len } = &self.workload;
        writeln!(f, "{} of {}: batch {batch}, seq_len {seq_len}", mode.noun(), shape.name)?;
        for node in self.topological_order() {
            let op = &self.graph[node];
            let names = |tensors: &mut dyn Iterator<Item = &Tensor>| {
                tensors.map(|tensor| tensor.name.as_str()).collect::<Vec<_>>().join(", ")
            };
            let inputs = names(&mut self.inputs(node).into_iter().map(|(_, tensor)| tensor));
            let weights = names(&mut op.weights.iter());
            write!(f, "{:<15} {:?}({inputs}", op.phase.name(), op.kind)?;
            if !weights.is_empty() {
                write!(f, "; {weights}")?;
            }
            let outputs: Vec<String> = op.outputs.iter().map(ToString::to_string).collect();
            writeln!(f, ") -> {}", outputs.join(", "))?;
        }
        Ok(())
    }
}
