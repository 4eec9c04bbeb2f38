//! How a model lies on the mesh: which PE holds which features of which tokens.
//!
//! Tokens lie along rows, features along columns; `docs/COMPILER.md`, *Layout*, has the whole story. A [`Geometry`] has
//! the numbers of one such layout, and answers where a feature or a token is.
//!
//! **Invariant.** Features and tokens are padded so that every PE has the same counts.
//! **Not here.** The choice between geometries (`search`).

use crate::banks::Banks;
use models::ModelShape;
use models::design::{Design, Positions, Rotary};
use sim_core::coord::{Grid, PeCoord, Region, Span};
use sim_core::program::DType;
use std::fmt;
use std::ops::Deref;

/// Features of a head that make scores fall with the distance: see `kernels::alibi`.
const DISTANCE_FEATURES: u32 = 3;

/// The layout of a micro-batch of a model on a mesh; see `docs/COMPILER.md`, *Layout*. It is first of all a
/// [`MeshLayout`], as which it can be used.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Geometry {
    /// Where things are.
    pub mesh: MeshLayout,
    /// What of the model decides where they are, and what kernels compute.
    pub model: ModelSizes,
    /// Types of numbers.
    pub precision: Precision,
}

/// How a mesh is divided: lanes, rows and columns, and what a PE holds.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct MeshLayout {
    /// The whole mesh; lanes start at its north-west corner.
    pub grid: Grid,
    /// Lanes side by side.
    pub lanes: u32,
    /// Columns per head in a lane. Those of a lane are an even number, or 1.
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
    /// Hidden features per column.
    pub hidden: u32,
    /// Feed-forward features per column.
    pub ffn: u32,
    /// Vocabulary entries per column.
    pub vocab_slots: u32,
    /// The banks of a PE's memory.
    pub banks: Banks,
}

/// What of a model decides where its features are, and what kernels compute.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ModelSizes {
    /// Attention heads.
    pub heads: u32,
    /// Heads of keys and values, each shared by equally many attention heads.
    pub kv_heads: u32,
    /// Hidden width of the model.
    pub d_model: u32,
    /// Width of the feed-forward layer.
    pub d_ff: u32,
    /// What the loss chooses from: entries of the vocabulary, or labels.
    pub vocab: u32,
    /// The rotation of queries and keys, which decides where a head's features are.
    pub rotary: Option<Rotary>,
    /// Whether scores fall with the distance of query and key. Then every column has some slots more,
    /// behind those of its features, for what makes them fall.
    pub alibi: bool,
    /// Whether scores are divided by the features of a head, instead of their root.
    pub scores_by_features: bool,
    /// Whether a token sees only itself and the tokens before it. Otherwise no token is padding.
    pub causal: bool,
}

impl ModelSizes {
    /// The sizes of a model.
    #[must_use]
    pub fn of(shape: &ModelShape) -> ModelSizes {
        ModelSizes {
            heads: shape.heads,
            kv_heads: shape.kv_heads(),
            d_model: shape.d_model,
            d_ff: shape.d_ff,
            vocab: shape.classes(),
            rotary: shape.design.rotary(),
            alibi: shape.design.positions == Positions::Alibi,
            scores_by_features: shape.design.scores_by_features,
            causal: shape.design.causal,
        }
    }
}

/// Types of numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Precision {
    /// Type of activations and of streamed weights.
    pub act: DType,
    /// Type of the sums of products that a PE makes for a matrix product or its weights' gradient.
    /// Sums over PEs are of 32 bits always.
    pub accumulator: DType,
}

impl Deref for Geometry {
    type Target = MeshLayout;

    fn deref(&self) -> &MeshLayout {
        &self.mesh
    }
}

/// How the features of a tensor are spread over the columns of a lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Features {
    /// Hidden features, head by head; `hidden` slots per column.
    Hidden,
    /// Query, key and value, one behind the other; `3 · hidden` slots per column. The logical
    /// index is that of the fused tensor: `d_model` queries, then keys and values of all of their
    /// heads. Every head of queries has its own copy of the keys and values that it shares.
    Qkv,
    /// Feed-forward features; `ffn` slots per column.
    Ffn,
    /// Vocabulary entries; `vocab_slots` slots per column.
    Vocab,
}

