//! The state of a cluster between two chunks, and what each chunk changes in it.
//!
//! **Invariant.** What a wafer takes and gives is counted where it begins; [`State::check`] compares
//! with what the links moved.

use super::Cause;
use crate::Picos;
use crate::tree::{Leaf, Link, Tree};
use crate::work::{Cluster, ExecutedKernel, Work, pieces};
use std::collections::VecDeque;

/// Number of [`Cause`]s.
pub(super) const CAUSES: usize = 5;

/// Bytes on their way, the oldest first, each with the time from which on they are gone and what it
/// is to wait for them.
#[derive(Debug, Clone, Default)]
struct Window {
    held: VecDeque<(u64, u64, usize)>,
    bytes: u64,
}

impl Window {
    /// When there is room for `bytes` more within `limit`, and the cause of the wait; a chunk larger
    /// than that goes alone.
    fn room(&mut self, bytes: u64, limit: u64) -> (u64, usize) {
        let mut at = (0, Cause::Gradients as usize);
        while self.bytes + bytes > limit {
            let Some((gone, when, cause)) = self.held.pop_front() else { break };
            self.bytes -= gone;
            at = at.max((when, cause));
        }
        at
    }

    fn push(&mut self, bytes: u64, gone: u64, cause: Cause) {
        self.bytes += bytes;
        self.held.push_back((bytes, gone, cause as usize));
    }
}

/// A wafer with its activation servers.
#[derive(Debug, Clone, Default)]
struct Wafer {
    /// When its last chunk ended.
    free: u64,
    /// How much slower it is, in thousandths.
    slow: u64,
    /// What it gave and nobody has taken yet.
    leaving: Window,
    /// What was sent to it alone and it has not used yet.
    coming: Window,
    /// What its servers send and take.
    sent: Link,
    taken: Link,
    /// Since when the servers have the table of the step.
    table: u64,
    /// Where its time went, by [`Cause`].
    spent: [u64; CAUSES],
}

impl Wafer {
    fn wait(&mut self, until: u64, cause: usize) {
        self.spent[cause] += until.max(self.free) - self.free;
        self.free = self.free.max(until);
    }

    /// Waits for what comes at `arrival` and was updated before: for gradients, for the update, and
    /// for its way.
    fn wait_for(&mut self, update: Update, arrival: u64) {
        let reasons = [
            (update.written, Cause::Gradients),
            (update.served, Cause::Activations),
            (update.begun, Cause::Gradients),
            (update.done, Cause::Optimizer),
            (arrival, Cause::Weights),
        ];
        for (until, cause) in reasons {
            // What was updated long ago is no reason to wait.
            self.wait(until.min(arrival), cause as usize);
        }
    }
}

/// The last update of a layer's parameters.
#[derive(Debug, Clone, Copy, Default)]
struct Update {
    /// When MemoryX had the gradients that wafers give.
    written: u64,
    /// When the servers had what the table's gradients are sums of, if it waited for these.
    served: u64,
    /// When all gradients were there.
    begun: u64,
    done: u64,
}

impl Update {
    /// When both are there.
    fn latest(self, other: Update) -> Update {
        Update {
            written: self.written.max(other.written),
            served: self.served.max(other.served),
            begun: self.begun.max(other.begun),
            done: self.done.max(other.done),
        }
    }
}

/// Bytes that were handed over at their origin, to be compared with what the links moved.
#[derive(Debug, Clone, Copy, Default)]
struct Given {
    weights: u64,
    gradients: u64,
    inputs: u64,
    outputs: u64,
    table: (u64, u64),
}

/// The cluster between two chunks.
#[derive(Debug)]
pub(super) struct State<'a> {
    cluster: &'a Cluster,
    work: &'a Work<'a>,
    wafers: Vec<Wafer>,
    tree: Tree,
    read: Link,
    write: Link,
    /// Weights that were read and not yet consumed by all wafers.
    coming: Window,
    /// When the optimizer is done with what it has.
    optimizer: u64,
    /// The last update of each layer: since it is done, its parameters are those of the next step.
    updated: Vec<Update>,
    /// What MemoryX has waited for so far: it reads in order, so what comes later waits too.
    awaited: Update,
    given: Given,
    /// Times of the wafers, or of nodes above them, for one chunk.
    at: Vec<u64>,
}

