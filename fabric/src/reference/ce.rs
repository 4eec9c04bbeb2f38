//! Compute elements: tasks (C9), the issue slot (C1), and instructions that are not vector
//! instructions (C8).
//!
//! **Invariant.** [`decide`] reads only what was there at the start of the cycle; a PE uses at
//! most one issue slot per cycle.
//! **Not here.** Beats (`vector`).

use super::code::{ImageCode, TaskStep};
use super::scalar;
use super::state::{At, Element, Machine, Main, Router, Running, Wavelet, Work};
use super::values::{self, MemoryFault};
use super::vector::{self, Status};
use sim_core::arch::ArchSpec;
use sim_core::program::{AddrOp, AddrReg, DType, DataReg, FloatOp, Op, Priority, ScalarOp, Then, Trigger};
use sim_core::report::PeCounters;

/// What a compute element does in a cycle.
#[derive(Debug, Clone, Copy)]
pub(super) struct Choice {
    pub(super) pe: usize,
    /// The task that the main thread selects.
    pub(super) select: Option<usize>,
    /// The thread that uses the issue slot.
    pub(super) issue: Option<Thread>,
    /// What the cycle counts as.
    pub(super) activity: Activity,
}

/// A thread of a compute element.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Thread {
    Main,
    Micro(usize),
}

/// What a cycle of a PE counts as (P1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Activity {
    Compute,
    BackPressure,
    Wait,
    Idle,
}

/// What every compute element does in this cycle.
pub(super) fn decide(machine: &Machine, choices: &mut Vec<Choice>) {
    choices.clear();
    for (pe, state) in machine.pes.iter().enumerate() {
        if let Some(element) = &state.element {
            choices.push(choose(pe, element, &machine.codes[element.code], machine.now));
        }
    }
}

fn choose(pe: usize, element: &Element, code: &ImageCode, now: u64) -> Choice {
    let select = select(element, code, now);
    let claimed = select.and_then(|task| triggering(element, code, task, now));
    let status = |thread| status(element, code, thread, now, claimed);
    let issue = issue(element, status);
    let activity = if select.is_some() || issue.is_some() || matches!(element.main, Main::Dispatch { .. }) {
        Activity::Compute
    } else {
        activity(element, status)
    };
    Choice { pe, select, issue, activity }
}

/// C9: the runnable task with the smallest number, if the main thread has none.
fn select(element: &Element, code: &ImageCode, now: u64) -> Option<usize> {
    if !matches!(element.main, Main::Free) {
        return None;
    }
    (0..code.tasks.len()).find(|&task| runnable(element, code, task, now))
}

/// C9: whether a task can be selected.
pub(super) fn runnable(element: &Element, code: &ImageCode, task: usize, now: u64) -> bool {
    let triggered = match code.tasks[task].trigger {
        Trigger::Local | Trigger::Teardown(_) => element.active[task],
        Trigger::Data(..) | Trigger::Control(_) => triggering(element, code, task, now).is_some(),
    };
    triggered && !element.blocked[task]
}

/// C9, S6: the input queue whose head makes a task runnable.
fn triggering(element: &Element, code: &ImageCode, task: usize, now: u64) -> Option<usize> {
    match code.tasks[task].trigger {
        Trigger::Local | Trigger::Teardown(_) => None,
        Trigger::Data(..) => code.tasks[task].queue.filter(|&q| element.inputs[q].1.has_data(0, now)),
        Trigger::Control(id) => element.inputs.iter().position(|(_, fifo)| {
            fifo.ready(0, now).is_some_and(|w| w.control && super::router::task(w.data) == Some(id))
        }),
    }
}

