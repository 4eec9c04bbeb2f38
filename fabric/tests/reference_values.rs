//! What the reference engine computes, against plain Rust arithmetic (rules V1 to V3, C3, C7).
#![allow(clippy::unwrap_used, reason = "tests")]

mod common;
use common::*;
use fabric::{HostStreams, WaferMemory};
use half::f16;
use sim_core::program::DType::{self, Bf16, F16, F32};
use sim_core::program::{AddrOp, AddrReg, Buffer, DataReg, Dim, Flow, Instr, MemRef, Op, Operand, Param, Priority};

/// Numbers of many sizes and both signs.
fn number(k: u32) -> f32 {
    let k = k.wrapping_mul(2_654_435_761);
    let exponent = ((k >> 8) % 7) as i32 - 4;
    ((k % 2001) as f32 - 1000.0) * 10f32.powi(exponent) / 7.0
}

fn put(m: &mut WaferMemory, pe: usize, dtype: DType, at: u32, values: &[f32]) {
    dtype.write(&mut m.pes[pe][at as usize..], values);
}

fn get(m: &WaferMemory, pe: usize, dtype: DType, at: u32, len: u32) -> Vec<f32> {
    dtype.read(&m.pes[pe][at as usize..(at + len * dtype.bytes()) as usize])
}

fn rounded(dtype: DType, v: f32) -> f32 {
    dtype.round(v)
}

/// One PE runs `body` on a memory that `fill` prepares.
fn solo_values(body: &[Instr], fill: impl FnOnce(&mut WaferMemory)) -> WaferMemory {
    let mut b = Build::new(1, 1);
    b.one(0, 0, &[], &[], vec![start(body)]);
    let (outcome, memory, _) = b.with_values(&HostStreams::default(), fill);
    outcome.unwrap();
    memory
}

fn reg(n: u8) -> Operand {
    Operand::Reg(DataReg(n))
}

/// V2: every operation on every combination of types: widened, computed in f32, rounded.
#[test]
fn operations_on_all_types() {
    let n = 37;
    let types = [F16, Bf16, F32];
    for (ta, tb, to) in types.iter().flat_map(|a| types.iter().flat_map(move |b| types.map(|to| (*a, *b, to)))) {
        let a: Vec<f32> = (0..n).map(|k| rounded(ta, number(k))).collect();
        let b: Vec<f32> = (0..n).map(|k| rounded(tb, number(1000 + k))).collect();
        let c = 0.37f32;
        type Plain = fn(f32, f32, f32) -> f32;
        let operations: [(Op, Plain); 6] = [
            (Op::Mov, |a, _, _| a),
            (Op::Add, |a, b, _| a + b),
            (Op::Sub, |a, b, _| a - b),
            (Op::Mul, |a, b, _| a * b),
            (Op::Max, |a, b, _| if a > b { a } else { b }),
            (Op::Fmac, |a, b, c| b.mul_add(c, a)),
        ];
        for (o, plain) in operations {
            let sources = [mem(ta, 1024, n), mem(tb, 2048, n), Operand::imm(c)];
            let memory = solo_values(&[vec(o, n, mem(to, 0, n), &sources[..o.sources()])], |m| {
                put(m, 0, ta, 1024, &a);
                put(m, 0, tb, 2048, &b);
            });
            let expected: Vec<f32> = a.iter().zip(&b).map(|(&a, &b)| rounded(to, plain(a, b, c))).collect();
            assert_eq!(get(&memory, 0, to, 0, n), expected, "{o:?} {ta:?} {tb:?} to {to:?}");
        }
    }
}

/// The result of one operation on two constants.
fn constants(o: Op, a: u32, b: u32, to: DType) -> u32 {
    let memory = solo_values(&[vec(o, 1, mem(to, 0, 1), &[Operand::Imm(a), Operand::Imm(b)])], |_| ());
    u32::from_le_bytes(memory.pes[0][..4].try_into().unwrap())
}

