//! Element functions on one PE of the reference engine against f64.

use crate::common::round;
use compiler::banks::{Banks, Side};
use compiler::codegen::instr::{mem, vec};
use compiler::codegen::math::{self, Scratch};
use fabric::{EngineKind, HostStreams, RunOptions, Values, WaferMemory};
use sim_core::arch::cs2;
use sim_core::coord::{Grid, Region};
use sim_core::program::{DType, Image, Instr, Op, Operand, Placement, Program, Task, Trigger};

const LEN: u32 = 1000;
const X: u32 = 1024;
const DY: u32 = X + 4096;
const OUT: u32 = DY + 4096;
const SCRATCH: u32 = OUT + 4096;

/// Runs code on one PE whose memory holds `x` (f32 on the far side of the banks, 16-bit on the near one) and `dy`; gives
/// the f32 output.
fn run(body: Vec<Instr>, dtype: DType, x: &[f32], dy: &[f32]) -> Vec<f32> {
    let task = Task { name: "main".into(), trigger: Trigger::Local, active: true, blocked: false, body };
    let image = Image { name: "math".into(), tasks: vec![task], ..Image::default() };
    let program = Program {
        name: "math".into(),
        grid: Some(Grid { width: 1, height: 1 }),
        images: vec![image],
        placements: vec![Placement { region: Region::rect(0, 0, 1, 1), image: 0, params: vec![] }],
        ..Program::default()
    };
    let mut arch = cs2::cs2();
    arch.pe.sram.value = 65_536;
    let faults = sim_core::program::verify::verify(&program, &arch);
    assert!(faults.is_empty(), "{faults:?}");
    let mut memory = WaferMemory::new(program.grid(), arch.pe.sram.value);
    for (base, values) in [(x_addr(dtype), x), (dy_addr(dtype), dy)] {
        dtype.write(&mut memory.pes[0][base as usize..], values);
    }
    let options = RunOptions { engine: EngineKind::Reference, ..RunOptions::default() };
    let (inputs, mut outputs) = (HostStreams::default(), HostStreams::default());
    let mut values = Values { memory: &mut memory, inputs: &inputs, outputs: &mut outputs };
    fabric::run(&program, &arch, &options, Some(&mut values)).expect("code without communication ends");
    let out = (0..x.len()).map(|i| {
        let at = OUT as usize + 4 * i;
        f32::from_le_bytes(memory.pes[0][at..at + 4].try_into().expect("four bytes"))
    });
    out.collect()
}

fn banks() -> Banks {
    Banks::of(&cs2::cs2())
}

fn x_addr(dtype: DType) -> u32 {
    banks().place(X, Side::of(dtype))
}

fn dy_addr(dtype: DType) -> u32 {
    banks().place(DY, Side::of(dtype))
}

type Function = fn(&mut Vec<Instr>, u32, &Operand, &Operand, &Scratch);

/// Applies a function to numbers and gives `(x, result)`.
fn apply(f: Function, dtype: DType, x: &[f32], vectors: (u32, u32)) -> Vec<(f64, f64)> {
    let len = x.len() as u32;
    let scratch = Scratch::new(banks(), SCRATCH, len, Side::of(dtype), vectors);
    let mut code = Vec::new();
    f(&mut code, len, &mem(dtype, x_addr(dtype), len), &mem(DType::F32, OUT, len), &scratch);
    let out = run(code, dtype, x, &[]);
    let pairs = x.iter().zip(out).map(|(&x, y)| (f64::from(round(dtype, x)), f64::from(y)));
    pairs.collect()
}

/// Checks `|got - want(x)| <= error(x)`.
fn check(name: &str, pairs: Vec<(f64, f64)>, want: fn(f64) -> f64, error: impl Fn(f64) -> f64) {
    for (x, y) in pairs {
        let used = (y - want(x)).abs() / error(x);
        assert!(used <= 1.0, "{name}({x}) = {y}, expected {}: {used} of the allowed error", want(x));
    }
}

