//! Multi-head softmax attention, causal or not, on rectangles of PEs: `rows_per_sequence` rows by
//! `head_columns` columns for one (sequence, head). See `docs/COMPILER.md`, *Attention*.
//!
//! **Invariant.** All rectangles run the same code in lockstep; the mask is an addend.
//! **Not here.** Projections, which are GEMMs.

mod backward;
mod blocks;
mod forward;
mod mask;
mod place;
mod registers;
mod shape;

pub use backward::AttentionBackward;
pub use forward::AttentionForward;

use crate::codegen::instr::{grid, repeat, set, step};
use crate::kernel::{Access, ActivationView, Addresses, Requirement};
use shape::Shape;
use sim_core::program::{AddrReg, Instr, Operand};

/// Name of the kernels' scratch memory.
const SCRATCH: &str = ".attention";

/// The current chunk of a window, feature by feature.
fn chunk(act: &ActivationView, at: &Addresses, s: &Shape, reg: AddrReg) -> Operand {
    crate::codegen::instr::at(reg, grid(act.dtype, act.slot(at, 0), &[(act.slots, act.row as i32), (s.t, 1)]))
}

/// Goes over the chunks of queries of a PE ([`Shape::of_keys`]: of keys); `regs` move along, by so many bytes, and are
/// zero again behind the loop.
fn chunks(s: &Shape, regs: &[(AddrReg, u32)], mut body: Vec<Instr>) -> Vec<Instr> {
    if s.chunks.queries == 1 {
        return body;
    }
    body.extend(regs.iter().map(|&(reg, bytes)| step(reg, bytes as i32)));
    let mut code: Vec<Instr> = regs.iter().map(|&(reg, _)| set(reg, 0)).collect();
    code.extend(repeat(s.chunks.queries, body));
    code.extend(regs.iter().map(|&(reg, _)| set(reg, 0)));
    code
}

/// The window, feature by feature.
fn window(act: &ActivationView, at: &Addresses) -> Operand {
    grid(act.dtype, act.slot(at, 0), &[(act.slots, act.row as i32), (act.tokens, 1)])
}

/// The needs of windows that are read and windows that are written: one per buffer. A buffer that
/// the windows do not fill keeps the rest.
pub(super) fn window_requirements(reads: &[&ActivationView], writes: &[&ActivationView]) -> Vec<Requirement> {
    let mut requirements: Vec<Requirement> = Vec::new();
    for act in reads {
        if requirements.iter().all(|n| n.buffer != act.buffer) {
            requirements.push(act.requirement(Access::Read).on_either_side());
        }
    }
    for act in writes {
        let filled: u32 = writes.iter().filter(|w| w.buffer == act.buffer).map(|w| w.slots * w.tokens).sum();
        match requirements.iter_mut().find(|n| n.buffer == act.buffer) {
            Some(known) if known.access == Access::Read => known.access = Access::Update,
            Some(_) => {}
            None if filled == act.all_slots * act.row => {
                requirements.push(act.requirement(Access::Write).on_either_side())
            }
            None => requirements.push(act.requirement(Access::Update).on_either_side()),
        }
    }
    requirements
}
