//! What vector instructions take on the reference engine: elements per beat (C4), slots per beat
//! (C5), wavelets (C7).
#![allow(clippy::unwrap_used, reason = "tests")]

mod common;
use common::*;
use sim_core::program::DType::{self, Bf16, F16, F32};
use sim_core::program::{AddrOp, AddrReg, DataReg, Dim, Flow, Instr, MemRef, Op, Operand};

/// Slots of a vector instruction, its setup taken off.
fn slots(o: Op, len: u32, dst: Operand, src: &[Operand]) -> u64 {
    solo(&[vec(o, len, dst, src)]) - SETUP
}

/// Operands that start in different bank groups.
fn two(a: DType, b: DType, len: u32) -> [Operand; 2] {
    [mem(a, 0, len), mem(b, 1032, len)]
}

/// A vector of `len` elements with a stride.
fn strided(dtype: DType, at: i32, len: u32, stride: i32) -> Operand {
    Operand::Mem(MemRef {
        base: None,
        offset: at,
        dtype,
        dims: vec![Dim { len, stride }].into(),
        ring: None,
        advance: false,
    })
}

fn reg(n: u8) -> Operand {
    Operand::Reg(DataReg(n))
}

/// C4, first item: the widths of a CS-2 by operation and types.
#[test]
fn widths_of_operations() {
    let n = 40;
    for (o, half, mixed, single) in [
        (Op::Add, 10, 20, 20),
        (Op::Sub, 10, 20, 20),
        (Op::Mul, 10, 40, 40),
        (Op::Max, 40, 40, 40),
        (Op::BitSub, 40, 40, 40),
    ] {
        assert_eq!(slots(o, n, mem(F16, 0, n), &two(F16, F16, n)), half, "{o:?}");
        assert_eq!(slots(o, n, mem(Bf16, 0, n), &two(F16, Bf16, n)), half, "{o:?}");
        assert_eq!(slots(o, n, mem(F32, 0, n), &two(F16, F16, n)), mixed, "{o:?}: the destination counts");
        assert_eq!(slots(o, n, mem(F16, 0, n), &two(F16, F32, n)), mixed, "{o:?}");
        assert_eq!(slots(o, n, mem(F32, 0, n), &two(F32, F32, n)), single, "{o:?}");
    }
    let fmac = |to, a, b| slots(Op::Fmac, n, mem(to, 0, n), &[two(a, b, n).as_slice(), &[reg(0)]].concat());
    assert_eq!((fmac(F16, F16, F16), fmac(F32, F32, F16), fmac(F32, F32, F32)), (10, 20, 40));
    let mov = |to, from| slots(Op::Mov, n, mem(to, 0, n), &[mem(from, 512, n)]);
    assert_eq!((mov(F16, F16), mov(F32, F16), mov(F16, F32), mov(F32, F32)), (10, 40, 40, 20));
    // The last beat has fewer elements.
    assert_eq!(slots(Op::Mov, 41, mem(F16, 0, 41), &[mem(F16, 512, 41)]), 11);
}

/// C4: repeated words and constants do not count; without a vector it is `single`.
#[test]
fn repeated_words_have_no_class() {
    let n = 40;
    assert_eq!(slots(Op::Add, n, mem(F16, 0, n), &[mem(F16, 0, n), word(F32, 512)]), 10);
    assert_eq!(slots(Op::Add, n, mem(F16, 0, n), &[mem(F16, 0, n), Operand::imm(1.0)]), 10);
    assert_eq!(slots(Op::Add, n, mem(F32, 0, n), &[reg(0), word(F16, 512)]), 20);
    assert_eq!(slots(Op::Mov, n, mem(F16, 0, n), &[Operand::imm(0.0)]), 10);
    // Class `half` by the only vector, although the destination is a register: 1 per beat (C4).
    assert_eq!(slots(Op::Add, n, reg(0), &[reg(0), mem(F16, 0, n)]), 40);
    let mut arch = machine();
    arch.pe.width_register.value = 3;
    let reduce = |src: Operand| solo_on(&arch, &[vec(Op::Add, n, reg(0), &[reg(0), src])]) - SETUP;
    assert_eq!((reduce(mem(F16, 0, n)), reduce(mem(F32, 0, n)), reduce(reg(1))), (14, 20, 20));
}

