//! Activations leave a small wafer and come back as they were.

use crate::common::{Gradients, Sizes, TestHost, Wafer, assert_close, geometries, padded, random_act};
use compiler::kernel::{ActivationView, CheckpointTransfer, Kernel, Way, WeightRef};
use compiler::kernels::checkpoint_transfer::StandaloneTransfer;
use compiler::kernels::gemm::Gemm;
use compiler::layout::{Features, Geometry};
use fabric::{EngineKind, Fold, RunOptions};
use ndarray::{ArrayD, IxDyn};
use sim_core::coord::Span;
use sim_core::program::DType;

fn acts(g: &Geometry) -> [ActivationView; 2] {
    [
        ActivationView::whole(g, "x", Features::Hidden),
        ActivationView { dtype: DType::F32, ..ActivationView::whole(g, "y", Features::Ffn) },
    ]
}

const BACK: Way = Way::In { begins: true };

/// The kernel that moves all rows of a buffer.
fn transfer(g: &Geometry, act: &ActivationView, way: Way) -> StandaloneTransfer {
    StandaloneTransfer(CheckpointTransfer { act: act.clone(), rows: Span::run(0, g.used_rows()), way })
}

/// What left, for a host to bring back.
fn left(g: &Geometry, act: &ActivationView, gone: &Gradients) -> (String, ArrayD<f32>) {
    let name = format!("checkpoint {}", act.buffer);
    let shape = [g.used_columns(), g.used_rows(), act.all_slots * act.row];
    let kept = gone.dense(&name, &shape).mapv(|v| v as f32);
    (name, ArrayD::from_shape_fn(IxDyn(&shape.map(|n| n as usize)), |i| kept[&i]))
}

#[test]
fn what_left_comes_back() {
    for g in [DType::F16, DType::Bf16, DType::F32].into_iter().flat_map(geometries) {
        for act in acts(&g) {
            let mut wafer = Wafer::cs2(&g);
            let x = random_act(&g, act.features, 1, act.dtype);
            wafer.put_array(&act, &x);
            let (_, gone) = wafer.run(&transfer(&g, &act, Way::Out), &TestHost::default());
            let mut host = TestHost::default();
            host.tensors.extend([left(&g, &act, &gone)]);
            let mut other = Wafer::cs2(&g);
            other.run(&transfer(&g, &act, BACK), &host);
            let len = act.all_slots * act.row;
            for pe in g.used().iter() {
                assert_eq!(wafer.raw(pe, act.buffer, len), other.raw(pe, act.buffer, len), "{pe:?} of {g:?}");
            }
        }
    }
}

/// The rows take turns, but all of them are at work all the time.
#[test]
fn engines_and_foldings_agree_on_the_cycles() {
    for g in geometries(DType::F16) {
        let mut w = Wafer::cs2(&g);
        let [act, _] = acts(&g);
        for kernel in [Way::Out, BACK].map(|way| transfer(&g, &act, way)) {
            let at = w.addresses_of(&kernel);
            let program = kernel.program(&g, &w.arch, &at);
            let cycles = |engine, fold| {
                let options = RunOptions { engine, fold, ..RunOptions::default() };
                fabric::run(&program, &w.arch, &options, None).unwrap().cycles
            };
            let want = cycles(EngineKind::Reference, Fold::NONE);
            assert_eq!(cycles(EngineKind::Fast, Fold::NONE), want, "{g:?}");
            assert_eq!(cycles(EngineKind::Fast, Fold::ALL), want, "{g:?}");
        }
    }
}

/// Geometries whose products have time for other things, on a machine with a narrow edge: one lane and
/// two, one row and more, padding rows below.
fn loaded() -> Vec<Geometry> {
    let sizes = |lanes, rows, tokens| {
        Sizes {
            lanes,
            head_columns: 4 / lanes,
            rows_per_sequence: rows,
            tokens,
            seq_len: rows * tokens - 1,
            d_model: 8 / lanes * 24 - 3,
            hidden: 24,
            d_ff: 8 / lanes * 12,
            ffn: 12,
            ..Sizes::of(&padded(DType::F16))
        }
        .geometry()
    };
    let one =
        |rows, tokens| Sizes { sequences_per_lane: 1, sequences: 1, ..Sizes::of(&sizes(1, rows, tokens)) }.geometry();
    let narrow = |g| Sizes { accumulator: DType::F16, ..Sizes::of(&g) }.geometry();
    vec![one(1, 16), one(2, 16), one(4, 20), sizes(2, 2, 16), narrow(sizes(2, 2, 24)), narrow(one(4, 16))]
}

