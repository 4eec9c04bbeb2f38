//! Scalar instructions of the main thread on single numbers, conditions of branches, and when a register
//! may be read (rules C11, C12, C15, V4).
//!
//! **Invariant.** Without values nothing is computed on data registers and in memory; programs whose timing
//! would depend on it run with values (rule V1).
//! **Not here.** When the main thread gets the issue slot (`ce`), and what follows a branch (`scalar`).

use super::ce::CeCycle;
use super::lowered::LoweredInstr;
use sim_core::program::reg::Reg;
use sim_core::program::{AddrReg, Address, Cmp, Cond, DType, DataReg, Float, FloatOp, Int, IntOp, ScalarOp, Word};
use std::cmp::Ordering;

/// Place of a register in the table of cycles from which registers may be read.
fn slot(reg: Reg) -> usize {
    match reg {
        Reg::Addr(reg) => usize::from(reg.0) % 16,
        Reg::Data(reg) => 16 + usize::from(reg.0) % 16,
    }
}

/// The type whose elements have the bytes of a word.
fn stored(word: Word) -> DType {
    if word == Word::I32 { DType::F32 } else { DType::F16 }
}

fn integer(op: IntOp, a: i32, b: i32) -> i32 {
    let by = b as u32;
    match op {
        IntOp::Add => a.wrapping_add(b),
        IntOp::Sub => a.wrapping_sub(b),
        IntOp::Mul => a.wrapping_mul(b),
        IntOp::And => a & b,
        IntOp::Or => a | b,
        IntOp::Xor => a ^ b,
        IntOp::Shl => a.wrapping_shl(by),
        IntOp::Shr => (a as u32).wrapping_shr(by) as i32,
        IntOp::Sar => a.wrapping_shr(by),
        IntOp::Min => std::cmp::min(a, b),
        IntOp::Max => std::cmp::max(a, b),
    }
}

fn single(op: FloatOp, [a, b, c]: [f32; 3]) -> f32 {
    match op {
        FloatOp::Mov => a,
        FloatOp::Add => a + b,
        FloatOp::Sub => a - b,
        FloatOp::Mul => a * b,
        FloatOp::Div => a / b,
        FloatOp::Min if a < b => a,
        FloatOp::Max if a > b => a,
        FloatOp::Min | FloatOp::Max => b,
        FloatOp::Fmac => b.mul_add(c, a),
    }
}

/// Whether a comparison holds of two numbers in this order; None: they do not compare.
fn holds(cmp: Cmp, order: Option<Ordering>) -> bool {
    match cmp {
        Cmp::Lt => order == Some(Ordering::Less),
        Cmp::Le => matches!(order, Some(Ordering::Less | Ordering::Equal)),
        Cmp::Gt => order == Some(Ordering::Greater),
        Cmp::Ge => matches!(order, Some(Ordering::Greater | Ordering::Equal)),
        Cmp::Eq => order == Some(Ordering::Equal),
        Cmp::Ne => order != Some(Ordering::Equal),
    }
}

