//! Does the layer graph hold exactly the operations, tensors and counts of the model?
#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeMap;

use models::count::{self, FlopConvention};
use models::{Design, LayerGraph, ModelShape, Phase, presets};

fn shape(layers: u32, d_model: u32, heads: u32, d_ff: u32) -> ModelShape {
    let name = "tiny".to_owned();
    ModelShape { name, design: Design::GPT2, layers, d_model, heads, d_ff, vocab: 32, max_positions: 8 }
}

#[test]
fn one_layer_prints_as_in_the_golden_file() {
    let graph = LayerGraph::training_step(&shape(1, 16, 2, 64), 2, 8).unwrap();
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/tiny_training_step.txt");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(path, graph.to_string()).unwrap();
    }
    assert_eq!(graph.to_string(), std::fs::read_to_string(path).unwrap());
}

#[test]
fn parameters_of_the_graph_are_the_closed_form() {
    let mut shapes: Vec<ModelShape> = presets::list().into_iter().map(|preset| preset.shape).collect();
    shapes.push(shape(3, 12, 3, 20));
    for shape in shapes {
        let graph = LayerGraph::training_step(&shape, 1, 8).unwrap();
        let parameters: u128 = graph.parameters().iter().map(|tensor| tensor.shape.elements()).sum();
        assert_eq!(parameters, u128::from(count::parameters(&shape)), "{}", shape.name);
    }
}

#[test]
fn products_of_the_graph_add_up_to_the_palm_count() {
    let case = |preset: presets::Preset| (preset.shape.clone(), 3, preset.shape.max_positions.min(320));
    let mut cases: Vec<_> = presets::list().into_iter().map(case).collect();
    cases.push((shape(3, 12, 3, 20), 5, 7));
    for (shape, batch, seq_len) in cases {
        let graph = LayerGraph::training_step(&shape, batch, seq_len).unwrap();
        let macs: u128 = graph.graph().node_weights().map(|op| graph.macs(op)).sum();
        let tokens = batch * u64::from(seq_len);
        let palm = count::training_flops(&shape, seq_len, tokens, FlopConvention::Palm);
        assert_eq!(2 * macs, palm, "{}", shape.name);
    }
}

#[test]
fn every_parameter_has_its_gradient_and_every_operation_its_backward() {
    let graph = LayerGraph::training_step(&shape(2, 16, 2, 64), 2, 8).unwrap();
    let made: BTreeMap<&str, usize> = graph
        .graph()
        .node_weights()
        .filter(|op| op.phase == Phase::WeightGradient)
        .flat_map(|op| &op.outputs)
        .map(|tensor| (tensor.name.as_str(), 1))
        .collect();
    for parameter in graph.parameters() {
        let gradient = format!("d.{}", parameter.name);
        let tied = ["d.wte.embed", "d.wte.lm_head"].iter().all(|half| made.contains_key(half));
        assert!(made.contains_key(gradient.as_str()) || (parameter.name == "wte" && tied), "{gradient}");
    }
    assert_eq!(made.len(), graph.parameters().len() + 1);
    for op in graph.graph().node_weights().filter(|op| op.phase == Phase::Forward) {
        let backward = graph.find(&format!("{}.backward", op.name)).is_some();
        assert_eq!(backward, op.name != "embed", "{}", op.name);
        let weight_gradient = graph.find(&format!("{}.weight_gradient", op.name)).is_some();
        assert_eq!(weight_gradient, !op.weights.is_empty(), "{}", op.name);
    }
}

#[test]
fn the_order_is_executable_repeatable_and_complete() {
    let graph = LayerGraph::training_step(&shape(3, 16, 2, 64), 2, 8).unwrap();
    let order = graph.topological_order();
    assert_eq!(order.len(), 30 * 3 + 10);
    let place: BTreeMap<_, _> = order.iter().enumerate().map(|(place, node)| (*node, place)).collect();
    for node in &order {
        for (maker, tensor) in graph.inputs(*node) {
            assert!(place[&maker] < place[node], "{tensor} is used before it is made");
        }
        for (user, _) in graph.users(*node) {
            assert!(place[&user] > place[node]);
        }
    }
    let again = LayerGraph::training_step(&shape(3, 16, 2, 64), 2, 8).unwrap();
    assert_eq!(again.to_string(), graph.to_string());
    assert!(order.is_sorted(), "nodes are stored in an executable order");
}

#[test]
fn a_step_that_does_not_fit_the_model_is_refused_with_all_reasons() {
    let diagnostics = |batch, seq_len, shape| -> Vec<String> {
        let diagnostics = LayerGraph::training_step(&shape, batch, seq_len).unwrap_err();
        diagnostics.iter().map(ToString::to_string).collect()
    };
    assert_eq!(
        diagnostics(0, 9, shape(1, 16, 3, 64)),
        [
            "error[model-heads] heads: 3 heads do not divide d_model 16\n  help: 2 heads would",
            "error[step-zero] batch: is 0\n  help: must be at least 1",
            "error[step-positions] seq_len: 9 tokens, the model has 8 positions\n  help: at most 8",
        ]
    );
    let diagnostics = diagnostics(u64::MAX, 8, shape(20_000, 16, 2, 64));
    assert!(
        diagnostics.iter().all(|diagnostic| diagnostic.starts_with("error[step-size-limit]")) && diagnostics.len() == 2,
        "{diagnostics:?}"
    );
}
