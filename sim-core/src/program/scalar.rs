//! Scalar instructions: arithmetic on single numbers, loads and stores, and the conditions of branches.
//!
//! Integers are in address registers, numbers of binary32 in data registers. An index that is loaded
//! and made an address: `a1 = load i16 a2+64`, `a1 = mul a1 4`, `a1 = add a1 a3`.
//!
//! **Invariant.** Every instruction names its registers in [`ScalarOp::reads`] and [`ScalarOp::writes`].
//! **Not here.** What they cost (rules C11 to C15 of `docs/MODEL.md`), and what they compute: each engine
//! has its own arithmetic (rule V4).

use super::DType;
use super::reg::{AddrReg, DataReg, Reads, Reg};
use serde::{Deserialize, Serialize};
use smallvec::smallvec;

/// An integer that an instruction reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Int {
    /// What a register holds.
    Reg(AddrReg),
    /// A constant.
    Const(i32),
}

impl Int {
    /// The register, if it is one.
    #[must_use]
    pub fn reg(self) -> Option<AddrReg> {
        match self {
            Int::Reg(reg) => Some(reg),
            Int::Const(_) => None,
        }
    }
}

/// A number of binary32 that an instruction reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Float {
    /// What a register holds.
    Reg(DataReg),
    /// The bits of a constant.
    Const(u32),
}

impl Float {
    /// The register, if it is one.
    #[must_use]
    pub fn reg(self) -> Option<DataReg> {
        match self {
            Float::Reg(reg) => Some(reg),
            Float::Const(_) => None,
        }
    }
}

/// An address: the register, if there is one, and the offset in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Address {
    /// Register added to the offset.
    pub base: Option<AddrReg>,
    /// Byte address, or what is added to `base`.
    pub offset: i32,
}

/// How an integer is held in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Word {
    /// 16 bits without a sign.
    U16,
    /// 16 bits with a sign.
    I16,
    /// 32 bits.
    I32,
}

impl Word {
    /// All of them, in the order of their declaration.
    pub const ALL: [Word; 3] = [Word::U16, Word::I16, Word::I32];

    /// Name in the text form.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Word::U16 => "u16",
            Word::I16 => "i16",
            Word::I32 => "i32",
        }
    }

    /// Size in bytes.
    #[must_use]
    pub const fn bytes(self) -> u32 {
        match self {
            Word::U16 | Word::I16 => 2,
            Word::I32 => 4,
        }
    }

    /// The integer that bits in memory are.
    #[must_use]
    pub const fn number(self, bits: u32) -> i64 {
        match self {
            Word::U16 => bits as u16 as i64,
            Word::I16 => bits as u16 as i16 as i64,
            Word::I32 => bits as i32 as i64,
        }
    }

    /// The bits that hold an integer; None if it does not fit.
    #[must_use]
    pub fn bits(self, number: i64) -> Option<u32> {
        let mask = if self.bytes() == 2 { 0xffff } else { u32::MAX };
        let bits = number as u32 & mask;
        (self.number(bits) == number).then_some(bits)
    }

    /// The type of numbers with as many bytes.
    #[must_use]
    pub const fn as_wide(self) -> DType {
        match self {
            Word::U16 | Word::I16 => DType::F16,
            Word::I32 => DType::F32,
        }
    }
}

/// An operation on two integers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum IntOp {
    /// Sum of both.
    Add,
    /// The first less the second one.
    Sub,
    /// Product of both.
    Mul,
    /// Bits that both have.
    And,
    /// Bits that one of them has.
    Or,
    /// Bits that exactly one of them has.
    Xor,
    /// Bits moved up by the second one.
    Shl,
    /// Bits moved down by the second one, zeros behind them.
    Shr,
    /// Bits moved down by the second one, the sign behind them.
    Sar,
    /// The smaller one.
    Min,
    /// The larger one.
    Max,
}

impl IntOp {
    /// All operations, in the order of their declaration.
    pub const ALL: [IntOp; 11] = [
        IntOp::Add,
        IntOp::Sub,
        IntOp::Mul,
        IntOp::And,
        IntOp::Or,
        IntOp::Xor,
        IntOp::Shl,
        IntOp::Shr,
        IntOp::Sar,
        IntOp::Min,
        IntOp::Max,
    ];

    /// Name in the text form.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            IntOp::Add => "add",
            IntOp::Sub => "sub",
            IntOp::Mul => "mul",
            IntOp::And => "and",
            IntOp::Or => "or",
            IntOp::Xor => "xor",
            IntOp::Shl => "shl",
            IntOp::Shr => "shr",
            IntOp::Sar => "sar",
            IntOp::Min => "min",
            IntOp::Max => "max",
        }
    }
}

/// An operation on numbers of binary32.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum FloatOp {
    /// `a` as it is.
    Mov,
    /// `a + b`
    Add,
    /// `a - b`
    Sub,
    /// `a · b`
    Mul,
    /// `a / b`
    Div,
    /// `a` if `a < b`, else `b`.
    Min,
    /// `a` if `a > b`, else `b`.
    Max,
    /// `a + b · c`, rounded once.
    Fmac,
}

impl FloatOp {
    /// All operations, in the order of their declaration.
    pub const ALL: [FloatOp; 8] = [
        FloatOp::Mov,
        FloatOp::Add,
        FloatOp::Sub,
        FloatOp::Mul,
        FloatOp::Div,
        FloatOp::Min,
        FloatOp::Max,
        FloatOp::Fmac,
    ];

    /// How many sources it takes.
    #[must_use]
    pub const fn sources(self) -> usize {
        match self {
            FloatOp::Mov => 1,
            FloatOp::Add | FloatOp::Sub | FloatOp::Mul | FloatOp::Div | FloatOp::Min | FloatOp::Max => 2,
            FloatOp::Fmac => 3,
        }
    }

