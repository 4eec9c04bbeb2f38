//! Attention on a small wafer against f64: the result and the gradients of all operands.

use crate::common::{Sizes, TestHost, Wafer, assert_close, geometries, one_column, padded, random_act};
use compiler::ids::BufferId;
use compiler::kernel::{ActivationView, Kernel};
use compiler::kernels::alibi::Distances;
use compiler::kernels::attention::{AttentionBackward, AttentionForward};
use compiler::layout::{Features, Geometry};
use compiler::options::Chunks;
use fabric::{EngineKind, Fold, RunOptions};
use models::design::alibi_slope;
use ndarray::Array3;
use sim_core::coord::Grid;
use sim_core::program::{DType, verify};

/// Four columns per head and four rows; two lanes, sequences and heads; as many tokens per PE as
/// are not a multiple of the columns where `tokens` says so.
fn wide(act: DType, tokens: u32, head_columns: u32) -> Geometry {
    Sizes {
        grid: Grid { width: 4 * head_columns, height: 8 },
        lanes: 2,
        heads: 2,
        kv_heads: 2,
        head_columns,
        sequences_per_lane: 2,
        rows_per_sequence: 4,
        tokens,
        sequences: 4,
        seq_len: 4 * tokens - 3,
        d_model: 4 * head_columns - 2,
        hidden: 2,
        d_ff: 8,
        ffn: 1,
        vocab: 8,
        vocab_slots: 1,
        rotary: None,
        alibi: false,
        scores_by_features: false,
        causal: true,
        act,
        accumulator: DType::F32,
    }
    .geometry()
}

/// All geometries, with one chunk and several: 1 to 6 columns per head; 1, 2 and 4 rows.
fn all(act: DType) -> Vec<Geometry> {
    let mut all = geometries(act);
    all.extend([wide(act, 8, 4), wide(act, 8, 6), wide(act, 4, 6), wide(act, 8, 3), wide(act, 4, 5)]);
    // Chunks of 8 and 4 tokens, of which the columns have equal and unequal shares.
    all.extend([wide(act, 16, 4), wide(act, 12, 6), wide(act, 16, 3), wide(act, 12, 5)]);
    all.push(Sizes { rows_per_sequence: 1, seq_len: 11, ..Sizes::of(&wide(act, 12, 2)) }.geometry());
    all
}

/// Without the causal mask, and so without padding tokens; with scores that fall with the distance,
/// for which a head has three slots more.
fn others(act: DType) -> Vec<Geometry> {
    let both =
        |g: Geometry| Sizes { causal: false, seq_len: g.rows_per_sequence * g.tokens, ..Sizes::of(&g) }.geometry();
    let alibi = |g: Geometry| {
        Sizes { alibi: true, hidden: g.hidden + 3u32.div_ceil(g.head_columns), ..Sizes::of(&g) }.geometry()
    };
    vec![
        both(padded(act)),
        both(wide(act, 4, 6)),
        both(wide(act, 12, 3)),
        both(wide(act, 16, 4)),
        alibi(padded(act)),
        alibi(wide(act, 12, 5)),
        alibi(wide(act, 12, 6)),
    ]
}

/// Queries, keys and values as windows of one fused buffer.
fn fused(g: &Geometry, name: &'static str) -> [ActivationView; 3] {
    [0, 1, 2].map(|part| ActivationView {
        features: Features::Qkv,
        all_slots: 3 * g.hidden,
        first_slot: part * g.hidden,
        ..ActivationView::whole(g, name, Features::Hidden)
    })
}

/// Chunks of the tokens: one of up to 8, several of 12 and more.
fn chunks(g: &Geometry) -> Chunks {
    let queries = if g.tokens > 8 { g.tokens / if g.tokens.is_multiple_of(8) { 8 } else { 4 } } else { 1 };
    Chunks { queries, keys: queries }
}

fn forward(g: &Geometry) -> AttentionForward {
    let [q, k, v] = fused(g, "qkv");
    AttentionForward {
        q,
        k,
        v,
        out: ActivationView::whole(g, "out", Features::Hidden),
        stats: Some("stats".into()),
        chunks: chunks(g),
    }
}

/// What the kernels should compute.
struct Reference {
    /// `[sequence][position][hidden feature]`
    out: Array3<f64>,
    /// `[sequence][position][fused feature]`
    grads: Array3<f64>,
}

