//! Address registers: what an address operand is added to, and how `Set`, `Add`, `Wrap` and the other
//! operations change a register (rule C8).
//!
//! **Invariant.** Results do not depend on values in memory, but for `Load` in a run with values.
//! **Not here.** When an operation takes its issue slots (`ce`).

use super::ce::CeCycle;
use super::state::Registers;
use sim_core::program::reg::Reg;
use sim_core::program::{AddrOp, AddrReg};

impl CeCycle<'_> {
    pub(super) fn address(&self, base: Option<AddrReg>, offset: i32) -> i32 {
        offset.wrapping_add(base.map_or(0, |r| self.registers.regs[usize::from(r.0) % 16]))
    }

    pub(super) fn arithmetic(&mut self, op: &AddrOp) {
        let get = |own: &Registers, r: AddrReg| own.regs[usize::from(r.0) % 16];
        let value = match *op {
            AddrOp::Set(_, v) => v,
            AddrOp::Add(r, v) => get(self.registers, r).wrapping_add(v),
            AddrOp::Copy(_, from) => get(self.registers, from),
            AddrOp::AddReg(r, from) => get(self.registers, r).wrapping_add(get(self.registers, from)),
            AddrOp::Clamp(r, low, high) => get(self.registers, r).max(low).min(high),
            AddrOp::Wrap { reg, end, size } => {
                let v = get(self.registers, reg);
                if v >= end { v.wrapping_sub(size) } else { v }
            }
            AddrOp::Load { base, offset, .. } => {
                let address = self.address(base, offset);
                match self.memory.as_deref().map(|m| m.half_word(address)) {
                    None => 0,
                    Some(Some(v)) => i32::from(v),
                    Some(None) => {
                        self.out.memory_fault = Some(i64::from(address));
                        0
                    }
                }
            }
        };
        self.registers.regs[usize::from(op.target().0) % 16] = value;
        let latency = if matches!(op, AddrOp::Load { .. }) { self.costs.load_latency } else { 1 };
        self.late(Reg::Addr(op.target()), latency);
    }
}
