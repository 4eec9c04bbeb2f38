//! Prices are what executing takes, on this machine and on changed ones; and what a kernel needs of a
//! machine is said by name where there is too little of it.
#![allow(clippy::unwrap_used, reason = "tests")]

use compiler::options::MappingConstraints;
use compiler::{Compiled, Options, compile};
use fabric::RunOptions;
use models::{LayerGraph, ModelShape, presets};
use sim_core::arch::{ArchSpec, Widths, cs2::cs2};
use sim_core::diag::Diagnostic;
use sim_core::program::DType;
use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};

/// A small wafer, on which layers start at once.
fn small() -> ArchSpec {
    let mut arch = cs2();
    (arch.wafer.width.value, arch.wafer.height.value, arch.wafer.layer_start.value) = (48, 16, 0);
    arch
}

fn step(arch: &ArchSpec) -> Result<Compiled, Vec<Diagnostic>> {
    let gpt2 = presets::find("gpt2-small").unwrap().shape;
    let shape = ModelShape { layers: 2, d_model: 96, heads: 6, d_ff: 384, max_positions: 64, vocab: 256, ..gpt2 };
    let graph = LayerGraph::training_step(&shape, 2, 64).unwrap();
    let constraints = MappingConstraints::default();
    let (act, accumulator) = (DType::F16, DType::F32);
    compile(&graph, arch, &Options { batch: 2, micro_batch: Some(2), seq_len: 64, act, accumulator, constraints })
}

/// Executed and estimated cycles of a step.
fn cycles(arch: &ArchSpec) -> (u64, u64) {
    let compiled = step(arch).unwrap();
    let (mut executed, mut estimated) = (0, 0);
    for launch in &compiled.launches {
        let program = compiled.program(launch, arch);
        let outcome = fabric::run(&program, arch, &RunOptions::default(), None).unwrap();
        executed += launch.count * outcome.cycles.0;
        estimated += launch.count * launch.kernel.estimate(&compiled.geometry, arch);
    }
    (executed, estimated)
}

/// A machine with something changed.
fn changed(change: impl Fn(&mut ArchSpec)) -> ArchSpec {
    let mut arch = small();
    change(&mut arch);
    arch
}

#[test]
fn estimates_follow_the_machine() {
    let with_setup = |setup| changed(|arch| arch.pe.vector_setup.value = setup);
    let machines = [
        ("CS-2", small()),
        ("pe.vector_setup=0", with_setup(0)),
        ("pe.vector_setup=3", with_setup(3)),
        ("pe.vector_setup=12", with_setup(12)),
        ("router.hop=2", changed(|arch| arch.router.hop.value = 2)),
        ("pe.loop_back=0", changed(|arch| arch.pe.loop_back.value = 0)),
        ("pe.loop_back=4", changed(|arch| arch.pe.loop_back.value = 4)),
        ("pe.width_fmac=1,1,1", changed(|arch| arch.pe.width_fmac.value = Widths { half: 1, single: 1, mixed: 1 })),
        ("pe.bank_conflict=4", changed(|arch| arch.pe.bank_conflict.value = 4)),
    ];
    let mut executed = Vec::new();
    for (name, arch) in machines {
        let (cycles, estimate) = cycles(&arch);
        let ratio = cycles as f64 / estimate as f64;
        println!("{name}: {cycles} cycles executed, {estimate} estimated, {ratio:.4}");
        assert!((0.95..1.05).contains(&ratio), "{name}: {cycles} cycles executed, {estimate} estimated");
        executed.push(cycles);
    }
    assert!(executed[1] <= executed[0], "setups that cost nothing make a step slower: {executed:?}");
}

/// The text of all programs of a step: colors and queues, code and routes. It changes when what is
/// emitted changes, which then is to be meant.
#[test]
fn programs_are_what_they_were() {
    let arch = small();
    let compiled = step(&arch).unwrap();
    let mut hasher = DefaultHasher::new();
    for launch in &compiled.launches {
        compiled.program(launch, &arch).to_string().hash(&mut hasher);
    }
    assert_eq!(hasher.finish(), PROGRAMS, "programs have changed: {:#x}", hasher.finish());
}

const PROGRAMS: u64 = 0x6922_7e3f_28eb_63d2;

#[test]
fn what_a_machine_lacks_is_named() {
    let few = changed(|arch| arch.router.colors.value = 8);
    let faults = step(&few).unwrap_err();
    let [fault] = &faults[..] else { panic!("one kernel needs more: {faults:?}") };
    assert_eq!((fault.code.as_str(), fault.at.as_str()), ("M005", "kernel `attention backward`"));
    assert!(fault.message.starts_with("no color is left for `ring of their gradients"), "{}", fault.message);
    assert!(fault.message.contains("8 of the machine's 8 are in use: ring of keys"), "{}", fault.message);

    let one = changed(|arch| arch.pe.microthreads.value = 1);
    let faults = step(&one).unwrap_err();
    assert!(faults.iter().all(|fault| fault.code == "M005" && fault.message.contains("microthread")), "{faults:?}");

    let queues = changed(|arch| arch.pe.input_queues.value = vec![6]);
    let faults = step(&queues).unwrap_err();
    assert!(faults.iter().any(|fault| fault.code == "M005" && fault.message.contains("input queue")), "{faults:?}");
}
