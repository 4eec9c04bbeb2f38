//! The ports of edge streams, as tables: one entry per port, sorted by the PE at the edge.
//!
//! **Invariant.** A port that puts wavelets onto the wafer is the only producer of its FIFO.

use super::routes::{Entries, Routes};
use crate::fast::fifo::NONE;
use crate::fast::state::Port;
use crate::fast::tables::Tables;
use sim_core::arch::ArchSpec;
use sim_core::coord::{Dir, Grid, PeCoord};
use sim_core::program::{EdgeStream, Flow, Program};

impl Tables {
    /// The ports of edge streams, sorted by PE.
    pub(super) fn add_ports(&mut self, program: &Program, arch: &ArchSpec, entry: &Entries, routes: &Routes) {
        let mut all = Vec::new();
        for (stream, e) in program.edges.iter().enumerate() {
            for (ordinal, at) in edge_pes(e, self.grid).enumerate().filter(|(_, at)| self.grid.contains(*at)) {
                if let Some(pe) = self.local(self.grid.index(at).0) {
                    all.push((pe, stream as u32, ordinal as u32));
                }
            }
        }
        all.sort_by_key(|p| p.0);
        for (pe, stream, ordinal) in all {
            let e = &program.edges[stream as usize];
            let color = e.color.index() as u8;
            let route = routes.find(self.first + pe, color).filter(|_| e.flow == Flow::In);
            let into = route.and_then(|at| entry.of(routes, at, e.side)).unwrap_or(NONE);
            let agent = 2 * self.pes() + self.ports.len() as u32;
            if let Some(f) = self.fifos.all.get_mut(into as usize) {
                f.producer = agent;
            }
            self.ports.push(Port {
                stream,
                ordinal,
                pe,
                side: e.side as u8,
                color,
                inward: e.flow == Flow::In,
                into,
                total: e.wavelets,
                left: e.wavelets,
                next: if e.flow == Flow::In { u64::from(arch.router.edge_latency.value) } else { 0 },
                interval: e.interval.max(1),
                values: Vec::new(),
                taken: 0,
            });
        }
        let rows = self.pes().checked_div(self.grid.width).unwrap_or(0);
        let before = |row: u32| self.ports.partition_point(|p| p.pe < row * self.grid.width) as u32;
        self.port_rows = (0..=rows).map(before).collect();
    }

    /// Outgoing ports: `(PE, side, color, port number)`, sorted.
    pub(super) fn out_ports(&self) -> Vec<(u32, u8, u8, u32)> {
        let mut outs = Vec::new();
        for (i, p) in self.ports.iter().enumerate() {
            if !p.inward {
                outs.push((p.pe, p.side, p.color, i as u32));
            }
        }
        outs.sort_unstable();
        outs
    }
}

/// The PEs at the ports of an edge stream.
fn edge_pes(e: &EdgeStream, grid: Grid) -> impl Iterator<Item = PeCoord> {
    let side = e.side;
    e.ports.iter().map(move |k| match side {
        Dir::North => PeCoord { x: k, y: 0 },
        Dir::South => PeCoord { x: k, y: grid.height.wrapping_sub(1) },
        Dir::West => PeCoord { x: 0, y: k },
        Dir::East | Dir::Ramp => PeCoord { x: grid.width.wrapping_sub(1), y: k },
    })
}
