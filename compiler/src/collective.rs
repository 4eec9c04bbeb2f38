//! Collectives along a row or a column of PEs: broadcast and reduce.
//!
//! With `P` PEs, `B` wavelets per PE, `d` = dispatch + setup (9 on a CS-2) and `r` = 6 cycles from
//! compute element to compute element of a neighbour, in cycles:
//!
//! - broadcast: `B + P + 13`: the sender's first wavelet, one link per cycle, the ramps;
//! - chain reduce: `d + B + r (P − 1)`: every PE adds what comes by and passes it on;
//! - two-phase reduce with groups of `S`: a chain in every group at the same time, then a chain over
//!   the groups' first PEs, whose neighbours are `S` links apart:
//!   about `2 (d + B) + r (S − 1) + (r + S − 1) (P/S − 1)`.
//!
//! **Invariant.** The first PE of the line is the root. A PE receives and sends on different colors.
//! **Not here.** What executing takes: these formulas are tested against it, and report nothing.

use crate::code::{color, fab, mem, vec};
use crate::kernels::main_task;
use sim_core::coord::{Color, Dir, DirSet, Grid, Region, Span};
use sim_core::program::{Buffer, DType, Image, Instr, Op, Placement, Program, Route};

/// What a collective does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The root's vector to all PEs, by multicast in the routers.
    Broadcast,
    /// The sum of all vectors to the root, from neighbour to neighbour.
    Chain,
    /// The sum of all vectors to the root: in groups of so many PEs, then over the groups.
    TwoPhase(u32),
}

/// A collective along a line of PEs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Collective {
    /// What it does.
    pub kind: Kind,
    /// The line: its width or its height is 1. The root is its first PE.
    pub pes: Grid,
    /// Wavelets of every PE's vector.
    pub wavelets: u32,
    /// Type of its elements; two of 16 bits share a wavelet.
    pub dtype: DType,
}

/// Byte address of the vector.
const DATA: u32 = 0;

impl Collective {
    /// PEs of the line.
    #[must_use]
    pub fn length(&self) -> u32 {
        self.pes.width.max(self.pes.height)
    }

    /// Elements of a PE's vector.
    #[must_use]
    pub fn elements(&self) -> u32 {
        self.wavelets * (4 / self.dtype.bytes())
    }

    /// The program.
    ///
    /// # Panics
    /// If the PEs are not a line of at least two.
    #[must_use]
    pub fn program(&self) -> Program {
        assert!(self.pes.width.min(self.pes.height) == 1 && self.length() > 1, "a line of at least two PEs");
        let name = match self.kind {
            Kind::Broadcast => "broadcast".to_owned(),
            Kind::Chain => "chain reduce".to_owned(),
            Kind::TwoPhase(group) => format!("two-phase reduce by {group}"),
        };
        let mut line = Line {
            collective: *self,
            program: Program { name, grid: Some(self.pes), ..Program::default() },
            code: vec![Pe::default(); self.length() as usize],
        };
        match self.kind {
            Kind::Broadcast => line.broadcast(),
            Kind::Chain => line.chain(1, self.length(), [color(0), color(1)]),
            Kind::TwoPhase(group) => {
                let group = group.clamp(1, self.length());
                line.chain(1, group, [color(0), color(1)]);
                line.chain(group, self.length(), [color(2), color(3)]);
            }
        }
        line.finish()
    }
}

/// A PE of the line, as it is built.
#[derive(Debug, Clone, Default, PartialEq)]
struct Pe {
    inputs: Vec<Color>,
    outputs: Vec<Color>,
    code: Vec<Instr>,
}

/// A program for a line, as it is built.
struct Line {
    collective: Collective,
    program: Program,
    code: Vec<Pe>,
}

impl Line {
    /// Directions to and away from the root.
    fn dirs(&self) -> (Dir, Dir) {
        if self.collective.pes.height == 1 { (Dir::West, Dir::East) } else { (Dir::North, Dir::South) }
    }

