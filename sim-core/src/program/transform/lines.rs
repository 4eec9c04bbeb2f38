//! Which lines of a mesh hold the same.
//!
//! A line (a row, or a column) holds pieces of the rules of a program: the part of a placement, a
//! route, a switch or a filter that lies in it, and ports of streams. Two lines are of one *kind* if
//! they hold equal pieces in the order of the program. Example: in a product of 900 rows, of which the
//! first is fed from the north edge, the first row has a kind of its own and the others share one.
//!
//! **Invariant.** A piece has everything of its rule but the lines of its region; where a rule depends
//! on the line, as the start of a filter's counter does, it has the value on that line. So lines of
//! one kind start in equal states.
//! **Not here.** Whether lines of one kind also behave alike (`fabric::fold`).

use crate::axis::Axis;
use crate::coord::{Color, Dir, DirSet, Grid, Span};
use crate::program::{EdgeStream, Filter, Param, Placement, Pop, Position, Program, Route, Switch};
use std::collections::BTreeMap;

/// A piece of a rule in one line. `across` is where in the line.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Piece<'a> {
    Placement {
        across: Span,
        image: u32,
        params: &'a [Param],
    },
    Route {
        across: Span,
        color: Color,
        rx: Dir,
        tx: DirSet,
    },
    Switch {
        across: Span,
        color: Color,
        positions: &'a [Position],
        ring: bool,
        pop: Pop,
    },
    Filter {
        across: Span,
        color: Color,
        start: u32,
        step: i32,
        period: u32,
        pass: u32,
    },
    /// Ports of the stream with this number. Two streams are never alike: the host tells them apart.
    Port {
        stream: usize,
    },
}

/// The pieces of all lines, as numbers: equal pieces have equal numbers.
struct Lines<'a> {
    numbers: BTreeMap<Piece<'a>, u32>,
    of: Vec<Vec<u32>>,
}

impl<'a> Lines<'a> {
    fn add(&mut self, lines: Span, piece: Piece<'a>) {
        let next = self.numbers.len() as u32;
        let number = *self.numbers.entry(piece).or_insert(next);
        lines.iter().for_each(|line| self.of[line as usize].push(number));
    }
}

/// The kind of every line of an axis, as a number: lines with equal contents have equal numbers.
///
/// # Panics
/// If a region or a port lies outside the mesh, which the verifier refuses.
#[must_use]
pub fn line_kinds(program: &Program, axis: Axis) -> Vec<u32> {
    let mesh = program.grid();
    let mut lines = Lines { numbers: BTreeMap::new(), of: vec![Vec::new(); axis.length(mesh) as usize] };
    // Images are not compared: a placement names its image by number.
    let Program { name: _, grid: _, images: _, placements, routes, switches, filters, edges } = program;
    for &Placement { region, image, ref params } in placements {
        lines.add(axis.span(region), Piece::Placement { across: axis.across(region), image, params });
    }
    for &Route { color, region, rx, tx } in routes {
        lines.add(axis.span(region), Piece::Route { across: axis.across(region), color, rx, tx });
    }
    for &Switch { color, region, ref positions, ring, pop } in switches {
        lines.add(axis.span(region), Piece::Switch { across: axis.across(region), color, positions, ring, pop });
    }
    for filter in filters {
        let &Filter { color, region, start: _, dx, dy, period, pass } = filter;
        for (ordinal, line) in (0..).zip(axis.span(region).iter()) {
            let (start, step) = match axis {
                Axis::Rows => (filter.start_at(0, ordinal), dx),
                Axis::Columns => (filter.start_at(ordinal, 0), dy),
            };
            let across = axis.across(region);
            lines.add(Span::one(line), Piece::Filter { across, color, start, step, period, pass });
        }
    }
    for (stream, edge) in edges.iter().enumerate() {
        lines.add(port_lines(edge, axis, mesh), Piece::Port { stream });
    }
    let mut kinds: BTreeMap<&[u32], u32> = BTreeMap::new();
    let mut out = Vec::with_capacity(lines.of.len());
    for pieces in &lines.of {
        let next = kinds.len() as u32;
        out.push(*kinds.entry(pieces).or_insert(next));
    }
    out
}

/// The lines at which a stream has ports.
#[must_use]
pub fn port_lines(edge: &EdgeStream, axis: Axis, mesh: Grid) -> Span {
    let (up, down) = axis.directions();
    if edge.side == down {
        Span::one(0)
    } else if edge.side == up {
        Span::one(axis.length(mesh) - 1)
    } else {
        edge.ports
    }
}
