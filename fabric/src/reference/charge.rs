//! What a cycle of a PE is charged to: one instruction of one thread, and what became of the cycle there.
//!
//! **Invariant.** Every cycle of a compute element has exactly one charge. Charges for issued and set-up
//! cycles together are its compute cycles (rule P1); those of the other kinds are its other counters.
//! **Not here.** Adding them up (the report of profiles).

use super::ce::{self, Activity, Choice, Thread};
use super::code::ImageCode;
use super::state::{Element, Main};
use super::vector::Status;
use sim_core::error::MAIN_THREAD;

/// What becomes of a cycle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spent {
    /// An instruction uses the issue slot.
    Issue,
    /// Nothing is issued: an instruction is set up, a task dispatched, or a branch taken.
    SetUp,
    /// An instruction waits for a wavelet, an element or a microthread.
    Wait,
    /// An instruction waits for room.
    BackPressure,
    /// There is nothing to do.
    Idle,
}

/// What a cycle of a PE is charged to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Charge {
    /// What becomes of the cycle.
    pub spent: Spent,
    /// The thread: 8 is the main thread; None where there is nothing to do.
    pub thread: Option<u8>,
    /// The task, by index, and the instruction: how many stand before it in the task, those in loops
    /// included. Without an instruction it is the dispatch of the task.
    pub at: Option<(usize, Option<usize>)>,
    /// The task that the main thread selects in the cycle.
    pub selected: Option<usize>,
}

/// The number of a thread.
pub(super) fn number(thread: Thread) -> u8 {
    match thread {
        Thread::Main => MAIN_THREAD,
        Thread::Micro(t) => t as u8,
    }
}

/// The charge of a cycle in which a compute element does what it chose.
pub(super) fn of(element: &Element, code: &ImageCode, choice: Choice, now: u64) -> Charge {
    let on_the_way = choice.select.is_some() || matches!(element.main, Main::Dispatch { .. });
    let (spent, thread) = match choice.issue {
        Some(thread) => (Spent::Issue, Some(thread)),
        None if on_the_way => (Spent::SetUp, Some(Thread::Main)),
        None => stalled(element, code, choice.activity, now),
    };
    let at = thread.and_then(|thread| place(element, code, thread));
    let selecting = choice.select.filter(|_| choice.issue.is_none()).map(|task| (task, None));
    Charge { spent, thread: thread.map(number), at: at.or(selecting), selected: choice.select }
}

/// Where nothing is issued, selected or on its way: the first thread for which the cycle counts as it does.
fn stalled(element: &Element, code: &ImageCode, activity: Activity, now: u64) -> (Spent, Option<Thread>) {
    let spent = match activity {
        Activity::Compute => Spent::SetUp,
        Activity::Wait => Spent::Wait,
        Activity::BackPressure => Spent::BackPressure,
        Activity::Idle => return (Spent::Idle, None),
    };
    let responsible = |thread: &Thread| match ce::status(element, code, *thread, now, None) {
        Status::Setup => spent == Spent::SetUp,
        Status::NoRoom(_) | Status::Full(_) => spent == Spent::BackPressure,
        Status::NoInput(_) | Status::Empty(_) | Status::Busy(_) => spent == Spent::Wait,
        Status::Absent | Status::Ready => false,
    };
    let threads = (0..element.micro.len()).map(Thread::Micro).chain([Thread::Main]);
    (spent, threads.into_iter().find(responsible))
}

/// The instruction that a thread is at.
fn place(element: &Element, code: &ImageCode, thread: Thread) -> Option<(usize, Option<usize>)> {
    let (task, step) = match (thread, &element.main) {
        (Thread::Micro(t), _) => {
            let (task, instruction) = code.vectors[element.micro[t].as_ref()?.vector].place;
            return Some((task, Some(instruction)));
        }
        (Thread::Main, Main::Free) => return None,
        (Thread::Main, Main::At(at)) => (at.task, Some(at.step)),
        (Thread::Main, Main::Dispatch { task, from, .. }) => (*task, *from),
    };
    Some((task, step.map(|step| code.tasks[task].origins[step])))
}
