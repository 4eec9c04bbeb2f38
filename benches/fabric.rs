//! How fast this computer simulates: `cargo bench --bench fabric`, about five minutes. Rates are
//! PE-cycles of the simulated run per second; folded, the PE-cycles that it covers count.
//!
//! **Not here.** Curves over the size of the mesh (`curves`), instructions (`instructions`).

mod programs;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use fabric::{EngineKind, Fold, RunOptions};
use runner::{Executor, programs as programs_of};
use sim_core::arch::{ArchSpec, cs2::cs2};
use sim_core::program::Program;
use std::time::Duration;
use wafersim::host;

const RAW: RunOptions = RunOptions {
    engine: EngineKind::Fast,
    fold: Fold::NONE,
    per_pe: false,
    cells: None,
    cycle_limit: 1 << 42,
    memory_limit: 16 << 30,
    bands: None,
};

fn quick(
    c: &mut Criterion,
    name: &str,
    body: impl FnOnce(&mut criterion::BenchmarkGroup<'_, criterion::measurement::WallTime>),
) {
    let mut group = c.benchmark_group(name);
    group.sample_size(10).warm_up_time(Duration::from_millis(300)).measurement_time(Duration::from_secs(2));
    body(&mut group);
    group.finish();
}

/// PE-cycles of a run.
fn covers(program: &Program, arch: &ArchSpec, options: &RunOptions) -> u64 {
    fabric::run(program, arch, options, None).expect("the program ends").pe_cycles.total()
}

/// Routers alone under light, medium and saturated traffic, on one thread.
fn raw(c: &mut Criterion) {
    let arch = cs2();
    let pool = host::pool(1).expect("a thread");
    for (side, wavelets) in [(16, 1500), (64, 300), (256, 60)] {
        quick(c, &format!("traffic {side}x{side}"), |group| {
            for (load, interval) in [("light", 64_u32), ("medium", 8), ("saturated", 1)] {
                let program = programs::traffic(side, side, wavelets / interval.isqrt(), interval);
                group.throughput(Throughput::Elements(covers(&program, &arch, &RAW)));
                let run = || pool.install(|| fabric::run(&program, &arch, &RAW, None).expect("the program ends"));
                group.bench_function(BenchmarkId::from_parameter(load), |b| b.iter(run));
            }
        });
    }
}

/// Kernels on each engine, with and without folding.
fn kernels(c: &mut Criterion) {
    let arch = programs::machine(16, 32);
    let small = programs::step(&arch, 1, 32);
    let kernel = |name| programs::kernel(&small, &arch, name);
    let all = [
        ("gemm 16x16, 64 tokens", programs::gemm(16, 16, 64, 4)),
        ("attention", kernel("attention")),
        ("outer product", kernel("outer")),
        ("norm", kernel("norm")),
        ("broadcast 64x64", programs::collective(false, 64, 64, 512)),
        ("chain reduce 64x64", programs::collective(true, 64, 64, 512)),
    ];
    for (name, program) in all {
        quick(c, name, |group| {
            for (engine, options) in [
                ("reference", RunOptions { engine: EngineKind::Reference, ..RAW }),
                ("fast, no folding", RAW),
                ("fast, folded", RunOptions { fold: Fold::ALL, ..RAW }),
            ] {
                group.throughput(Throughput::Elements(covers(&program, &arch, &options)));
                let run = || fabric::run(&program, &arch, &options, None).expect("the program ends");
                group.bench_function(BenchmarkId::from_parameter(engine), |b| b.iter(run));
            }
        });
    }
}

/// Whole steps, all distinct programs folded: over layers, width, mesh and threads.
fn steps(c: &mut Criterion) {
    quick(c, "step", |group| {
        let sizes =
            [(1, 32, 16, 32, 2), (4, 32, 16, 32, 2), (1, 64, 16, 32, 2), (1, 32, 32, 96, 2), (1, 32, 16, 32, 1)];
        for (layers, d_model, width, height, threads) in sizes {
            let arch = programs::machine(width, height);
            let compiled = programs::step(&arch, layers, d_model);
            let pool = host::pool(threads).expect("threads");
            let executor = Executor::default();
            let run = || {
                let all = programs_of::distinct(&compiled, &arch).expect("programs without faults");
                pool.install(|| executor.execute(all, &arch)).expect("programs that end")
            };
            let name = format!("{layers} layers of {d_model}, {width}x{height}, {threads} threads");
            group.bench_function(name, |b| b.iter(run));
        }
    });
}

/// The raw engine on one thread and on two.
fn threads(c: &mut Criterion) {
    let arch = cs2();
    let program = programs::gemm(128, 128, 64, 4);
    let limited = RunOptions { cycle_limit: 1000, ..RAW };
    quick(c, "gemm 128x128, 1000 cycles", |group| {
        group.throughput(Throughput::Elements(1000 * 128 * 128));
        for threads in [1, 2] {
            let pool = host::pool(threads).expect("threads");
            let run = || pool.install(|| fabric::run(&program, &arch, &limited, None).is_err());
            group.bench_function(BenchmarkId::from_parameter(threads), |b| b.iter(run));
        }
    });
}

criterion_group!(benches, raw, kernels, steps, threads);
criterion_main!(benches);
