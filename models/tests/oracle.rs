//! Is the oracle's backward pass the derivative of its forward pass, and does it name what the
//! layer graph names?
#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeMap;

use models::design::{Decimal, FeedForward, Head, Positions, Rotary};
use models::oracle::{self, Params};
use models::{Design, LayerGraph, ModelShape};
use ndarray::Axis;

const SEQ: usize = 8;

fn shape() -> ModelShape {
    ModelShape {
        name: "tiny".into(),
        design: Design::GPT2,
        layers: 2,
        d_model: 16,
        heads: 2,
        d_ff: 24,
        vocab: 32,
        max_positions: 8,
    }
}

/// Shapes of every design, with sizes that do not divide evenly.
fn designs() -> Vec<ModelShape> {
    let wide = ModelShape { d_model: 24, heads: 2, layers: 1, ..shape() };
    let of = |name: &str, design| ModelShape { name: name.into(), design, ..wide.clone() };
    let rotary = |dims, design: Design| match design.positions {
        Positions::Rotary(r) => Design { positions: Positions::Rotary(Rotary { dims, ..r }), ..design },
        Positions::Learned | Positions::Alibi => design,
    };
    let neox = Design::gpt_neox(4);
    let llama = Design::llama(12);
    vec![
        shape(),
        of("gpt-j", rotary(8, Design::GPT_J)),
        of("gpt-neox", neox),
        ModelShape { layers: 2, ..of("llama", llama) },
        ModelShape { layers: 2, ..of("bert-cls", Design { head: Head::Classifier { labels: 3 }, ..Design::BERT }) },
        of("bert-mlm", Design { head: Head::MaskedLm, ..Design::BERT }),
        of("grouped", Design { kv_heads: Some(1), head: Head::Tied, ..llama }),
        of("alibi", Design::btlm(Decimal(222_000_000_000))),
        of("multi-query", Design { kv_heads: Some(1), feed_forward: FeedForward::GeluTanh, ..Design::GPT2 }),
    ]
}

/// Two sequences of eight ids; some occur twice, some never.
fn ids(factor: u32, offset: u32) -> Vec<Vec<u32>> {
    let row = |b: u32| (0..8).map(|t| (t * factor + b * 5 + offset) % 29).collect();
    (0..2).map(row).collect()
}

/// Entries spread over a tensor, with those rows of tables that are certainly used.
fn entries(len: usize) -> Vec<usize> {
    let mut entries = vec![0, 1, len / 3, len / 2, 2 * len / 3, len - 1];
    entries.dedup();
    entries
}

#[test]
fn the_loss_is_that_of_another_implementation() {
    // Written once in plain Python, with loops, math.erf and math.fsum, for the same parameters.
    let loss = oracle::loss(&shape(), &Params::seeded(&shape(), 1), &ids(3, 1), &ids(7, 4));
    assert!((loss - 4.104285823460827).abs() < 1e-13, "{loss:?}");
}

/// Labels have to be below three.
fn targets_of(shape: &ModelShape) -> Vec<Vec<u32>> {
    ids(7, 4).into_iter().map(|row| row.into_iter().map(|id| id % shape.classes()).collect()).collect()
}

#[test]
fn every_gradient_equals_a_central_difference() {
    for shape in designs() {
        let (tokens, targets) = (ids(3, 1), targets_of(&shape));
        let mut params = Params::seeded(&shape, 1);
        let (_, gradients) = oracle::loss_and_gradients(&shape, &params, &tokens, &targets);
        let step = 1e-5;
        for (name, gradient) in &gradients.tensors {
            let mut largest = 0.0_f64;
            for entry in entries(gradient.len()) {
                let mut loss_at = |offset: f64| {
                    let mut tensor = params.tensors[name].clone();
                    let was = tensor.as_slice().unwrap()[entry];
                    tensor.as_slice_mut().unwrap()[entry] = was + offset;
                    let kept = params.tensors.insert(name.clone(), tensor).unwrap();
                    let loss = oracle::loss(&shape, &params, &tokens, &targets);
                    params.tensors.insert(name.clone(), kept);
                    loss
                };
                let difference = (loss_at(step) - loss_at(-step)) / (2.0 * step);
                let ours = gradient.as_slice().unwrap()[entry];
                // Rounding of the loss over the step, about 1e-15 / 1e-5, and the step's square.
                let error = (ours - difference).abs();
                let what = &shape.name;
                assert!(error < 1e-8 * ours.abs().max(0.1), "{what}: {name}[{entry}]: {ours} is not {difference}");
                largest = largest.max(ours.abs());
            }
            assert!(largest > 1e-6, "{}: {name}: its gradients are at most {largest:e}", shape.name);
        }
    }
}

