//! Instructions of a PE and their operands.
//!
//! There is no instruction that stands for an algorithm: code is made of vector instructions
//! over memory and fabric operands, scalar instructions, loops and branches, and task control.
//!
//! **Not here.** Scalar arithmetic (`scalar`), and what an instruction costs (`ArchSpec`, rules C1 to C15
//! of `docs/MODEL.md`).

use super::address::AddrOp;
use super::reg::{AddrReg, DataReg};
use super::scalar::{Cond, Int, ScalarOp};
use super::{Control, DType, TaskId};
use crate::arch::{Pe, Widths};
use crate::coord::Color;
use serde::{Deserialize, Deserializer, Serialize};
use smallvec::{Array, SmallVec, smallvec};

/// One dimension of a memory operand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Dim {
    /// Elements along this dimension; at least 1. 0 of the first dimension of an operand: as many as
    /// the instruction has, whose length is in a register.
    pub len: u32,
    /// Distance between neighbours, in elements; may be zero or negative.
    pub stride: i32,
}

/// Dimensions of a memory operand. Most have one, and programs have many operands: so they take no
/// allocation of their own.
pub type Dims = SmallVec<[Dim; 2]>;

/// Sources of a vector instruction.
pub type Sources = SmallVec<[Operand; 3]>;

/// Reads a short list as a `Vec`, which does not believe a hostile length before there are elements.
fn short<'de, A, D>(from: D) -> Result<SmallVec<A>, D::Error>
where
    A: Array<Item: Deserialize<'de>>,
    D: Deserializer<'de>,
{
    Ok(Vec::deserialize(from)?.into_iter().collect())
}

/// A vector in memory: element `(i0, i1, …)` is at
/// `register + offset + (i0 · stride0 + i1 · stride1 + …) · size`; the last dimension runs
/// fastest. Without dimensions it is one word, repeated for every element.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct MemRef {
    /// Register added to the offset.
    pub base: Option<AddrReg>,
    /// Byte address, or what is added to the register.
    pub offset: i32,
    /// Type of its elements.
    pub dtype: DType,
    /// At most four, outermost first.
    #[serde(deserialize_with = "short")]
    pub dims: Dims,
    /// The circular buffer that all its addresses are wrapped into.
    pub ring: Option<Ring>,
    /// Whether the register moves behind the elements that are walked over (rule C14).
    pub advance: bool,
}

/// A circular buffer: address `a` means `start + (a - start) mod bytes`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Ring {
    /// First byte; a multiple of 8.
    pub start: u32,
    /// Size; a multiple of 8, at least 8.
    pub bytes: u32,
}

impl Ring {
    /// Where an address lies in the buffer.
    #[must_use]
    pub fn wrap(self, address: i64) -> i64 {
        let start = i64::from(self.start);
        start + address.wrapping_sub(start).rem_euclid(i64::from(self.bytes.max(1)))
    }
}

impl MemRef {
    /// `len` adjacent elements at byte address `offset`.
    #[must_use]
    pub fn vec(dtype: DType, offset: u32, len: u32) -> MemRef {
        MemRef {
            base: None,
            offset: offset as i32,
            dtype,
            dims: smallvec![Dim { len, stride: 1 }],
            ring: None,
            advance: false,
        }
    }

    /// One word at byte address `offset`, repeated.
    #[must_use]
    pub fn scalar(dtype: DType, offset: u32) -> MemRef {
        MemRef { base: None, offset: offset as i32, dtype, dims: Dims::new(), ring: None, advance: false }
    }

    /// Makes the operand's address relative to an address register.
    #[must_use]
    pub fn at(mut self, base: AddrReg) -> MemRef {
        self.base = Some(base);
        self
    }

    /// Makes the register move behind the elements.
    #[must_use]
    pub fn advancing(mut self) -> MemRef {
        self.advance = true;
        self
    }

    /// Bytes by which the register of an operand that advances moves in an instruction of `len` elements.
    #[must_use]
    pub fn step(&self, len: u32) -> i32 {
        let stride = self.dims.last().map_or(0, |dim| dim.stride);
        (len as i32).wrapping_mul(stride).wrapping_mul(self.dtype.bytes() as i32)
    }

    /// Elements, or None for a repeated word.
    #[must_use]
    pub fn elements(&self) -> Option<u64> {
        (!self.dims.is_empty()).then(|| self.dims.iter().map(|d| u64::from(d.len)).product())
    }

    /// Whether it is a repeated word.
    #[must_use]
    pub fn is_scalar(&self) -> bool {
        self.dims.is_empty()
    }

    /// Distance of element `index` from the first one, in bytes.
    #[must_use]
    pub fn element_offset(&self, index: u32) -> i64 {
        let mut rest = index;
        let mut elements = 0i64;
        for dim in self.dims.iter().rev() {
            let at = if dim.len == 0 { rest } else { rest % dim.len };
            elements = elements.wrapping_add(i64::from(at).wrapping_mul(i64::from(dim.stride)));
            rest = rest.checked_div(dim.len).unwrap_or(0);
        }
        elements.wrapping_mul(i64::from(self.dtype.bytes()))
    }
}

