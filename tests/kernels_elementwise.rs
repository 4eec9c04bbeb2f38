//! Elementwise kernels on a small wafer against f64.
mod common;

use common::*;
use compiler::geometry::{Features, Geometry};
use compiler::kernel::{Act, Kernel};
use compiler::kernels::elementwise::{Add, Copy, Gelu, GeluGrad};
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
    let (n, h) = (1000, x / 1000.0);
    let density = |i: u32| (-(f64::from(i) * h).powi(2) / 2.0).exp() / (2.0 * std::f64::consts::PI).sqrt();
    let weight = |i: u32| if i == 0 || i == n { 1.0 } else { f64::from(2 + 2 * (i % 2)) };
    0.5 + (0..=n).map(|i| weight(i) * density(i)).sum::<f64>() * h / 3.0
}

fn gelu_grad(x: f64) -> f64 {
    normal(x) + x * (-x * x / 2.0).exp() / (2.0 * std::f64::consts::PI).sqrt()
}

/// Numbers between −8 and 8.
fn input(act: &Act, g: &Geometry, seed: u32) -> Array3<f32> {
    random_act(g, act.features, seed, DType::F32).mapv(|v| round(act.dtype, 8.0 * v))
}

fn act(g: &Geometry, name: &str) -> Act {
    Act::whole(g, name, Features::Ffn)
}

fn cases() -> Vec<Geometry> {
    let mut all: Vec<Geometry> = [DType::F32, DType::F16, DType::Bf16].into_iter().flat_map(geometries).collect();
    // More than one chunk, and a rest.
    all.push(Geometry { tokens: 64, seq_len: 120, ffn: 9, ..padded(DType::F16) });
    all.push(Geometry { tokens: 64, seq_len: 120, ffn: 9, ..padded(DType::F32) });
    all
}

/// Runs a kernel of one or two operands and checks its output.
fn check(g: &Geometry, kernel: &dyn Kernel, ins: &[&Act], out: &Act, want: fn(f64, f64) -> f64) {
    let mut wafer = Wafer::cs2(g);
    let x: Vec<Array3<f32>> = ins.iter().zip(1..).map(|(act, seed)| input(act, g, seed)).collect();
    for (act, x) in ins.iter().zip(&x) {
        wafer.put_array(act, x);
    }
    wafer.run(kernel, &TestHost::default());
    let (a, b) = (&x[0], &x[x.len() - 1]);
    let want = Zip::from(a).and(b).map_collect(|&a, &b| want(f64::from(a), f64::from(b)));
    let what = format!("{} {:?} {} tokens", kernel.name(), out.dtype, g.tokens);
    assert_close(&wafer.get(out), &want, tolerance(out.dtype), &what);
    assert!(wafer.padding(out).iter().all(|&v| v == 0.0), "{what}: padding");
}

#[test]
fn gelu() {
    for g in cases() {
        for name in ["x", "y"] {
            let kernel = Gelu { x: act(&g, "x"), y: act(&g, name) };
            check(&g, &kernel, &[&kernel.x], &kernel.y, |x, _| x * normal(x));
        }
    }
}

#[test]
fn gelu_gradient() {
    for g in cases() {
        for name in ["x", "dy", "dx"] {
            let kernel = GeluGrad { x: act(&g, "x"), dy: act(&g, "dy"), dx: act(&g, name) };
            check(&g, &kernel, &[&kernel.x, &kernel.dy], &kernel.dx, |x, dy| dy * gelu_grad(x));
        }
    }
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
            let kernel = Copy { from: act(&g, "a"), to: Act { dtype, ..act(&g, "b") } };
            check(&g, &kernel, &[&kernel.from], &kernel.to, |a, _| a);
        }
    }
}

#[test]
fn windows_of_larger_buffers() {
    for dtype in [DType::F32, DType::F16] {
        let g = narrow(dtype);
        let part = |name| Act { first_token: 4, tokens: 4, ..act(&g, name) };
        let kernel = Gelu { x: part("x"), y: part("x") };
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
