//! Steps on a cluster, chunk by chunk (rules K3 to K7).
//!
//! **Invariant.** Chunks are read, consumed and given in one order, that of the kernels; so every
//! time follows from times that were computed before it.

use crate::Picos;
use crate::tree::{Link, Tree};
use crate::work::{Chunk, Cluster, Stage, chunks};
use serde::Serialize;
use std::collections::VecDeque;

/// Steps that are executed, the last one up to its first chunk (rule K6).
const STEPS: u64 = 3;

/// Why a wafer stands still.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// Its own kernels: it does not.
    Compute,
    /// Weights come too slowly.
    Weights,
    /// Gradients leave too slowly.
    Gradients,
    /// Parameters were not yet updated.
    Optimizer,
}

/// What a step on the cluster takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outcome {
    /// The step.
    pub step: Picos,
    /// When it ended, from the start of the first one.
    pub until: Picos,
    /// Kernels of the slowest wafer.
    pub compute: Picos,
    /// It stood still for weights.
    pub weights: Picos,
    /// For gradients.
    pub gradients: Picos,
    /// For the optimizer.
    pub optimizer: Picos,
    /// Bytes of weights that every wafer got in all steps that were executed.
    pub weights_bytes: u64,
    /// Bytes of gradients that MemoryX got in all of them.
    pub gradients_bytes: u64,
    /// Wafers that were executed.
    pub executed: u32,
}

impl Outcome {
    /// What to change first: the largest cause of standing still, if it is a hundredth of the step.
    #[must_use]
    pub fn bottleneck(&self) -> Cause {
        let causes =
            [(self.weights, Cause::Weights), (self.gradients, Cause::Gradients), (self.optimizer, Cause::Optimizer)];
        let worst = causes.into_iter().max_by_key(|c| c.0).filter(|c| c.0.0 * 100 >= self.step.0);
        worst.map_or(Cause::Compute, |c| c.1)
    }
}

/// Executes the stages `micro_batches` times per step; `parameters` are those of each layer, the last
/// entry those of no layer. Equal wafers are executed once (rule K7).
#[must_use]
pub fn run(cluster: &Cluster, stages: &[Stage], micro_batches: u64, parameters: &[u64]) -> Outcome {
    let wafers = if cluster.skew == 0 { 1 } else { cluster.systems };
    run_wafers(cluster, stages, micro_batches, parameters, wafers)
}

/// The same with so many of the wafers, the last of which is the slow one.
fn run_wafers(cluster: &Cluster, stages: &[Stage], micro_batches: u64, parameters: &[u64], wafers: u32) -> Outcome {
    let chunks = chunks(stages);
    let mut state = State::new(cluster, parameters, wafers);
    let ends = last_gradients(&chunks, parameters.len());
    // Rule K6: from the first chunk of the second step to that of the third.
    let mut marks = Vec::new();
    for step in 0..STEPS {
        for micro_batch in 0..micro_batches {
            for (i, chunk) in chunks.iter().enumerate() {
                let first = micro_batch == 0 && i == 0;
                state.start(chunk);
                if first && step > 0 {
                    marks.push(state.mark());
                }
                if first && step + 1 == STEPS {
                    return outcome(&state, &marks);
                }
                let update = micro_batch + 1 == micro_batches && ends[chunk.layer as usize] == Some(i);
                state.finish(chunk, update);
            }
        }
    }
    outcome(&state, &marks)
}

/// For each layer the chunk with the last of its gradients.
fn last_gradients(chunks: &[Chunk], layers: usize) -> Vec<Option<usize>> {
    let mut ends = vec![None; layers];
    for (i, c) in chunks.iter().enumerate().filter(|(_, c)| c.gradients > 0) {
        ends[c.layer as usize] = Some(i);
    }
    ends
}

fn outcome(state: &State<'_>, marks: &[(u64, [u64; 4])]) -> Outcome {
    let [(from, before), (to, after)] = marks else {
        return Outcome {
            step: Picos(0),
            until: Picos(0),
            compute: Picos(0),
            weights: Picos(0),
            gradients: Picos(0),
            optimizer: Picos(0),
            weights_bytes: 0,
            gradients_bytes: 0,
            executed: state.wafers.len() as u32,
        };
    };
    let part = |cause: Cause| Picos(after[cause as usize] - before[cause as usize]);
    Outcome {
        step: Picos(to - from),
        until: Picos(*to),
        compute: part(Cause::Compute),
        weights: part(Cause::Weights),
        gradients: part(Cause::Gradients),
        optimizer: part(Cause::Optimizer),
        weights_bytes: state.tree.down.last().and_then(|links| links.last()).map_or(0, |l| l.bytes),
        gradients_bytes: state.write.bytes,
        executed: state.wafers.len() as u32,
    }
}

