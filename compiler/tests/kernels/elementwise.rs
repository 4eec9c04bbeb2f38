//! Elementwise kernels on a small wafer against f64.

use crate::common::*;
use compiler::kernel::{ActivationView, Kernel};
use compiler::kernels::activation::{Activation, ActivationGrad, Function, SwiGlu, SwiGluGrad};
use compiler::kernels::elementwise::{Add, Copy, Fill, Scale};
use compiler::layout::{Features, Geometry};
use models::design::Decimal;
use ndarray::{Array3, Zip};
use sim_core::program::DType;

/// Rounding of the results: everything else is f32.
fn tolerance(dtype: DType) -> f64 {
    match dtype {
        DType::F32 => 1e-6,
        DType::F16 => 1.0 / 2048.0,
        DType::Bf16 => 1.0 / 256.0,
    }
}

/// Φ(x) by Simpson's rule from 0.
fn normal(x: f64) -> f64 {
    if x.abs() > 10.0 {
        return if x > 0.0 { 1.0 } else { 0.0 };
    }
    let (n, h) = (1000, x / 1000.0);
    let density = |i: u32| (-(f64::from(i) * h).powi(2) / 2.0).exp() / (2.0 * std::f64::consts::PI).sqrt();
    let weight = |i: u32| if i == 0 || i == n { 1.0 } else { f64::from(2 + 2 * (i % 2)) };
    0.5 + (0..=n).map(|i| weight(i) * density(i)).sum::<f64>() * h / 3.0
}

fn gelu_grad(x: f64) -> f64 {
    normal(x) + x * (-x * x / 2.0).exp() / (2.0 * std::f64::consts::PI).sqrt()
}

/// Numbers between −8 and 8.
fn input(act: &ActivationView, g: &Geometry, seed: u32) -> Array3<f32> {
    random_act(g, act.features, seed, DType::F32).mapv(|v| round(act.dtype, 8.0 * v))
}

fn act(g: &Geometry, name: &'static str) -> ActivationView {
    ActivationView::whole(g, name, Features::Ffn)
}

fn cases() -> Vec<Geometry> {
    let mut all: Vec<Geometry> = [DType::F32, DType::F16, DType::Bf16].into_iter().flat_map(geometries).collect();
    // More than one chunk, and a rest.
    all.push(Sizes { tokens: 64, seq_len: 120, ffn: 9, ..Sizes::of(&padded(DType::F16)) }.geometry());
    all.push(Sizes { tokens: 64, seq_len: 120, ffn: 9, ..Sizes::of(&padded(DType::F32)) }.geometry());
    all
}

/// Runs a kernel of one or two operands and checks its output.
fn check(
    g: &Geometry,
    kernel: &dyn Kernel,
    ins: &[&ActivationView],
    out: &ActivationView,
    want: impl Fn(f64, f64) -> f64,
) {
    check_to(tolerance(out.dtype), g, kernel, (ins, out), want);
}

fn check_to(
    tolerance: f64,
    g: &Geometry,
    kernel: &dyn Kernel,
    (ins, out): (&[&ActivationView], &ActivationView),
    want: impl Fn(f64, f64) -> f64,
) {
    let mut wafer = Wafer::cs2(g);
    let x: Vec<Array3<f32>> = ins.iter().zip(1..).map(|(act, seed)| input(act, g, seed)).collect();
    for (act, x) in ins.iter().zip(&x) {
        wafer.put_array(act, x);
    }
    wafer.run(kernel, &TestHost::default());
    let (a, b) = (&x[0], &x[x.len() - 1]);
    let want = Zip::from(a).and(b).map_collect(|&a, &b| want(f64::from(a), f64::from(b)));
    let what = format!("{} {:?} {} tokens", kernel.name(), out.dtype, g.tokens);
    assert_close(&wafer.get(out), &want, tolerance, &what);
    assert!(wafer.padding(out).iter().all(|&v| v == 0.0), "{what}: padding");
}

