//! The memory of a PE: what lives in a launch has places of its own, below the code of its kernel.
#![allow(clippy::unwrap_used, reason = "tests")]

use compiler::banks::{Banks, Side};
use compiler::ids::BufferId;
use compiler::kernel::{Access, Addresses, Requirement};
use compiler::memory::{MemoryPlan, TooSmall, plan};
use compiler::options::{MappingConstraints, Options};
use compiler::{Compiled, compile};
use models::{LayerGraph, ModelShape, presets};
use proptest::prelude::*;
use sim_core::arch::{ArchSpec, cs2::cs2};
use sim_core::program::DType;
use std::collections::BTreeMap;

fn step(shape: &ModelShape, arch: &ArchSpec, micro_batch: u32, batch: u64) -> Result<Compiled, String> {
    let graph = LayerGraph::training_step(shape, u64::from(micro_batch), shape.max_positions).unwrap();
    let options = Options {
        batch,
        micro_batch: Some(micro_batch),
        seq_len: shape.max_positions,
        act: DType::F16,
        accumulator: DType::F32,
        constraints: MappingConstraints::default(),
    };
    compile(&graph, arch, &options).map_err(|faults| format!("{faults:?}"))
}

/// A made-up launch: what it needs of a PE's memory, and bytes of code.
struct Made {
    requirements: Vec<Requirement>,
    code: u64,
}

/// Bytes of code per instruction of a made-up launch.
const INSTRUCTION: u64 = 32;

/// Names of buffers.
const NAMES: [&str; 9] = ["b0", "b1", "b2", "b3", "b4", "b5", "b6", "b7", "b8"];

fn planned(kernels: &[Made], arch: &ArchSpec) -> Result<(MemoryPlan, Vec<Addresses>), Box<TooSmall>> {
    let launches: Vec<Vec<Requirement>> = kernels.iter().map(|k| k.requirements.clone()).collect();
    plan(arch, &launches, |launch| kernels[launch].code)
}

/// Numbers of a kernel: name, length and access of every need, and instructions.
type Numbers = (Vec<(u8, u16, u8)>, u8);

/// Needs from numbers: what has not been written yet is written, the rest is read, or written anew.
fn kernels(steps: &[Numbers]) -> Vec<Made> {
    let mut written: BTreeMap<u8, u32> = BTreeMap::new();
    let one = |(requirements, instructions): &Numbers| {
        let mut out: Vec<Requirement> = Vec::new();
        for &(name, len, access) in requirements {
            let buffer = BufferId::Named(NAMES[usize::from(name)]);
            if out.iter().any(|n| n.buffer == buffer) {
                continue;
            }
            let access = match access % 3 {
                0 if written.contains_key(&name) => Access::Read,
                1 if written.contains_key(&name) => Access::Update,
                _ => Access::Write,
            };
            let len = if access == Access::Write { u32::from(len) } else { written[&name] };
            written.insert(name, len);
            let dtype = if name % 2 == 0 { DType::F16 } else { DType::F32 };
            out.push(Requirement::operand(buffer, dtype, len, access));
        }
        out.push(Requirement::scratch(".scratch", DType::F32, 1 + u32::from(*instructions), Side::Far));
        Made { requirements: out, code: INSTRUCTION * u64::from(*instructions) }
    };
    steps.iter().map(one).collect()
}

/// What is in memory in every launch, found by following each buffer from its write to its last
/// read: no two places meet, all lie below the code, and the plan's numbers are what they say.
fn check(plan: &MemoryPlan, addresses: &[Addresses], kernels: &[Made], arch: &ArchSpec) {
    let bytes = |n: &Requirement| n.len * n.dtype.bytes();
    let mut peak = 0;
    for at in 0..kernels.len() {
        let mut places: Vec<(u32, u32)> = Vec::new();
        let mut names: Vec<BufferId> = kernels.iter().flat_map(|k| k.requirements.iter().map(|n| n.buffer)).collect();
        names.sort_unstable();
        names.dedup();
        for name in names {
            let requirement = |i: usize| kernels[i].requirements.iter().find(|n| n.buffer == name);
            let reads = |i: usize| requirement(i).is_some_and(|n| matches!(n.access, Access::Read | Access::Update));
            let writes = |i: usize| requirement(i).is_some_and(|n| !matches!(n.access, Access::Read | Access::Update));
            let Some(first) = (0..=at).rev().find(|&i| writes(i)) else { continue };
            let end = (first + 1..kernels.len()).find(|&i| writes(i)).unwrap_or(kernels.len());
            let last = (first..end).rev().find(|&i| i == first || reads(i)).unwrap();
            if last < at {
                continue;
            }
            let place = addresses[first][name];
            let banks = Banks::of(&cs2());
            assert_eq!(place % banks.period(), banks.start(requirement(first).unwrap().side));
            for user in (first..=last).filter(|&i| requirement(i).is_some()) {
                assert_eq!(addresses[user][name], place, "{name} moves");
            }
            places.push((place, place + bytes(requirement(first).unwrap())));
        }
        places.sort_unstable();
        assert!(places.windows(2).all(|w| w[0].1 <= w[1].0), "places meet in launch {at}: {places:?}");
        let code = kernels[at].code;
        assert_eq!(plan.code[at], code);
        let top = u64::from(places.last().map_or(0, |p| p.1));
        peak = peak.max(top + code + u64::from(arch.pe.stack.value));
    }
    assert_eq!(plan.peak_bytes, peak);
    assert!(peak <= u64::from(arch.pe.sram.value));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]
    #[test]
    fn nothing_that_lives_overlaps(
        steps in prop::collection::vec((prop::collection::vec((0u8..9, 1u16..900, any::<u8>()), 1..5), 0u8..120), 1..24)
    ) {
        let (mut arch, kernels) = (cs2(), kernels(&steps));
        // Some fit into the last byte, some do not fit at all.
        for sram in [64 << 10, 12 << 10] {
            arch.pe.sram.value = sram;
            match planned(&kernels, &arch) {
                Ok((plan, addresses)) => check(&plan, &addresses, &kernels, &arch),
                Err(why) => {
                    let bytes: u64 = why.buffers.iter().map(|(_, bytes)| bytes).sum();
                    prop_assert!(why.top >= bytes && why.top + why.code + u64::from(arch.pe.stack.value) > u64::from(sram));
                }
            }
        }
    }
}

