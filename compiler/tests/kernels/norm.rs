//! LayerNorm, RMSNorm and their gradients on a small wafer against f64.

use crate::common::*;
use compiler::kernel::ActivationView;
use compiler::kernels::affine::Style;
use compiler::kernels::norm::{LayerNorm, LayerNormGrad};
use compiler::kernels::row_sum::RowSum;
use compiler::layout::{Features, Geometry};
use models::design::{Decimal, Norm};
use models::graph::{Module, ModuleKind};
use ndarray::{Array1, Array3, ArrayD, Axis};
use sim_core::program::DType;

/// The norm whose parameters these are.
const MODULE: Module = Module { layer: None, kind: ModuleKind::FinalNorm };

/// Rounding of 16-bit results; the rest is f32.
fn tolerance(dtype: DType) -> f64 {
    match dtype {
        DType::F32 => 3e-6,
        DType::F16 => 1.0 / 1024.0,
        DType::Bf16 => 1.0 / 128.0,
    }
}

fn cases() -> Vec<Geometry> {
    let mut all: Vec<Geometry> = [DType::F32, DType::F16, DType::Bf16].into_iter().flat_map(geometries).collect();
    // Several chunks, and a rest: at most 4 slots of 64 tokens.
    let large = |act| Sizes { tokens: 64, seq_len: 120, d_model: 34, hidden: 9, ..Sizes::of(&padded(act)) }.geometry();
    all.extend([large(DType::F16), large(DType::F32)]);
    all
}

fn hidden(g: &Geometry, name: &'static str) -> ActivationView {
    ActivationView::whole(g, name, Features::Hidden)
}

/// That of GPT-2, those of LLaMA and BERT, and one that shows.
const STYLES: [Style; 4] = [
    Style { norm: Norm::LayerNorm, epsilon: Decimal::GPT2 },
    Style { norm: Norm::RmsNorm, epsilon: Decimal(1_000_000) },
    Style { norm: Norm::LayerNorm, epsilon: Decimal(1) },
    Style { norm: Norm::RmsNorm, epsilon: Decimal(500_000_000_000) },
];

/// Normalised values and 1 / deviation.
fn normalise(x: &Array3<f32>, style: Style) -> (Array3<f64>, Array3<f64>) {
    let x = x.mapv(f64::from);
    let mut mean = x.mean_axis(Axis(2)).expect("features").insert_axis(Axis(2));
    if !style.norm.centres() {
        mean.fill(0.0);
    }
    let centred = &x - &mean;
    let scale = centred
        .mapv(|v| v * v)
        .mean_axis(Axis(2))
        .expect("features")
        .insert_axis(Axis(2))
        .mapv(|v| (v + style.epsilon.value()).powf(-0.5));
    (centred * &scale, scale)
}

fn input(g: &Geometry, seed: u32) -> Array3<f32> {
    random_act(g, Features::Hidden, seed, DType::F32).mapv(|v| round(g.precision.act, 3.0 * v + 0.5))
}

fn vector(x: &ArrayD<f32>) -> Array1<f64> {
    x.mapv(f64::from).into_dimensionality().expect("a vector")
}

#[test]
fn forward() {
    for (style, g) in STYLES.into_iter().flat_map(|style| cases().into_iter().map(move |g| (style, g))) {
        for name in ["x", "y"] {
            let kernel = LayerNorm { x: hidden(&g, "x"), y: hidden(&g, name), module: MODULE, style };
            let mut host = TestHost::default();
            let gamma = vector(&host.random("ln_f.weight", &[g.model.d_model], DType::F32));
            let beta = if style.norm.has_bias() {
                vector(&host.random("ln_f.bias", &[g.model.d_model], DType::F32))
            } else {
                Array1::zeros(g.model.d_model as usize)
            };
            let mut wafer = Wafer::cs2(&g);
            let x = input(&g, 1);
            wafer.put_array(&kernel.x, &x);
            wafer.run(&kernel, &host);
            let want = normalise(&x, style).0 * &gamma + &beta;
            let what = format!("{style:?} {:?}, {} tokens", g.precision.act, g.tokens);
            assert_close(&wafer.get(&kernel.y), &want, tolerance(g.precision.act), &what);
            assert!(wafer.padding(&kernel.y).iter().all(|&v| v == 0.0), "{what}: padding");
            for pe in g.used().iter() {
                let all = wafer.raw(pe, name, g.len(Features::Hidden));
                assert!(all.iter().all(|v| v.is_finite()), "{what}: padding tokens at {pe}");
            }
        }
    }
}

/// The gradient by the input, from normalised values, 1 / deviation and `dy`.
fn input_gradient(
    (n, scale): (&Array3<f64>, &Array3<f64>),
    dy: &Array3<f64>,
    gamma: &Array1<f64>,
    style: Style,
) -> Array3<f64> {
    let g = dy * gamma;
    let mut a = g.mean_axis(Axis(2)).expect("features").insert_axis(Axis(2));
    if !style.norm.centres() {
        a.fill(0.0);
    }
    let b = (&g * n).mean_axis(Axis(2)).expect("features").insert_axis(Axis(2));
    (g - a - n * &b) * scale
}

#[test]
fn backward() {
    for (style, g) in STYLES.into_iter().flat_map(|style| cases().into_iter().map(move |g| (style, g))) {
        for (name, add) in [("dx", false), ("dx", true), ("dy", false)] {
            let [x, dy, dx] = ["x", "dy", name].map(|n| hidden(&g, n));
            let kernel = LayerNormGrad { x, dy, dx, module: MODULE, add, style };
            let mut host = TestHost::default();
            let gamma = vector(&host.random("ln_f.weight", &[g.model.d_model], DType::F32));
            let mut wafer = Wafer::cs2(&g);
            let x = input(&g, 1);
            let dy = random_act(&g, Features::Hidden, 2, g.precision.act);
            let before = random_act(&g, Features::Hidden, 3, g.precision.act);
            wafer.put_array(&kernel.x, &x);
            wafer.put_array(&kernel.dx, &before);
            wafer.put_array(&kernel.dy, &dy);
            wafer.run(&kernel, &host);
            let (_, gradients) = wafer.run(&RowSum { parts: kernel.parts(), levels: None }, &host);
            let (n, scale) = normalise(&x, style);
            let dy = dy.mapv(f64::from);
            let mut want = input_gradient((&n, &scale), &dy, &gamma, style);
            if add {
                want += &before.mapv(f64::from);
            }
            let what = format!("{style:?} grad {:?}, {} tokens, {name} {add}", g.precision.act, g.tokens);
            assert_close(&wafer.get(&kernel.dx), &want, tolerance(g.precision.act), &what);
            assert!(wafer.padding(&kernel.dx).iter().all(|v| v.is_finite()), "{what}: padding");
            let sum = |a: Array3<f64>| a.sum_axis(Axis(0)).sum_axis(Axis(0)).into_dyn();
            assert_close(&gradients.dense("ln_f.weight", &[g.model.d_model]), &sum(&dy * &n), 3e-6, &what);
            if style.norm.has_bias() {
                assert_close(&gradients.dense("ln_f.bias", &[g.model.d_model]), &sum(dy), 3e-6, &what);
            } else {
                assert!(!gradients.tensors.contains_key("ln_f.bias"), "{what}");
            }
        }
    }
}