#[test]
fn activation_gradients_equal_a_central_difference_where_a_parameter_reaches_them() {
    // A bias that only one activation sees: its gradient is the sum of the activation's.
    let (shape, tokens, targets) = (shape(), ids(3, 1), ids(7, 4));
    let trace = oracle::trace(&shape, &Params::seeded(&shape, 2), &tokens, &targets);
    for (bias, activation) in [
        ("h.1.mlp.c_fc.bias", "d.h.1.ffn_up"),
        ("h.0.mlp.c_proj.bias", "d.h.0.ffn_down"),
        ("h.0.attn.c_proj.bias", "d.h.0.proj"),
        ("h.0.ln_1.bias", "d.h.0.ln_1"),
        ("h.1.ln_2.bias", "d.h.1.ln_2"),
        ("ln_f.bias", "d.ln_f"),
    ] {
        let tensor = &trace.tensors[activation];
        let sum = tensor.sum_axis(Axis(0)).sum_axis(Axis(0));
        let error = (&sum - &trace.gradients.tensors[bias]).mapv(f64::abs).sum();
        assert!(error < 1e-14, "{bias} against {activation}: {error:e}");
    }
}

#[test]
fn every_tensor_of_the_graph_is_traced_in_its_shape() {
    for shape in designs() {
        traced_as_in_the_graph(&shape);
    }
}

fn traced_as_in_the_graph(shape: &ModelShape) {
    let (tokens, targets) = (ids(3, 1), targets_of(shape));
    let params = Params::seeded(shape, 3);
    let trace = oracle::trace(shape, &params, &tokens, &targets);
    let graph = LayerGraph::training_step(shape, 2, u32::try_from(SEQ).unwrap()).unwrap();
    let sizes = |dims: &[usize]| dims.iter().map(|size| *size as u64).collect::<Vec<u64>>();
    for tensor in graph.graph().node_weights().flat_map(|op| &op.outputs) {
        let name = tensor.name.trim_end_matches(".embed").trim_end_matches(".lm_head");
        let parameter = name.strip_prefix("d.").and_then(|name| trace.gradients.tensors.get(name));
        let traced = parameter.or_else(|| trace.tensors.get(&tensor.name));
        let traced = traced.unwrap_or_else(|| panic!("{}: {} is not traced", shape.name, tensor.name));
        assert_eq!(sizes(traced.shape()), tensor.shape.sizes(), "{}", tensor.name);
    }
    let ours: BTreeMap<&str, Vec<u64>> =
        params.tensors.iter().map(|(name, tensor)| (name.as_str(), sizes(tensor.shape()))).collect();
    let theirs: BTreeMap<&str, Vec<u64>> =
        graph.parameters().iter().map(|tensor| (tensor.name.as_str(), tensor.shape.sizes())).collect();
    assert_eq!(ours, theirs);
}

#[test]
fn later_tokens_do_not_change_earlier_logits() {
    let (shape, targets) = (shape(), ids(7, 4));
    let params = Params::seeded(&shape, 4);
    let mut tokens = ids(3, 1);
    let before = oracle::trace(&shape, &params, &tokens, &targets);
    tokens[0][5] = 30;
    let after = oracle::trace(&shape, &params, &tokens, &targets);
    let sequence = |trace: &oracle::Trace, b| trace.tensors["logits"].index_axis(Axis(0), b).to_owned();
    let first = |trace: &oracle::Trace| sequence(trace, 0).slice_axis(Axis(0), (0..5).into()).to_owned();
    let other = |trace: &oracle::Trace| sequence(trace, 1);
    assert_eq!(first(&before), first(&after));
    assert_eq!(other(&before), other(&after));
    assert_ne!(before.loss, after.loss);
}

#[test]
fn a_bidirectional_model_sees_later_tokens() {
    let shape = ModelShape { design: Design { head: Head::MaskedLm, ..Design::BERT }, ..shape() };
    let (params, mut tokens) = (Params::seeded(&shape, 4), ids(3, 1));
    let first = |tokens: &[Vec<u32>]| oracle::trace(&shape, &params, tokens, &ids(7, 4)).tensors["logits"][[0, 0, 0]];
    let before = first(&tokens);
    tokens[0][5] = 30;
    assert_ne!(before, first(&tokens));
}

#[test]
fn zero_parameters_know_nothing() {
    let (shape, tokens, targets) = (shape(), ids(3, 1), ids(7, 4));
    let (loss, _) = oracle::loss_and_gradients(&shape, &Params::zeros(&shape), &tokens, &targets);
    assert!((loss - 32.0_f64.ln()).abs() < 1e-14);
}

#[test]
fn the_same_seed_gives_the_same_parameters() {
    assert_eq!(Params::seeded(&shape(), 9), Params::seeded(&shape(), 9));
    assert_ne!(Params::seeded(&shape(), 9), Params::seeded(&shape(), 10));
}

#[test]
#[should_panic(expected = "ids are below the vocabulary size")]
fn an_unknown_id_is_refused() {
    let shape = shape();
    let _ = oracle::loss(&shape, &Params::zeros(&shape), &[vec![32]], &[vec![0]]);
}