/// What a thread can do in cycle `now`.
pub(super) fn status(element: &Element, code: &ImageCode, thread: Thread, now: u64, claimed: Option<usize>) -> Status {
    let position = match thread {
        Thread::Micro(t) => {
            let run = element.micro[t].as_ref();
            return run.map_or(Status::Absent, |run| vector::status(element, code, run, now, claimed));
        }
        Thread::Main => match &element.main {
            Main::At(position) => position,
            Main::Free | Main::Dispatch { .. } => return Status::Absent,
        },
    };
    match (&position.work, &code.tasks[position.task].steps[position.step]) {
        (Work::Vector(run), _) => vector::status(element, code, run, now, claimed),
        // C11: a register that it reads may not be read yet.
        (_, step) if now < scalar::operands_ready(element, step) => Status::Setup,
        // C8: the microthread is free at the start of the cycle.
        (_, TaskStep::Join(t) | TaskStep::Async { thread: t, .. }) if element.micro[usize::from(*t)].is_some() => {
            Status::Busy(*t)
        }
        // S2: as a beat with a fabric destination.
        (_, TaskStep::Control { color, queue, .. }) if !queue.is_some_and(|q| element.outputs[q].1.has_room()) => {
            Status::NoRoom(*color)
        }
        _ => Status::Ready,
    }
}

/// C1: the thread that gets the issue slot.
fn issue(element: &Element, status: impl Fn(Thread) -> Status) -> Option<Thread> {
    let of_class = |class: Priority| {
        let count = element.micro.len();
        let cyclic = (1..=count).map(|k| (element.last + k) % count);
        let candidates = cyclic.filter(|&t| element.micro[t].as_ref().is_some_and(|r| r.priority == class));
        candidates.map(Thread::Micro).find(|&t| status(t) == Status::Ready)
    };
    of_class(Priority::High)
        .or_else(|| of_class(Priority::Medium))
        .or_else(|| (status(Thread::Main) == Status::Ready).then_some(Thread::Main))
        .or_else(|| of_class(Priority::Low))
}

/// P1, where nothing was issued, selected or dispatched.
fn activity(element: &Element, status: impl Fn(Thread) -> Status) -> Activity {
    let threads = (0..element.micro.len()).map(Thread::Micro).chain([Thread::Main]);
    let mut activity = Activity::Idle;
    for thread in threads {
        match status(thread) {
            Status::Setup => return Activity::Compute,
            Status::NoRoom(_) | Status::Full(_) => activity = Activity::BackPressure,
            Status::NoInput(_) | Status::Empty(_) | Status::Busy(_) if activity == Activity::Idle => {
                activity = Activity::Wait
            }
            _ => {}
        }
    }
    activity
}

/// What committing a choice needs besides the compute element.
pub(super) struct Commit<'a> {
    pub(super) code: &'a ImageCode,
    pub(super) arch: &'a ArchSpec,
    pub(super) now: u64,
    /// The PE's memory, in a run with values.
    pub(super) memory: Option<&'a mut [u8]>,
}

