//! Gradients of weights, biases and embeddings, and the embedding, on a small wafer against f64.

use crate::common::*;
use compiler::kernel::{ActivationView, Kernel};
use compiler::kernels::colsum::ColSum;
use compiler::kernels::embed::{EmbedGrad, EmbedScatter, Table};
use compiler::kernels::outer::Outer;
use compiler::layout::{Features, Geometry};
use compiler::options::Reduction;
use ndarray::{Array2, Array3, ArrayD, IxDyn};
use sim_core::coord::Grid;
use sim_core::program::DType;

/// Tables of tokens, positions and types, as many as a design has.
const TABLES: [Table; 3] = [Table::Tokens, Table::Positions, Table::Types];

/// Sums are f32, and products of 16-bit numbers are exact in them.
const TOLERANCE: f64 = 1e-5;

fn outer(g: &Geometry, a: Features, b: Features, gather: u32) -> Outer {
    Outer {
        label: "test".into(),
        a: ActivationView::whole(g, "a", a),
        b: ActivationView::whole(g, "b", b),
        tensor: "w".into(),
        transposed: false,
        gather,
    }
}

/// Whether a logical feature is in the window of some column.
fn inside(g: &Geometry, act: &ActivationView, feature: usize) -> bool {
    let slots = act.first_slot..act.first_slot + act.slots;
    let mut all = (0..g.lane_columns()).flat_map(|c| slots.clone().map(move |s| (c, s)));
    all.any(|(c, s)| g.feature(act.features, c, s) == Some(feature as u32))
}

/// Rounding of the results, and of every sum within a PE: one per token.
fn rounding(g: &Geometry) -> f64 {
    let unit = match g.precision.accumulator {
        DType::F32 => 0.0,
        DType::F16 => 1.0 / 2048.0,
        DType::Bf16 => 1.0 / 256.0,
    };
    TOLERANCE + f64::from(g.tokens) * unit
}

/// Runs an outer product on random numbers and checks it; gives the cycles.
fn check_outer(g: &Geometry, k: &Outer) -> u64 {
    let what = format!("{:?}, {k:?}", g.precision.act);
    let (a, b) = (random_act(g, k.a.features, 1, k.a.dtype), random_act(g, k.b.features, 2, k.b.dtype));
    let mut wafer = Wafer::cs2(g);
    wafer.put_array(&k.a, &a);
    wafer.put_array(&k.b, &b);
    let (outcome, gradients) = wafer.run(k, &TestHost::default());
    let (na, nb) = (width(g, k.a.features), width(g, k.b.features));
    let shape = if k.transposed { [nb, na] } else { [na, nb] };
    let mut want = ArrayD::<f64>::zeros(IxDyn(&shape.map(|n| n as usize)));
    for i in (0..na as usize).filter(|&i| inside(g, &k.a, i)) {
        for j in (0..nb as usize).filter(|&j| inside(g, &k.b, j)) {
            let at = if k.transposed { [j, i] } else { [i, j] };
            want[&at[..]] = dot(&a, i, &b, j);
        }
    }
    assert_close(&gradients.dense("w", &shape), &want, rounding(g), &what);
    outcome.cycles.0
}

/// Sum over all tokens of a product of two features.
fn dot(a: &Array3<f32>, i: usize, b: &Array3<f32>, j: usize) -> f64 {
    let pair = |(&x, &y): (&f32, &f32)| f64::from(x) * f64::from(y);
    let (a, b) = (a.index_axis(ndarray::Axis(2), i), b.index_axis(ndarray::Axis(2), j));
    a.iter().zip(b.iter()).map(pair).sum()
}

#[test]
fn products_are_right_in_every_geometry_type_and_gathering() {
    for act in [DType::F32, DType::F16, DType::Bf16] {
        for g in geometries(act).into_iter().flat_map(|g| [Sizes { accumulator: act, ..Sizes::of(&g) }.geometry(), g]) {
            for gather in (1..=g.lane_columns()).filter(|n| g.lane_columns().is_multiple_of(*n)) {
                check_outer(&g, &outer(&g, Features::Hidden, Features::Qkv, gather));
                check_outer(&g, &outer(&g, Features::Ffn, Features::Hidden, gather));
            }
        }
    }
}

