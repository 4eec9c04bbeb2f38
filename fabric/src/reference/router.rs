//! Routers: which wavelets move in a cycle (R3), and moving them (R2).
//!
//! **Invariant.** [`decide`] reads only what was there at the start of the cycle.
//! **Not here.** The compute element's ends of its queues (`ce`, `vector`).

use super::state::{Channel, Feed, Fifo, Machine, Pe, To};
use sim_core::coord::{Dir, DirSet};

/// A head wavelet that moves in this cycle.
#[derive(Debug, Clone, Copy)]
pub(super) struct Move {
    pub(super) pe: usize,
    /// Index into the router's channels.
    pub(super) channel: usize,
}

/// R3: the wavelets that move, router by router, in the order in which their colors were
/// considered.
pub(super) fn decide(machine: &Machine, moves: &mut Vec<Move>) {
    moves.clear();
    for (index, pe) in machine.pes.iter().enumerate() {
        let mut taken = DirSet::EMPTY;
        for &channel in &pe.router.order {
            let c = &pe.router.channels[channel];
            let free = c.outputs.iter().all(|o| !taken.contains(o.dir));
            if head_ready(pe, c, machine.now) && free && outputs_have_room(machine, pe, c) {
                taken = c.outputs.iter().fold(taken, |t, o| t.with(o.dir));
                moves.push(Move { pe: index, channel });
            }
        }
    }
}

/// The FIFO in which the wavelets of a channel wait (R2), if there is one.
fn fifo<'a>(pe: &'a Pe, channel: &'a Channel) -> Option<&'a Fifo> {
    match channel.feed {
        Feed::Buffer => Some(&channel.buffer),
        Feed::Queue(q) => pe.element.as_ref().map(|e| &e.outputs[q].1),
        Feed::Nothing => None,
    }
}

fn head_ready(pe: &Pe, channel: &Channel, now: u64) -> bool {
    fifo(pe, channel).is_some_and(|f| f.ready(0, now))
}

fn outputs_have_room(machine: &Machine, pe: &Pe, channel: &Channel) -> bool {
    channel.outputs.iter().all(|output| match output.to {
        To::Channel { pe, channel } => machine.pes[pe].router.channels[channel].buffer.has_room(),
        To::Input(q) => pe.element.as_ref().is_some_and(|e| e.inputs[q].1.has_room()),
        To::Port(p) => machine.ports[p].is_open(machine.now),
        To::Nowhere => false,
    })
}

/// Moves the wavelets: each leaves its FIFO and enters all of its outputs (R1, R2, C7, E2), and
/// the colors that moved go to the end of the service order (R3).
pub(super) fn commit(machine: &mut Machine, moves: &[Move]) {
    for m in moves {
        let data = take(machine, *m);
        for k in 0..machine.pes[m.pe].router.channels[m.channel].outputs.len() {
            let output = machine.pes[m.pe].router.channels[m.channel].outputs[k];
            match output.to {
                To::Channel { pe, channel } => {
                    let ready = machine.now + machine.numbers.hop;
                    machine.pes[pe].router.channels[channel].buffer.push(ready, data);
                }
                To::Input(q) => {
                    let ready = machine.now + machine.numbers.ramp_down;
                    let element = machine.pes[m.pe].element.as_mut().expect("an input queue has a compute element");
                    element.inputs[q].1.push(ready, data);
                }
                To::Port(p) => machine.ports[p].accept(machine.now, data),
                To::Nowhere => unreachable!("there is never room nowhere"),
            }
            machine.pes[m.pe].counters.sent[output.dir as usize] += 1; // P2
        }
        let order = &mut machine.pes[m.pe].router.order;
        order.retain(|&c| c != m.channel);
        order.push(m.channel);
    }
}

fn take(machine: &mut Machine, m: Move) -> u32 {
    let pe = &mut machine.pes[m.pe];
    let channel = &mut pe.router.channels[m.channel];
    match channel.feed {
        Feed::Buffer => channel.buffer.pop(),
        Feed::Queue(q) => {
            debug_assert_eq!(channel.rx, Dir::Ramp);
            pe.element.as_mut().expect("an output queue has a compute element").outputs[q].1.pop()
        }
        Feed::Nothing => unreachable!("no wavelet waits nowhere"),
    }
}
