//! Routers: which wavelets move in a cycle (R3), and moving them (R2); switches, filters (S1 to S5).
//!
//! **Invariant.** [`decide`] reads only what was there at the start of the cycle.
//! **Not here.** The compute element's ends of its queues (`ce`, `vector`).

use super::state::{Channel, Fifo, Machine, Output, Pe, To, Wavelet};
use sim_core::coord::{Color, Dir, DirSet};
use sim_core::program::Pop;

/// A head wavelet that moves in this cycle.
#[derive(Debug, Clone, Copy)]
pub(super) struct Move {
    pub(super) pe: usize,
    /// Index into the router's channels.
    pub(super) channel: usize,
}

/// A color that a control wavelet closed in the router of a PE (S4).
#[derive(Debug, Clone, Copy)]
pub(super) struct Closed {
    pub(super) pe: usize,
    pub(super) color: Color,
}

/// R3: the wavelets that move, router by router, in the order in which their colors were
/// considered.
pub(super) fn decide(machine: &Machine, moves: &mut Vec<Move>) {
    moves.clear();
    for (index, pe) in machine.pes.iter().enumerate() {
        let mut taken = DirSet::EMPTY;
        for &channel in &pe.router.order {
            let c = &pe.router.channels[channel];
            let Some(head) = head(pe, c, machine.now) else { continue };
            let outputs = leaves_by(c, head);
            let free = outputs.iter().all(|o| !taken.contains(o.dir));
            if free && have_room(machine, pe, &outputs) {
                taken = outputs.iter().fold(taken, |t, o| t.with(o.dir));
                moves.push(Move { pe: index, channel });
            }
        }
    }
}

/// The FIFO in which the wavelets of a channel wait that it now takes (R2, S1), if there is one.
fn fifo<'a>(pe: &'a Pe, channel: &'a Channel) -> Option<&'a Fifo> {
    match channel.positions[channel.position].rx {
        Dir::Ramp => channel.queue.and_then(|q| pe.element.as_ref().map(|e| &e.outputs[q].1)),
        link => channel.buffers.iter().find(|(dir, _)| *dir == link).map(|(_, fifo)| fifo),
    }
}

/// The wavelet that can move, if its color is not closed (S4).
fn head(pe: &Pe, channel: &Channel, now: u64) -> Option<Wavelet> {
    fifo(pe, channel).filter(|_| !channel.closed).and_then(|f| f.ready(0, now))
}

/// The outputs that a wavelet leaves by: those of the position, without the ramp for a control
/// wavelet without a task (S2) and for a data wavelet that the filter holds back (S5).
fn leaves_by(channel: &Channel, head: Wavelet) -> Vec<Output> {
    let down = match head.control {
        true => task(head.data).is_some(),
        false => channel.filter.is_none_or(|f| f.at < f.pass),
    };
    let outputs = channel.positions[channel.position].outputs.iter().copied();
    outputs.filter(|o| down || o.dir != Dir::Ramp).collect()
}

/// S2: the number of the task that a control wavelet names.
pub(super) fn task(word: u32) -> Option<u8> {
    (word >> 22 & 1 == 1).then_some((word >> 16 & 63) as u8)
}

fn have_room(machine: &Machine, pe: &Pe, outputs: &[Output]) -> bool {
    outputs.iter().all(|output| match output.to {
        To::Channel { pe, channel, buffer } => machine.pes[pe].router.channels[channel].buffers[buffer].1.has_room(),
        To::Input(q) => pe.element.as_ref().is_some_and(|e| e.inputs[q].1.has_room()),
        To::Port(p) => machine.ports[p].is_open(machine.now),
        To::Nowhere => false,
    })
}

/// Moves the wavelets: each leaves its FIFO and enters all of its outputs (R1, R2, C7, E2), and
/// the colors that moved go to the end of the service order (R3). Gives the colors that were
/// closed.
pub(super) fn commit(machine: &mut Machine, moves: &[Move]) -> Vec<Closed> {
    let mut closed = Vec::new();
    for m in moves {
        assert!(!machine.pes[m.pe].router.channels[m.channel].closed, "S4: a wavelet of a closed color moved");
        let pe = &mut machine.pes[m.pe];
        let wavelet = take(pe, m.channel);
        let channel = &mut pe.router.channels[m.channel];
        let outputs = leaves_by(channel, wavelet);
        let data = if wavelet.control { obey(channel, wavelet.data) } else { wavelet.data };
        if !wavelet.control {
            count(channel);
        } else if channel.closed {
            closed.push(Closed { pe: m.pe, color: channel.color });
        }
        for output in &outputs {
            channel.sent[output.dir as usize] += 1; // P2
        }
        for output in outputs {
            put(machine, m.pe, output, Wavelet { data, ..wavelet });
        }
        let order = &mut machine.pes[m.pe].router.order;
        order.retain(|&c| c != m.channel);
        order.push(m.channel);
    }
    closed
}

/// A wavelet leaves by one output.
fn put(machine: &mut Machine, pe: usize, output: Output, wavelet: Wavelet) {
    let now = machine.now;
    match output.to {
        To::Channel { pe, channel, buffer } => {
            let ready = now + u64::from(machine.arch.router.hop.value);
            machine.pes[pe].router.channels[channel].buffers[buffer].1.push(Wavelet { ready, ..wavelet });
        }
        To::Input(q) => {
            let ready = now + u64::from(machine.arch.router.ramp_down.value);
            let element = machine.pes[pe].element.as_mut().expect("an input queue has a compute element");
            element.inputs[q].1.push(Wavelet { ready, ..wavelet });
        }
        To::Port(p) => machine.ports[p].accept(now, wavelet.data),
        To::Nowhere => unreachable!("there is never room nowhere"),
    }
    machine.pes[pe].counters.sent[output.dir as usize] += 1; // P2
}

fn take(pe: &mut Pe, channel: usize) -> Wavelet {
    let channel = &mut pe.router.channels[channel];
    match channel.positions[channel.position].rx {
        Dir::Ramp => {
            let queue = channel.queue.expect("the decision found a queue");
            pe.element.as_mut().expect("an output queue has a compute element").outputs[queue].1.pop()
        }
        link => {
            let buffer = channel.buffers.iter_mut().find(|(dir, _)| *dir == link);
            buffer.expect("the decision found a buffer").1.pop()
        }
    }
}

/// S3, S4: the router obeys the first command of a control wavelet; gives the word that goes on.
fn obey(channel: &mut Channel, word: u32) -> u32 {
    let last = channel.positions.len() - 1;
    let command = word & 3;
    match command {
        1 if channel.position < last => channel.position += 1,
        1 if channel.ring => channel.position = 0,
        2 => channel.position = 0,
        3 => channel.closed = true,
        _ => {}
    }
    let pops = match channel.pop {
        Pop::Never => false,
        Pop::Always => true,
        Pop::OnAdvance => command == 1,
    };
    if pops { word & !0xffff | (word & 0xffff) >> 2 } else { word }
}

/// S5: a data wavelet came to the ramp's filter.
fn count(channel: &mut Channel) {
    let ramp = channel.positions[channel.position].outputs.iter().any(|o| o.dir == Dir::Ramp);
    if let Some(filter) = channel.filter.as_mut().filter(|_| ramp) {
        filter.at = (filter.at + 1) % filter.period;
    }
}
