//! The layouts on which kernels are tested: with padding in every dimension, without any, with a single
//! column per lane, with one column per head.
//!
//! **Not here.** The wafer that executes them (`common`).
#![allow(dead_code, unreachable_pub, reason = "every test file uses its own part of this module")]

use compiler::banks::Banks;
use compiler::layout::{Geometry, MeshLayout, ModelSizes, Precision};
use models::design::Rotary;
use sim_core::arch::cs2::cs2;
use sim_core::coord::Grid;
use sim_core::program::DType;

/// All numbers of a geometry side by side, to write one down or to change some of them:
/// `Sizes { tokens: 64, ..Sizes::of(&g) }.geometry()`.
#[derive(Clone)]
pub struct Sizes {
    pub grid: Grid,
    pub lanes: u32,
    pub heads: u32,
    pub kv_heads: u32,
    pub head_columns: u32,
    pub sequences_per_lane: u32,
    pub rows_per_sequence: u32,
    pub tokens: u32,
    pub sequences: u32,
    pub seq_len: u32,
    pub d_model: u32,
    pub hidden: u32,
    pub d_ff: u32,
    pub ffn: u32,
    pub vocab: u32,
    pub vocab_slots: u32,
    pub rotary: Option<Rotary>,
    pub alibi: bool,
    pub scores_by_features: bool,
    pub causal: bool,
    pub act: DType,
    pub accumulator: DType,
}

impl Sizes {
    /// Those of a geometry.
    pub fn of(g: &Geometry) -> Sizes {
        let Geometry { mesh, model, precision } = g.clone();
        Sizes {
            grid: mesh.grid,
            lanes: mesh.lanes,
            heads: model.heads,
            kv_heads: model.kv_heads,
            head_columns: mesh.head_columns,
            sequences_per_lane: mesh.sequences_per_lane,
            rows_per_sequence: mesh.rows_per_sequence,
            tokens: mesh.tokens,
            sequences: mesh.sequences,
            seq_len: mesh.seq_len,
            d_model: model.d_model,
            hidden: mesh.hidden,
            d_ff: model.d_ff,
            ffn: mesh.ffn,
            vocab: model.vocab,
            vocab_slots: mesh.vocab_slots,
            rotary: model.rotary,
            alibi: model.alibi,
            scores_by_features: model.scores_by_features,
            causal: model.causal,
            act: precision.act,
            accumulator: precision.accumulator,
        }
    }

    /// The geometry.
    pub fn geometry(self) -> Geometry {
        let mesh = MeshLayout {
            grid: self.grid,
            lanes: self.lanes,
            head_columns: self.head_columns,
            sequences_per_lane: self.sequences_per_lane,
            rows_per_sequence: self.rows_per_sequence,
            tokens: self.tokens,
            sequences: self.sequences,
            seq_len: self.seq_len,
            hidden: self.hidden,
            ffn: self.ffn,
            vocab_slots: self.vocab_slots,
            banks: Banks::of(&cs2()),
        };
        let model = ModelSizes {
            heads: self.heads,
            kv_heads: self.kv_heads,
            d_model: self.d_model,
            d_ff: self.d_ff,
            vocab: self.vocab,
            rotary: self.rotary,
            alibi: self.alibi,
            scores_by_features: self.scores_by_features,
            causal: self.causal,
        };
        Geometry { mesh, model, precision: Precision { act: self.act, accumulator: self.accumulator } }
    }
}

/// Two lanes, padding in every dimension: 8 × 4 PEs in use on a mesh of 9 × 5.
pub fn padded(act: DType) -> Geometry {
    Sizes {
        grid: Grid { width: 9, height: 5 },
        lanes: 2,
        heads: 2,
        kv_heads: 2,
        head_columns: 2,
        sequences_per_lane: 2,
        rows_per_sequence: 2,
        tokens: 4,
        sequences: 3,
        seq_len: 7,
        d_model: 10,
        hidden: 3,
        d_ff: 18,
        ffn: 5,
        vocab: 13,
        vocab_slots: 4,
        rotary: None,
        alibi: false,
        scores_by_features: false,
        causal: true,
        act,
        accumulator: DType::F32,
    }
    .geometry()
}

/// One lane, one head, one row, nothing padded: 2 × 1 PEs, the whole mesh.
pub fn tiny(act: DType) -> Geometry {
    Sizes {
        grid: Grid { width: 2, height: 1 },
        lanes: 1,
        heads: 1,
        kv_heads: 1,
        head_columns: 2,
        sequences_per_lane: 1,
        rows_per_sequence: 1,
        tokens: 4,
        sequences: 1,
        seq_len: 4,
        d_model: 4,
        hidden: 2,
        d_ff: 8,
        ffn: 4,
        vocab: 6,
        vocab_slots: 3,
        rotary: None,
        alibi: false,
        scores_by_features: false,
        causal: true,
        act,
        accumulator: DType::F32,
    }
    .geometry()
}

/// One column per lane, so no row rings: 2 × 2 PEs in use on a mesh of 3 × 2.
pub fn one_column(act: DType) -> Geometry {
    Sizes {
        grid: Grid { width: 3, height: 2 },
        lanes: 2,
        heads: 1,
        kv_heads: 1,
        head_columns: 1,
        sequences_per_lane: 1,
        rows_per_sequence: 2,
        tokens: 8,
        sequences: 2,
        seq_len: 13,
        d_model: 4,
        hidden: 4,
        d_ff: 6,
        ffn: 6,
        vocab: 9,
        vocab_slots: 9,
        rotary: None,
        alibi: false,
        scores_by_features: false,
        causal: true,
        act,
        accumulator: DType::F32,
    }
    .geometry()
}

/// Heads of one column each, four rows per sequence: 6 × 8 PEs, one slot per column.
pub fn narrow(act: DType) -> Geometry {
    Sizes {
        grid: Grid { width: 6, height: 9 },
        lanes: 1,
        heads: 6,
        kv_heads: 6,
        head_columns: 1,
        sequences_per_lane: 2,
        rows_per_sequence: 4,
        tokens: 8,
        sequences: 2,
        seq_len: 31,
        d_model: 6,
        hidden: 1,
        d_ff: 12,
        ffn: 2,
        vocab: 17,
        vocab_slots: 3,
        rotary: None,
        alibi: false,
        scores_by_features: false,
        causal: true,
        act,
        accumulator: DType::F32,
    }
    .geometry()
}

/// All geometries.
pub fn geometries(act: DType) -> Vec<Geometry> {
    vec![padded(act), tiny(act), one_column(act), narrow(act)]
}
