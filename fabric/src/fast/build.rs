//! From a program to the tables that the engine runs on.
//!
//! A program says *route c0 in the columns 1 to 5*; the engine needs, for every router, the FIFO that a
//! color's wavelets wait in and the FIFO that they go to. This is worked out once, before the run: first
//! the routes of every router, then its FIFOs, then where each path leads.
//!
//! The mesh is cut into bands of rows. A FIFO belongs to the band of the router that takes from it;
//! where its producer is in a neighbouring band, a FIFO there stands for it and counts what was
//! put in and not yet taken out, as credits do.
//!
//! **Invariant.** Every number in the tables is that of an entry that exists, or `NONE`.
//! **Not here.** Checks: `crate::run` has made those that indices depend on; a program that is otherwise
//! not well formed gives an error or a run that deadlocks, never a panic.

mod connect;
mod ports;
mod routes;
mod switched;

use super::agent::{ce_agent, router_agent};
use super::fifo::{BELOW, Mark, NONE, REMOTE};
use super::lowered::LoweredImage;
use super::state::{Micro, NO_IMAGE, Occupancy};
use super::tables::Tables;
use connect::{Connect, Link};
use routes::{Entries, Routes, invalid, routes};
use sim_core::arch::ArchSpec;
use sim_core::coord::{Dir, Grid};
use sim_core::error::RunError;
use sim_core::program::Program;
use std::collections::BTreeMap;
use std::sync::Arc;

/// How the tables of a mesh are built.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cut {
    /// Most bytes of host memory.
    pub(crate) limit: u64,
    /// Number of bands of rows that the mesh is cut into.
    pub(crate) bands: u32,
    /// Whether boundaries are watched.
    pub(crate) watched: bool,
}

/// Rough bytes of host memory for a mesh.
fn needs(program: &Program, grid: Grid) -> u64 {
    let routes: u64 = program.routes.iter().map(|r| r.region.pes()).sum();
    let placed: u64 = program.placements.iter().map(|p| p.region.pes()).sum();
    grid.pes() * 700 + routes * 130 + placed * 250
}

/// Builds the tables of bands of rows, from north to south.
pub(crate) fn bands(program: &Program, arch: &ArchSpec, cut: Cut) -> Result<Vec<Tables>, RunError> {
    let Cut { limit, bands, watched } = cut;
    let grid = program.grid();
    let needs = needs(program, grid);
    if needs > limit || grid.pes() > u64::from(BELOW) / 4 {
        return Err(RunError::TooLarge { needs, limit });
    }
    let images: Arc<[LoweredImage]> = program.images.iter().map(|i| LoweredImage::new(i, arch)).collect();
    // Tables refer to both by 16 bits.
    if images.len() >= usize::from(NO_IMAGE) || images.iter().any(|i| i.vectors.len() > usize::from(u16::MAX)) {
        return Err(invalid("images", "more images, or vector instructions in one of them, than 65,534"));
    }
    let routes = routes(program, grid)?;
    let bands = bands.clamp(1, grid.height.max(1));
    let row = |band: u32| (u64::from(grid.height) * u64::from(band) / u64::from(bands)) as u32;
    let mut all: Vec<Tables> = (0..bands).map(|b| Tables::new(grid, row(b)..row(b + 1), &images)).collect();
    for t in &mut all {
        t.fifos.watched = watched;
        t.place(program)?;
    }
    let mut entry = Entries { route: vec![NONE; routes.all.len()], ..Entries::default() };
    for t in &mut all {
        t.buffers(&routes, arch, &mut entry);
    }
    let switched = switched::find(program, grid, &routes)?;
    for t in &mut all {
        t.further_buffers(&switched, &routes, arch, &mut entry);
        t.add_ports(program, arch, &entry, &routes);
    }
    let mut links = Vec::new();
    for (band, t) in all.iter_mut().enumerate() {
        if !switched.is_empty() {
            t.fifos.carry_words();
        }
        let outs = t.out_ports();
        let mut c =
            Connect { t, band, outs, routes: &routes, entry: &entry, links: &mut links, stand_ins: BTreeMap::new() };
        c.connect();
        c.add_switched_colors(&switched);
    }
    join(&mut all, &links);
    Ok(all)
}

/// Tells both ends of each link about the other.
fn join(all: &mut [Tables], links: &[Link]) {
    for l in links {
        let (below, above) = if l.to.0 > l.from.0 { (BELOW, 0) } else { (0, BELOW) };
        all[l.to.0].fifos.all[l.to.1 as usize].producer = REMOTE | above | l.from.1;
        let capacity = all[l.to.0].fifos.all[l.to.1 as usize].capacity;
        let stand_in = &mut all[l.from.0].fifos.all[l.from.1 as usize];
        stand_in.consumer = REMOTE | below | l.to.1;
        stand_in.capacity = capacity;
    }
}