impl Geometry {
    /// Holds a layout to what every kernel relies on.
    ///
    /// # Panics
    /// If it breaks one of the rules: a mistake of whoever has made it.
    pub fn check(&self) {
        let even = |n: u32| n == 1 || n.is_multiple_of(2);
        let used = (self.used_columns(), self.used_rows());
        assert!(even(self.lane_columns()), "a ring has evenly many columns, or one: {}", self.lane_columns());
        assert!(even(self.rows_per_sequence), "a sequence has evenly many rows, or one: {}", self.rows_per_sequence);
        assert!(
            self.tokens.is_multiple_of(4),
            "a PE has a multiple of 4 tokens, so that rows are aligned: {}",
            self.tokens
        );
        assert!(
            used.0 <= self.grid.width && used.1 <= self.grid.height,
            "{used:?} PEs are on the mesh {:?}",
            self.grid
        );
        assert!(self.rows_per_sequence * self.tokens >= self.seq_len, "every token of a sequence has a place");
        assert!(self.lanes * self.sequences_per_lane >= self.sequences, "every sequence has a place");
        assert!(self.hidden * self.head_columns >= self.d_head(), "every feature of a head has a slot");
        assert!(self.lane_columns() * self.ffn >= self.model.d_ff, "every feed-forward feature has a slot");
        assert!(self.lane_columns() * self.vocab_slots >= self.model.vocab, "every entry of the vocabulary has a slot");
    }

