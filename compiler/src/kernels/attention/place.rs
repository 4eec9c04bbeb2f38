//! Where the code of an attention kernel goes: rings along the rows and columns of every
//! rectangle, and one image per pair of ring classes.
//!
//! **Invariant.** Rectangles do not exchange wavelets. All rectangles are equal.
//! **Not here.** The code itself.

use super::mask;
use super::shape::{Places, Shape};
use crate::codegen::resources::{Ports, Use};
use crate::codegen::ring::{Axis, Ring, RingClass, spans};
use crate::cost::Source;
use crate::kernels::pace::Pace;
use crate::kernels::price;
use crate::layout::Geometry;
use sim_core::arch::ArchSpec;
use sim_core::coord::{Color, Region, Span};
use sim_core::program::{Buffer, Image, Instr, Placement, Program, Route, Task, Trigger};

/// The two ends of a PE's place in a ring.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Links {
    /// Color to the next place.
    pub(super) send: Color,
    /// Color from the previous place.
    pub(super) recv: Color,
    /// The time of a hop.
    pub(super) pace: Pace,
}

impl Links {
    fn of(ring: &Ring, place: u32, pace: Pace) -> Links {
        Links { send: ring.send(place), recv: ring.recv(place), pace }
    }
}

/// The rings that a PE takes part in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Rings {
    /// Along the row of the rectangle.
    pub(super) row: Option<Links>,
    /// Down its column: blocks of keys and values.
    pub(super) column: Option<Links>,
    /// Down its column too: accumulators of gradients.
    pub(super) sums: Option<Links>,
    /// Whether the row's place in the sequence is odd, so that it sends north.
    pub(super) odd: bool,
}

/// Repeats a span of places `times` times at distance `len`, in as few spans as possible.
fn repeated(span: Span, len: u32, times: u32) -> Vec<Places> {
    let tile = |span, first, step, period| Places { span, first, step, period };
    if span.count * span.step == len {
        let all = Span { start: span.start, count: span.count * times, step: span.step };
        return vec![tile(all, span.start, span.step, span.count)];
    }
    if span.count <= times {
        return span.iter().map(|p| tile(Span { start: p, count: times, step: len }, p, 0, 1)).collect();
    }
    let copy = |i| Span { start: span.start + i * len, ..span };
    (0..times).map(|i| tile(copy(i), span.start, span.step, span.count)).collect()
}

/// A ring of `len` places, or None for a single place.
fn ring(axis: Axis, len: u32, ports: &Ports, of: Use) -> Option<Ring> {
    (len > 1).then(|| Ring { axis, len, colors: ports.of(of).colors() })
}

/// The rings that there are on a geometry; with `sums`, a second one goes down the columns.
pub(super) fn rings(g: &Geometry, sums: bool) -> Vec<Use> {
    let row = (g.head_columns > 1).then_some(Use::HeadRing);
    let down = (g.rows_per_sequence > 1).then_some(Use::ColumnRing);
    let second = down.filter(|_| sums).map(|_| Use::SumsRing);
    [row, down, second].into_iter().flatten().collect()
}

fn classes(ring: Option<&Ring>, pace: Pace) -> Vec<(Option<Links>, Vec<u32>)> {
    match ring {
        Some(ring) => {
            let one = |c: RingClass| (Some(Links::of(ring, c.positions[0], pace)), c.positions);
            ring.classes().into_iter().map(one).collect()
        }
        None => vec![(None, vec![0])],
    }
}

fn tiles(places: &[u32], len: u32, times: u32) -> Vec<Places> {
    spans(places).into_iter().flat_map(|s| repeated(s, len, times)).collect()
}

/// The routes of a ring in all rectangles.
fn routes(ring: &Ring, across: Span, times: u32) -> Vec<Route> {
    let mut out = Vec::new();
    for route in ring.routes(0, across) {
        let along = match ring.axis {
            Axis::X => route.region.x,
            Axis::Y => route.region.y,
        };
        for tile in repeated(along, ring.len, times) {
            let region = match ring.axis {
                Axis::X => Region { x: tile.span, y: across },
                Axis::Y => Region { x: across, y: tile.span },
            };
            out.push(Route { region, ..route });
        }
    }
    out
}