#[test]
fn products_of_windows_and_transposed_ones_are_right() {
    for g in [padded(DType::F16), narrow(DType::F16)] {
        let mut k = outer(&g, Features::Vocab, Features::Hidden, 2);
        k.transposed = true;
        (k.a.first_slot, k.a.slots) = (1, 2);
        check_outer(&g, &k);
        let mut k = outer(&g, Features::Qkv, Features::Ffn, 2);
        (k.b.first_slot, k.b.slots) = (1, 1);
        k.a.dtype = DType::F32;
        check_outer(&g, &k);
    }
}

/// Per gathering, an AXPY per token and slot; the ring and the chain fit into their setups.
#[test]
fn a_gathering_takes_the_expected_cycles() {
    let (f, t) = (16, 16);
    let sizes =
        Sizes { tokens: t, seq_len: 2 * t, sequences: 1, d_model: 8 * f, hidden: f, ..Sizes::of(&padded(DType::F16)) }
            .geometry();
    let g = Sizes { lanes: 1, head_columns: 4, sequences_per_lane: 1, ..Sizes::of(&sizes) }.geometry();
    let cycles = check_outer(&g, &outer(&g, Features::Hidden, Features::Hidden, 2));
    let expected = u64::from(4 * f * t * (6 + 2 * f / 2));
    println!("outer: {cycles} cycles, of which {expected} are AXPYs");
    assert!(cycles * 10 < expected * 11, "{cycles} cycles, {expected} for the AXPYs");
}

/// Rows do the same, each a fixed time after the one above it.
#[test]
fn rows_of_chains_fold() {
    let g = Sizes {
        grid: Grid { width: 8, height: 24 },
        sequences_per_lane: 12,
        sequences: 24,
        ..Sizes::of(&padded(DType::F16))
    }
    .geometry();
    let b = ActivationView::whole(&g, "b", Features::Hidden);
    let sums = ColSum { label: "test".into(), b, times: None, tensor: "b".into(), levels: None };
    for k in [&outer(&g, Features::Ffn, Features::Hidden, 2) as &dyn Kernel, &sums] {
        let mut wafer = Wafer::cs2(&g);
        let at = wafer.addresses_of(k);
        let program = k.program(&g, &wafer.arch, &at);
        let run = |engine| {
            let options = fabric::RunOptions { engine, ..fabric::RunOptions::default() };
            fabric::run(&program, &wafer.arch, &options, None).expect("the kernel runs")
        };
        let (fast, reference) = (run(fabric::EngineKind::Fast), run(fabric::EngineKind::Reference));
        assert_eq!((fast.cycles, fast.pe_cycles), (reference.cycles, reference.pe_cycles), "{}", k.name());
        assert!(fast.folds.iter().any(|f| f.kind == "rows"), "{}: {:?}", k.name(), fast.folds);
    }
}

#[test]
fn column_sums_are_right_in_every_geometry_and_type() {
    for act in [DType::F32, DType::F16] {
        let odd = Sizes { tokens: 12, seq_len: 23, ..Sizes::of(&padded(act)) }.geometry();
        for g in geometries(act).into_iter().chain([odd]) {
            for times in [false, true] {
                let b = ActivationView::whole(&g, "b", Features::Qkv);
                let c = times.then(|| ActivationView::whole(&g, "c", Features::Qkv));
                let k = ColSum { label: "test".into(), b, times: c, tensor: "bias".into(), levels: None };
                let (x, mut y) = (random_act(&g, Features::Qkv, 1, act), random_act(&g, Features::Qkv, 2, act));
                let other = y.clone();
                if k.times.is_none() {
                    y.fill(1.0);
                }
                let n = 3 * g.model.d_model;
                let want = ArrayD::from_shape_fn(IxDyn(&[n as usize]), |i| dot(&x, i[0], &y, i[0]));
                for kind in Reduction::ALL {
                    let mut wafer = Wafer::cs2(&g);
                    wafer.put_array(&k.b, &x);
                    k.times.iter().for_each(|c| wafer.put_array(c, &other));
                    let kernel = k.reduced(&g, &wafer.arch, Some(kind));
                    let (_, gradients) = wafer.run(&kernel, &TestHost::default());
                    assert_close(&gradients.dense("bias", &[n]), &want, TOLERANCE, &format!("{kernel:?}"));
                }
            }
        }
    }
}

