//! Edge streams: wavelets that enter and leave at the edges of the mesh (E1, E2).
//!
//! **Invariant.** A port moves at most one wavelet per cycle.
//! **Not here.** E3, which the verifier checks.

use super::state::{Machine, Port, Wavelet};
use sim_core::program::Flow;

impl Port {
    /// E2: whether a port off the wafer accepts a wavelet in cycle `now`.
    pub(super) fn is_open(&self, now: u64) -> bool {
        self.left > 0 && now >= self.next
    }

    /// E2: takes a wavelet off the wafer.
    pub(super) fn accept(&mut self, now: u64, data: u32) {
        self.data.push(data);
        self.moved(now);
    }

    fn moved(&mut self, now: u64) {
        assert!(self.left > 0, "E1, E2: a port moved more wavelets than its stream has");
        self.left -= 1;
        self.next = now + self.interval;
    }
}

/// E1: the ports that put a wavelet onto the wafer in this cycle.
pub(super) fn decide(machine: &Machine, entries: &mut Vec<usize>) {
    entries.clear();
    for (index, port) in machine.ports.iter().enumerate() {
        let Some((channel, buffer)) = port.into else { continue };
        let room = machine.pes[port.pe].router.channels[channel].buffers[buffer].1.has_room();
        if port.flow == Flow::In && port.left > 0 && machine.now >= port.next && room {
            entries.push(index);
        }
    }
}

/// Puts a wavelet in at each of these ports, which [`decide`] has found.
pub(super) fn commit(machine: &mut Machine, entries: &[usize]) {
    let ready = machine.now + u64::from(machine.arch.router.hop.value);
    for &index in entries {
        let port = &mut machine.ports[index];
        let data = port.data.get(port.entered).copied().unwrap_or(0);
        port.entered += 1;
        port.moved(machine.now);
        let (channel, buffer) = port.into.expect("the decision found a channel");
        let wavelet = Wavelet { ready, data, control: false };
        machine.pes[port.pe].router.channels[channel].buffers[buffer].1.push(wavelet);
    }
}
