//! Time-skewed tiles: several cycles of a small rectangle of PEs are simulated before the next
//! rectangle is touched, so that a rectangle's state is fetched into the cache once per block of
//! cycles and not once per cycle; and threads work on different blocks of different bands at once.
//!
//! Why the order may be changed: what a PE does in a cycle depends on its own state and on that of
//! its four neighbours at the end of the cycle before (rule F1 of `docs/MODEL.md`). So the cells
//! *(x, y, cycle)* may be visited in any order in which the five cells that one depends on come
//! before it. In the literature on stencils this is called time skewing or wavefront tiling.
//!
//! - A *tile* is skewed: in each further cycle its rectangle lies a column further west and a row
//!   further north, `(X − t, Y − t − 1, t)` for `(X, Y)` in a rectangle. So a cell depends only on
//!   cells of its own tile and of the tiles to the west and north. Example: a tile of columns
//!   64 to 127 visits these in its first cycle, 63 to 126 in its second, and so on. Where the mesh
//!   is about as wide as a tile, tiles are as wide as the mesh, and are skewed by rows only.
//! - A *row of tiles* spans two neighbouring bands: `Y` is in the rows of the lower band, and a block
//!   has fewer cycles than a band has rows, so the skew reaches into the upper band and never into a
//!   third one. A row of tiles depends on the row of tiles above it in the same block, and on the one
//!   below it in the block before. So row *j* of a block, row *j* − 2 of the next block, *j* − 4 of
//!   the block after that and so on do not depend on each other, and each band is in one of them:
//!   these may run at the same time. Which thread runs which is decided in `wavefront`.
//!
//! **Invariant.** When a cell is visited, its neighbours have done the cycle before and at most its
//! own cycle besides, as if all PEs did each cycle in some order: the evaluations are the same ones.

use super::band::Band;
use super::wavefront::WavefrontScheduler;
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
    /// Cycles that a block has.
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
        band.evaluate(0..band.rows(), 0..band.width(), now);
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
    assert!(u64::from(tiling.cycles) <= SPREAD, "entries of different cycles would be mixed up");
    let depth = tiling.cycles + u32::from(bands.len() > 1);
    assert!(bands.iter().all(|b| b.rows() >= depth), "the skew of a row of tiles would reach into a third band");
    let threads = if parallel { rayon::current_num_threads() } else { 1 };
    let scheduler = WavefrontScheduler::new(bands.len() + 1, tiling.blocks, threads);
    // Uncontended, since neighbouring rows of tiles never run at the same time.
    let bands: Vec<Mutex<&mut Band>> = bands.iter_mut().map(Mutex::new).collect();
    let band = |i: Option<usize>| Some(bands.get(i?)?.lock().unwrap_or_else(PoisonError::into_inner));
    let work = || {
        let thread = rayon::current_thread_index().unwrap_or(0);
        while let Some(claim) = scheduler.claim(thread) {
            let (mut upper, mut lower) = (band(claim.tile_row.checked_sub(1)), band(Some(claim.tile_row)));
            let now = now + u64::from(claim.block) * u64::from(tiling.cycles);
            run_tile_row(upper.as_deref_mut().map(|b| &mut **b), lower.as_deref_mut().map(|b| &mut **b), now, tiling);
        }
    };
    rayon::scope(|scope| {
        (1..threads).for_each(|_| scope.spawn(|_| work()));
        work();
    });
    assert!(scheduler.is_done(), "a row of tiles was left out, and with it the events of its PEs");
}

/// Runs the row of tiles that spans two bands, in the block that begins in cycle `now`. There is no
/// band above the first one, nor below the last one.
fn run_tile_row(mut upper: Option<&mut Band>, mut lower: Option<&mut Band>, now: u64, tiling: Tiling) {
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
                    upper.evaluate(from.min(above)..to.min(above), columns.clone(), now);
                }
                if let Some(lower) = &mut lower {
                    lower.evaluate(from.max(above) - above..to.max(above) - above, columns, now);
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

/// Delivers the messages of cycle `now` between two bands.
fn exchange(upper: &mut Band, lower: &mut Band, now: u64) {
    lower.receive(&mut upper.messages[1], now);
    upper.receive(&mut lower.messages[0], now);
}
