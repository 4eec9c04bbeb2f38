//! What PEs counted, by cells of neighbouring ones: for maps of a mesh too large to be kept PE by
//! PE.
//!
//! **Invariant.** Sums of integers: the order in which PEs are added does not matter.
//! **Not here.** Shares of cycles and of what links can carry (the root package).

use super::{ColorCounters, ColorSent, PeCounters};
use crate::coord::{Color, Dir, Grid};
use serde::{Deserialize, Serialize};

/// Sums over cells of neighbouring PEs, row by row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CellCounters {
    /// Columns and rows of PEs in a cell; the last ones may have fewer.
    pub cell: Grid,
    /// Columns and rows of cells.
    pub cells: Grid,
    /// Compute, wait, back-pressure, and wavelets by port (as in [`PeCounters::sent`]).
    pub sums: Vec<[u64; CellCounters::COUNTERS]>,
    /// Wavelets of every cell by color and port, where there are any at all.
    colors: Vec<Option<Vec<u64>>>,
}

impl CellCounters {
    /// Counters of a cell.
    pub const COUNTERS: usize = 8;

    /// Nothing yet, on a mesh.
    #[must_use]
    pub fn new(mesh: Grid, cell: Grid) -> CellCounters {
        let cells = Grid { width: mesh.width.div_ceil(cell.width), height: mesh.height.div_ceil(cell.height) };
        let sums = vec![[0; CellCounters::COUNTERS]; cells.pes() as usize];
        CellCounters { cell, cells, sums, colors: vec![None; usize::from(Color::MAX) * Dir::ALL.len()] }
    }

    /// All PEs of a mesh, in row-major order.
    #[must_use]
    pub fn of(mesh: Grid, cell: Grid, pes: &[PeCounters], colors: &ColorCounters) -> CellCounters {
        let mut all = CellCounters::new(mesh, cell);
        let width = mesh.width.max(1) as usize;
        for (i, pe) in pes.iter().enumerate() {
            let (row, column) = ((i / width) as u32 / cell.height, (i % width) as u32 / cell.width);
            all.add(row * all.cells.width + column, pe, colors.pe(i), 1);
        }
        all
    }

    /// Adds PEs to a cell: their cycles, what each of so many sent, and by color.
    pub fn add(&mut self, cell: u32, pe: &PeCounters, colors: &[ColorSent], times: u64) {
        let cell = cell as usize;
        let c = pe.cycles;
        let [compute, wait, back_pressure, ports @ ..] = &mut self.sums[cell];
        *compute += c.compute;
        *wait += c.wait;
        *back_pressure += c.back_pressure;
        ports.iter_mut().zip(pe.sent).for_each(|(sum, n)| *sum += n * times);
        for color in colors {
            for (dir, n) in color.sent.into_iter().enumerate().filter(|(_, n)| *n > 0) {
                let plane = &mut self.colors[color.color.index() * Dir::ALL.len() + dir];
                plane.get_or_insert_with(|| vec![0; self.sums.len()])[cell] += n * times;
            }
        }
    }

    /// Wavelets of every cell by color and port, in this order, where there are any at all.
    pub fn colors(&self) -> impl Iterator<Item = ((Color, Dir), &[u64])> {
        let ports = (0..Color::MAX).filter_map(Color::new).flat_map(|c| Dir::ALL.into_iter().map(move |dir| (c, dir)));
        ports.zip(&self.colors).filter_map(|(port, plane)| Some((port, plane.as_deref()?)))
    }
}
