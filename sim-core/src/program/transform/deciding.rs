//! Address registers that can decide how long a run takes (rule V1), how much of them does, and whether
//! one of them holds what came from memory.
//!
//! A register decides whole if a branch, a loop, the length of a vector instruction, a filter or a switch
//! takes its number, or if one that does is computed from it. Addresses cost no time, with one exception: a
//! vector instruction whose two sources need the same banks at a time takes longer (C5). So otherwise the value of
//! an address register matters only if it is the base of such a source, or if such a base is computed from it.
//!
//! Whether two vector sources conflict depends on the distance of their first addresses modulo the
//! period of the banks (16 bytes on the CS-2), unless they are one and the same. Where both are relative
//! to one register, nothing depends on its value. Where they are not, the values modulo the period
//! decide, and whole values if the operands can be one and the same, if the register is compared with a
//! bound, or if one of them lies in a circular buffer. Example: in `add a0+0 <- a1+0, a2+8` the values of
//! `a1` and `a2` modulo 16 decide; in `add a0+0 <- a1+0, a1+8` no register does.
//!
//! **Invariant.** Both sets are closed: what a register in them is computed from is in them, and
//! modulo the period every operation on a register of the second set has a result that depends on
//! nothing else.
//! **Not here.** When the conflict itself is decided (the engines).

use crate::program::{AddrOp, AddrReg, Async, Cond, Image, Instr, Int, IntOp, MemRef, Operand, ScalarOp, Task, VecOp};

/// Address registers by number, as bits: bit 3 stands for `a3`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Deciding {
    /// Registers whose whole value decides.
    pub whole: u16,
    /// Registers whose value modulo the period of the banks decides; none of `whole`.
    pub modulo: u16,
    /// Whether a register that decides may hold what came from memory or a wavelet, or a branch compares
    /// such a number: then timing depends on values.
    pub values: bool,
}

impl Deciding {
    /// The registers of an image that decide.
    #[must_use]
    pub fn of(image: &Image) -> Deciding {
        let mut found = Found::default();
        let Image { name: _, inputs: _, outputs: _, buffers: _, fifos: _, tasks } = image;
        for Task { name: _, trigger: _, active: _, blocked: _, body } in tasks {
            found.walk(body);
        }
        loop {
            let before = (found.whole, found.modulo);
            for &(to, from) in &found.copies {
                found.whole |= if found.whole & to != 0 { from } else { 0 };
                found.modulo |= if found.modulo & to != 0 { from } else { 0 };
            }
            for &(to, from) in &found.wholes {
                found.whole |= if (found.whole | found.modulo) & to != 0 { from } else { 0 };
            }
            found.whole |= found.modulo & found.bounded;
            if before == (found.whole, found.modulo) {
                let values = found.compares_data || found.tainted() & (found.whole | found.modulo) != 0;
                return Deciding { whole: found.whole, modulo: found.modulo & !found.whole, values };
            }
        }
    }

    /// Whether the register decides, whole or modulo the period.
    #[must_use]
    pub fn contains(self, reg: AddrReg) -> bool {
        (self.whole | self.modulo) & bit(reg) != 0
    }

    /// Whether its whole value decides.
    #[must_use]
    pub fn whole(self, reg: AddrReg) -> bool {
        self.whole & bit(reg) != 0
    }

    /// Whether its value modulo the period decides.
    #[must_use]
    pub fn modulo(self, reg: AddrReg) -> bool {
        self.modulo & bit(reg) != 0
    }
}

#[derive(Default)]
struct Found {
    whole: u16,
    modulo: u16,
    /// Compared with a bound: the result modulo the period depends on the whole value.
    bounded: u16,
    /// Pairs of a register and one that it is computed from, such that its value modulo the period
    /// depends on the other's value modulo the period.
    copies: Vec<(u16, u16)>,
    /// Pairs of a register and one that it is computed from in any other way.
    wholes: Vec<(u16, u16)>,
    /// Registers that are loaded, or computed from data registers.
    loaded: u16,
    /// Whether a branch compares a data register.
    compares_data: bool,
}

/// The bit of a register.
fn bit(reg: AddrReg) -> u16 {
    1 << (reg.0 % 16)
}

impl Found {
    fn walk(&mut self, body: &[Instr]) {
        for instr in body {
            match instr {
                Instr::Vec(op) | Instr::Async(Async { op, thread: _, priority: _, then: _ }) => self.vector(op),
                Instr::Loop { count: _, body } => self.walk(body),
                Instr::Addr(op) => self.address(op),
                Instr::Scalar(op) => self.scalar(op),
                Instr::If { cond, then, otherwise } => {
                    self.cond(cond);
                    self.walk(then);
                    self.walk(otherwise);
                }
                Instr::While { cond, body } => {
                    self.cond(cond);
                    self.walk(body);
                }
                Instr::Repeat { count, body } => {
                    self.whole |= bit(*count);
                    self.walk(body);
                }
                Instr::Filter { color: _, start, pass, period } => {
                    [start, pass, period].into_iter().for_each(|int| self.decides(*int));
                }
                Instr::Turn { color: _, position, open: _ } => self.decides(*position),
                Instr::Return
                | Instr::Join(_)
                | Instr::Activate(_)
                | Instr::Block(_)
                | Instr::Unblock(_)
                | Instr::Control(..)
                | Instr::AsyncControl(_)
                | Instr::Open(_) => {}
            }
        }
    }