/// V2: `scale` rounds the exponent to the nearest integer, ties to even, and the result once.
#[test]
fn scale_multiplies_by_powers_of_two() {
    let scale = |a: f32, n: f32| f32::from_bits(constants(Op::Scale, a.to_bits(), n.to_bits(), F32));
    assert_eq!((scale(3.0, 4.0), scale(3.0, -1.0), scale(-3.0, 0.4)), (48.0, 1.5, -3.0));
    assert_eq!((scale(3.0, 0.5), scale(3.0, 1.5), scale(3.0, 2.5), scale(3.0, -0.5)), (3.0, 12.0, 12.0, 3.0));
    // Further than one multiplication by a binary32 power reaches.
    assert_eq!(scale(f32::from_bits(1), 276.0), 2f32.powi(127));
    assert_eq!(scale(2f32.powi(127), -276.0), f32::from_bits(1));
    assert_eq!((scale(1.0, 1e30), scale(0.0, 1e30), scale(-1.0, -1e30)), (f32::INFINITY, 0.0, -0.0));
    assert!(scale(1.0, f32::NAN).is_nan());
    // Once: a·2^n = 2^−133 · (0.5 + 2^−24): over half of the least bf16, rounds up; rounded to
    // binary32 first it would be a tie, and go to zero.
    let a = f32::from_bits(0x3f80_0001); // 1 + 2^−23
    assert_eq!(constants(Op::Scale, a.to_bits(), (-134f32).to_bits(), Bf16), 1);
    assert_eq!(constants(Op::Scale, 1f32.to_bits(), (-134f32).to_bits(), Bf16), 0);
    assert_eq!(constants(Op::Scale, a.to_bits(), (-25f32).to_bits(), F16), 1);
}

/// `bitsub`: integers; this is the first half of a fast reciprocal square root.
#[test]
fn bitsub_subtracts_bit_patterns() {
    assert_eq!(constants(Op::BitSub, 7, 9, F32), 7u32.wrapping_sub(9));
    assert_eq!(constants(Op::BitSub, 0x5f37_59df, 4f32.to_bits() >> 1, F32), 0x5f37_59df - (4f32.to_bits() >> 1));
}

/// V2: `max` gives `b` unless `a > b`.
#[test]
fn max_of_what_does_not_compare() {
    let max = |a: f32, b: f32| constants(Op::Max, a.to_bits(), b.to_bits(), F32);
    assert_eq!(max(f32::NAN, 1.0), 1f32.to_bits());
    assert!(f32::from_bits(max(1.0, f32::NAN)).is_nan());
    assert_eq!((max(0.0, -0.0), max(-0.0, 0.0)), ((-0f32).to_bits(), 0));
}

/// Overflow and rounding to 16 bits: nearest, ties to even.
#[test]
fn rounding_to_sixteen_bits() {
    let to = |v: f32, dtype| constants(Op::Add, v.to_bits(), 0, dtype) & 0xffff;
    assert_eq!((to(65519.0, F16), to(65520.0, F16)), (0x7bff, 0x7c00));
    assert_eq!((to(2049.0, F16), to(2051.0, F16)), (to(2048.0, F16), to(2052.0, F16)));
    assert_eq!((to(257.0, Bf16), to(259.0, Bf16)), (to(256.0, Bf16), to(260.0, Bf16)));
}

/// `mov` without conversion copies bits, those of numbers that are none included.
#[test]
fn mov_keeps_bits() {
    let body =
        [vec(Op::Mov, 8, mem(F16, 64, 8), &[mem(F16, 0, 8)]), vec(Op::Mov, 4, mem(F32, 96, 4), &[mem(F32, 0, 4)])];
    let bits: Vec<u8> = [0x01, 0x7c, 0xff, 0x7d, 0x00, 0x80, 0x34, 0x12, 1, 0, 0x80, 0x7f, 1, 0, 0xa0, 0xff].into();
    let memory = solo_values(&body, |m| m.pes[0][..16].copy_from_slice(&bits));
    assert_eq!((&memory.pes[0][64..80], &memory.pes[0][96..112]), (&bits[..], &bits[..]));
}

/// C3: elements in order, each read before it is written: a running sum, and a shift that
/// overlaps.
#[test]
fn elements_in_order() {
    let a: Vec<f32> = (1..=10).map(|k| k as f32).collect();
    let sum = vec(Op::Add, 9, mem(F16, 2, 9), &[mem(F16, 2, 9), mem(F16, 0, 9)]);
    let memory = solo_values(&[sum], |m| put(m, 0, F16, 0, &a));
    assert_eq!(get(&memory, 0, F16, 0, 10), [1.0, 3.0, 6.0, 10.0, 15.0, 21.0, 28.0, 36.0, 45.0, 55.0]);
    let shift = vec(Op::Mov, 9, mem(F16, 0, 9), &[mem(F16, 2, 9)]);
    let memory = solo_values(&[shift], |m| put(m, 0, F16, 0, &a));
    assert_eq!(get(&memory, 0, F16, 0, 10), [2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0, 10.0]);
}

