//! How long a hop of a ring takes at most, and how a PE waits for that long.
//!
//! Near the two ends of a ring the next PE is one link away instead of two. If PEs went on as soon as a block has come,
//! those near the ends would get ahead of the others, and the difference would travel around the ring: no two columns
//! would do the same at the same time. So all PEs give a hop the same time, in which it ends everywhere, and stay in
//! step. That lets rows and columns fold, and loops recur.
//!
//! **Invariant.** The main thread comes first in every cycle that it can use; microthreads of low priority move in the
//! issue slots that setups of its vector instructions leave free.
//! **Not here.** What is sent.

use crate::codegen::instr::vec;
use crate::cost::setups;
use sim_core::arch::ArchSpec;
use sim_core::program::{Instr, MemRef, Op, Operand};

/// What the time of a hop depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Pace {
    /// Setup of a vector instruction: the issue slots that it leaves free.
    setup: u32,
    /// Cycles from a beat that sends to the wavelet's place at the other end, and two setups.
    way: u32,
}

impl Pace {
    pub(super) fn of(arch: &ArchSpec) -> Pace {
        let setup = arch.pe.vector_setup.value;
        let ramps = arch.pe.ce_latency.value + arch.router.ramp_up.value + arch.router.ramp_down.value;
        Pace { setup, way: 2 * arch.router.hop.value + ramps + 2 * setup }
    }

    /// Issue slots that so many setups of the main thread leave free.
    pub(super) fn free(self, setups: u32) -> u32 {
        setups * self.setup
    }

    /// Issue slots until an exchange of so many beats has ended, wherever the PE is.
    pub(super) fn slots(self, beats: u32) -> u32 {
        beats + self.way
    }

    /// Instructions of one element that leave the rest of the `slots`, of which others leave
    /// `free`. None on a machine on which an instruction leaves no slot.
    pub(super) fn pauses(self, slots: u32, free: u32) -> u32 {
        if self.setup == 0 { 0 } else { slots.saturating_sub(free).div_ceil(self.setup) }
    }

    /// Pauses while up to `most` beats more pass, one per `interval` cycles.
    pub(super) fn pauses_beside(self, slots: u32, free: u32, interval: u32, most: u32) -> u32 {
        let mut pauses = self.pauses(slots, free);
        loop {
            let beside = most.min((pauses * (self.setup + 1)).div_ceil(interval.max(1)) + self.way);
            let more = self.pauses(slots + beside, free);
            if more <= pauses {
                return pauses;
            }
            pauses = more;
        }
    }

    /// Waits for an exchange of so many beats that goes on beside `work`: by copying the first
    /// element of `sent` onto itself.
    pub(super) fn pause(self, beats: u32, work: &[Instr], sent: &Operand) -> Vec<Instr> {
        let Operand::Mem(sent) = sent else { return Vec::new() };
        let first = Operand::Mem(MemRef { dims: MemRef::vec(sent.dtype, 0, 1).dims, ..sent.clone() });
        let pauses = self.pauses(self.slots(beats), self.free(setups(work)));
        wait(pauses, vec(Op::Mov, 1, first.clone(), &[first]))
    }
}

/// So many pauses, each with its setup: a loop even for one of them, since right behind another vector instruction an
/// instruction has no setup (rule C2).
pub(super) fn wait(pauses: u32, nothing: Instr) -> Vec<Instr> {
    if pauses == 0 { Vec::new() } else { vec![Instr::Loop { count: pauses, body: vec![nothing] }] }
}
