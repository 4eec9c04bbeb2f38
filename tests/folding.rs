//! Every kernel of a training step on a mesh with many equal rows: executed folded and in full, all
//! counters of all PEs agree, and rows are folded where they repeat.
#![allow(clippy::unwrap_used, reason = "tests")]

use compiler::kernels::KernelKind;
use compiler::options::{CheckpointRequest, MappingConstraints};
use compiler::options::{Reduction, Stationary};
use compiler::{Compiled, Options, compile};
use fabric::fold::timing_key;
use fabric::{EngineKind, Fold, RunOptions};
use models::{Design, LayerGraph, ModelShape};
use rayon::prelude::*;
use sim_core::arch::{ArchSpec, cs2::cs2};
use sim_core::coord::Grid;
use sim_core::error::RunError;
use sim_core::program::{DType, Program};
use sim_core::report::{FoldNote, Outcome};
use sim_core::util::random::SplitMix64;
use std::collections::{BTreeMap, BTreeSet};

fn step(arch: &ArchSpec, act: DType) -> Compiled {
    let shape = ModelShape {
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
    let options = Options {
        batch,
        micro_batch: Some(16),
        seq_len: 16,
        act,
        accumulator: act,
        constraints: MappingConstraints { lanes: Some(2), ..MappingConstraints::default() },
    };
    compile(&graph, arch, &options).unwrap_or_else(|faults| panic!("{}", faults[0]))
}

#[test]
fn folded_and_full_runs_agree_in_every_counter() {
    let mut arch = cs2();
    (arch.wafer.width.value, arch.wafer.height.value) = (9, 53);
    let mut rows_folded = BTreeSet::new();
    for act in [DType::F16, DType::F32] {
        let compiled = step(&arch, act);
        let mut seen = BTreeSet::new();
        for launch in &compiled.launches {
            let program = compiled.program(launch, &arch);
            if !seen.insert(timing_key(&program, arch.pe.bank_period())) {
                continue;
            }
            let folds = difference(&program, &arch).unwrap_or_else(|e| panic!("{} {act:?}: {e}", launch.kernel.name()));
            if folds.iter().any(|f| f.kind == "rows") {
                rows_folded.insert(launch.kernel.name());
            }
        }
    }
    // Kernels of equal timing were executed under the name of the first of them.
    let kinds =
        ["norm ln_1", "norm grad ln_2", "norm grad sum ln_f", "gemm qkv", "outer proj weight gradient", "loss sum"];
    for kernel in kinds {
        assert!(rows_folded.contains(kernel), "rows of {kernel} are not folded; only {rows_folded:?}");
    }
}

/// Programs of equal key have equal outcomes: that is what lets one of them stand for the others.
#[test]
fn equal_keys_have_equal_outcomes() {
    let mut arch = cs2();
    (arch.wafer.width.value, arch.wafer.height.value) = (9, 53);
    let compiled = step(&arch, DType::F16);
    let mut known = BTreeMap::new();
    let mut repeated = 0;
    for launch in &compiled.launches {
        let program = compiled.program(launch, &arch);
        let outcome = fabric::run(&program, &arch, &RunOptions::default(), None).unwrap();
        let counters = (outcome.cycles, outcome.pe_cycles, outcome.macs, outcome.wavelet_hops);
        if let Some(before) = known.insert(timing_key(&program, arch.pe.bank_period()), counters) {
            assert_eq!(before, counters, "{}", launch.kernel.name());
            repeated += 1;
        }
    }
    assert!(repeated > compiled.launches.len() / 3, "{repeated} of {} launches", compiled.launches.len());
}

/// Shapes on which runs once differed, by number.
const KEPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/folding.kept");
/// Kernels that are tried of one shape.
const OF_SHAPE: u32 = 6;

/// A machine with random queues, links and edges, on which meshes leave remainders.
fn machine(rng: &mut SplitMix64) -> ArchSpec {
    let mut arch = cs2();
    let wide = rng.range(0, 3) == 0;
    (arch.wafer.width.value, arch.wafer.height.value) =
        if wide { (rng.range(20, 33), rng.range(5, 20)) } else { (rng.range(4, 13), rng.range(17, 61)) };
    for depth in arch.pe.input_queues.value.iter_mut().chain(&mut arch.pe.output_queues.value) {
        *depth = rng.range(1, 6);
    }
    arch.router.buffer.value = rng.range(1, 6);
    arch.router.hop.value = rng.range(1, 3);
    // Bandwidth of a fraction of the edge: streams onto the wafer get longer intervals.
    arch.wafer.io_bits_per_second.value >>= rng.range(0, 6);
    arch
}

/// A training step of a random small model on a random machine; None if it has no place there.
fn random_step(rng: &mut SplitMix64, constraints: MappingConstraints) -> Option<(ArchSpec, Compiled)> {
    let arch = machine(rng);
    let designs = [Design::GPT2, Design::gpt_neox(4), Design::llama(4), Design::BERT];
    let (heads, d_head) = (rng.range(1, 4), 2 * rng.range(2, 4));
    let seq_len = 4 * rng.range(1, 5);
    let shape = ModelShape {
        name: "random".into(),
        design: designs[rng.range(0, 3) as usize],
        layers: 1,
        d_model: heads * d_head,
        heads,
        d_ff: rng.range(5, 50),
        vocab: rng.range(9, 60),
        max_positions: seq_len,
    };
    let sequences = rng.range(3, 20);
    let graph = LayerGraph::training_step(&shape, u64::from(sequences), seq_len).ok()?;
    let act = [DType::F16, DType::Bf16, DType::F32][rng.range(0, 2) as usize];
    let lanes = [None, Some(1), Some(2)][rng.range(0, 2) as usize];
    let options = Options {
        batch: u64::from(sequences),
        micro_batch: Some(sequences),
        seq_len,
        act,
        accumulator: DType::F32,
        constraints: MappingConstraints { lanes, ..constraints },
    };
    let compiled = compile(&graph, &arch, &options).ok()?;
    Some((arch, compiled))
}

/// Where a folded run of a program differs from the full one, and what was folded.
fn difference(program: &Program, arch: &ArchSpec) -> Result<Vec<FoldNote>, String> {
    let run = |time, space| {
        let cells = Some(Grid { width: 3, height: 2 });
        let options = RunOptions { fold: Fold { time, space }, per_pe: true, cells, ..RunOptions::default() };
        fabric::run(program, arch, &options, None)
    };
    let essence = |done: &Result<Outcome, RunError>| match done {
        Ok(o) => Ok(Outcome { folds: Vec::new(), stepped_cycles: 0, stepped_pe_cycles: 0, ..o.clone() }),
        Err(e) => Err(e.to_string()),
    };
    let want = essence(&run(false, false));
    let mut folds = Vec::new();
    for (time, space) in [(true, false), (false, true), (true, true)] {
        let folded = run(time, space);
        if essence(&folded) != want {
            let cycles = |r: &Result<Outcome, String>| r.as_ref().map(|o| o.cycles).map_err(Clone::clone);
            let (got, want) = (cycles(&essence(&folded)), cycles(&want));
            return Err(format!("time {time}, space {space}: {got:?} instead of {want:?}"));
        }
        folds = folded.map_or_else(|_| Vec::new(), |o| o.folds);
    }
    Ok(folds)
}

/// Kernels of random shapes on random machines: folded and full runs agree in every counter of every
/// PE. `WAFERSIM_CASES=10000 cargo test --release --test folding` tries more than CI does. The number
/// of a shape on which they differ is kept in `tests/folding.kept`, and tried ever after.
#[test]
fn kernels_of_random_shapes_fold_exactly() {
    let cases: u64 = std::env::var("WAFERSIM_CASES").ok().and_then(|s| s.parse().ok()).unwrap_or(400);
    let of_shape = |shape: u64| -> Vec<(String, Vec<FoldNote>)> {
        let mut rng = SplitMix64::new(shape);
        let Some((arch, compiled)) = random_step(&mut rng, MappingConstraints::default()) else { return Vec::new() };
        let mut seen = BTreeSet::new();
        let mut done = Vec::new();
        for _ in 0..OF_SHAPE {
            let launch = &compiled.launches[rng.range(0, compiled.launches.len() as u32 - 1) as usize];
            let program = compiled.program(launch, &arch);
            if !seen.insert(timing_key(&program, arch.pe.bank_period())) {
                continue;
            }
            match difference(&program, &arch) {
                Ok(folds) => done.push((launch.kernel.name(), folds)),
                Err(what) => {
                    let known = std::fs::read_to_string(KEPT).unwrap();
                    std::fs::write(KEPT, format!("{known}{shape}\n")).unwrap();
                    panic!("shape {shape}, {}: {what}; kept in {KEPT}", launch.kernel.name());
                }
            }
        }
        done
    };
    let kept: Vec<u64> = std::fs::read_to_string(KEPT).unwrap().lines().map(|l| l.parse().unwrap()).collect();
    let mut done: Vec<(String, Vec<FoldNote>)> = kept.into_iter().flat_map(of_shape).collect();
    let mut next = 0;
    while (done.len() as u64) < cases {
        assert!(next < 4 * cases, "few shapes have a place: {} kernels of {next} shapes", done.len());
        let found: Vec<_> = (next..next + 16).into_par_iter().map(of_shape).collect();
        done.extend(found.into_iter().flatten());
        next += 16;
    }
    for (kind, percent) in [("rows", 10), ("time", 4), ("blocks", 20)] {
        let folded = done.iter().filter(|(_, folds)| folds.iter().any(|f| f.kind == kind)).count();
        assert!(cases < 100 || folded * 100 >= percent * done.len(), "{kind} folded in {folded} of {}", done.len());
    }
    let kernels: BTreeSet<&str> = done.iter().map(|(name, _)| name.as_str()).collect();
    for part in ["norm", "gemm", "outer", "attention", "loss", "embed"] {
        assert!(cases < 100 || kernels.iter().any(|k| k.contains(part)), "no {part} among {kernels:?}");
    }
}

/// A step of two layers whose inputs leave a random machine with a narrow edge, and whose products have
/// time for that.
fn step_with_checkpoints(rng: &mut SplitMix64) -> Option<(ArchSpec, Compiled)> {
    let mut arch = machine(rng);
    let (heads, columns, features) = (rng.range(1, 3), rng.range(1, 5), rng.range(12, 40));
    (arch.wafer.width.value, arch.wafer.height.value) =
        (heads * columns * rng.range(1, 2) + rng.range(0, 2), rng.range(8, 41));
    let interval = u64::from(rng.range(8, 20));
    arch.wafer.io_bits_per_second.value = u64::from(arch.wafer.width.value) * 32 * arch.wafer.clock_hz.value / interval;
    let seq_len = 16 * rng.range(1, 3);
    let shape = ModelShape {
        name: "random".into(),
        design: [Design::GPT2, Design::llama(heads)][rng.range(0, 1) as usize],
        layers: 2,
        d_model: heads * 2 * (columns * features / 2),
        heads,
        d_ff: heads * columns * rng.range(4, 40),
        vocab: 20,
        max_positions: seq_len,
    };
    let sequences = rng.range(2, 20);
    let graph = LayerGraph::training_step(&shape, u64::from(sequences), seq_len).ok()?;
    let options = Options {
        batch: u64::from(sequences),
        micro_batch: Some(sequences),
        seq_len,
        act: DType::F16,
        accumulator: [DType::F16, DType::F32][rng.range(0, 1) as usize],
        constraints: MappingConstraints {
            head_columns: Some(columns),
            checkpoints: CheckpointRequest::Offload,
            ..MappingConstraints::default()
        },
    };
    let compiled = compile(&graph, &arch, &options).ok()?;
    Some((arch, compiled))
}

/// Products that carry layer inputs fold exactly, most of them in time, and many in rows: how many
/// depends on how often the steps of so small a product recur.
#[test]
fn loaded_products_fold_exactly() {
    let of_shape = |shape: u64| -> Vec<(String, Vec<FoldNote>)> {
        let Some((arch, compiled)) = step_with_checkpoints(&mut SplitMix64::new(shape << 32)) else {
            return Vec::new();
        };
        let mut seen = BTreeSet::new();
        let mut done = Vec::new();
        for launch in compiled.launches.iter().filter(|l| l.kernel.name().contains(" + ")) {
            let program = compiled.program(launch, &arch);
            if seen.insert(timing_key(&program, arch.pe.bank_period())) {
                let folds = difference(&program, &arch);
                let folds = folds.unwrap_or_else(|what| panic!("shape {shape}, {}: {what}", launch.kernel.name()));
                done.push((launch.kernel.name(), folds));
            }
        }
        done
    };
    let done: Vec<_> = (0..64).into_par_iter().flat_map_iter(of_shape).collect();
    for (way, least) in [("checkpoint out", 20), ("checkpoint in", 8)] {
        let of_way: Vec<_> = done.iter().filter(|(name, _)| name.ends_with(way)).collect();
        assert!(of_way.len() >= least, "{} of {way}", of_way.len());
        for (kind, percent) in [("rows", 25), ("time", 75)] {
            let folded = of_way.iter().filter(|(_, folds)| folds.iter().any(|f| f.kind == kind)).count();
            println!("{way}: {kind} folded in {folded} of {}", of_way.len());
            assert!(folded * 100 >= percent * of_way.len(), "{way}: {kind} folded in {folded} of {}", of_way.len());
        }
    }
}

/// Products with stationary outputs fold exactly, many of them in rows.
#[test]
fn products_with_stationary_outputs_fold_exactly() {
    let of_shape = |shape: u64| -> Vec<Vec<FoldNote>> {
        let map = MappingConstraints { stationary: Some(Stationary::Outputs), ..MappingConstraints::default() };
        let Some((arch, compiled)) = random_step(&mut SplitMix64::new(shape << 24), map) else { return Vec::new() };
        let mut seen = BTreeSet::new();
        let mut done = Vec::new();
        for launch in compiled.launches.iter().filter(|l| matches!(*l.kernel, KernelKind::OutputStationary(_))) {
            let program = compiled.program(launch, &arch);
            if seen.insert(timing_key(&program, arch.pe.bank_period())) {
                let folds = difference(&program, &arch);
                done.push(folds.unwrap_or_else(|what| panic!("shape {shape}, {}: {what}", launch.kernel.name())));
            }
        }
        done
    };
    let done: Vec<_> = (0..64).into_par_iter().flat_map_iter(of_shape).collect();
    assert!(done.len() >= 100, "{} products", done.len());
    for (kind, percent) in [("rows", 30), ("time", 5)] {
        let folded = done.iter().filter(|folds| folds.iter().any(|f| f.kind == kind)).count();
        println!("{kind} folded in {folded} of {}", done.len());
        assert!(folded * 100 >= percent * done.len(), "{kind} folded in {folded} of {}", done.len());
    }
}

/// Reductions of every kind over many rows fold exactly, and agree in both engines.
#[test]
fn reductions_fold_exactly() {
    for (kind, seed) in Reduction::ALL.into_iter().flat_map(|kind| (0..24).map(move |seed| (kind, seed))) {
        let map = MappingConstraints { reduction: Some(kind), ..MappingConstraints::default() };
        let Some((arch, compiled)) = random_step(&mut SplitMix64::new(seed << 40), map) else { continue };
        for launch in
            compiled.launches.iter().filter(|l| matches!(*l.kernel, KernelKind::ColSum(_) | KernelKind::RowSum(_)))
        {
            let program = compiled.program(launch, &arch);
            let name = launch.kernel.name();
            difference(&program, &arch).unwrap_or_else(|what| panic!("{kind:?}, {seed}, {name}: {what}"));
            let run = |engine| {
                let options = RunOptions { engine, ..RunOptions::default() };
                fabric::run(&program, &arch, &options, None).map(|o| (o.cycles, o.pe_cycles, o.wavelet_hops))
            };
            let (fast, reference) = (run(EngineKind::Fast), run(EngineKind::Reference));
            assert_eq!(fast.unwrap(), reference.unwrap(), "{kind:?}, {seed}, {name}");
        }
    }
}

/// `--verify-fold` says which kernels it executed twice; the same seed chooses the same ones.
#[test]
fn folding_is_verified_on_request() {
    let report = |arguments: &[&str]| -> serde_json::Value {
        let mut command = assert_cmd::Command::cargo_bin("wafersim").unwrap();
        command.current_dir(env!("CARGO_MANIFEST_DIR")).env("WAFERSIM_CACHE", "");
        let done = command.args(arguments).args(["--format", "json"]).assert().success();
        serde_json::from_slice(&done.get_output().stdout).unwrap()
    };
    let small = ["--set", "wafer.width=24", "--set", "wafer.height=60"];
    let folder = tempfile::TempDir::new().unwrap();
    let config = folder.path().join("config.json");
    let text = r#"{"model_type": "gpt2", "activation_function": "gelu", "n_embd": 16, "n_head": 2, "n_layer": 1,
        "n_inner": null, "n_positions": 8, "vocab_size": 32}"#;
    std::fs::write(&config, text).unwrap();
    let of_seed = |seed: &str| {
        let step = ["run", config.to_str().unwrap(), "--batch", "2", "--verify-fold", "4", "--seed", seed];
        let report = report(&[&step[..], &small].concat());
        assert_eq!(report["seed"].to_string(), seed);
        report["fold_verification"].clone()
    };
    let collective = report(
        &[&["collective", "broadcast", "--pes", "20x50", "--wavelets", "9", "--verify-fold", "3"][..], &small].concat(),
    );
    let folds = |of: &serde_json::Value| of["fold_verification"]["kernels"].to_string();
    assert_eq!(collective["fold_verification"]["kernels"].as_array().unwrap().len(), 3);
    assert!(folds(&collective).contains("\"rows\""), "{}", folds(&collective));
    let simulated = report(&["simulate", "examples/star.wafer", "--verify-fold", "1"]);
    assert_eq!(simulated["fold_verification"]["kernels"].as_array().unwrap().len(), 1);
    let first = of_seed("5");
    assert_eq!(first["kernels"].as_array().unwrap().len(), 4);
    assert_eq!(first, of_seed("5"));
    assert_ne!(first["kernels"], of_seed("6")["kernels"]);
}
