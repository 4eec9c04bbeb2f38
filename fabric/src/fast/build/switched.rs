//! The colors in routers on which switches, control wavelets or filters act, as tables.
//!
//! Few colors of few routers are switched; so paths have only what plain colors need, and refer to a table
//! of their own for the rest.
//!
//! **Invariant.** A path refers to an entry of that table if and only if its color is switched there.
//! **Not here.** What a switch does when the run goes on (`switch`).

use super::connect::Connect;
use super::routes::{Ends, Entries, Routes, invalid};
use crate::analysis::control::controlled;
use crate::fast::fifo::NONE;
use crate::fast::state::Path;
use crate::fast::switched::{Counter, SwitchedColor};
use crate::fast::tables::Tables;
use sim_core::arch::ArchSpec;
use sim_core::coord::{Color, Dir, DirSet, Grid, PeCoord, Region};
use sim_core::error::RunError;
use sim_core::program::{Pop, Program};
use std::collections::BTreeMap;

/// A path that is switched or filtered: its positions as `(rx, ports)`, the route's first.
pub(super) struct Found {
    pe: u32,
    positions: Vec<(Dir, u8)>,
    ring: bool,
    pop: Pop,
    filter: Option<Counter>,
}

/// All paths of switched colors, by their number.
pub(super) fn find(program: &Program, grid: Grid, routes: &Routes) -> Result<BTreeMap<usize, Found>, RunError> {
    let mut found = BTreeMap::new();
    let path = |at: PeCoord, color: Color| -> Option<(usize, u32)> {
        let pe = grid.index(at).0;
        Some((routes.find(pe, color.index() as u8)?, pe))
    };
    let plain = |at: usize, pe: u32| {
        let (_, rx, ports) = routes.all[at];
        Found { pe, positions: vec![(rx, ports)], ring: false, pop: Pop::Never, filter: None }
    };
    for color in controlled(program) {
        for route in program.routes.iter().filter(|r| r.color == color) {
            for (at, pe) in route.region.iter().filter_map(|at| path(at, color)) {
                found.entry(at).or_insert_with(|| plain(at, pe));
            }
        }
    }
    let inside = |r: Region| r.x.last() < u64::from(grid.width) && r.y.last() < u64::from(grid.height);
    for s in &program.switches {
        if !inside(s.region) {
            return Err(invalid(s.color, "a switch leaves the grid"));
        }
        for coord in s.region.iter() {
            let (at, pe) = path(coord, s.color).ok_or_else(|| invalid(coord, "a switch without a route"))?;
            let f = found.entry(at).or_insert_with(|| plain(at, pe));
            let (rx, ports) = f.positions[0];
            let position = |p: &sim_core::program::Position| (p.rx.unwrap_or(rx), p.tx.map_or(ports, bits));
            f.positions.truncate(1);
            f.positions.extend(s.positions.iter().map(position));
            (f.ring, f.pop) = (s.ring, s.pop);
        }
    }
    for x in &program.filters {
        if !inside(x.region) || x.period == 0 {
            return Err(invalid(x.color, "a filter leaves the grid, or has no circle"));
        }
        for coord in x.region.iter() {
            let (at, pe) = path(coord, x.color).ok_or_else(|| invalid(coord, "a filter without a route"))?;
            let (i, j) = (x.region.x.ordinal(coord.x), x.region.y.ordinal(coord.y));
            let start = x.start_at(i.unwrap_or(0), j.unwrap_or(0));
            let counter = Counter { at: start, period: x.period, pass: x.pass };
            found.entry(at).or_insert_with(|| plain(at, pe)).filter = Some(counter);
        }
    }
    Ok(found)
}

fn bits(tx: DirSet) -> u8 {
    tx.iter().fold(0, |bits, d| bits | 1 << d as u8)
}

impl Tables {
    /// The FIFOs of positions that take from other ports than the route.
    pub(super) fn further_buffers(
        &mut self,
        found: &BTreeMap<usize, Found>,
        routes: &Routes,
        arch: &ArchSpec,
        entry: &mut Entries,
    ) {
        for (&at, f) in found {
            let Some(pe) = self.local(f.pe) else { continue };
            for &(rx, _) in &f.positions {
                if entry.of(routes, at, rx).is_none() {
                    let fifo = self.buffer(pe, routes.all[at].0, rx, arch);
                    entry.further.insert((at, rx as u8), fifo);
                }
            }
        }
    }
}

impl Connect<'_> {
    /// The paths of all positions.
    pub(super) fn add_switched_colors(&mut self, found: &BTreeMap<usize, Found>) {
        for (&route, f) in found {
            let Some(pe) = self.t.local(f.pe) else { continue };
            let switched = self.t.switched_colors.len() as u32;
            let color = self.routes.all[route].0;
            let mut paths = Vec::with_capacity(f.positions.len());
            for &(rx, ports) in &f.positions {
                let from = self.entry.of(self.routes, route, rx).unwrap_or(NONE);
                paths.push(Path { switched, ..self.path(Ends { pe, color, from, ports }) });
            }
            let local = (route - self.routes.of(f.pe).start) as u32;
            let at = self.t.routers[pe as usize].start + local;
            self.t.paths[at as usize] = paths[0];
            let (ring, pop, filter) = (f.ring, f.pop, f.filter);
            let kept = vec![0; paths.len()];
            self.t.switched_colors.push(SwitchedColor { paths, kept, position: 0, closed: false, ring, pop, filter });
        }
    }
}
