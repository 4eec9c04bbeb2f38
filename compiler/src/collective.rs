//! Collectives over a rectangle of PEs: broadcast, reduce, all-reduce.
//!
//! With `P` PEs in a line, `B` wavelets per PE, `d` = dispatch + setup (9 on a CS-2) and `r` = 6
//! cycles from compute element to compute element of a neighbour, in cycles:
//!
//! - broadcast over `M × N` PEs: `B + M + N + 12`: the sender's first wavelet, one link per cycle,
//!   the ramps;
//! - chain reduce: `d + B + r (P − 1)`: every PE adds what comes by and passes it on;
//! - tree reduce, `P = 2^L`: at most `d + L (B + 12) + P`: in step `l` every `2^(l+1)`-th PE adds the
//!   sums of the PE `2^l` places behind it; streams that arrive early take links from each other;
//! - two-phase reduce with groups of `S`: a chain in every group at the same time, then a chain over
//!   the groups' first PEs, whose neighbours are `S` links apart:
//!   about `2 (d + B) + r (S − 1) + (r + S − 1) (P/S − 1)`;
//! - star reduce: `d + (B + 1) (P − 1) + 5`: one PE after the other sends straight to the root, the
//!   nearest first; behind its vector each sends a control wavelet that turns its router's switch
//!   from its ramp to the PEs behind it;
//! - ring all-reduce: `2 (P − 1)` steps in which every PE sends `B / P` wavelets and takes as many,
//!   with one issue slot for each; the first
//!   half of them add, the second half copy: at most `d + 2 (P − 1) (2 B / P + 20)`.
//!
//! In two dimensions a reduction runs along all rows, then along the first column; a ring along
//! all rows, then along all columns. An all-reduce that is no ring is a reduction and a broadcast.
//!
//! **Invariant.** The PE in the north-west corner is the root. A PE receives and sends on
//! different colors, and every step of an algorithm has colors of its own.
//! **Not here.** What executing takes: these formulas are tested against it, and report nothing.

use crate::codegen::instr::{at, color, fab, mem, repeat, spawn, vec};
use crate::codegen::ring::{Axis, Ring};
use crate::kernels::main_task;
use sim_core::coord::{Color, Dir, DirSet, Grid, Region, Span};
use sim_core::program::{
    AddrOp, AddrReg, Buffer, Command, Control, DType, Dim, Image, Instr, MemRef, Op, Operand, Param, Placement, Pop,
    Position, Program, Route, Switch,
};

/// What a collective does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The root's vector to all PEs, by multicast in the routers.
    Broadcast,
    /// The sum of all vectors to the root.
    Reduce(Algorithm),
    /// The sum of all vectors to all PEs.
    AllReduce(Algorithm),
}

/// How vectors are summed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Algorithm {
    /// From neighbour to neighbour.
    Chain,
    /// In pairs, pairs of pairs, and so on.
    Tree,
    /// Chains in groups of so many PEs, then a chain over the groups.
    TwoPhase(u32),
    /// Straight to the root, one PE after the other.
    Star,
    /// Parts of the vector around a ring; all PEs have the sum afterwards, for a reduction too.
    Ring,
}

/// A collective over a rectangle of PEs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Collective {
    /// What it does.
    pub kind: Kind,
    /// The PEs, at least two. The root is the one in the north-west corner.
    pub pes: Grid,
    /// Wavelets of every PE's vector.
    pub wavelets: u32,
    /// Type of its elements; two of 16 bits share a wavelet.
    pub dtype: DType,
}

/// Byte address of the vector.
const DATA: u32 = 0;

impl Collective {
    /// Elements of a PE's vector.
    #[must_use]
    pub fn elements(&self) -> u32 {
        self.wavelets * (4 / self.dtype.bytes())
    }

    /// Why a ring cannot be built over these PEs, if that is what is asked for.
    #[must_use]
    pub fn ring_fault(&self) -> Option<String> {
        if !matches!(self.kind, Kind::Reduce(Algorithm::Ring) | Kind::AllReduce(Algorithm::Ring)) {
            return None;
        }
        let sides = [self.pes.width, self.pes.height].into_iter().filter(|&n| n > 1);
        sides.into_iter().find_map(|n| {
            if n % 2 == 1 {
                Some(format!("a ring over {n} PEs: rings are built for even numbers only"))
            } else if !self.wavelets.is_multiple_of(n) {
                Some(format!("{} wavelets do not divide into {n} parts of whole wavelets", self.wavelets))
            } else {
                None
            }
        })
    }