/// Buffers of half periods that lie on either side leave no gaps, and one that needs its side has it.
#[test]
fn what_needs_no_side_of_the_banks_leaves_no_gaps() {
    let buffer = |name| Requirement::operand(name, DType::F16, 4, Access::Write);
    let free = |name| buffer(name).on_either_side();
    let requirements = vec![free("b0"), free("b1"), free("b2"), buffer("b3")];
    let (plan, addresses) = planned(&[Made { requirements, code: 0 }], &cs2()).unwrap();
    let places = ["b0", "b1", "b2", "b3"].map(|name| addresses[0][BufferId::Named(name)]);
    assert_eq!(places, [0, 8, 16, 32]);
    assert_eq!(plan.peak_bytes, 40 + plan.stack_bytes);
}

/// A buffer that one of its kernels needs on its side has it for all of them.
#[test]
fn a_side_that_one_kernel_needs_holds_for_all() {
    let buffer = |name, access| Requirement::operand(name, DType::F16, 4, access);
    let first = vec![buffer("b0", Access::Write).on_either_side(), buffer("b1", Access::Write).on_either_side()];
    let second = vec![buffer("b0", Access::Read).on_either_side(), buffer("b1", Access::Read)];
    let kernels = [first, second].map(|requirements| Made { requirements, code: 0 });
    let (_, addresses) = planned(&kernels, &cs2()).unwrap();
    assert_eq!(addresses[0][BufferId::Named("b1")], 16);
}

/// The code of a kernel counts beside what lives in its launch, not beside the fullest launch.
#[test]
fn large_code_and_large_buffers_share_memory_at_different_times() {
    let mut arch = cs2();
    let buffer = |len| Requirement::operand("b", DType::F16, len, Access::Write);
    let kernels = [
        Made { requirements: vec![buffer(4)], code: 400 * INSTRUCTION },
        Made { requirements: vec![buffer(4000)], code: INSTRUCTION },
    ];
    let (whole, _) = planned(&kernels, &arch).unwrap();
    let sum = |i: usize, bytes: u64| bytes + whole.code[i] + whole.stack_bytes;
    assert_eq!(whole.peak_bytes, sum(0, 8).max(sum(1, 8000)));
    assert!(whole.peak_bytes < sum(0, 8000));
    arch.pe.sram.value = whole.peak_bytes as u32;
    assert!(planned(&kernels, &arch).is_ok(), "what is needed suffices");
    arch.pe.sram.value -= 1;
    let why = planned(&kernels, &arch).unwrap_err();
    assert_eq!(why.buffers[0].0, BufferId::Named("b"));
}

/// Where a layer takes time to start, it does so once forward and once backward; all else is as
/// before.
#[test]
fn layers_start_twice() {
    let shape = ModelShape { layers: 3, max_positions: 16, vocab: 64, ..presets::find("gpt2-small").unwrap().shape };
    let mut arch = cs2();
    (arch.wafer.width.value, arch.wafer.height.value, arch.wafer.layer_start.value) = (24, 8, 0);
    let names = |c: &Compiled| c.launches.iter().map(|l| (l.kernel.name(), l.layer)).collect::<Vec<_>>();
    let before = step(&shape, &arch, 1, 1).unwrap();
    arch.wafer.layer_start.value = 1000;
    let after = step(&shape, &arch, 1, 1).unwrap();
    assert_eq!(after.estimate, before.estimate + 2 * 3 * 1000);
    let (starts, rest): (Vec<_>, Vec<_>) = names(&after).into_iter().partition(|(name, _)| name == "layer start");
    assert_eq!(rest, names(&before));
    assert_eq!(starts.iter().map(|s| s.1).collect::<Vec<_>>(), [0, 1, 2, 2, 1, 0].map(Some));
}
