//! Rotary positions on a small wafer against f64.

use crate::common::*;
use compiler::kernel::{ActivationView, Kernel};
use compiler::kernels::rotary::Rotate;
use compiler::layout::{Features, Geometry};
use fabric::{EngineKind, Fold, RunOptions};
use models::design::{Pairs, Rotary};
use ndarray::Array3;
use sim_core::program::DType;

/// Rounding of the results: everything else is f32.
fn tolerance(dtype: DType) -> f64 {
    match dtype {
        DType::F32 => 1e-6,
        DType::F16 => 1.0 / 1024.0,
        DType::Bf16 => 1.0 / 128.0,
    }
}

fn rotated(g: Geometry, dims: u32, pairs: Pairs) -> Geometry {
    let rotary = Rotary { dims, base: 10_000, pairs };
    let hidden = g.d_head().div_ceil(g.head_columns).max(2 * (dims / 2).div_ceil(g.head_columns));
    Sizes { rotary: Some(rotary), hidden, ..Sizes::of(&g) }.geometry()
}

/// All pairs or some, evenly over the columns or not; several chunks; grouped keys.
fn cases() -> Vec<Geometry> {
    let mut all = Vec::new();
    for act in [DType::F32, DType::F16, DType::Bf16] {
        let wide = Sizes { d_model: 28, ..Sizes::of(&padded(act)) }.geometry();
        let long = Sizes { tokens: 64, seq_len: 120, d_model: 60, ..Sizes::of(&padded(act)) }.geometry();
        for pairs in [Pairs::Halves, Pairs::Neighbours] {
            all.push(rotated(wide.clone(), 14, pairs));
            all.push(rotated(Sizes { kv_heads: 1, ..Sizes::of(&wide.clone()) }.geometry(), 6, pairs));
            all.push(rotated(long.clone(), 26, pairs));
            all.push(rotated(tiny(act), 4, pairs));
            all.push(rotated(one_column(act), 2, pairs));
        }
    }
    all
}

fn thirds(g: &Geometry) -> [ActivationView; 2] {
    [0, 1].map(|part| ActivationView {
        all_slots: 3 * g.hidden,
        first_slot: part * g.hidden,
        ..ActivationView::whole(g, "qkv", Features::Hidden)
    })
}

/// The definition, on the fused tensor.
fn reference(g: &Geometry, x: &Array3<f32>, back: bool) -> Array3<f64> {
    let rotary = g.model.rotary.expect("a rotated geometry");
    let mut y = x.mapv(f64::from);
    for ((s, p), head) in ndarray::indices((x.dim().0, x.dim().1))
        .into_iter()
        .flat_map(|at| (0..g.model.heads + g.model.kv_heads).map(move |head| (at, head)))
    {
        for i in 0..rotary.dims / 2 {
            let angle = p as f64 * 10_000f64.powf(-2.0 * f64::from(i) / f64::from(rotary.dims));
            let (sin, cos) = if back { (-angle).sin_cos() } else { angle.sin_cos() };
            let (a, b) = match rotary.pairs {
                Pairs::Halves => (i, i + rotary.dims / 2),
                Pairs::Neighbours => (2 * i, 2 * i + 1),
            };
            let [a, b] = [a, b].map(|i| (head * g.d_head() + i) as usize);
            let at = |i: usize| f64::from(x[[s, p, i]]);
            y[[s, p, a]] = at(a) * cos - at(b) * sin;
            y[[s, p, b]] = at(b) * cos + at(a) * sin;
        }
    }
    y
}

#[test]
fn queries_and_keys_are_turned_and_gradients_turned_back() {
    for (g, back) in cases().into_iter().flat_map(|g| [(g.clone(), false), (g, true)]) {
        let [q, k] = thirds(&g);
        let kernel = Rotate { q, k, back };
        let whole = ActivationView::whole(&g, "qkv", Features::Qkv);
        let x = random_act(&g, Features::Qkv, 5, g.precision.act).mapv(|v| 4.0 * v);
        let x = x.mapv(|v| round(g.precision.act, v));
        let mut wafer = Wafer::cs2(&g);
        wafer.put_array(&whole, &x);
        wafer.run(&kernel, &TestHost::default());
        let what = format!("{g:?} {back}");
        assert_close(&wafer.get(&whole), &reference(&g, &x, back), tolerance(g.precision.act), &what);
        assert!(wafer.padding(&whole).iter().all(|&v| v == 0.0), "{what}: padding");
    }
}

/// At a far position an angle has many turns.
#[test]
fn far_positions_are_exact() {
    let g = rotated(Sizes { tokens: 2048, seq_len: 2048, ..Sizes::of(&tiny(DType::F32)) }.geometry(), 4, Pairs::Halves);
    let [q, k] = thirds(&g);
    let kernel = Rotate { q, k, back: false };
    let mut wafer = Wafer::cs2(&g);
    // Memory for this many tokens is not the machine's.
    wafer.arch.pe.sram.value = 1 << 20;
    wafer.memory = fabric::WaferMemory::new(g.grid, 1 << 20);
    let whole = ActivationView::whole(&g, "qkv", Features::Qkv);
    let x = random_act(&g, Features::Qkv, 5, g.precision.act);
    wafer.put_array(&whole, &x);
    wafer.run(&kernel, &TestHost::default());
    assert_close(&wafer.get(&whole), &reference(&g, &x, false), 1e-6, "2048 positions");
}

#[test]
fn engines_and_foldings_agree_on_the_cycles() {
    let g = rotated(Sizes { d_model: 28, ..Sizes::of(&padded(DType::F16)) }.geometry(), 14, Pairs::Halves);
    let [q, k] = thirds(&g);
    let kernel = Rotate { q, k, back: false };
    let mut wafer = Wafer::cs2(&g);
    let at = wafer.addresses_of(&kernel);
    let program = kernel.program(&g, &wafer.arch, &at);
    let cycles = |engine, fold| {
        let options = RunOptions { engine, fold, ..RunOptions::default() };
        let outcome = fabric::run(&program, &wafer.arch, &options, None).expect("it runs");
        assert_eq!(outcome.pe_cycles.total(), outcome.cycles.0 * g.grid.pes(), "all cycles are accounted for");
        outcome.cycles
    };
    let want = cycles(EngineKind::Reference, Fold::NONE);
    assert_eq!(cycles(EngineKind::Fast, Fold::NONE), want);
    assert_eq!(cycles(EngineKind::Fast, Fold::ALL), want);
    let estimate = kernel.estimate(&g, &wafer.arch);
    assert!(estimate < 3 * want.0 && want.0 < 3 * estimate, "{}: estimate {estimate}", want.0);
}
