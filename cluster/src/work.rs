//! What a run on a cluster is given: the numbers of the cluster, and the work of a wafer, cut into
//! chunks.
//!
//! Bytes cross a cluster in chunks, since nothing waits for a whole layer: a wafer consumes the first
//! megabytes of a weight matrix while the rest is on its way (rule K1).

use crate::Picos;
use sim_core::arch::ArchSpec;

/// Largest chunk in bytes (rule K1).
pub(crate) const CHUNK: u64 = 4 << 20;

/// The numbers of a cluster; see the keys `cluster.*`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cluster {
    /// Number of wafers, one per system.
    pub systems: u32,
    /// Most children of a node of SwarmX.
    pub fanout: u32,
    /// Bits per second of a link of SwarmX, each way.
    pub link: u64,
    /// Bits per second over a wafer's edges, each way.
    pub io: u64,
    /// Time that a node adds to the way of a chunk.
    pub latency: Picos,
    /// Bits per second that MemoryX reads.
    pub read: u64,
    /// Bits per second that MemoryX writes, of gradients.
    pub write: u64,
    /// Parameters per second that the optimizer updates.
    pub optimizer: u64,
    /// Bits per second of a wafer's activation servers, each way.
    pub activation: u64,
    /// Whether gradients are clipped by the norm of all of them.
    pub clip: bool,
    /// Bytes that may be on their way to a wafer, or from it, at any time.
    pub prefetch: u64,
    /// How much slower the last wafer is, in thousandths.
    pub skew: u32,
    /// Wafers that are lost, whose share the others take over.
    pub lost: u32,
}

impl Cluster {
    /// The numbers of a machine.
    #[must_use]
    pub fn of(arch: &ArchSpec) -> Cluster {
        Cluster {
            systems: arch.cluster.systems.value,
            fanout: arch.cluster.fanout.value,
            link: arch.cluster.link.value,
            io: arch.wafer.io_bits_per_second.value,
            latency: Picos(u64::from(arch.cluster.node_latency.value) * 1000),
            read: arch.cluster.memory_read.value,
            write: arch.cluster.memory_write.value,
            optimizer: arch.cluster.optimizer.value,
            activation: arch.cluster.activation.value,
            clip: arch.cluster.clip.value > 0,
            prefetch: arch.cluster.prefetch.value,
            skew: arch.cluster.skew.value,
            lost: arch.cluster.lost.value,
        }
    }

    /// Number of wafers that are not lost; at least 1.
    #[must_use]
    pub fn working(&self) -> u32 {
        self.systems.saturating_sub(self.lost).max(1)
    }
}

/// What a wafer does in a step. Every wafer does the same work on its share of the batch.
#[derive(Debug, Clone, Copy)]
pub struct Work<'a> {
    /// The kernels of a micro-batch, in the order of their execution.
    pub kernels: &'a [ExecutedKernel],
    /// How often these kernels are executed in a step.
    pub micro_batches: u64,
    /// Parameters of each layer, and at the end those of no layer.
    pub parameters: &'a [u64],
    /// The tables of embeddings that the activation servers keep.
    pub table: Table,
}

/// Embeddings, whose rows the activation servers look up (rule K8).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Table {
    /// Bytes that they get at the start of a step.
    pub weights: u64,
    /// Bytes of its gradients that they give at the end.
    pub gradients: u64,
}

/// A kernel of a wafer, as it was executed, with the bytes that cross the wafer's edge.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ExecutedKernel {
    /// Time that its cycles take.
    pub time: Picos,
    /// Bytes that all wafers get alike: weights.
    pub weights: u64,
    /// Bytes of all wafers that are added: gradients.
    pub gradients: u64,
    /// Bytes that the wafer gets alone: embeddings of its tokens, labels, checkpoints.
    pub inputs: u64,
    /// Bytes that it gives alone: gradients of these embeddings, checkpoints, losses.
    pub outputs: u64,
    /// The layer that they belong to; the last number stands for all that belongs to no layer.
    pub layer: u32,
}

/// Cuts kernels into chunks (rule K1).
pub(crate) fn chunks(kernels: &[ExecutedKernel]) -> Vec<ExecutedKernel> {
    let mut out = Vec::new();
    for s in kernels {
        let n = s.weights.max(s.gradients).max(s.inputs).max(s.outputs).div_ceil(CHUNK).max(1);
        let part = |whole: u64, i: u64| share(whole, i, n);
        out.extend((0..n).map(|i| ExecutedKernel {
            time: Picos(part(s.time.0, i)),
            weights: part(s.weights, i),
            gradients: part(s.gradients, i),
            inputs: part(s.inputs, i),
            outputs: part(s.outputs, i),
            layer: s.layer,
        }));
    }
    out
}

/// The sizes of the chunks that some bytes are cut into.
pub(crate) fn pieces(bytes: u64) -> impl Iterator<Item = u64> {
    let n = bytes.div_ceil(CHUNK);
    (0..n).map(move |i| share(bytes, i, n))
}

/// Component `i` of `n` of a whole; the parts add up to it.
fn share(whole: u64, i: u64, n: u64) -> u64 {
    let up_to = |i: u64| (u128::from(whole) * u128::from(i) / u128::from(n)) as u64;
    up_to(i + 1) - up_to(i)
}
