//! Folded runs equal unfolded ones in every counter of every PE: on programs that repeat along rows
//! and columns, and on programs that only seem to (rules F2 to F6).
#![allow(clippy::unwrap_used, reason = "tests")]

mod holes;

use fabric::{Fold, RunOptions};
use sim_core::arch::ArchSpec;
use sim_core::error::RunError;
use sim_core::program::Program;
use sim_core::report::{FoldNote, Outcome};

/// A run on the fast engine.
fn run(p: &Program, arch: &ArchSpec, fold: Fold) -> Result<Outcome, RunError> {
    let options = RunOptions { fold, per_pe: true, cycle_limit: 5_000_000, ..RunOptions::default() };
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
