//! SwarmX: a tree of nodes with links, down for weights and up for gradients (rule K2).
//!
//! **Invariant.** A link moves one chunk at a time, in the order in which they come.

use crate::Picos;
use crate::work::Cluster;

/// A link, one way.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Link {
    free: u64,
    /// Bytes that it has moved.
    pub(crate) bytes: u64,
}

impl Link {
    /// Moves `bytes` that are there at `ready`; gives when the last of them is over, and when the
    /// link was done with them.
    pub(crate) fn pass(&mut self, ready: u64, bytes: u64, rate: u64) -> u64 {
        self.free = self.free.max(ready) + Picos::of(bytes * 8, rate).0;
        self.bytes += bytes;
        self.free
    }
}

/// A tree over `leaves` wafers: links by level from the root, each with both ways.
#[derive(Debug)]
pub(crate) struct Tree {
    /// Links of each level; the last level's lead to the wafers.
    pub(crate) down: Vec<Vec<Link>>,
    pub(crate) up: Vec<Vec<Link>>,
    fanout: usize,
    rate: u64,
    latency: u64,
}

impl Tree {
    /// The tree over `leaves` of the cluster's wafers; its depth is that of all of them (K7).
    pub(crate) fn new(c: &Cluster, leaves: usize) -> Tree {
        let fanout = c.fanout.max(2) as usize;
        let mut depth = 1;
        while fanout.pow(depth) < c.systems as usize {
            depth += 1;
        }
        // Nodes of level `l` are the wafers in groups of `fanout ^ (depth - l)`.
        let levels: Vec<Vec<Link>> =
            (1..=depth).map(|l| vec![Link::default(); leaves.div_ceil(fanout.pow(depth - l)).max(1)]).collect();
        Tree { down: levels.clone(), up: levels, fanout, rate: c.link, latency: c.latency.0 }
    }

    /// A chunk that is at the root at `ready`: when it is at each wafer.
    pub(crate) fn broadcast(&mut self, ready: u64, bytes: u64) -> Vec<u64> {
        let mut at = vec![ready];
        for links in &mut self.down {
            let from = |i: usize| at[(i / self.fanout).min(at.len() - 1)];
            at = links.iter_mut().enumerate().map(|(i, l)| l.pass(from(i), bytes, self.rate) + self.latency).collect();
        }
        at
    }

    /// Chunks that the wafers give at `ready`: when their sum is at the root, and when each wafer's
    /// link was done with its own.
    pub(crate) fn reduce(&mut self, ready: &[u64], bytes: u64) -> (u64, Vec<u64>) {
        let mut sent = Vec::new();
        let mut at = ready.to_vec();
        for links in self.up.iter_mut().rev() {
            let done: Vec<u64> = links.iter_mut().zip(&at).map(|(l, &t)| l.pass(t, bytes, self.rate)).collect();
            if sent.is_empty() {
                sent.clone_from(&done);
            }
            at = done.chunks(self.fanout).map(|c| c.iter().max().copied().unwrap_or(0) + self.latency).collect();
        }
        (at.into_iter().max().unwrap_or(0), sent)
    }
}
