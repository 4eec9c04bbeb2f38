//! The geometries that a mesh has room for: how many lanes, columns per head and tokens per PE, ranked by an estimate of
//! their cycles.
//!
//! **Invariant.** An estimate only chooses.
//! **Not here.** How a geometry is brought to fit the memory (`strategies`).

use super::samples::{Samples, Task};
use crate::banks::Banks;
use crate::layout::{Geometry, MeshLayout, ModelSizes};
use rayon::prelude::*;
use sim_core::arch::ArchSpec;

/// Most lanes that are tried.
const LANES_MAX: u32 = 64;
/// Most columns per head that are tried.
const HEAD_COLUMNS_MAX: u32 = 64;

/// A geometry with its estimated cycles per micro-batch.
#[derive(Debug, Clone)]
pub(super) struct RatedGeometry {
    /// The layout.
    pub(super) geometry: Geometry,
    /// Rough cycles of a step with one micro-batch.
    pub(super) estimate: u64,
}

/// The geometries of `lanes` lanes with `head_columns` columns per head that the mesh has room for:
/// with as few tokens per PE as the rows allow, and with some more that are easier to divide.
#[must_use]
pub(super) fn geometries(task: &Task<'_>, arch: &ArchSpec, lanes: u32, head_columns: u32) -> Vec<Geometry> {
    let Some(least) = geometry(task, arch, lanes, head_columns, task.constraints.tokens.unwrap_or(1)) else {
        return Vec::new();
    };
    if task.constraints.tokens.is_some() {
        return if task.constraints.tokens == Some(least.tokens) { vec![least] } else { Vec::new() };
    }
    let mut tokens: Vec<u32> = [8, 12, 16].map(|unit| least.tokens.next_multiple_of(unit)).to_vec();
    tokens.retain(|&t| t > least.tokens && 8 * t <= 9 * least.tokens);
    tokens.sort_unstable();
    tokens.dedup();
    let more = tokens.into_iter().filter_map(|t| geometry(task, arch, lanes, head_columns, t));
    std::iter::once(least.clone()).chain(more).collect()
}

/// The geometry of `lanes` lanes with `head_columns` columns per head and at least `tokens` tokens
/// per PE, if the mesh has room.
fn geometry(task: &Task<'_>, arch: &ArchSpec, lanes: u32, head_columns: u32, tokens: u32) -> Option<Geometry> {
    let (s, grid) = (task.shape, arch.grid());
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
    let mut tokens = task.seq_len.div_ceil(room).max(tokens).next_multiple_of(4);
    // Where every token sees every other one, none may be padding.
    while !s.design.causal && rows(tokens) * tokens != task.seq_len {
        tokens += 4;
        if tokens > task.seq_len {
            return None;
        }
    }
    let rows = rows(tokens);
    (rows <= room).then(|| {
        let mesh = MeshLayout {
            grid,
            lanes,
            head_columns,
            sequences_per_lane,
            rows_per_sequence: rows,
            tokens,
            sequences: task.sequences,
            seq_len: task.seq_len,
            hidden: Geometry::hidden_slots(&s.design, s.d_head(), head_columns),
            ffn: s.d_ff.div_ceil(columns),
            vocab_slots: s.classes().div_ceil(columns),
            banks: Banks::of(arch),
        };
        let geometry = Geometry { mesh, model: ModelSizes::of(s), precision: task.precision };
        geometry.check();
        geometry
    })
}

/// All geometries for a micro-batch that the map allows, rated by what they cost at least, the cheapest first.
#[must_use]
pub(super) fn candidates(task: &Task<'_>, arch: &ArchSpec, samples: &Samples) -> Vec<RatedGeometry> {
    let lanes = task.constraints.lanes.map_or(1..=LANES_MAX, |n| n..=n);
    let head_columns = task.constraints.head_columns.map_or(1..=HEAD_COLUMNS_MAX.min(task.shape.d_head()), |n| n..=n);
    let head_columns: Vec<u32> = head_columns.filter(|&n| n > 0).collect();
    let lanes = lanes.filter(|&n| n > 0 && n <= task.sequences);
    let geometries = lanes.flat_map(|lanes| head_columns.iter().flat_map(move |&n| geometries(task, arch, lanes, n)));
    let candidate = |geometry: Geometry| {
        let estimate = samples.at_least(&geometry, arch, task.shape.layers, &task.constraints.whole());
        RatedGeometry { geometry, estimate }
    };
    let mut out: Vec<RatedGeometry> = geometries.collect::<Vec<_>>().into_par_iter().map(candidate).collect();
    out.sort_by_key(|c| (c.estimate, c.geometry.lanes, c.geometry.head_columns, c.geometry.tokens));
    out
}
