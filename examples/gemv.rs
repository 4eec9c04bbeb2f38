//! `y = A·x` on a row of PEs, built through the API: `cargo run --example gemv`.
//!
//! Every PE holds some columns of A and its part of x. It multiplies them (AXPYs into an
//! accumulator), then the partial sums run east along the row, each PE adding its own: a chain
//! reduction. The east PE keeps y. The result is compared with ndarray.

use compiler::codegen::instr::{fab, mem, vec, word};
use fabric::{HostStreams, RunOptions, Values, WaferMemory};
use ndarray::{Array1, Array2};
use sim_core::arch::cs2::cs2;
use sim_core::coord::{Color, Dir, DirSet, Grid, Region, Span};
use sim_core::program::{DType, Image, Op, Placement, Program, Route, Task, Trigger, verify};

const PES: u32 = 8;
/// Rows of A.
const M: u32 = 64;
/// Columns of A in a PE.
const N: u32 = 4;
/// Addresses in bytes. Accumulator and A start in different banks, so that no access waits.
const A: u32 = 0;
const X: u32 = A + M * N * 4;
const Y: u32 = X + N * 4 + 4;

/// The color on which PE `k` sends; it alternates, so that no PE sends on what it receives.
fn sends(k: u32) -> Color {
    compiler::codegen::instr::color((k % 2) as u8)
}

/// The code of PE `k`.
fn image(k: u32) -> Image {
    let y = || mem(DType::F32, Y, M);
    let column = |j: u32| mem(DType::F32, A + j * M * 4, M);
    let axpy = |j: u32| vec(Op::Fmac, M, y(), &[y(), column(j), word(DType::F32, X + j * 4)]);
    let mut body: Vec<_> = (0..N).map(axpy).collect();
    let mut image = Image { name: format!("pe{k}"), ..Image::default() };
    if k > 0 {
        image.inputs.push((0, sends(k - 1)));
    }
    if k < PES - 1 {
        image.outputs.push((2, sends(k)));
    }
    body.push(match k {
        0 => vec(Op::Mov, M, fab(sends(0), DType::F32), &[y()]),
        _ if k == PES - 1 => vec(Op::Add, M, y(), &[fab(sends(k - 1), DType::F32), y()]),
        _ => vec(Op::Add, M, fab(sends(k), DType::F32), &[fab(sends(k - 1), DType::F32), y()]),
    });
    let (trigger, active, blocked) = (Trigger::Local, true, false);
    image.tasks.push(Task { name: "main".to_owned(), trigger, active, blocked, body });
    image
}

fn program() -> Program {
    let at = |k: u32| Region { x: Span::run(k, 1), y: Span::run(0, 1) };
    let route = |k, color, rx, tx| Route { color, region: at(k), rx, tx: DirSet::of(&[tx]) };
    let mut program =
        Program { name: "gemv".to_owned(), grid: Some(Grid { width: PES, height: 1 }), ..Program::default() };
    for k in 0..PES {
        program.images.push(image(k));
        program.placements.push(Placement { region: at(k), image: k, params: vec![] });
        if k < PES - 1 {
            program.routes.push(route(k, sends(k), Dir::Ramp, Dir::East));
            program.routes.push(route(k + 1, sends(k), Dir::West, Dir::Ramp));
        }
    }
    program
}

#[allow(clippy::print_stdout, reason = "an example prints")]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (program, arch) = (program(), cs2());
    let faults = verify(&program, &arch);
    assert!(faults.is_empty(), "{faults:?}");

    let a = Array2::from_shape_fn((M as usize, (PES * N) as usize), |(i, j)| ((i * 7 + j * 3) % 11) as f32 - 5.0);
    let x = Array1::from_shape_fn((PES * N) as usize, |j| (j % 5) as f32 / 4.0);
    let mut memory = WaferMemory::new(program.grid(), arch.pe.sram.value);
    for (k, pe) in memory.pes.iter_mut().enumerate() {
        for j in 0..N as usize {
            let column = k * N as usize + j;
            let own = a.column(column).to_vec();
            put(pe, A as usize + j * M as usize * 4, &own);
            put(pe, X as usize + j * 4, &[x[column]]);
        }
    }
    let (inputs, mut outputs) = (HostStreams::default(), HostStreams::default());
    let mut values = Values { memory: &mut memory, inputs: &inputs, outputs: &mut outputs };
    let outcome = fabric::run(&program, &arch, &RunOptions::default(), Some(&mut values))?;

    let want = a.dot(&x);
    let last = &memory.pes[PES as usize - 1];
    let error = (0..M as usize).map(|i| (get(last, Y as usize + i * 4) - want[i]).abs()).fold(0.0, f32::max);
    println!("y = A·x with A {M} × {} on {PES} PEs: {}", PES * N, outcome.cycles);
    println!("{} multiply-accumulates, {} link crossings", outcome.macs, outcome.wavelet_hops);
    println!("largest error against ndarray: {error:e}");
    assert!(error < 1e-4, "y is right");
    Ok(())
}

fn put(memory: &mut [u8], addr: usize, values: &[f32]) {
    for (bytes, v) in memory[addr..].chunks_exact_mut(4).zip(values) {
        bytes.copy_from_slice(&v.to_le_bytes());
    }
}

fn get(memory: &[u8], addr: usize) -> f32 {
    f32::from_le_bytes([memory[addr], memory[addr + 1], memory[addr + 2], memory[addr + 3]])
}
