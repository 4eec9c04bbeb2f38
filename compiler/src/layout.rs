//! How a model lies on the mesh: which PE holds which features of which tokens.
//!
//! Tokens lie along rows, features along columns; `docs/COMPILER.md`, *Layout*, has the whole story. A [`Geometry`] has
//! the numbers of one such layout, and answers where a feature or a token is.
//!
//! **Invariant.** Features and tokens are padded so that every PE has the same counts.
//! **Not here.** The choice between geometries (`search`).

use models::design::{Design, Positions, Rotary};
use sim_core::coord::{Grid, PeCoord, Region, Span};
use sim_core::program::DType;
use std::fmt;

/// Features of a head that make scores fall with the distance: see `kernels::alibi`.
const DISTANCE_FEATURES: u32 = 3;

/// The layout of a micro-batch on a mesh; see `docs/COMPILER.md`, *Layout*.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Geometry {
    /// The whole mesh; lanes start at its north-west corner.
    pub grid: Grid,
    /// Lanes side by side.
    pub lanes: u32,
    /// Attention heads.
    pub heads: u32,
    /// Heads of keys and values, each shared by equally many attention heads.
    pub kv_heads: u32,
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
    /// Hidden width of the model.
    pub d_model: u32,
    /// Hidden features per column.
    pub hidden: u32,
    /// Width of the feed-forward layer.
    pub d_ff: u32,
    /// Feed-forward features per column.
    pub ffn: u32,
    /// What the loss chooses from: entries of the vocabulary, or labels.
    pub vocab: u32,
    /// Vocabulary entries per column.
    pub vocab_slots: u32,
    /// The rotation of queries and keys, which decides where a head's features are.
    pub rotary: Option<Rotary>,
    /// Whether scores fall with the distance of query and key. Then every column has some slots more,
    /// behind those of its features, for what makes them fall.
    pub alibi: bool,
    /// Whether scores are divided by the features of a head, instead of their root.
    pub scores_by_features: bool,
    /// Whether a token sees only itself and the tokens before it. Otherwise no token is padding.
    pub causal: bool,
    /// Type of activations and of streamed weights.
    pub act: DType,
    /// Type of the sums of products that a PE makes for a matrix product or its weights' gradient.
    /// Sums over PEs are of 32 bits always.
    pub accumulator: DType,
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

    /// What scores are multiplied by.
    #[must_use]
    pub fn score_scale(&self) -> f32 {
        let d = self.d_head() as f32;
        if self.scores_by_features { 1.0 / d } else { 1.0 / d.sqrt() }
    }

    /// Features of a head.
    #[must_use]
    pub fn d_head(&self) -> u32 {
        self.d_model / self.heads
    }

    /// Pairs of features that every column rotates: slots `i` and `i + pairs`. Where a head has
    /// fewer pairs than its columns, the rest of these slots is not rotated, or padding.
    #[must_use]
    pub fn pairs(&self) -> u32 {
        self.rotary.map_or(0, |rotary| (rotary.dims / 2).div_ceil(self.head_columns))
    }

    /// Slots of a column for ALiBi: three in a head, evenly.
    #[must_use]
    pub fn distance_slots(&self) -> u32 {
        if self.alibi { DISTANCE_FEATURES.div_ceil(self.head_columns) } else { 0 }
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
        (i < self.pairs() && pair < self.rotary?.dims / 2).then_some(pair)
    }

    /// Feature of a head in a slot of one of its columns, counted from 0, or None for padding.
    fn in_head(&self, column: u32, slot: u32) -> Option<u32> {
        let own = self.hidden - self.distance_slots();
        if slot >= own {
            return None;
        }
        let (at, per) = (column * own + slot, self.pairs());
        let feature = match self.rotary {
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
                    Some(part) => self.heads + part * self.kv_heads + head * self.kv_heads / self.heads,
                };
                Some(all * self.d_head() + in_head)
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

impl fmt::Display for Geometry {
    /// A line per number, for people.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rows = [
            ("mesh", format!("{} x {} PEs", self.grid.width, self.grid.height)),
            ("lanes", format!("{} of {} columns", self.lanes, self.lane_columns())),
            ("heads", format!("{} of {} columns, {} of keys and values", self.heads, self.head_columns, self.kv_heads)),
            ("sequences", format!("{}, {} per lane", self.sequences, self.sequences_per_lane)),
            ("rows per sequence", self.rows_per_sequence.to_string()),
            ("tokens", format!("{} of {} per PE", self.tokens, self.seq_len)),
            ("hidden features", format!("{} of {} per column", self.hidden, self.d_model)),
            ("feed-forward features", format!("{} of {} per column", self.ffn, self.d_ff)),
            ("vocabulary", format!("{} of {} per column", self.vocab_slots, self.vocab)),
            ("activations", self.act.name().to_owned()),
            ("accumulators", self.accumulator.name().to_owned()),
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
        Geometry {
            grid: Grid { width: 64, height: 1 },
            lanes: 1,
            heads: 2,
            kv_heads: 1,
            head_columns,
            sequences_per_lane: 1,
            rows_per_sequence: 1,
            tokens: 4,
            sequences: 1,
            seq_len: 4,
            d_model: 2 * d_head,
            hidden: d_head.div_ceil(head_columns).max(2 * pairs),
            d_ff: 4,
            ffn: 4,
            vocab: 4,
            vocab_slots: 4,
            rotary,
            alibi: false,
            scores_by_features: false,
            causal: true,
            act: DType::F16,
            accumulator: DType::F32,
        }
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
