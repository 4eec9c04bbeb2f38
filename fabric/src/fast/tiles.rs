//! Blocks of cycles: bands do several cycles tile by tile, so that the state of a tile stays in the
//! cache, and threads do different blocks of different bands at the same time.
//!
//! What a PE does in a cycle depends on its own state and that of its neighbours at the end of the
//! cycle before (rule F1). So the cells *(x, y, cycle)* may be visited in any order in which the
//! five cells that one depends on come before it.
//!
//! - A *tile* leans back by a column and a row per cycle, `(X − t, Y − t − 1, t)` for `(X, Y)` in a
//!   rectangle: a cell depends only on cells of its own tile and of those to the west and north.
//!   Where the mesh is about as wide as a tile, tiles are as wide as the mesh, and lean back by rows
//!   only.
//! - A *slab* is a row of tiles, in which two neighbouring bands take part: `Y` is in the rows of the
//!   lower one, and a block has fewer cycles than a band has rows, so that the rows on both sides of
//!   the boundary do all cycles in this slab, and no third band takes part. It depends on the slab
//!   above it in the same block, and on that below it in the block before.
//!   So slab *j* of a block, *j* − 2 of the next one, *j* − 4 of the one behind it and so on do not
//!   depend on each other, and each band is in one of them. Who does which is in `agenda`.
//!
//! **Invariant.** When a cell is visited, its neighbours have done the cycle before and at most its
//! own one besides, as if all PEs did each cycle in some order: the looks are the same ones.

use super::agenda::Agenda;
use super::band::Band;
use super::wheel::SPREAD;
use rayon::prelude::*;
use std::ops::Range;
use std::sync::{Mutex, PoisonError};

/// How a mesh is cut for blocks.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tiling {
    /// Columns and rows of a tile.
    pub(crate) columns: u32,
    pub(crate) rows: u32,
    /// Cycles of a block.
    pub(crate) cycles: u32,
    /// Blocks after which all bands wait for each other.
    pub(crate) blocks: u32,
}

impl Tiling {
    /// The state of a tile fits into a core's second cache, and a block has as many cycles as it
    /// may have.
    pub(crate) const LARGE: Tiling = Tiling { columns: 64, rows: 32, cycles: SPREAD as u32, blocks: 128 };
    /// So small that meshes of tests have many.
    pub(crate) const SMALL: Tiling = Tiling { columns: 3, rows: 2, cycles: 5, blocks: 3 };

    /// As many of its cycles and blocks as are over `cycles` cycles later, at least one.
    pub(crate) fn within(self, cycles: u64) -> Tiling {
        let of_block = u64::from(self.cycles).min(cycles);
        let blocks = u64::from(self.blocks).min(cycles / of_block);
        Tiling { cycles: of_block as u32, blocks: blocks as u32, ..self }
    }

    /// Tiles of a mesh next to each other.
    fn across(&self, width: u32) -> u32 {
        let whole = u64::from(width) * 2 <= u64::from(self.columns) * 3;
        if whole { 1 } else { (width + self.cycles).div_ceil(self.columns) }
    }

    /// The columns of tile `x` of `across`, `t` cycles into a block.
    fn columns(&self, x: u32, across: u32, t: u32, width: u32) -> Range<u32> {
        if across == 1 {
            return 0..width;
        }
        let at = |edge: u32| edge.saturating_sub(t).min(width);
        at(x * self.columns)..at((x + 1) * self.columns)
    }
}

/// Does cycle `now` of all bands, on several threads if `parallel`.
pub(crate) fn cycle(bands: &mut [Band], now: u64, parallel: bool) {
    let one = |band: &mut Band| {
        band.begin_block(now, 1);
        band.look_at(0..band.rows(), 0..band.width(), now);
    };
    if parallel {
        bands.par_iter_mut().for_each(one);
    } else {
        bands.iter_mut().for_each(one);
    }
    for i in 1..bands.len() {
        let (above, below) = bands.split_at_mut(i);
        exchange(&mut above[i - 1], &mut below[0], now);
    }
    bands.iter_mut().for_each(|band| band.end_block(now + 1));
}

/// Does all blocks of a tiling from cycle `now` on, on several threads if `parallel`. Bands have more
/// rows than blocks have cycles; one that is alone has as many or more.
pub(crate) fn round(bands: &mut [Band], now: u64, tiling: Tiling, parallel: bool) {
    debug_assert!(u64::from(tiling.cycles) <= SPREAD, "entries of different cycles would be mixed up");
    let threads = if parallel { rayon::current_num_threads() } else { 1 };
    let agenda = Agenda::new(bands.len() + 1, tiling.blocks, threads);
    // Uncontended, since slabs that are next to each other are never done at once.
    let bands: Vec<Mutex<&mut Band>> = bands.iter_mut().map(Mutex::new).collect();
    let band = |i: Option<usize>| Some(bands.get(i?)?.lock().unwrap_or_else(PoisonError::into_inner));
    let work = || {
        let thread = rayon::current_thread_index().unwrap_or(0);
        while let Some(claim) = agenda.claim(thread) {
            let (mut upper, mut lower) = (band(claim.slab.checked_sub(1)), band(Some(claim.slab)));
            let now = now + u64::from(claim.block) * u64::from(tiling.cycles);
            do_slab(upper.as_deref_mut().map(|b| &mut **b), lower.as_deref_mut().map(|b| &mut **b), now, tiling);
        }
    };
    rayon::scope(|scope| {
        (1..threads).for_each(|_| scope.spawn(|_| work()));
        work();
    });
}

/// Does the slab of two bands in the block that begins in cycle `now`. Above the first band there is
/// none, nor below the last one.
fn do_slab(mut upper: Option<&mut Band>, mut lower: Option<&mut Band>, now: u64, tiling: Tiling) {
    let cycles = tiling.cycles;
    if let Some(lower) = &mut lower {
        lower.begin_block(now, u64::from(cycles));
    }
    let rows = |band: &Option<&mut Band>| band.as_ref().map_or(0, |band| band.rows());
    let (above, depth) = (rows(&upper), if lower.is_some() { rows(&lower) } else { cycles });
    let width = upper.as_ref().or(lower.as_ref()).map_or(0, |band| band.width());
    let across = tiling.across(width);
    for y in 0..depth.div_ceil(tiling.rows) {
        for x in 0..across {
            for t in 0..cycles {
                let columns = tiling.columns(x, across, t, width);
                // From the first row of the upper band on.
                let row = |edge: u32| (above + edge.min(depth)).saturating_sub(t + 1);
                let (from, to) = (row(y * tiling.rows), row((y + 1) * tiling.rows));
                let now = now + u64::from(t);
                if let Some(upper) = &mut upper {
                    upper.look_at(from.min(above)..to.min(above), columns.clone(), now);
                }
                if let Some(lower) = &mut lower {
                    lower.look_at(from.max(above) - above..to.max(above) - above, columns, now);
                }
                if let (Some(upper), Some(lower)) = (&mut upper, &mut lower) {
                    exchange(upper, lower, now);
                }
            }
        }
    }
    if let Some(upper) = upper {
        upper.end_block(now + u64::from(cycles));
    }
}

/// Carries the letters of cycle `now` between two bands.
fn exchange(upper: &mut Band, lower: &mut Band, now: u64) {
    lower.read(&mut upper.letters[1], now);
    upper.read(&mut lower.letters[0], now);
}
