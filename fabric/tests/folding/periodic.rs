//! Random programs whose lines repeat: rows, columns, or both, with periods from 1 to 8, between a
//! first and a last line of their own; on them broadcasts, chains, exchanges and stars, from PEs or
//! from the edge, with filters, FIFOs and address registers.

use super::random::{Pe, dtype, image, mem, memory_op};
use sim_core::coord::{Color, Dir, DirSet, Grid, Region, Span};
use sim_core::program::*;
use sim_core::util::random::SplitMix64;
use std::collections::BTreeMap;

/// Lines of one axis by kind: lines of a kind hold the same.
struct Lines {
    /// The lines of each kind; the first line and the last one have kinds of their own.
    kinds: Vec<Span>,
    length: u32,
    /// Whether the kind of a line says whether its number is odd.
    parity: bool,
}

impl Lines {
    /// A few lines, all different, or many that repeat.
    fn new(rng: &mut SplitMix64, repeat: bool, most: u32) -> Lines {
        if !repeat {
            let length = rng.range(1, most);
            return Lines { kinds: (0..length).map(Span::one).collect(), length, parity: true };
        }
        let period = if rng.chance(50) { rng.range(1, 2) } else { rng.range(3, 8) };
        let period = period.min((most / 16).max(1));
        let groups = rng.range(13, if period == 1 { 22 } else { 17 });
        let inner = period * groups + rng.below(period);
        let length = inner + 2;
        let mut kinds = vec![Span::one(0)];
        kinds.extend((0..period).filter_map(|r| Span::every(1 + r, 1 + inner, period)));
        kinds.push(Span::one(length - 1));
        Lines { kinds, length, parity: period.is_multiple_of(2) }
    }

    /// Kinds of lines on which a flow across them runs; all of them, or some.
    fn some(&self, rng: &mut SplitMix64) -> Vec<usize> {
        let all: Vec<usize> = (0..self.kinds.len()).collect();
        if rng.chance(75) {
            return all;
        }
        let some: Vec<usize> = all.iter().copied().filter(|_| rng.chance(50)).collect();
        if some.is_empty() { vec![rng.below(all.len() as u32) as usize] } else { some }
    }
}

/// A program in the making. Along axis 0 lines are columns, along axis 1 rows.
pub(crate) struct Periodic {
    axes: [Lines; 2],
    /// Work of the PEs by kind of column and row.
    pes: BTreeMap<[usize; 2], Pe>,
    program: Program,
    colors: u8,
    times: u32,
}

/// A random program with repeating lines.
pub(crate) fn program(rng: &mut SplitMix64) -> Program {
    let repeats = [[true, false], [false, true], [true, true]][rng.below(3) as usize];
    let both = repeats == [true, true];
    let axes = repeats.map(|repeat| {
        Lines::new(
            rng,
            repeat,
            if both {
                24
            } else if repeat {
                140
            } else {
                3
            },
        )
    });
    let long = rng.chance(25) && axes[0].length * axes[1].length < 150;
    let times = if long { rng.range(20, 60) } else { rng.range(1, 3) };
    let grid = Grid { width: axes[0].length, height: axes[1].length };
    let program = Program { name: "periodic".into(), grid: Some(grid), ..Program::default() };
    let mut p = Periodic { axes, pes: BTreeMap::new(), program, colors: 0, times };
    for x in 0..p.axes[0].kinds.len() {
        for y in 0..p.axes[1].kinds.len() {
            p.pes.insert([x, y], Pe::default());
        }
    }
    for _ in 0..rng.range(1, 3) {
        p.flow(rng);
    }
    p.finish(rng)
}

impl Periodic {
    fn color(&mut self) -> Color {
        self.colors += 1;
        Color::new(self.colors - 1).unwrap()
    }

