//! Prints the curves of `docs/PERFORMANCE.md`: speed and memory of the engine without folding over
//! the size of the mesh, idle and loaded, on one thread and on two.
//!
//! `cargo bench --bench curves` goes up to 256 x 256; `cargo bench --bench curves -- full` up to a
//! full wafer, half an hour; `-- wafer` executes 10,000 cycles of a GEMM on a full wafer; `-- threads`
//! compares threads by turns. Every point is a process of its own, so that its memory is its own.
//! Loaded speeds come from the difference between a run and one that stops earlier: neither building
//! the tables nor the start, while the first wavelets are under way, counts. Idle ones are of 40,000
//! cycles, tables included. Seconds are those of the processor with one thread, so that other work on
//! the computer counts little, and those of the clock with two.

#![allow(clippy::print_stdout, clippy::disallowed_methods, reason = "measures this computer, and prints that")]

mod programs;

use fabric::{Fold, RunOptions};
use sim_core::arch::cs2::cs2;
use sim_core::program::Program;
use std::process::Command;
use std::time::{Duration, Instant};

const MESHES: [(u32, u32); 6] = [(32, 32), (64, 64), (128, 128), (256, 256), (512, 512), (750, 994)];
/// Least part of a run's time that the part of it takes which is measured.
const LEAST: f64 = 0.1;
/// A point is the median of so many rounds at most, or of as many as begin in this time.
const ROUNDS: usize = 15;
const LONG_ENOUGH: Duration = Duration::from_secs(4);
/// Set in the processes that measure.
const POINT: &str = "WAFERSIM_POINT";

/// Seconds that this thread has run so far, where the system tells.
fn processor() -> Option<f64> {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    text.split(' ').next()?.parse::<u64>().ok().map(|nanoseconds| nanoseconds as f64 / 1e9)
}

/// A run that was stopped in cycle `limit`, or ended.
struct Run {
    /// Seconds by the clock.
    clock: f64,
    /// Seconds of the thread that began it, where the system tells.
    busy: Option<f64>,
    cycles: u64,
    hops: u64,
}

impl Run {
    fn of(program: &Program, limit: u64, pool: &rayon::ThreadPool) -> Run {
        let options =
            RunOptions { fold: Fold::NONE, cycle_limit: limit, memory_limit: 1 << 36, ..RunOptions::default() };
        let start = Instant::now();
        let (done, busy) = pool.install(|| {
            let from = processor();
            let done = fabric::run(program, &cs2(), &options, None);
            (done, processor().zip(from).map(|(to, from)| to - from))
        });
        let clock = start.elapsed().as_secs_f64();
        let (cycles, hops) = done.map_or((limit, 0), |o| (o.cycles.0, o.wavelet_hops));
        Run { clock, busy, cycles, hops }
    }
}

/// Seconds until a run is stopped in cycle `limit`, or ends; and its cycles.
fn seconds(program: &Program, limit: u64, threads: usize) -> (f64, u64, u64) {
    let run = Run::of(program, limit, &wafersim::host::pool(threads).expect("threads"));
    // The system counts in ticks.
    let seconds = run.busy.filter(|busy| threads == 1 && *busy > 0.05).unwrap_or(run.clock);
    (seconds, run.cycles, run.hops)
}

/// One point: what, width, height, threads.
fn point(words: &[&str]) {
    let number = |i: usize| words[i].parse::<u32>().expect("a number");
    let (what, width, height, threads) = (words[0], number(1), number(2), number(3) as usize);
    let (program, from, to) = match what {
        "idle" => (programs::idle(width, height, 40_000), 100, 1 << 40),
        "gemm-4" | "gemm-32" | "gemm-128" => {
            let features = what[5..].parse::<u32>().expect("a number");
            let filled = u64::from(width + height) * 2;
            // Some steps of a ring, of over 30 cycles per feature each.
            let steps = (150 * u64::from(features)).clamp(1500, 5000);
            (programs::gemm(width, height, 64, features), filled, filled + steps)
        }
        _ => (programs::traffic(width, height, 1000, 1), 0, 1 << 40),
    };
    let before = resident();
    let pes = f64::from(width) * f64::from(height);
    let rate = || {
        let (start, cycles, _) = seconds(&program, from, threads);
        let (end, last, hops) = seconds(&program, to, threads);
        let (work, time) = match what {
            "traffic" => (hops as f64, end),
            "idle" => (last as f64 * pes, end),
            _ => ((last - cycles) as f64 * pes, end - start),
        };
        // Where other work on the computer took most of the time, the difference says nothing.
        (time >= end * LEAST).then(|| work / time / 1e6)
    };
    let began = Instant::now();
    let mut rates = vec![rate()];
    let memory = resident().saturating_sub(before) / (u64::from(width) * u64::from(height));
    while began.elapsed() < LONG_ENOUGH && rates.len() < ROUNDS {
        rates.push(rate());
    }
    let rates: Vec<f64> = rates.into_iter().flatten().collect();
    let rate = if rates.is_empty() { "not measurable".to_owned() } else { format!("{:.1}", median(rates)) };
    println!("| {what} | {width} x {height} | {threads} | {rate} | {memory} |");
}

