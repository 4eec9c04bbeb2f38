//! The shape rules of a layer graph, stated apart from the code that builds it.
//!
//! Forward operations are held against their own definition (a product's input features equal the
//! rows of its matrix); a gradient must have the shape of what it is the gradient of.
//! **Not here.** [`super::build`]'s helpers, so that one mistake cannot pass both.

use std::collections::BTreeMap;

use petgraph::graph::NodeIndex;

use super::LayerGraph;
use super::op::{LayerOp, OpKind, Phase};
use super::tensor::{Tensor, TensorShape};
use crate::diagnostic;
use crate::shape::design::Positions;
use sim_core::diag::Diagnostic;

impl LayerGraph {
    /// Holds every tensor against the operations that make and use it.
    ///
    /// # Errors
    /// One `graph-shape` diagnostic per operation that does not fit, naming the operation and the shapes.
    pub fn check(&self) -> Result<(), Vec<Diagnostic>> {
        let mut shapes: BTreeMap<&str, &TensorShape> = BTreeMap::new();
        for op in self.graph.node_weights() {
            for tensor in op.outputs.iter().chain(&op.weights) {
                shapes.insert(&tensor.name, &tensor.shape);
            }
        }
        let diagnostic = |op: &LayerOp, message| diagnostic::of("graph-shape", &op.name, message, "");
        let diagnostics: Vec<Diagnostic> = (self.graph.node_indices())
            .filter_map(|node| self.fits(node, &shapes).err().map(|why| diagnostic(&self.graph[node], why)))
            .collect();
        if diagnostics.is_empty() { Ok(()) } else { Err(diagnostics) }
    }

    fn fits(&self, node: NodeIndex, shapes: &BTreeMap<&str, &TensorShape>) -> Result<(), String> {
        let op = &self.graph[node];
        let inputs = self.inputs(node);
        for (maker, tensor) in &inputs {
            if !self.graph[*maker].outputs.contains(tensor) {
                return Err(format!("uses {tensor}, which {} does not make", self.graph[*maker].name));
            }
        }
        let inputs: Vec<&Tensor> = inputs.into_iter().map(|(_, tensor)| tensor).collect();
        if op.phase != Phase::Forward {
            return gradients_fit(op, shapes);
        }
        if self.forward_fits(op, &inputs) {
            return Ok(());
        }
        let list = |tensors: &mut dyn Iterator<Item = &Tensor>| {
            tensors.map(ToString::to_string).collect::<Vec<_>>().join(", ")
        };
        let inputs = list(&mut inputs.into_iter());
        let (weights, outputs) = (list(&mut op.weights.iter()), list(&mut op.outputs.iter()));
        Err(format!("inputs {inputs} and weights {weights} do not give {outputs}"))
    }

    /// Whether a forward operation's shapes follow from each other and from the step.
    fn forward_fits(&self, op: &LayerOp, inputs: &[&Tensor]) -> bool {
        let (b, t) = (self.batch(), u64::from(self.seq_len()));
        let ins: Vec<Vec<u64>> = inputs.iter().map(|tensor| tensor.shape.sizes()).collect();
        let outs: Vec<Vec<u64>> = op.outputs.iter().map(|tensor| tensor.shape.sizes()).collect();
        let weights: Vec<Vec<u64>> = op.weights.iter().map(|tensor| tensor.shape.sizes()).collect();
        let labels = u64::from(self.shape().classes());
        match (op.kind, &ins[..], &weights[..], &outs[..]) {
            (OpKind::Embedding, [], [wte, more @ ..], [out]) => {
                let table = |rows: &Vec<u64>| rows.len() == 2 && rows[1] == wte[1];
                let learned = self.shape().design.positions == Positions::Learned;
                let long = if learned { more.first().is_some_and(|wpe| t <= wpe[0]) } else { true };
                table(wte) && more.iter().all(table) && long && *out == [b, t, wte[1]]
            }
            (kind, [x], [gain, bias @ ..], [out]) if kind.is_norm() => {
                let biases = usize::from(self.shape().design.norm.has_bias());
                let vector = |parameter: &Vec<u64>| *parameter == [x[2]];
                x.len() == 3 && x == out && vector(gain) && bias.len() == biases && bias.iter().all(vector)
            }
            (OpKind::Qkv, [x], [matrix, bias @ ..], [q, k, v]) => {
                k == v && q.len() == 3 && k.len() == 3 && product(x, matrix, bias, &[q[0], q[1], q[2] + 2 * k[2]])
            }
            (OpKind::Rotary, [q, k], [], [q_rot, k_rot]) => q == q_rot && k == k_rot,
            (
                OpKind::Projection | OpKind::FfnGate | OpKind::FfnUp | OpKind::FfnDown | OpKind::HeadDense,
                [x],
                [matrix, bias @ ..],
                [out],
            ) => product(x, matrix, bias, out),
            (OpKind::Pooler, [x], [matrix, bias], [out]) => {
                x.len() == 3 && out.len() == 2 && product(&[x[0], 1, x[2]], matrix, &[bias], &[out[0], 1, out[1]])
            }
            (OpKind::Classifier, [x], [matrix, bias], [out]) => {
                x.len() == 2 && *out == [x[0], labels] && product(&[x[0], 1, x[1]], matrix, &[bias], &[x[0], 1, labels])
            }
            (OpKind::AttentionScores, [q, k], [], [out]) => {
                let heads = u64::from(self.shape().heads);
                q.len() == 3 && k.len() == 3 && q[..2] == k[..2] && q[2].is_multiple_of(heads) && {
                    k[2].is_multiple_of(q[2] / heads) && *out == [q[0], heads, q[1], k[1]]
                }
            }
            (OpKind::Softmax | OpKind::Gelu | OpKind::GeluTanh | OpKind::Tanh, [x], [], [out])
            | (OpKind::Scale | OpKind::Alibi, [x], [], [out]) => x == out,
            (OpKind::SwiGlu, [gate, up], [], [out]) => gate == up && up == out,
            (OpKind::AttentionValues, [p, v], [], [out]) => {
                let d_head = u64::from(self.shape().d_head());
                p.len() == 4 && v.len() == 3 && p[0] == v[0] && p[3] == v[1] && *out == [v[0], p[2], p[1] * d_head]
            }
            (OpKind::Residual, [skip, branch], [], [out]) => skip == branch && branch == out,
            (OpKind::LmHead, [x], [table, bias @ ..], [out]) => {
                let biases = bias.iter().all(|bias| *bias == [table[0]]);
                x.len() == 3 && table.len() == 2 && x[2] == table[1] && biases && *out == [x[0], x[1], table[0]]
            }
            (OpKind::CrossEntropy, [x], [], [out]) => (*x == [b, t, labels] || *x == [b, labels]) && out.is_empty(),
            _ => false,
        }
    }
}