/// The program that runs `body` on all PEs in use; with `sums`, a second ring goes down the
/// columns.
pub(super) fn build(
    name: &str,
    (g, arch, ports): (&Geometry, &ArchSpec, &Ports),
    shape: &Shape,
    buffers: &[Buffer],
    sums: bool,
    body: &dyn Fn(&Rings) -> Vec<Instr>,
) -> Program {
    let mut program = Program { name: name.to_owned(), grid: Some(g.grid), ..Program::default() };
    let (used, pace) = (g.used(), Pace::of(arch));
    let (across, down) = (g.lanes * g.model.heads, g.sequences_per_lane);
    let row = ring(Axis::X, shape.n, ports, Use::HeadRing);
    let column = ring(Axis::Y, shape.r, ports, Use::ColumnRing);
    let second = sums.then(|| ring(Axis::Y, shape.r, ports, Use::SumsRing)).flatten();
    program.routes.extend(row.iter().flat_map(|r| routes(r, used.y, across)));
    program.routes.extend(column.iter().chain(&second).flat_map(|r| routes(r, used.x, down)));
    for (row_links, columns) in classes(row.as_ref(), pace) {
        for (column_links, rows) in classes(column.as_ref(), pace) {
            let links = |r: &Ring| Links::of(r, rows[0], pace);
            let rings = Rings {
                row: row_links,
                column: column_links,
                sums: second.as_ref().map(links),
                odd: !rows[0].is_multiple_of(2),
            };
            let index = program.images.len() as u32;
            program.images.push(image(name, (&rings, ports), buffers, body(&rings)));
            for x in tiles(&columns, shape.n, across) {
                for y in tiles(&rows, shape.r, down) {
                    let region = Region { x: x.span, y: y.span };
                    let params = mask::params(shape, &x, &y, rings.odd);
                    program.placements.push(Placement { region, image: index, params });
                }
            }
        }
    }
    program
}

/// The rings of a PE that stands for all, and when wavelets come on them.
pub(super) fn priced(shape: &Shape, (arch, ports): (&ArchSpec, &Ports), sums: bool) -> (Rings, Vec<(Color, Source)>) {
    let pace = Pace::of(arch);
    let of = |axis, len, wanted| ring(axis, len, ports, wanted).map(|ring| Links::of(&ring, 0, pace));
    let rings = Rings {
        row: of(Axis::X, shape.n, Use::HeadRing),
        column: of(Axis::Y, shape.r, Use::ColumnRing),
        sums: sums.then(|| of(Axis::Y, shape.r, Use::SumsRing)).flatten(),
        odd: false,
    };
    let links = [rings.row, rings.column, rings.sums].into_iter().flatten();
    (rings, links.map(|links| (links.recv, price::ring(arch))).collect())
}

fn image(name: &str, (rings, ports): (&Rings, &Ports), buffers: &[Buffer], body: Vec<Instr>) -> Image {
    let bound = [(rings.row, Use::HeadRing), (rings.column, Use::ColumnRing), (rings.sums, Use::SumsRing)];
    let bound = || bound.iter().filter_map(|&(links, of)| links.map(|l| (l, ports.of(of))));
    let main = Task { name: "main".to_owned(), trigger: Trigger::Local, active: true, blocked: false, body };
    Image {
        name: name.to_owned(),
        inputs: bound().map(|(l, port)| (port.input(), l.recv)).collect(),
        outputs: bound().map(|(l, port)| (port.output(), l.send)).collect(),
        buffers: buffers.to_vec(),
        fifos: Vec::new(),
        tasks: vec![main],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repeated_spans_cover_every_place_of_every_copy() {
        for (span, len, times) in
            [(Span { start: 2, count: 3, step: 4 }, 16, 2), (Span::run(0, 4), 4, 5), (Span::one(3), 4, 6)]
        {
            let mut want: Vec<(u32, u32)> =
                (0..times).flat_map(|i| span.iter().map(move |p| (i * len + p, p))).collect();
            let mut got: Vec<(u32, u32)> = repeated(span, len, times)
                .iter()
                .flat_map(|t| {
                    (0..t.span.count).map(|i| (t.span.start + i * t.span.step, t.first + t.step * (i % t.period)))
                })
                .collect();
            want.sort_unstable();
            got.sort_unstable();
            assert_eq!(got, want);
        }
    }
}