impl<'a> State<'a> {
    pub(super) fn new(cluster: &'a Cluster, work: &'a Work<'a>, wafers: u32) -> State<'a> {
        let mut all = vec![Wafer::default(); wafers.max(1) as usize];
        if let Some(last) = all.last_mut() {
            last.slow = u64::from(cluster.skew);
        }
        State {
            cluster,
            work,
            tree: Tree::new(cluster, all.len()),
            wafers: all,
            read: Link::default(),
            write: Link::default(),
            coming: Window::default(),
            optimizer: 0,
            updated: vec![Update::default(); work.parameters.len()],
            awaited: Update::default(),
            given: Given::default(),
            at: Vec::new(),
        }
    }

    /// MemoryX reads for the leaves what belongs to a layer; [`State::at`] is when it is there (rule K3).
    fn fetch(&mut self, leaf: Leaf, room: u64, layer: usize, bytes: u64) {
        let ready = room.max(self.updated[layer].done);
        self.awaited = self.awaited.latest(self.updated[layer]);
        let read = self.read.pass(ready, bytes, self.cluster.read);
        self.tree.broadcast(leaf, read, bytes, &mut self.at);
    }

    /// Rule K8: the servers get the table of a step.
    pub(super) fn begin(&mut self) {
        for bytes in pieces(self.work.table.weights) {
            self.fetch(Leaf::Servers, 0, self.updated.len() - 1, bytes);
            self.given.table.0 += bytes;
            self.wafers.iter_mut().zip(&self.at).for_each(|(wafer, at)| wafer.table = *at);
        }
    }

    /// Rules K3, K4 and K8: the wafers reach the start of a chunk's cycles.
    pub(super) fn start(&mut self, c: &ExecutedKernel) {
        let limit = self.cluster.prefetch;
        if c.weights > 0 {
            let room = self.coming.room(c.weights, limit).0;
            self.fetch(Leaf::Wafers, room, c.layer as usize, c.weights);
            self.given.weights += c.weights;
        } else {
            self.at.clear();
            self.at.resize(self.wafers.len(), 0);
        }
        self.given.inputs += c.inputs;
        let update = self.awaited;
        for (i, (wafer, arrival)) in self.wafers.iter_mut().zip(&self.at).enumerate() {
            if c.gradients + c.outputs > 0 {
                let (clear, cause) = wafer.leaving.room(c.gradients + c.outputs, limit);
                wafer.wait(clear, cause);
            }
            wafer.wait_for(update, *arrival);
            if c.inputs > 0 {
                let room = wafer.coming.room(c.inputs, limit).0;
                let sent = wafer.sent.pass(room.max(wafer.table), c.inputs, self.cluster.activation);
                let there = self.tree.feed(i, sent, c.inputs);
                wafer.wait_for(update, there.min(wafer.table));
                wafer.wait(there, Cause::Activations as usize);
            }
        }
    }

    /// The wafers do a chunk's cycles; what they give leaves. `last`: the gradients are the last
    /// ones of a layer.
    pub(super) fn finish(&mut self, c: &ExecutedKernel, last: bool) {
        for wafer in &mut self.wafers {
            let time = c.time.0 + c.time.0 * wafer.slow / 1000;
            wafer.spent[Cause::Compute as usize] += time;
            wafer.free += time;
            if c.inputs > 0 {
                wafer.coming.push(c.inputs, wafer.free, Cause::Activations);
            }
        }
        if c.weights > 0 {
            let used = self.wafers.iter().map(|w| w.free).max().unwrap_or(0);
            self.coming.push(c.weights, used, Cause::Weights);
        }
        if c.gradients > 0 {
            let written = self.add(Leaf::Wafers, |w| w.free, c.gradients);
            self.given.gradients += c.gradients;
            self.wafers.iter_mut().for_each(|w| w.leaving.push(c.gradients, written, Cause::Gradients));
            let table = self.work.table.gradients > 0 && c.layer as usize + 1 == self.updated.len();
            if last && !self.cluster.clip && !table {
                self.update(c.layer as usize, Update { begun: written, ..Update::default() });
            }
        }
        if c.outputs > 0 {
            self.given.outputs += c.outputs;
            for (i, wafer) in self.wafers.iter_mut().enumerate() {
                let there = self.tree.drain(i, wafer.free, c.outputs);
                let taken = wafer.taken.pass(there, c.outputs, self.cluster.activation);
                wafer.leaving.push(c.outputs, taken, Cause::Activations);
            }
        }
    }

    /// The sum of what the leaves give is in MemoryX (rule K4).
    fn add(&mut self, leaf: Leaf, ready: impl Fn(&Wafer) -> u64, bytes: u64) -> u64 {
        self.at.clear();
        self.at.extend(self.wafers.iter().map(ready));
        let sum = self.tree.reduce(leaf, &mut self.at, bytes);
        self.write.pass(sum, bytes, self.cluster.write)
    }

    /// Rules K5 and K8: the gradients of the table, and the updates that waited for all gradients.
    pub(super) fn end(&mut self, ends: &[Option<usize>]) {
        let none = self.updated.len() - 1;
        let table = self.work.table.gradients;
        let written = self.write.free();
        let mut ready = Update { written, begun: written, ..Update::default() };
        if table > 0 {
            ready.served = self.wafers.iter().map(|w| w.taken.free()).max().unwrap_or(0);
        }
        for bytes in pieces(table) {
            ready.begun = self.add(Leaf::Servers, |w| w.taken.free(), bytes);
            self.given.table.1 += bytes;
        }
        if self.cluster.clip {
            // In the order in which the next step needs them.
            for layer in std::iter::once(none).chain(0..none) {
                if ends[layer].is_some() || (layer == none && table > 0) {
                    self.update(layer, ready);
                }
            }
        } else if table > 0 {
            self.update(none, ready);
        }
    }

    /// Rule K5: the optimizer updates a layer, once all of its gradients are there.
    fn update(&mut self, layer: usize, ready: Update) {
        let time = Picos::of(self.work.parameters[layer], self.cluster.optimizer).0;
        self.optimizer = self.optimizer.max(ready.begun) + time;
        self.updated[layer] = Update { done: self.optimizer, ..ready };
    }

    /// The slowest wafer's clock, and where its time went.
    pub(super) fn mark(&self) -> (u64, [u64; CAUSES]) {
        let last = &self.wafers[self.wafers.len() - 1];
        (last.free, last.spent)
    }

    /// Wafers that are executed.
    pub(super) fn wafers(&self) -> usize {
        self.wafers.len()
    }

    /// Bytes that MemoryX read and took.
    pub(super) fn moved(&self) -> (u64, u64) {
        (self.read.bytes, self.write.bytes)
    }

    /// Every link moved what was given.
    pub(super) fn check(&self) {
        let g = &self.given;
        let (down, up) = (g.weights + g.table.0, g.gradients + g.table.1);
        assert_eq!(self.moved(), (down, up), "MemoryX reads and takes every byte once");
        self.tree.check((down, up), (g.inputs, g.outputs), g.table);
        for wafer in &self.wafers {
            assert_eq!((wafer.sent.bytes, wafer.taken.bytes), (g.inputs, g.outputs), "activation servers");
        }
    }
}