/// A host with embeddings and tokens, some of them equal.
fn embeddings(g: &Geometry) -> TestHost {
    let mut host = TestHost::default();
    host.random("wte", &[g.model.vocab, g.model.d_model], g.precision.act);
    host.random("wpe", &[g.seq_len, g.model.d_model], g.precision.act);
    host.random("wtt", &[2, g.model.d_model], g.precision.act);
    let shape = (g.sequences as usize, g.seq_len as usize);
    host.tokens = Array2::from_shape_fn(shape, |(s, p)| ((5 * s + p * p) % g.model.vocab as usize) as u32);
    host
}

#[test]
fn embeddings_reach_their_columns() {
    for act in [DType::F32, DType::F16] {
        for (g, tables) in geometries(act).into_iter().flat_map(|g| (1..=3).map(move |n| (g.clone(), n))) {
            let host = embeddings(&g);
            let k =
                EmbedScatter { x: ActivationView::whole(&g, "x", Features::Hidden), tables: TABLES[..tables].to_vec() };
            let mut wafer = Wafer::cs2(&g);
            wafer.run(&k, &host);
            let mut want = Array3::zeros((g.sequences as usize, g.seq_len as usize, g.model.d_model as usize));
            for ((s, p, i), v) in want.indexed_iter_mut() {
                let token = host.tokens[[s, p]] as usize;
                let rows = [("wte", token), ("wpe", p), ("wtt", 0)];
                *v = rows[..tables].iter().map(|&(table, row)| f64::from(host.tensors[table][[row, i]])).sum();
            }
            let tolerance = if act == DType::F32 { 1e-6 } else { 1.0 / 1024.0 };
            assert_close(&wafer.get(&k.x), &want, tolerance, "embedding");
            assert!(wafer.padding(&k.x).iter().all(|&v| v == 0.0), "padding");
        }
    }
}

#[test]
fn gradients_of_embeddings_reach_the_host() {
    for act in [DType::F32, DType::F16] {
        for g in geometries(act) {
            let host = embeddings(&g);
            let k = EmbedGrad { dx: ActivationView::whole(&g, "dx", Features::Hidden), tables: TABLES.to_vec() };
            let dx = random_act(&g, Features::Hidden, 3, act);
            let mut wafer = Wafer::cs2(&g);
            wafer.put_array(&k.dx, &dx);
            let (_, gradients) = wafer.run(&k, &host);
            let table = |rows: u32| Array2::<f64>::zeros((rows as usize, g.model.d_model as usize));
            let (mut wte, mut wpe, mut wtt) = (table(g.model.vocab), table(g.seq_len), table(2));
            for ((s, p, i), &v) in dx.indexed_iter() {
                wte[[host.tokens[[s, p]] as usize, i]] += f64::from(v);
                wpe[[p, i]] += f64::from(v);
                wtt[[0, i]] += f64::from(v);
            }
            assert_close(&gradients.dense("wtt", &[2, g.model.d_model]), &wtt.into_dyn(), 1e-9, "wtt");
            assert_close(&gradients.dense("wte", &[g.model.vocab, g.model.d_model]), &wte.into_dyn(), 1e-9, "wte");
            assert_close(&gradients.dense("wpe", &[g.seq_len, g.model.d_model]), &wpe.into_dyn(), 1e-9, "wpe");
        }
    }
}

#[test]
fn estimates_are_of_the_right_size() {
    let g = Sizes { grid: Grid { width: 8, height: 4 }, ..Sizes::of(&padded(DType::F16)) }.geometry();
    let arch = sim_core::arch::cs2::cs2();
    let host = embeddings(&g);
    let mut wafer = Wafer::cs2(&g);
    let kernels: [&dyn Kernel; 4] = [
        &outer(&g, Features::Ffn, Features::Hidden, 2),
        &ColSum {
            label: "test".into(),
            b: ActivationView::whole(&g, "b", Features::Hidden),
            times: None,
            tensor: "b".into(),
            levels: None,
        },
        &EmbedScatter { x: ActivationView::whole(&g, "x", Features::Hidden), tables: TABLES.to_vec() },
        &EmbedGrad { dx: ActivationView::whole(&g, "dx", Features::Hidden), tables: TABLES.to_vec() },
    ];
    for k in kernels {
        let cycles = wafer.run(k, &host).0.cycles.0;
        let estimate = k.estimate(&g, &arch);
        println!("{}: {cycles} cycles, estimate {estimate}", k.name());
        assert!(estimate < 3 * cycles && cycles < 3 * estimate, "{}: {cycles}, estimate {estimate}", k.name());
    }
}