impl Commit<'_> {
    /// Carries out `choice`.
    pub(super) fn choice(
        &mut self,
        element: &mut Element,
        router: &mut Router,
        counters: &mut PeCounters,
        choice: Choice,
    ) -> Result<(), MemoryFault> {
        let wavelet = choice.select.and_then(|task| self.selected(element, task));
        match choice.issue {
            Some(Thread::Micro(t)) => {
                element.last = t;
                let run = element.micro[t].take().expect("only a thread with an instruction issues");
                element.micro[t] = self.slot(element, counters, run)?;
            }
            Some(Thread::Main) => self.main(element, router, counters)?,
            None => {}
        }
        if let Some((reg, data)) = wavelet {
            element.data[usize::from(reg.0)] = data;
        }
        // C9, C12: the instruction is reached in the next cycle.
        if let Main::Dispatch { task, step, loops, reach, .. } = &mut element.main
            && *reach == self.now + 1
        {
            let (task, step, loops) = (*task, *step, std::mem::take(loops));
            self.reach(element, task, step, loops);
        }
        Ok(())
    }

    /// C9: the activation is cleared, the wavelet taken. Gives where the wavelet goes.
    fn selected(&self, element: &mut Element, task: usize) -> Option<(DataReg, u32)> {
        let reach = self.now + u64::from(self.arch.pe.task_dispatch.value.max(1));
        element.main = Main::Dispatch { task, step: 0, loops: Vec::new(), reach, from: None };
        let queue = triggering(element, self.code, task, self.now);
        match self.code.tasks[task].trigger {
            Trigger::Local | Trigger::Teardown(_) => {
                element.active[task] = false;
                None
            }
            Trigger::Control(_) => {
                element.inputs[queue.expect("a runnable control task has a queue")].1.pop();
                None
            }
            Trigger::Data(_, reg) => {
                let queue = queue.expect("a runnable data task has a queue");
                Some((reg, element.inputs[queue].1.pop().data))
            }
        }
    }

    /// One slot of a vector instruction; gives back what is left of it.
    fn slot(
        &mut self,
        element: &mut Element,
        counters: &mut PeCounters,
        mut run: Running,
    ) -> Result<Option<Running>, MemoryFault> {
        let memory = self.memory.as_deref_mut();
        let (ended, computed) = vector::slot(element, self.code, &mut run, self.now, self.arch, memory)?;
        if self.code.vectors[run.vector].op.op == Op::Fmac {
            counters.macs += u64::from(computed); // P2
        }
        if !ended {
            return Ok(Some(run));
        }
        match run.then {
            Some(Then::Activate(task)) => element.active[usize::from(task.0)] = true,
            Some(Then::Unblock(task)) => element.blocked[usize::from(task.0)] = false,
            None => {}
        }
        Ok(None)
    }

    /// The main thread uses the issue slot.
    fn main(
        &mut self,
        element: &mut Element,
        router: &mut Router,
        counters: &mut PeCounters,
    ) -> Result<(), MemoryFault> {
        let Main::At(mut at) = std::mem::replace(&mut element.main, Main::Free) else {
            unreachable!("only a main thread with an instruction issues")
        };
        at.work = match at.work {
            Work::Vector(run) => self.slot(element, counters, run)?.map_or(Work::Slots(0), Work::Vector),
            Work::Slots(slots) => Work::Slots(slots - 1),
        };
        if !matches!(at.work, Work::Slots(0)) {
            element.main = Main::At(at);
            return Ok(());
        }
        let code = self.code;
        let mut next = at.step + 1;
        let (taken, untaken) = (self.arch.pe.branch_taken.value, self.arch.pe.branch_untaken.value);
        // C12: after how many cycles the next step is reached.
        let mut later = 1;
        match &code.tasks[at.task].steps[at.step] {
            TaskStep::Vector(_) | TaskStep::Join(_) => {}
            TaskStep::Async { vector, thread, priority, then } => {
                // C2: a microthread's setup starts in the cycle after the one that issued it.
                let run = vector::begin(element, code, *vector, self.now + 1, self.arch);
                let run = vector::on_microthread(run, *priority, *then);
                element.micro[usize::from(*thread)] = Some(run);
            }
            TaskStep::Addr(op) => self.addr(element, op)?,
            TaskStep::Activate(task) => element.active[*task] = true,
            TaskStep::Block(task) => element.blocked[*task] = true,
            TaskStep::Unblock(task) => element.blocked[*task] = false,
            TaskStep::Control { queue, word, .. } => {
                let queue = queue.expect("there was room in its queue");
                let (pe, router) = (&self.arch.pe, &self.arch.router);
                let ready = self.now + u64::from(pe.ce_latency.value) + u64::from(router.ramp_up.value);
                element.outputs[queue].1.push(Wavelet { ready, data: *word, control: true });
            }
            TaskStep::Open(color) => {
                // S4
                for channel in router.channels.iter_mut().filter(|c| c.color == *color) {
                    (channel.closed, channel.position) = (false, 0);
                }
            }
            TaskStep::Back { to } => next = back(&mut at.loops, *to, next),
            TaskStep::Scalar(op) => {
                let memory = self.memory.as_deref_mut();
                scalar::Alu { pe: &self.arch.pe, now: self.now, memory }.execute(element, op)?;
            }
            TaskStep::Branch { cond, .. } if scalar::holds(element, cond) => later = untaken,
            TaskStep::Branch { otherwise: to, .. } | TaskStep::Jump { to } => (next, later) = (*to, taken),
            TaskStep::EnterBy { reg, behind } => match element.addr[usize::from(reg.0)] {
                count @ 1.. => at.loops.push(count as u32),
                _ => (next, later) = (*behind, taken),
            },
            // C9: no task from the next cycle on; `main` is free already.
            TaskStep::Return => return Ok(()),
            TaskStep::Filter { color, numbers } => scalar::set_filter(element, router, *color, *numbers),
            TaskStep::Turn { color, position, open } => scalar::turn(element, router, *color, *position, *open),
            TaskStep::Enter { .. } => unreachable!("a loop is entered when it is reached"),
            TaskStep::Pause(_) => unreachable!("a pause begins when it is reached"),
        }
        // If that is the next cycle, it is reached at the end of this one.
        let reach = self.now + u64::from(later);
        let from = Some(at.step);
        element.main = Main::Dispatch { task: at.task, step: next, loops: at.loops, reach, from };
        Ok(())
    }

    /// The main thread reaches step `step` in the next cycle (C8).
    fn reach(&self, element: &mut Element, task: usize, mut step: usize, mut loops: Vec<u32>) {
        let code = self.code;
        let work = loop {
            match code.tasks[task].steps.get(step) {
                // C9: the end of the task.
                None => {
                    element.main = Main::Free;
                    return;
                }
                Some(TaskStep::Enter { count }) => {
                    loops.push(*count);
                    step += 1;
                }
                Some(TaskStep::Back { to }) if self.arch.pe.loop_back.value == 0 => {
                    step = back(&mut loops, *to, step + 1)
                }
                Some(TaskStep::Back { .. }) => break Work::Slots(self.arch.pe.loop_back.value),
                Some(TaskStep::Vector(vector)) => {
                    // C2: the main thread's setup starts when it reaches the instruction.
                    break Work::Vector(vector::begin(element, code, *vector, self.now + 1, self.arch));
                }
                // C14
                Some(TaskStep::Pause(cycles)) => {
                    let reach = self.now + 1 + u64::from(*cycles);
                    element.main = Main::Dispatch { task, step: step + 1, loops, reach, from: Some(step) };
                    return;
                }
                Some(TaskStep::Addr(AddrOp::Wrap { .. })) => break Work::Slots(2),
                Some(TaskStep::Scalar(ScalarOp::Float(_, FloatOp::Div, _))) => {
                    break Work::Slots(self.arch.pe.divide.value);
                }
                // C15: a word each.
                Some(TaskStep::Scalar(ScalarOp::Timestamp(_))) => break Work::Slots(3),
                Some(_) => break Work::Slots(1),
            }
        };
        element.main = Main::At(At { task, step, loops, work });
    }

    fn addr(&self, element: &mut Element, op: &AddrOp) -> Result<(), MemoryFault> {
        let regs = &element.addr;
        let reg = |r: AddrReg| regs[usize::from(r.0)];
        let value = match *op {
            AddrOp::Set(_, value) => value,
            AddrOp::Add(r, value) => reg(r).wrapping_add(value),
            AddrOp::Copy(_, other) => reg(other),
            AddrOp::AddReg(r, other) => reg(r).wrapping_add(reg(other)),
            AddrOp::Clamp(r, low, high) => reg(r).max(low).min(high),
            AddrOp::Wrap { reg: r, end, size } if reg(r) >= end => reg(r).wrapping_sub(size),
            AddrOp::Wrap { reg: r, .. } => reg(r),
            AddrOp::Load { base, offset, .. } => {
                let address = i64::from(base.map_or(0, reg)) + i64::from(offset);
                match self.memory.as_deref() {
                    Some(memory) => values::load(memory, address, DType::F16)? as i32,
                    None => 0,
                }
            }
        };
        element.addr[usize::from(op.target().0)] = value;
        // C8: usable from the next cycle on, or as a load is (C11).
        let latency = if matches!(op, AddrOp::Load { .. }) { self.arch.pe.load_latency.value } else { 1 };
        element.addr_ready[usize::from(op.target().0)] = self.now + u64::from(latency);
        Ok(())
    }
}

/// The end of a repetition: the step that follows.
fn back(loops: &mut Vec<u32>, to: usize, behind: usize) -> usize {
    let left = loops.last_mut().expect("the end of a loop is inside of it");
    *left -= 1;
    if *left > 0 {
        return to;
    }
    loops.pop();
    behind
}
