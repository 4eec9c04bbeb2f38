//! How a cycle of a compute element is counted: as compute, wait, back-pressure or idle (rule P1).
//!
//! **Invariant.** The class holds for all cycles until the compute element is evaluated again.
//! **Not here.** What it does in the cycle (`ce`).

use super::ce::{CeCycle, Hold};
use super::lowered::LoweredInstr;
use super::state::{Class, Main, Running};

impl CeCycle<'_> {
    /// How the cycles from this one on are counted; `busy` if an issue slot was used or a task is
    /// being dispatched in it.
    pub(super) fn class(&self, busy: bool) -> Class {
        if busy {
            return Class::Compute;
        }
        let (mut room, mut wait) = (false, false);
        let mut ready = |running: &Running| -> bool {
            if running.from > self.now {
                return true;
            }
            match self.hold(running, &self.image.vectors[usize::from(running.vector)]) {
                Some(Hold::Room) => room = true,
                Some(Hold::Input) | None => wait = true,
            }
            false
        };
        if self.ce.threads(self.micro).any(|(_, running)| ready(running)) {
            return Class::Compute;
        }
        match &self.ce.main {
            Main::Vec(running) => {
                if ready(running) {
                    return Class::Compute;
                }
            }
            Main::At(_) => match self.image.code[self.ce.pc as usize] {
                LoweredInstr::Control { .. } => room = true,
                _ => wait = true,
            },
            Main::Idle | Main::Dispatch(_) => {}
        }
        match (room, wait) {
            (true, _) => Class::BackPressure,
            (false, true) => Class::Wait,
            (false, false) => Class::Idle,
        }
    }
}
