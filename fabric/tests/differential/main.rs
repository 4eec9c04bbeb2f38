//! The fast engine equals the reference engine in every counter and every value, and folded runs
//! equal unfolded ones, on random programs.
//!
//! `WAFERSIM_CASES=10000 cargo test --release -p fabric --test differential` tries more seeds
//! than CI does; a failing seed is in the message.
#![allow(clippy::unwrap_used, reason = "tests")]

mod random;

use fabric::{EngineKind, Fold, HostStreams, RunOptions, Values, WaferMemory};
use random::{Rng, arch, program};
use sim_core::arch::ArchSpec;
use sim_core::error::RunError;
use sim_core::program::*;
use sim_core::report::Outcome;

fn cases(default: u64) -> u64 {
    std::env::var("WAFERSIM_CASES").ok().and_then(|s| s.parse().ok()).unwrap_or(default)
}

struct Done {
    result: Result<Outcome, RunError>,
    memory: WaferMemory,
    outputs: HostStreams,
}

fn execute(p: &Program, a: &ArchSpec, engine: EngineKind, with_values: bool, fold: Fold) -> Done {
    let mut memory = WaferMemory::new(p.grid(), a.sram.value);
    for (i, pe) in memory.pes.iter_mut().enumerate() {
        for (k, b) in pe.iter_mut().enumerate() {
            // Small finite numbers in every type: exponents near the middle.
            *b = if k % 2 == 1 { 0x3c } else { (i * 7 + k) as u8 };
        }
    }
    let mut inputs = HostStreams::default();
    for e in p.edges.iter().filter(|e| e.flow == Flow::In) {
        inputs.ports.insert((e.name.clone(), 0), (0..e.wavelets as u32).map(|k| 0x3c00_3c00 + k).collect());
    }
    let mut outputs = HostStreams::default();
    let options = RunOptions { engine, fold, per_pe: true, cycle_limit: 2_000_000, ..RunOptions::default() };
    let result = if with_values {
        let mut values = Values { memory: &mut memory, inputs: &inputs, outputs: &mut outputs };
        fabric::run(p, a, &options, Some(&mut values))
    } else {
        fabric::run(p, a, &options, None)
    };
    Done { result, memory, outputs }
}

/// What two runs must agree in.
fn essence(r: &Result<Outcome, RunError>) -> Result<Outcome, String> {
    match r {
        Ok(o) => Ok(Outcome { folds: Vec::new(), stepped_cycles: 0, stepped_pe_cycles: 0, ..o.clone() }),
        Err(RunError::Deadlock { blocked, total, .. }) => Err(format!("deadlock {total} {blocked:?}")),
        Err(e) => Err(format!("{e}")),
    }
}

/// What the random programs are made of, beside memory operations.
const MECHANISMS: [&str; 10] = [
    "a switch",
    "a ring switch",
    "popping",
    "a filter",
    "a control task",
    "a teardown task",
    "a FIFO",
    "a circular buffer",
    "a data task",
    "an edge stream",
];

fn mechanisms(p: &Program) -> [bool; MECHANISMS.len()] {
    let text = p.to_string();
    let lines = |start: &str, word: &str| text.lines().any(|l| l.trim_start().starts_with(start) && l.contains(word));
    [
        lines("switch", ""),
        lines("switch", " ring"),
        lines("switch", "pop advance"),
        lines("filter", ""),
        lines("task", " control "),
        lines("task", " teardown "),
        lines("fifo", ""),
        lines("", "%"),
        lines("task", " data "),
        lines("edge", ""),
    ]
}

#[test]
fn the_fast_engine_equals_the_reference_engine() {
    let (mut ended, mut stuck) = (0, 0);
    let mut met = [0; MECHANISMS.len()];
    for seed in 0..cases(400) {
        let mut rng = Rng(seed);
        let a = arch(&mut rng);
        let p = program(&mut rng);
        let slow = execute(&p, &a, EngineKind::Reference, true, Fold::NONE);
        let fast = execute(&p, &a, EngineKind::Fast, true, Fold::NONE);
        assert_eq!(essence(&fast.result), essence(&slow.result), "seed {seed}");
        if slow.result.is_ok() {
            for (i, (f, s)) in fast.memory.pes.iter().zip(&slow.memory.pes).enumerate() {
                let at = f.iter().zip(s).position(|(a, b)| a != b);
                assert_eq!(
                    at,
                    None,
                    "seed {seed}: PE {i}: {:?} {:?}",
                    at.map(|a| &f[a / 4 * 4..][..4]),
                    at.map(|a| &s[a / 4 * 4..][..4])
                );
            }
            assert!(fast.outputs == slow.outputs, "seed {seed}: edge streams differ");
            ended += 1;
            met.iter_mut().zip(mechanisms(&p)).for_each(|(n, is)| *n += u32::from(is));
        } else {
            stuck += 1;
        }
        let plain = execute(&p, &a, EngineKind::Fast, false, Fold::NONE);
        assert_eq!(essence(&plain.result), essence(&slow.result), "seed {seed}: without values");
        let folded = execute(&p, &a, EngineKind::Fast, false, Fold::ALL);
        assert_eq!(essence(&folded.result), essence(&slow.result), "seed {seed}: folded");
    }
    assert!(ended > stuck, "most programs should end: {ended} did, {stuck} did not");
    for (what, n) in MECHANISMS.iter().zip(met) {
        println!("{what}: {n}");
        assert!(n > 0, "no program with {what} ended");
    }
}
