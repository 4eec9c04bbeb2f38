//! Training steps on a cluster, chunk by chunk (rules K3 to K8).
//!
//! Weights and gradients are cut into chunks of a few megabytes. For every chunk of every kernel the
//! time is computed at which it is read, arrives, is consumed, and at which what it produces is added up
//! and written. Three steps are begun: the first fills the pipes, the time from the start of the second
//! to that of the third is the length of a step (rule K6).
//!
//! **Invariant.** Chunks are read, consumed and given in one order, that of the kernels; so every
//! time follows from times that were computed before it. Bytes are conserved on every link, which
//! every run checks.

mod state;

use crate::Picos;
use crate::work::{Cluster, ExecutedKernel, Work, chunks};
use serde::Serialize;
use state::{CAUSES, State};

/// Steps that are begun; of the last one only the first chunk is done (rule K6).
const STEPS: u64 = 3;

/// What a wafer spends time on: its kernels, or a stall and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// It does not stall: it executes its kernels.
    #[default]
    Compute,
    /// It waits for weights, which come too slowly.
    Weights,
    /// It waits until gradients have left, which they do too slowly.
    Gradients,
    /// It waits for parameters that the optimizer has not yet updated.
    Optimizer,
    /// It waits for what it has alone, such as the embeddings of its tokens and its checkpoints.
    Activations,
}

/// What a step on the cluster takes. The five times from `compute` to `activations` add up to `step`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Outcome {
    /// Length of a step.
    pub step: Picos,
    /// End of that step, from the start of the first one.
    pub until: Picos,
    /// Time that the slowest wafer spends in its kernels.
    pub compute: Picos,
    /// Time that it stalls for weights.
    pub weights: Picos,
    /// Time that it stalls for gradients.
    pub gradients: Picos,
    /// Time that it stalls for the optimizer.
    pub optimizer: Picos,
    /// Time that it stalls for what it has alone.
    pub activations: Picos,
    /// Bytes that MemoryX read in all steps that were executed.
    pub read_bytes: u64,
    /// Bytes that MemoryX took in all of them.
    pub written_bytes: u64,
    /// Wafers that were executed; equal ones are executed once (rule K7).
    pub executed: u32,
}

impl Outcome {
    /// What to change first: the largest cause of stalls, if it is a hundredth of the step.
    #[must_use]
    pub fn bottleneck(&self) -> Cause {
        let causes = [
            (self.weights, Cause::Weights),
            (self.gradients, Cause::Gradients),
            (self.optimizer, Cause::Optimizer),
            (self.activations, Cause::Activations),
        ];
        let worst = causes.into_iter().max_by_key(|c| c.0).filter(|c| c.0.0 * 100 >= self.step.0);
        worst.map_or(Cause::Compute, |c| c.1)
    }
}

/// Executes a step. Equal wafers are executed once (rule K7).
///
/// # Panics
/// If bytes are lost on a link: a bug of this crate.
#[must_use]
pub fn run(cluster: &Cluster, work: &Work<'_>) -> Outcome {
    let wafers = if cluster.skew == 0 { 1 } else { cluster.working() };
    run_wafers(cluster, work, wafers)
}

/// Runs the step with so many of the cluster's wafers, the last of which is the slow one if there is one.
fn run_wafers(cluster: &Cluster, work: &Work<'_>, wafers: u32) -> Outcome {
    let chunks = chunks(work.kernels);
    let mut state = State::new(cluster, work, wafers);
    let ends = last_gradients(&chunks, work.parameters.len());
    let mut marks = Vec::new();
    for step in 0..STEPS {
        state.begin();
        for micro_batch in 0..work.micro_batches {
            for (i, chunk) in chunks.iter().enumerate() {
                let first = micro_batch == 0 && i == 0;
                state.start(chunk);
                // Rule K6: from the first chunk of the second step to that of the third.
                if first && step > 0 {
                    marks.push(state.mark());
                }
                if first && step + 1 == STEPS {
                    return outcome(&state, &marks);
                }
                let last = micro_batch + 1 == work.micro_batches && ends[chunk.layer as usize] == Some(i);
                state.finish(chunk, last);
            }
        }
        state.end(&ends);
    }
    outcome(&state, &marks)
}

/// For each layer the number of the chunk with the last of its gradients, after which the layer can be
/// updated.
fn last_gradients(chunks: &[ExecutedKernel], layers: usize) -> Vec<Option<usize>> {
    let mut ends = vec![None; layers];
    for (i, c) in chunks.iter().enumerate().filter(|(_, c)| c.gradients > 0) {
        ends[c.layer as usize] = Some(i);
    }
    ends
}

fn outcome(state: &State<'_>, marks: &[(u64, [u64; CAUSES])]) -> Outcome {
    state.check();
    let (read_bytes, written_bytes) = state.moved();
    let known = Outcome { read_bytes, written_bytes, executed: state.wafers() as u32, ..Outcome::default() };
    let [(from, before), (to, after)] = marks else { return known };
    let part = |cause: Cause| Picos(after[cause as usize] - before[cause as usize]);
    Outcome {
        step: Picos(to - from),
        until: Picos(*to),
        compute: part(Cause::Compute),
        weights: part(Cause::Weights),
        gradients: part(Cause::Gradients),
        optimizer: part(Cause::Optimizer),
        activations: part(Cause::Activations),
        ..known
    }
}

#[cfg(test)]
mod tests;
