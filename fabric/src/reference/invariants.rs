//! What every run obeys, checked at its end: wavelets are neither lost nor made, FIFOs keep their bounds,
//! and every cycle of a PE counts once.
//!
//! **Invariant.** A run that violates one of them has no result.
//! **Not here.** The same checks of the fast engine, which share no code with these.

use super::state::{Fifo, Machine, Pe};
use sim_core::coord::Dir;
use sim_core::error::RunError;
use sim_core::program::Flow;

/// Wavelets are conserved, FIFOs keep their bounds, and every cycle of a PE counts once (P1).
pub(super) fn check(machine: &Machine) -> Result<(), RunError> {
    for (index, pe) in machine.pes.iter().enumerate() {
        for fifo in fifos(pe) {
            let held = fifo.wavelets.len();
            if fifo.pushed != fifo.popped + held as u64 || held > fifo.capacity {
                return Err(broken(machine, index, "a FIFO lost wavelets or holds too many"));
            }
        }
        let into_queues: u64 = pe.element.iter().flat_map(|e| &e.inputs).map(|(_, fifo)| fifo.pushed).sum();
        if into_queues != pe.counters.sent[Dir::Ramp as usize] {
            return Err(broken(machine, index, "other wavelets went down the ramp than entered input queues"));
        }
        if pe.element.is_some() && pe.counters.cycles.total() != machine.now {
            return Err(broken(machine, index, "its cycles do not add up to the run's"));
        }
    }
    // Links: what was sent over them, or came over the edge, is what buffers got, or left.
    let sent = |pe: &Pe| Dir::LINKS.iter().map(|&d| pe.counters.sent[d as usize]).sum::<u64>();
    let got = |pe: &Pe| pe.router.channels.iter().flat_map(|c| &c.buffers).map(|(_, fifo)| fifo.pushed).sum::<u64>();
    let moved = |flow| machine.ports.iter().filter(move |p| p.flow == flow).map(|p| p.total - p.left).sum::<u64>();
    let sent: u64 = machine.pes.iter().map(sent).sum();
    let got: u64 = machine.pes.iter().map(got).sum();
    if sent + moved(Flow::In) != got + moved(Flow::Out) {
        let violation = format!("{sent} wavelets were sent over links, {got} came out of them");
        return Err(RunError::Broken(violation));
    }
    Ok(())
}

fn fifos(pe: &Pe) -> impl Iterator<Item = &Fifo> {
    let queues = pe.element.iter().flat_map(|e| e.inputs.iter().chain(&e.outputs)).map(|(_, fifo)| fifo);
    queues.chain(pe.router.channels.iter().flat_map(|c| &c.buffers).map(|(_, fifo)| fifo))
}

fn broken(machine: &Machine, pe: usize, violation: &str) -> RunError {
    RunError::Broken(format!("PE {}: {violation}", machine.coord(pe)))
}
