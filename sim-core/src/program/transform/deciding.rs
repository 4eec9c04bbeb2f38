//! Address registers that can decide a bank conflict (rule C5), and how much of them does.
//!
//! Addresses cost no time, with one exception: a vector instruction whose two sources start in one
//! bank group takes longer. So the value of an address register matters only if it is the base of such
//! a source, or if such a base is computed from it.
//!
//! Two vector sources conflict if their first words are equal modulo 4, unless they are one and the
//! same. Where both are relative to one register, nothing depends on its value. Where they are not,
//! the values modulo 8 decide, and whole values if the operands can be one and the same, or if the
//! register is compared with a bound. Example: in `add a0+0 <- a1+0, a2+8` the values of `a1` and `a2`
//! modulo 8 decide; in `add a0+0 <- a1+0, a1+8` no register does.
//!
//! **Invariant.** Both sets are closed: what a register in them is computed from is in them, and
//! modulo 8 every operation on a register of the second set has a result that depends on nothing
//! else.
//! **Not here.** When the conflict itself is decided (the engines).

use crate::program::{AddrOp, AddrReg, Async, Image, Instr, MemRef, Operand, Task, VecOp};

/// Address registers by number, as bits: bit 3 stands for `a3`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Deciding {
    /// Registers whose whole value decides.
    pub whole: u16,
    /// Registers whose value modulo 8 decides; none of `whole`.
    pub modulo: u16,
}

impl Deciding {
    /// The registers of an image that decide a conflict.
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
            found.whole |= found.modulo & found.bounded;
            if before == (found.whole, found.modulo) {
                return Deciding { whole: found.whole, modulo: found.modulo & !found.whole };
            }
        }
    }

    /// Whether the register decides, whole or modulo 8.
    #[must_use]
    pub fn contains(self, reg: AddrReg) -> bool {
        (self.whole | self.modulo) & bit(reg) != 0
    }

    /// Whether its whole value decides.
    #[must_use]
    pub fn whole(self, reg: AddrReg) -> bool {
        self.whole & bit(reg) != 0
    }

    /// Whether its value modulo 8 decides.
    #[must_use]
    pub fn modulo(self, reg: AddrReg) -> bool {
        self.modulo & bit(reg) != 0
    }
}

#[derive(Default)]
struct Found {
    whole: u16,
    modulo: u16,
    /// Compared with a bound: the result modulo 8 depends on the whole value.
    bounded: u16,
    /// Pairs of a register and one that it is computed from.
    copies: Vec<(u16, u16)>,
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
                Instr::Join(_)
                | Instr::Activate(_)
                | Instr::Block(_)
                | Instr::Unblock(_)
                | Instr::Control(..)
                | Instr::Open(_) => {}
            }
        }
    }

    fn address(&mut self, op: &AddrOp) {
        match op {
            AddrOp::Copy(to, from) | AddrOp::AddReg(to, from) => self.copies.push((bit(*to), bit(*from))),
            AddrOp::Clamp(reg, _, _) | AddrOp::Wrap { reg, end: _, size: _ } => self.bounded |= bit(*reg),
            AddrOp::Set(..) | AddrOp::Add(..) | AddrOp::Load { reg: _, base: _, offset: _ } => {}
        }
    }

    fn vector(&mut self, op: &VecOp) {
        let VecOp { op: _, len: _, dst: _, src } = op;
        let mut vectors: Vec<&MemRef> = Vec::with_capacity(src.len());
        for source in src {
            match source {
                Operand::Mem(m) if m.is_scalar() => {}
                Operand::Mem(m) => vectors.push(m),
                Operand::Fab(..) | Operand::Fifo(..) | Operand::Reg(_) | Operand::Imm(_) => {}
            }
        }
        for (i, a) in vectors.iter().enumerate() {
            for b in vectors[i + 1..].iter().filter(|b| b.base != a.base) {
                let bases = [a.base, b.base].into_iter().flatten().fold(0, |bits, reg| bits | bit(reg));
                *(if may_be_one(a, b) { &mut self.whole } else { &mut self.modulo }) |= bases;
            }
        }
    }
}

/// Whether two vectors are one and the same operand if they start at one address.
fn may_be_one(a: &MemRef, b: &MemRef) -> bool {
    let MemRef { base: _, offset: _, dtype, dims, ring } = a;
    (dtype, dims) == (&b.dtype, &b.dims) && ring.is_none() && b.ring.is_none()
}