    /// Adds a flow of some kind along an axis.
    fn flow(&mut self, rng: &mut SplitMix64) {
        // Most flows go along the lines that repeat.
        let long = usize::from(self.axes[1].length > self.axes[0].length);
        let axis = if rng.chance(60) { long } else { 1 - long };
        if rng.chance(10) {
            let some = self.axes[0].some(rng);
            for (at, pe) in &mut self.pes {
                if some.contains(&at[0]) {
                    pe.ops.push(memory_op(rng));
                }
            }
        }
        if self.axes[axis].length < 2 {
            return;
        }
        let across = self.axes[1 - axis].some(rng);
        match rng.below(10) {
            _ if self.axes[0].length.min(self.axes[1].length) > 8 && rng.chance(40) => self.spread(rng),
            0..5 => self.broadcast(rng, axis, &across),
            5..7 if self.axes[axis].parity => self.neighbours(rng, axis, &across, true),
            7..9 if self.axes[axis].parity => self.neighbours(rng, axis, &across, false),
            9 if self.axes[axis].kinds.len() as u32 == self.axes[axis].length => self.star(rng, axis, &across),
            _ => self.broadcast(rng, axis, &across),
        }
    }

    /// The PEs of a kind along an axis, and of a kind across it.
    fn region(&self, axis: usize, along: usize, across: usize) -> Region {
        let (a, b) = (self.axes[axis].kinds[along], self.axes[1 - axis].kinds[across]);
        if axis == 0 { Region { x: a, y: b } } else { Region { x: b, y: a } }
    }

    fn pe(&mut self, axis: usize, along: usize, across: usize) -> &mut Pe {
        let at = if axis == 0 { [along, across] } else { [across, along] };
        self.pes.get_mut(&at).unwrap()
    }

    fn route(&mut self, color: Color, region: Region, rx: Dir, tx: &[Dir]) {
        let tx = tx.iter().fold(DirSet::EMPTY, |set, d| set.with(*d));
        self.program.routes.push(Route { color, region, rx, tx });
    }

    /// Forward and back along an axis, or the other way round.
    fn directions(axis: usize, reversed: bool) -> (Dir, Dir) {
        let (forward, back) = if axis == 0 { (Dir::East, Dir::West) } else { (Dir::South, Dir::North) };
        if reversed { (back, forward) } else { (forward, back) }
    }

    fn edge(&mut self, flow: Flow, side: Dir, ports: Span, color: Color, wavelets: u64, interval: u32) {
        let name = format!("e{}", self.program.edges.len());
        self.program.edges.push(EdgeStream { name, flow, side, ports, color, wavelets, interval, fanout: 1 });
    }

    /// What one PE, or the edge, sends is taken by those of some kinds on the way.
    fn broadcast(&mut self, rng: &mut SplitMix64, axis: usize, across: &[usize]) {
        let color = self.color();
        let reversed = rng.chance(12);
        let (forward, back) = Self::directions(axis, reversed);
        let kinds = self.axes[axis].kinds.len();
        let (source, end) = if reversed { (kinds - 1, 0) } else { (0, kinds - 1) };
        let from_edge = rng.chance(25);
        let leaves = rng.chance(20);
        let t = dtype(rng);
        let len = rng.range(1, 30) * 4;
        let total = u64::from(t.wavelets(len)) * u64::from(self.times);
        let takes: Vec<bool> = (0..kinds).map(|k| (k == end && !leaves) || rng.chance(70)).collect();
        let late = if rng.chance(85) { 400 } else { 0 };
        let (in_every, out_every) = (rng.range(1, 5), rng.range(1, 4));
        for &b in across {
            let ports = self.axes[1 - axis].kinds[b];
            if from_edge {
                self.edge(Flow::In, back, ports, color, total, in_every);
            }
            if leaves {
                self.edge(Flow::Out, forward, ports, color, total, out_every);
            }
        }
        for k in 0..kinds {
            let sends = k == source && !from_edge;
            let takes = takes[k] && !sends;
            let mut tx = Vec::new();
            if k != end || leaves {
                tx.push(forward);
            }
            if takes {
                tx.push(Dir::Ramp);
            }
            let filter =
                if takes && rng.chance(15) { Some((rng.range(1, 4), rng.below(4), rng.below(4))) } else { None };
            let (other, fused) = (dtype(rng), rng.below(3));
            for &b in across {
                let region = self.region(axis, k, b);
                if !tx.is_empty() {
                    self.route(color, region, if sends { Dir::Ramp } else { back }, &tx);
                }
                let mut come = len;
                if let Some((pass, dx, dy)) = filter {
                    // Whole circles: how many pass does not depend on the start.
                    let period = if t.wavelets(len).is_multiple_of(4) { 4 } else { pass.min(t.wavelets(len)) };
                    let (start, pass) = (rng.below(period), pass.min(period));
                    let (dx, dy) = (dx as i32, dy as i32);
                    if t.wavelets(len).is_multiple_of(period) {
                        self.program.filters.push(Filter { color, region, start, dx, dy, period, pass });
                        come = t.wavelets(len) / period * pass * t.per_wavelet();
                    }
                }
                let src = mem(rng, t, len);
                let (a, c) = (mem(rng, other, come), mem(rng, DType::F32, come));
                let pe = self.pe(axis, k, b);
                let fab = Operand::Fab(color, t);
                if sends {
                    pe.late = late;
                    pe.outputs.push((pe.outputs.len() as u8 % 6, color));
                    pe.ops.push(VecOp::new(Op::Mov, len, fab, vec![src]));
                } else if takes {
                    pe.inputs.push((pe.inputs.len() as u8, color));
                    pe.ops.push(match fused {
                        0 => VecOp::new(Op::Mov, come, a, vec![fab]),
                        1 => VecOp::new(Op::Add, come, a, vec![c, fab]),
                        _ => VecOp::new(Op::Fmac, come, c, vec![fab, a, Operand::imm(2.0)]),
                    });
                }
            }
        }
    }