/// Registers accumulate in f32, whatever the type of the vector; a word in memory rounds to its
/// type after every element.
#[test]
fn accumulators() {
    let n = 500;
    let a: Vec<f32> = (0..n).map(|k| rounded(F16, 1.0 + number(k).rem_euclid(1.0))).collect();
    let body = [
        vec(Op::Mov, 1, reg(1), &[Operand::imm(0.0)]),
        vec(Op::Add, n, reg(1), &[reg(1), mem(F16, 64, n)]),
        vec(Op::Mov, 1, mem(F32, 4, 1), &[reg(1)]),
        vec(Op::Add, n, word(F16, 0), &[word(F16, 0), mem(F16, 64, n)]),
        vec(Op::Fmac, n, reg(2), &[reg(2), mem(F16, 64, n), reg(1)]),
        vec(Op::Mov, 1, mem(F32, 8, 1), &[reg(2)]),
    ];
    let memory = solo_values(&body, |m| put(m, 0, F16, 64, &a));
    let single = a.iter().fold(0f32, |sum, v| sum + v);
    assert_eq!(get(&memory, 0, F32, 4, 1), [single]);
    let half = a.iter().fold(f16::ZERO, |sum, v| f16::from_f32(sum.to_f32() + v));
    assert_eq!(get(&memory, 0, F16, 0, 1), [half.to_f32()]);
    assert_ne!(half.to_f32(), single);
    assert_eq!(get(&memory, 0, F32, 8, 1), [a.iter().fold(0f32, |sum, v| v.mul_add(single, sum))]);
}

/// Strides, negative and zero, and several dimensions: a transposition of 3 × 5, backwards.
#[test]
fn dimensions() {
    let operand = |offset: i32, dims: &[(u32, i32)]| {
        let dims = dims.iter().map(|&(len, stride)| Dim { len, stride }).collect();
        Operand::Mem(MemRef { base: Some(AddrReg(3)), offset, dtype: F32, dims, ring: None, advance: false })
    };
    let a: Vec<f32> = (0..15).map(|k| k as f32).collect();
    // The source by columns; the destination from its last element down.
    let transpose = vec(Op::Mov, 15, operand(300 + 14 * 4, &[(15, -1)]), &[operand(0, &[(5, 1), (3, 5)])]);
    // Row sums by a stride of zero in the destination's second dimension.
    let sums =
        vec(Op::Add, 15, operand(500, &[(3, 1), (5, 0)]), &[operand(500, &[(3, 1), (5, 0)]), operand(0, &[(15, 1)])]);
    let base = Instr::Addr(AddrOp::Set(AddrReg(3), 64));
    let memory = solo_values(&[base, transpose, sums], |m| put(m, 0, F32, 64, &a));
    let expected: Vec<f32> = (0..15).rev().map(|k| (k % 3 * 5 + k / 3) as f32).collect();
    assert_eq!(get(&memory, 0, F32, 364, 15), expected);
    assert_eq!(get(&memory, 0, F32, 564, 3), [10.0, 35.0, 60.0]);
}

/// Address arithmetic, seen through where words are put.
#[test]
fn address_arithmetic() {
    use AddrOp::{Add, AddReg, Clamp, Copy, Load, Set, Wrap};
    let (a, b) = (AddrReg(0), AddrReg(1));
    let result = |ops: &[AddrOp]| {
        let mut body: Vec<Instr> = ops.iter().cloned().map(Instr::Addr).collect();
        let one = Operand::Mem(MemRef::scalar(F32, 0).at(a));
        body.push(vec(Op::Mov, 1, one, &[Operand::imm(1.0)]));
        let memory = solo_values(&body, |m| m.pes[0][202..204].copy_from_slice(&[0x34, 0x12]));
        memory.pes[0].iter().position(|&byte| byte == 0x80).unwrap() - 2
    };
    assert_eq!(result(&[Set(a, 100), Add(a, -60)]), 40);
    assert_eq!(result(&[Set(b, 100), Copy(a, b), AddReg(a, b)]), 200);
    assert_eq!((result(&[Set(a, 7), Clamp(a, 16, 64)]), result(&[Set(a, 99), Clamp(a, 16, 64)])), (16, 64));
    let wrap = |start| result(&[Set(a, start), Wrap { reg: a, end: 64, size: 32 }]);
    assert_eq!((wrap(60), wrap(64), wrap(100)), (60, 32, 68));
    assert_eq!(result(&[Set(b, 200), Load { reg: a, base: Some(b), offset: 2 }]), 0x1234);
}

