//! Every kernel of a training step on a mesh with many equal rows: executed folded and in full, all
//! counters of all PEs agree, and rows are folded where they repeat.
#![allow(clippy::unwrap_used, reason = "tests")]

use compiler::step::{Compiled, Options, compile};
use fabric::fold::timing_key;
use fabric::{Fold, RunOptions};
use models::{Design, GptShape, LayerGraph};
use sim_core::arch::{ArchSpec, cs2::cs2};
use sim_core::program::DType;
use std::collections::{BTreeMap, BTreeSet};

fn step(arch: &ArchSpec, act: DType) -> Compiled {
    let shape = GptShape {
        name: "tiny".into(),
        design: Design::GPT2,
        layers: 2,
        d_model: 16,
        heads: 2,
        d_ff: 48,
        vocab: 50,
        max_positions: 16,
    };
    let batch = 16;
    let graph = LayerGraph::training_step(&shape, batch, 16).unwrap();
    let options = Options { batch, micro_batch: Some(16), seq_len: 16, act, lanes: Some(2) };
    compile(&graph, arch, &options).unwrap_or_else(|faults| panic!("{}", faults[0]))
}

#[test]
fn folded_and_full_runs_agree_in_every_counter() {
    let mut arch = cs2();
    (arch.width.value, arch.height.value) = (9, 53);
    let mut rows_folded = BTreeSet::new();
    for act in [DType::F16, DType::F32] {
        let compiled = step(&arch, act);
        let mut seen = BTreeSet::new();
        for launch in &compiled.launches {
            let program = compiled.program(launch, &arch);
            if !seen.insert(timing_key(&program)) {
                continue;
            }
            let run = |time, space| {
                let options = RunOptions { fold: Fold { time, space }, per_pe: true, ..RunOptions::default() };
                fabric::run(&program, &arch, &options, None).unwrap()
            };
            let full = run(false, false);
            assert!(full.folds.is_empty());
            for (time, space) in [(true, false), (false, true), (true, true)] {
                let what = format!("{} {act:?}, time {time}, space {space}", launch.kernel.name());
                let folded = run(time, space);
                assert_eq!(folded.cycles, full.cycles, "{what}");
                assert_eq!(folded.pe_cycles, full.pe_cycles, "{what}");
                assert_eq!((folded.macs, folded.wavelet_hops), (full.macs, full.wavelet_hops), "{what}");
                assert_eq!(folded.per_pe, full.per_pe, "{what}");
                if folded.folds.iter().any(|f| f.kind == "rows") {
                    rows_folded.insert(launch.kernel.name());
                }
            }
        }
    }
    // Kernels of equal timing were executed under the name of the first of them.
    let kinds =
        ["norm ln_1", "norm grad ln_1", "norm grad sum ln_f", "gemm qkv", "outer proj weight gradient", "loss sum"];
    for kernel in kinds {
        assert!(rows_folded.contains(kernel), "rows of {kernel} are not folded; only {rows_folded:?}");
    }
}

/// Programs of equal key have equal outcomes: that is what lets one of them stand for the others.
#[test]
fn equal_keys_have_equal_outcomes() {
    let mut arch = cs2();
    (arch.width.value, arch.height.value) = (9, 53);
    let compiled = step(&arch, DType::F16);
    let mut known = BTreeMap::new();
    let mut repeated = 0;
    for launch in &compiled.launches {
        let program = compiled.program(launch, &arch);
        let outcome = fabric::run(&program, &arch, &RunOptions::default(), None).unwrap();
        let counters = (outcome.cycles, outcome.pe_cycles, outcome.macs, outcome.wavelet_hops);
        if let Some(before) = known.insert(timing_key(&program), counters) {
            assert_eq!(before, counters, "{}", launch.kernel.name());
            repeated += 1;
        }
    }
    assert!(repeated > compiled.launches.len() / 3, "{repeated} of {} launches", compiled.launches.len());
}
