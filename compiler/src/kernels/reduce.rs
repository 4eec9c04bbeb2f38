//! Sums down the columns in levels: chains of rows, then chains of these chains' last rows, and so on.
//!
//! In a single chain (`lanes`) a sum takes seven cycles per row, through up to 994 rows. With two levels (*two-phase*)
//! groups of adjacent rows are summed at the same time, and then their last rows. With more levels, all of which have
//! equally many rows in a group, it is a *tree*. Wavelets pass the rows of lower levels in their routers, a cycle each.
//! So more levels take less time the longer the columns are, and move more wavelets.
//!
//! Rows are counted from the last one up. A row takes part in level `l` if its number is a multiple of the rows of a
//! group of the level before; the last one of a group has the group's sum.
//!
//! **Invariant.** A level has two colors, in turns along a group, so that what a row sends is not taken for what it
//! passes. A row receives a level's sum before the next level's.
//! **Not here.** Which sums are summed in levels (`passes::reduction`).

use super::price;
use crate::codegen::instr::{fab, mem, op, vec};
use crate::codegen::resources::{Port, Ports, Use, Uses};
use crate::codegen::ring::spans;
use crate::codegen::streams::{drain_south, interval};
use crate::cost::{Path, remembered};
use crate::layout::Geometry;
use crate::options::Reduction;
use sim_core::arch::ArchSpec;
use sim_core::coord::{Color, Dir, DirSet, Region, Span};
use sim_core::program::{DType, Image, Instr, Op, Operand, Placement, Program, Route};
use std::collections::BTreeMap;

/// Most levels: a row receives each of them in a queue of its own.
const LEVELS_MAX: u32 = 5;

/// Rows of the groups of every level; at least two levels.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Levels(Vec<u32>);

/// What a row does: rows that do the same share an image.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Role {
    /// Queue and color of what it receives, level by level.
    takes: Vec<(u8, Color)>,
    gives: (u8, Color),
}

impl Role {
    /// The image's queues.
    fn bind(&self, image: &mut Image) {
        image.inputs.extend_from_slice(&self.takes);
        image.outputs.push(self.gives);
    }

    /// Adds what comes to a vector of the PE, which it overwrites, and sends the sum.
    pub(super) fn pass(&self, len: u32, mine: &Operand) -> Vec<Instr> {
        let to = fab(self.gives.1, DType::F32);
        let Some(((_, last), before)) = self.takes.split_last() else {
            return vec![vec(Op::Mov, len, to, std::slice::from_ref(mine))];
        };
        let add = |from: Color, to: Operand| op(Op::Add, len, to, &[fab(from, DType::F32), mine.clone()]);
        let mut code: Vec<Instr> = before.iter().map(|(_, from)| Instr::Vec(add(*from, mine.clone()))).collect();
        code.push(Instr::Vec(add(*last, to)));
        code
    }
}

/// Color of a level on which places of a parity send.
fn level_color(ports: &Ports, level: usize, place: u32) -> Color {
    ports.of(Use::Level(level as u8)).colors::<2>()[(place % 2) as usize]
}

impl Levels {
    /// The fastest of a kind for vectors of `len` elements; None if the rows are too few, or for a chain.
    pub(super) fn of(g: &Geometry, arch: &ArchSpec, len: u32, kind: Option<Reduction>) -> Option<Levels> {
        let rows = g.used_rows();
        let queues = u32::try_from(arch.pe.input_queues.value.len()).unwrap_or(u32::MAX);
        // With groups of about this size both phases take equally many cycles for rows that send.
        let even = rows.isqrt();
        let two = (even / 2..=2 * even).filter(|size| (2..=rows / 2).contains(size));
        let two = two.map(|size| Levels(vec![size, rows.div_ceil(size)]));
        let radix = |levels: u32| (2..=rows).find(|r| u64::from(*r).pow(levels) >= u64::from(rows));
        let more = (3..=LEVELS_MAX.min(queues)).filter_map(|n| Some(Levels(vec![radix(n)?; n as usize])));
        let all: Vec<Levels> = match kind {
            Some(Reduction::Chain) => Vec::new(),
            Some(Reduction::TwoPhase) => two.collect(),
            Some(Reduction::Tree) => more.collect(),
            None => two.chain(more).collect(),
        };
        all.into_iter().filter(|_| rows >= 4).min_by_key(|levels| (levels.estimate(g, arch, len), levels.0.len()))
    }

    pub(super) fn kind(&self) -> Reduction {
        if self.0.len() == 2 { Reduction::TwoPhase } else { Reduction::Tree }
    }

    /// Rows of the groups of a level, and rows of a group of the level before.
    fn groups(&self) -> impl Iterator<Item = (usize, u32, u32)> {
        let mut unit = 1_u32;
        self.0.iter().enumerate().map(move |(level, &size)| {
            let before = unit;
            unit = unit.saturating_mul(size);
            (level, size, before)
        })
    }

    /// About the cycles until sums of `len` elements have left the wafer.
    pub(super) fn estimate(&self, g: &Geometry, arch: &ArchSpec, len: u32) -> u64 {
        let (path, rows) = (Path::of(arch), g.used_rows());
        let hops =
            |(_, size, unit): (usize, u32, u32)| u64::from((size - 1).min(rows / unit)) * path.links(u64::from(unit));
        let mine = mem(DType::F32, 0, len);
        let last = || {
            let ports = self.ports(arch);
            price::code(
                arch,
                &[(self.edge(&ports).color(), price::edge(arch, g.used_columns()))],
                &self.role(&ports, 0, rows).pass(len, &mine),
            )
        };
        let key = ("levels", len, self.0.len(), interval(arch, g.used_columns()));
        self.groups().map(hops).sum::<u64>() + remembered(arch, key, last)
    }

