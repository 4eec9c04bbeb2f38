//! Micro-batches that were run on a CS-2 fit, larger ones are refused, by the memory plan alone.
#![allow(clippy::unwrap_used, reason = "tests")]

use compiler::options::MappingConstraints;
use compiler::{Compiled, Options, compile};
use models::{Design, LayerGraph, ModelShape, presets};
use sim_core::arch::cs2::cs2;
use sim_core::diag::Diagnostic;
use sim_core::program::DType;

fn plan(shape: &ModelShape, micro_batch: u32) -> Result<Compiled, Vec<Diagnostic>> {
    let seq_len = shape.max_positions;
    let graph = LayerGraph::training_step(shape, u64::from(micro_batch), seq_len).unwrap();
    let (batch, micro_batch) = (u64::from(micro_batch), Some(micro_batch));
    compile(
        &graph,
        &cs2(),
        &Options {
            batch,
            micro_batch,
            seq_len,
            act: DType::F16,
            accumulator: DType::F32,
            constraints: MappingConstraints::default(),
        },
    )
}

fn preset(name: &str) -> ModelShape {
    presets::find(name).unwrap().shape_for(2048)
}

/// The size of a preset, with the design of GPT-NeoX: a quarter of a head's features is rotated.
fn neox(size: &str) -> ModelShape {
    let shape = preset(size);
    let design = Design::gpt_neox(shape.d_head() / 4 / 2 * 2);
    ModelShape { name: format!("gpt-neox of {size}"), design, ..shape }
}

fn accepted(rows: &[(ModelShape, u32)]) {
    let mut refused = Vec::new();
    for (shape, micro_batch) in rows {
        let compiled = match plan(shape, *micro_batch) {
            Ok(compiled) => compiled,
            Err(faults) => {
                refused.push(format!("{}@{micro_batch}: {faults:?}", shape.name));
                continue;
            }
        };
        assert!(compiled.memory.peak_bytes <= compiled.memory.capacity);
        assert_eq!(compiled.geometry.sequences, *micro_batch);
    }
    assert!(refused.is_empty(), "{refused:#?}");
}

/// `batch_size` or `micro_batch_size` of Cerebras/modelzoo, tag Release_2.1.1, at 2048 tokens.
#[test]
fn gpt_up_to_2_7b_of_release_2_1_1() {
    accepted(&[(preset("cerebras-gpt-1.3b"), 88), (preset("cerebras-gpt-2.7b"), 88), (neox("cerebras-gpt-2.7b"), 198)]);
}

#[test]
fn gpt_of_6_7b_of_release_2_1_1() {
    accepted(&[(preset("cerebras-gpt-6.7b"), 104), (preset("llama-7b"), 99)]);
}

#[test]
fn gpt_of_13b_and_20b_of_release_2_1_1() {
    accepted(&[(preset("cerebras-gpt-13b"), 90), (preset("gpt3-20b"), 77)]);
}

/// Micro-batches of Dey et al. 2023 (Cerebras-GPT), of modelzoo's GPT-2 small and GPT-J, and of
/// GPT-NeoX 20B (modelzoo R_1.7.1).
#[test]
fn other_published_micro_batches() {
    accepted(&[
        (preset("gpt2-small"), 112),
        (preset("cerebras-gpt-256m"), 264),
        (preset("cerebras-gpt-590m"), 264),
        (preset("gpt-j-6b"), 65),
        (preset("gpt-neox-20b"), 50),
    ]);
}

/// Micro-batches that are too large cost no other one its turn.
#[test]
fn a_large_batch_has_a_micro_batch_that_fits() {
    let (shape, seq_len) = (preset("gpt3-6.7b"), 2048);
    let graph = LayerGraph::training_step(&shape, 1024, seq_len).unwrap();
    let of = |sums| Options {
        batch: 1024,
        micro_batch: None,
        seq_len,
        act: DType::F16,
        accumulator: sums,
        constraints: MappingConstraints::default(),
    };
    let compiled = compile(&graph, &cs2(), &of(DType::F16)).unwrap();
    assert_eq!(u64::from(compiled.micro_batch) * compiled.micro_batches, 1024);
    assert!(compiled.micro_batch >= 64, "{}", compiled.micro_batch);
}

#[test]
fn what_is_well_above_is_refused_and_names_the_tensor() {
    for (name, micro_batch) in [("cerebras-gpt-1.3b", 528), ("cerebras-gpt-6.7b", 208), ("cerebras-gpt-13b", 180)] {
        let faults = plan(&preset(name), micro_batch).map(|_| ()).unwrap_err();
        assert_eq!(faults.len(), 1, "{faults:?}");
        let text = faults[0].to_string();
        for part in ["M001", &format!("with {micro_batch} sequences"), "kernel `", "` does not fit", " B of code"] {
            assert!(text.contains(part), "{name}@{micro_batch}: {text}");
        }
    }
}