    /// The program.
    ///
    /// # Panics
    /// If there are fewer than two PEs, or [`Self::ring_fault`] has something to say.
    #[must_use]
    pub fn program(&self) -> Program {
        assert!(self.pes.pes() > 1, "at least two PEs");
        assert_eq!(self.ring_fault(), None);
        let name = match self.kind {
            Kind::Broadcast => "broadcast".to_owned(),
            Kind::Reduce(how) => format!("{} reduce", how.name()),
            Kind::AllReduce(how) => format!("{} all-reduce", how.name()),
        };
        let mut mesh = Mesh {
            collective: *self,
            program: Program { name, grid: Some(self.pes), ..Program::default() },
            code: vec![Pe::default(); self.pes.pes() as usize],
            colors: 0,
        };
        match self.kind {
            Kind::Broadcast => mesh.broadcast(),
            Kind::Reduce(Algorithm::Ring) | Kind::AllReduce(Algorithm::Ring) => mesh.rings(),
            Kind::Reduce(how) => mesh.reduce(how),
            Kind::AllReduce(how) => {
                mesh.reduce(how);
                mesh.broadcast();
            }
        }
        mesh.finish()
    }
}

impl Algorithm {
    fn name(self) -> String {
        match self {
            Algorithm::Chain => "chain".to_owned(),
            Algorithm::Tree => "tree".to_owned(),
            Algorithm::TwoPhase(group) => format!("two-phase by {group}"),
            Algorithm::Star => "star".to_owned(),
            Algorithm::Ring => "ring".to_owned(),
        }
    }
}

/// A PE, as it is built.
#[derive(Debug, Clone, Default, PartialEq)]
struct Pe {
    inputs: Vec<Color>,
    outputs: Vec<Color>,
    code: Vec<Instr>,
    params: Vec<Param>,
}

/// Parallel lines of PEs: all rows, or some columns.
#[derive(Debug, Clone, Copy)]
struct Lines {
    axis: Axis,
    length: u32,
    /// Which rows, or which columns.
    across: Span,
}

impl Lines {
    /// Directions to and away from the first PE of a line.
    fn dirs(self) -> (Dir, Dir) {
        match self.axis {
            Axis::X => (Dir::West, Dir::East),
            Axis::Y => (Dir::North, Dir::South),
        }
    }

    fn region(self, from: u32, count: u32) -> Region {
        match self.axis {
            Axis::X => Region { x: Span::run(from, count), y: self.across },
            Axis::Y => Region { x: self.across, y: Span::run(from, count) },
        }
    }
}

/// A program for a rectangle, as it is built.
struct Mesh {
    collective: Collective,
    program: Program,
    /// Row by row.
    code: Vec<Pe>,
    /// Colors that are in use.
    colors: u8,
}

impl Mesh {
    fn fresh<const N: usize>(&mut self) -> [Color; N] {
        std::array::from_fn(|_| {
            self.colors += 1;
            color(self.colors - 1)
        })
    }

    fn route(&mut self, color: Color, region: Region, rx: Dir, tx: &[Dir]) {
        if region.pes() > 0 {
            self.program.routes.push(Route { color, region, rx, tx: DirSet::of(tx) });
        }
    }

    fn on(&mut self, region: Region, each: impl Fn(&mut Pe)) {
        let grid = self.collective.pes;
        region.iter().for_each(|pe| each(&mut self.code[grid.index(pe).0 as usize]));
    }

    /// One instruction over the vector: `mine` is where the PE's own comes in or goes to.
    fn step(&mut self, region: Region, op: Op, from: Option<Color>, to: Option<Color>) {
        let (dtype, len) = (self.collective.dtype, self.collective.elements());
        let mine = mem(dtype, DATA, len);
        let dst = to.map_or(mine.clone(), |c| fab(c, dtype));
        let src = match (from, op) {
            (None, _) => vec![mine],
            (Some(c), Op::Add) => vec![fab(c, dtype), mine],
            (Some(c), _) => vec![fab(c, dtype)],
        };
        let instr = vec(op, len, dst, &src);
        self.on(region, |pe| {
            pe.inputs.extend(from);
            pe.outputs.extend(to);
            pe.code.push(instr.clone());
        });
    }

    /// Along the first row, and down every column.
    fn broadcast(&mut self) {
        let [all] = self.fresh();
        let Grid { width, height } = self.collective.pes;
        let down: &[Dir] = if height > 1 { &[Dir::South] } else { &[] };
        let tx = |first: &[Dir], then: &[Dir]| [first, then].concat();
        let east: &[Dir] = if width > 1 { &[Dir::East] } else { &[] };
        self.route(all, Region::rect(0, 0, 1, 1), Dir::Ramp, &tx(east, down));
        if width > 1 {
            let inner = tx(&[Dir::East, Dir::Ramp], down);
            self.route(all, Region::rect(1, 0, width - 2, 1), Dir::West, &inner);
            self.route(all, Region::rect(width - 1, 0, 1, 1), Dir::West, &tx(&[Dir::Ramp], down));
        }
        if height > 1 {
            self.route(all, Region::rect(0, 1, width, height - 2), Dir::North, &[Dir::South, Dir::Ramp]);
            self.route(all, Region::rect(0, height - 1, width, 1), Dir::North, &[Dir::Ramp]);
        }
        self.step(Region::rect(0, 0, 1, 1), Op::Mov, None, Some(all));
        self.step(Region::rect(1, 0, width - 1, 1), Op::Mov, Some(all), None);
        self.step(Region::rect(0, 1, width, height - 1), Op::Mov, Some(all), None);
    }

