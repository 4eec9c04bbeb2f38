//! Folded runs equal unfolded ones in every counter of every PE: on programs that repeat along rows
//! and columns, and on programs that only seem to (rules F2 to F6).
#![allow(clippy::unwrap_used, reason = "tests")]

#[path = "../differential/control.rs"]
mod control;
mod holes;
mod periodic;
#[path = "../differential/random.rs"]
#[allow(dead_code, reason = "programs that do not repeat")]
mod random;
#[path = "../differential/shrink.rs"]
#[allow(dead_code, reason = "kept programs are tried by the other test")]
mod shrink;

use fabric::{Fold, RunOptions};
use rayon::prelude::*;
use sim_core::arch::ArchSpec;
use sim_core::coord::Grid;
use sim_core::error::RunError;
use sim_core::program::Program;
use sim_core::report::{FoldNote, Outcome};
use sim_core::util::random::SplitMix64;

/// First seed: those below are of other tests.
const SEEDS: u64 = 1 << 40;

/// Cells whose sums are compared as well.
const CELLS: Option<Grid> = Some(Grid { width: 3, height: 2 });

/// A run on the fast engine.
fn run(p: &Program, arch: &ArchSpec, fold: Fold) -> Result<Outcome, RunError> {
    let options = RunOptions { fold, per_pe: true, cells: CELLS, cycle_limit: 5_000_000, ..RunOptions::default() };
    fabric::run(p, arch, &options, None)
}

/// What two runs must agree in.
fn essence(done: &Result<Outcome, RunError>) -> Result<Outcome, String> {
    match done {
        Ok(o) => Ok(Outcome { folds: Vec::new(), stepped_cycles: 0, stepped_pe_cycles: 0, ..o.clone() }),
        Err(e) => Err(e.to_string()),
    }
}

/// Where two runs differ, in short.
fn difference(a: &Outcome, b: &Outcome) -> String {
    let pes = a.per_pe.iter().flatten().zip(b.per_pe.iter().flatten());
    match pes.enumerate().find(|(_, (a, b))| a != b) {
        Some((i, (a, b))) => format!("{} and {} cycles; PE {i}: {a:?} and {b:?}", a.cycles.total(), b.cycles.total()),
        None => format!("{} and {} cycles", a.cycles, b.cycles),
    }
}

/// Executes in full and with each folding; gives what was folded with both.
fn agree(p: &Program, arch: &ArchSpec) -> Result<Vec<FoldNote>, String> {
    let full = run(p, arch, Fold::NONE);
    let want = essence(&full);
    let mut folds = Vec::new();
    for (time, space) in [(true, false), (false, true), (true, true)] {
        let folded = run(p, arch, Fold { time, space });
        let got = essence(&folded);
        if got != want {
            let what = match (&got, &want) {
                (Ok(a), Ok(b)) => difference(a, b),
                _ => format!("{:?} and {:?}", got.as_ref().err(), want.as_ref().err()),
            };
            let notes: Vec<_> = folded.iter().flat_map(|o| &o.folds).map(|f| &f.text).collect();
            return Err(format!("time {time}, space {space}: folded and full: {what}; {notes:?}"));
        }
        folds = folded.map_or_else(|_| Vec::new(), |o| o.folds);
    }
    Ok(folds)
}

fn cases(default: u64) -> u64 {
    std::env::var("WAFERSIM_CASES").ok().and_then(|s| s.parse().ok()).unwrap_or(default)
}

/// What a case may fold, and in how many of 100 cases at least it does.
const ENOUGH: [(&str, u64); 5] = [("rows", 8), ("columns", 8), ("rows and columns", 1), ("time", 25), ("blocks", 15)];

fn folded(folds: &[FoldNote]) -> [bool; ENOUGH.len()] {
    let has = |kind: &str| folds.iter().any(|f| f.kind == kind);
    [has("rows"), has("columns"), has("rows") && has("columns"), has("time"), has("blocks")]
}

/// Random programs whose lines repeat, on random machines: queue depths from 1 to 6, slow links,
/// slow edges. `WAFERSIM_CASES=10000 cargo test --release -p fabric --test folding` tries more than
/// CI does; a program on which runs differ is made small and kept in `tests/regressions`. Every third
/// program is tried with control code as well; few of these repeat, since places and values differ.
#[test]
fn repeating_programs_fold_exactly() {
    let n = cases(600);
    let one = |case: u64| -> (bool, [bool; ENOUGH.len()]) {
        let with_control = case >= n;
        let seed = SEEDS + if with_control { 3 * (case - n) } else { case };
        let mut a = random::arch(&mut SplitMix64::new(seed));
        let mut rng = SplitMix64::new(seed ^ 0x5eed);
        let mut p = periodic::program(&mut rng);
        if with_control {
            control::machine(&mut rng, &mut a);
            control::insert(&mut rng, &mut p);
        }
        match agree(&p, &a) {
            Ok(folds) => (run(&p, &a, Fold::ALL).is_ok(), folded(&folds)),
            Err(what) => {
                let small = shrink::shrink(p, &|q| agree(q, &a).is_err());
                let path = shrink::keep(&small, seed, with_control);
                panic!("case {case}: {what}\nkept as {}:\n{small}", path.display());
            }
        }
    };
    let mut done: Vec<_> = (0..n + n / 3).into_par_iter().map(one).collect();
    let controlled = done.split_off(n as usize);
    let times = controlled.iter().filter(|d| d.1.contains(&true)).count() as u64;
    assert!(n < 100 || times * 100 >= 5 * (n / 3), "with control code something folded in {times} of {} cases", n / 3);
    let ended = done.iter().filter(|d| d.0).count() as u64;
    assert!(ended * 4 > n * 3, "{ended} of {n} programs end");
    for (i, (what, percent)) in ENOUGH.into_iter().enumerate() {
        let times = done.iter().filter(|d| d.1[i]).count() as u64;
        assert!(n < 100 || times * 100 >= percent * n, "{what} folded in {times} of {n} cases");
    }
}
