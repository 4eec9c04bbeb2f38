//! Instructions of the main thread that are no vector instructions (rule C8): address arithmetic,
//! loops, task control, waiting for a microthread or handing it an instruction, control wavelets.
//!
//! Each takes one issue slot, but for `wrap`, which takes two, and those that take what the machine says:
//! the end of a loop, a division. Its effects are visible from the next cycle on.
//!
//! **Invariant.** An instruction acts in its last slot, and only once.
//! **Not here.** When the main thread gets the slot, and vector instructions (`ce`).

use super::ce::CeCycle;
use super::fifo::{CONTROL, Word};
use super::lowered::LoweredInstr;
use super::state::Main;
use super::switched::{Counter, Setting};
use sim_core::program::Int;

impl CeCycle<'_> {
    /// Rule C8. `used` slots of the instruction are already used.
    pub(super) fn issue_scalar(&mut self, used: u8) -> bool {
        let instr = &self.image.code[self.ce.pc as usize];
        let held = match instr {
            LoweredInstr::Join(t) | LoweredInstr::Async { thread: t, .. } => self.ce.busy & 1 << (t % 8) != 0,
            LoweredInstr::Control { queue, .. } => !self.output(*queue).is_some_and(|f| self.fifos.room(f, self.now)),
            _ => false,
        };
        if held {
            return false;
        }
        let slots = self.costs.slots(instr);
        self.wake(self.now + 1);
        if used + 1 < slots {
            self.ce.main = Main::At(used + 1);
            return true;
        }
        self.finish_scalar();
        true
    }

    fn finish_scalar(&mut self) {
        let image = self.image;
        match &image.code[self.ce.pc as usize] {
            LoweredInstr::LoopEnd(begin) => return self.repeat(*begin),
            LoweredInstr::Async { vector, thread } => {
                let thread = usize::from(*thread) % 8;
                debug_assert!(self.ce.busy & 1 << thread == 0, "two instructions on one microthread");
                let from = self.now + 1 + self.image.vectors[usize::from(*vector)].setup;
                let running = self.start(*vector, from, thread);
                self.wake(running.from);
                self.micro[thread].running = running;
                self.ce.busy |= 1 << thread;
                let level = image.vectors[usize::from(*vector)].priority as usize;
                self.ce.levels[level] |= 1 << thread;
            }
            LoweredInstr::Activate(t) => self.registers.active |= 1 << t,
            LoweredInstr::Block(t) => self.registers.blocked |= 1 << t,
            LoweredInstr::Unblock(t) => self.registers.blocked &= !(1 << t),
            LoweredInstr::Control { queue, word } => {
                self.give(*queue, CONTROL | Word::from(*word));
            }
            LoweredInstr::Open(color) => self.out.settings.push((*color, Setting::Turn { position: 0, open: true })),
            LoweredInstr::Addr(op) => self.arithmetic(op),
            LoweredInstr::Scalar(op) => self.scalar(op),
            LoweredInstr::Branch { cond, otherwise } => {
                return match self.cond(cond) {
                    true => self.branch(self.ce.pc + 1, self.costs.branch_untaken),
                    false => self.branch(*otherwise, self.costs.branch_taken),
                };
            }
            LoweredInstr::Return => {
                self.ce.main = Main::Idle;
                return;
            }
            LoweredInstr::Jump(to) => return self.branch(*to, self.costs.branch_taken),
            LoweredInstr::LoopReg { count, behind } => match self.int(Int::Reg(*count)) {
                left @ 1.. => self.enter(left as u32),
                _ => return self.branch(*behind, self.costs.branch_taken),
            },
            LoweredInstr::Filter { color, numbers } => {
                let [start, pass, period] = numbers.map(|number| self.int(number));
                let counter = (period > 0).then(|| Counter {
                    at: start.rem_euclid(period) as u32,
                    period: period as u32,
                    pass: u32::try_from(pass).unwrap_or(0),
                });
                self.out.settings.push((*color, Setting::Filter(counter)));
            }
            LoweredInstr::Turn { color, position, open } => {
                let position = u32::try_from(self.int(*position)).unwrap_or(0);
                self.out.settings.push((*color, Setting::Turn { position, open: *open }));
            }
            _ => {}
        }
        self.advance();
    }

    /// Reaches the instruction at `pc` in `cycles` cycles (rule C12).
    fn branch(&mut self, pc: u32, cycles: u64) {
        self.ce.pc = pc;
        self.ce.main = Main::Dispatch(self.now + cycles);
    }
}
