//! Runs the engine's inner loop once, for `benches/count`, which counts the instructions under
//! valgrind: `gemm` (a matrix product with every PE busy) or `traffic` (every link carries a wavelet
//! in every cycle); `nothing` does all that the others do but running.
//!
//! **Invariant.** One thread; the same work every time.

mod programs;

use fabric::{Fold, RunOptions};
use sim_core::arch::cs2::cs2;

fn main() {
    let Some(what) = std::env::args().nth(1).filter(|a| !a.starts_with('-')) else { return };
    let (gemm, traffic) = (programs::gemm(8, 8, 64, 4), programs::traffic(32, 32, 40, 1));
    let program = match what.as_str() {
        "gemm" => gemm,
        "traffic" => traffic,
        _ => return,
    };
    let options = RunOptions { fold: Fold::NONE, ..RunOptions::default() };
    let pool = wafersim::host::pool(1).expect("a thread");
    let outcome = pool.install(|| fabric::run(&program, &cs2(), &options, None)).expect("the program ends");
    assert!(outcome.cycles.0 > 0, "{what} takes no time");
}
