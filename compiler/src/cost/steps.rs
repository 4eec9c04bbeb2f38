//! A list of instructions as a clock walks over it: everything that does not depend on the time or on address
//! registers is worked out once, since loops make a clock come by again and again.
//!
//! **Invariant.** A walk over the steps takes what a walk over the instructions would.
//! **Not here.** The walk (`clock`), and what an instruction costs (`instr`).

use super::instr::Prepared;
use sim_core::arch::ArchSpec;
use sim_core::coord::Color;
use sim_core::program::{AddrOp, DType, Descriptors, Instr, Operand, VecOp};

/// A list of instructions, taken apart.
#[derive(Debug)]
pub(super) struct Steps(pub(super) Vec<Step>);

/// One instruction.
#[derive(Debug)]
pub(super) enum Step {
    /// So many vector instructions in a row that have nothing to do with the fabric and take as much.
    Local(Prepared, Setup, u64),
    /// One that sends or receives.
    Fabric(Prepared, Setup, Exchange),
    /// A vector instruction for a microthread.
    Spawn(usize, Prepared, Exchange),
    /// Waits for a microthread.
    Join(usize),
    /// Repeats a list.
    Loop(u32, Steps),
    /// Address arithmetic.
    Address(AddrOp),
    /// Takes one issue slot, and changes nothing that a price depends on.
    Slot,
}

/// Whether a vector instruction of the main thread has a setup of its own (rule C2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Setup {
    /// It has.
    Own,
    /// It overlaps with the instruction before it.
    Overlapped,
}

impl Setup {
    /// Of the vector instruction that stands at a place of a list.
    fn of(op: &VecOp, code: &[Instr], at: usize) -> Setup {
        let follows = at > 0 && matches!(code[at - 1], Instr::Vec(_));
        let stays = |o: &Operand| !matches!(o, Operand::Mem(m) if m.base.is_some());
        let word = |o: &Operand| matches!(o, Operand::Mem(m) if m.is_scalar());
        let stay = op.operands().all(stays) && !op.src.iter().any(word);
        let held = op.descriptors == Descriptors::Held && op.count.is_none() && stay;
        if held && follows { Setup::Overlapped } else { Setup::Own }
    }
}

/// What a vector instruction sends and receives.
#[derive(Debug)]
pub(super) struct Exchange {
    /// Colors that it receives from, and how many wavelets of each.
    pub(super) from: Vec<(Color, u64)>,
    /// The color that it sends on, and how many wavelets.
    pub(super) to: Option<(Color, u64)>,
}

impl Exchange {
    fn of(op: &VecOp) -> Exchange {
        let wavelets = |color: Color, dtype: DType| (color, u64::from(dtype.wavelets(op.len)));
        let fabric = |o: &Operand| if let Operand::Fab(c, dtype) = o { Some(wavelets(*c, *dtype)) } else { None };
        Exchange { from: op.src.iter().filter_map(fabric).collect(), to: fabric(&op.dst) }
    }

    fn is_nothing(&self) -> bool {
        self.from.is_empty() && self.to.is_none()
    }
}

impl Steps {
    /// Of a list of instructions on a machine; `threads` microthreads are told apart.
    pub(super) fn of(arch: &ArchSpec, code: &[Instr], threads: usize) -> Steps {
        let step = |(at, instr): (usize, &Instr)| match instr {
            Instr::Vec(op) => {
                let (prepared, exchange) = (Prepared::of(arch, op), Exchange::of(op));
                let setup = Setup::of(op, code, at);
                match exchange.is_nothing() {
                    true => Step::Local(prepared, setup, 1),
                    false => Step::Fabric(prepared, setup, exchange),
                }
            }
            Instr::Async(spawned) => {
                let op = &spawned.op;
                Step::Spawn(usize::from(spawned.thread) % threads, Prepared::of(arch, op), Exchange::of(op))
            }
            Instr::Join(thread) => Step::Join(usize::from(*thread) % threads),
            Instr::Loop { count, body } => Step::Loop(*count, Steps::of(arch, body, threads)),
            Instr::Addr(op) => Step::Address(op.clone()),
            // No kernel has any of these.
            Instr::Repeat { .. } | Instr::While { .. } | Instr::If { .. } => {
                unreachable!("kernels have no control code")
            }
            Instr::AsyncControl(_) | Instr::Scalar(_) | Instr::Filter { .. } | Instr::Turn { .. } | Instr::Return => {
                unreachable!("kernels have no control code")
            }
            Instr::Activate(_) | Instr::Block(_) | Instr::Unblock(_) | Instr::Control(..) | Instr::Open(_) => {
                Step::Slot
            }
        };
        let mut steps: Vec<Step> = Vec::new();
        for next in code.iter().enumerate().map(step) {
            match (steps.last_mut(), &next) {
                (Some(Step::Local(last, as_last, times)), Step::Local(prepared, setup, _))
                    if as_last == setup && last.takes_as_much_as(prepared) =>
                {
                    *times += 1;
                }
                _ => steps.push(next),
            }
        }
        Steps(steps)
    }
}

/// Setups of vector instructions of the main thread in a list of instructions.
#[must_use]
pub fn setups(code: &[Instr]) -> u32 {
    let one = |(at, instr): (usize, &Instr)| match instr {
        Instr::Vec(op) => u32::from(Setup::of(op, code, at) == Setup::Own),
        Instr::Loop { count, body } => count * setups(body),
        _ => 0,
    };
    code.iter().enumerate().map(one).sum()
}