/// What a gradient is named behind, if it is that through one path alone.
const PARTS: [&str; 6] = [".embed", ".lm_head", ".up", ".branch", ".attention", ".partial"];

/// Whether `x · matrix`, plus the bias if there is one, has the sizes `out`.
fn product<V: AsRef<[u64]>>(x: &[u64], matrix: &[u64], bias: &[V], out: &[u64]) -> bool {
    let fits = x.len() == 3 && matrix.len() == 2 && x[2] == matrix[0] && out == [x[0], x[1], matrix[1]];
    fits && bias.len() <= 1 && bias.iter().all(|bias| bias.as_ref() == [matrix[1]])
}

/// Whether every output has the shape of the tensor whose gradient it is.
fn gradients_fit(op: &LayerOp, shapes: &BTreeMap<&str, &TensorShape>) -> Result<(), String> {
    for tensor in &op.outputs {
        let name = tensor.name.strip_prefix("d.").unwrap_or("");
        let name = PARTS.iter().fold(name, |name, suffix| name.strip_suffix(suffix).unwrap_or(name));
        match shapes.get(name) {
            Some(shape) if **shape == tensor.shape => {}
            Some(shape) => return Err(format!("makes {tensor}, but {name} is {shape}")),
            None => return Err(format!("makes {tensor}, the gradient of nothing in the graph")),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::presets;
    use crate::shape::ModelShape;

    fn graph() -> LayerGraph {
        LayerGraph::training_step(&presets::find("cerebras-gpt-111m").unwrap().shape, 2, 64).unwrap()
    }

    fn diagnostics_after(name: &str, spoil: impl Fn(&mut LayerOp)) -> Vec<String> {
        let mut graph = graph();
        let node = graph.find(name).unwrap();
        spoil(&mut graph.graph[node]);
        graph.check().unwrap_err().into_iter().map(|diagnostic| diagnostic.at).collect()
    }

    #[test]
    fn a_spoiled_output_is_found_at_its_maker_and_its_users() {
        let keys = diagnostics_after("h.3.gelu", |op| op.outputs[0].shape.0[2].size -= 1);
        assert_eq!(keys, ["h.3.gelu", "h.3.ffn_down", "h.3.ffn_down.backward", "h.3.ffn_down.weight_gradient"]);
    }

    #[test]
    fn a_spoiled_weight_is_found() {
        assert_eq!(diagnostics_after("h.0.proj", |op| op.weights[0].shape.0[0].size = 7), ["h.0.proj"]);
        assert_eq!(diagnostics_after("ln_f", |op| drop(op.weights.pop())), ["ln_f"]);
    }

    #[test]
    fn a_gradient_of_the_wrong_shape_is_found() {
        let keys = diagnostics_after("h.1.attn.backward", |op| op.outputs[1].shape.0.swap(0, 1));
        assert_eq!(keys, ["h.1.attn.backward", "h.1.qkv.backward", "h.1.qkv.weight_gradient"]);
    }

    #[test]
    fn every_kind_of_forward_operation_has_a_rule() {
        for preset in presets::list() {
            let shape = ModelShape { layers: 1, ..preset.shape };
            let graph = || LayerGraph::training_step(&shape, 2, shape.max_positions.min(64)).unwrap();
            let kinds: std::collections::BTreeSet<OpKind> = graph().graph.node_weights().map(|op| op.kind).collect();
            for kind in kinds {
                let mut graph = graph();
                let node = graph.graph.node_indices().find(|node| graph.graph[*node].kind == kind).unwrap();
                graph.graph[node].outputs[0].shape.0.push(super::super::Dim { axis: super::super::Axis::Key, size: 3 });
                assert!(graph.check().is_err(), "{}: {kind:?} has no shape rule", shape.name);
            }
        }
    }
}