    /// Along all rows, then along the first column.
    fn reduce(&mut self, how: Algorithm) {
        let Grid { width, height } = self.collective.pes;
        let rows = Lines { axis: Axis::X, length: width, across: Span::run(0, height) };
        let column = Lines { axis: Axis::Y, length: height, across: Span::one(0) };
        for lines in [rows, column].into_iter().filter(|l| l.length > 1) {
            match how {
                Algorithm::Tree => self.tree(lines),
                Algorithm::Star => self.star(lines),
                Algorithm::TwoPhase(group) => {
                    let group = group.clamp(1, lines.length);
                    self.chain(lines, 1, group);
                    self.chain(lines, group, lines.length);
                }
                Algorithm::Chain | Algorithm::Ring => self.chain(lines, 1, lines.length),
            }
        }
    }

    /// Chains over every `stride`-th PE, in groups of `group` PEs of the line, each to its first.
    /// Members send on two colors in turn.
    fn chain(&mut self, lines: Lines, stride: u32, group: u32) {
        let colors: [Color; 2] = self.fresh();
        for first in (0..lines.length).step_by(group as usize) {
            let members: Vec<u32> = (first..lines.length.min(first + group)).step_by(stride as usize).collect();
            for (i, &pe) in members.iter().enumerate() {
                let sends = (i > 0).then_some(colors[i % 2]);
                let receives = members.get(i + 1).map(|&next| (colors[(i + 1) % 2], next));
                if let Some((color, next)) = receives {
                    self.path(lines, color, next, pe);
                }
                if members.len() > 1 {
                    let op = if receives.is_some() { Op::Add } else { Op::Mov };
                    self.step(lines.region(pe, 1), op, receives.map(|r| r.0), sends);
                }
            }
        }
    }

    /// In step `l`, the PE `2^l` places behind every `2^(l+1)`-th one sends to it.
    fn tree(&mut self, lines: Lines) {
        let levels = u32::BITS - (lines.length - 1).leading_zeros();
        let colors: Vec<Color> = (0..levels).map(|_| self.fresh::<1>()[0]).collect();
        for pe in 0..lines.length {
            let sends = if pe == 0 { levels } else { pe.trailing_zeros() };
            let mut receives: Vec<Color> = Vec::new();
            for level in (0..sends).filter(|l| pe + (1 << l) < lines.length) {
                self.path(lines, colors[level as usize], pe + (1 << level), pe);
                receives.push(colors[level as usize]);
            }
            let to = colors.get(sends as usize).copied();
            let last = receives.pop();
            for from in receives {
                self.step(lines.region(pe, 1), Op::Add, Some(from), None);
            }
            let op = if last.is_some() { Op::Add } else { Op::Mov };
            self.step(lines.region(pe, 1), op, last, to);
        }
    }

    /// All on one color. The root adds what comes to the one vector, again and again.
    fn star(&mut self, lines: Lines) {
        let [all] = self.fresh();
        let (back, away) = lines.dirs();
        let others = lines.length - 1;
        self.route(all, lines.region(1, others), Dir::Ramp, &[back]);
        self.route(all, lines.region(0, 1), away, &[Dir::Ramp]);
        if others > 1 {
            let positions = vec![Position { rx: Some(away), tx: None }];
            let region = lines.region(1, others - 1);
            self.program.switches.push(Switch { color: all, region, positions, ring: false, pop: Pop::Never });
        }
        self.step(lines.region(1, others), Op::Mov, None, Some(all));
        if others > 1 {
            let turn = Instr::Control(all, Control { commands: vec![Command::Advance], task: None });
            self.on(lines.region(1, others - 1), |pe| pe.code.push(turn.clone()));
        }
        let (dtype, len) = (self.collective.dtype, self.collective.elements());
        let mut vector = MemRef::vec(dtype, DATA, len);
        vector.dims.insert(0, Dim { len: others, stride: 0 });
        let mine = Operand::Mem(vector);
        let add = vec(Op::Add, others * len, mine.clone(), &[fab(all, dtype), mine]);
        self.on(lines.region(0, 1), |pe| {
            pe.inputs.push(all);
            pe.code.push(add.clone());
        });
    }