/// C4, fourth item: strides in 16-bit words modulo 8.
#[test]
fn strides_limit_the_width() {
    // f16, width 4: a stride of s elements is s words.
    let half = |s: i32| slots(Op::Mov, 16, mem(F16, 0, 16), &[strided(F16, 8192, 16, s)]);
    let expected = [(0, 4), (1, 4), (2, 4), (3, 4), (4, 8), (5, 4), (6, 4), (7, 8), (8, 16), (9, 8), (16, 16)];
    for (stride, slots) in expected {
        assert_eq!(half(stride), slots, "stride {stride}");
    }
    // −1 is 7 modulo 8, −2 is 6, −4 is 4, −8 is 0.
    assert_eq!((half(-1), half(-2), half(-4), half(-8)), (8, 4, 8, 16));
    // f32, width 2: s elements are 2s words, so only multiples of 4 elements are slower.
    let single = |s: i32| slots(Op::Mov, 16, mem(F32, 0, 16), &[strided(F32, 8192, 16, s)]);
    assert_eq!((single(1), single(2), single(3), single(4), single(8), single(-1)), (8, 8, 8, 16, 16, 8));
    // The destination has strides, too; of several dimensions the last one counts.
    assert_eq!(slots(Op::Mov, 16, strided(F16, 8192, 16, 8), &[mem(F16, 0, 16)]), 16);
    let dims = vec![Dim { len: 4, stride: 8 }, Dim { len: 4, stride: 1 }].into();
    let block = Operand::Mem(MemRef { base: None, offset: 0, dtype: F16, dims, ring: None, advance: false });
    assert_eq!(slots(Op::Mov, 16, mem(F16, 512, 16), &[block]), 4);
}

/// C5: a reduction into a word in memory takes `reduce_cycles` per element, into a register one.
#[test]
fn reductions() {
    let n = 20;
    assert_eq!(slots(Op::Add, n, word(F32, 0), &[word(F32, 0), mem(F32, 64, n)]), 40);
    assert_eq!(slots(Op::Fmac, n, reg(0), &[reg(0), mem(F32, 64, n), Operand::imm(2.0)]), 20);
    let mut arch = machine();
    arch.pe.reduce_cycles.value = 5;
    let reduce = vec(Op::Add, n, word(F16, 0), &[word(F16, 0), mem(F16, 64, n)]);
    assert_eq!(solo_on(&arch, &[reduce]) - SETUP, 100);
}

/// C5: bank conflicts of two vector sources in memory.
#[test]
fn bank_conflicts() {
    let n = 16;
    let add = |a: u32, b: u32| slots(Op::Add, n, mem(F16, 0, n), &[mem(F16, a, n), mem(F16, b, n)]);
    // 4 beats of 8 bytes, each in two banks of four: free of conflicts only 8 bytes apart modulo 16.
    assert_eq!((add(0, 256), add(0, 260), add(0, 264), add(0, 268), add(0, 280)), (8, 8, 4, 8, 4));
    assert_eq!((add(2, 258), add(2, 266), add(2, 264), add(12, 260), add(264, 0)), (8, 4, 8, 4, 4));
    // One and the same operand; the same address with other dimensions is another operand.
    assert_eq!(add(64, 64), 4);
    let other = strided(F16, 64, n, 2);
    assert_eq!(slots(Op::Add, n, mem(F16, 0, n), &[mem(F16, 64, n), other]), 8);
    // Both at strides of two words of 16 bits: each beat takes all four banks twice.
    let strides = [strided(F16, 64, n, 2), strided(F16, 512 + 8, n, 2)];
    assert_eq!(slots(Op::Add, n, mem(F16, 0, n), &strides), 8);
    // Repeated words and the destination do not conflict.
    assert_eq!(slots(Op::Add, n, mem(F16, 0, n), &[mem(F16, 64, n), word(F16, 0)]), 4);
    // A reduction with a conflict takes the larger of the two factors.
    let mut arch = machine();
    arch.pe.bank_conflict.value = 3;
    let fmac = vec(Op::Fmac, n, word(F32, 0), &[mem(F32, 64, n), mem(F32, 512, n), reg(0)]);
    assert_eq!(solo_on(&arch, std::slice::from_ref(&fmac)) - SETUP, 48);
    arch.pe.bank_conflict.value = 1;
    assert_eq!(solo_on(&arch, &[fmac]) - SETUP, 32);
}

