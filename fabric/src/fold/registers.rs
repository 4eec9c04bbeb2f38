//! Address registers that can decide a bank conflict (rule C5), and how much of them does.
//!
//! Two vector sources conflict if their first words are equal modulo 4, unless they are one and the
//! same. Where both are relative to one register, nothing depends on its value. Where they are not,
//! the values modulo 8 decide, and whole values if the operands can be one and the same, or if the
//! register is compared with a bound.
//!
//! **Invariant.** Both sets are closed: what a register in them is computed from is in them, and
//! modulo 8 every operation on a register of the second set has a result that depends on nothing
//! else.
//! **Not here.** When the conflict itself is decided (the engines).

use sim_core::program::{AddrOp, AddrReg, Image, Instr, MemRef, Operand, VecOp};

/// Registers by number, as bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Deciding {
    /// Their whole value decides.
    pub(crate) whole: u16,
    /// Their value modulo 8 does; none of `whole`.
    pub(crate) modulo: u16,
}

impl Deciding {
    /// Of an image.
    pub(crate) fn of(image: &Image) -> Deciding {
        let mut found = Found::default();
        image.tasks.iter().for_each(|task| found.walk(&task.body));
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

    /// All of them.
    pub(crate) fn any(self) -> u16 {
        self.whole | self.modulo
    }
}

#[derive(Default)]
struct Found {
    whole: u16,
    modulo: u16,
    /// Compared with a bound: the result modulo 8 depends on the whole value.
    bounded: u16,
    /// What is computed from what.
    copies: Vec<(u16, u16)>,
}

/// The bit of a register.
pub(super) fn bit(reg: AddrReg) -> u16 {
    1 << (reg.0 % 16)
}

impl Found {
    fn walk(&mut self, body: &[Instr]) {
        for instr in body {
            match instr {
                Instr::Vec(op) => self.vector(op),
                Instr::Async(a) => self.vector(&a.op),
                Instr::Loop { body, .. } => self.walk(body),
                Instr::Addr(AddrOp::Copy(to, from) | AddrOp::AddReg(to, from)) => {
                    self.copies.push((bit(*to), bit(*from)));
                }
                Instr::Addr(AddrOp::Clamp(reg, ..) | AddrOp::Wrap { reg, .. }) => self.bounded |= bit(*reg),
                _ => {}
            }
        }
    }

    fn vector(&mut self, op: &VecOp) {
        let vectors: Vec<&MemRef> = op
            .src
            .iter()
            .filter_map(|s| match s {
                Operand::Mem(m) if !m.is_scalar() => Some(m),
                _ => None,
            })
            .collect();
        for (i, a) in vectors.iter().enumerate() {
            for b in vectors[i + 1..].iter().filter(|b| b.base != a.base) {
                let bases = [a.base, b.base].into_iter().flatten().fold(0, |bits, reg| bits | bit(reg));
                let alike = (a.dtype, &a.dims) == (b.dtype, &b.dims);
                let one_and_the_same = alike && a.ring.is_none() && b.ring.is_none();
                *(if one_and_the_same { &mut self.whole } else { &mut self.modulo }) |= bases;
            }
        }
    }
}