/// A GEMM on 256 x 256 PEs, by turns on one thread, on two, and twice at once with a thread each,
/// which is what two cores could give at best. All by the clock.
fn turns(rounds: usize) {
    let (width, height) = (256, 256);
    let program = programs::gemm(width, height, 64, 128);
    let (from, to) = (1024, 1024 + 5000);
    let work = (to - from) as f64 * f64::from(width * height) / 1e6;
    let pools = [1, 1, 2].map(|threads| wafersim::host::pool(threads).expect("threads"));
    let rate = |pool: &rayon::ThreadPool| {
        let clock = |limit| Run::of(&program, limit, pool).clock;
        let start = clock(from);
        work / (clock(to) - start)
    };
    println!("| round | one thread | two threads | two runs at once |");
    println!("|---|---:|---:|---:|");
    let mut all = [const { Vec::new() }; 3];
    for round in 1..=rounds {
        let (one, two) = (rate(&pools[0]), rate(&pools[2]));
        let both = std::thread::scope(|scope| {
            let other = scope.spawn(|| rate(&pools[1]));
            rate(&pools[0]) + other.join().expect("the other run")
        });
        println!("| {round} | {one:.1} | {two:.1} | {both:.1} |");
        all.iter_mut().zip([one, two, both]).for_each(|(all, rate)| all.push(rate));
    }
    let [one, two, both] = all.map(median);
    println!("| median | {one:.1} | {two:.1} | {both:.1} |");
    println!("| to one thread | | {:.2} | {:.2} |", two / one, both / one);
}

fn median(mut of: Vec<f64>) -> f64 {
    of.sort_by(f64::total_cmp);
    of[of.len() / 2]
}

/// The first cycles of a GEMM on a full wafer, with the tables built: what that takes.
fn wafer(cycles: u64) {
    let (width, height) = MESHES[MESHES.len() - 1];
    let (pes, before) = (u64::from(width) * u64::from(height), resident());
    let program = programs::gemm(width, height, 64, 128);
    let (time, done, _) = seconds(&program, cycles, 2);
    assert_eq!(done, cycles, "the product takes longer");
    let memory = resident().saturating_sub(before);
    println!("{pes} PEs, {done} cycles: {time:.1} s, {} MiB ({} bytes per PE)", memory >> 20, memory / pes);
}

/// Most memory that this process took so far.
fn resident() -> u64 {
    wafersim::host::peak_rss_bytes()
}

fn main() {
    if let Ok(words) = std::env::var(POINT) {
        return point(&words.split(' ').collect::<Vec<_>>());
    }
    if std::env::args().any(|a| a == "wafer") {
        return wafer(10_000);
    }
    if std::env::args().any(|a| a == "threads") {
        return turns(9);
    }
    let full = std::env::args().any(|a| a == "full");
    println!("| load | mesh | threads | million PE-cycles/s (traffic: wavelet-hops/s) | bytes per PE |");
    println!("|---|---|---:|---:|---:|");
    let measure = |words: String| {
        let this = std::env::current_exe().expect("this program");
        let status = Command::new(this).env(POINT, words).status().expect("this program runs");
        assert!(status.success());
    };
    for what in ["idle", "gemm-4", "gemm-32", "gemm-128"] {
        for (width, height) in MESHES.into_iter().filter(|m| full || m.0 <= 256) {
            for threads in [1, 2] {
                measure(format!("{what} {width} {height} {threads}"));
            }
        }
    }
    measure("traffic 64 64 1".to_owned());
    measure("traffic 64 64 2".to_owned());
}