/// C7: pairs in a wavelet, the earlier one in the low half, an odd last one alone; f32 bits as
/// they are. From the host through a PE to the host.
#[test]
fn wavelets_of_sixteen_bit_elements() {
    let mut b = Build::new(1, 1);
    let double = vec(Op::Add, 5, fab(1, F16), &[fab(0, F16), mem(F16, 0, 5)]);
    b.one(0, 0, &[0], &[1], vec![start(&[double])]);
    b.route_at(0, 0, 0, WEST, &[RAMP]).route_at(1, 0, 0, RAMP, &[EAST]);
    b.edge(0, Flow::In, WEST, 0, 3);
    b.edge(1, Flow::Out, EAST, 0, 3);
    let pair =
        |low: f32, high: f32| u32::from(f16::from_f32(low).to_bits()) | u32::from(f16::from_f32(high).to_bits()) << 16;
    let mut inputs = HostStreams::default();
    inputs.ports.insert(("in0".into(), 0), vec![pair(1.0, 2.0), pair(3.0, 4.0), pair(5.0, 99.0)]);
    let (outcome, _, outputs) = b.with_values(&inputs, |m| put(m, 0, F16, 0, &[10.0, 20.0, 30.0, 40.0, 50.0]));
    outcome.unwrap();
    let expected = [pair(11.0, 22.0), pair(33.0, 44.0), pair(55.0, 0.0)];
    assert_eq!(outputs.ports[&("out1".to_owned(), 0)], expected);
}

/// C7: a conversion on the way: f32 wavelets in, f16 pairs out, and back; an odd number.
#[test]
fn wavelets_change_their_type() {
    let n = 7;
    for (from, to) in [(F32, F16), (Bf16, F32), (F16, Bf16), (F32, F32)] {
        let mut b = Build::new(2, 1);
        b.one(0, 0, &[], &[0], vec![start(&[vec(Op::Mov, n, fab(0, to), &[mem(from, 0, n)])])]);
        b.one(1, 0, &[0], &[], vec![start(&[vec(Op::Mov, n, mem(from, 64, n), &[fab(0, to)])])]);
        b.route_at(0, 0, 0, RAMP, &[EAST]).route_at(0, 1, 0, WEST, &[RAMP]);
        let a: Vec<f32> = (0..n).map(|k| rounded(from, number(k))).collect();
        let (outcome, memory, _) = b.with_values(&HostStreams::default(), |m| put(m, 0, from, 0, &a));
        outcome.unwrap();
        let expected: Vec<f32> = a.iter().map(|v| rounded(from, rounded(to, *v))).collect();
        assert_eq!(get(&memory, 1, from, 64, n), expected, "{from:?} through {to:?}");
    }
}

/// A reduction along a chain of 4 PEs, in the order of the chain.
#[test]
fn chain_reduce() {
    let (pes, n) = (4u32, 13);
    let mut b = Build::new(pes, 1);
    let own = mem(F32, 0, n);
    for x in 0..pes {
        let (from, to) = (((x + 1) % 2) as u8, (x % 2) as u8);
        let (op, dst) = (if x == 0 { Op::Mov } else { Op::Add }, if x + 1 < pes { fab(to, F32) } else { own.clone() });
        let sources = [vec![own.clone()], if x == 0 { vec![] } else { vec![fab(from, F32)] }].concat();
        b.one(x, 0, &[from], &[to], vec![start(&[vec(op, n, dst, &sources)])]);
        if x + 1 < pes {
            b.route_at(to, x, 0, RAMP, &[EAST]).route_at(to, x + 1, 0, WEST, &[RAMP]);
        }
    }
    let part = |x: u32, k: u32| number(100 * x + k);
    let (outcome, memory, _) = b.with_values(&HostStreams::default(), |m| {
        for x in 0..pes {
            put(m, x as usize, F32, 0, &(0..n).map(|k| part(x, k)).collect::<Vec<_>>());
        }
    });
    outcome.unwrap();
    let sum = |k| (1..pes).fold(part(0, k), |sum, x| part(x, k) + sum);
    assert_eq!(get(&memory, 3, F32, 0, n), (0..n).map(sum).collect::<Vec<_>>());
}

