//! One training step of a tiny model of every design on a small simulated mesh, by the same compiler and kernels as
//! for the large ones: loss and every gradient agree with the f64 implementation in `models`.
#![allow(clippy::unwrap_used, reason = "tests")]

use compiler::options::{CheckpointRequest, MappingConstraints};
use compiler::options::{Reduction, Stationary};
use fabric::{EngineKind, RunOptions};
use models::design::{Decimal, Head, Pairs, Positions, Rotary};
use models::oracle::{Inputs, Params};
use models::{Design, ModelShape};
use runner::values::{Comparison, Gradients, LossScale, Wafer};
use runner::workload::Request;
use runner::{CompiledStep, Job, StepOptions, Workload};
use sim_core::arch::{ArchSpec, cs2::cs2};
use sim_core::program::DType;

const BATCH: usize = 2;
const SEQ: usize = 8;

fn shape() -> ModelShape {
    ModelShape {
        name: "tiny".into(),
        design: Design::GPT2,
        layers: 2,
        d_model: 16,
        heads: 2,
        d_ff: 64,
        vocab: 32,
        max_positions: 8,
    }
}

fn machine(width: u32, height: u32) -> ArchSpec {
    let mut arch = cs2();
    arch.wafer.width.value = width;
    arch.wafer.height.value = height;
    arch
}

/// A tiny model of another design, of one layer that is no power of two wide.
fn other(name: &str, design: Design) -> ModelShape {
    ModelShape { name: name.into(), design, layers: 1, d_model: 20, d_ff: 44, ..shape() }
}

/// The designs, with as many rotated features as fit.
fn designs() -> Vec<ModelShape> {
    let rotary = |pairs, dims| Positions::Rotary(Rotary { dims, base: 10_000, pairs });
    let llama = Design::llama(10);
    vec![
        other("llama", llama),
        other("gpt-j", Design { positions: rotary(Pairs::Neighbours, 4), ..Design::GPT_J }),
        other("gpt-neox", Design { positions: rotary(Pairs::Halves, 4), ..Design::gpt_neox(4) }),
        other("bert", Design { head: Head::Classifier { labels: 3 }, ..Design::BERT }),
        other("bert, masked tokens", Design { head: Head::MaskedLm, ..Design::BERT }),
        other("btlm", Design::btlm(Decimal(222_000_000_000))),
        other("grouped queries", Design { kv_heads: Some(1), head: Head::Tied, ..llama }),
    ]
}

fn inputs(shape: &ModelShape) -> Inputs {
    let ids = |salt: u32| {
        (0..BATCH as u32)
            .map(|s| (0..SEQ as u32).map(|p| (s * 11 + p * 7 + salt * p * p + salt) % 32).collect())
            .collect::<Vec<Vec<u32>>>()
    };
    let classes = shape.classes();
    let targets = ids(3).into_iter().map(|row: Vec<u32>| row.into_iter().map(|id| id % classes).collect()).collect();
    Inputs { params: Params::seeded(shape, 7), tokens: ids(1), targets }
}

/// Runs all launches with values; gives the sums that left the wafer and the cycles per launch.
fn train(step: &CompiledStep, inputs: &Inputs, engine: EngineKind) -> (Gradients, Vec<u64>) {
    let options = RunOptions { engine, ..RunOptions::default() };
    // A loss scale keeps small gradients within binary16.
    let scale = if step.compiled.geometry.precision.act == DType::F16 { 64.0 } else { 1.0 };
    let wafer = Wafer::new(step, &options).unwrap().scaled(LossScale(scale));
    wafer.step(inputs).unwrap_or_else(|e| panic!("{e}"))
}

fn check(shape: &ModelShape, arch: &ArchSpec, act: DType, lanes: Option<u32>, tolerance: f64) {
    check_map(shape, arch, act, MappingConstraints { lanes, ..MappingConstraints::default() }, tolerance);
}

/// Compiles and runs a step with a mapping; gives the names of its kernels.
fn check_map(
    shape: &ModelShape,
    arch: &ArchSpec,
    act: DType,
    constraints: MappingConstraints,
    tolerance: f64,
) -> Vec<String> {
    let request = Request { batch: Some(BATCH as u64), seq_len: Some(SEQ as u32) };
    let options = StepOptions {
        micro_batch: Some(BATCH as u32),
        act,
        precision_opt_level: Some(0),
        constraints,
        ..StepOptions::default()
    };
    let job = Job::new(Workload::from_shape(shape.clone(), request)).machine(arch.clone()).options(options);
    let step = job.compile().unwrap_or_else(|e| panic!("{e}"));
    let inputs = inputs(shape);
    let (gradients, cycles) = train(&step, &inputs, EngineKind::Reference);
    let compared = Comparison::of(shape, &inputs, &gradients);
    let mut worst: Vec<(f64, &str)> = vec![(compared.loss_error(), "loss")];
    worst.extend(compared.tensors.iter().map(|t| (t.max_error, t.name.as_str())));
    worst.sort_by(|a, b| b.0.total_cmp(&a.0));
    assert!(
        worst[0].0 < tolerance,
        "{}, {act:?}, {:?}: {:?}",
        shape.name,
        step.compiled.geometry,
        &worst[..worst.len().min(8)]
    );
    let (again, same) = train(&step, &inputs, EngineKind::Fast);
    assert_eq!(cycles, same, "cycles of the two engines");
    assert!(again == gradients, "values of the two engines");
    let compiled = &step.compiled;
    // Timing does not depend on values, nor on folding.
    for (launch, &cycles) in compiled.launches.iter().zip(&cycles) {
        let folded = fabric::run(&compiled.program(launch, arch), arch, &RunOptions::default(), None).unwrap();
        assert_eq!(folded.cycles.0, cycles, "{}", launch.kernel.name());
        assert_eq!(folded.pe_cycles.total(), cycles * u64::from(arch.wafer.width.value * arch.wafer.height.value));
    }
    compiled.launches.iter().map(|l| l.kernel.name()).collect()
}

