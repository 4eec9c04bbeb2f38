//! GEMM on a small wafer against f64.

use crate::common::*;
use compiler::kernel::{ActivationView, Kernel, PAD_BIAS, WeightRef};
use compiler::kernels::gemm::{Gemm, OutputStationary};
use compiler::layout::{Features, Geometry};
use ndarray::{Array3, ArrayD};
use sim_core::program::DType;

/// Rounding of the results, and of every sum within a PE.
fn rounding(g: &Geometry, gemm: &Gemm) -> f64 {
    let within = if g.precision.accumulator == DType::F32 {
        0.0
    } else {
        f64::from(gemm.x.slots) * tolerance(g.precision.accumulator)
    };
    tolerance(gemm.y.dtype) + within
}

/// Rounding of the results: the sums themselves are f32.
fn tolerance(dtype: DType) -> f64 {
    match dtype {
        DType::F32 => 1e-5,
        DType::F16 => 1.0 / 1024.0,
        DType::Bf16 => 1.0 / 128.0,
    }
}

/// `bias[o] + Σ_i x[i] · w[i][o]` over the logical features of two windows.
fn expected(g: &Geometry, gemm: &Gemm, x: &Array3<f32>, w: &ArrayD<f32>, bias: Option<&ArrayD<f32>>) -> Array3<f64> {
    let (ins, outs) = (logical(g, &gemm.x), logical(g, &gemm.y));
    let n = width(g, gemm.y.features) as usize;
    let mut y = Array3::zeros((x.shape()[0], x.shape()[1], n));
    for ((s, p, o), v) in y.indexed_iter_mut().filter(|((_, _, o), _)| outs.contains(&(*o as u32))) {
        *v = bias.map_or(0.0, |b| f64::from(b[[o]]));
        for &i in &ins {
            let i = i as usize;
            let weight = if gemm.weight.transposed { w[[o, i]] } else { w[[i, o]] };
            *v += f64::from(x[[s, p, i]]) * f64::from(weight);
        }
    }
    y
}

/// Logical features of a window over all columns.
fn logical(g: &Geometry, act: &ActivationView) -> Vec<u32> {
    let slots = act.first_slot..act.first_slot + act.slots;
    (0..g.lane_columns()).flat_map(|c| slots.clone().filter_map(move |s| g.feature(act.features, c, s))).collect()
}

fn gemm(g: &Geometry, from: Features, to: Features) -> Gemm {
    let weight = WeightRef { tensor: "w".into(), transposed: false, bias: Some("b".into()), mask_padding: false };
    Gemm {
        label: "test".into(),
        x: ActivationView::whole(g, "x", from),
        y: ActivationView::whole(g, "y", to),
        weight,
        add: false,
        outs: 1,
        piggyback: None,
    }
}

/// Runs a GEMM on random numbers and checks it, with stationary outputs too where there is a ring;
/// gives its cycles with stationary inputs.
fn check(g: &Geometry, gemm: &Gemm) -> u64 {
    if let Some(outputs) = OutputStationary::of(gemm, g) {
        check_as(g, gemm, &outputs);
    }
    check_as(g, gemm, gemm)
}

/// The same as one of its kernels.
fn check_as(g: &Geometry, gemm: &Gemm, kernel: &dyn Kernel) -> u64 {
    let what = format!("{:?} {:?} to {:?}", g.precision.act, gemm.x, gemm.y);
    let (ins, outs) = (width(g, gemm.x.features), width(g, gemm.y.features));
    let mut host = TestHost::default();
    let shape = if gemm.weight.transposed { [outs, ins] } else { [ins, outs] };
    let w = host.random("w", &shape, g.precision.act);
    let b = gemm.weight.bias.as_ref().map(|name| host.random(&name.to_string(), &[outs], g.precision.act));
    let mut wafer = Wafer::cs2(g);
    let x = random_act(g, gemm.x.features, 1, gemm.x.dtype);
    let before = random_act(g, gemm.y.features, 2, gemm.y.dtype);
    wafer.put_array(&gemm.x, &x);
    wafer.put_array(&gemm.y, &before);
    let (outcome, _) = wafer.run(kernel, &host);
    let mut want = expected(g, gemm, &x, &w, b.as_ref());
    if gemm.add {
        want += &wafer_view(&wafer, &gemm.y, &before);
    }
    assert_close(&wafer.get(&gemm.y), &want, rounding(g, gemm), &what);
    let pad = if gemm.weight.mask_padding { PAD_BIAS } else { 0.0 };
    assert!(wafer.padding(&gemm.y).iter().all(|&v| v == pad || v == round(g.precision.act, pad)), "{what}: padding");
    outcome.cycles.0
}

/// The part of a tensor that the window holds; the rest is zero.
fn wafer_view(wafer: &Wafer, act: &ActivationView, x: &Array3<f32>) -> Array3<f64> {
    let inside = logical(&wafer.g, act);
    let mut out = x.mapv(f64::from);
    for ((_, _, i), v) in out.indexed_iter_mut() {
        if !inside.contains(&(i as u32)) {
            *v = 0.0;
        }
    }
    out
}

