//! SwarmX: a tree of nodes with links, down for weights and up for gradients (rule K2).
//!
//! A node copies every chunk that comes from above to all of its children, and adds the chunks that
//! come from all of its children into one. So the root's link moves each byte of weights once, however
//! many wafers there are. Example: 16 wafers with a fanout of 4 hang on 4 nodes below the root.
//!
//! **Invariant.** A link moves one chunk at a time, in the order in which they come. What a link
//! into a node moves, every link out of it moves ([`Tree::check`]).

use crate::Picos;
use crate::work::Cluster;

/// One direction of a link.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Link {
    free: u64,
    /// Bytes that it has moved so far.
    pub(crate) bytes: u64,
}

impl Link {
    /// The time, in picoseconds, at which it has moved all that it was given.
    pub(crate) fn free(&self) -> u64 {
        self.free
    }

    /// Moves `bytes` that are at its beginning at time `ready`, at `rate` bits per second; gives the
    /// time at which the last of them is at its end.
    pub(crate) fn pass(&mut self, ready: u64, bytes: u64, rate: u64) -> u64 {
        self.free = self.free.max(ready) + Picos::of(bytes * 8, rate).0;
        self.bytes += bytes;
        self.free
    }
}

/// What hangs on the lowest nodes beside the wafers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Leaf {
    /// The wafers themselves.
    Wafers,
    /// Their activation servers.
    Servers,
}

/// A kind of leaf of the tree, with the links that lead to it in either direction.
#[derive(Debug)]
pub(crate) struct Leaves {
    pub(crate) down: Vec<Link>,
    pub(crate) up: Vec<Link>,
    rate: u64,
}

/// A tree over some wafers: links between nodes by level from the root, and those to the leaves.
#[derive(Debug)]
pub(crate) struct Tree {
    /// Links of each level of nodes but the root's.
    pub(crate) down: Vec<Vec<Link>>,
    pub(crate) up: Vec<Vec<Link>>,
    pub(crate) wafers: Leaves,
    pub(crate) servers: Leaves,
    fanout: usize,
    rate: u64,
    latency: u64,
}

impl Tree {
    /// The tree over `leaves` of the cluster's wafers; its depth is that of all of them (K7).
    pub(crate) fn new(c: &Cluster, leaves: usize) -> Tree {
        let fanout = c.fanout.max(2) as usize;
        let depth = depth(c.systems, c.fanout);
        // Nodes of level `l` are the wafers in groups of `fanout ^ (depth - l)`.
        let levels: Vec<Vec<Link>> =
            (1..depth).map(|l| vec![Link::default(); leaves.div_ceil(fanout.pow(depth - l)).max(1)]).collect();
        let links = vec![Link::default(); leaves];
        let of = |rate| Leaves { down: links.clone(), up: links.clone(), rate };
        let (wafers, servers) = (of(c.link.min(c.io)), of(c.activation));
        Tree { down: levels.clone(), up: levels, wafers, servers, fanout, rate: c.link, latency: c.latency.0 }
    }

    /// A chunk that is at the root at `ready`: when it is at each leaf, into `at`.
    pub(crate) fn broadcast(&mut self, leaf: Leaf, ready: u64, bytes: u64, at: &mut Vec<u64>) {
        let (fanout, latency, rate) = (self.fanout, self.latency, self.rate);
        at.clear();
        at.push(ready);
        let mut down = |links: &mut [Link], rate| {
            // From the last child to the first, so that a node's own time is not overwritten before
            // its children have used it.
            let nodes = at.len() - 1;
            at.resize(links.len(), 0);
            for (i, link) in links.iter_mut().enumerate().rev() {
                at[i] = link.pass(at[(i / fanout).min(nodes)], bytes, rate) + latency;
            }
        };
        for links in &mut self.down {
            down(links, rate);
        }
        let leaves = match leaf {
            Leaf::Wafers => &mut self.wafers,
            Leaf::Servers => &mut self.servers,
        };
        down(&mut leaves.down, leaves.rate);
    }

    /// Chunks that the leaves give at the times in `at`, which is used up: when their sum is at the
    /// root.
    pub(crate) fn reduce(&mut self, leaf: Leaf, at: &mut Vec<u64>, bytes: u64) -> u64 {
        let (fanout, latency, rate) = (self.fanout, self.latency, self.rate);
        let mut up = |links: &mut [Link], rate| {
            let nodes = links.len().div_ceil(fanout);
            for node in 0..nodes {
                let children = node * fanout..((node + 1) * fanout).min(links.len());
                let last = children.map(|i| links[i].pass(at[i], bytes, rate)).max();
                at[node] = last.unwrap_or(0) + latency;
            }
            at.truncate(nodes);
        };
        let leaves = match leaf {
            Leaf::Wafers => &mut self.wafers,
            Leaf::Servers => &mut self.servers,
        };
        up(&mut leaves.up, leaves.rate);
        for links in self.up.iter_mut().rev() {
            up(links, rate);
        }
        at.iter().max().copied().unwrap_or(0)
    }

    /// What a wafer gets alone, from its servers at `ready`: when it is there (rule K8).
    pub(crate) fn feed(&mut self, wafer: usize, ready: u64, bytes: u64) -> u64 {
        self.wafers.down[wafer].pass(ready, bytes, self.wafers.rate) + self.latency
    }

    /// What a wafer gives alone at `ready`: when it is at its servers (rule K8).
    pub(crate) fn drain(&mut self, wafer: usize, ready: u64, bytes: u64) -> u64 {
        self.wafers.up[wafer].pass(ready, bytes, self.wafers.rate) + self.latency
    }

    /// Conservation: of `down` bytes that went in at the root, `own.0` of a wafer alone, `up` that
    /// came out and `own.1` of a wafer alone, every link moved what it had to; `table` of both went
    /// to and from the servers.
    ///
    /// # Panics
    /// If a link moved another number of bytes.
    pub(crate) fn check(&self, (down, up): (u64, u64), own: (u64, u64), table: (u64, u64)) {
        let all = |links: &[Link], bytes: u64, what: &str| {
            assert!(links.iter().all(|l| l.bytes == bytes), "{what}: {bytes} bytes on every link, not {links:?}");
        };
        self.down.iter().for_each(|links| all(links, down, "down"));
        self.up.iter().for_each(|links| all(links, up, "up"));
        all(&self.wafers.down, down - table.0 + own.0, "onto the wafers");
        all(&self.wafers.up, up - table.1 + own.1, "off the wafers");
        all(&self.servers.down, table.0, "to the servers");
        all(&self.servers.up, table.1, "from the servers");
    }
}

/// Levels of nodes over so many wafers.
pub(crate) fn depth(systems: u32, fanout: u32) -> u32 {
    let fanout = u64::from(fanout.max(2));
    let (mut depth, mut reach) = (1, fanout);
    while reach < u64::from(systems) {
        depth += 1;
        reach *= fanout;
    }
    depth
}

#[cfg(test)]
mod tests;