/// Bytes on their way, the oldest first, each with the time from which on they are gone.
#[derive(Debug, Clone, Default)]
struct Window {
    held: VecDeque<(u64, u64)>,
    bytes: u64,
}

impl Window {
    /// When there is room for `bytes` more within `limit`; a chunk larger than that goes alone.
    fn room(&mut self, bytes: u64, limit: u64) -> u64 {
        let mut at = 0;
        while self.bytes + bytes > limit {
            let Some((gone, when)) = self.held.pop_front() else { break };
            self.bytes -= gone;
            at = at.max(when);
        }
        at
    }

    fn push(&mut self, bytes: u64, gone: u64) {
        self.bytes += bytes;
        self.held.push_back((bytes, gone));
    }
}

/// A wafer.
#[derive(Debug, Clone, Default)]
struct Wafer {
    /// When its last chunk ended.
    free: u64,
    /// How much slower it is, in thousandths.
    slow: u64,
    /// Gradients in front of its link.
    leaving: Window,
    /// Where its time went, by [`Cause`].
    spent: [u64; 4],
}

/// The cluster between two chunks.
#[derive(Debug)]
struct State<'a> {
    cluster: &'a Cluster,
    parameters: &'a [u64],
    wafers: Vec<Wafer>,
    tree: Tree,
    read: Link,
    write: Link,
    /// Weights that were read and not yet consumed by all wafers.
    coming: Window,
    /// When the optimizer is done with what it has.
    optimizer: u64,
    /// Since when each layer's parameters are those of the next step.
    updated: Vec<u64>,
}

impl<'a> State<'a> {
    fn new(cluster: &'a Cluster, parameters: &'a [u64], wafers: u32) -> State<'a> {
        let mut all = vec![Wafer::default(); wafers.max(1) as usize];
        if let Some(last) = all.last_mut() {
            last.slow = u64::from(cluster.skew);
        }
        State {
            cluster,
            parameters,
            tree: Tree::new(cluster, all.len()),
            wafers: all,
            read: Link::default(),
            write: Link::default(),
            coming: Window::default(),
            optimizer: 0,
            updated: vec![0; parameters.len()],
        }
    }

    /// Rules K3 and K4: the wafers reach the start of a chunk's cycles.
    fn start(&mut self, c: &Chunk) {
        let limit = self.cluster.prefetch;
        let (mut arrivals, mut cause) = (vec![0; self.wafers.len()], Cause::Weights);
        if c.weights > 0 {
            let room = self.coming.room(c.weights, limit);
            let updated = self.updated[c.layer as usize];
            let read = self.read.pass(room.max(updated), c.weights, self.cluster.read);
            let without = Picos::of(c.weights * 8, self.cluster.read).0;
            if updated > room && read == updated + without {
                cause = Cause::Optimizer;
            }
            arrivals = self.tree.broadcast(read, c.weights);
        }
        for (wafer, arrival) in self.wafers.iter_mut().zip(arrivals) {
            let clear = if c.gradients > 0 { wafer.leaving.room(c.gradients, limit) } else { 0 };
            let after_gradients = wafer.free.max(clear);
            wafer.spent[Cause::Gradients as usize] += after_gradients - wafer.free;
            let start = after_gradients.max(arrival);
            wafer.spent[cause as usize] += start - after_gradients;
            wafer.free = start;
        }
    }

    /// The wafers do a chunk's cycles; its gradients leave, and are the last of a layer if `update`.
    fn finish(&mut self, c: &Chunk, update: bool) {
        for wafer in &mut self.wafers {
            let time = c.time.0 + c.time.0 * wafer.slow / 1000;
            wafer.spent[Cause::Compute as usize] += time;
            wafer.free += time;
        }
        let ends: Vec<u64> = self.wafers.iter().map(|w| w.free).collect();
        if c.weights > 0 {
            self.coming.push(c.weights, ends.iter().max().copied().unwrap_or(0));
        }
        if c.gradients == 0 {
            return;
        }
        let (sum, sent) = self.tree.reduce(&ends, c.gradients);
        for (wafer, sent) in self.wafers.iter_mut().zip(sent) {
            wafer.leaving.push(c.gradients, sent);
        }
        let written = self.write.pass(sum, c.gradients, self.cluster.write);
        if update {
            let time = Picos::of(self.parameters[c.layer as usize], self.cluster.optimizer).0;
            self.optimizer = self.optimizer.max(written) + time;
            self.updated[c.layer as usize] = self.optimizer;
        }
    }

    /// The slowest wafer's clock, and where its time went.
    fn mark(&self) -> (u64, [u64; 4]) {
        let last = &self.wafers[self.wafers.len() - 1];
        (last.free, last.spent)
    }
}

#[cfg(test)]
mod tests;