/// Where issue slots are short, a hop leaves room for all that goes down meanwhile, also for what
/// was computed before it: columns stay in step, and most of them are left out.
#[test]
fn columns_stay_in_step_where_slots_are_short() {
    let short = |g: Geometry, a_slots: u32, gather: u32| {
        let whole = outer(&g, Features::Ffn, Features::Hidden, gather);
        let k = Outer { a: ActivationView { slots: a_slots, ..whole.a.clone() }, ..whole };
        let mut wafer = Wafer::cs2(&g);
        // A row of sums leaves as fast as from a wafer full of such lanes.
        wafer.arch.wafer.io_bits_per_second.value =
            wafer.arch.wafer.io_bits_per_second.value * u64::from(g.grid.width) / 700;
        let at = wafer.addresses_of(&k);
        let program = k.program(&g, &wafer.arch, &at);
        let outcome =
            fabric::run(&program, &wafer.arch, &fabric::RunOptions::default(), None).expect("the kernel runs");
        assert!(outcome.folds.iter().any(|f| f.kind == "columns"), "{k:?}: {:?}", outcome.folds);
    };
    let rows = Sizes { lanes: 1, sequences_per_lane: 3, sequences: 3, ..Sizes::of(&padded(DType::F16)) }.geometry();
    let sized = |heads: u32, head_columns: u32, tokens: u32, hidden: u32| {
        Sizes {
            grid: Grid { width: heads * head_columns, height: 6 },
            heads,
            kv_heads: heads,
            head_columns,
            tokens,
            seq_len: 2 * tokens,
            hidden,
            d_model: heads * head_columns * hidden,
            ffn: 14,
            d_ff: heads * head_columns * 14,
            ..Sizes::of(&rows.clone())
        }
        .geometry()
    };
    // Rows in both halves of a hop, in one half only, and less than one per half.
    short(sized(31, 2, 36, 40), 12, 2);
    short(Sizes { accumulator: DType::F16, ..Sizes::of(&sized(16, 4, 56, 8)) }.geometry(), 8, 8);
    short(sized(16, 3, 40, 22), 14, 3);
    short(sized(31, 2, 36, 32), 1, 2);
}

/// Sums of 36 features over 200 rows: every kind takes about what is estimated, and the more levels the
/// fewer cycles.
#[test]
fn reductions_take_the_expected_cycles() {
    let g = Sizes { sequences_per_lane: 50, sequences: 100, ..Sizes::of(&padded(DType::F16)) }.geometry();
    let g = Sizes { grid: Grid { width: g.grid.width, height: 210 }, ..Sizes::of(&g) }.geometry();
    let b = ActivationView::whole(&g, "b", Features::Qkv);
    let k = ColSum { label: "test".into(), b, times: None, tensor: "b".into(), levels: None };
    let cycles = Reduction::ALL.map(|kind| {
        let mut wafer = Wafer::cs2(&g);
        let kernel = k.reduced(&g, &wafer.arch, Some(kind));
        let estimate = kernel.estimate(&g, &wafer.arch);
        let (outcome, _) = wafer.run(&kernel, &TestHost::default());
        let error = outcome.cycles.0 as f64 / estimate as f64 - 1.0;
        println!("{kind:?}: {} rows, {} cycles, estimated {estimate}", g.used_rows(), outcome.cycles.0);
        assert!(error.abs() < 0.25, "{kind:?}: {} cycles, estimated {estimate}", outcome.cycles.0);
        outcome.cycles.0
    });
    assert!(cycles[0] > 2 * cycles[1] && cycles[1] > cycles[2], "{cycles:?}");
}
