//! The paths of routers, and where each leads: to a FIFO of this band, to one that stands for a FIFO
//! of a neighbouring band, or to a port of an edge stream.
//!
//! **Invariant.** A path that leads nowhere has the target `NONE`, which never has room.

use super::routes::{Ends, Entries, Routes};
use crate::fast::agent::router_agent;
use crate::fast::fifo::NONE;
use crate::fast::state::Path;
use crate::fast::tables::Tables;
use sim_core::coord::{Dir, PeCoord};
use std::collections::BTreeMap;

/// A FIFO of a band whose producer is in a neighbouring band.
#[derive(Debug, Clone, Copy)]
pub(super) struct Link {
    /// Band of the consumer, and the FIFO there.
    pub(super) to: (usize, u32),
    /// Band of the producer, and the FIFO that stands for it there.
    pub(super) from: (usize, u32),
}

/// Connects the routers of a band, to those of other bands too.
pub(super) struct Connect<'a> {
    pub(super) t: &'a mut Tables,
    pub(super) band: usize,
    pub(super) outs: Vec<(u32, u8, u8, u32)>,
    pub(super) routes: &'a Routes,
    pub(super) entry: &'a Entries,
    pub(super) links: &'a mut Vec<Link>,
    /// What stands in this band for a FIFO of another one.
    pub(super) stand_ins: BTreeMap<(usize, u32), u32>,
}

impl Connect<'_> {
    pub(super) fn connect(&mut self) {
        for pe in 0..self.t.pes() {
            let of = self.routes.of(self.t.first + pe);
            self.t.routers[pe as usize].start = self.t.paths.len() as u32;
            self.t.routers[pe as usize].count = of.len() as u8;
            for (local, at) in of.enumerate() {
                let (color, _, ports) = self.routes.all[at];
                let from = self.entry.route[at];
                if let Some(f) = self.t.fifos.all.get_mut(from as usize) {
                    f.path = local as u8;
                }
                let path = self.path(Ends { pe, color, from, ports });
                self.t.paths.push(path);
                self.t.routers[pe as usize].order[local] = local as u8;
            }
        }
    }

    /// A path with its targets.
    pub(super) fn path(&mut self, ends: Ends) -> Path {
        let Ends { pe, color, from, ports } = ends;
        let coord = self.t.coord(pe);
        let (mut to, mut edges) = ([NONE; 5], 0);
        for (i, dir) in Dir::ALL.into_iter().filter(|&d| ports & (1 << d as u8) != 0).enumerate() {
            to[i] = match (dir, self.t.grid.neighbour(coord, dir)) {
                (Dir::Ramp, _) => self.t.input_queue(pe, color),
                (_, Some(next)) => self.link(next, color, dir.opposite()),
                (_, None) => {
                    edges |= 1 << dir as u8;
                    let port = self.outs.binary_search_by_key(&(pe, dir as u8, color), |o| (o.0, o.1, o.2));
                    port.map_or(NONE, |i| self.outs[i].3)
                }
            };
        }
        let [first, second, others @ ..] = to;
        let further = self.t.further.len() as u32;
        let count = ports.count_ones() as u8;
        if count > 2 {
            self.t.further.push(others);
        }
        Path { moved: 0, from, switched: NONE, to: [first, second], further, count, ports, edges, color }
    }

    /// The FIFO of a neighbour's color for a port of entry, or what stands for it in this band.
    fn link(&mut self, next: PeCoord, color: u8, rx: Dir) -> u32 {
        let pe = self.t.grid.index(next).0;
        let Some(route) = self.routes.find(pe, color) else { return NONE };
        let to = self.entry.of(self.routes, route, rx).unwrap_or(NONE);
        if to == NONE || self.t.local(pe).is_some() {
            return to;
        }
        let band = if pe < self.t.first { self.band - 1 } else { self.band + 1 };
        // The positions of a switch may lead to one and the same FIFO.
        if let Some(&from) = self.stand_ins.get(&(band, to)) {
            return from;
        }
        let from = self.t.stand_in(pe);
        self.stand_ins.insert((band, to), from);
        self.links.push(Link { to: (band, to), from: (self.band, from) });
        from
    }
}

impl Tables {
    /// A FIFO that stands for one of the PE `there`, in a neighbouring band.
    fn stand_in(&mut self, there: u32) -> u32 {
        let here = if there < self.first { there + self.grid.width } else { there - self.grid.width };
        let producer = router_agent(here - self.first);
        self.fifos.stand_in(producer)
    }
}