/// C5: what follows from the picture for types and widths, as the table of the rule says it.
#[test]
fn bank_conflicts_by_type_and_width() {
    let n = 16;
    let at = |op: Op, dtype: DType| {
        let one = |d: u32| slots(op, n, mem(dtype, 2048, n), &[mem(dtype, 0, n), mem(dtype, 512 + d, n)]);
        [0, 4, 8, 12, 16].map(one)
    };
    assert_eq!(at(Op::Mul, F32), [32, 16, 16, 16, 32], "f32 at 1 per cycle");
    assert_eq!(at(Op::Add, F32), [16, 16, 8, 16, 16], "f32 at 2 per cycle");
    assert_eq!(at(Op::Add, F16), [8, 8, 4, 8, 8], "16-bit at 4 per cycle");
    assert_eq!(at(Op::Max, F16), [32, 16, 16, 16, 32], "16-bit at 1 per cycle");
    let close = |d: u32| slots(Op::Max, n, mem(F16, 2048, n), &[mem(F16, 0, n), mem(F16, 512 + d, n)]);
    assert_eq!([2, 4, 14].map(close), [32, 16, 32], "less than a bank word apart");
    // The WSE-3 at 8 elements of 16 bits per cycle: both take all four ports, whatever the distance.
    let mut wide = machine();
    wide.pe.width_add.value.half = 8;
    for d in [0, 4, 8, 12] {
        let add = vec(Op::Add, n, mem(F16, 2048, n), &[mem(F16, 0, n), mem(F16, 512 + d, n)]);
        assert_eq!(solo_on(&wide, &[add]) - SETUP, 4);
    }
}

/// C5: sources that advance at different rates meet in some beats only.
#[test]
fn sources_of_differing_pitch() {
    let mixed = |n: u32, d: u32| {
        let src = [mem(F32, 0, n), mem(F16, 512 + d, n), reg(0)];
        slots(Op::Fmac, n, mem(F32, 0, n), &src)
    };
    assert_eq!([0, 4, 8, 12].map(|d| mixed(16, d)), [8; 4], "two elements per beat, whatever the distance");
    // One beat only: it meets, or it does not.
    assert_eq!([0, 4, 8, 12].map(|d| mixed(2, d)), [2, 2, 1, 1]);
    // Every fifth f32 advances as every one does, modulo the banks; every second one does not.
    let strides = |by: i32| slots(Op::Mul, 16, mem(F32, 2048, 16), &[mem(F32, 0, 16), strided(F32, 512, 16, by)]);
    assert_eq!((strides(5), strides(2), strides(1)), (32, 16, 32));
}

/// C5: banks and their width are numbers of the machine.
#[test]
fn banks_are_numbers_of_the_machine() {
    let n = 16;
    let on = |banks: u32, width: u32, d: u32| {
        let mut arch = machine();
        (arch.pe.banks.value, arch.pe.bank_width.value) = (banks, width);
        let mul = vec(Op::Mul, n, mem(F32, 2048, n), &[mem(F32, 0, n), mem(F32, 512 + d, n)]);
        solo_on(&arch, &[mul]) - SETUP
    };
    assert_eq!([0, 4, 8, 16].map(|d| on(8, 32, d)), [32, 16, 16, 32]);
    assert_eq!([0, 4, 8, 16].map(|d| on(16, 32, d)), [32, 16, 16, 16], "eight ports");
    assert_eq!([0, 4, 8, 16].map(|d| on(8, 64, d)), [32, 32, 16, 16], "words of eight bytes");
    // Banks of 16 bits: an f32 takes the two that its first half word and the next lie in.
    assert_eq!([0, 4, 8, 16].map(|d| on(8, 16, d)), [32, 16, 32, 32]);
    assert_eq!(on(2, 32, 4), 32, "one port");
}

/// C5: first addresses are those at the start of the setup, registers included.
#[test]
fn bank_conflicts_of_addresses_in_registers() {
    let (n, base) = (16, AddrReg(2));
    let moving = Operand::Mem(MemRef::vec(F16, 256, n).at(base));
    let add = vec(Op::Add, n, mem(F16, 0, n), &[mem(F16, 0, n), moving]);
    let with = |value: i32| solo(&[Instr::Addr(AddrOp::Set(base, value)), add.clone()]) - 1 - SETUP;
    assert_eq!((with(0), with(4), with(8), with(16), with(24), with(-8)), (8, 8, 4, 8, 4, 4));
    // A loop that moves the operand by two bank words: a conflict in every second repetition.
    let body = [add, Instr::Addr(AddrOp::Add(base, 8))];
    assert_eq!(solo(&[repeat(8, &body)]), 8 * (6 + 4 + 1 + 1) + 4 * 4);
}

