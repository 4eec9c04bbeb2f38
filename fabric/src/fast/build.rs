//! From a program to the tables that the engine runs on.
//!
//! The mesh is cut into bands of rows. A FIFO belongs to the band of the router that takes from it;
//! where its producer is in a neighbouring band, a FIFO there stands for it and counts what was
//! put in and not yet taken out.
//!
//! **Not here.** Checks (`sim_core::program::verify`); a program that is not well formed gives an
//! error or a run that deadlocks, never a panic.

mod ports;
mod switched;

use super::Cut;
use super::fifo::{BELOW, Fifos, Mark, NONE, REMOTE};
use super::lowered::LoweredImage;
use super::state::{Ce, Micro, Occupancy, Path, Port, Registers, Router};
use super::switch::{Counter, SwitchedColor};
use sim_core::arch::ArchSpec;
use sim_core::coord::{Dir, Grid, PeCoord, PeIdx};
use sim_core::diag::Diagnostic;
use sim_core::error::RunError;
use sim_core::program::Program;
use std::collections::BTreeMap;
use std::sync::Arc;

/// A color in a router: number, port of entry, output ports.
type Routed = (u8, Dir, u8);

/// All routes, router by router.
#[derive(Debug, Default)]
struct Routes {
    /// First one of each router, and one more.
    start: Vec<u32>,
    /// Sorted by color within a router.
    all: Vec<Routed>,
}

impl Routes {
    fn of(&self, pe: u32) -> std::ops::Range<usize> {
        self.start[pe as usize] as usize..self.start[pe as usize + 1] as usize
    }

    /// The number of a color's route in a router.
    fn find(&self, pe: u32, color: u8) -> Option<usize> {
        let of = self.of(pe);
        self.all[of.clone()].iter().position(|r| r.0 == color).map(|i| of.start + i)
    }
}

/// The FIFO behind each port of entry.
#[derive(Debug, Default)]
struct Entries {
    /// For each route, that of its port.
    route: Vec<u32>,
    /// Those of the other positions of switches, by route and port.
    further: BTreeMap<(usize, u8), u32>,
}

impl Entries {
    /// The FIFO of route `at` for port `rx`, if it ever takes from there.
    fn of(&self, routes: &Routes, at: usize, rx: Dir) -> Option<u32> {
        if routes.all[at].1 == rx { Some(self.route[at]) } else { self.further.get(&(at, rx as u8)).copied() }
    }
}

/// Where a path begins and by which ports it leaves.
#[derive(Debug, Clone, Copy)]
struct Ends {
    pe: u32,
    color: u8,
    from: u32,
    ports: u8,
}

/// Constant and initial tables of a band of rows. Agents are numbered: the router and the compute
/// element of each PE, then ports.
#[derive(Debug)]
pub(crate) struct Tables {
    /// The whole mesh.
    pub(crate) grid: Grid,
    /// First PE of the band.
    pub(crate) first: u32,
    pub(crate) images: Arc<[LoweredImage]>,
    pub(crate) fifos: Fifos,
    pub(crate) ces: Vec<Ce>,
    pub(crate) registers: Vec<Registers>,
    /// Microthreads of all compute elements.
    pub(crate) micro: Vec<Micro>,
    pub(crate) routers: Vec<Router>,
    pub(crate) paths: Vec<Path>,
    /// Where wavelets go of paths with more than two output ports, by the others.
    further: Vec<[u32; 3]>,
    /// Colors in routers that switches, control wavelets or filters act on.
    pub(crate) switched_colors: Vec<SwitchedColor>,
    /// Sorted by PE.
    pub(crate) ports: Vec<Port>,
    /// First port of each row, and one more.
    port_rows: Vec<u32>,
}

/// Agent of a router, by its number in the band.
#[inline]
pub(crate) fn router_agent(pe: u32) -> u32 {
    2 * pe
}

/// Agent of a compute element.
#[inline]
pub(crate) fn ce_agent(pe: u32) -> u32 {
    2 * pe + 1
}

fn invalid(at: impl std::fmt::Display, text: &str) -> RunError {
    RunError::Invalid(vec![Diagnostic::new("X003", at, text)])
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

/// Routes per router, sorted by color.
fn routes(program: &Program, grid: Grid) -> Result<Routes, RunError> {
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

/// A FIFO of a band whose producer is in a neighbouring band.
#[derive(Debug, Clone, Copy)]
struct Link {
    /// Band of the consumer, and the FIFO there.
    to: (usize, u32),
    /// Band of the producer, and the FIFO that stands for it there.
    from: (usize, u32),
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
    fn new(grid: Grid, rows: std::ops::Range<u32>, images: &Arc<[LoweredImage]>) -> Tables {
        let n = (rows.len() as u32 * grid.width) as usize;
        Tables {
            grid,
            first: rows.start * grid.width,
            images: Arc::clone(images),
            fifos: Fifos::default(),
            ces: vec![Ce::none(); n],
            registers: vec![Registers::default(); n],
            micro: Vec::new(),
            routers: vec![Router::default(); n],
            paths: Vec::new(),
            further: Vec::new(),
            switched_colors: Vec::new(),
            ports: Vec::new(),
            port_rows: Vec::new(),
        }
    }

    /// PEs of the band.
    pub(crate) fn pes(&self) -> u32 {
        self.ces.len() as u32
    }

    /// Where a PE of the band is.
    pub(crate) fn coord(&self, pe: u32) -> PeCoord {
        self.grid.coord(PeIdx(self.first + pe))
    }

    /// The number in the band of a PE of the mesh.
    fn local(&self, pe: u32) -> Option<u32> {
        pe.checked_sub(self.first).filter(|&pe| pe < self.pes())
    }

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
            }
        }
        Ok(())
    }

    /// The FIFOs of all PEs: queues, and the buffer in which each path's wavelets wait.
    fn buffers(&mut self, routes: &Routes, arch: &ArchSpec, entry: &mut Entries) {
        // Tables that grow by doubling would take twice as much for a while.
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

    /// The microthreads of a PE.
    pub(crate) fn micro_of(&self, ce: &Ce) -> &[Micro] {
        let threads = self.images.get(usize::from(ce.image)).map_or(0, |image| image.threads);
        &self.micro[ce.own(threads)]
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

    /// Where a path leads by the output port of an ordinal.
    #[inline]
    pub(crate) fn target(&self, path: &Path, ordinal: usize) -> u32 {
        match path.to.get(ordinal) {
            Some(to) => *to,
            None => self.further[path.further as usize][ordinal - path.to.len()],
        }
    }
}

/// Connects the routers of a band, to those of other bands too.
struct Connect<'a> {
    t: &'a mut Tables,
    band: usize,
    outs: Vec<(u32, u8, u8, u32)>,
    routes: &'a Routes,
    entry: &'a Entries,
    links: &'a mut Vec<Link>,
    /// What stands in this band for a FIFO of another one.
    stand_ins: BTreeMap<(usize, u32), u32>,
}

impl Connect<'_> {
    fn connect(&mut self) {
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
    fn path(&mut self, ends: Ends) -> Path {
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
