//! The fast engine equals the reference engine in every counter and every value, and folded runs
//! equal unfolded ones, on random programs.
//!
//! `WAFERSIM_CASES=10000 cargo test --release -p fabric --test differential` tries more seeds
//! than CI does. Where the engines differ, the program is made as small as possible and kept in
//! `tests/regressions`, whose programs are tried in every run.
#![allow(clippy::unwrap_used, reason = "tests")]

mod control;
mod execute;
mod random;
mod sends;
mod shrink;

use execute::{execute, execute_in};
use fabric::{EngineKind, Fold};
use random::{arch, program};
use sim_core::arch::ArchSpec;
use sim_core::error::RunError;
use sim_core::program::transform::depends_on_values;
use sim_core::program::*;
use sim_core::report::Outcome;
use sim_core::util::random::SplitMix64;

fn cases(default: u64) -> u64 {
    std::env::var("WAFERSIM_CASES").ok().and_then(|s| s.parse().ok()).unwrap_or(default)
}

/// What two runs must agree in.
fn essence(r: &Result<Outcome, RunError>) -> Result<Outcome, String> {
    match r {
        Ok(o) => Ok(Outcome { folds: Vec::new(), stepped_cycles: 0, stepped_pe_cycles: 0, ..o.clone() }),
        Err(RunError::Deadlock { at, blocked, total, cycle }) => {
            Err(format!("deadlock {at:?} {total} {blocked:?} {cycle:?}"))
        }
        Err(e) => Err(format!("{e}")),
    }
}

/// What the random programs are made of, beside memory operations.
const MECHANISMS: [&str; 25] = [
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
    "a branch with two bodies",
    "a `while`",
    "a loop by a register",
    "a load",
    "a store",
    "a division",
    "a time stamp",
    "a length in a register",
    "an operand that advances",
    "a descriptor that is set",
    "a filter set at run time",
    "a switch turned at run time",
    "a task that ends early",
    "a control wavelet of a microthread",
    "a PE that sends to itself",
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
        lines("} else {", ""),
        lines("while", ""),
        lines("loop a", ""),
        lines("a", " = load i16"),
        lines("store", ""),
        lines("r", " = div"),
        lines("timestamp", ""),
        lines("vec", "[..]"),
        lines("vec", "]+ <-"),
        lines("vec", " base: "),
        lines("filter", " of 0"),
        lines("turn", ""),
        lines("return", ""),
        lines("async", " control "),
        text.lines().any(|l| l.starts_with("route") && l.contains(" ramp ->") && l.ends_with(" ramp")),
    ]
}

/// How the fast engine differs from the reference engine on a program: with values, without, and
/// folded, in a pool of `threads` threads.
fn difference(p: &Program, a: &ArchSpec, threads: usize) -> Option<String> {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
    let slow = execute(p, a, EngineKind::Reference, true, Fold::NONE);
    let want = essence(&slow.result);
    // Without values, what depends on them starts from zeros (V1).
    let zeros = depends_on_values(p).map(|_| essence(&execute(p, a, EngineKind::Reference, false, Fold::NONE).result));
    // As many bands as threads; one more than rows is one per row.
    let bands = Some(threads as u32);
    for (how, with_values, fold, bands) in [
        ("with values", true, Fold::NONE, None),
        ("with values, in bands", true, Fold::NONE, bands),
        ("without values, in bands", false, Fold::NONE, bands),
        ("folded", false, Fold::ALL, None),
    ] {
        let fast = pool.install(|| execute_in(p, a, EngineKind::Fast, with_values, fold, bands));
        let got = essence(&fast.result);
        let want = zeros.as_ref().filter(|_| !with_values).unwrap_or(&want);
        if got != *want {
            return Some(format!("{how}: {got:?} instead of {want:?}"));
        }
        if with_values && slow.result.is_ok() {
            for (i, (f, s)) in fast.memory.pes.iter().zip(&slow.memory.pes).enumerate() {
                if let Some(at) = f.iter().zip(s).position(|(a, b)| a != b) {
                    return Some(format!("byte {at} of PE {i} is {} instead of {}", f[at], s[at]));
                }
            }
            if fast.outputs != slow.outputs {
                return Some("what left at the edges".to_owned());
            }
        }
    }
    None
}