    fn region(&self, from: u32, count: u32) -> Region {
        let (along, across) = (Span::run(from, count), Span::one(0));
        if self.collective.pes.height == 1 { Region { x: along, y: across } } else { Region { x: across, y: along } }
    }

    fn route(&mut self, color: Color, (from, count): (u32, u32), rx: Dir, tx: &[Dir]) {
        if count > 0 {
            let region = self.region(from, count);
            self.program.routes.push(Route { color, region, rx, tx: DirSet::of(tx) });
        }
    }

    /// One instruction over the vector: `mine` is where the PE's own comes in or goes to.
    fn step(&mut self, pe: u32, from: Option<Color>, to: Option<Color>) {
        let (dtype, len) = (self.collective.dtype, self.collective.elements());
        let mine = mem(dtype, DATA, len);
        let dst = to.map_or(mine.clone(), |c| fab(c, dtype));
        let instr = match (from, self.collective.kind) {
            (None, _) => vec(Op::Mov, len, dst, &[mine]),
            (Some(c), Kind::Broadcast) => vec(Op::Mov, len, dst, &[fab(c, dtype)]),
            (Some(c), Kind::Chain | Kind::TwoPhase(_)) => vec(Op::Add, len, dst, &[fab(c, dtype), mine]),
        };
        let pe = &mut self.code[pe as usize];
        pe.inputs.extend(from);
        pe.outputs.extend(to);
        pe.code.push(instr);
    }

    fn broadcast(&mut self) {
        let (length, all) = (self.collective.length(), color(0));
        let (to, away) = self.dirs();
        self.route(all, (0, 1), Dir::Ramp, &[away]);
        self.route(all, (1, length - 2), to, &[away, Dir::Ramp]);
        self.route(all, (length - 1, 1), to, &[Dir::Ramp]);
        self.step(0, None, Some(all));
        (1..length).for_each(|pe| self.step(pe, Some(all), None));
    }

    /// Chains over every `stride`-th PE, in groups of `group` PEs of the line, each to its first.
    /// Members send on the colors in turn.
    fn chain(&mut self, stride: u32, group: u32, colors: [Color; 2]) {
        let length = self.collective.length();
        let (to, away) = self.dirs();
        for first in (0..length).step_by(group as usize) {
            let members: Vec<u32> = (first..length.min(first + group)).step_by(stride as usize).collect();
            for (i, &pe) in members.iter().enumerate() {
                let sends = (i > 0).then_some(colors[i % 2]);
                let receives = members.get(i + 1).map(|&next| (colors[(i + 1) % 2], next));
                if let Some(color) = sends {
                    self.route(color, (pe, 1), Dir::Ramp, &[to]);
                }
                if let Some((color, next)) = receives {
                    self.route(color, (pe, 1), away, &[Dir::Ramp]);
                    self.route(color, (pe + 1, next - pe - 1), away, &[to]);
                }
                if members.len() > 1 {
                    self.step(pe, receives.map(|r| r.0), sends);
                }
            }
        }
    }

    /// PEs with equal code share an image.
    fn finish(mut self) -> Program {
        let queues = |colors: &[Color], deep: [u8; 2]| deep.into_iter().zip(colors.iter().copied()).collect();
        let (dtype, len) = (self.collective.dtype, self.collective.elements());
        let mut kinds: Vec<Pe> = Vec::new();
        for at in 0..self.code.len() {
            let pe = std::mem::take(&mut self.code[at]);
            let index = kinds.iter().position(|k| *k == pe).unwrap_or(kinds.len());
            if index == kinds.len() {
                let buffers = vec![Buffer { name: "data".to_owned(), addr: DATA, dtype, len, init: Vec::new() }];
                self.program.images.push(Image {
                    name: format!("pe{index}"),
                    inputs: queues(&pe.inputs, [0, 1]),
                    outputs: queues(&pe.outputs, [2, 3]),
                    buffers,
                    tasks: vec![main_task(pe.code.clone())],
                });
                kinds.push(pe);
            }
            let region = self.region(at as u32, 1);
            self.program.placements.push(Placement { region, image: index as u32, params: Vec::new() });
        }
        self.program
    }
}