#[test]
fn an_activation_survives_scatter_and_gather() {
    for g in geometries(DType::F16) {
        for features in [Features::Hidden, Features::Qkv, Features::Ffn, Features::Vocab] {
            let mut w = Wafer::cs2(&g);
            let x = random_act(&g, features, 1, g.precision.act);
            let act = ActivationView::whole(&g, "x", features);
            w.put_array(&act, &x);
            assert_close(&w.get(&act), &x.mapv(f64::from), 0.0, "scatter and gather");
        }
    }
}

#[test]
fn products_are_right_in_every_geometry_and_type() {
    for act in [DType::F32, DType::F16, DType::Bf16] {
        for g in geometries(act).into_iter().flat_map(|g| [Sizes { accumulator: act, ..Sizes::of(&g) }.geometry(), g]) {
            check(&g, &gemm(&g, Features::Hidden, Features::Qkv));
            check(&g, &gemm(&g, Features::Ffn, Features::Hidden));
        }
    }
}

/// With several outputs of an owner on their way together, and fewer in the last round.
#[test]
fn outputs_may_go_around_together() {
    for act in [DType::F32, DType::F16, DType::Bf16] {
        for g in geometries(act).into_iter().flat_map(|g| [Sizes { accumulator: act, ..Sizes::of(&g) }.geometry(), g]) {
            for outs in 2..=4 {
                let one = gemm(&g, Features::Hidden, Features::Ffn);
                if g.lane_columns() > 1 && outs <= one.y.slots {
                    check(&g, &Gemm { outs, ..one.clone() });
                    check(&g, &Gemm { outs, add: true, ..one });
                    check(&g, &Gemm { outs, ..gemm(&g, Features::Ffn, Features::Qkv) });
                }
            }
        }
    }
    let g = padded(DType::F16);
    let mut k = Gemm { outs: 3, ..gemm(&g, Features::Ffn, Features::Qkv) };
    (k.x.first_slot, k.x.slots) = (1, 3);
    (k.y.first_slot, k.y.slots) = (3, 4);
    check(&g, &k);
}

#[test]
fn transposed_weights_give_the_input_gradient() {
    for g in geometries(DType::F16) {
        let mut k = gemm(&g, Features::Qkv, Features::Hidden);
        k.weight.transposed = true;
        k.weight.bias = None;
        check(&g, &k);
    }
}

#[test]
fn a_product_can_be_added_to_f32_and_to_the_type_of_activations() {
    for dtype in [DType::F32, DType::F16] {
        for g in geometries(DType::F16)
            .into_iter()
            .flat_map(|g| [Sizes { accumulator: DType::F16, ..Sizes::of(&g) }.geometry(), g])
        {
            let mut k = gemm(&g, Features::Hidden, Features::Ffn);
            k.add = true;
            k.y.dtype = dtype;
            check(&g, &k);
        }
    }
}

#[test]
fn windows_of_slots_leave_the_rest_alone() {
    let g = padded(DType::F16);
    let mut k = gemm(&g, Features::Ffn, Features::Qkv);
    (k.x.first_slot, k.x.slots) = (1, 3);
    (k.y.first_slot, k.y.slots) = (3, 4);
    check(&g, &k);
    (k.x.slots, k.y.slots) = (1, 1);
    k.add = true;
    check(&g, &k);
}

#[test]
fn a_window_of_tokens_is_computed_alone() {
    let g = Sizes { tokens: 8, seq_len: 15, ..Sizes::of(&padded(DType::F16)) }.geometry();
    let mut k = gemm(&g, Features::Hidden, Features::Ffn);
    for act in [&mut k.x, &mut k.y] {
        (act.first_token, act.tokens) = (4, 4);
    }
    let mut wafer = Wafer::cs2(&g);
    let mut host = TestHost::default();
    let (w, b) = (
        host.random("w", &[g.model.d_model, g.model.d_ff], g.precision.act),
        host.random("b", &[g.model.d_ff], g.precision.act),
    );
    let x = random_act(&g, Features::Hidden, 1, g.precision.act);
    wafer.put_array(&ActivationView { first_token: 0, tokens: 8, ..k.x.clone() }, &x);
    wafer.run(&k, &host);
    let mut want = expected(&g, &k, &x, &w, Some(&b));
    for ((_, p, _), v) in want.indexed_iter_mut() {
        if p % 8 < 4 {
            *v = 0.0;
        }
    }
    let got = wafer.get(&ActivationView { first_token: 0, tokens: 8, ..k.y.clone() });
    assert_close(&got, &want, tolerance(g.precision.act), "second half of the tokens");
}

#[test]
fn padding_of_the_vocabulary_is_masked() {
    let g = padded(DType::F16);
    let mut k = gemm(&g, Features::Hidden, Features::Vocab);
    k.weight.mask_padding = true;
    k.weight.bias = None;
    k.weight.transposed = true;
    check(&g, &k);
}