/// C4, C7: what comes from and goes to the fabric. One PE, wavelets from the west in time.
fn stream(wavelets: u64, sent: u64, len: u32, from: DType, to: Operand) -> u64 {
    let mut b = Build::new(1, 1);
    let copy = vec(Op::Mov, len, to, &[fab(0, from)]);
    // Until 3 + 30 the input queue of 6 + 1 places and the router's of 4 fill.
    b.one(0, 0, &[0], &[1], vec![start(&[vec![nop(); 24], vec![copy]].concat())]);
    b.route_at(0, 0, 0, WEST, &[RAMP]);
    b.edge(0, Flow::In, WEST, 0, wavelets);
    if sent > 0 {
        b.route_at(1, 0, 0, RAMP, &[EAST]);
        b.edge(1, Flow::Out, EAST, 0, sent);
    }
    b.cycles() - DISPATCH - 24 - SETUP
}

#[test]
fn fabric_operands() {
    // f32: one per beat. 16-bit: two per beat, and an odd last one.
    assert_eq!(stream(10, 0, 10, F32, mem(F32, 0, 10)), 10);
    assert_eq!(stream(10, 0, 20, F16, mem(F16, 0, 20)), 10);
    assert_eq!(stream(10, 0, 19, Bf16, mem(Bf16, 0, 19)), 10);
    // With conversion `mov` is one wide: a wavelet every other beat.
    assert_eq!(stream(10, 0, 19, F16, mem(F32, 0, 19)), 19);
    // To the fabric: the last wavelet leaves 3 cycles after its beat, and is gone in the next.
    assert_eq!(stream(10, 10, 10, F32, fab(1, F32)), 10 + 3);
    assert_eq!(stream(10, 10, 19, F16, fab(1, F16)), 10 + 3);
    // Two 16-bit elements to a wavelet: from 11 of f32, 6; the other way, 11 from 6.
    assert_eq!(stream(11, 6, 11, F32, fab(1, F16)), 11 + 3);
    assert_eq!(stream(6, 11, 11, F16, fab(1, F32)), 11 + 3);
}

/// C3, C7: a beat waits only for a wavelet that its first element starts, and for room only if
/// its last element completes one.
#[test]
fn beats_wait_for_what_they_need() {
    let mut b = Build::new(1, 1);
    let copy = vec(Op::Mov, 6, fab(1, F16), &[fab(0, F32)]);
    b.one(0, 0, &[0], &[1], vec![start(&[copy])]);
    b.route_at(0, 0, 0, WEST, &[RAMP]).route_at(1, 0, 0, RAMP, &[EAST]);
    b.edge(0, Flow::In, WEST, 0, 6).interval = 10;
    b.edge(1, Flow::Out, EAST, 0, 3);
    // In the queue in 3, 13, 23, 33, 43, 53; beats in 9, 13, 23, … 53; wavelets after every other.
    assert_eq!(b.moves_of(1, 0, 0), [16, 36, 56]);
    let mut b = Build::new(1, 1);
    let copy = vec(Op::Mov, 5, fab(1, F32), &[fab(0, F16)]);
    b.one(0, 0, &[0], &[1], vec![start(&[copy])]);
    b.route_at(0, 0, 0, WEST, &[RAMP]).route_at(1, 0, 0, RAMP, &[EAST]);
    b.edge(0, Flow::In, WEST, 0, 3).interval = 10;
    b.edge(1, Flow::Out, EAST, 0, 5);
    // Beats in 9, 10 (one wavelet), 13, 14, 23.
    assert_eq!(b.moves_of(1, 0, 0), [12, 13, 16, 17, 26]);
}

/// P2: every element of `fmac` counts.
#[test]
fn macs() {
    let mut b = Build::new(2, 1);
    let fmac = vec(Op::Fmac, 7, mem(F16, 0, 7), &[mem(F16, 0, 7), mem(F16, 20, 7), reg(0)]);
    b.image(sim_core::coord::Region::rect(0, 0, 2, 1), &[], &[], vec![start(&[repeat(3, &[fmac])])]);
    assert_eq!(b.run().unwrap().macs, 2 * 3 * 7);
}
