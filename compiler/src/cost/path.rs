//! What a wavelet takes from compute element to compute element.
//!
//! **Invariant.** Rules C6, C7 and R2 of `docs/MODEL.md`, without waiting for others.
//! **Not here.** How many wavelets there are (`clock`), and who else wants the link.

use sim_core::arch::ArchSpec;

/// Cycles on the way between PEs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Path {
    /// From a beat to the output queue's end.
    out: u64,
    /// Over a link.
    link: u64,
    /// From a router to the input queue's end.
    down: u64,
}

impl Path {
    /// The latencies of a machine.
    #[must_use]
    pub fn of(arch: &ArchSpec) -> Path {
        Path {
            out: u64::from(arch.pe.ce_latency.value + arch.router.ramp_up.value),
            link: u64::from(arch.router.hop.value),
            down: u64::from(arch.router.ramp_down.value),
        }
    }

    /// From a beat that sends to the first one that can receive, so many links away.
    #[must_use]
    pub fn links(self, links: u64) -> u64 {
        self.out + links * self.link + self.down
    }

    /// Until what is passed on has been passed on by so many more PEs, one link from each other.
    #[must_use]
    pub fn chain(self, pes: u64) -> u64 {
        pes * self.links(1)
    }

    /// Over so many links, without a ramp: what a broadcast reaches later.
    #[must_use]
    pub fn across(self, links: u64) -> u64 {
        links * self.link
    }
}