#[test]
fn many_inputs_run_in_a_loop() {
    let alone = |act, accumulator| Sizes { act, accumulator, d_ff: 147, ffn: 147, ..Sizes::of(&one_column(act)) };
    let g = alone(DType::F32, DType::F32).geometry();
    check(&g, &gemm(&g, Features::Ffn, Features::Hidden));
    for accumulator in [DType::F32, DType::F16] {
        let g = Sizes { d_ff: 300, ffn: 75, accumulator, ..Sizes::of(&padded(DType::F16)) }.geometry();
        check(&g, &gemm(&g, Features::Ffn, Features::Hidden));
    }
    let g = alone(DType::F16, DType::F16).geometry();
    check(&g, &gemm(&g, Features::Ffn, Features::Hidden));
}

/// Per step: AXPYs of `t` tokens but for the one that goes along with what is received; where their
/// setups leave too few slots, what is received and what is sent as well, and the AXPY that goes
/// along with it; and some 15 slots of other instructions.
#[test]
fn a_step_takes_the_expected_cycles() {
    let (f16, f32) = (DType::F16, DType::F32);
    for (act, sums, f, t, expected) in [
        (f16, f32, 16, 16, 15 * (6 + 8)),
        (f16, f32, 24, 32, 23 * (6 + 16)),
        (f16, f16, 24, 32, 23 * (6 + 8)),
        // Rows of half periods of the banks, evenly and oddly many.
        (f16, f16, 24, 36, 23 * (6 + 9)),
        (f16, f16, 25, 36, 24 * (6 + 9)),
        (f16, f32, 8, 32, 6 * (6 + 16) + 6 + 2 * 32),
        (f16, f16, 8, 32, 7 * (6 + 8) + 6 + 2 * 32),
        (f16, f32, 2, 16, 6 + 2 * 16),
        (f32, f32, 8, 16, 6 * (6 + 16) + 6 + 2 * 16),
    ] {
        let (d_model, seq_len) = (8 * f, 2 * t);
        let sizes = Sizes {
            tokens: t,
            seq_len,
            sequences: 1,
            d_model,
            hidden: f,
            act,
            accumulator: sums,
            ..Sizes::of(&padded(act))
        }
        .geometry();
        let g = Sizes { lanes: 1, head_columns: 4, sequences_per_lane: 1, d_ff: 24, ffn: 3, ..Sizes::of(&sizes) }
            .geometry();
        let mut k = gemm(&g, Features::Hidden, Features::Ffn);
        let mut cycles = [2, 3].map(|rounds| {
            k.y.slots = rounds;
            check(&g, &k)
        });
        cycles[1] -= cycles[0];
        let step = cycles[1] as f64 / 8.0;
        let more = step - f64::from(expected);
        println!("{act:?}, sums {sums:?}, {f} inputs, {t} tokens: {step} cycles per step, expected {expected}");
        assert!((5.0..=25.0).contains(&more), "{step} cycles per step, expected {expected} and some 15");
    }
}

/// Per step with stationary outputs: all AXPYs, and where their sums are narrow an addition to f32 ones in
/// each half; and some slots of other instructions for each output. Per round besides: biases become
/// sums, and sums results.
#[test]
fn a_step_with_stationary_outputs_takes_the_expected_cycles() {
    let (f16, f32) = (DType::F16, DType::F32);
    for (act, sums, (f, t, outs), expected) in [
        (f16, f16, (6, 40, 20), 20 * 6 * (6 + 10) + 2 * (6 + 10 * 20)),
        (f16, f16, (6, 36, 20), 20 * 6 * (6 + 9) + 2 * (6 + 10 * 18)),
        (f16, f16, (7, 36, 20), 20 * 7 * (6 + 9) + 2 * (6 + 10 * 18)),
        (f16, f32, (6, 40, 24), 24 * 6 * (6 + 20)),
        (f16, f16, (8, 48, 16), 16 * 8 * (6 + 12) + 2 * (6 + 8 * 24)),
        (f32, f32, (3, 8, 24), 24 * 3 * (6 + 8)),
    ] {
        let (d_model, seq_len) = (8 * f, 2 * t);
        let sizes = Sizes {
            tokens: t,
            seq_len,
            sequences: 1,
            d_model,
            hidden: f,
            act,
            accumulator: sums,
            ..Sizes::of(&padded(act))
        }
        .geometry();
        let g = Sizes { lanes: 1, head_columns: 4, sequences_per_lane: 1, d_ff: 384, ffn: 48, ..Sizes::of(&sizes) }
            .geometry();
        let cycles = [1, 2].map(|rounds| {
            let mut k = gemm(&g, Features::Hidden, Features::Ffn);
            k.y.slots = rounds * outs;
            check_as(&g, &k, &OutputStationary::of(&k, &g).expect("a ring")) as i64
        });
        let round = cycles[1] - cycles[0] - i64::from(2 * outs * t);
        let more = (round - 8 * i64::from(expected)) as f64 / 8.0 / f64::from(outs);
        println!("{act:?}, sums {sums:?}, {f} inputs, {t} tokens, {outs} outputs: {more} cycles more per output");
        assert!((2.0..=6.0).contains(&more), "{more} cycles per output besides products");
    }
}