impl CeCycle<'_> {
    /// The first cycle in which all that an instruction reads may be used (rule C11).
    pub(super) fn operands_ready(&self, instr: &LoweredInstr) -> u64 {
        let ready = &self.registers.ready;
        if ready.is_empty() {
            return 0;
        }
        let of = |regs: &[Reg]| regs.iter().map(|&reg| ready[slot(reg)]).max().unwrap_or(0);
        let of_ints = |ints: &[Int]| {
            ints.iter().filter_map(|int| int.reg()).map(|reg| ready[slot(Reg::Addr(reg))]).max().unwrap_or(0)
        };
        match instr {
            LoweredInstr::Scalar(op) => of(&op.reads()),
            LoweredInstr::Addr(op) => of(&op.reads()),
            LoweredInstr::Branch { cond, .. } => of(&cond.reads()),
            LoweredInstr::LoopReg { count, .. } => of(&[Reg::Addr(*count)]),
            LoweredInstr::Filter { numbers, .. } => of_ints(numbers),
            LoweredInstr::Turn { position, .. } => of_ints(&[*position]),
            _ => 0,
        }
    }

    /// Notes that a register that is written now may be read `latency` cycles later.
    pub(super) fn late(&mut self, reg: Reg, latency: u64) {
        if let Some(ready) = self.registers.ready.get_mut(slot(reg)) {
            *ready = self.now + latency;
        }
    }

    pub(super) fn int(&self, source: Int) -> i32 {
        match source {
            Int::Reg(reg) => self.registers.regs[usize::from(reg.0) % 16],
            Int::Const(value) => value,
        }
    }

    fn data(&self, reg: DataReg) -> f32 {
        self.memory.as_ref().map_or(0.0, |memory| memory.regs[usize::from(reg.0) % 16])
    }

    fn float(&self, source: Float) -> f32 {
        match source {
            Float::Reg(reg) => self.data(reg),
            Float::Const(bits) => f32::from_bits(bits),
        }
    }

    fn set_int(&mut self, to: AddrReg, value: i32, latency: u64) {
        self.registers.regs[usize::from(to.0) % 16] = value;
        self.late(Reg::Addr(to), latency);
    }

    fn set_data(&mut self, to: DataReg, value: f32, latency: u64) {
        if let Some(memory) = &mut self.memory {
            memory.regs[usize::from(to.0) % 16] = value;
        }
        self.late(Reg::Data(to), latency);
    }

    /// Whether a branch is not taken.
    pub(super) fn cond(&self, cond: &Cond) -> bool {
        match *cond {
            Cond::Int(cmp, a, b) => holds(cmp, Some(self.int(a).cmp(&self.int(b)))),
            Cond::Float(cmp, a, b) => holds(cmp, self.float(a).partial_cmp(&self.float(b))),
        }
    }

    fn place(&self, at: Address) -> i64 {
        let base = at.base.map_or(0, |reg| self.registers.regs[usize::from(reg.0) % 16]);
        i64::from(base) + i64::from(at.offset)
    }

    /// The bits at an address; zero without values.
    fn load(&mut self, dtype: DType, at: Address) -> u32 {
        let address = self.place(at);
        match self.memory.as_deref().map(|memory| memory.load(dtype, address)) {
            None => 0,
            Some(Ok(bits)) => bits,
            Some(Err(address)) => {
                self.out.memory_fault = Some(address);
                0
            }
        }
    }

    fn store(&mut self, dtype: DType, address: i64, bits: u32) {
        if let Some(Err(address)) = self.memory.as_deref_mut().map(|memory| memory.store(dtype, address, bits)) {
            self.out.memory_fault.get_or_insert(address);
        }
    }

    /// The last slot of a scalar instruction.
    pub(super) fn scalar(&mut self, op: &ScalarOp) {
        let (float, load) = (self.costs.float_latency, self.costs.load_latency);
        match *op {
            ScalarOp::Int(to, op, a, b) => self.set_int(to, integer(op, self.int(a), self.int(b)), 1),
            ScalarOp::Float(to, op, from) => self.set_data(to, single(op, from.map(|f| self.float(f))), float),
            ScalarOp::LoadInt(to, word, at) => {
                let bits = self.load(stored(word), at);
                self.set_int(to, if word == Word::I16 { i32::from(bits as i16) } else { bits as i32 }, load);
            }
            ScalarOp::LoadFloat(to, dtype, at) => {
                let bits = self.load(dtype, at);
                self.set_data(to, dtype.decode(bits), load);
            }
            ScalarOp::StoreInt(word, at, from) => {
                self.store(stored(word), self.place(at), self.int(Int::Reg(from)) as u32);
            }
            ScalarOp::StoreFloat(dtype, at, from) => {
                self.store(dtype, self.place(at), dtype.encode(self.data(from)));
            }
            ScalarOp::ToFloat(to, from) => self.set_data(to, self.int(Int::Reg(from)) as f32, float),
            ScalarOp::OfBits(to, from) => self.set_data(to, f32::from_bits(self.int(Int::Reg(from)) as u32), float),
            ScalarOp::ToInt(to, from) => self.set_int(to, self.data(from) as i32, float),
            ScalarOp::ToBits(to, from) => self.set_int(to, self.data(from).to_bits() as i32, float),
            ScalarOp::Timestamp(at) => {
                let first = self.place(at);
                for (word, address) in (0..3).zip((first..).step_by(2)) {
                    self.store(DType::F16, address, (self.now >> (16 * word)) as u32 & 0xffff);
                }
            }
        }
    }
}