/// With several outputs on their way together if sums are narrow.
fn product(g: &Geometry) -> Gemm {
    let outs = if g.precision.accumulator == DType::F16 { 2 } else { 1 };
    let weight = WeightRef { tensor: "w".into(), transposed: false, bias: None, mask_padding: false };
    let [x, y] = [("x", Features::Hidden), ("y", Features::Ffn)].map(|(name, f)| ActivationView::whole(g, name, f));
    Gemm { label: "test".into(), x, y, weight, add: false, outs, piggyback: None }
}

/// A wafer whose edge lets a column's wavelet through in 12 cycles.
fn narrow(g: &Geometry) -> Wafer {
    let mut wafer = Wafer::cs2(g);
    wafer.arch.wafer.io_bits_per_second.value = u64::from(g.used_columns()) * 32 * wafer.arch.wafer.clock_hz.value / 12;
    wafer
}

/// The product while it carries as many of the buffer's rows as it can, from one on, and how many.
fn carrying(w: &Wafer, act: &ActivationView, from: u32, way: Way) -> (Gemm, Span) {
    let rows = Span::run(from, w.g.used_rows() - from);
    let transfer = CheckpointTransfer { act: act.clone(), rows, way };
    let (kernel, count) = product(&w.g).carrying(&w.g, &w.arch, &transfer).expect("there is time");
    (kernel, Span::run(from, count))
}

/// Rows may be spread over several products; one that carries something gives what it gives without.
#[test]
fn products_carry_buffers_off_the_wafer_and_back() {
    for g in loaded() {
        for from in [0, g.used_rows() - 1] {
            let act = ActivationView::whole(&g, "kept", Features::Hidden);
            let mut host = TestHost::default();
            host.random("w", &[g.model.d_model, g.model.d_ff], g.precision.act);
            let x = random_act(&g, Features::Hidden, 1, g.precision.act);
            let kept = random_act(&g, Features::Hidden, 2, g.precision.act);
            let mut plain = narrow(&g);
            plain.put_array(&product(&g).x, &x);
            plain.run(&product(&g), &host);
            let mut wafer = narrow(&g);
            wafer.put_array(&product(&g).x, &x);
            wafer.put_array(&act, &kept);
            let (kernel, rows) = carrying(&wafer, &act, from, Way::Out);
            let (_, gone) = wafer.run(&kernel, &host);
            host.tensors.extend([left(&g, &act, &gone)]);
            let mut other = narrow(&g);
            other.put_array(&product(&g).x, &x);
            let (kernel, back) = carrying(&other, &act, from, BACK);
            other.run(&kernel, &host);
            for wafer in [&wafer, &other] {
                assert_close(&wafer.get(&product(&g).y), &plain.get(&product(&g).y), 0.0, "the product");
            }
            let len = act.all_slots * act.row;
            for pe in g.used().iter().filter(|pe| rows.iter().zip(back.iter()).any(|(y, _)| y == pe.y)) {
                assert_eq!(wafer.raw(pe, act.buffer, len), other.raw(pe, act.buffer, len), "{pe:?} of {g:?}");
            }
        }
    }
}

#[test]
fn engines_and_foldings_agree_on_loaded_products() {
    for g in loaded() {
        let act = ActivationView::whole(&g, "kept", Features::Hidden);
        for way in [Way::Out, BACK] {
            let mut w = narrow(&g);
            let (kernel, _) = carrying(&w, &act, 0, way);
            let at = w.addresses_of(&kernel);
            let program = kernel.program(&g, &w.arch, &at);
            let cycles = |engine, fold| {
                let options = RunOptions { engine, fold, ..RunOptions::default() };
                fabric::run(&program, &w.arch, &options, None).unwrap().cycles
            };
            let want = cycles(EngineKind::Reference, Fold::NONE);
            assert_eq!(cycles(EngineKind::Fast, Fold::NONE), want, "{g:?}");
            assert_eq!(cycles(EngineKind::Fast, Fold::ALL), want, "{g:?}");
        }
    }
}
