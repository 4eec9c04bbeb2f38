//! Results of random programs of all mechanisms, one JSON object per line, for `.ci/same`, which
//! compares them between two versions: `random_programs FIRST..END [FOLDER]`.
//!
//! Every seed gives a machine and a program, the same as in `fabric/tests/differential`. Each
//! program is executed by the reference engine with values, and by the fast engine with values and
//! folded. A line holds a digest of the program's text, how the run ended, and one digest of every
//! counter of every PE; where runs differ, one of each. With FOLDER, programs that the verifier
//! accepts are also written there as files, with their machine as `--set` options in the first
//! line, for runs by the command line.
//!
//! **Invariant.** A line depends on the seed, the generator and the rules of the machine only: not
//! on names of types, fields or messages.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a tool for developers, whose results are its output")]

#[path = "../tests/differential/execute.rs"]
mod execute;
#[path = "../tests/differential/random.rs"]
#[allow(dead_code, reason = "what tests of folding use")]
mod random;

use execute::{Done, execute};
use fabric::{EngineKind, Fold};
use random::{arch, program};
use sim_core::arch::ArchSpec;
use sim_core::error::RunError;
use sim_core::program::{Program, verify};
use sim_core::report::{Outcome, PeCycles};
use sim_core::util::random::SplitMix64;
use std::path::Path;

fn main() {
    let mut arguments = std::env::args().skip(1);
    let range = arguments.next().expect("FIRST..END");
    let (first, end) = range.split_once("..").expect("FIRST..END");
    let folder = arguments.next();
    for seed in first.parse::<u64>().unwrap()..end.parse().unwrap() {
        let mut rng = SplitMix64::new(seed);
        let machine = arch(&mut rng);
        let p = program(&mut rng);
        // The command line has no machines whose ramp takes no time.
        if let Some(folder) = &folder
            && machine.router.ramp_up.value > 0
            && verify(&p, &machine).is_empty()
        {
            write(&p, &machine, Path::new(folder), seed);
        }
        println!("{}", line(&p, &machine, seed));
    }
}

/// The program as a file, with its machine in the first line.
fn write(p: &Program, machine: &ArchSpec, folder: &Path, seed: u64) {
    let options: Vec<String> = sets(machine).iter().map(|(key, value)| format!("{key}={value}")).collect();
    let text = format!("// {}\n{p}", options.join(" "));
    std::fs::write(folder.join(format!("{seed:04}.wafer")), text).unwrap();
}

/// What `random::arch` chooses at random, by the key of `--set`.
fn sets(machine: &ArchSpec) -> Vec<(&'static str, String)> {
    let depths = |queues: &[u32]| queues.iter().map(u32::to_string).collect::<Vec<_>>().join(",");
    let (pe, router) = (&machine.pe, &machine.router);
    vec![
        ("router.buffer", router.buffer.value.to_string()),
        ("router.hop", router.hop.value.to_string()),
        ("router.ramp_down", router.ramp_down.value.to_string()),
        ("router.ramp_up", router.ramp_up.value.to_string()),
        ("router.edge_latency", router.edge_latency.value.to_string()),
        ("pe.ce_latency", pe.ce_latency.value.to_string()),
        ("pe.vector_setup", pe.vector_setup.value.to_string()),
        ("pe.loop_back", pe.loop_back.value.to_string()),
        ("pe.task_dispatch", pe.task_dispatch.value.to_string()),
        ("pe.input_queues", depths(&pe.input_queues.value)),
        ("pe.output_queues", depths(&pe.output_queues.value)),
    ]
}

/// One line of the output.
fn line(p: &Program, machine: &ArchSpec, seed: u64) -> String {
    let reference = execute(p, machine, EngineKind::Reference, true, Fold::NONE);
    let fast = execute(p, machine, EngineKind::Fast, true, Fold::NONE);
    let folded = execute(p, machine, EngineKind::Fast, false, Fold::ALL);
    let counters = same([&reference, &fast, &folded].map(|done| counters(&done.result)));
    let values = same([&reference, &fast].map(values));
    let (program, end) = (short(blake3::hash(p.to_string().as_bytes())), end(&reference.result));
    format!(
        r#"{{"case":"random/{seed:04}","program":"{program}","end":"{end}","counters":"{counters}","values":"{values}"}}"#
    )
}

/// The one text, or all of them where they differ.
fn same<const N: usize>(texts: [String; N]) -> String {
    if texts.windows(2).all(|pair| pair[0] == pair[1]) { texts[0].clone() } else { texts.join(" but ") }
}

/// When a run ended, or where it stopped and why.
fn end(result: &Result<Outcome, RunError>) -> String {
    match result {
        Ok(outcome) => outcome.cycles.0.to_string(),
        Err(RunError::Deadlock { at, .. }) => format!("deadlock at {}", at.0),
        Err(RunError::MemoryFault { at, pe, address, .. }) => format!("memory fault at {} {pe} {address}", at.0),
        Err(RunError::CycleLimit { limit }) => format!("limit {limit}"),
        Err(RunError::Broken(_)) => "broken".to_owned(),
        Err(RunError::Invalid(faults)) => format!("invalid: {}", faults.len()),
        Err(RunError::TooLarge { needs, .. }) => format!("needs {needs} bytes"),
    }
}

/// A digest of all counters, of all PEs, colors and cells; of a deadlock, how many units are blocked.
fn counters(result: &Result<Outcome, RunError>) -> String {
    let outcome = match result {
        Ok(outcome) => outcome,
        Err(RunError::Deadlock { total, cycle, .. }) => return format!("{total} blocked, {} in a circle", cycle.len()),
        Err(_) => return String::new(),
    };
    let mut all = vec![outcome.cycles.0, outcome.macs, outcome.wavelet_hops];
    all.extend(parts(outcome.pe_cycles));
    let (pes, colors) = (outcome.per_pe.as_ref().unwrap(), outcome.per_color.as_ref().unwrap());
    for (index, pe) in pes.iter().enumerate() {
        all.extend(parts(pe.cycles));
        all.extend([pe.macs, pe.finish]);
        all.extend(pe.sent);
        for color in colors.pe(index) {
            all.push(color.color.index() as u64);
            all.extend(color.sent);
        }
    }
    all.extend(outcome.per_cell.as_ref().unwrap().sums.iter().flatten());
    digest(all.iter().map(|n| n.to_le_bytes()))
}

fn parts(cycles: PeCycles) -> [u64; 4] {
    [cycles.compute, cycles.wait, cycles.back_pressure, cycles.idle]
}

/// A digest of what is in every PE's memory and of what left at the edges, of a run that ended:
/// where one stops that does not, engines may be some cycles apart.
fn values(done: &Done) -> String {
    if done.result.is_err() {
        return String::new();
    }
    let mut hasher = blake3::Hasher::new();
    done.memory.pes.iter().for_each(|pe| {
        hasher.update(pe);
    });
    for wavelets in done.outputs.ports.values() {
        wavelets.iter().for_each(|wavelet| {
            hasher.update(&wavelet.to_le_bytes());
        });
    }
    short(hasher.finalize())
}

fn digest<const N: usize>(parts: impl Iterator<Item = [u8; N]>) -> String {
    let mut hasher = blake3::Hasher::new();
    parts.for_each(|part| {
        hasher.update(&part);
    });
    short(hasher.finalize())
}

/// As many digits of a digest as tell a few thousand cases apart.
fn short(hash: blake3::Hash) -> String {
    hash.to_hex()[..12].to_owned()
}
