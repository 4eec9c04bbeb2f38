//! The cluster and the wafer's edges: a kernel whose streams are throttled, executed cycle by cycle,
//! lies between what the rules of the cluster give with and without room to read ahead.
#![allow(clippy::unwrap_used, reason = "tests")]

use cluster::{Cluster, ExecutedKernel, Picos, Table, Work};
use compiler::options::MappingConstraints;
use compiler::{Compiled, Launch, Options, compile};
use fabric::RunOptions;
use models::{Design, LayerGraph, ModelShape};
use runner::traffic::Traffic;
use sim_core::arch::{ArchSpec, cs2::cs2};
use sim_core::program::DType;

fn machine() -> ArchSpec {
    let mut arch = cs2();
    (arch.wafer.width.value, arch.wafer.height.value) = (8, 8);
    arch
}

fn compiled(arch: &ArchSpec) -> Compiled {
    let shape = ModelShape {
        name: "tiny".into(),
        design: Design::GPT2,
        layers: 1,
        d_model: 64,
        heads: 2,
        d_ff: 256,
        vocab: 64,
        max_positions: 32,
    };
    let graph = LayerGraph::training_step(&shape, 2, 32).unwrap();
    let options = Options {
        batch: 2,
        micro_batch: Some(2),
        seq_len: 32,
        act: DType::F16,
        accumulator: DType::F32,
        constraints: MappingConstraints { lanes: Some(1), ..MappingConstraints::default() },
    };
    compile(&graph, arch, &options).unwrap_or_else(|f| panic!("{}", f[0]))
}

/// Time of a launch on a machine, and what crosses its edges.
fn executed(compiled: &Compiled, launch: &Launch, arch: &ArchSpec) -> (Picos, Traffic) {
    let program = compiled.program(launch, arch);
    let outcome = fabric::run(&program, arch, &RunOptions::default(), None).unwrap();
    (Picos::of(outcome.cycles.0, arch.wafer.clock_hz.value), Traffic::of(&program, |_| false))
}

/// Time of a kernel, many of which follow one another, when MemoryX reads and takes at `rate`.
fn on_cluster(arch: &ArchSpec, kernel: ExecutedKernel, rate: u64, prefetch: u64) -> u64 {
    const TIMES: u64 = 100;
    let cluster = Cluster { read: rate, write: rate, prefetch, latency: Picos(0), ..Cluster::of(arch) };
    let work = Work { kernels: &[kernel], micro_batches: TIMES, parameters: &[0, 0], table: Table::default() };
    cluster::run(&cluster, &work).step.0 / TIMES
}

#[test]
fn a_throttled_kernel_lies_between_reading_ahead_and_not() {
    let arch = machine();
    let compiled = compiled(&arch);
    let mut bound = [0, 0];
    for name in ["gemm ffn_up", "outer ffn_up weight gradient"] {
        let launch = compiled.launches.iter().find(|l| l.kernel.name() == name).unwrap();
        let (free, traffic) = executed(&compiled, launch, &arch);
        let kernel =
            ExecutedKernel { time: free, weights: traffic.on(), gradients: traffic.off(), ..ExecutedKernel::default() };
        for divisor in [4, 16, 64, 256, 1024] {
            let mut slow = arch.clone();
            slow.wafer.io_bits_per_second.value /= divisor;
            let rate = slow.wafer.io_bits_per_second.value;
            let (throttled, same) = executed(&compiled, launch, &slow);
            assert_eq!(traffic, same);
            let ahead = on_cluster(&arch, kernel, rate, 1 << 40);
            let not = on_cluster(&arch, kernel, rate, 1);
            assert!(ahead <= throttled.0 + throttled.0 / 50, "{name}, {divisor}: {ahead} {throttled:?}");
            assert!(throttled.0 <= not + not / 50, "{name}, {divisor}: {throttled:?} {not}");
            bound[usize::from(throttled.0 > free.0 + free.0 / 2)] += 1;
        }
    }
    assert!(bound[0] > 0 && bound[1] > 0, "some rates bind, and some do not: {bound:?}");
}
