//! How a step lies on the mesh, in a report.
//!
//! **Invariant.** Estimated cycles are named so: they chose the mapping, and are no result.
//! **Not here.** The choice (`compiler`).

use schemars::JsonSchema;
use serde::Serialize;

/// How the micro-batch lies on the mesh.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Layout {
    /// Rectangles side by side that receive the same weights.
    pub lanes: u32,
    /// Columns of a lane.
    pub lane_columns: u32,
    /// Columns of a lane that share a head.
    pub head_columns: u32,
    /// Sequences of a lane, one below the other.
    pub sequences_per_lane: u32,
    /// Rows of a sequence.
    pub rows_per_sequence: u32,
    /// Tokens of a PE.
    pub tokens_per_pe: u32,
    /// PEs that hold activations.
    pub pes: u64,
    /// Type of activations and of streamed weights.
    pub act: String,
    /// Type of the sums of products within a PE; sums over PEs are f32.
    pub sums: String,
    /// Chunks of a PE's tokens in attention, as queries.
    pub attention_chunks: u32,
    /// Chunks of a PE's tokens as keys in attention, forward.
    pub key_chunks: u32,
    /// Chunks as queries in attention's backward pass.
    pub backward_chunks: u32,
    /// Chunks of a PE's tokens as keys in attention, backward.
    pub backward_key_chunks: u32,
    /// Parts of the feed-forward layer, one after the other.
    pub ffn_parts: u32,
    /// Parts in which the tokens of a PE pass the LM head.
    pub lm_chunks: u32,
    /// Whether queries, keys and values are recomputed twice.
    pub recomputed_twice: bool,
    /// What becomes of layer inputs between the forward and the backward pass.
    pub checkpoints: String,
    /// Matrix products whose sums stay in their PEs while inputs travel; in others sums travel.
    pub stationary_outputs: Vec<String>,
    /// By how many cycles these make a step faster, by estimate: no result.
    pub stationary_outputs_save: u64,
    /// How vectors are summed over rows: `chain`, `two-phase` or `tree`.
    pub reduction: String,
    /// By how many cycles the fastest reductions make a step faster than chains, by estimate: no result.
    pub fastest_reductions_save: u64,
    /// Cycles of the step as the compiler estimated them to choose this mapping: no result.
    pub estimated_cycles: u64,
    /// The mapping that the compiler would have taken next.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub runner_up: Option<RunnerUp>,
}

/// The second best mapping by the compiler's estimates.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct RunnerUp {
    /// Lanes of the mapping.
    pub lanes: u32,
    /// Columns of a lane that share a head.
    pub head_columns: u32,
    /// Tokens of a PE.
    pub tokens_per_pe: u32,
    /// Sequences of a micro-batch.
    pub micro_batch: u32,
    /// What becomes of layer inputs between the forward and the backward pass.
    pub checkpoints: String,
    /// Estimated cycles of the step: no result.
    pub estimated_cycles: u64,
}
