//! The programs that are measured.
//!
//! **Not here.** What is measured of them.
#![allow(dead_code, reason = "each bench takes its own")]

use compiler::banks::Banks;
use compiler::collective::{Algorithm, Collective, Kind};
use compiler::kernel::{Access, ActivationView, Addresses, Kernel, WeightRef};
use compiler::kernels::gemm::Gemm;
use compiler::layout::{Features, Geometry, MeshLayout, ModelSizes, Precision};
use compiler::{Compiled, Options, compile};
use models::{Design, LayerGraph, ModelShape};
use sim_core::arch::{ArchSpec, cs2::cs2};
use sim_core::coord::Grid;
use sim_core::program::{DType, Program, parse};
use std::fmt::Write;

/// A mesh that is one sequence high.
fn geometry(grid: Grid, tokens: u32, features: u32) -> Geometry {
    let Grid { width, height } = grid;
    let mesh = MeshLayout {
        grid,
        lanes: 1,
        head_columns: 2,
        sequences_per_lane: 1,
        rows_per_sequence: height,
        tokens,
        sequences: 1,
        seq_len: tokens * height,
        hidden: features,
        ffn: 8,
        vocab_slots: 1,
        banks: Banks::of(&cs2()),
    };
    let model = ModelSizes {
        heads: width / 2,
        kv_heads: width / 2,
        d_model: features * width,
        d_ff: 8 * width,
        vocab: width,
        rotary: None,
        alibi: false,
        scores_by_features: false,
        causal: true,
    };
    Geometry { mesh, model, precision: Precision { act: DType::F16, accumulator: DType::F32 } }
}

/// A weight-streaming matrix product, as the compiler emits it: weights down the columns, AXPYs over
/// `tokens` tokens in every PE, for each of its `features`, and rings of partial sums along the rows.
#[must_use]
pub(crate) fn gemm(width: u32, height: u32, tokens: u32, features: u32) -> Program {
    let g = geometry(Grid { width, height }, tokens, features);
    let kernel = Gemm {
        label: "projection".into(),
        x: ActivationView::whole(&g, "x", Features::Hidden),
        y: ActivationView::whole(&g, "y", Features::Hidden),
        weight: WeightRef { tensor: "w".into(), transposed: false, bias: None, mask_padding: false },
        add: false,
        outs: 1,
        piggyback: None,
    };
    let mut at = Addresses::new();
    let mut next = 4096_u32;
    for requirement in kernel.all_requirements(&g, &cs2()) {
        assert!(requirement.access != Access::Update, "a product that replaces reads or writes");
        next = g.banks.place(next, requirement.side);
        at.insert(requirement.buffer, next);
        next += requirement.len * requirement.dtype.bytes();
    }
    kernel.program(&g, &cs2(), &at)
}

/// Routers alone: on every row a stream each way, on every column a stream each way, from edge to
/// edge, a wavelet every `interval` cycles. With 1 every link of the mesh carries one in every cycle.
#[must_use]
pub(crate) fn traffic(width: u32, height: u32, wavelets: u32, interval: u32) -> Program {
    let mut text = format!("program traffic\ngrid {width}x{height}\n");
    for (color, from, to, ports) in [
        (0, "west", "east", format!("y=0..{height}")),
        (1, "east", "west", format!("y=0..{height}")),
        (2, "north", "south", format!("x=0..{width}")),
        (3, "south", "north", format!("x=0..{width}")),
    ] {
        let every = format!("c{color} wavelets {wavelets} every");
        writeln!(text, "route c{color} x=0..{width} y=0..{height} {from} -> {to}").expect("writing to a string");
        writeln!(text, "edge in i{color} {from} {ports} {every} {interval} fanout 1").expect("writing to a string");
        writeln!(text, "edge out o{color} {to} {ports} {every} 1 fanout 1").expect("writing to a string");
    }
    parse(&text, "traffic").expect("the program is well formed")
}

/// A mesh on which nothing happens but for one PE, which copies numbers for `cycles` cycles or so.
#[must_use]
pub(crate) fn idle(width: u32, height: u32, cycles: u32) -> Program {
    let text = format!(
        "program idle\ngrid {width}x{height}\nimage a {{\ntask main local active {{\nloop {} {{\nvec mov 64: f32@0[64] <- f32@1024[64]\n}}\n}}\n}}\nimage b {{\n}}\nplace a x=0 y=0\nplace b x=1..{width} y=0..{height}\nroute c0 x=0..{width} y=0..{height} west -> east\n",
        cycles.div_ceil(72)
    );
    parse(&text, "idle").expect("the program is well formed")
}

/// A collective over a rectangle.
#[must_use]
pub(crate) fn collective(reduce: bool, width: u32, height: u32, wavelets: u32) -> Program {
    let kind = if reduce { Kind::Reduce(Algorithm::Chain) } else { Kind::Broadcast };
    Collective { kind, pes: Grid { width, height }, wavelets, dtype: DType::F32 }.program()
}

/// A machine with a mesh of its own.
#[must_use]
pub(crate) fn machine(width: u32, height: u32) -> ArchSpec {
    let mut arch = cs2();
    (arch.wafer.width.value, arch.wafer.height.value) = (width, height);
    arch
}

/// A training step of a small model.
#[must_use]
pub(crate) fn step(arch: &ArchSpec, layers: u32, d_model: u32) -> Compiled {
    let shape = ModelShape {
        name: "small".into(),
        design: Design::GPT2,
        layers,
        d_model,
        heads: 4,
        d_ff: 4 * d_model,
        vocab: 128,
        max_positions: 32,
    };
    let graph = LayerGraph::training_step(&shape, 8, 32).expect("a model");
    let options = Options {
        batch: 8,
        micro_batch: Some(8),
        seq_len: 32,
        act: DType::F16,
        accumulator: DType::F32,
        constraints: compiler::options::MappingConstraints { lanes: Some(1), ..Default::default() },
    };
    compile(&graph, arch, &options).unwrap_or_else(|faults| panic!("{}", faults[0]))
}

/// The program of a step's first kernel whose name begins with `name`.
#[must_use]
pub(crate) fn kernel(compiled: &Compiled, arch: &ArchSpec, name: &str) -> Program {
    let launch = compiled.launches.iter().find(|l| l.kernel.name().starts_with(name));
    let known = || compiled.launches.iter().map(|l| l.kernel.name()).collect::<Vec<_>>();
    compiled.program(launch.unwrap_or_else(|| panic!("no {name} among {:?}", known())), arch)
}
