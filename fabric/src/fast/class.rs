//! Where a compute element's cycle goes (rule P1).
//!
//! **Not here.** What it does in the cycle (`ce`).

use super::ce::{Hold, Step};
use super::code::Code;
use super::state::{Class, Main, Run};

impl Step<'_> {
    /// Rule P1.
    pub(super) fn class(&self, busy: bool) -> Class {
        if busy {
            return Class::Compute;
        }
        let (mut room, mut wait) = (false, false);
        let mut look = |run: &Run| -> bool {
            if run.from > self.now {
                return true;
            }
            match self.hold(run, &self.image.plans[usize::from(run.plan)]) {
                Some(Hold::Room) => room = true,
                Some(Hold::Input) | None => wait = true,
            }
            false
        };
        if self.ce.threads(self.micro).any(|(_, run)| look(run)) {
            return Class::Compute;
        }
        match &self.ce.main {
            Main::Vec(run) => {
                if look(run) {
                    return Class::Compute;
                }
            }
            Main::At(_) => match self.image.code[self.ce.pc as usize] {
                Code::Control { .. } => room = true,
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