fn reference(g: &Geometry, qkv: &Array3<f32>, d_out: &Array3<f32>) -> Reference {
    let (d, dh, len) = (g.model.d_model as usize, g.d_head() as usize, g.seq_len as usize);
    let scale = f64::from(g.score_scale());
    let mut out = Array3::zeros(d_out.raw_dim());
    let mut grads = Array3::zeros(qkv.raw_dim());
    for s in 0..g.sequences as usize {
        for h in 0..g.model.heads as usize {
            let at = |part: usize, p: usize, i: usize| f64::from(qkv[[s, p, part * d + h * dh + i]]);
            let go = |p: usize, i: usize| f64::from(d_out[[s, p, h * dh + i]]);
            for query in 0..len {
                let seen = if g.model.causal { query + 1 } else { len };
                let score = |key: usize| {
                    (0..dh).map(|i| at(0, query, i) * at(1, key, i)).sum::<f64>() * scale
                        - if g.model.alibi {
                            alibi_slope(h as u32, g.model.heads) * query.abs_diff(key) as f64
                        } else {
                            0.0
                        }
                };
                let scores: Vec<f64> = (0..seen).map(score).collect();
                let largest = scores.iter().fold(f64::MIN, |m, v| m.max(*v));
                let sum: f64 = scores.iter().map(|v| (v - largest).exp()).sum();
                let p: Vec<f64> = scores.iter().map(|v| (v - largest).exp() / sum).collect();
                let dp: Vec<f64> = (0..seen).map(|k| (0..dh).map(|i| go(query, i) * at(2, k, i)).sum()).collect();
                let mean: f64 = p.iter().zip(&dp).map(|(a, b)| a * b).sum();
                for key in 0..seen {
                    let ds = p[key] * (dp[key] - mean) * scale;
                    for i in 0..dh {
                        let f = h * dh + i;
                        out[[s, query, f]] += p[key] * at(2, key, i);
                        grads[[s, query, f]] += ds * at(1, key, i);
                        grads[[s, key, d + f]] += ds * at(0, query, i);
                        grads[[s, key, 2 * d + f]] += p[key] * go(query, i);
                    }
                }
            }
        }
    }
    Reference { out, grads }
}

fn backward(g: &Geometry) -> AttentionBackward {
    let [q, k, v] = fused(g, "qkv");
    let [dq, dk, dv] = fused(g, "d_qkv");
    let hidden = |name| ActivationView::whole(g, name, Features::Hidden);
    AttentionBackward {
        q,
        k,
        v,
        out: hidden("out"),
        d_out: hidden("d_out"),
        stats: "stats".into(),
        dq,
        dk,
        dv,
        chunks: chunks(g),
    }
}

/// A wafer whose memory is full of NaN, with the operands in place. Tokens that are padding have
/// queries, keys and values too.
fn wafer(g: &Geometry, qkv: &Array3<f32>) -> Wafer {
    let mut w = Wafer::cs2(g);
    w.memory.pes.iter_mut().for_each(|m| m.fill(0xff));
    let whole = ActivationView::whole(g, "qkv", Features::Qkv);
    w.put_array(&whole, qkv);
    for pe in g.used().iter() {
        let mut values = w.raw(pe, "qkv", g.len(Features::Qkv));
        for slot in 0..whole.slots {
            let real = g.feature(Features::Qkv, pe.x % g.lane_columns(), slot).is_some();
            for t in 0..g.tokens {
                if real && g.token(pe, t).is_none() {
                    values[(slot * g.tokens + t) as usize] = if t % 2 == 0 { 3.0 } else { -2.0 };
                }
            }
        }
        w.set_raw(pe, "qkv", &values);
    }
    w
}

/// Runs both kernels, and compares the result and all gradients.
fn check(g: &Geometry, tolerance: f64) {
    check_in(g, chunks(g), tolerance);
}

