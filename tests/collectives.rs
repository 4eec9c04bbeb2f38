//! Collectives: published cycle counts of the vendor's simulator, closed forms, and values.
#![allow(clippy::unwrap_used, reason = "tests")]

use compiler::collective::{Algorithm, Collective, Kind};
use fabric::{EngineKind, HostStreams, RunOptions, Values, WaferMemory};
use sim_core::arch::{cs2::cs2, cs3::cs3};
use sim_core::coord::Grid;
use sim_core::program::{DType, verify};

const CHAIN: Algorithm = Algorithm::Chain;

fn line(kind: Kind, pes: u32, wavelets: u32) -> Collective {
    Collective { kind, pes: Grid { width: pes, height: 1 }, wavelets, dtype: DType::F32 }
}

fn cycles(c: &Collective) -> u64 {
    let (program, arch) = (c.program(), cs2());
    assert_eq!(verify(&program, &arch), [], "{c:?}");
    let fast = fabric::run(&program, &arch, &RunOptions::default(), None).unwrap();
    if c.pes.pes() * u64::from(c.wavelets) < 10_000 {
        let plain = RunOptions { engine: EngineKind::Reference, ..RunOptions::default() };
        let reference = fabric::run(&program, &arch, &plain, None).unwrap();
        assert_eq!((reference.cycles, reference.pe_cycles), (fast.cycles, fast.pe_cycles), "{c:?}");
    }
    fast.cycles.0
}

/// Cycles of a CS-2 before the first beat: dispatch of a task and setup of an instruction.
const START: u64 = 2 + 6;

/// 512 PEs, 4096 wavelets: cycles of the vendor's simulator (SDK 0.6, WSE-2), as published in the
/// repository pr0f3ss/SpMM_Cerebras, src/mpi_collectives/reduce_0_pe/reduce_2colors_2phase.
#[test]
fn reductions_are_within_one_percent_of_the_vendors_simulator() {
    for (how, theirs) in [(CHAIN, 7218.0), (Algorithm::TwoPhase(8), 9117.0), (Algorithm::TwoPhase(64), 9061.0)] {
        let kind = Kind::Reduce(how);
        let ours = cycles(&line(kind, 512, 4096)) as f64;
        assert!((ours / theirs - 1.0).abs() < 0.01, "{kind:?}: {ours}, theirs {theirs}");
    }
}

#[test]
fn closed_forms_of_broadcast_and_chain() {
    for pes in [2u32, 3, 4, 17, 64, 512] {
        for wavelets in [1u32, 2, 7, 64, 1000, 4096] {
            let (p, b) = (u64::from(pes), u64::from(wavelets));
            assert_eq!(cycles(&line(Kind::Broadcast, pes, wavelets)), b + p + START + 4, "{pes} {wavelets}");
            assert_eq!(cycles(&line(Kind::Reduce(CHAIN), pes, wavelets)), START + b + 6 * (p - 1), "{pes} {wavelets}");
        }
    }
}

/// A WSE-3 takes two cycles for a link and nine for a setup.
#[test]
fn chains_on_a_cs3_take_a_cycle_more_per_pe() {
    let c = line(Kind::Reduce(CHAIN), 40, 70);
    let outcome = fabric::run(&c.program(), &cs3(), &RunOptions::default(), None).unwrap();
    assert_eq!(outcome.cycles.0, 3 + 9 + 70 + 7 * 39);
}

#[test]
fn columns_take_as_long_as_rows() {
    let reduce =
        [CHAIN, Algorithm::Tree, Algorithm::TwoPhase(4), Algorithm::Star, Algorithm::Ring].map(Kind::AllReduce);
    for kind in reduce.into_iter().chain([Kind::Broadcast]) {
        let row = line(kind, 18, 36);
        let column = Collective { pes: Grid { width: 1, height: 18 }, ..row };
        assert_eq!(cycles(&row), cycles(&column), "{kind:?}");
    }
}

/// The first wavelet of the corner goes along the row and down the columns at one link per cycle.
#[test]
fn closed_forms_in_two_dimensions() {
    for (m, n) in [(2u32, 2u32), (3, 5), (16, 4), (40, 33)] {
        for b in [1u32, 7, 300] {
            let rectangle =
                |kind| Collective { kind, pes: Grid { width: m, height: n }, wavelets: b, dtype: DType::F32 };
            let (p, q, b) = (u64::from(m), u64::from(n), u64::from(b));
            assert_eq!(cycles(&rectangle(Kind::Broadcast)), b + p + q + START + 3, "{m}x{n} {b}");
            // The corner begins its column when its row is done: both are chains.
            let column = cycles(&line(Kind::Reduce(CHAIN), m, b as u32)) - (START - 6);
            let both = cycles(&rectangle(Kind::Reduce(CHAIN)));
            assert!(both >= column + b, "{m}x{n} {b}: {both}");
            assert!(both <= column + START + b + 6 * (q - 1), "{m}x{n} {b}: {both}");
        }
    }
}