/// C9: the wavelet of a data task is in its register; a wavelet that the host does not give is
/// zero.
#[test]
fn data_tasks_get_their_wavelet() {
    let mut b = Build::new(1, 1);
    let next = Instr::Addr(AddrOp::Add(AddrReg(0), 4));
    let put = vec(Op::Mov, 1, Operand::Mem(MemRef::vec(F32, 0, 1).at(AddrReg(0))), &[reg(5)]);
    b.one(0, 0, &[0], &[], vec![on(0, 5, &[put, next])]);
    b.route_at(0, 0, 0, WEST, &[RAMP]);
    b.edge(0, Flow::In, WEST, 0, 3);
    let mut inputs = HostStreams::default();
    inputs.ports.insert(("in0".into(), 0), [2.5f32, -7.0].map(f32::to_bits).to_vec());
    let fill = |m: &mut WaferMemory| m.pes[0][..12].fill(0xff);
    let (outcome, memory, _) = b.with_values(&inputs, fill);
    outcome.unwrap();
    assert_eq!(get(&memory, 0, F32, 0, 3), [2.5, -7.0, 0.0]);
}

/// Host input of f32 wavelets of color 0.
fn words(values: &[f32]) -> HostStreams {
    let mut inputs = HostStreams::default();
    inputs.ports.insert(("in0".into(), 0), values.iter().map(|v| v.to_bits()).collect());
    inputs
}

/// C9 and C3 in one cycle: the data task takes the head, the beat of a microthread what follows.
/// Wavelets are in the queue from 3, 4, … on. The microthread is issued in 3 and ready in 10; the
/// data task (without instructions) is selected in 4, 7 and 10.
#[test]
fn a_data_task_and_a_microthread_share_a_queue() {
    let mut b = Build::new(1, 1);
    let take = op(Op::Mov, 3, mem(F32, 0, 3), &[fab(0, F32)]);
    b.one(0, 0, &[0], &[], vec![on(0, 5, &[]), start(&[micro(0, Priority::Low, take)])]);
    b.route_at(0, 0, 0, WEST, &[RAMP]);
    b.edge(0, Flow::In, WEST, 0, 6);
    let (outcome, memory, _) = b.with_values(&words(&[0.0, 1.0, 2.0, 3.0, 4.0, 5.0]), |_| ());
    assert_eq!((outcome.unwrap().cycles.0, get(&memory, 0, F32, 0, 3)), (13, vec![3.0, 4.0, 5.0]));
}

/// Start values of buffers, on every PE of the image; the rest keeps what it held (V3). Start
/// values of registers by position.
#[test]
fn start_values() {
    let mut b = Build::new(3, 2);
    let region = sim_core::coord::Region::rect(1, 0, 2, 2);
    let store = Operand::Mem(MemRef::scalar(F32, 0).at(AddrReg(1)));
    let image = b.image(region, &[], &[], vec![start(&[vec(Op::Mov, 1, store, &[Operand::imm(9.0)])])]);
    let init = [1.0f32, 1.0 / 3.0].map(f32::to_bits).to_vec();
    image.buffers.push(Buffer { name: "b".into(), addr: 32, dtype: Bf16, word: None, len: 3, init });
    b.program.placements[0].params = vec![Param { reg: AddrReg(1), base: 64, dx: 4, dy: 16, mod_x: 2, mod_y: 2 }];
    let (outcome, memory, _) = b.with_values(&HostStreams::default(), |m| {
        for pe in 0..6 {
            put(m, pe, Bf16, 32, &[5.0; 4]);
        }
    });
    outcome.unwrap();
    let third = rounded(Bf16, 1.0 / 3.0);
    for (x, y) in [(1, 0), (2, 1)] {
        let pe = y * 3 + x;
        assert_eq!(get(&memory, pe, Bf16, 32, 4), [1.0, third, 5.0, 5.0]);
        assert_eq!(get(&memory, pe, F32, 64 + 4 * (x as u32 - 1) + 16 * y as u32, 1), [9.0]);
    }
    assert_eq!(get(&memory, 0, Bf16, 32, 4), [5.0; 4]);
}
