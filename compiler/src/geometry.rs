//! How a model is laid over the mesh: lanes, columns per head, rows per sequence, tokens per PE.
//!
//! **Invariant.** Features and tokens are padded so that every PE has the same counts.
//! **Not here.** The choice between geometries (`mapping`).

use sim_core::coord::{Grid, PeCoord, Region, Span};
use sim_core::program::DType;

/// The layout of a micro-batch on a mesh; see `docs/COMPILER.md`, *Geometry*.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Geometry {
    /// The whole mesh; lanes start at its north-west corner.
    pub grid: Grid,
    /// Lanes side by side.
    pub lanes: u32,
    /// Attention heads.
    pub heads: u32,
    /// Columns per head in a lane; even, or 1.
    pub head_columns: u32,
    /// Sequences in a lane, one below the other.
    pub sequences_per_lane: u32,
    /// Rows per sequence; even, or 1.
    pub rows_per_sequence: u32,
    /// Tokens per PE; a multiple of 4.
    pub tokens: u32,
    /// Sequences in the micro-batch; the rest of the lanes' places are padding.
    pub sequences: u32,
    /// Tokens in a sequence.
    pub seq_len: u32,
    /// Hidden width of the model.
    pub d_model: u32,
    /// Hidden features per column.
    pub hidden: u32,
    /// Width of the feed-forward layer.
    pub d_ff: u32,
    /// Feed-forward features per column.
    pub ffn: u32,
    /// Entries of the vocabulary.
    pub vocab: u32,
    /// Vocabulary entries per column.
    pub vocab_slots: u32,
    /// Type of activations and of streamed weights.
    pub act: DType,
}

/// How the features of a tensor are spread over the columns of a lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Features {
    /// Hidden features, head by head; `hidden` slots per column.
    Hidden,
    /// Query, key and value, one behind the other; `3 · hidden` slots per column. The logical
    /// index is that of the fused tensor, `0..3 · d_model`.
    Qkv,
    /// Feed-forward features; `ffn` slots per column.
    Ffn,
    /// Vocabulary entries; `vocab_slots` slots per column.
    Vocab,
}

impl Geometry {
    /// Columns of a lane.
    #[must_use]
    pub fn lane_columns(&self) -> u32 {
        self.heads * self.head_columns
    }

    /// Columns that all lanes take.
    #[must_use]
    pub fn used_columns(&self) -> u32 {
        self.lanes * self.lane_columns()
    }

    /// Rows that all sequences take.
    #[must_use]
    pub fn used_rows(&self) -> u32 {
        self.sequences_per_lane * self.rows_per_sequence
    }

    /// All PEs that hold activations.
    #[must_use]
    pub fn used(&self) -> Region {
        Region { x: Span::run(0, self.used_columns()), y: Span::run(0, self.used_rows()) }
    }

    /// Features of a head.
    #[must_use]
    pub fn d_head(&self) -> u32 {
        self.d_model / self.heads
    }

    /// Feature slots per column.
    #[must_use]
    pub fn slots(&self, features: Features) -> u32 {
        match features {
            Features::Hidden => self.hidden,
            Features::Qkv => 3 * self.hidden,
            Features::Ffn => self.ffn,
            Features::Vocab => self.vocab_slots,
        }
    }

    /// Logical index of a slot of a lane's column, or None for padding.
    #[must_use]
    pub fn feature(&self, features: Features, column: u32, slot: u32) -> Option<u32> {
        match features {
            Features::Hidden => {
                let in_head = (column % self.head_columns) * self.hidden + slot;
                (in_head < self.d_head()).then(|| (column / self.head_columns) * self.d_head() + in_head)
            }
            Features::Qkv => {
                let part = slot / self.hidden;
                self.feature(Features::Hidden, column, slot % self.hidden).map(|i| part * self.d_model + i)
            }
            Features::Ffn => Some(column * self.ffn + slot).filter(|&i| i < self.d_ff),
            Features::Vocab => Some(column * self.vocab_slots + slot).filter(|&i| i < self.vocab),
        }
    }

    /// Sequence of the micro-batch and position in it of token `t` of the PE at `at`, or None for
    /// padding. The column decides only the lane.
    #[must_use]
    pub fn token(&self, at: PeCoord, t: u32) -> Option<(u32, u32)> {
        let lane = at.x / self.lane_columns();
        let sequence = lane * self.sequences_per_lane + at.y / self.rows_per_sequence;
        let position = (at.y % self.rows_per_sequence) * self.tokens + t;
        let inside = lane < self.lanes && at.y < self.used_rows();
        (inside && sequence < self.sequences && position < self.seq_len).then_some((sequence, position))
    }

    /// Elements of an activation with `features` in a PE.
    #[must_use]
    pub fn len(&self, features: Features) -> u32 {
        self.slots(features) * self.tokens
    }
}
