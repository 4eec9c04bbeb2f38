//! What is executed: a model, in a mode, on so many sequences of so many tokens.
//!
//! The mode is data, so that whoever plans, executes or reports a step asks the workload what it is rather than assuming
//! it. Today every step is a step of training.
//!
//! **Invariant.** A workload for which [`Workload::validate`] returns nothing can be built as a
//! [`LayerGraph`](crate::LayerGraph).
//! **Not here.** The machine, the micro-batches that a machine divides the batch into, number formats.

pub mod training;

use crate::diagnostic;
use crate::shape::ModelShape;
use serde::{Deserialize, Serialize};
use sim_core::diag::Diagnostic;

/// The most layers that a graph is built for: some 300 megabytes of graph.
const LAYERS_MAX: u32 = 10_000;
/// The most tokens per step.
const TOKENS_MAX: u64 = 1 << 40;

/// What is done with the model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// One step of training: the loss of the sequences, and the gradient of every parameter.
    Training,
}

impl Mode {
    /// What one execution is called in listings: `training step`.
    #[must_use]
    pub fn noun(self) -> &'static str {
        match self {
            Mode::Training => "training step",
        }
    }
}

/// A model, what is done with it, and on how much.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Workload {
    /// The model.
    pub shape: ModelShape,
    /// What is done with it.
    pub mode: Mode,
    /// Sequences of a step.
    pub batch: u64,
    /// Tokens per sequence; at most the positions of the model.
    pub seq_len: u32,
}

impl Workload {
    /// A training step of `shape` on `batch` sequences of `seq_len` tokens.
    #[must_use]
    pub fn training(shape: &ModelShape, batch: u64, seq_len: u32) -> Workload {
        Workload { shape: shape.clone(), mode: Mode::Training, batch, seq_len }
    }

    /// Every diagnostic at once; empty when the workload can be built: those of [`ModelShape::validate`], no sequence
    /// or no token (`step-zero`), sequences longer than the position table (`step-positions`), more layers or tokens
    /// than any real step has (`step-size-limit`).
    #[must_use]
    pub fn validate(&self) -> Vec<Diagnostic> {
        let Workload { shape, batch, seq_len, .. } = self;
        let mut diagnostics = shape.validate();
        for (key, size) in [("batch", *batch), ("seq_len", u64::from(*seq_len))] {
            if size == 0 {
                diagnostics.push(diagnostic::of("step-zero", key, "is 0", "must be at least 1"));
            }
        }
        if *seq_len > shape.max_positions {
            let message = format!("{seq_len} tokens, the model has {} positions", shape.max_positions);
            let help = format!("at most {}", shape.max_positions);
            diagnostics.push(diagnostic::of("step-positions", "seq_len", message, help));
        }
        if shape.layers > LAYERS_MAX {
            let message = format!("{} layers, a graph has at most {LAYERS_MAX}", shape.layers);
            diagnostics.push(diagnostic::of("step-size-limit", "layers", message, ""));
        }
        if batch.checked_mul((*seq_len).into()).is_none_or(|tokens| tokens > TOKENS_MAX) {
            let message = format!("{batch} sequences of {seq_len} tokens, the most is {TOKENS_MAX} tokens");
            diagnostics.push(diagnostic::of("step-size-limit", "batch", message, ""));
        }
        diagnostics
    }
}
