//! The routes of a mesh, router by router: from rules over regions to a list per router.
//!
//! **Invariant.** The routes of a router are adjacent and sorted by color, so the position of a route in
//! its router is the number of its path there.

use sim_core::coord::{Dir, Grid};
use sim_core::diag::Diagnostic;
use sim_core::error::RunError;
use sim_core::program::Program;
use std::collections::BTreeMap;

/// A color in a router: number, port of entry, output ports.
pub(super) type Routed = (u8, Dir, u8);

/// All routes, router by router.
#[derive(Debug, Default)]
pub(super) struct Routes {
    /// First one of each router, and one more.
    pub(super) start: Vec<u32>,
    /// Sorted by color within a router.
    pub(super) all: Vec<Routed>,
}

impl Routes {
    pub(super) fn of(&self, pe: u32) -> std::ops::Range<usize> {
        self.start[pe as usize] as usize..self.start[pe as usize + 1] as usize
    }

    /// The number of a color's route in a router.
    pub(super) fn find(&self, pe: u32, color: u8) -> Option<usize> {
        let of = self.of(pe);
        self.all[of.clone()].iter().position(|r| r.0 == color).map(|i| of.start + i)
    }
}

/// The FIFO behind each port of entry.
#[derive(Debug, Default)]
pub(super) struct Entries {
    /// For each route, that of its port.
    pub(super) route: Vec<u32>,
    /// Paths of a switch's positions behind the first one, by route and port.
    pub(super) further: BTreeMap<(usize, u8), u32>,
}

impl Entries {
    /// The FIFO of route `at` for port `rx`, if it ever takes from there.
    pub(super) fn of(&self, routes: &Routes, at: usize, rx: Dir) -> Option<u32> {
        if routes.all[at].1 == rx { Some(self.route[at]) } else { self.further.get(&(at, rx as u8)).copied() }
    }
}

/// Where a path begins and by which ports it leaves.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ends {
    pub(super) pe: u32,
    pub(super) color: u8,
    pub(super) from: u32,
    pub(super) ports: u8,
}

/// The error of a program that is not well formed.
pub(super) fn invalid(at: impl std::fmt::Display, text: &str) -> RunError {
    RunError::Invalid(vec![Diagnostic::new("X003", at, text)])
}

/// Routes per router, sorted by color.
pub(super) fn routes(program: &Program, grid: Grid) -> Result<Routes, RunError> {
    let mut counts = vec![0u32; grid.pes() as usize + 1];
    for r in &program.routes {
        if r.region.x.last() >= u64::from(grid.width) || r.region.y.last() >= u64::from(grid.height) {
            return Err(invalid(r.color, "a route leaves the grid"));
        }
        for at in r.region.iter() {
            counts[grid.index(at).0 as usize + 1] += 1;
        }
    }
    for i in 1..counts.len() {
        counts[i] += counts[i - 1];
    }
    let mut fill = counts.clone();
    let mut all = vec![(0, Dir::Ramp, 0); counts[counts.len() - 1] as usize];
    for r in &program.routes {
        let ports = r.tx.iter().fold(0u8, |bits, d| bits | 1 << d as u8);
        for at in r.region.iter() {
            let pe = grid.index(at).0 as usize;
            all[fill[pe] as usize] = (r.color.index() as u8, r.rx, ports);
            fill[pe] += 1;
        }
    }
    for pe in 0..counts.len() - 1 {
        all[counts[pe] as usize..counts[pe + 1] as usize].sort_unstable_by_key(|r| r.0);
    }
    Ok(Routes { start: counts, all })
}
