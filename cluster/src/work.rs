//! The numbers of a cluster, and the work of a wafer cut into chunks.

use crate::Picos;
use sim_core::arch::ArchSpec;

/// Largest chunk in bytes (rule K1).
pub(crate) const CHUNK: u64 = 4 << 20;

/// The numbers of a cluster; see the keys `cluster.*`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cluster {
    /// Wafers.
    pub systems: u32,
    /// Children of a node of SwarmX.
    pub fanout: u32,
    /// Bits per second of a link, each way.
    pub link: u64,
    /// What a node adds to a chunk's way.
    pub latency: Picos,
    /// Bits per second that MemoryX reads.
    pub read: u64,
    /// Bits per second that MemoryX takes.
    pub write: u64,
    /// Parameters per second that the optimizer updates.
    pub optimizer: u64,
    /// Bytes in front of a wafer, each way.
    pub prefetch: u64,
    /// How much slower the last wafer is, in thousandths.
    pub skew: u32,
}

impl Cluster {
    /// Of a machine.
    #[must_use]
    pub fn of(arch: &ArchSpec) -> Cluster {
        Cluster {
            systems: arch.systems.value,
            fanout: arch.fanout.value,
            link: arch.io_bits_per_second.value,
            latency: Picos(u64::from(arch.node_latency.value) * 1000),
            read: arch.memory_read.value,
            write: arch.memory_write.value,
            optimizer: arch.optimizer.value,
            prefetch: arch.prefetch.value,
            skew: arch.skew.value,
        }
    }
}

/// A kernel of a wafer, as it was executed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stage {
    /// Its length.
    pub time: Picos,
    /// Bytes of weights that it takes.
    pub weights: u64,
    /// Bytes of gradients that it gives.
    pub gradients: u64,
    /// The layer that they belong to; the last number stands for all that belongs to no layer.
    pub layer: u32,
}

/// A chunk of a stage.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Chunk {
    pub(crate) time: Picos,
    pub(crate) weights: u64,
    pub(crate) gradients: u64,
    pub(crate) layer: u32,
}

/// Rule K1.
pub(crate) fn chunks(stages: &[Stage]) -> Vec<Chunk> {
    let mut out = Vec::new();
    for s in stages {
        let n = s.weights.max(s.gradients).div_ceil(CHUNK).max(1);
        let part = |whole: u64, i: u64| whole * (i + 1) / n - whole * i / n;
        out.extend((0..n).map(|i| Chunk {
            time: Picos(part(s.time.0, i)),
            weights: part(s.weights, i),
            gradients: part(s.gradients, i),
            layer: s.layer,
        }));
    }
    out
}
