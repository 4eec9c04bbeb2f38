//! The layer graph of one training step: which operations there are and which tensors they pass on.
//!
//! Nodes are [`LayerOp`]s, edges are [`Tensor`]s from the operation that makes them to one that uses
//! them. Tensors are named after the activation they hold (`h.0.ln_1`, `logits`); `d.` in front
//! means the gradient of the loss with respect to it. Parameters carry the names of
//! Hugging Face's GPT-2, whatever the design (`wtt`: token types; `mlp.c_gate`: the gate), and hang on the operations as [`LayerOp::weights`], because on a weight-streaming machine no
//! operation makes them. [`crate::oracle`] uses the same names.
//!
//! Invariant: the graph is acyclic, nodes are stored in an executable order, every shape passes
//! [`LayerGraph::check`], and the same arguments give the same graph.
//! Deliberately not here: token and target ids (inputs of the step), dropout (the published runs
//! use none), recomputation and everything else that a mapping decides.

mod build;
mod check;
mod tensor;

use std::collections::BTreeSet;
use std::fmt;

use petgraph::Direction;
use petgraph::graph::{DiGraph, NodeIndex};
use petgraph::visit::EdgeRef;
use serde::{Deserialize, Serialize};

use crate::shape::ModelShape;
pub use tensor::{Axis, Dim, Tensor, TensorShape};

/// What an operation computes. With [`Phase`] it names the kernel: `Qkv` backward is the gradient
/// with respect to the input of the QKV product.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum OpKind {
    /// Token embedding plus position embedding. Has no input gradient.
    Embedding,
    /// Multiplication by a constant.
    Scale,
    /// LayerNorm over the features of a token, with gain and bias.
    LayerNorm,
    /// RMSNorm over the features of a token, with gain.
    RmsNorm,
    /// One product to queries, keys and values.
    Qkv,
    /// Rotation of pairs of features of queries and keys by their token's position.
    Rotary,
    /// `q·kᵀ / sqrt(d_head)`, in a decoder under the causal mask.
    AttentionScores,
    /// ALiBi: from every score, the head's slope times the distance of query and key.
    Alibi,
    /// Softmax over the keys of each query.
    Softmax,
    /// Probabilities times values, heads side by side again.
    AttentionValues,
    /// Product after attention.
    Projection,
    /// Sum of the skip path and the branch. Backward, two gradients are added where the paths
    /// part: the one through the skip path and the one through the branch.
    Residual,
    /// Product of a gated feed-forward block whose result goes through SiLU. Backward, it is added
    /// to the gradient by way of [`OpKind::FfnUp`].
    FfnGate,
    /// First product of the feed-forward block.
    FfnUp,
    /// Exact GELU, `x·Φ(x)`.
    Gelu,
    /// GELU by the hyperbolic tangent.
    GeluTanh,
    /// `SiLU(gate) · up`.
    SwiGlu,
    /// Last product of the feed-forward block.
    FfnDown,
    /// LayerNorm after the last layer.
    FinalLayerNorm,
    /// RMSNorm after the last layer.
    FinalRmsNorm,
    /// Product in front of the logits of a masked-token model.
    HeadDense,
    /// Product with the first token of every sequence.
    Pooler,
    /// Hyperbolic tangent.
    Tanh,
    /// Product to the labels of a sequence.
    Classifier,
    /// Product with the transposed token embedding, or with a table of its own.
    LmHead,
    /// Mean cross-entropy over all tokens of the batch, or over its sequences.
    CrossEntropy,
}

impl OpKind {
    /// Whether it is a product of every token with a matrix of parameters.
    #[must_use]
    pub fn is_product(self) -> bool {
        use OpKind::{FfnDown, FfnGate, FfnUp, HeadDense, LmHead, Projection, Qkv};
        matches!(self, Qkv | Projection | FfnGate | FfnUp | FfnDown | HeadDense | LmHead)
    }

    /// Whether it normalises the features of a token.
    #[must_use]
    pub fn is_norm(self) -> bool {
        matches!(self, Self::LayerNorm | Self::RmsNorm | Self::FinalLayerNorm | Self::FinalRmsNorm)
    }
}

/// Which part of the step an operation belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// From the inputs to the loss.
    Forward,
    /// Gradients with respect to activations.
    Backward,
    /// Gradients with respect to parameters.
    WeightGradient,
}

impl Phase {
    /// The word used in listings and reports.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Forward => "forward",
            Self::Backward => "backward",
            Self::WeightGradient => "weight_gradient",
        }
    }
}

/// One operation of the step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LayerOp {
    /// Unique name: `h.0.qkv`, `h.0.qkv.backward`, `h.0.qkv.weight_gradient`.
    pub name: String,
    /// What it computes.
    pub kind: OpKind,
    /// Which part of the step it belongs to.
    pub phase: Phase,
    /// The decoder layer, counted from 0; `None` before the first and after the last.
    pub layer: Option<u32>,
    /// What it makes, each with a name that is unique in the graph. Most make one tensor; QKV makes
    /// `q`, `k` and `v`, a weight gradient one per parameter.
    pub outputs: Vec<Tensor>,
    /// The parameters it reads; for a weight gradient, those whose gradient it makes. Of a product,
    /// the matrix comes first.
    pub weights: Vec<Tensor>,
}

impl LayerOp {
    /// Shape of the first output, the only one of most operations.
    #[must_use]
    pub fn out(&self) -> &TensorShape {
        &self.outputs[0].shape
    }
}

/// The operations and tensors of one training step, all sequences of the step together.
#[derive(Clone, Debug)]
pub struct LayerGraph {
    shape: ModelShape,
    batch: u64,
    seq_len: u32,
    graph: DiGraph<LayerOp, Tensor>,
}

impl LayerGraph {
    /// The model it was built for.
    #[must_use]
    pub fn shape(&self) -> &ModelShape {
        &self.shape
    }

    /// Sequences in the step.
    #[must_use]
    pub fn batch(&self) -> u64 {
        self.batch
    }

    /// Tokens per sequence.
    #[must_use]
    pub fn seq_len(&self) -> u32 {
        self.seq_len
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
        writeln!(f, "training step of {}: batch {}, seq_len {}", self.shape.name, self.batch, self.seq_len)?;
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
