//! Softmax and cross-entropy on a small wafer against f64.

use crate::common::*;
use compiler::kernel::{ActivationView, PAD_BIAS};
use compiler::kernels::loss::CrossEntropy;
use compiler::kernels::row_sum::{Parts, RowSum};
use compiler::layout::{Features, Geometry};
use ndarray::{Array2, Array3};
use sim_core::program::DType;

/// Of gradients, relative to the loss weight.
fn tolerance(dtype: DType) -> f64 {
    match dtype {
        DType::F32 => 1e-6,
        DType::F16 => 1.0 / 1024.0,
        DType::Bf16 => 1.0 / 128.0,
    }
}

fn cases() -> Vec<Geometry> {
    let mut all: Vec<Geometry> = [DType::F32, DType::F16, DType::Bf16].into_iter().flat_map(geometries).collect();
    // Several chunks of slots, a row that is no power of two, three lanes, and lanes of one column.
    let large =
        |act| Sizes { tokens: 12, seq_len: 24, vocab: 200, vocab_slots: 51, ..Sizes::of(&padded(act)) }.geometry();
    let grid = sim_core::coord::Grid { width: 13, height: 4 };
    let lanes = Sizes { grid, lanes: 3, sequences: 5, ..Sizes::of(&padded(DType::F16)) }.geometry();
    let column = Sizes { lanes: 3, sequences: 3, ..Sizes::of(&one_column(DType::F32)) }.geometry();
    all.extend([large(DType::F16), large(DType::F32), lanes, column]);
    all
}

/// Logits of up to ±`size`.
fn logits(g: &Geometry, size: f32) -> Array3<f32> {
    random_act(g, Features::Vocab, 1, DType::F32).mapv(|v| round(g.precision.act, size * v))
}

fn host(g: &Geometry, loss_weight: f32) -> TestHost {
    let shape = (g.sequences as usize, g.seq_len as usize);
    // All entries of the vocabulary, the first and the last one among them.
    let targets =
        Array2::from_shape_fn(shape, |(s, p)| ((s * 5 + p * 7 + g.model.vocab as usize - 1) as u32) % g.model.vocab);
    TestHost { targets, loss_weight, ..TestHost::default() }
}

/// Gradient and loss of the positions that are `inside`.
fn expected(x: &Array3<f32>, host: &TestHost, inside: impl Fn(u32) -> bool) -> (Array3<f64>, f64) {
    let mut gradient = Array3::zeros(x.raw_dim());
    let (mut loss, weight) = (0.0, f64::from(host.loss_weight));
    for ((s, p), &target) in host.targets.indexed_iter().filter(|((_, p), _)| inside(*p as u32)) {
        let logit = |i: usize| f64::from(x[[s, p, i]]);
        let sum: f64 = (0..x.shape()[2]).map(|i| logit(i).exp()).sum();
        loss += weight * (sum.ln() - logit(target as usize));
        for i in 0..x.shape()[2] {
            let hit = if i == target as usize { 1.0 } else { 0.0 };
            gradient[[s, p, i]] = weight * (logit(i).exp() / sum - hit);
        }
    }
    (gradient, loss)
}

/// Puts logits of the window's tokens, from `token0` on, with padding entries far below.
fn put(wafer: &mut Wafer, act: &ActivationView, token0: u32, x: &Array3<f32>) {
    let g = wafer.g.clone();
    wafer.put_from(act, token0, |s, p, i| x[[s as usize, p as usize, i as usize]]);
    for pe in g.used().iter() {
        let mut all = wafer.raw(pe, act.buffer, act.all_slots * act.row);
        for slot in 0..act.slots {
            if g.feature(Features::Vocab, pe.x % g.lane_columns(), slot).is_none() {
                let first = (slot * act.row + act.first_token) as usize;
                all[first..first + act.tokens as usize].fill(PAD_BIAS);
            }
        }
        wafer.set_raw(pe, act.buffer, &all);
    }
}

