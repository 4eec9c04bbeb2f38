//! Where the PEs of the mesh spend their cycles.
//!
//! **Invariant.** Sums of integers: the order in which programs are added does not matter.

use sim_core::coord::Grid;
use sim_core::report::{PeCounters, PeCycles};

/// Most columns of cells.
const COLUMNS: u32 = 150;
/// Most rows of cells.
const ROWS: u32 = 200;

/// PE-cycles of every PE.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heat {
    /// The mesh.
    pub grid: Grid,
    pes: Vec<PeCycles>,
}

/// Share of compute by cell of neighbouring PEs.
#[derive(Debug, Clone, PartialEq)]
pub struct Cells {
    /// Columns of cells.
    pub columns: u32,
    /// Rows of cells.
    pub rows: u32,
    /// From 0 to 1, row by row; 0 where no PE of the cell ever computes.
    pub compute: Vec<f64>,
}

impl Heat {
    /// Nothing yet.
    #[must_use]
    pub fn new(grid: Grid) -> Heat {
        Heat { grid, pes: vec![PeCycles::default(); grid.pes() as usize] }
    }

    /// Adds `weight` executions of a program on `grid`, which starts at the mesh's first PE.
    pub fn add(&mut self, grid: Grid, pes: &[PeCounters], weight: u64) {
        let (own, wide) = (grid.width.max(1) as usize, self.grid.width as usize);
        for (row, counters) in self.pes.chunks_mut(wide).zip(pes.chunks(own)) {
            for (sum, pe) in row.iter_mut().zip(counters) {
                *sum += pe.cycles.times(weight);
            }
        }
    }

    /// The mesh in at most 150 × 200 cells. PEs that never compute do not count.
    #[must_use]
    pub fn cells(&self) -> Cells {
        let (wide, high) = (self.grid.width.div_ceil(COLUMNS).max(1), self.grid.height.div_ceil(ROWS).max(1));
        let (columns, rows) = (self.grid.width.div_ceil(wide), self.grid.height.div_ceil(high));
        let mut sums = vec![PeCycles::default(); (columns * rows) as usize];
        for (i, pe) in self.pes.iter().enumerate().filter(|(_, pe)| pe.compute > 0) {
            let (x, y) = (i as u32 % self.grid.width, i as u32 / self.grid.width);
            sums[((y / high) * columns + x / wide) as usize] += *pe;
        }
        let share = |c: &PeCycles| c.compute as f64 / c.total().max(1) as f64;
        Cells { columns, rows, compute: sums.iter().map(share).collect() }
    }
}

impl Cells {
    /// The share of a cell.
    #[must_use]
    pub fn at(&self, column: u32, row: u32) -> f64 {
        self.compute[(row * self.columns + column) as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unused_pes_do_not_dilute_a_cell() {
        let pe = |compute| PeCounters {
            cycles: PeCycles { compute, wait: 10 - compute, back_pressure: 0, idle: 0 },
            ..PeCounters::default()
        };
        let mut heat = Heat::new(Grid { width: 300, height: 1 });
        heat.add(Grid { width: 3, height: 1 }, &[pe(5), pe(10), pe(4)], 2);
        heat.add(Grid { width: 300, height: 1 }, &vec![pe(0); 300], 1);
        let cells = heat.cells();
        assert_eq!((cells.columns, cells.rows), (150, 1));
        assert_eq!(cells.compute[..3], [30.0 / 60.0, 8.0 / 30.0, 0.0]);
    }
}
