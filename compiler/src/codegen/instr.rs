//! Short names for building instructions, and packing of host numbers into wavelets.

use sim_core::coord::Color;
use sim_core::program::{AddrOp, AddrReg, Async, DType, Dim, Instr, MemRef, Op, Operand, Priority, Sources, VecOp};

/// A vector of adjacent elements.
#[must_use]
pub fn mem(dtype: DType, addr: u32, len: u32) -> Operand {
    Operand::Mem(MemRef::vec(dtype, addr, len))
}

/// A repeated word.
#[must_use]
pub fn word(dtype: DType, addr: u32) -> Operand {
    Operand::Mem(MemRef::scalar(dtype, addr))
}

/// A vector with explicit `(length, stride)` dimensions, outermost first, strides in elements.
#[must_use]
pub fn grid(dtype: DType, addr: u32, dims: &[(u32, i32)]) -> Operand {
    debug_assert!(dims.iter().all(|(len, _)| *len > 0), "a dimension has elements: {dims:?}");
    let dims = dims.iter().map(|&(len, stride)| Dim { len, stride }).collect();
    Operand::Mem(MemRef { base: None, offset: addr as i32, dtype, dims, ring: None, advance: false })
}

/// The operand, relative to an address register.
///
/// # Panics
/// If it is not in memory: a mistake in a kernel.
#[must_use]
pub fn at(reg: AddrReg, operand: Operand) -> Operand {
    match operand {
        Operand::Mem(m) => Operand::Mem(m.at(reg)),
        other => panic!("only memory has an address: {other:?}"),
    }
}

/// Wavelets of a color.
#[must_use]
pub fn fab(color: Color, dtype: DType) -> Operand {
    Operand::Fab(color, dtype)
}

/// A constant.
#[must_use]
pub fn imm(value: f32) -> Operand {
    Operand::imm(value)
}

/// A vector operation.
#[must_use]
pub fn op(op: Op, len: u32, dst: Operand, src: &[Operand]) -> VecOp {
    debug_assert_eq!(src.len(), op.sources(), "sources of {op:?}");
    VecOp::new(op, len, dst, src)
}

/// A vector instruction of the main thread.
#[must_use]
pub fn vec(o: Op, len: u32, dst: Operand, src: &[Operand]) -> Instr {
    Instr::Vec(op(o, len, dst, src))
}

/// A vector instruction on operands that are used again, which are copied.
#[must_use]
pub fn vec_of(op: Op, len: u32, dst: &Operand, src: &[&Operand]) -> Instr {
    debug_assert_eq!(src.len(), op.sources(), "sources of {op:?}");
    Instr::Vec(VecOp::new(op, len, dst.clone(), src.iter().map(|&o| o.clone()).collect::<Sources>()))
}

/// A vector instruction on a microthread of low priority.
#[must_use]
pub fn spawn(thread: u8, op: VecOp) -> Instr {
    Instr::Async(Async { thread, priority: Priority::Low, op, then: None })
}

/// A counted loop; the body alone for one repetition, nothing for none.
#[must_use]
pub fn repeat(count: u32, body: Vec<Instr>) -> Vec<Instr> {
    match count {
        0 => Vec::new(),
        1 => body,
        _ => vec![Instr::Loop { count, body }],
    }
}

/// `reg = value`
#[must_use]
pub fn set(reg: AddrReg, value: i32) -> Instr {
    Instr::Addr(AddrOp::Set(reg, value))
}

/// `reg = reg + value`
#[must_use]
pub fn step(reg: AddrReg, value: i32) -> Instr {
    Instr::Addr(AddrOp::Add(reg, value))
}

/// Color `n`.
///
/// # Panics
/// If there is no such color: a mistake in a kernel.
#[must_use]
pub fn color(n: u8) -> Color {
    Color::new(n).expect("kernels use colors below 24")
}

/// Packs numbers into wavelets as memory and fabric hold them: two 16-bit ones to a wavelet, the
/// earlier in the low half.
#[must_use]
pub fn pack(dtype: DType, values: &[f32]) -> Vec<u32> {
    let per = dtype.per_wavelet() as usize;
    values.chunks(per).map(|c| dtype.encode(c[0]) | c.get(1).map_or(0, |&v| dtype.encode(v) << 16)).collect()
}

/// The first `len` numbers in wavelets; the inverse of [`pack`].
#[must_use]
pub fn unpack(dtype: DType, words: &[u32], len: usize) -> Vec<f32> {
    let per = dtype.per_wavelet() as usize;
    (0..len).map(|i| words.get(i / per).map_or(0.0, |w| dtype.decode(w >> (16 * (i % per))))).collect()
}
