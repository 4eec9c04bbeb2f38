//! Scalar instructions and branches: when they may issue, and what they do (C11, C12, C15, S7, V4).
//!
//! **Invariant.** A register is read only when its latest result may be used.
//! **Not here.** Who gets the issue slot, and how many an instruction takes (`ce`).

use super::code::TaskStep;
use super::state::{Counter, Element, Router};
use super::values::{self, MemoryFault, Value};
use sim_core::arch::Pe;
use sim_core::coord::Color;
use sim_core::program::reg::Reg;
use sim_core::program::{AddrReg, Address, Cmp, Cond, DType, DataReg, Float, FloatOp, Int, IntOp, Op, ScalarOp, Word};

/// C11: the first cycle in which everything that a step reads may be used.
pub(super) fn operands_ready(element: &Element, step: &TaskStep) -> u64 {
    let ints = |ints: &[Int]| ints.iter().filter_map(|int| int.reg()).map(Reg::Addr).collect();
    let reads: Vec<Reg> = match step {
        TaskStep::Scalar(op) => op.reads().into_iter().collect(),
        TaskStep::Branch { cond, .. } => cond.reads().into_iter().collect(),
        TaskStep::Addr(op) => op.reads().into_iter().collect(),
        TaskStep::EnterBy { reg, .. } => vec![Reg::Addr(*reg)],
        TaskStep::Filter { numbers, .. } => ints(numbers),
        TaskStep::Turn { position, .. } => ints(&[*position]),
        _ => Vec::new(),
    };
    let ready = |reg| match reg {
        Reg::Addr(reg) => element.addr_ready[usize::from(reg.0)],
        Reg::Data(reg) => element.data_ready[usize::from(reg.0)],
    };
    reads.into_iter().map(ready).max().unwrap_or(0)
}

fn int(element: &Element, source: Int) -> i32 {
    match source {
        Int::Reg(reg) => element.addr[usize::from(reg.0)],
        Int::Const(value) => value,
    }
}

fn float(element: &Element, source: Float) -> f32 {
    f32::from_bits(match source {
        Float::Reg(reg) => element.data[usize::from(reg.0)],
        Float::Const(bits) => bits,
    })
}

/// C12, V4: whether a condition holds.
pub(super) fn holds(element: &Element, cond: &Cond) -> bool {
    fn compare<T: PartialOrd>(cmp: Cmp, a: T, b: T) -> bool {
        match cmp {
            Cmp::Lt => a < b,
            Cmp::Le => a <= b,
            Cmp::Gt => a > b,
            Cmp::Ge => a >= b,
            Cmp::Eq => a == b,
            Cmp::Ne => a != b,
        }
    }
    match *cond {
        Cond::Int(cmp, a, b) => compare(cmp, int(element, a), int(element, b)),
        Cond::Float(cmp, a, b) => compare(cmp, float(element, a), float(element, b)),
    }
}

/// V4: an operation on integers.
fn integer(op: IntOp, a: i32, b: i32) -> i32 {
    match op {
        IntOp::Add => a.wrapping_add(b),
        IntOp::Sub => a.wrapping_sub(b),
        IntOp::Mul => a.wrapping_mul(b),
        IntOp::And => a & b,
        IntOp::Or => a | b,
        IntOp::Xor => a ^ b,
        IntOp::Shl => a << (b & 31),
        IntOp::Shr => ((a as u32) >> (b & 31)) as i32,
        IntOp::Sar => a >> (b & 31),
        IntOp::Min => a.min(b),
        IntOp::Max => a.max(b),
    }
}

/// V2, V4: an operation on binary32, as bits.
fn single(op: FloatOp, from: [f32; 3]) -> u32 {
    let sources = from.map(|f| Value::single(f.to_bits()));
    let vector = |op| values::compute(op, &sources, DType::F32);
    let [a, b, _] = from;
    match op {
        FloatOp::Mov => vector(Op::Mov),
        FloatOp::Add => vector(Op::Add),
        FloatOp::Sub => vector(Op::Sub),
        FloatOp::Mul => vector(Op::Mul),
        FloatOp::Max => vector(Op::Max),
        FloatOp::Fmac => vector(Op::Fmac),
        FloatOp::Div => (a / b).to_bits(),
        FloatOp::Min => (if a < b { a } else { b }).to_bits(),
    }
}

/// What executing a scalar instruction needs besides the compute element.
pub(super) struct Alu<'a> {
    pub(super) pe: &'a Pe,
    pub(super) now: u64,
    /// The PE's memory, in a run with values.
    pub(super) memory: Option<&'a mut [u8]>,
}