/// Index of a FIFO in its image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct FifoId(pub u8);

/// Source or destination of a vector instruction.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Operand {
    /// A vector or a repeated word in memory.
    Mem(MemRef),
    /// Wavelets of a color: from its input queue as a source, to its output queue as a
    /// destination.
    Fab(Color, DType),
    /// Elements of a FIFO in memory: taken out as a source, put in as a destination.
    Fifo(FifoId, DType),
    /// A data register: a repeated value as a source, an accumulator as a destination.
    Reg(DataReg),
    /// The bits of a binary32 constant, repeated.
    Imm(u32),
}

impl Operand {
    /// A constant operand with the bits of a binary32 number.
    #[must_use]
    pub fn imm(value: f32) -> Operand {
        Operand::Imm(value.to_bits())
    }

    /// Whether it gives the same value for every element.
    #[must_use]
    pub fn is_scalar(&self) -> bool {
        match self {
            Operand::Mem(m) => m.is_scalar(),
            Operand::Fab(..) | Operand::Fifo(..) => false,
            Operand::Reg(_) | Operand::Imm(_) => true,
        }
    }

    /// Element type of a vector in memory, in a FIFO or on the fabric; None for registers and constants.
    #[must_use]
    pub fn dtype(&self) -> Option<DType> {
        match self {
            Operand::Mem(m) => Some(m.dtype),
            Operand::Fab(_, dtype) | Operand::Fifo(_, dtype) => Some(*dtype),
            Operand::Reg(_) | Operand::Imm(_) => None,
        }
    }
}

/// What a vector instruction does to each element.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Op {
    /// `a`: copies, and converts if the types differ.
    Mov,
    /// `a + b`
    Add,
    /// `a - b`
    Sub,
    /// `a · b`
    Mul,
    /// The larger of `a` and `b`.
    Max,
    /// `a + b · c`, rounded once; `c` is a repeated value.
    Fmac,
    /// `a · 2^n`, with `n` = `b` rounded to the nearest integer (ties to even).
    Scale,
    /// The 32-bit integer difference of the bit patterns of `a` and `b`, as a bit pattern.
    BitSub,
}

impl Op {
    /// All operations, in the order of their declaration.
    pub const ALL: [Op; 8] = [Op::Mov, Op::Add, Op::Sub, Op::Mul, Op::Max, Op::Fmac, Op::Scale, Op::BitSub];

    /// How many sources it takes.
    #[must_use]
    pub const fn sources(self) -> usize {
        match self {
            Op::Mov => 1,
            Op::Add | Op::Sub | Op::Mul | Op::Max | Op::Scale | Op::BitSub => 2,
            Op::Fmac => 3,
        }
    }

    /// Elements per cycle of a PE by the types of the vector operands (rule C4).
    #[must_use]
    pub fn widths(self, pe: &Pe) -> Widths {
        match self {
            Op::Mov => pe.width_mov.value,
            Op::Add | Op::Sub => pe.width_add.value,
            Op::Mul => pe.width_mul.value,
            Op::Max => pe.width_max.value,
            Op::Fmac => pe.width_fmac.value,
            Op::Scale => pe.width_scale.value,
            Op::BitSub => pe.width_bitsub.value,
        }
    }

    /// Name in the text form.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Op::Mov => "mov",
            Op::Add => "add",
            Op::Sub => "sub",
            Op::Mul => "mul",
            Op::Max => "max",
            Op::Fmac => "fmac",
            Op::Scale => "scale",
            Op::BitSub => "bitsub",
        }
    }
}

/// A vector instruction: `dst[i] <- op(src[0][i], …)` for `i` in `0..len`, in that order.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct VecOp {
    /// What is done to each element.
    pub op: Op,
    /// Number of elements; at least 1. 0 where `count` says how many.
    pub len: u32,
    /// The register that holds the number of elements, if it is not fixed (rule C13).
    pub count: Option<AddrReg>,
    /// Whether its descriptors are in their registers.
    pub descriptors: Descriptors,
    /// Where the results go.
    pub dst: Operand,
    /// Sources, as many as the operation takes.
    #[serde(deserialize_with = "short")]
    pub src: Sources,
}

impl VecOp {
    /// A vector instruction of a fixed length, whose descriptors are in their registers.
    #[must_use]
    pub fn new(op: Op, len: u32, dst: Operand, src: impl Into<Sources>) -> VecOp {
        VecOp { op, len, count: None, descriptors: Descriptors::Held, dst, src: src.into() }
    }

    /// Destination and sources.
    pub fn operands(&self) -> impl Iterator<Item = &Operand> {
        std::iter::once(&self.dst).chain(&self.src)
    }
}

/// What has to be done for the descriptors of a vector instruction before it (rule C14).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub enum Descriptors {
    /// Nothing: the descriptors are in their registers.
    #[default]
    Held,
    /// The descriptors are loaded.
    Loaded,
    /// The bases of vectors in memory are set in descriptors that are in their registers.
    Based,
    /// The descriptors are loaded, and the bases of vectors in memory are set.
    LoadedBased,
}

