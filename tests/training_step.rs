//! One training step of a tiny model of every design on a small simulated mesh, by the same compiler and kernels as
//! for the large ones: loss and every gradient agree with the f64 implementation in `models`.
#![allow(clippy::unwrap_used, reason = "tests")]

#[path = "common/launches.rs"]
mod launches;

use compiler::ids::TensorId;
use compiler::kernel::{HostSink, HostSource};
use compiler::options::{CheckpointRequest, MappingConstraints};
use compiler::options::{Reduction, Stationary};
use compiler::{Compiled, Options, compile};
use fabric::{EngineKind, RunOptions};
use models::design::{Decimal, Head, Pairs, Positions, Rotary};
use models::oracle::{self, Params};
use models::{Design, LayerGraph, ModelShape};
use ndarray::{ArrayD, IxDyn};
use sim_core::arch::{ArchSpec, cs2::cs2};
use sim_core::program::DType;
use std::collections::BTreeMap;

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

struct Host {
    params: Params,
    tokens: Vec<Vec<u32>>,
    targets: Vec<Vec<u32>>,
    scale: f32,
    /// What the loss is the mean of: tokens, or sequences.
    rows: usize,
}

impl Host {
    fn new(shape: &ModelShape) -> Host {
        let classes = shape.classes();
        let ids = |salt: u32| {
            (0..BATCH as u32)
                .map(|s| (0..SEQ as u32).map(|p| (s * 11 + p * 7 + salt * p * p + salt) % 32).collect())
                .collect::<Vec<Vec<u32>>>()
        };
        let targets =
            ids(3).into_iter().map(|row: Vec<u32>| row.into_iter().map(|id| id % classes).collect()).collect();
        let rows = if classes == shape.vocab { BATCH * SEQ } else { BATCH };
        Host { params: Params::seeded(shape, 7), tokens: ids(1), targets, scale: 1.0, rows }
    }
}

impl HostSource for Host {
    fn value(&self, tensor: TensorId, index: &[u32]) -> f32 {
        let index: Vec<usize> = index.iter().map(|&i| i as usize).collect();
        self.params.tensors[&tensor.to_string()][IxDyn(&index)] as f32
    }
    fn token(&self, sequence: u32, position: u32) -> u32 {
        self.tokens[sequence as usize][position as usize]
    }
    fn target(&self, sequence: u32, position: u32) -> u32 {
        self.targets[sequence as usize][position as usize]
    }
    fn loss_weight(&self) -> f32 {
        self.scale / self.rows as f32
    }
}

struct Sums(BTreeMap<String, ArrayD<f64>>);

impl HostSink for Sums {
    fn add(&mut self, tensor: TensorId, index: &[u32], value: f32) {
        let index: Vec<usize> = index.iter().map(|&i| i as usize).collect();
        let sum = self.0.get_mut(&tensor.to_string()).unwrap_or_else(|| panic!("no parameter {tensor}"));
        sum[IxDyn(&index)] += f64::from(value);
    }
}

/// Runs all launches with values; gives the sums that left the wafer and the cycles per launch.
fn train(compiled: &Compiled, arch: &ArchSpec, host: &Host, engine: EngineKind) -> (Sums, Vec<u64>) {
    let mut sums = Sums(host.params.tensors.iter().map(|(n, t)| (n.clone(), ArrayD::zeros(t.raw_dim()))).collect());
    sums.0.insert("loss".into(), ArrayD::zeros(IxDyn(&[])));
    let cycles = launches::execute(compiled, arch, engine, host, &mut sums);
    (sums, cycles)
}

/// Largest difference in a tensor, relative to its largest magnitude.
fn error(ours: &ArrayD<f64>, theirs: &ArrayD<f64>) -> f64 {
    let largest = theirs.iter().fold(0.0f64, |m, v| m.max(v.abs()));
    let off = ours.iter().zip(theirs).fold(0.0f64, |m, (a, b)| m.max((a - b).abs()));
    off / largest
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
    let graph = LayerGraph::training_step(shape, BATCH as u64, SEQ as u32).unwrap();
    let options = Options {
        batch: BATCH as u64,
        micro_batch: Some(BATCH as u32),
        seq_len: SEQ as u32,
        act,
        accumulator: DType::F32,
        constraints,
    };
    let compiled = compile(&graph, arch, &options).unwrap_or_else(|f| panic!("{}", f[0]));
    let mut host = Host::new(shape);
    // A loss scale keeps small gradients within binary16.
    host.scale = if act == DType::F16 { 64.0 } else { 1.0 };
    let (loss, gradients) = oracle::loss_and_gradients(shape, &host.params, &host.tokens, &host.targets);
    let (sums, cycles) = train(&compiled, arch, &host, EngineKind::Reference);
    let scale = f64::from(host.scale);
    let mut worst: Vec<(f64, String)> = Vec::new();
    worst.push(((sums.0["loss"].sum() / scale - loss).abs() / loss, "loss".into()));
    for (name, theirs) in &gradients.tensors {
        worst.push((error(&(&sums.0[name] / scale), theirs), name.clone()));
    }
    worst.sort_by(|a, b| b.0.total_cmp(&a.0));
    assert!(
        worst[0].0 < tolerance,
        "{}, {act:?}, {:?}: {:?}",
        shape.name,
        compiled.geometry,
        &worst[..worst.len().min(8)]
    );
    let (again, same) = train(&compiled, arch, &host, EngineKind::Fast);
    assert_eq!(cycles, same, "cycles of the two engines");
    assert!(again.0 == sums.0, "values of the two engines");
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