    /// Color on which the sums leave.
    fn edge(&self, ports: &Ports) -> Port {
        ports.of(Use::Edge(self.0.len() as u8))
    }

    /// The colors and queues of all levels, and of the edge.
    pub(super) fn uses(&self) -> Vec<Use> {
        let levels = self.0.len() as u8;
        (0..levels).map(Use::Level).chain([Use::Edge(levels)]).collect()
    }

    fn ports(&self, arch: &ArchSpec) -> Ports {
        Ports::allot(&Uses { ports: self.uses(), ..Uses::default() }, arch)
    }

    /// The level in which a row sends, how many rows away, and its color; None for the last row.
    fn sends(&self, ports: &Ports, number: u32) -> Option<(usize, u32, Color)> {
        self.groups().find_map(|(level, size, unit)| {
            let place = number / unit % size;
            (place > 0).then(|| (level, unit, level_color(ports, level, place)))
        })
    }

    fn role(&self, ports: &Ports, number: u32, rows: u32) -> Role {
        let sends = self.sends(ports, number);
        let last = sends.map_or(self.0.len() - 1, |(level, ..)| level);
        let takes = self.groups().take(last + 1).filter_map(|(level, size, unit)| {
            let place = number / unit % size;
            let comes = place + 1 < size && number + unit < rows;
            comes.then(|| (ports.of(Use::Level(level as u8)).input(), level_color(ports, level, place + 1)))
        });
        let edge = self.edge(ports);
        let gives = sends.map_or(edge.color(), |(.., color)| color);
        Role { takes: takes.collect(), gives: (edge.output(), gives) }
    }

    /// The rows by what they do.
    fn roles(&self, ports: &Ports, g: &Geometry) -> BTreeMap<Role, Vec<u32>> {
        let rows = g.used_rows();
        let mut roles: BTreeMap<Role, Vec<u32>> = BTreeMap::new();
        for y in 0..rows {
            roles.entry(self.role(ports, rows - 1 - y, rows)).or_default().push(y);
        }
        roles
    }

    fn routes(&self, ports: &Ports, g: &Geometry) -> Vec<Route> {
        let (rows, x) = (g.used_rows(), Span::run(0, g.used_columns()));
        let mut at: BTreeMap<(Color, u8, u8), Vec<u32>> = BTreeMap::new();
        let mut push = |color, y, rx: Dir, tx: Dir| at.entry((color, rx as u8, tx as u8)).or_default().push(y);
        for y in 0..rows {
            let (color, end) = match self.sends(ports, rows - 1 - y) {
                Some((_, away, color)) => (color, y + away),
                None => (self.edge(ports).color(), g.grid.height),
            };
            push(color, y, Dir::Ramp, Dir::South);
            (y + 1..end).for_each(|between| push(color, between, Dir::North, Dir::South));
            if end < rows {
                push(color, end, Dir::North, Dir::Ramp);
            }
        }
        let dir = |i: u8| Dir::ALL[usize::from(i)];
        let route = |((color, rx, tx), mut ys): ((Color, u8, u8), Vec<u32>)| {
            ys.sort_unstable();
            let one = move |y| Route { color, region: Region { x, y }, rx: dir(rx), tx: DirSet::of(&[dir(tx)]) };
            spans(&ys).into_iter().map(one).collect::<Vec<Route>>()
        };
        at.into_iter().flat_map(route).collect()
    }

    /// Lays routes, the stream `name` of so many sums per column off the wafer, and the image that `image`
    /// makes of every role.
    pub(super) fn lay(
        &self,
        program: &mut Program,
        (g, arch): (&Geometry, &ArchSpec),
        ports: &Ports,
        (name, results): (&str, u64),
        image: impl Fn(&Role) -> Image,
    ) {
        let rows = self.0.iter().map(|&size| u64::from(size)).product::<u64>();
        assert!(rows >= u64::from(g.used_rows()), "groups of {:?} rows reach all {}", self.0, g.used_rows());
        program.routes.extend(self.routes(ports, g));
        program.edges.push(drain_south(g, arch, name, [self.edge(ports).color(); 2], results));
        let x = Span::run(0, g.used_columns());
        for (role, rows) in self.roles(ports, g) {
            let mut image = image(&role);
            role.bind(&mut image);
            let index = program.images.len() as u32;
            program.images.push(image);
            let place = |y| Placement { region: Region { x, y }, image: index, params: Vec::new() };
            program.placements.extend(spans(&rows).into_iter().map(place));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every row's sum reaches the last row: by following what is sent, all numbers end there, and a
    /// row receives what rows above it send.
    #[test]
    fn all_rows_reach_the_last_one() {
        for sizes in [vec![3, 4], vec![2, 2, 2, 2], vec![4, 4, 4], vec![5, 3]] {
            let (levels, all) = (Levels(sizes.clone()), sizes.iter().product::<u32>());
            let ports = levels.ports(&sim_core::arch::cs2::cs2());
            for rows in 2..=all {
                let mut received = vec![0; rows as usize];
                for number in 1..rows {
                    let (level, away, color) = levels.sends(&ports, number).expect("only the last row does not send");
                    let role = levels.role(&ports, number - away, rows);
                    assert!(role.takes.contains(&(level as u8, color)), "{sizes:?}, {rows} rows, {number}");
                    received[(number - away) as usize] += 1;
                }
                for number in 0..rows {
                    assert_eq!(levels.role(&ports, number, rows).takes.len(), received[number as usize]);
                }
            }
        }
    }
}
