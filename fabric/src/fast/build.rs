//! From a program to the tables that the engine runs on.
//!
//! **Not here.** Checks (`sim_core::program::verify`); a program that is not well formed gives an
//! error or a run that deadlocks, never a panic.

mod special;

use super::code::Prepared;
use super::fifo::{Fifos, NONE};
use super::state::{Ce, Path, Port, Target};
use super::switch::{Counter, Special};
use sim_core::arch::ArchSpec;
use sim_core::coord::{Dir, Grid, PeCoord};
use sim_core::diag::Diagnostic;
use sim_core::error::RunError;
use sim_core::program::{EdgeStream, Flow, Program};
use std::collections::BTreeMap;

/// The FIFO behind each port of entry.
#[derive(Debug, Default)]
struct Entries {
    /// For each path, that of its route.
    route: Vec<u32>,
    /// Those of the other positions of switches, by path and port.
    further: BTreeMap<(usize, u8), u32>,
}

impl Entries {
    /// The FIFO of path `at` for port `rx`, if it ever takes from there.
    fn of(&self, routed: &[(u8, Dir, u8)], at: usize, rx: Dir) -> Option<u32> {
        if routed[at].1 == rx { Some(self.route[at]) } else { self.further.get(&(at, rx as u8)).copied() }
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

/// Constant and initial tables of a run. Agents are numbered: routers, compute elements, ports.
#[derive(Debug)]
pub(crate) struct Tables {
    pub(crate) grid: Grid,
    pub(crate) images: Vec<Prepared>,
    pub(crate) fifos: Fifos,
    pub(crate) ces: Vec<Option<Box<Ce>>>,
    /// FIFO of each local input queue, then of each output queue, per PE with an image.
    pub(crate) queues: Vec<Vec<u32>>,
    /// First path of each router, and one more.
    pub(crate) path_start: Vec<u32>,
    pub(crate) paths: Vec<Path>,
    pub(crate) targets: Vec<Target>,
    /// Colors in routers that switches, control wavelets or filters act on.
    pub(crate) specials: Vec<Special>,
    /// Service order: for each router its paths by number within the router.
    pub(crate) order: Vec<u8>,
    pub(crate) ports: Vec<Port>,
}

fn invalid(at: impl std::fmt::Display, text: &str) -> RunError {
    RunError::Invalid(vec![Diagnostic::new("X003", at, text)])
}

/// Rough bytes of host memory for a mesh.
fn needs(program: &Program, grid: Grid) -> u64 {
    let routes: u64 = program.routes.iter().map(|r| r.region.pes()).sum();
    let placed: u64 = program.placements.iter().map(|p| p.region.pes()).sum();
    grid.pes() * 40 + routes * 140 + placed * 1100
}

impl Tables {
    /// Builds the tables.
    pub(crate) fn new(program: &Program, arch: &ArchSpec, limit: u64) -> Result<Tables, RunError> {
        let grid = program.grid();
        let needs = needs(program, grid);
        if needs > limit || grid.pes() > u64::from(u32::MAX) / 4 {
            return Err(RunError::TooLarge { needs, limit });
        }
        let n = grid.pes() as usize;
        let mut t = Tables {
            grid,
            images: program.images.iter().map(|i| Prepared::new(i, arch)).collect(),
            fifos: Fifos::default(),
            ces: (0..n).map(|_| None).collect(),
            queues: vec![Vec::new(); n],
            path_start: vec![0; n + 1],
            paths: Vec::new(),
            targets: Vec::new(),
            specials: Vec::new(),
            order: Vec::new(),
            ports: Vec::new(),
        };
        t.place(program, arch)?;
        let routed = t.route(program)?;
        let mut entry = Entries::default();
        t.buffers(&routed, arch, &mut entry);
        let special = special::find(program, grid, &routed, &t.path_start)?;
        t.further_buffers(&special, &routed, arch, &mut entry);
        t.add_ports(program, arch, &entry, &routed);
        t.connect(&routed, &entry, arch);
        t.add_specials(&special, &routed, &entry, arch);
        if !t.specials.is_empty() {
            t.fifos.carry_words();
        }
        Ok(t)
    }

    fn place(&mut self, program: &Program, arch: &ArchSpec) -> Result<(), RunError> {
        let n = self.grid.pes() as u32;
        let depth = |list: &[u32], q: u8| list.get(usize::from(q)).copied().unwrap_or(1);
        for p in &program.placements {
            let image = self.images.get(p.image as usize).ok_or_else(|| invalid("place", "there is no such image"))?;
            for at in p.region.iter() {
                if !self.grid.contains(at) {
                    return Err(invalid(at, "the placement leaves the grid"));
                }
                let pe = self.grid.index(at).0;
                let mut regs = [0; 16];
                for q in &p.params {
                    let i = p.region.x.ordinal(at.x).expect("a PE of the region");
                    let j = p.region.y.ordinal(at.y).expect("a PE of the region");
                    regs[usize::from(q.reg.0) % 16] = q.value(i, j);
                }
                self.ces[pe as usize] =
                    Some(Box::new(Ce::new(p.image as u16, image.active, image.blocked, regs, image.stores.len())));
                let mut queues = Vec::with_capacity(image.inputs.len() + image.outputs.len());
                for &(q, _) in &image.inputs {
                    let capacity = depth(&arch.input_queues.value, q) + arch.ramp_down.value.max(1) - 1;
                    queues.push(self.fifos.add(capacity, n + pe, pe));
                }
                for &(q, _) in &image.outputs {
                    let latency = (arch.ce_latency.value + arch.ramp_up.value).max(1);
                    let capacity = depth(&arch.output_queues.value, q) + latency - 1;
                    queues.push(self.fifos.add(capacity, pe, n + pe));
                }
                self.queues[pe as usize] = queues;
            }
        }
        Ok(())
    }

    /// Routes per router, sorted by color: `(color, rx, ports)`.
    fn route(&mut self, program: &Program) -> Result<Vec<(u8, Dir, u8)>, RunError> {
        let mut counts = vec![0u32; self.grid.pes() as usize + 1];
        for r in &program.routes {
            if r.region.x.last() >= u64::from(self.grid.width) || r.region.y.last() >= u64::from(self.grid.height) {
                return Err(invalid(r.color, "a route leaves the grid"));
            }
            for at in r.region.iter() {
                counts[self.grid.index(at).0 as usize + 1] += 1;
            }
        }
        for i in 1..counts.len() {
            counts[i] += counts[i - 1];
        }
        let mut fill = counts.clone();
        let mut routed = vec![(0, Dir::Ramp, 0); counts[counts.len() - 1] as usize];
        for r in &program.routes {
            let ports = r.tx.iter().fold(0u8, |bits, d| bits | 1 << d as u8);
            for at in r.region.iter() {
                let pe = self.grid.index(at).0 as usize;
                routed[fill[pe] as usize] = (r.color.index() as u8, r.rx, ports);
                fill[pe] += 1;
            }
        }
        for pe in 0..counts.len() - 1 {
            routed[counts[pe] as usize..counts[pe + 1] as usize].sort_unstable_by_key(|r| r.0);
        }
        self.path_start = counts;
        Ok(routed)
    }

    /// The FIFO in which each path's wavelets wait.
    fn buffers(&mut self, routed: &[(u8, Dir, u8)], arch: &ArchSpec, entry: &mut Entries) {
        entry.route = vec![NONE; routed.len()];
        for pe in 0..self.grid.pes() as u32 {
            for at in self.path_start[pe as usize]..self.path_start[pe as usize + 1] {
                let (color, rx, _) = routed[at as usize];
                entry.route[at as usize] = self.buffer(pe, color, rx, arch);
            }
        }
    }

    /// The FIFO of a color for one port of entry: the output queue for the ramp, a new buffer for a
    /// link.
    fn buffer(&mut self, pe: u32, color: u8, rx: Dir, arch: &ArchSpec) -> u32 {
        if rx == Dir::Ramp {
            return self.output_queue(pe, color);
        }
        let capacity = arch.router_buffer.value + arch.hop.value.max(1) - 1;
        let coord = self.grid.coord(sim_core::coord::PeIdx(pe));
        let from = self.grid.neighbour(coord, rx);
        let producer = from.map_or(NONE, |c| self.grid.index(c).0);
        let id = self.fifos.add(capacity, pe, producer);
        if let Some(from) = from {
            let f = &mut self.fifos.all[id as usize];
            let across = match rx {
                Dir::North | Dir::South => {
                    f.boundary = coord.y.min(from.y);
                    coord.x
                }
                Dir::West | Dir::East | Dir::Ramp => {
                    f.boundary = self.grid.height + coord.x.min(from.x);
                    coord.y
                }
            };
            f.key = u64::from(across) << 16 | u64::from(color) << 8 | rx as u64;
        }
        id
    }

    fn output_queue(&self, pe: u32, color: u8) -> u32 {
        let Some(ce) = &self.ces[pe as usize] else { return NONE };
        let image = &self.images[ce.image as usize];
        let local = image.outputs.iter().position(|&(_, c)| c.index() == usize::from(color));
        local.map_or(NONE, |i| self.queues[pe as usize][image.inputs.len() + i])
    }

    fn input_queue(&self, pe: u32, color: u8) -> u32 {
        let Some(ce) = &self.ces[pe as usize] else { return NONE };
        let image = &self.images[ce.image as usize];
        let local = image.inputs.iter().position(|&(_, c)| c.index() == usize::from(color));
        local.map_or(NONE, |i| self.queues[pe as usize][i])
    }

    fn find(&self, routed: &[(u8, Dir, u8)], pe: u32, color: u8) -> Option<usize> {
        let (from, to) = (self.path_start[pe as usize] as usize, self.path_start[pe as usize + 1] as usize);
        routed[from..to].iter().position(|r| r.0 == color).map(|i| from + i)
    }

    fn add_ports(&mut self, program: &Program, arch: &ArchSpec, entry: &Entries, routed: &[(u8, Dir, u8)]) {
        for (stream, e) in program.edges.iter().enumerate() {
            for (ordinal, at) in edge_pes(e, self.grid).enumerate() {
                if !self.grid.contains(at) {
                    continue;
                }
                let pe = self.grid.index(at).0;
                let mut into = NONE;
                if e.flow == Flow::In
                    && let Some(i) = self.find(routed, pe, e.color.index() as u8)
                    && let Some(fifo) = entry.of(routed, i, e.side)
                {
                    into = fifo;
                    let agent = 2 * self.grid.pes() as u32 + self.ports.len() as u32;
                    if let Some(f) = self.fifos.all.get_mut(into as usize) {
                        f.producer = agent;
                    }
                }
                self.ports.push(Port {
                    stream: stream as u32,
                    ordinal: ordinal as u32,
                    pe,
                    side: e.side as u8,
                    color: e.color.index() as u8,
                    inward: e.flow == Flow::In,
                    into,
                    total: e.wavelets,
                    left: e.wavelets,
                    next: if e.flow == Flow::In { u64::from(arch.edge_latency.value) } else { 0 },
                    interval: e.interval.max(1),
                    values: Vec::new(),
                    taken: 0,
                });
            }
        }
    }

    fn connect(&mut self, routed: &[(u8, Dir, u8)], entry: &Entries, arch: &ArchSpec) {
        let outs = self.out_ports();
        for pe in 0..self.grid.pes() as u32 {
            let (start, end) = (self.path_start[pe as usize], self.path_start[pe as usize + 1]);
            for at in start..end {
                let (color, _, ports) = routed[at as usize];
                let from = entry.route[at as usize];
                let path = self.path(Ends { pe, color, from, ports }, routed, entry, &outs, arch);
                self.paths.push(path);
                self.order.push((at - start) as u8);
            }
        }
    }

    /// A path with its targets.
    fn path(
        &mut self,
        ends: Ends,
        routed: &[(u8, Dir, u8)],
        entry: &Entries,
        outs: &[(u32, u8, u8, u32)],
        arch: &ArchSpec,
    ) -> Path {
        let Ends { pe, color, from, ports } = ends;
        let coord = self.grid.coord(sim_core::coord::PeIdx(pe));
        let first = self.targets.len() as u32;
        for dir in Dir::ALL.into_iter().filter(|&d| ports & (1 << d as u8) != 0) {
            let target = match (dir, self.grid.neighbour(coord, dir)) {
                (Dir::Ramp, _) => {
                    let latency = arch.ramp_down.value.max(1) as u8;
                    Target { port: 4, to: self.input_queue(pe, color), edge: false, latency }
                }
                (_, Some(next)) => {
                    let there = self.find(routed, self.grid.index(next).0, color);
                    let to = there.and_then(|i| entry.of(routed, i, dir.opposite())).unwrap_or(NONE);
                    Target { port: dir as u8, to, edge: false, latency: arch.hop.value.max(1) as u8 }
                }
                (_, None) => {
                    let to = outs
                        .binary_search_by_key(&(pe, dir as u8, color), |o| (o.0, o.1, o.2))
                        .map_or(NONE, |i| outs[i].3);
                    Target { port: dir as u8, to, edge: true, latency: 0 }
                }
            };
            self.targets.push(target);
        }
        let count = (self.targets.len() as u32 - first) as u8;
        Path { from, ports, first, count, color, special: NONE }
    }

    /// Outgoing ports: `(PE, side, color, port number)`, sorted.
    fn out_ports(&self) -> Vec<(u32, u8, u8, u32)> {
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
pub(crate) fn edge_pes(e: &EdgeStream, grid: Grid) -> impl Iterator<Item = PeCoord> {
    let side = e.side;
    e.ports.iter().map(move |k| match side {
        Dir::North => PeCoord { x: k, y: 0 },
        Dir::South => PeCoord { x: k, y: grid.height.wrapping_sub(1) },
        Dir::West => PeCoord { x: 0, y: k },
        Dir::East | Dir::Ramp => PeCoord { x: grid.width.wrapping_sub(1), y: k },
    })
}