/// Tells the generator of what `sends` puts in from that of the rest.
const SENDS: u64 = 0x5e4d5;

/// The random program of a seed, with control code if that is asked for, and its machine.
fn case(seed: u64, with_control: bool) -> (Program, ArchSpec) {
    let mut rng = SplitMix64::new(seed);
    let mut a = arch(&mut rng);
    let mut p = program(&mut rng);
    if with_control {
        control::machine(&mut rng, &mut a);
        control::insert(&mut rng, &mut p);
    }
    sends::insert(&mut SplitMix64::new(seed ^ SENDS), &mut p);
    (p, a)
}

#[test]
fn the_fast_engine_equals_the_reference_engine() {
    let (mut ended, mut stuck) = (0, 0);
    let mut met = [0; MECHANISMS.len()];
    let (mut values, mut both) = (0, 0);
    // Two programs of each seed: one without control code, one with.
    for case_number in 0..2 * cases(400) {
        let (seed, with_control) = (case_number / 2, case_number % 2 == 1);
        let (p, a) = case(seed, with_control);
        values += u32::from(depends_on_values(&p).is_some());
        both += u32::from(with_control);
        let threads = [1, 2, 3, 8][(seed % 4) as usize];
        if let Some(what) = difference(&p, &a, threads) {
            let small = shrink::shrink(p, &|q| difference(q, &a, threads).is_some());
            let path = shrink::keep(&small, seed, with_control);
            panic!("seed {seed}, {threads} threads: {what}\nkept as {}:\n{small}", path.display());
        }
        if execute(&p, &a, EngineKind::Fast, false, Fold::NONE).result.is_ok() {
            ended += 1;
            met.iter_mut().zip(mechanisms(&p)).for_each(|(n, is)| *n += u32::from(is));
        } else {
            stuck += 1;
        }
    }
    assert!(values > both / 10 && values < both / 2, "{values} of {both} programs with control code depend on values");
    assert!(ended > stuck, "most programs should end: {ended} did, {stuck} did not");
    for (what, n) in MECHANISMS.iter().zip(met) {
        assert!(n > 0, "no program with {what} ended");
    }
}

/// Programs on which the engines once differed.
#[test]
fn kept_programs_do_not_differ_again() {
    let kept = shrink::kept();
    assert!(!kept.is_empty());
    for (name, seed, with_control, p) in kept {
        let (_, a) = case(seed, with_control);
        for threads in [1, 2, 3, 8] {
            assert_eq!(difference(&p, &a, threads), None, "{name}, {threads} threads");
        }
    }
}

/// A program on which two machines differ becomes a small one on which they still differ, and its
/// text gives the same program.
#[test]
fn a_difference_is_shrunk() {
    let p = (0..)
        .map(|seed| program(&mut SplitMix64::new(seed)))
        .find(|p| p.edges.len() > 1 && p.images.len() > 6)
        .unwrap();
    let a = arch(&mut SplitMix64::new(0));
    let mut slow = a.clone();
    slow.pe.vector_setup.value += 1;
    let length =
        |p: &Program, a: &ArchSpec| execute(p, a, EngineKind::Fast, false, Fold::NONE).result.map(|o| o.cycles);
    let differs = |p: &Program| matches!((length(p, &a), length(p, &slow)), (Ok(x), Ok(y)) if x != y);
    assert!(differs(&p));
    let small = shrink::shrink(p, &differs);
    assert!(differs(&small));
    let instructions: usize = small.images.iter().flat_map(|i| &i.tasks).map(|t| t.body.len()).sum();
    assert_eq!((instructions, small.placements.len()), (1, 1), "one vector instruction is enough:\n{small}");
    assert_eq!(parse(&small.to_string(), "small").unwrap(), small);
}
