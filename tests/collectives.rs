//! Collectives: published cycle counts of the vendor's simulator, closed forms, and values.
#![allow(clippy::unwrap_used, reason = "tests")]

use compiler::collective::{Collective, Kind};
use fabric::{EngineKind, HostStreams, RunOptions, Values, WaferMemory};
use sim_core::arch::cs2::cs2;
use sim_core::coord::Grid;
use sim_core::program::{DType, verify};

fn line(kind: Kind, pes: u32, wavelets: u32) -> Collective {
    Collective { kind, pes: Grid { width: pes, height: 1 }, wavelets, dtype: DType::F32 }
}

fn cycles(c: &Collective) -> u64 {
    let (program, arch) = (c.program(), cs2());
    assert_eq!(verify(&program, &arch), [], "{c:?}");
    let fast = fabric::run(&program, &arch, &RunOptions::default(), None).unwrap();
    if u64::from(c.length()) * u64::from(c.wavelets) < 10_000 {
        let plain = RunOptions { engine: EngineKind::Reference, ..RunOptions::default() };
        let reference = fabric::run(&program, &arch, &plain, None).unwrap();
        assert_eq!((reference.cycles, reference.pe_cycles), (fast.cycles, fast.pe_cycles), "{c:?}");
    }
    fast.cycles.0
}

/// 512 PEs, 4096 wavelets: cycles of the vendor's simulator (SDK 0.6, WSE-2), as published in the
/// repository pr0f3ss/SpMM_Cerebras, src/mpi_collectives/reduce_0_pe/reduce_2colors_2phase.
#[test]
fn reductions_are_within_one_percent_of_the_vendors_simulator() {
    for (kind, theirs) in [(Kind::Chain, 7218.0), (Kind::TwoPhase(8), 9117.0), (Kind::TwoPhase(64), 9061.0)] {
        let ours = cycles(&line(kind, 512, 4096)) as f64;
        assert!((ours / theirs - 1.0).abs() < 0.01, "{kind:?}: {ours}, theirs {theirs}");
    }
}

#[test]
fn closed_forms_of_broadcast_and_chain() {
    for pes in [2u32, 3, 4, 17, 64, 512] {
        for wavelets in [1u32, 2, 7, 64, 1000, 4096] {
            let (p, b) = (u64::from(pes), u64::from(wavelets));
            assert_eq!(cycles(&line(Kind::Broadcast, pes, wavelets)), b + p + 13, "{pes} {wavelets}");
            assert_eq!(cycles(&line(Kind::Chain, pes, wavelets)), 9 + b + 6 * (p - 1), "{pes} {wavelets}");
        }
    }
}

#[test]
fn columns_take_as_long_as_rows() {
    for kind in [Kind::Broadcast, Kind::Chain, Kind::TwoPhase(4)] {
        let row = line(kind, 18, 33);
        let column = Collective { pes: Grid { width: 1, height: 18 }, ..row };
        assert_eq!(cycles(&row), cycles(&column), "{kind:?}");
    }
}

/// Elements are small whole numbers: their sums are exact in every type and order.
#[test]
fn values_are_right() {
    for kind in [Kind::Broadcast, Kind::Chain, Kind::TwoPhase(3), Kind::TwoPhase(1), Kind::TwoPhase(99)] {
        for dtype in [DType::F32, DType::F16] {
            for pes in [2u32, 5, 12] {
                let c = Collective { dtype, ..line(kind, pes, 9) };
                let (program, arch) = (c.program(), cs2());
                let mut memory = WaferMemory::new(c.pes, arch.sram.value);
                let size = dtype.bytes() as usize;
                let number = |pe: usize, i: usize| ((pe * 7 + i * 3) % 11) as f32;
                for (pe, bytes) in memory.pes.iter_mut().enumerate() {
                    for (i, to) in bytes.chunks_exact_mut(size).take(c.elements() as usize).enumerate() {
                        match dtype {
                            DType::F32 => to.copy_from_slice(&number(pe, i).to_le_bytes()),
                            _ => to.copy_from_slice(&half::f16::from_f32(number(pe, i)).to_le_bytes()),
                        }
                    }
                }
                let (inputs, mut outputs) = (HostStreams::default(), HostStreams::default());
                let mut values = Values { memory: &mut memory, inputs: &inputs, outputs: &mut outputs };
                fabric::run(&program, &arch, &RunOptions::default(), Some(&mut values)).unwrap();
                let got = |pe: usize, i: usize| {
                    let b = &memory.pes[pe][i * size..(i + 1) * size];
                    if size == 4 {
                        f32::from_le_bytes(b.try_into().unwrap())
                    } else {
                        half::f16::from_le_bytes(b.try_into().unwrap()).to_f32()
                    }
                };
                for i in 0..c.elements() as usize {
                    if kind == Kind::Broadcast {
                        assert!((0..pes as usize).all(|pe| got(pe, i) == number(0, i)), "{c:?}");
                    } else {
                        let sum: f32 = (0..pes as usize).map(|pe| number(pe, i)).sum();
                        assert_eq!(got(0, i), sum, "{c:?}, element {i}");
                    }
                }
            }
        }
    }
}