fn linear(from: f32, to: f32) -> Vec<f32> {
    (0..LEN).map(|i| from + (to - from) * i as f32 / (LEN - 1) as f32).collect()
}

fn geometric(from: f32, to: f32) -> Vec<f32> {
    linear(from.ln(), to.ln()).into_iter().map(f32::exp).collect()
}

/// The error function to 1e-15: its series near zero, a continued fraction beyond.
fn erf(z: f64) -> f64 {
    if z.abs() > 3.0 {
        let tail = (1..120).rev().fold(z.abs(), |f, k| z.abs() + f64::from(k) / 2.0 / f);
        return (1.0 - (-z * z).exp() / (tail * std::f64::consts::PI.sqrt())).copysign(z);
    }
    let (mut term, mut sum) = (z, z);
    for n in 1..100 {
        term *= -z * z / f64::from(n);
        sum += term / f64::from(2 * n + 1);
    }
    sum * std::f64::consts::FRAC_2_SQRT_PI
}

fn normal(x: f64) -> f64 {
    0.5 * (1.0 + erf(x * std::f64::consts::FRAC_1_SQRT_2))
}

fn density(x: f64) -> f64 {
    (-x * x / 2.0).exp() / (2.0 * std::f64::consts::PI).sqrt()
}

#[test]
fn exponential() {
    for x in [linear(-87.0, 88.0), linear(-1.0, 1.0)] {
        check("exp", apply(math::exp, DType::F32, &x, (1, 2)), f64::exp, |x| x.exp() * (2e-7 + 2e-8 * x.abs()));
    }
    let pairs = apply(math::exp, DType::F16, &[0.0, -30_000.0, -100.0, -1.0], (1, 2));
    assert_eq!(pairs[0].1, 1.0);
    assert!(pairs[1].1 < 2e-38 && pairs[2].1 < 2e-38);
}

#[test]
fn reciprocals() {
    for x in [geometric(1e-37, 1e37), linear(1.0, 4.0)] {
        check("1/x", apply(math::reciprocal, DType::F32, &x, (1, 1)), |x| 1.0 / x, |x| 2e-7 / x);
    }
}

#[test]
fn reciprocal_roots() {
    for x in [geometric(1e-30, 1e30), geometric(1e-5, 1e6), linear(1.0, 16.0)] {
        check("rsqrt", apply(math::rsqrt, DType::F32, &x, (1, 2)), |x| x.sqrt().recip(), |x| 3e-7 / x.sqrt());
    }
}

#[test]
fn logarithms() {
    for x in [geometric(0.5, 8e6), geometric(1.0, 7e4), linear(0.99, 1.01)] {
        check("ln", apply(math::ln, DType::F32, &x, (1, 3)), f64::ln, |x| 3e-7 * (1.0 + x.ln().abs()));
    }
}

#[test]
fn gelu() {
    for dtype in [DType::F32, DType::F16, DType::Bf16] {
        for x in [linear(-40.0, 40.0), linear(-4.0, 4.0), vec![0.0, -0.0, 1e-3, -1e-3]] {
            let got = apply(math::gelu, dtype, &x, (2, 3));
            check("gelu", got, |x| x * normal(x), |x| 2e-7 * (1.0 + x.abs()));
        }
    }
}

#[test]
fn gelu_derivative() {
    fn grad(code: &mut Vec<Instr>, len: u32, x: &Operand, out: &Operand, scratch: &Scratch) {
        let Operand::Mem(m) = x else { panic!("in memory") };
        let dy = mem(m.dtype, dy_addr(m.dtype), len);
        code.push(vec(Op::Mov, len, dy.clone(), &[Operand::imm(1.0)]));
        math::gelu_grad(code, len, x, &dy, out, scratch);
    }
    for dtype in [DType::F32, DType::F16, DType::Bf16] {
        for x in [linear(-40.0, 40.0), linear(-4.0, 4.0), vec![0.0, -0.0, 1e-3, -1e-3]] {
            check("gelu'", apply(grad, dtype, &x, (2, 3)), |x| normal(x) + x * density(x), |_| 6e-7);
        }
    }
}