/// A tree of `2^L` PEs receives `L` vectors at its root, one after the other.
#[test]
fn trees_take_as_many_vectors_as_levels() {
    for levels in 1..=8u32 {
        for wavelets in [64u32, 500] {
            let (l, p, b) = (u64::from(levels), 1u64 << levels, u64::from(wavelets));
            let ours = cycles(&line(Kind::Reduce(Algorithm::Tree), 1 << levels, wavelets));
            assert!(ours >= START + l * b && ours <= START + l * (b + 12) + p, "{levels} {wavelets}: {ours}");
        }
    }
}

/// The root takes one vector after the other, and its router one control wavelet between two.
#[test]
fn stars_send_one_after_the_other() {
    for (pes, wavelets) in [(2u32, 1u32), (3, 20), (8, 64), (32, 100)] {
        let (p, b) = (u64::from(pes), u64::from(wavelets));
        let ours = cycles(&line(Kind::Reduce(Algorithm::Star), pes, wavelets));
        assert_eq!(ours, START + 5 + b * (p - 1) + (p - 2) + 1, "{pes} {wavelets}");
    }
}

/// In every step of a ring a PE sends a part and takes one: two issue slots per wavelet.
#[test]
fn rings_pass_every_part_twice() {
    for pes in [2u32, 4, 16, 64] {
        for part in [1u32, 16, 150] {
            let (steps, part_cycles) = (2 * (u64::from(pes) - 1), u64::from(part));
            let ours = cycles(&line(Kind::AllReduce(Algorithm::Ring), pes, pes * part));
            assert!(ours >= 2 * steps * part_cycles, "{pes} {part}: {ours}");
            assert!(ours <= START + steps * (2 * part_cycles + 20), "{pes} {part}: {ours}");
        }
    }
}

/// Elements are small whole numbers: their sums are exact in every type and order.
#[test]
fn values_are_right() {
    let algorithms = [
        CHAIN,
        Algorithm::Tree,
        Algorithm::TwoPhase(3),
        Algorithm::TwoPhase(1),
        Algorithm::TwoPhase(99),
        Algorithm::Star,
    ];
    let grids = [(2u32, 1u32), (5, 1), (1, 12), (4, 3), (3, 6)];
    for (width, height) in grids {
        let pes = Grid { width, height };
        for dtype in [DType::F32, DType::F16] {
            let check = |kind, wavelets| check_values(&Collective { kind, pes, wavelets, dtype });
            check(Kind::Broadcast, 9);
            for how in algorithms {
                check(Kind::Reduce(how), 9);
                check(Kind::AllReduce(how), 9);
            }
        }
    }
    for (width, height) in [(2, 1), (6, 1), (1, 8), (4, 6)] {
        let pes = Grid { width, height };
        for dtype in [DType::F32, DType::F16] {
            check_values(&Collective { kind: Kind::AllReduce(Algorithm::Ring), pes, wavelets: 24, dtype });
            check_values(&Collective { kind: Kind::Reduce(Algorithm::Ring), pes, wavelets: 24, dtype });
        }
    }
}

/// Executes with values and looks at the result of every PE that must have one.
fn check_values(c: &Collective) {
    let (program, arch) = (c.program(), cs2());
    assert_eq!(verify(&program, &arch), [], "{c:?}");
    let mut memory = WaferMemory::new(c.pes, arch.pe.sram.value);
    let size = c.dtype.bytes() as usize;
    let number = |pe: usize, i: usize| ((pe * 7 + i * 3) % 11) as f32;
    for (pe, bytes) in memory.pes.iter_mut().enumerate() {
        let numbers: Vec<f32> = (0..c.elements() as usize).map(|i| number(pe, i)).collect();
        c.dtype.write(bytes, &numbers);
    }
    let (inputs, mut outputs) = (HostStreams::default(), HostStreams::default());
    let mut values = Values { memory: &mut memory, inputs: &inputs, outputs: &mut outputs };
    fabric::run(&program, &arch, &RunOptions::default(), Some(&mut values)).unwrap();
    let got = |pe: usize, i: usize| c.dtype.read(&memory.pes[pe][i * size..(i + 1) * size])[0];
    let all = c.pes.pes() as usize;
    let holders = if matches!(c.kind, Kind::Reduce(_)) { 1 } else { all };
    for i in 0..c.elements() as usize {
        let sum: f32 = (0..all).map(|pe| number(pe, i)).sum();
        let want = if c.kind == Kind::Broadcast { number(0, i) } else { sum };
        for pe in 0..holders {
            assert_eq!(got(pe, i), want, "{c:?}: PE {pe}, element {i}");
        }
    }
}