fn logistic(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

/// Twice the argument of the hyperbolic tangent in GELU, and its derivative.
fn bent(x: f64) -> (f64, f64) {
    let c = (8.0 / std::f64::consts::PI).sqrt();
    (c * (x + 0.044_715 * x.powi(3)), c * (1.0 + 3.0 * 0.044_715 * x * x))
}

fn gelu_tanh_grad(x: f64) -> f64 {
    let ((z, slope), s) = (bent(x), logistic(bent(x).0));
    s + x * logistic(-z) * s * slope
}

/// A function, its values, and its derivatives given what the backward kernel is given.
type Known = (Function, fn(f64) -> f64, fn(f64) -> f64);

const FUNCTIONS: [Known; 3] = [
    (Function::Gelu, |x| x * normal(x), gelu_grad),
    (Function::GeluTanh, |x| x * logistic(bent(x).0), gelu_tanh_grad),
    (Function::Tanh, f64::tanh, |y| 1.0 - y * y),
];

#[test]
fn activations() {
    for ((f, value, _), g) in FUNCTIONS.into_iter().flat_map(|f| cases().into_iter().map(move |g| (f, g))) {
        for name in ["x", "y"] {
            let kernel = Activation { f, x: act(&g, "x"), y: act(&g, name) };
            check(&g, &kernel, &[&kernel.x], &kernel.y, |x, _| value(x));
        }
    }
}

#[test]
fn activation_gradients() {
    for ((f, _, slope), g) in FUNCTIONS.into_iter().flat_map(|f| cases().into_iter().map(move |g| (f, g))) {
        for name in ["x", "dy", "dx"] {
            let kernel = ActivationGrad { f, x: act(&g, "x"), dy: act(&g, "dy"), dx: act(&g, name) };
            // The result is `dy`, up to 8, times what is exact to 4e-7.
            let operands: (&[&ActivationView], &ActivationView) = (&[&kernel.x, &kernel.dy], &kernel.dx);
            check_to(3.0 * tolerance(g.precision.act), &g, &kernel, operands, |x, dy| dy * slope(x));
        }
    }
}

/// Functions that saturate do so at the ends of the range, without overflow.
#[test]
fn large_operands_saturate() {
    let g = tiny(DType::F32);
    for (f, value, _) in FUNCTIONS {
        let kernel = Activation { f, x: act(&g, "x"), y: act(&g, "y") };
        let mut wafer = Wafer::cs2(&g);
        let x = random_act(&g, Features::Ffn, 1, DType::F32).mapv(|v| 1e3 * v);
        wafer.put_array(&kernel.x, &x);
        wafer.run(&kernel, &TestHost::default());
        assert_close(&wafer.get(&kernel.y), &x.mapv(|v| value(f64::from(v))), 1e-6, &kernel.name());
    }
}

#[test]
fn gated_linear_unit() {
    for g in cases() {
        for name in ["gate", "up", "y"] {
            let kernel = SwiGlu { gate: act(&g, "gate"), up: act(&g, "up"), y: act(&g, name) };
            let silu = |gate: f64, up: f64| gate * logistic(gate) * up;
            check(&g, &kernel, &[&kernel.gate, &kernel.up], &kernel.y, silu);
        }
    }
}

#[test]
fn gradients_of_the_gated_linear_unit() {
    for g in cases() {
        for (d_gate, d_up) in [("d_gate", "d_up"), ("d_gate", "dy"), ("gate", "up"), ("up", "gate")] {
            let [gate, up, dy, d_gate, d_up] = ["gate", "up", "dy", d_gate, d_up].map(|name| act(&g, name));
            let kernel = SwiGluGrad { gate, up, dy, d_gate, d_up };
            let mut wafer = Wafer::cs2(&g);
            let ins = [&kernel.gate, &kernel.up, &kernel.dy];
            let x: Vec<Array3<f64>> = ins
                .iter()
                .zip(1..)
                .map(|(act, seed)| {
                    let x = input(act, &g, seed);
                    wafer.put_array(act, &x);
                    x.mapv(f64::from)
                })
                .collect();
            wafer.run(&kernel, &TestHost::default());
            let slope = |x: f64| logistic(x) * (1.0 + x * logistic(-x));
            let want_gate = &x[2] * &x[1] * &x[0].mapv(slope);
            let want_up = &x[2] * &x[0].mapv(|x| x * logistic(x));
            let what = format!("{:?} {} tokens", g.precision.act, g.tokens);
            assert_close(&wafer.get(&kernel.d_gate), &want_gate, tolerance(g.precision.act), &what);
            assert_close(&wafer.get(&kernel.d_up), &want_up, tolerance(g.precision.act), &what);
            for act in [&kernel.d_gate, &kernel.d_up] {
                assert!(wafer.padding(act).iter().all(|&v| v == 0.0), "{what}: padding");
            }
        }
    }
}

#[test]
fn products_with_a_constant() {
    for g in cases() {
        for name in ["x", "y"] {
            let kernel = Scale { x: act(&g, "x"), y: act(&g, name), factor: Decimal(14_600_000_000_000) };
            check(&g, &kernel, &[&kernel.x], &kernel.y, |x, _| 14.6 * x);
        }
    }
}

#[test]
fn constants() {
    let g = padded(DType::F16);
    let kernel = Fill { to: act(&g, "x"), value: -3 };
    let mut wafer = Wafer::cs2(&g);
    wafer.run(&kernel, &TestHost::default());
    assert!(wafer.get(&kernel.to).iter().chain(&Array3::from_elem((1, 1, 1), -3.0)).all(|&v| v == -3.0));
}

#[test]
fn sums() {
    for g in cases() {
        for name in ["a", "b", "out"] {
            let kernel = Add { a: act(&g, "a"), b: act(&g, "b"), out: act(&g, name) };
            check(&g, &kernel, &[&kernel.a, &kernel.b], &kernel.out, |a, b| a + b);
        }
    }
}

#[test]
fn copies_between_types() {
    for g in cases() {
        for dtype in [DType::F32, DType::F16, DType::Bf16] {
            let kernel = Copy { from: act(&g, "a"), to: ActivationView { dtype, ..act(&g, "b") } };
            check(&g, &kernel, &[&kernel.from], &kernel.to, |a, _| a);
        }
    }
}

#[test]
fn windows_of_larger_buffers() {
    for dtype in [DType::F32, DType::F16] {
        let g = narrow(dtype);
        let part = |name| ActivationView { first_token: 4, tokens: 4, ..act(&g, name) };
        let kernel = Activation { f: Function::Gelu, x: part("x"), y: part("x") };
        let mut wafer = Wafer::cs2(&g);
        let x = input(&kernel.x, &g, 1);
        wafer.put_array(&act(&g, "x"), &x);
        wafer.run(&kernel, &TestHost::default());
        let mut want = x.mapv(f64::from);
        for ((_, p, _), v) in want.indexed_iter_mut().filter(|((_, p, _), _)| p % 8 >= 4) {
            assert!(p < 31);
            *v *= normal(*v);
        }
        assert_close(&wafer.get(&act(&g, "x")), &want, tolerance(dtype), "a window of tokens");
    }
}
