//! One block of a GPT: compiled for a mesh of 8 × 8 PEs and executed on both engines.
#![allow(clippy::print_stdout, reason = "an example shows what it does")]

use compiler::ids::Phase;
use compiler::options::MappingConstraints;
use compiler::{self as step, Options};
use fabric::{EngineKind, Fold, RunOptions};
use models::{Design, LayerGraph, ModelShape};
use sim_core::arch::cs2::cs2;
use sim_core::program::{DType, verify};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let shape = ModelShape {
        name: "one block".into(),
        design: Design::GPT2,
        layers: 1,
        d_model: 16,
        heads: 2,
        d_ff: 64,
        vocab: 32,
        max_positions: 8,
    };
    let mut arch = cs2();
    (arch.wafer.width.value, arch.wafer.height.value) = (8, 8);
    // A wafer takes a million cycles to start a layer, as `docs/THROUGHPUT.md` says. Here it takes none.
    arch.wafer.layer_start.value = 0;
    let graph = LayerGraph::training_step(&shape, 2, 8).map_err(|fault| format!("{fault:?}"))?;
    let options = Options {
        batch: 2,
        micro_batch: Some(2),
        seq_len: 8,
        act: DType::F16,
        accumulator: DType::F32,
        constraints: MappingConstraints::default(),
    };
    let step = step::compile(&graph, &arch, &options).map_err(|faults| faults[0].to_string())?;
    println!("kernel           cycles  wavelet-hops    MACs");
    let forward = step.launches.iter().filter(|l| l.layer == Some(0) && l.phase == Phase::Forward);
    for launch in forward {
        let program = step.program(launch, &arch);
        assert!(verify(&program, &arch).is_empty(), "compiled programs are legal");
        let fast = fabric::run(&program, &arch, &RunOptions::default(), None)?;
        let plain = RunOptions { engine: EngineKind::Reference, fold: Fold::NONE, ..RunOptions::default() };
        assert_eq!(fabric::run(&program, &arch, &plain, None)?.pe_cycles, fast.pe_cycles, "one machine, two engines");
        println!("{:<15} {:>7}  {:>12}  {:>6}", launch.kernel.name(), fast.cycles.0, fast.wavelet_hops, fast.macs);
    }
    Ok(())
}
