//! What the user asks of the compiler, and the choices that a mapping of a step onto the wafer
//! consists of.
//!
//! **Invariant.** Plain data: nothing here computes anything.
//! **Not here.** How choices are made (`search`) and what they do (`schedule`, `passes`).

use crate::ids::Phase;
use sim_core::program::DType;

/// Mappings whose costs differ by less than this part of them are equal: the one with the fewest
/// columns in a lane is taken. Its rings are the shortest.
pub const NEAR: u64 = 50;

/// What to compile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// Sequences per system and step.
    pub batch: u64,
    /// Sequences per micro-batch; None takes the one with the best estimate that fits.
    pub micro_batch: Option<u32>,
    /// Tokens per sequence.
    pub seq_len: u32,
    /// Type of activations and streamed weights.
    pub act: DType,
    /// Type of the sums of products within a PE.
    pub accumulator: DType,
    /// What is fixed by hand; the rest is chosen by estimates.
    pub constraints: MappingConstraints,
}

/// Into how many chunks attention cuts the tokens of a PE.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Chunks {
    /// As queries; a chunk has a multiple of 4 tokens.
    pub queries: u32,
    /// As keys.
    pub keys: u32,
}

impl Chunks {
    /// All tokens at once.
    pub const ONE: Chunks = Chunks { queries: 1, keys: 1 };
}

/// What of a matrix product stays in its PE, while the rest travels around the row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Stationary {
    /// Inputs; partial sums travel.
    Inputs,
    /// Sums; inputs travel.
    Outputs,
}

impl Stationary {
    /// Both of them.
    pub const ALL: [Stationary; 2] = [Stationary::Inputs, Stationary::Outputs];

    /// Name of the choice, as reports and the command line write it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Stationary::Inputs => "inputs",
            Stationary::Outputs => "outputs",
        }
    }
}

/// How vectors of all rows are summed down the columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Reduction {
    /// From row to row.
    Chain,
    /// Chains in groups of rows, then a chain over the groups.
    TwoPhase,
    /// Groups of groups, in three levels or more.
    Tree,
}

impl Reduction {
    /// All of them.
    pub const ALL: [Reduction; 3] = [Reduction::Chain, Reduction::TwoPhase, Reduction::Tree];

    /// Name of the choice, as reports and the command line write it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Reduction::Chain => "chain",
            Reduction::TwoPhase => "two-phase",
            Reduction::Tree => "tree",
        }
    }
}

/// What the user asks to be done with layer inputs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum CheckpointRequest {
    /// What is estimated to be fastest.
    #[default]
    Auto,
    /// Checkpoints stay on the wafer.
    Stay,
    /// Checkpoints leave the wafer and come back, all of them.
    Offload,
    /// Some stay, the others are computed again.
    Recompute,
}

/// What the user fixes by hand; the rest is chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct MappingConstraints {
    /// Lanes of the mapping.
    pub lanes: Option<u32>,
    /// Columns per head.
    pub head_columns: Option<u32>,
    /// Tokens per PE.
    pub tokens: Option<u32>,
    /// Chunks of a PE's tokens in attention, as queries.
    pub attention_chunks: Option<u32>,
    /// Chunks of a PE's tokens as keys in attention, forward.
    pub key_chunks: Option<u32>,
    /// Chunks as queries in attention's backward pass.
    pub backward_chunks: Option<u32>,
    /// Chunks of a PE's tokens as keys in attention, backward.
    pub backward_key_chunks: Option<u32>,
    /// Parts of the feed-forward layer.
    pub ffn_parts: Option<u32>,
    /// Parts in which the tokens of a PE pass the LM head.
    pub lm_chunks: Option<u32>,
    /// Length of outer products' AXPYs that is aimed at.
    pub gather: Option<u32>,
    /// What stays where it is in matrix products.
    pub stationary: Option<Stationary>,
    /// How vectors are summed over rows.
    pub reduction: Option<Reduction>,
    /// Layer inputs.
    pub checkpoints: CheckpointRequest,
}

impl MappingConstraints {
    /// Everything at once, but for what concerns every kernel.
    #[must_use]
    pub(crate) fn whole(&self) -> MemoryStrategy {
        MemoryStrategy { stationary: self.stationary, reduction: self.reduction, ..MemoryStrategy::WHOLE }
    }
}

/// What becomes of layer inputs between the forward and the backward pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Checkpoints {
    /// Checkpoints stay on the wafer.
    Stay,
    /// Checkpoints of the first layers leave over the edge and come back.
    Offload {
        /// Buffers that stay nevertheless: those that are needed again first.
        stay: u32,
        /// Whether they may come back during all of the backward pass of the layer that is worked on
        /// before, beside its own input; else only behind its attention.
        early: bool,
    },
    /// Only those of every `block`-th layer are kept; the others are computed again.
    Recompute {
        /// Layers from one kept input to the next.
        block: u32,
    },
}

/// How a step is brought to fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct MemoryStrategy {
    /// Parts in which the tokens of a PE pass the LM head.
    pub lm_chunks: u32,
    /// Chunks of a PE's tokens in attention.
    pub attention: Chunks,
    /// Chunks of attention in its backward pass.
    pub attention_backward: Chunks,
    /// Parts of the feed-forward layer's features.
    pub ffn_parts: u32,
    /// Length of outer products' AXPYs that is aimed at.
    pub gather: u32,
    /// Whether queries, keys and values are computed once more before attention's backward pass.
    pub rematerialise: bool,
    /// Layer inputs.
    pub checkpoints: Checkpoints,
    /// What stays where it is in matrix products, if it is fixed; else what is fastest in each of them.
    pub stationary: Option<Stationary>,
    /// How vectors are summed over rows, if it is fixed; else by a chain, or, where that makes a step
    /// faster by more than differences count, by what is fastest.
    pub reduction: Option<Reduction>,
}

impl MemoryStrategy {
    /// Everything at once, all on the wafer.
    pub const WHOLE: MemoryStrategy = MemoryStrategy {
        lm_chunks: 1,
        attention: Chunks::ONE,
        attention_backward: Chunks::ONE,
        ffn_parts: 1,
        gather: 64,
        rematerialise: false,
        checkpoints: Checkpoints::Stay,
        stationary: None,
        reduction: None,
    };

    /// Chunks of attention in a pass.
    pub(crate) fn chunks(&self, phase: Phase) -> Chunks {
        if phase == Phase::Backward { self.attention_backward } else { self.attention }
    }
}