    fn address(&mut self, op: &AddrOp) {
        match op {
            AddrOp::Copy(to, from) | AddrOp::AddReg(to, from) => self.copies.push((bit(*to), bit(*from))),
            AddrOp::Clamp(reg, _, _) | AddrOp::Wrap { reg, end: _, size: _ } => self.bounded |= bit(*reg),
            AddrOp::Load { reg, base: _, offset: _ } => self.loaded |= bit(*reg),
            AddrOp::Set(..) | AddrOp::Add(..) => {}
        }
    }

    /// Registers into which something was loaded, or that are computed from one of those.
    fn tainted(&self) -> u16 {
        let mut tainted = self.loaded;
        loop {
            let before = tainted;
            for &(to, from) in self.copies.iter().chain(&self.wholes) {
                tainted |= if tainted & from != 0 { to } else { 0 };
            }
            if tainted == before {
                return tainted;
            }
        }
    }

    fn decides(&mut self, int: Int) {
        self.whole |= int.reg().map_or(0, bit);
    }

    fn cond(&mut self, cond: &Cond) {
        match cond {
            Cond::Int(_, a, b) => [a, b].into_iter().for_each(|int| self.decides(*int)),
            Cond::Float(_, a, b) => self.compares_data |= a.reg().or(b.reg()).is_some(),
        }
    }

    fn scalar(&mut self, op: &ScalarOp) {
        match *op {
            ScalarOp::Int(to, op, a, b) => {
                for (second, from) in [a, b].into_iter().enumerate() {
                    let Some(from) = from.reg() else { continue };
                    let low_bits_suffice = match op {
                        IntOp::Add | IntOp::Sub | IntOp::Mul | IntOp::And | IntOp::Or | IntOp::Xor => true,
                        IntOp::Shl => second == 0,
                        IntOp::Shr | IntOp::Sar | IntOp::Min | IntOp::Max => false,
                    };
                    let pairs = if low_bits_suffice { &mut self.copies } else { &mut self.wholes };
                    pairs.push((bit(to), bit(from)));
                }
            }
            ScalarOp::LoadInt(to, _, _) | ScalarOp::ToInt(to, _) | ScalarOp::ToBits(to, _) => self.loaded |= bit(to),
            ScalarOp::Float(..) | ScalarOp::LoadFloat(..) | ScalarOp::ToFloat(..) | ScalarOp::OfBits(..) => {}
            ScalarOp::StoreInt(..) | ScalarOp::StoreFloat(..) | ScalarOp::Timestamp(_) => {}
        }
    }

    fn vector(&mut self, op: &VecOp) {
        let VecOp { op: _, len: _, count, descriptors: _, dst, src } = op;
        self.whole |= count.map_or(0, bit);
        for operand in std::iter::once(dst).chain(src) {
            let Operand::Mem(MemRef { base, offset: _, dtype: _, dims: _, ring: _, advance }) = operand else {
                continue;
            };
            let moved = base.filter(|_| *advance).zip(*count);
            self.copies.extend(moved.map(|(base, count)| (bit(base), bit(count))));
        }
        let mut vectors: Vec<&MemRef> = Vec::with_capacity(src.len());
        for source in src {
            match source {
                Operand::Mem(m) if m.is_scalar() => {}
                Operand::Mem(m) => vectors.push(m),
                Operand::Fab(..) | Operand::Fifo(..) | Operand::Reg(_) | Operand::Imm(_) => {}
            }
        }
        for (i, a) in vectors.iter().enumerate() {
            for b in &vectors[i + 1..] {
                let bases = [a.base, b.base].into_iter().flatten().fold(0, |bits, reg| bits | bit(reg));
                // Wrapping moves an address by a number that is no multiple of the period.
                if a.ring.is_some() || b.ring.is_some() {
                    self.whole |= bases;
                } else if b.base != a.base {
                    *(if may_be_one(a, b) { &mut self.whole } else { &mut self.modulo }) |= bases;
                }
            }
        }
    }
}

/// Whether two vectors are one and the same operand if they start at one address.
fn may_be_one(a: &MemRef, b: &MemRef) -> bool {
    let MemRef { base: _, offset: _, dtype, dims, ring, advance: _ } = a;
    (dtype, dims) == (&b.dtype, &b.dims) && ring.is_none() && b.ring.is_none()
}
