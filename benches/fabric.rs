//! How fast this computer simulates, in PE-cycles per second: `cargo bench`.
//!
//! A matrix product as the compiler emits it, and plain traffic around rows, each on a mesh that
//! the reference engine can step too. The fast engine runs with and without folding; folded, the
//! PE-cycles that it covers count.

use compiler::geometry::{Features, Geometry};
use compiler::kernel::{Access, Act, Addresses, Kernel, WeightRef};
use compiler::kernels::gemm::Gemm;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use fabric::{EngineKind, Fold, RunOptions};
use sim_core::arch::cs2::cs2;
use sim_core::coord::Grid;
use sim_core::program::{DType, Program, parse, verify};

const ENGINES: [(&str, EngineKind, Fold); 3] = [
    ("reference", EngineKind::Reference, Fold::NONE),
    ("fast, no folding", EngineKind::Fast, Fold::NONE),
    ("fast, folded", EngineKind::Fast, Fold::ALL),
];

fn geometry(width: u32, height: u32) -> Geometry {
    Geometry {
        grid: Grid { width, height },
        lanes: 1,
        heads: 2,
        kv_heads: 2,
        head_columns: width / 2,
        sequences_per_lane: 1,
        rows_per_sequence: height,
        tokens: 8,
        sequences: 1,
        seq_len: 8 * height,
        d_model: 4 * width,
        hidden: 4,
        d_ff: 8 * width,
        ffn: 8,
        vocab: width,
        vocab_slots: 1,
        rotary: None,
        alibi: false,
        scores_by_features: false,
        causal: true,
        act: DType::F16,
    }
}

fn gemm() -> Program {
    let g = geometry(16, 16);
    let kernel = Gemm {
        label: "projection".to_owned(),
        x: Act::whole(&g, "x", Features::Hidden),
        y: Act::whole(&g, "y", Features::Hidden),
        weight: WeightRef { tensor: "w".to_owned(), transposed: false, bias: None, mask_padding: false },
        add: false,
    };
    let mut at = Addresses::new();
    let mut next = 4096_u32;
    for need in kernel.needs(&g) {
        assert!(need.access != Access::Update, "a product that replaces reads or writes");
        next = next.next_multiple_of(8) + need.phase;
        at.insert(need.name.clone(), next);
        next += need.len * need.dtype.bytes();
    }
    kernel.program(&g, &cs2(), &at)
}

/// Every row sends 2000 wavelets from its west end through 30 routers to its east end.
fn traffic() -> Program {
    let text = "program traffic
grid 32x16
image source {
  out q2 c0
  mem data f32[2000] @0
  task main local active {
    vec mov 2000: fab c0 f32 <- f32@0[2000]
  }
}
image sink {
  in q0 c0
  mem data f32[2000] @0
  task main local active {
    vec mov 2000: f32@0[2000] <- fab c0 f32
  }
}
place source x=0 y=0..16
place sink x=31 y=0..16
route c0 x=0 y=0..16 ramp -> east
route c0 x=1..31 y=0..16 west -> east
route c0 x=31 y=0..16 west -> ramp
";
    parse(text, "traffic").expect("the program is well formed")
}

fn engines(c: &mut Criterion) {
    let arch = cs2();
    for (name, program) in [("gemm 16x16", gemm()), ("traffic 32x16", traffic())] {
        assert_eq!(verify(&program, &arch), [], "{name}");
        let mut group = c.benchmark_group(name);
        group.sample_size(10);
        for (engine, kind, fold) in ENGINES {
            let options = RunOptions { engine: kind, fold, ..RunOptions::default() };
            let run = || fabric::run(&program, &arch, &options, None).expect("the program ends");
            group.throughput(Throughput::Elements(run().pe_cycles.total()));
            group.bench_function(BenchmarkId::from_parameter(engine), |b| b.iter(run));
        }
        group.finish();
    }
}

criterion_group!(benches, engines);
criterion_main!(benches);
