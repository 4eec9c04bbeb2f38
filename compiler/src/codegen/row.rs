//! All-reduce of an f32 vector over groups of adjacent columns of every row.
//!
//! The partial results travel from the west end of a group to its east end, element by element,
//! every column adding its own; the east end keeps the result and sends it back to all columns at
//! once. All columns end with the same bits.
//! **Not here.** Rings (`ring`); reductions down the columns (`streams`).

use crate::codegen::instr::{fab, mem, op, vec};
use crate::codegen::resources::Port;
use crate::cost::instr::{Beats, Registers};
use crate::cost::{Path, Source};
use crate::layout::Geometry;
use sim_core::arch::ArchSpec;
use sim_core::coord::{Color, Dir, DirSet, Region, Span};
use sim_core::program::{DType, Image, Instr, Op, Route};

/// All-reduces over groups of `width` adjacent columns, side by side from column `first`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowReduce {
    /// First column of the first group.
    pub first: u32,
    /// Columns of a group; at least 1.
    pub width: u32,
    /// Groups of adjacent columns.
    pub groups: u32,
    /// The rows.
    pub rows: Span,
    /// Colors on which even and odd columns of a group send east, and that of the way back.
    pub colors: [Color; 3],
    /// Input queues of the chain and of the way back, and the output queue.
    pub queues: [u8; 3],
}

/// What a column of a group receives and sends on in the chain; columns of a class share an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RowClass {
    /// Color on which it receives, unless it is the west end.
    pub recv: Option<Color>,
    /// Color on which it sends, unless it is the east end.
    pub send: Option<Color>,
}

impl RowReduce {
    /// Over the rows of every lane, on the colors and queues of a port.
    #[must_use]
    pub fn lanes(g: &Geometry, port: Port) -> RowReduce {
        let ([chain, back], rows) = (port.inputs(), Span::run(0, g.used_rows()));
        let queues = [chain, back, port.output()];
        RowReduce { first: 0, width: g.lane_columns(), groups: g.lanes, rows, colors: port.colors(), queues }
    }

    /// The class of column `i` of a group.
    #[must_use]
    pub fn class(&self, i: u32) -> RowClass {
        debug_assert!(i < self.width, "a group of {} has no column {i}", self.width);
        let color = |i: u32| self.colors[(i % 2) as usize];
        RowClass { recv: (i > 0).then(|| color(i + 1)), send: (i + 1 < self.width).then(|| color(i)) }
    }

    /// The classes with their columns within a group.
    #[must_use]
    pub fn classes(&self) -> Vec<(RowClass, Vec<u32>)> {
        let mut classes: Vec<(RowClass, Vec<u32>)> = Vec::new();
        for i in 0..self.width {
            let class = self.class(i);
            match classes.iter_mut().find(|(c, _)| *c == class) {
                Some((_, columns)) => columns.push(i),
                None => classes.push((class, vec![i])),
            }
        }
        classes
    }

    /// The routes of all groups.
    #[must_use]
    pub fn routes(&self) -> Vec<Route> {
        assert!(self.width > 0, "a group has at least one column");
        let mut routes = Vec::new();
        if self.width == 1 {
            return routes;
        }
        for group in 0..self.groups {
            let start = self.first + group * self.width;
            let end = start + self.width;
            let mut push = |color, x: Option<Span>, rx, tx: &[Dir]| {
                if let Some(x) = x {
                    let region = Region { x, y: self.rows };
                    routes.push(Route { color, region, rx, tx: DirSet::of(tx) });
                }
            };
            for parity in 0..2 {
                let color = self.colors[parity as usize];
                push(color, Span::every(start + parity, end - 1, 2), Dir::Ramp, &[Dir::East]);
                push(color, Span::every(start + parity + 1, end, 2), Dir::West, &[Dir::Ramp]);
            }
            push(self.colors[2], Some(Span::one(start)), Dir::East, &[Dir::Ramp]);
            push(self.colors[2], Span::every(start + 1, end - 1, 1), Dir::East, &[Dir::Ramp, Dir::West]);
            push(self.colors[2], Some(Span::one(end - 1)), Dir::Ramp, &[Dir::West]);
        }
        routes
    }

    /// Binds the queues of a class.
    pub fn bind(&self, class: RowClass, image: &mut Image) {
        let [chain, back, out] = self.queues;
        image.inputs.extend(class.recv.map(|color| (chain, color)));
        if let Some(color) = class.send {
            image.inputs.push((back, self.colors[2]));
            image.outputs.push((out, color));
        } else if class.recv.is_some() {
            image.outputs.push((out, self.colors[2]));
        }
    }

    /// Combines (`Add` or `Max`) the `len` f32 elements at byte address `addr` over the group, in
    /// place in every column.
    pub fn all_reduce(&self, class: RowClass, combine: Op, len: u32, addr: u32, code: &mut Vec<Instr>) {
        assert!(matches!(combine, Op::Add | Op::Max), "partial results are combined in any order: {combine:?}");
        let own = || mem(DType::F32, addr, len);
        let stream = |color| fab(color, DType::F32);
        let back = self.colors[2];
        match (class.recv, class.send) {
            (None, None) => {}
            (None, Some(send)) => code.push(vec(Op::Mov, len, stream(send), &[own()])),
            (Some(recv), Some(send)) => code.push(vec(combine, len, stream(send), &[stream(recv), own()])),
            (Some(recv), None) => {
                code.push(vec(combine, len, own(), &[stream(recv), own()]));
                code.push(vec(Op::Mov, len, stream(back), &[own()]));
            }
        }
        if class.send.is_some() {
            code.push(vec(Op::Mov, len, own(), &[stream(back)]));
        }
    }

    /// When the first one of `len` sums is back at a group's west end, after it began to send: the
    /// chain, the east end's part, and the way back.
    #[must_use]
    pub fn source(&self, arch: &ArchSpec, len: u32) -> (Color, Source) {
        let (path, links) = (Path::of(arch), u64::from(self.width - 1));
        let own = || mem(DType::F32, 0, len);
        let add = op(Op::Add, len, own(), &[fab(self.colors[0], DType::F32), own()]);
        let east = Beats::of(arch, &add, &Registers::default()).all() + u64::from(arch.pe.vector_setup.value);
        (self.colors[2], Source::Reply { after: path.chain(links) + east + path.links(links) })
    }
}