    /// Columns of a lane.
    #[must_use]
    pub fn lane_columns(&self) -> u32 {
        self.model.heads * self.head_columns
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

    /// What scores are multiplied by.
    #[must_use]
    pub fn score_scale(&self) -> f32 {
        let d = self.d_head() as f32;
        if self.model.scores_by_features { 1.0 / d } else { 1.0 / d.sqrt() }
    }

    /// Features of a head.
    #[must_use]
    pub fn d_head(&self) -> u32 {
        self.model.d_model / self.model.heads
    }

    /// Pairs of features that every column rotates: slots `i` and `i + pairs`. Where a head has
    /// fewer pairs than its columns, the rest of these slots is not rotated, or padding.
    #[must_use]
    pub fn pairs(&self) -> u32 {
        self.model.rotary.map_or(0, |rotary| (rotary.dims / 2).div_ceil(self.head_columns))
    }

    /// Slots of a column for ALiBi: three in a head, evenly.
    #[must_use]
    pub fn distance_slots(&self) -> u32 {
        if self.model.alibi { DISTANCE_FEATURES.div_ceil(self.head_columns) } else { 0 }
    }

    /// Hidden features per column that `d_head` features of a head need on `head_columns` columns.
    #[must_use]
    pub fn hidden_slots(design: &Design, d_head: u32, head_columns: u32) -> u32 {
        let pairs = design.rotary().map_or(0, |rotary| (rotary.dims / 2).div_ceil(head_columns));
        let alibi = design.positions == Positions::Alibi;
        let distance = if alibi { DISTANCE_FEATURES.div_ceil(head_columns) } else { 0 };
        d_head.div_ceil(head_columns).max(2 * pairs) + distance
    }

    /// The rotated pair of a head in pair `i` of the slots of its column, or None if there is none.
    #[must_use]
    pub fn pair(&self, column: u32, i: u32) -> Option<u32> {
        let pair = (column % self.head_columns) * self.pairs() + i;
        (i < self.pairs() && pair < self.model.rotary?.dims / 2).then_some(pair)
    }

    /// Feature of a head in a slot of one of its columns, counted from 0, or None for padding.
    fn in_head(&self, column: u32, slot: u32) -> Option<u32> {
        let own = self.hidden - self.distance_slots();
        if slot >= own {
            return None;
        }
        let (at, per) = (column * own + slot, self.pairs());
        let feature = match self.model.rotary {
            None => at,
            Some(rotary) => {
                let all = rotary.dims / 2;
                let before = (column * per).min(all);
                let own = per.min(all - before);
                if slot < own {
                    rotary.pair(before + slot).0
                } else if (per..per + own).contains(&slot) {
                    rotary.pair(before + slot - per).1
                } else {
                    // The others in order, where pairs leave room.
                    let passed = if slot < per { own } else { 2 * own };
                    rotary.dims + at - 2 * before - passed
                }
            }
        };
        (feature < self.d_head()).then_some(feature)
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
                let in_head = self.in_head(column % self.head_columns, slot)?;
                Some(column / self.head_columns * self.d_head() + in_head)
            }
            Features::Qkv => {
                let in_head = self.in_head(column % self.head_columns, slot % self.hidden)?;
                let head = column / self.head_columns;
                let all = match (slot / self.hidden).checked_sub(1) {
                    None => head,
                    Some(part) => {
                        self.model.heads + part * self.model.kv_heads + head * self.model.kv_heads / self.model.heads
                    }
                };
                Some(all * self.d_head() + in_head)
            }
            Features::Ffn => Some(column * self.ffn + slot).filter(|&i| i < self.model.d_ff),
            Features::Vocab => Some(column * self.vocab_slots + slot).filter(|&i| i < self.model.vocab),
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

impl fmt::Display for Geometry {
    /// A line per number, for people.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rows = [
            ("mesh", format!("{} x {} PEs", self.grid.width, self.grid.height)),
            ("lanes", format!("{} of {} columns", self.lanes, self.lane_columns())),
            (
                "heads",
                format!(
                    "{} of {} columns, {} of keys and values",
                    self.model.heads, self.head_columns, self.model.kv_heads
                ),
            ),
            ("sequences", format!("{}, {} per lane", self.sequences, self.sequences_per_lane)),
            ("rows per sequence", self.rows_per_sequence.to_string()),
            ("tokens", format!("{} of {} per PE", self.tokens, self.seq_len)),
            ("hidden features", format!("{} of {} per column", self.hidden, self.model.d_model)),
            ("feed-forward features", format!("{} of {} per column", self.ffn, self.model.d_ff)),
            ("vocabulary", format!("{} of {} per column", self.vocab_slots, self.model.vocab)),
            ("activations", self.precision.act.name().to_owned()),
            ("accumulators", self.precision.accumulator.name().to_owned()),
        ];
        rows.iter().try_for_each(|(what, value)| writeln!(f, "{what:<22}{value}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use models::design::Pairs;

    fn head(d_head: u32, head_columns: u32, rotary: Option<Rotary>) -> Geometry {
        let pairs = rotary.map_or(0, |r| (r.dims / 2).div_ceil(head_columns));
        let mesh = MeshLayout {
            grid: Grid { width: 64, height: 1 },
            lanes: 1,
            head_columns,
            sequences_per_lane: 1,
            rows_per_sequence: 1,
            tokens: 4,
            sequences: 1,
            seq_len: 4,
            hidden: d_head.div_ceil(head_columns).max(2 * pairs),
            ffn: 4,
            vocab_slots: 4,
            banks: Banks::of(&sim_core::arch::cs2::cs2()),
        };
        let model = ModelSizes {
            heads: 2,
            kv_heads: 1,
            d_model: 2 * d_head,
            d_ff: 4,
            vocab: 4,
            rotary,
            alibi: false,
            scores_by_features: false,
            causal: true,
        };
        Geometry { mesh, model, precision: Precision { act: DType::F16, accumulator: DType::F32 } }
    }

    #[test]
    fn every_feature_has_one_slot_and_pairs_share_a_column() {
        for (d_head, dims) in [(16, 16), (16, 4), (10, 6), (26, 12), (128, 128), (256, 64), (96, 24)] {
            for columns in [1, 2, 4, 6, 10, 32] {
                for pairs in [Pairs::Halves, Pairs::Neighbours] {
                    let rotary = Rotary { dims, base: 10_000, pairs };
                    let g = head(d_head, columns, Some(rotary));
                    let feature = |column, slot| g.feature(Features::Hidden, column, slot);
                    let places = (0..2 * columns).flat_map(|c| (0..g.hidden).map(move |s| (c, s)));
                    let mut found: Vec<u32> = places.filter_map(|(c, s)| feature(c, s)).collect();
                    found.sort_unstable();
                    assert_eq!(found, (0..2 * d_head).collect::<Vec<u32>>(), "{rotary:?} of {d_head} on {columns}");
                    let mut all: Vec<u32> = Vec::new();
                    for (column, i) in (0..columns).flat_map(|c| (0..g.pairs()).map(move |i| (c, i))) {
                        let Some(pair) = g.pair(column, i) else { continue };
                        let (a, b) = rotary.pair(pair);
                        assert_eq!((feature(column, i), feature(column, i + g.pairs())), (Some(a), Some(b)));
                        all.push(pair);
                    }
                    assert_eq!(all, (0..dims / 2).collect::<Vec<u32>>());
                }
            }
        }
    }

    #[test]
    fn heads_of_queries_share_keys_and_values() {
        let g = head(6, 2, None);
        let of = |column, slot| g.feature(Features::Qkv, column, slot).unwrap();
        assert_eq!([of(0, 0), of(2, 0), of(3, 2)], [0, 6, 11]);
        assert_eq!([of(0, 3), of(2, 3), of(3, 5)], [12, 12, 17]);
        assert_eq!([of(0, 6), of(2, 6), of(3, 8)], [18, 18, 23]);
    }
}
