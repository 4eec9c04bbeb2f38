//! Blocks of cycles: a band does several cycles tile by tile, so that the state of a tile stays in
//! the cache.
//!
//! What a PE does in a cycle depends on its own state and that of its neighbours at the end of the
//! cycle before (rule F1). So the cells *(x, y, cycle)* may be visited in any order in which the
//! five cells that one depends on come before it. Tiles are strips of rows, as wide as the mesh, that
//! lean back by a row per cycle, `(x, Y − t, t)` for `Y` in a range: a cell depends only on cells of
//! its own tile and of those to the north. What is next to each other in memory is visited one after
//! the other.
//!
//! **Invariant.** When a cell is visited, its neighbours have done the cycle before and at most its
//! own one besides, as if all PEs did each cycle in some order: the looks are the same ones.

use super::band::{Band, Letter};
use super::wheel::SPREAD;
use rayon::prelude::*;
use std::ops::Range;

/// How a mesh is cut for blocks.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tiling {
    /// Rows of a tile.
    pub(crate) rows: u32,
    /// Cycles of a block.
    pub(crate) cycles: u32,
    /// With several bands a block has a cycle for so many rows of a band, and one more: cells near
    /// boundaries are visited one cycle after the other, by one thread.
    pub(crate) rows_per_cycle: u32,
}

impl Tiling {
    /// One cycle at a time.
    pub(crate) const NONE: Tiling = Tiling { rows: u32::MAX / 2, cycles: 1, rows_per_cycle: 2 };
    /// As many cycles as a block may have; with several bands an eighth of a band's rows, or a
    /// quarter, waits for others at most.
    pub(crate) const LARGE: Tiling = Tiling { rows: 16, cycles: SPREAD as u32, rows_per_cycle: 8 };
    /// So small that meshes of tests have many.
    pub(crate) const SMALL: Tiling = Tiling { rows: 2, cycles: 5, rows_per_cycle: 2 };
}

/// Cells of a band that have to wait for its neighbours, or for which they have to wait, lie within
/// as many rows of a boundary as cycles went by.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Open {
    pub(crate) north: bool,
    pub(crate) south: bool,
}

/// The part of a leaning strip that is inside the mesh after `t` cycles.
fn lean(tile: u32, rows: u32, t: u32, height: u32) -> Range<u32> {
    let at = |edge: u32| edge.saturating_sub(t).min(height);
    at(tile * rows)..at((tile + 1).saturating_mul(rows))
}

impl Band {
    /// Does `cycles` cycles from `now` on, but for the cells near open boundaries.
    pub(crate) fn do_block(&mut self, now: u64, cycles: u32, tiling: Tiling, open: Open) {
        self.begin_block(now, u64::from(cycles));
        let height = self.rows();
        for tile in 0..(height + cycles).div_ceil(tiling.rows) {
            for t in 0..cycles {
                let mut rows = lean(tile, tiling.rows, t, height);
                if open.north {
                    rows.start = rows.start.max(t);
                }
                if open.south {
                    rows.end = rows.end.min(height - t);
                }
                self.look_at(rows, now + u64::from(t));
            }
        }
    }

    /// Does cycle `now` of the cells that [`Band::do_block`] left out, `t` cycles into the block.
    pub(crate) fn do_rest(&mut self, now: u64, t: u32, open: Open) {
        if open.north {
            self.look_at(0..t, now);
        }
        if open.south {
            self.look_at(self.rows() - t..self.rows(), now);
        }
    }
}

/// Does `cycles` cycles of all bands, on several threads if `parallel`.
pub(crate) fn advance(bands: &mut [Band], now: u64, cycles: u32, tiling: Tiling, parallel: bool) {
    debug_assert!(u64::from(cycles) <= SPREAD, "entries of different cycles would be mixed up");
    let last = bands.len() - 1;
    let open = |i: usize| Open { north: i > 0, south: i < last };
    if parallel {
        bands.par_iter_mut().enumerate().for_each(|(i, band)| band.do_block(now, cycles, tiling, open(i)));
    } else {
        bands.iter_mut().enumerate().for_each(|(i, band)| band.do_block(now, cycles, tiling, open(i)));
    }
    let mut letters = Vec::new();
    carry(bands, &mut letters, now);
    if last > 0 {
        for t in 1..cycles {
            let now = now + u64::from(t);
            bands.iter_mut().enumerate().for_each(|(i, band)| band.do_rest(now, t, open(i)));
            carry(bands, &mut letters, now);
        }
    }
    bands.iter_mut().for_each(|band| band.end_block(now + u64::from(cycles)));
}

/// Carries the letters of a cycle to the bands above and below.
fn carry(bands: &mut [Band], letters: &mut Vec<Letter>, now: u64) {
    for i in 1..bands.len() {
        for (from, to, side) in [(i - 1, i, 1), (i, i - 1, 0)] {
            std::mem::swap(letters, &mut bands[from].letters[side]);
            bands[to].read(letters, now);
        }
    }
}