/// The kernel on all tokens; with `wide`, targets have two numbers.
fn kernel(g: &Geometry, wide: bool) -> CrossEntropy {
    CrossEntropy {
        logits: ActivationView::whole(g, "logits", Features::Vocab),
        first_token: 0,
        per_sequence: false,
        wide,
    }
}

fn check(g: &Geometry, size: f32, weight: f32, wide: bool) -> u64 {
    let kernel = kernel(g, wide);
    let (x, host) = (logits(g, size), host(g, weight));
    let mut wafer = Wafer::cs2(g);
    put(&mut wafer, &kernel.logits, 0, &x);
    let (outcome, _) = wafer.run(&kernel, &host);
    let (_, sums) = wafer.run(&RowSum { parts: Parts::Loss, levels: None }, &host);
    let (gradient, loss) = expected(&x, &host, |_| true);
    let what = format!("{g:?}, logits to {size}");
    let scale = f64::from(weight);
    assert_close(&(wafer.get(&kernel.logits) / scale), &(gradient / scale), tolerance(g.precision.act), &what);
    let got = sums.dense("loss", &[]).sum();
    assert!((got - loss).abs() <= 2e-6 * loss.abs().max(scale * f64::from(size)), "{what}: loss {got}, not {loss}");
    assert!(wafer.padding(&kernel.logits).iter().all(|v| v.abs() < 1e-30), "{what}: padding");
    for pe in g.used().iter() {
        for slot in 0..g.vocab_slots {
            for t in (0..g.tokens).filter(|&t| g.token(pe, t).is_none()) {
                let v = wafer.raw(pe, "logits", g.len(Features::Vocab))[(slot * g.tokens + t) as usize];
                assert_eq!(v, 0.0, "{what}: token {t} of {pe} is padding");
            }
        }
    }
    outcome.cycles.0
}

#[test]
fn gradient_and_loss() {
    for g in cases() {
        for (size, weight, wide) in [(1.0, 1.0 / 64.0, false), (20.0, 8.0, false), (1.0, 1.0, true)] {
            check(&g, size, weight, wide);
        }
    }
}

#[test]
fn timing_does_not_depend_on_targets() {
    for (dtype, wide) in [(DType::F32, false), (DType::F16, false), (DType::F16, true)] {
        let g = padded(dtype);
        let run = |shift: u32| {
            let kernel = kernel(&g, wide);
            let mut host = host(&g, 1.0);
            host.targets.mapv_inplace(|v| (v + shift) % g.model.vocab);
            let mut wafer = Wafer::cs2(&g);
            put(&mut wafer, &kernel.logits, 0, &logits(&g, 1.0));
            wafer.run(&kernel, &host).0.cycles
        };
        assert!((1..g.model.vocab).all(|shift| run(shift) == run(0)), "{dtype:?}");
    }
}

#[test]
fn chunks_of_tokens() {
    for dtype in [DType::F32, DType::F16] {
        let g = narrow(dtype);
        let whole = ActivationView { row: 4, tokens: 4, ..ActivationView::whole(&g, "logits", Features::Vocab) };
        for first_token in [0, 4] {
            let kernel = CrossEntropy { logits: whole.clone(), first_token, per_sequence: false, wide: false };
            let (x, host) = (logits(&g, 4.0), host(&g, 0.5));
            let mut wafer = Wafer::cs2(&g);
            put(&mut wafer, &kernel.logits, first_token, &x);
            wafer.run(&kernel, &host);
            let (_, sums) = wafer.run(&RowSum { parts: Parts::Loss, levels: None }, &host);
            let (gradient, loss) = expected(&x, &host, |p| (p % g.tokens) / 4 == first_token / 4);
            let got = wafer.get_from(&kernel.logits, first_token);
            assert_close(&got, &gradient, tolerance(dtype), "a chunk of tokens");
            assert!((sums.dense("loss", &[]).sum() - loss).abs() <= 2e-6 * loss, "a chunk of tokens");
        }
    }
}