    /// The PE in the first column and row sends along its row, and from there down all columns.
    fn spread(&mut self, rng: &mut SplitMix64) {
        let color = self.color();
        let (len, late) = (rng.range(1, 40), if rng.chance(85) { 400 } else { 0 });
        let ends = [self.axes[0].kinds.len() - 1, self.axes[1].kinds.len() - 1];
        for x in 0..=ends[0] {
            for y in 0..=ends[1] {
                let region = self.region(0, x, y);
                let (rx, mut tx) = match (x, y) {
                    (0, 0) => (Dir::Ramp, Vec::new()),
                    (_, 0) => (Dir::West, vec![Dir::Ramp]),
                    _ => (Dir::North, vec![Dir::Ramp]),
                };
                tx.extend(
                    [(x < ends[0] && y == 0, Dir::East), (y < ends[1], Dir::South)].iter().filter(|t| t.0).map(|t| t.1),
                );
                self.route(color, region, rx, &tx);
                let m = mem(rng, DType::F32, len);
                let pe = self.pe(0, x, y);
                let fab = Operand::Fab(color, DType::F32);
                if (x, y) == (0, 0) {
                    pe.late = late;
                    pe.outputs.push((pe.outputs.len() as u8 % 6, color));
                    pe.ops.push(VecOp::new(Op::Mov, len, fab, vec![m]));
                } else {
                    pe.inputs.push((pe.inputs.len() as u8, color));
                    pe.ops.push(VecOp::new(Op::Mov, len, m, vec![fab]));
                }
            }
        }
    }