    /// Name in the text form.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            FloatOp::Mov => "mov",
            FloatOp::Add => "add",
            FloatOp::Sub => "sub",
            FloatOp::Mul => "mul",
            FloatOp::Div => "div",
            FloatOp::Min => "min",
            FloatOp::Max => "max",
            FloatOp::Fmac => "fmac",
        }
    }
}

/// A scalar instruction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum ScalarOp {
    /// `to` = an operation on two integers.
    Int(AddrReg, IntOp, Int, Int),
    /// `to` = an operation on as many of the numbers as it takes; the others are `Const(0)`.
    Float(DataReg, FloatOp, [Float; 3]),
    /// `to` = an integer in memory.
    LoadInt(AddrReg, Word, Address),
    /// An integer in memory = its low bits.
    StoreInt(Word, Address, AddrReg),
    /// `to` = a number in memory.
    LoadFloat(DataReg, DType, Address),
    /// A number in memory, rounded.
    StoreFloat(DType, Address, DataReg),
    /// `to` = the nearest number to an integer.
    ToFloat(DataReg, AddrReg),
    /// `to` = a number without its fraction.
    ToInt(AddrReg, DataReg),
    /// `to` = the bits of a number.
    ToBits(AddrReg, DataReg),
    /// `to` = the number of these bits.
    OfBits(DataReg, AddrReg),
    /// The number of the cycle to memory, as three words of 16 bits.
    Timestamp(Address),
}

/// Bytes that a time stamp takes.
pub const TIMESTAMP_BYTES: u32 = 6;

impl ScalarOp {
    /// The address that it loads from or stores to, and how many bytes.
    #[must_use]
    pub fn address(&self) -> Option<(Address, u32)> {
        match *self {
            ScalarOp::LoadInt(_, word, at) | ScalarOp::StoreInt(word, at, _) => Some((at, word.bytes())),
            ScalarOp::LoadFloat(_, dtype, at) | ScalarOp::StoreFloat(dtype, at, _) => Some((at, dtype.bytes())),
            ScalarOp::Timestamp(at) => Some((at, TIMESTAMP_BYTES)),
            ScalarOp::Int(..) | ScalarOp::Float(..) => None,
            ScalarOp::ToFloat(..) | ScalarOp::ToInt(..) | ScalarOp::ToBits(..) | ScalarOp::OfBits(..) => None,
        }
    }

    /// The register that it writes.
    #[must_use]
    pub fn writes(&self) -> Option<Reg> {
        match *self {
            ScalarOp::Int(to, ..) | ScalarOp::LoadInt(to, ..) | ScalarOp::ToInt(to, _) | ScalarOp::ToBits(to, _) => {
                Some(Reg::Addr(to))
            }
            ScalarOp::Float(to, ..)
            | ScalarOp::LoadFloat(to, ..)
            | ScalarOp::ToFloat(to, _)
            | ScalarOp::OfBits(to, _) => Some(Reg::Data(to)),
            ScalarOp::StoreInt(..) | ScalarOp::StoreFloat(..) | ScalarOp::Timestamp(_) => None,
        }
    }

    /// The registers that it reads.
    #[must_use]
    pub fn reads(&self) -> Reads {
        let mut reads: Reads = match *self {
            ScalarOp::Int(_, _, a, b) => [a, b].into_iter().filter_map(Int::reg).map(Reg::Addr).collect(),
            ScalarOp::Float(_, _, from) => from.into_iter().filter_map(Float::reg).map(Reg::Data).collect(),
            ScalarOp::StoreInt(_, _, from) | ScalarOp::ToFloat(_, from) | ScalarOp::OfBits(_, from) => {
                smallvec![Reg::Addr(from)]
            }
            ScalarOp::StoreFloat(_, _, from) | ScalarOp::ToInt(_, from) | ScalarOp::ToBits(_, from) => {
                smallvec![Reg::Data(from)]
            }
            ScalarOp::LoadInt(..) | ScalarOp::LoadFloat(..) | ScalarOp::Timestamp(_) => Reads::new(),
        };
        reads.extend(self.address().and_then(|(at, _)| at.base).map(Reg::Addr));
        reads
    }
}

/// How two numbers are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Cmp {
    /// The first one is less.
    Lt,
    /// The first one is less or equal.
    Le,
    /// The first one is greater.
    Gt,
    /// The first one is greater or equal.
    Ge,
    /// The first one is equal.
    Eq,
    /// The first one is not equal.
    Ne,
}

impl Cmp {
    /// All of them, in the order of their declaration.
    pub const ALL: [Cmp; 6] = [Cmp::Lt, Cmp::Le, Cmp::Gt, Cmp::Ge, Cmp::Eq, Cmp::Ne];

    /// Name in the text form.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Cmp::Lt => "lt",
            Cmp::Le => "le",
            Cmp::Gt => "gt",
            Cmp::Ge => "ge",
            Cmp::Eq => "eq",
            Cmp::Ne => "ne",
        }
    }
}

/// What a branch asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Cond {
    /// Of two integers.
    Int(Cmp, Int, Int),
    /// Of two numbers of binary32.
    Float(Cmp, Float, Float),
}

impl Cond {
    /// The registers that it reads.
    #[must_use]
    pub fn reads(&self) -> Reads {
        match *self {
            Cond::Int(_, a, b) => [a, b].into_iter().filter_map(Int::reg).map(Reg::Addr).collect(),
            Cond::Float(_, a, b) => [a, b].into_iter().filter_map(Float::reg).map(Reg::Data).collect(),
        }
    }
}
