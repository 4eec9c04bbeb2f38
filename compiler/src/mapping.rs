//! The choice of a geometry: how many lanes, how many columns per head, which micro-batch.
//!
//! Candidates are ranked by the kernels' estimates and taken in that order until one fits the
//! PE's memory. **Invariant.** An estimate only chooses; no report contains one.

use crate::geometry::{Features, Geometry};
use crate::schedule::Tiled;
use models::design::Positions;
use models::{GptShape, LayerGraph};
use sim_core::arch::ArchSpec;
use sim_core::coord::Grid;
use sim_core::program::DType;

/// Most lanes that are tried.
const LANES_MAX: u32 = 24;
/// Most columns per head that are tried.
const HEAD_COLUMNS_MAX: u32 = 64;

/// A geometry with its estimated cycles per micro-batch.
#[derive(Debug, Clone)]
pub struct Candidate {
    /// The layout.
    pub geometry: Geometry,
    /// Rough cycles of a step with one micro-batch.
    pub estimate: u64,
}

/// What a geometry is chosen for.
#[derive(Debug, Clone, Copy)]
pub struct Task<'a> {
    /// The model.
    pub shape: &'a GptShape,
    /// Sequences of a micro-batch.
    pub sequences: u32,
    /// Tokens of a sequence.
    pub seq_len: u32,
    /// Type of activations and streamed weights.
    pub act: DType,
    /// Number of lanes, if it is fixed.
    pub lanes: Option<u32>,
}

/// The geometry of `lanes` lanes with `head_columns` columns per head, if the mesh has room.
#[must_use]
pub fn geometry(task: &Task<'_>, grid: Grid, lanes: u32, head_columns: u32) -> Option<Geometry> {
    let s = task.shape;
    let columns = u64::from(s.heads) * u64::from(head_columns);
    let sequences_per_lane = task.sequences.div_ceil(lanes);
    if columns * u64::from(lanes) > u64::from(grid.width) || sequences_per_lane > grid.height {
        return None;
    }
    let columns = columns as u32;
    if columns > 1 && !columns.is_multiple_of(2) {
        return None;
    }
    // As few tokens per PE as the rows allow, then as few rows as these tokens allow.
    let even = |rows: u32| if rows > 1 { rows & !1 } else { rows };
    let room = even(grid.height / sequences_per_lane);
    let rows = |tokens: u32| {
        let rows = task.seq_len.div_ceil(tokens);
        if rows > 1 { rows.next_multiple_of(2) } else { 1 }
    };
    let mut tokens = task.seq_len.div_ceil(room).next_multiple_of(4);
    // Where every token sees every other one, none may be padding.
    while !s.design.causal && rows(tokens) * tokens != task.seq_len {
        tokens += 4;
        if tokens > task.seq_len {
            return None;
        }
    }
    let rows = rows(tokens);
    (rows <= room).then(|| Geometry {
        grid,
        lanes,
        heads: s.heads,
        kv_heads: s.kv_heads(),
        head_columns,
        sequences_per_lane,
        rows_per_sequence: rows,
        tokens,
        sequences: task.sequences,
        seq_len: task.seq_len,
        d_model: s.d_model,
        hidden: Geometry::hidden_slots(&s.design, s.d_head(), head_columns),
        d_ff: s.d_ff,
        ffn: s.d_ff.div_ceil(columns),
        vocab: s.classes(),
        vocab_slots: s.classes().div_ceil(columns),
        rotary: s.design.rotary(),
        alibi: s.design.positions == Positions::Alibi,
        scores_by_features: s.design.scores_by_features,
        causal: s.design.causal,
        act: task.act,
    })
}

/// What there is to choose from.
#[derive(Debug, Clone, Default)]
pub struct Candidates {
    /// Geometries whose largest kernel fits, the best estimate first.
    pub fitting: Vec<Candidate>,
    /// Of those in which it does not, the least bytes that a PE needs.
    pub tightest: Option<u64>,
}

/// All geometries for a micro-batch.
#[must_use]
pub fn candidates(task: &Task<'_>, arch: &ArchSpec) -> Candidates {
    let grid = Grid { width: arch.width.value, height: arch.height.value };
    let one_layer = GptShape { layers: 1, ..task.shape.clone() };
    let two_layers = GptShape { layers: 2, ..task.shape.clone() };
    let graph = |shape: &GptShape| LayerGraph::training_step(shape, u64::from(task.sequences), task.seq_len).ok();
    let (Some(one), Some(two)) = (graph(&one_layer), graph(&two_layers)) else { return Candidates::default() };
    let (mut out, mut tightest) = (Vec::new(), None);
    let lanes = task.lanes.map_or(1..=LANES_MAX, |n| n..=n);
    for lanes in lanes {
        if lanes == 0 || lanes > task.sequences {
            continue;
        }
        for head_columns in 1..=HEAD_COLUMNS_MAX.min(task.shape.d_head()) {
            if head_columns > 1 && !head_columns.is_multiple_of(2) {
                continue;
            }
            let Some(geometry) = geometry(task, grid, lanes, head_columns) else { continue };
            let cycles =
                |tiled: &Tiled| -> u64 { tiled.tiles.iter().map(|t| t.kernel.estimate(&geometry, arch)).sum() };
            let least_bytes = least_bytes(task, &geometry, &one);
            if least_bytes + u64::from(arch.stack.value) > u64::from(arch.sram.value) {
                tightest = Some(tightest.map_or(least_bytes, |least: u64| least.min(least_bytes)));
                continue;
            }
            let (first, second) = (cycles(&Tiled::new(&one, &geometry, 2)), cycles(&Tiled::new(&two, &geometry, 2)));
            let layer = second.saturating_sub(first);
            let estimate = first + layer * u64::from(task.shape.layers - 1);
            out.push(Candidate { geometry, estimate });
        }
    }
    out.sort_by_key(|c| (c.estimate, c.geometry.lanes, c.geometry.head_columns));
    Candidates { fitting: out, tightest }
}

/// Bytes that a PE needs at the very least: what one kernel of the last layer works on, and the
/// inputs of all layers before it.
fn least_bytes(task: &Task<'_>, g: &Geometry, one_layer: &LayerGraph) -> u64 {
    let tiled = Tiled::new(one_layer, g, 2);
    let inputs = u64::from(g.len(Features::Hidden)) * u64::from(task.act.bytes());
    let needs = |t: &crate::schedule::Tile| -> u64 {
        t.kernel.needs(g).iter().map(|n| u64::from(n.len) * u64::from(n.dtype.bytes())).sum()
    };
    let most = tiled.tiles.iter().filter(|t| t.layer.is_some()).map(needs).max();
    most.unwrap_or(0) + inputs * u64::from(task.shape.layers - 1)
}