    /// Every PE sends to the next one, on two colors in turn: what it got plus its own (a chain), or
    /// its own before it takes what comes (an exchange).
    fn neighbours(&mut self, rng: &mut SplitMix64, axis: usize, across: &[usize], chain: bool) {
        let colors = [self.color(), self.color()];
        let reversed = rng.chance(20);
        let (forward, back) = Self::directions(axis, reversed);
        let kinds = self.axes[axis].kinds.len();
        let (first, last) = if reversed { (kinds - 1, 0) } else { (0, kinds - 1) };
        let len = rng.range(1, 60);
        let late = if chain && rng.chance(85) { 400 } else { 0 };
        for k in 0..kinds {
            let odd = self.axes[axis].kinds[k].start as usize % 2;
            let (taken, given) = (colors[odd], colors[1 - odd]);
            let whole = rng.chance(20);
            for &b in across {
                let region = self.region(axis, k, b);
                let (m, n) = (mem(rng, DType::F32, len), mem(rng, DType::F32, len));
                if k != first {
                    self.route(taken, region, back, &[Dir::Ramp]);
                    let pe = self.pe(axis, k, b);
                    pe.inputs.push((pe.inputs.len() as u8, taken));
                }
                if k != last {
                    self.route(given, region, Dir::Ramp, &[forward]);
                    let pe = self.pe(axis, k, b);
                    pe.outputs.push((pe.outputs.len() as u8 % 6, given));
                }
                let pe = self.pe(axis, k, b);
                let (fab_in, fab_out) = (Operand::Fab(taken, DType::F32), Operand::Fab(given, DType::F32));
                let take = VecOp::new(Op::Mov, len, m.clone(), vec![fab_in.clone()]);
                let give = VecOp::new(Op::Mov, len, fab_out.clone(), vec![m.clone()]);
                let through = VecOp::new(Op::Add, len, fab_out, vec![n, fab_in]);
                match (k == first, k == last) {
                    (true, _) => {
                        pe.late = late;
                        pe.ops.push(give);
                    }
                    (_, true) => pe.ops.push(take),
                    _ if chain && !whole => pe.ops.push(through),
                    _ if chain => pe.ops.extend([take, give]),
                    _ => pe.ops.extend([give, take]),
                }
            }
        }
    }

    /// All send to the last one, one after the other: control wavelets turn the switches.
    fn star(&mut self, rng: &mut SplitMix64, axis: usize, across: &[usize]) {
        if self.times > 1 {
            return;
        }
        let color = self.color();
        let (forward, back) = Self::directions(axis, false);
        let last = self.axes[axis].kinds.len() - 1;
        let lens: Vec<u32> = (0..last).map(|_| rng.range(1, 9)).collect();
        for k in 0..=last {
            for &b in across {
                let region = self.region(axis, k, b);
                let len = if k == last { lens.iter().sum() } else { lens[k] };
                let m = mem(rng, DType::F32, len);
                if k == last {
                    self.route(color, region, back, &[Dir::Ramp]);
                } else {
                    self.route(color, region, Dir::Ramp, &[forward]);
                }
                if k > 0 && k < last {
                    let positions = vec![Position { rx: Some(back), tx: None }];
                    let pop = Pop::ALL[rng.below(3) as usize];
                    self.program.switches.push(Switch { color, region, positions, ring: false, pop });
                }
                let pe = self.pe(axis, k, b);
                let fab = Operand::Fab(color, DType::F32);
                if k == last {
                    pe.inputs.push((pe.inputs.len() as u8, color));
                    pe.ops.push(VecOp::new(Op::Mov, len, m, vec![fab]));
                } else {
                    pe.outputs.push((pe.outputs.len() as u8 % 6, color));
                    pe.ops.push(VecOp::new(Op::Mov, len, fab, vec![m]));
                    pe.sends.push((color, Control { commands: vec![Command::Advance], task: None }, None));
                }
            }
        }
    }

    /// Places an image for every kind of PE; PEs without work have none, sometimes.
    fn finish(mut self, rng: &mut SplitMix64) -> Program {
        let params_too = rng.chance(25);
        for ([x, y], pe) in std::mem::take(&mut self.pes) {
            let unused = pe.ops.is_empty() && pe.inputs.is_empty() && pe.outputs.is_empty();
            if unused && rng.chance(50) {
                continue;
            }
            let region = self.region(0, x, y);
            let mut params = Vec::new();
            if params_too && rng.chance(50) {
                let mut step = || [0, 0, 0, 8, 4][rng.below(5) as usize];
                let (dx, dy) = (step(), step());
                let base = 8 * rng.below(10) as i32;
                params.push(Param {
                    dx,
                    dy,
                    mod_x: 16,
                    mod_y: 16,
                    ..Param::constant(AddrReg(rng.below(3) as u8), base)
                });
            }
            let number = self.program.images.len() as u32;
            self.program.images.push(image(rng, pe, format!("i{number}"), self.times));
            self.program.placements.push(Placement { region, image: number, params });
        }
        self.program
    }
}