impl Descriptors {
    /// All of them, in the order of their declaration.
    pub const ALL: [Descriptors; 4] =
        [Descriptors::Held, Descriptors::Loaded, Descriptors::Based, Descriptors::LoadedBased];

    /// Name in the text form; empty for those that nothing is done for.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Descriptors::Held => "",
            Descriptors::Loaded => "load",
            Descriptors::Based => "base",
            Descriptors::LoadedBased => "load base",
        }
    }
}

/// Priority class of a microthread; the main thread stands between `Medium` and `Low`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Priority {
    /// Issues before microthreads of medium priority.
    High,
    /// Issues before the main thread.
    Medium,
    /// Issues only where the main thread does not.
    Low,
}

/// What happens when an asynchronous instruction completes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Then {
    /// Activate a local task of the same PE.
    Activate(TaskId),
    /// Unblock a task of the same PE.
    Unblock(TaskId),
}

/// A vector instruction handed to a microthread.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Async {
    /// The microthread, 0 to 7. Issuing waits while it is busy.
    pub thread: u8,
    /// Its priority while this instruction runs.
    pub priority: Priority,
    /// The vector instruction that the microthread executes.
    pub op: VecOp,
    /// What happens in the cycle of its last slot, if anything.
    pub then: Option<Then>,
}

/// A control wavelet that a microthread sends.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct AsyncControl {
    /// The microthread, 0 to 7. Issuing waits while it is busy.
    pub thread: u8,
    /// Its priority until the wavelet is sent.
    pub priority: Priority,
    /// The color.
    pub color: Color,
    /// What is sent.
    pub control: Control,
    /// What happens in the cycle in which it is sent, if anything.
    pub then: Option<Then>,
}

/// An instruction of a task.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Instr {
    /// A vector instruction on the main thread, which waits for its end.
    Vec(VecOp),
    /// A vector instruction on a microthread; the main thread goes on.
    Async(Async),
    /// Wait until a microthread is free.
    Join(u8),
    /// Its body, executed `count` times.
    Loop {
        /// Number of repetitions; at least 1.
        count: u32,
        /// What is repeated; not empty.
        body: Vec<Instr>,
    },
    /// Arithmetic on an address register.
    Addr(AddrOp),
    /// Make a local task of this PE runnable.
    Activate(TaskId),
    /// Hold a task: it does not run until it is unblocked.
    Block(TaskId),
    /// Release a task that was blocked.
    Unblock(TaskId),
    /// Send a control wavelet on a color (rule S2).
    Control(Color, Control),
    /// Have a microthread send a control wavelet; the main thread goes on.
    AsyncControl(AsyncControl),
    /// Open a color in this PE's router that was closed, with its switch at position 0.
    Open(Color),
    /// A scalar instruction.
    Scalar(ScalarOp),
    /// One of two bodies.
    If {
        /// What decides.
        cond: Cond,
        /// What is executed if the condition holds; not empty.
        then: Vec<Instr>,
        /// What is executed if it does not.
        otherwise: Vec<Instr>,
    },
    /// Its body, as long as the condition holds.
    While {
        /// What decides, before every repetition.
        cond: Cond,
        /// What is repeated; not empty.
        body: Vec<Instr>,
    },
    /// Its body, executed as often as a register says where the loop is entered.
    Repeat {
        /// The register; below 1 the body is not executed.
        count: AddrReg,
        /// What is repeated; not empty.
        body: Vec<Instr>,
    },
    /// Set the filter of a color in this PE's router (rule S7).
    Filter {
        /// The color.
        color: Color,
        /// Where the counter stands, modulo `period`.
        start: Int,
        /// Wavelets that pass in each circle.
        pass: Int,
        /// Circle of the counter; below 1 there is no filter.
        period: Int,
    },
    /// Turn the switch of a color in this PE's router (rule S7).
    Turn {
        /// The color.
        color: Color,
        /// The position.
        position: Int,
        /// Whether the color is opened as well.
        open: bool,
    },
    /// End the task.
    Return,
}

impl Instr {
    /// The color and the control wavelet that it sends, if it does.
    #[must_use]
    pub fn control(&self) -> Option<(Color, &Control)> {
        match self {
            Instr::Control(color, control) | Instr::AsyncControl(AsyncControl { color, control, .. }) => {
                Some((*color, control))
            }
            _ => None,
        }
    }

    /// What happens when it completes on a microthread, if anything.
    #[must_use]
    pub fn then(&self) -> Option<Then> {
        match self {
            Instr::Async(Async { then, .. }) | Instr::AsyncControl(AsyncControl { then, .. }) => *then,
            _ => None,
        }
    }

    /// The bodies inside of it, in the order of the code.
    #[must_use]
    pub fn bodies(&self) -> [&[Instr]; 2] {
        match self {
            Instr::Loop { body, .. } | Instr::While { body, .. } | Instr::Repeat { body, .. } => [body, &[]],
            Instr::If { then, otherwise, .. } => [then, otherwise],
            _ => [&[], &[]],
        }
    }
}