    /// A route from position `from` back to position `to`.
    fn path(&mut self, lines: Lines, color: Color, from: u32, to: u32) {
        let (back, away) = lines.dirs();
        self.route(color, lines.region(from, 1), Dir::Ramp, &[back]);
        self.route(color, lines.region(to + 1, from - to - 1), away, &[back]);
        self.route(color, lines.region(to, 1), away, &[Dir::Ramp]);
    }

    /// Along all rows, then along all columns.
    fn rings(&mut self) {
        let Grid { width, height } = self.collective.pes;
        let rows = Lines { axis: Axis::X, length: width, across: Span::run(0, height) };
        let columns = Lines { axis: Axis::Y, length: height, across: Span::run(0, width) };
        for (turn, lines) in [rows, columns].into_iter().filter(|l| l.length > 1).enumerate() {
            let ring = Ring { axis: lines.axis, len: lines.length, colors: self.fresh() };
            self.program.routes.extend(ring.routes(0, lines.across));
            for pos in 0..lines.length {
                self.ring_code(lines, ring, pos, turn as u8);
            }
        }
    }

    /// The PE at place `k` of the ring sends part `k − i` in step `i` and receives the part before
    /// it: so it has the sum of part `k + 1` after `P − 1` steps, which goes around likewise.
    fn ring_code(&mut self, lines: Lines, ring: Ring, pos: u32, turn: u8) {
        let (dtype, parts) = (self.collective.dtype, lines.length);
        let len = self.collective.elements() / parts;
        let bytes = len * dtype.bytes();
        let (all, k) = (bytes * parts, ring.index(pos));
        let [sent, got] = [AddrReg(2 * turn), AddrReg(2 * turn + 1)];
        let part = |reg: AddrReg| at(reg, mem(dtype, DATA, len));
        let (send, recv) = (ring.send(pos), ring.recv(pos));
        let round = |op: Op, src: &[Operand]| {
            repeat(
                parts - 1,
                vec![
                    spawn(0, crate::codegen::instr::op(Op::Mov, len, fab(send, dtype), &[part(sent)])),
                    vec(op, len, part(got), src),
                    Instr::Join(0),
                    Instr::Addr(AddrOp::Copy(sent, got)),
                    Instr::Addr(AddrOp::Add(got, (all - bytes) as i32)),
                    Instr::Addr(AddrOp::Wrap { reg: got, end: all as i32, size: all as i32 }),
                ],
            )
        };
        let mut code = round(Op::Add, &[fab(recv, dtype), part(got)]);
        code.extend(round(Op::Mov, &[fab(recv, dtype)]));
        let starts = [(sent, k), (got, (k + parts - 1) % parts)];
        let params = starts.map(|(reg, part)| Param::constant(reg, (part * bytes) as i32));
        self.on(lines.region(pos, 1), |pe| {
            pe.inputs.push(recv);
            pe.outputs.push(send);
            pe.code.extend(code.iter().cloned());
            pe.params.extend(params);
        });
    }

    /// PEs with equal code share an image; equal PEs of a column share a placement.
    fn finish(mut self) -> Program {
        let grid = self.collective.pes;
        let mut kinds: Vec<Pe> = Vec::new();
        for x in 0..grid.width {
            let mut runs: Vec<Placement> = Vec::new();
            for y in 0..grid.height {
                let at = grid.index(sim_core::coord::PeCoord { x, y }).0 as usize;
                let mut pe = std::mem::take(&mut self.code[at]);
                let params = std::mem::take(&mut pe.params);
                let image = kinds.iter().position(|k| *k == pe).unwrap_or(kinds.len()) as u32;
                if image as usize == kinds.len() {
                    let image = self.image(&pe, image);
                    self.program.images.push(image);
                    kinds.push(pe);
                }
                match runs.last_mut() {
                    Some(run) if run.image == image && run.params == params => run.region.y.count += 1,
                    _ => runs.push(Placement { region: Region::rect(x, y, 1, 1), image, params }),
                }
            }
            self.program.placements.append(&mut runs);
        }
        self.program
    }

    fn image(&self, pe: &Pe, number: u32) -> Image {
        let (dtype, len) = (self.collective.dtype, self.collective.elements());
        let buffers = vec![Buffer { name: "data".to_owned(), addr: DATA, dtype, word: None, len, init: Vec::new() }];
        // The deepest queues first; what the machine lacks, the verifier says.
        let deep = [2, 3, 0, 1].into_iter().chain(4..);
        Image {
            name: format!("pe{number}"),
            inputs: (0..).zip(pe.inputs.iter().copied()).collect(),
            outputs: deep.zip(pe.outputs.iter().copied()).collect(),
            buffers,
            fifos: Vec::new(),
            tasks: vec![main_task(pe.code.clone())],
        }
    }
}