impl Tables {
    fn place(&mut self, program: &Program) -> Result<(), RunError> {
        for p in &program.placements {
            let image = self.images.get(p.image as usize).ok_or_else(|| invalid("place", "there is no such image"))?;
            for at in p.region.iter() {
                if !self.grid.contains(at) {
                    return Err(invalid(at, "the placement leaves the grid"));
                }
                let Some(pe) = self.local(self.grid.index(at).0) else { continue };
                let registers = &mut self.registers[pe as usize];
                for q in &p.params {
                    let i = p.region.x.ordinal(at.x).expect("a PE of the region");
                    let j = p.region.y.ordinal(at.y).expect("a PE of the region");
                    registers.regs[usize::from(q.reg.0) % 16] = q.value(i, j);
                }
                self.ces[pe as usize].image = p.image as u16;
                (registers.active, registers.blocked) = (image.active, image.blocked);
                registers.occupancies = vec![Occupancy::default(); image.memory_fifos.len()].into();
                registers.ready = vec![0; if image.late { 32 } else { 0 }].into();
            }
        }
        Ok(())
    }

    /// The FIFOs of all PEs: queues, and the buffer in which each path's wavelets wait.
    fn buffers(&mut self, routes: &Routes, arch: &ArchSpec, entry: &mut Entries) {
        // Tables that grow by doubling would take twice as much for a while, which on a full wafer is
        // gigabytes.
        let images = || self.ces.iter().filter_map(|ce| self.images.get(usize::from(ce.image)));
        let queues: usize = images().map(|image| image.inputs.len() + image.outputs.len()).sum();
        self.micro.reserve_exact(images().map(|image| image.threads).sum());
        let [first, last] = [self.first, self.first + self.pes()].map(|pe| routes.start[pe as usize]);
        self.fifos.all.reserve_exact(queues + (last - first) as usize);
        self.paths.reserve_exact((last - first) as usize);
        for pe in 0..self.pes() {
            self.threads(pe);
            self.queues(pe, arch);
            for at in routes.of(self.first + pe) {
                let (color, rx, _) = routes.all[at];
                entry.route[at] = self.buffer(pe, color, rx, arch);
            }
        }
    }

    /// Room for the microthreads of a PE.
    fn threads(&mut self, pe: u32) {
        let ce = &mut self.ces[pe as usize];
        let Some(image) = self.images.get(usize::from(ce.image)) else { return };
        ce.micro = self.micro.len() as u32;
        self.micro.resize(self.micro.len() + image.threads, Micro::default());
    }

    fn queues(&mut self, pe: u32, arch: &ArchSpec) {
        let ce = &mut self.ces[pe as usize];
        if !ce.exists() {
            return;
        }
        ce.queues = self.fifos.all.len() as u32;
        let image = &self.images[usize::from(ce.image)];
        let depth = |list: &[u32], q: u8| list.get(usize::from(q)).copied().unwrap_or(1);
        for &(q, _) in &image.inputs {
            let capacity = depth(&arch.pe.input_queues.value, q) + arch.router.ramp_down.value.max(1) - 1;
            self.fifos.add(capacity, ce_agent(pe), router_agent(pe));
        }
        for &(q, _) in &image.outputs {
            let latency = (arch.pe.ce_latency.value + arch.router.ramp_up.value).max(1);
            let capacity = depth(&arch.pe.output_queues.value, q) + latency - 1;
            self.fifos.add(capacity, router_agent(pe), ce_agent(pe));
        }
    }

    /// The FIFO of a color for one port of entry: the output queue for the ramp, a new buffer for a
    /// link.
    fn buffer(&mut self, pe: u32, color: u8, rx: Dir, arch: &ArchSpec) -> u32 {
        if rx == Dir::Ramp {
            return self.output_queue(pe, color);
        }
        let capacity = arch.router.buffer.value + arch.router.hop.value.max(1) - 1;
        let coord = self.coord(pe);
        let from = self.grid.neighbour(coord, rx);
        let producer = from.and_then(|c| self.local(self.grid.index(c).0)).map_or(NONE, router_agent);
        let id = self.fifos.add(capacity, router_agent(pe), producer);
        if let Some(from) = from {
            let (boundary, across) = match rx {
                Dir::North | Dir::South => (coord.y.min(from.y), coord.x),
                Dir::West | Dir::East | Dir::Ramp => (self.grid.height + coord.x.min(from.x), coord.y),
            };
            let key = u64::from(across) << 16 | u64::from(color) << 8 | rx as u64;
            if let Some(mark) = self.fifos.marks.get_mut(id as usize) {
                *mark = Mark { boundary, key };
            }
        }
        id
    }

    fn output_queue(&self, pe: u32, color: u8) -> u32 {
        let ce = &self.ces[pe as usize];
        let Some(image) = self.images.get(usize::from(ce.image)) else { return NONE };
        let local = image.outputs.iter().position(|&(_, c)| c.index() == usize::from(color));
        local.map_or(NONE, |i| ce.queues + (image.inputs.len() + i) as u32)
    }

    fn input_queue(&self, pe: u32, color: u8) -> u32 {
        let ce = &self.ces[pe as usize];
        let Some(image) = self.images.get(usize::from(ce.image)) else { return NONE };
        let local = image.inputs.iter().position(|&(_, c)| c.index() == usize::from(color));
        local.map_or(NONE, |i| ce.queues + i as u32)
    }
}