/// Whatever is done to save memory, the gradients stay what they are.
#[test]
fn every_way_to_save_memory_gives_the_same_gradients() {
    let arch = machine(4, 2);
    let map = MappingConstraints {
        tokens: Some(8),
        attention_chunks: Some(2),
        ffn_parts: Some(2),
        ..MappingConstraints::default()
    };
    let count = |names: &[String], what: &str| names.iter().filter(|n| n.contains(what)).count();
    let gpt2 = shape();
    let offload = MappingConstraints { checkpoints: CheckpointRequest::Offload, ..map };
    let names = check_map(&gpt2, &arch, DType::F32, offload, 1e-4);
    assert_eq!((count(&names, "checkpoint out"), count(&names, "checkpoint in")), (2, 2), "inputs of two layers");
    assert_eq!(count(&names, "gemm ffn_down"), 2 * 2 + 2 * 2, "two parts forward, and of the input gradient");
    check_map(
        &gpt2,
        &arch,
        DType::F32,
        MappingConstraints { lm_chunks: Some(2), checkpoints: CheckpointRequest::Stay, ..map },
        1e-4,
    );
    for shape in designs().into_iter().filter(|s| s.name != "bert") {
        check_map(&shape, &arch, DType::F32, offload, 1e-4);
    }
}

/// Whichever of a product stays in its PE, the gradients stay what they are.
#[test]
fn stationary_outputs_give_the_same_gradients() {
    let map = MappingConstraints { stationary: Some(Stationary::Outputs), ..MappingConstraints::default() };
    let names = check_map(&shape(), &machine(8, 8), DType::F16, map, 2e-2);
    assert!(names.iter().any(|n| n == "gemm qkv"), "{names:?}");
    for shape in designs().into_iter().chain([shape()]) {
        check_map(&shape, &machine(4, 4), DType::F32, map, 1e-4);
    }
}

/// However vectors are summed over rows, the gradients stay what they are.
#[test]
fn every_reduction_gives_the_same_gradients() {
    for reduction in Reduction::ALL {
        let map = MappingConstraints { tokens: Some(4), reduction: Some(reduction), ..MappingConstraints::default() };
        for shape in designs().into_iter().chain([shape()]) {
            check_map(&shape, &machine(4, 4), DType::F32, map, 1e-4);
        }
    }
}

/// Layer inputs that leave and come back beside products are what they were, and so are the products.
#[test]
fn products_carry_layer_inputs() {
    let mut arch = machine(4, 4);
    arch.wafer.io_bits_per_second.value = 4 * 32 * arch.wafer.clock_hz.value / 8;
    let wide = ModelShape { d_model: 80, d_ff: 80, ..shape() };
    let map =
        MappingConstraints { lanes: Some(1), checkpoints: CheckpointRequest::Offload, ..MappingConstraints::default() };
    let names = check_map(&wide, &arch, DType::F16, map, 2e-2);
    let loaded = |what: &str| names.iter().filter(|n| n.starts_with("gemm") && n.ends_with(what)).count();
    assert!(loaded("+ checkpoint out") >= 2 && loaded("+ checkpoint in") >= 1, "{names:?}");
}

#[test]
fn f32_agrees_to_one_part_in_ten_thousand() {
    check(&shape(), &machine(8, 8), DType::F32, None, 1e-4);
}

#[test]
fn f32_in_one_lane_agrees() {
    check(&shape(), &machine(4, 4), DType::F32, Some(1), 1e-4);
}

#[test]
fn f16_with_f32_accumulation_agrees_to_two_percent() {
    check(&shape(), &machine(8, 8), DType::F16, Some(2), 2e-2);
}

#[test]
fn bf16_agrees_to_fifteen_percent() {
    check(&shape(), &machine(8, 8), DType::Bf16, None, 0.15);
}

#[test]
fn every_design_agrees_in_f32() {
    for shape in designs() {
        check(&shape, &machine(8, 8), DType::F32, None, 2e-4);
    }
}

#[test]
fn every_design_agrees_in_f16() {
    for shape in designs() {
        check(&shape, &machine(8, 4), DType::F16, Some(2), 3e-2);
    }
}
