//! All counters of every PE, as a table of their own.
//!
//! **Invariant.** A row for every PE of the mesh, row by row; the four parts of its cycles add up to the
//! cycles of the run.
//! **Not here.** Counting (`fabric`), NumPy's files (the root package).

use crate::row;
use crate::table::Table;
use crate::{Document, Tabular, form};
use schemars::JsonSchema;
use serde::Serialize;
use sim_core::coord::Grid;
use sim_core::report::PeCounters;

/// The counters of a mesh.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Counters {
    /// Columns of the mesh.
    pub width: u32,
    /// Rows of the mesh.
    pub height: u32,
    /// Row by row.
    #[schemars(with = "Vec<form::PeCounters>")]
    pub pes: Vec<PeCounters>,
}

/// Names of the counters of a PE, in the order of [`Counters::numbers`].
pub const NAMES: [&str; 11] =
    ["compute", "wait", "back_pressure", "idle", "finish", "macs", "north", "east", "south", "west", "ramp"];

impl Counters {
    /// The counters of a mesh, in row-major order.
    #[must_use]
    pub fn new(mesh: Grid, pes: Vec<PeCounters>) -> Counters {
        Counters { width: mesh.width, height: mesh.height, pes }
    }

    /// The numbers of each PE: its cycles, the cycle in which it was done, multiply-accumulates, and
    /// wavelets by port.
    pub fn numbers(&self) -> impl Iterator<Item = [u64; NAMES.len()]> {
        self.pes.iter().map(|pe| {
            let PeCounters { cycles: c, macs, sent: [north, east, south, west, ramp], finish } = *pe;
            [c.compute, c.wait, c.back_pressure, c.idle, finish, macs, north, east, south, west, ramp]
        })
    }
}

impl Tabular for Counters {
    fn table(&self) -> Table {
        let names: Vec<&str> = ["x", "y"].into_iter().chain(NAMES).collect();
        let mut table = Table::new(&names);
        let width = u64::from(self.width.max(1));
        for (i, numbers) in (0u64..).zip(self.numbers()) {
            let place = row![i % width, i / width];
            table.row(place.into_iter().chain(numbers.map(Into::into)).collect());
        }
        table
    }
}

impl Document for Counters {
    fn text(&self) -> String {
        self.table().text()
    }
}