/// The same, in some number of chunks.
fn check_in(g: &Geometry, chunks: Chunks, tolerance: f64) {
    let qkv = random_act(g, Features::Qkv, 1, g.precision.act).mapv(|v| 2.0 * v);
    let d_out = random_act(g, Features::Hidden, 2, g.precision.act);
    let want = reference(g, &qkv, &d_out);
    let mut w = wafer(g, &qkv);
    let (first, second) = (AttentionForward { chunks, ..forward(g) }, AttentionBackward { chunks, ..backward(g) });
    if g.model.alibi {
        w.run(&Distances { q: first.q.clone(), k: first.k.clone() }, &TestHost::default());
    }
    w.run(&first, &TestHost::default());
    let name = format!("{chunks:?} {g:?}");
    assert_close(&w.get(&first.out), &want.out, tolerance, &name);
    assert!(w.padding(&first.out).iter().all(|v| *v == 0.0), "{name}");
    w.put_array(&second.d_out, &d_out);
    w.run(&second, &TestHost::default());
    let d_qkv = ActivationView::whole(g, "d_qkv", Features::Qkv);
    assert_close(&w.get(&d_qkv), &want.grads, tolerance, &name);
    // Features of distance have gradients too, which nobody asks for.
    let padding = w.padding(&d_qkv);
    assert!(padding.iter().all(|v| if g.model.alibi { v.is_finite() } else { *v == 0.0 }), "{name}");
}

#[test]
fn programs_are_well_formed() {
    for act in [DType::F16, DType::F32] {
        for g in all(act) {
            let mut w = Wafer::cs2(&g);
            for kernel in [&forward(&g) as &dyn Kernel, &backward(&g)] {
                let at = w.addresses_of(kernel);
                let faults = verify::verify(&kernel.program(&g, &w.arch, &at), &w.arch);
                assert!(faults.is_empty(), "{g:?}: {faults:#?}");
            }
        }
    }
}

#[test]
fn single_precision_is_exact_to_rounding() {
    for g in all(DType::F32).into_iter().chain(others(DType::F32)) {
        check(&g, 1e-5);
    }
}

#[test]
fn queries_and_keys_may_be_cut_differently() {
    // Columns with equal and unequal shares of the keys of a chunk, and columns alone.
    let of = |g: Geometry, cuts: &[(u32, u32)]| {
        for &(queries, keys) in cuts {
            check_in(&g, Chunks { queries, keys }, 1e-5);
        }
    };
    of(one_column(DType::F32), &[(2, 1), (1, 8)]);
    of(wide(DType::F32, 8, 4), &[(2, 1), (1, 2)]);
    of(wide(DType::F32, 12, 6), &[(3, 1), (3, 2), (1, 2)]);
    let g = wide(DType::F32, 16, 4);
    of(Sizes { causal: false, seq_len: g.rows_per_sequence * g.tokens, ..Sizes::of(&g) }.geometry(), &[(4, 1), (2, 4)]);
}

#[test]
fn half_precision_loses_what_its_operands_lose() {
    for g in all(DType::F16).into_iter().chain(others(DType::F16)) {
        check(&g, 4e-3);
    }
}

#[test]
fn brain_floats_lose_more() {
    for g in all(DType::Bf16) {
        check(&g, 3e-2);
    }
}

#[test]
fn gradients_may_replace_their_operands() {
    for g in all(DType::F32) {
        let qkv = random_act(&g, Features::Qkv, 1, g.precision.act);
        let d_out = random_act(&g, Features::Hidden, 2, g.precision.act);
        let mut w = wafer(&g, &qkv);
        let [dq, dk, dv] = fused(&g, "qkv");
        let kernel = AttentionBackward { dq, dk, dv, ..backward(&g) };
        w.run(&forward(&g), &TestHost::default());
        w.put_array(&kernel.d_out, &d_out);
        w.run(&kernel, &TestHost::default());
        let got = w.get(&ActivationView::whole(&g, "qkv", Features::Qkv));
        assert_close(&got, &reference(&g, &qkv, &d_out).grads, 1e-5, &format!("{g:?}"));
    }
}

#[test]
fn statistics_are_optional() {
    let g = wide(DType::F16, 8, 4);
    let kernel = AttentionForward { stats: None, ..forward(&g) };
    assert!(kernel.requirements(&g).iter().all(|n| n.buffer != BufferId::Named("stats")));
    let qkv = random_act(&g, Features::Qkv, 1, g.precision.act);
    let mut w = wafer(&g, &qkv);
    w.run(&kernel, &TestHost::default());
    let want = reference(&g, &qkv, &random_act(&g, Features::Hidden, 2, g.precision.act));
    assert_close(&w.get(&kernel.out), &want.out, 4e-3, "without statistics");
}

/// Registers differ between PEs, but timing does not: folding is allowed, and exact.
#[test]
fn engines_and_foldings_agree_on_the_cycles() {
    for g in all(DType::F16) {
        let mut w = Wafer::cs2(&g);
        for kernel in [&forward(&g) as &dyn Kernel, &backward(&g)] {
            let at = w.addresses_of(kernel);
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