impl Alu<'_> {
    /// The last slot of a scalar instruction.
    pub(super) fn execute(&mut self, element: &mut Element, op: &ScalarOp) -> Result<(), MemoryFault> {
        let addr = |reg: AddrReg| element.addr[usize::from(reg.0)];
        let data = |reg: DataReg| element.data[usize::from(reg.0)];
        let place = |at: Address| i64::from(at.base.map_or(0, addr)) + i64::from(at.offset);
        let memory = self.memory.as_deref_mut();
        match *op {
            ScalarOp::Int(to, op, a, b) => {
                let value = integer(op, int(element, a), int(element, b));
                self.late_addr(element, to, value, 1);
            }
            ScalarOp::Float(to, op, from) => {
                let value = single(op, from.map(|source| float(element, source)));
                self.late_data(element, to, value, self.pe.float_latency.value);
            }
            ScalarOp::LoadInt(to, word, at) => {
                let bits = memory.map_or(Ok(0), |memory| values::load(memory, place(at), same_size(word)))?;
                let value = match word {
                    Word::U16 | Word::I32 => bits as i32,
                    Word::I16 => i32::from(bits as u16 as i16),
                };
                self.late_addr(element, to, value, self.pe.load_latency.value);
            }
            ScalarOp::LoadFloat(to, dtype, at) => {
                let bits = memory.map_or(Ok(0), |memory| values::load(memory, place(at), dtype))?;
                let value = Value { bits, dtype }.widen();
                self.late_data(element, to, value, self.pe.load_latency.value);
            }
            ScalarOp::StoreInt(word, at, from) => {
                let (at, bits) = (place(at), addr(from) as u32);
                memory.map_or(Ok(()), |memory| values::store(memory, at, same_size(word), bits))?;
            }
            ScalarOp::StoreFloat(dtype, at, from) => {
                let (at, bits) = (place(at), values::round(data(from), dtype));
                memory.map_or(Ok(()), |memory| values::store(memory, at, dtype, bits))?;
            }
            ScalarOp::ToFloat(to, from) => {
                let value = (addr(from) as f32).to_bits();
                self.late_data(element, to, value, self.pe.float_latency.value);
            }
            ScalarOp::OfBits(to, from) => {
                let value = addr(from) as u32;
                self.late_data(element, to, value, self.pe.float_latency.value);
            }
            ScalarOp::ToInt(to, from) => {
                let value = f32::from_bits(data(from)) as i32;
                self.late_addr(element, to, value, self.pe.float_latency.value);
            }
            ScalarOp::ToBits(to, from) => {
                let value = data(from) as i32;
                self.late_addr(element, to, value, self.pe.float_latency.value);
            }
            ScalarOp::Timestamp(at) => {
                let (at, now) = (place(at), self.now);
                let Some(memory) = memory else { return Ok(()) };
                for (i, shift) in [0, 16, 32].into_iter().enumerate() {
                    values::store(memory, at + 2 * i as i64, DType::F16, (now >> shift) as u32 & 0xffff)?;
                }
            }
        }
        Ok(())
    }

    /// C11: a result that may be used `latency` cycles from now.
    fn late_addr(&self, element: &mut Element, to: AddrReg, value: i32, latency: u32) {
        element.addr[usize::from(to.0)] = value;
        element.addr_ready[usize::from(to.0)] = self.now + u64::from(latency);
    }

    fn late_data(&self, element: &mut Element, to: DataReg, bits: u32, latency: u32) {
        element.data[usize::from(to.0)] = bits;
        element.data_ready[usize::from(to.0)] = self.now + u64::from(latency);
    }
}

/// S7: the filter of a color.
pub(super) fn set_filter(element: &Element, router: &mut Router, color: Color, numbers: [Int; 3]) {
    let [start, pass, period] = numbers.map(|number| int(element, number));
    let filter = (period >= 1).then(|| Counter {
        at: start.rem_euclid(period) as u32,
        period: period as u32,
        pass: pass.max(0) as u32,
    });
    router.channels.iter_mut().filter(|c| c.color == color).for_each(|c| c.filter = filter);
}

/// S7: the position of a color's switch.
pub(super) fn turn(element: &Element, router: &mut Router, color: Color, position: Int, open: bool) {
    let position = int(element, position).max(0) as usize;
    for channel in router.channels.iter_mut().filter(|c| c.color == color) {
        channel.position = position.min(channel.positions.len() - 1);
        channel.closed &= !open;
    }
}

/// A type of elements that takes as many bytes.
fn same_size(word: Word) -> DType {
    match word {
        Word::U16 | Word::I16 => DType::F16,
        Word::I32 => DType::F32,
    }
}
