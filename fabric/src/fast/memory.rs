//! Values in the fast engine: the memory and the data registers of a PE, and arithmetic on them (rules
//! V1 to V3).
//!
//! **Invariant.** An access outside the memory changes nothing and gives its first byte as an error.
//! **Not here.** Timing, which never depends on values.

use sim_core::coord::Color;
use sim_core::program::{DType, FifoId, MemRef, Op, Operand, VecOp};

/// Memory and data registers of one PE.
#[derive(Debug, Clone, Default)]
pub(crate) struct Memory {
    pub(crate) bytes: Vec<u8>,
    pub(crate) regs: [f32; 16],
    /// Per thread: what a vector instruction holds between two beats of one wavelet.
    pub(crate) held: [Held; 9],
    /// Per thread: first addresses of destination and sources of its vector instruction.
    pub(crate) addr: [[i32; 4]; 9],
}

/// Wavelets of which a thread has used or made a half: the sources', and the destination's.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Held {
    source: [u32; 3],
    half: u16,
}

/// An operation on up to three numbers in binary32 (rule V2).
fn apply(op: Op, s: [f32; 3]) -> f32 {
    match op {
        Op::Mov => s[0],
        Op::Add => s[0] + s[1],
        Op::Sub => s[0] - s[1],
        Op::Mul => s[0] * s[1],
        Op::Max => {
            if s[0] > s[1] {
                s[0]
            } else {
                s[1]
            }
        }
        Op::Fmac => s[1].mul_add(s[2], s[0]),
        Op::Scale => unreachable!("rounds only once: see `scale`"),
        Op::BitSub => f32::from_bits(s[0].to_bits().wrapping_sub(s[1].to_bits())),
    }
}

/// `a · 2^round(b)`, rounded once.
fn scale(dtype: DType, a: f32, b: f32) -> u32 {
    if b.is_nan() {
        return dtype.encode(f32::NAN);
    }
    let exact = f64::from(a) * f64::from(b.round_ties_even()).clamp(-1000.0, 1000.0).exp2();
    match dtype {
        DType::F16 => u32::from(half::f16::from_f64(exact).to_bits()),
        DType::Bf16 => u32::from(half::bf16::from_f64(exact).to_bits()),
        DType::F32 => (exact as f32).to_bits(),
    }
}

/// Address of element `e` of a vector whose first one is at `first`.
fn at(m: &MemRef, first: i32, e: u32) -> i64 {
    let address = i64::from(first) + m.element_offset(e);
    m.ring.map_or(address, |ring| ring.wrap(address))
}

impl Memory {
    pub(crate) fn load(&self, dtype: DType, address: i64) -> Result<u32, i64> {
        let size = i64::from(dtype.bytes());
        if address < 0 || address + size > self.bytes.len() as i64 {
            return Err(address);
        }
        let bytes = &self.bytes[address as usize..(address + size) as usize];
        Ok(bytes.iter().rev().fold(0, |bits, &b| bits << 8 | u32::from(b)))
    }

    /// Writes the bits of an element.
    pub(crate) fn store(&mut self, dtype: DType, address: i64, bits: u32) -> Result<(), i64> {
        let size = i64::from(dtype.bytes());
        if address < 0 || address + size > self.bytes.len() as i64 {
            return Err(address);
        }
        let bytes = bits.to_le_bytes();
        self.bytes[address as usize..(address + size) as usize].copy_from_slice(&bytes[..size as usize]);
        Ok(())
    }

    /// The unsigned 16-bit word at an address, if it is in the memory.
    pub(crate) fn half_word(&self, address: i32) -> Option<u16> {
        let at = usize::try_from(address).ok()?;
        Some(u16::from_le_bytes([*self.bytes.get(at)?, *self.bytes.get(at + 1)?]))
    }

    /// Computes elements `done..done + n` for a thread, with the wavelets at the heads of the input
    /// queues and FIFOs in memory at `place`. Gives the wavelet that they complete (or the half of it that is there so far).
    ///
    /// # Errors
    /// The first byte of an access outside the memory.
    pub(crate) fn beat(
        &mut self,
        op: &VecOp,
        thread: usize,
        elements: std::ops::Range<u32>,
        head: &dyn Fn(Color) -> u32,
        place: &dyn Fn(FifoId, bool, u32, DType) -> i64,
    ) -> Result<u32, i64> {
        for (k, operand) in op.src.iter().enumerate() {
            if let Operand::Fab(color, dtype) = operand
                && elements.start.is_multiple_of(dtype.per_wavelet())
            {
                self.held[thread].source[k] = head(*color);
            }
        }
        let mut word = 0;
        let addr = self.addr[thread];
        let first = elements.start;
        for e in elements {
            let bits = self.element(op, thread, &addr, e, &|id, dtype| place(id, true, e - first, dtype))?;
            match &op.dst {
                Operand::Mem(m) => self.store(m.dtype, at(m, addr[0], e), bits)?,
                Operand::Fifo(id, dtype) => self.store(*dtype, place(*id, false, e - first, *dtype), bits)?,
                Operand::Reg(r) => self.regs[usize::from(r.0) % 16] = f32::from_bits(bits),
                Operand::Fab(_, DType::F32) => word = bits,
                Operand::Fab(..) if e % 2 == 0 => {
                    self.held[thread].half = bits as u16;
                    word = bits;
                }
                Operand::Fab(..) => word = u32::from(self.held[thread].half) | bits << 16,
                Operand::Imm(_) => {}
            }
        }
        Ok(word)
    }

    /// Element `e`, as bits of the destination's type.
    fn element(
        &self,
        op: &VecOp,
        thread: usize,
        addr: &[i32; 4],
        e: u32,
        place: &dyn Fn(FifoId, DType) -> i64,
    ) -> Result<u32, i64> {
        let to = op.dst.dtype().unwrap_or(DType::F32);
        let mut s = [(0, DType::F32); 3];
        for (k, operand) in op.src.iter().enumerate() {
            s[k] = match operand {
                Operand::Mem(m) => (self.load(m.dtype, at(m, addr[k + 1], e))?, m.dtype),
                Operand::Fifo(id, dtype) => (self.load(*dtype, place(*id, *dtype))?, *dtype),
                Operand::Fab(_, dtype) => {
                    let word = self.held[thread].source[k] >> (16 * (e % dtype.per_wavelet()));
                    (if *dtype == DType::F32 { word } else { word & 0xffff }, *dtype)
                }
                Operand::Reg(r) => (self.regs[usize::from(r.0) % 16].to_bits(), DType::F32),
                Operand::Imm(bits) => (*bits, DType::F32),
            };
        }
        if op.op == Op::Mov && s[0].1 == to {
            return Ok(s[0].0);
        }
        let [a, b, c] = s.map(|(bits, dtype)| dtype.decode(bits));
        Ok(if op.op == Op::Scale { scale(to, a, b) } else { to.encode(apply(op.op, [a, b, c])) })
    }
}
