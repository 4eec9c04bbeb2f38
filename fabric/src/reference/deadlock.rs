//! Whether a run is over (M3), and what is in the way when it does not come to its end.
//!
//! **Invariant.** A run that is not at its end and not in a deadlock changes in some later cycle.
//! **Not here.** Who moves a wavelet and who issues (`router`, `ce`).

use super::ce::{Thread, runnable, status};
use super::state::{Fifo, Machine, Main, Pe};
use super::vector::Status;
use sim_core::coord::Color;
use sim_core::error::{Blocked, MAIN_THREAD, RunError, WaitFor};
use sim_core::units::Cycle;

/// How many blocked units are examined.
const LISTED: usize = crate::analysis::waits::EXAMINED;

/// M3: whether the run is at its end.
pub(super) fn ended(machine: &Machine) -> bool {
    machine.ports.iter().all(|p| p.left == 0) && machine.pes.iter().all(|pe| at_rest(machine, pe))
}

fn at_rest(machine: &Machine, pe: &Pe) -> bool {
    if pe.router.channels.iter().flat_map(|c| &c.buffers).any(|(_, buffer)| !buffer.wavelets.is_empty()) {
        return false;
    }
    let Some(element) = &pe.element else { return true };
    let code = &machine.codes[element.code];
    matches!(element.main, Main::Free)
        && element.micro.iter().all(Option::is_none)
        && element.inputs.iter().chain(&element.outputs).all(|(_, fifo)| fifo.wavelets.is_empty())
        && !(0..code.tasks.len()).any(|task| runnable(element, code, task, machine.now))
}

/// Whether something becomes possible only by the passing of time: a wavelet that is not ready
/// yet, or an edge port whose interval is not over.
pub(super) fn time_helps(machine: &Machine) -> bool {
    machine.ports.iter().any(|p| p.left > 0 && p.next > machine.now)
        || machine.pes.iter().any(|pe| {
            let queues = pe.element.iter().flat_map(|e| e.inputs.iter().chain(&e.outputs));
            let buffers = pe.router.channels.iter().flat_map(|c| &c.buffers).map(|(_, buffer)| buffer);
            queues.map(|(_, fifo)| fifo).chain(buffers).any(|fifo| fifo.is_waiting(machine.now))
        })
}

/// The deadlock: nothing has happened since cycle `at`, and nothing will.
pub(super) fn deadlock(machine: &Machine, at: u64) -> RunError {
    let mut blocked = Vec::new();
    for pe in 0..machine.pes.len() {
        blocked_in(machine, pe, &mut blocked);
    }
    for port in machine.ports.iter().filter(|p| p.left > 0) {
        blocked.push(Blocked::new(machine.coord(port.pe), None, WaitFor::Edge(port.color)));
    }
    let total = blocked.len() as u64;
    // By PE, its threads first.
    blocked.sort_by_key(|b| (machine.grid.index(b.pe), b.thread.is_none(), *b));
    blocked.truncate(LISTED);
    RunError::Deadlock { at: Cycle(at), blocked, total, cycle: Vec::new() }
}

fn blocked_in(machine: &Machine, index: usize, blocked: &mut Vec<Blocked>) {
    let (pe, at) = (&machine.pes[index], machine.coord(index));
    let mut held = |color, wait: fn(Color) -> WaitFor, fifo: &Fifo| {
        if !fifo.wavelets.is_empty() {
            blocked.push(Blocked::new(at, None, wait(color)));
        }
    };
    for channel in &pe.router.channels {
        for (_, buffer) in &channel.buffers {
            held(channel.color, WaitFor::Router, buffer);
        }
    }
    let Some(element) = &pe.element else { return };
    for (color, fifo) in element.outputs.iter().filter_map(|(c, fifo)| Some(((*c)?, fifo))) {
        held(color, WaitFor::Router, fifo);
    }
    for (color, fifo) in element.inputs.iter().filter_map(|(c, fifo)| Some(((*c)?, fifo))) {
        held(color, WaitFor::Unread, fifo);
    }
    let micro = (0..element.micro.len()).map(|t| (Thread::Micro(t), t as u8));
    for (thread, number) in micro.chain([(Thread::Main, MAIN_THREAD)]) {
        let wait = match status(element, &machine.codes[element.code], thread, machine.now, None) {
            Status::NoRoom(color) => WaitFor::Output(color),
            Status::NoInput(color) => WaitFor::Input(color),
            Status::Full(id) => WaitFor::Space(id),
            Status::Empty(id) => WaitFor::Elements(id),
            Status::Busy(t) => WaitFor::Microthread(t),
            Status::Absent | Status::Setup | Status::Ready => continue,
        };
        blocked.push(Blocked::new(at, Some(number), wait));
    }
}
