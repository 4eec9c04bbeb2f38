//! The part of a program on some of its PEs: a rectangle of the mesh, or the mesh without some lines.
//!
//! Both are one transform, [`select`], over a [`Selection`] that says which parts of a region are kept
//! and where they go. Example: a route in the columns 0 to 9, from which the columns 4 to 7 are cut
//! out, becomes two routes, in the columns 0 to 3 and 4 to 5.
//!
//! **Invariant.** On every PE that is left, the result has what the whole program has there: image,
//! routes, switches, filters with their counters, ports. Only start values of registers that change
//! with the place ([`Param`](crate::program::Param)) are counted from the corner of the part.
//! **Not here.** Which PEs may be left out (`fabric::fold`).

use crate::axis::Axis;
use crate::coord::{Dir, Grid, Region, Span};
use crate::program::{EdgeStream, Filter, Image, Placement, Program, Route, Switch};

/// A part of a region, in the mesh that is left.
struct Part {
    region: Region,
    /// By how many columns and rows it moved west and north.
    moved: (u32, u32),
}

/// Which PEs of a mesh are kept, and where they go.
trait Selection {
    /// The mesh that is left of `grid`.
    fn grid(&self, grid: Grid) -> Grid;
    /// What is left of a region of `grid`.
    fn parts(&self, grid: Grid, region: Region) -> impl Iterator<Item = Part>;
    /// What is left of the ports of a stream at a side of `grid`.
    fn ports(&self, grid: Grid, side: Dir, ports: Span) -> impl Iterator<Item = Span>;
}

/// The lines `from..from + count` of an axis, which are taken out of a mesh.
#[derive(Debug, Clone, Copy)]
pub struct Cut {
    /// The axis.
    pub axis: Axis,
    /// First line that is taken out.
    pub from: u32,
    /// How many are.
    pub count: u32,
}

impl Cut {
    /// What is left of some of `length` lines, each part with the number of lines by which it moved.
    fn spans(self, span: Span, length: u32) -> impl Iterator<Item = (Span, u32)> {
        let before = span.clip(0, self.from);
        let behind = span.clip(self.from + self.count, length - self.from - self.count);
        let behind = behind.map(|s| (Span { start: s.start + self.from, ..s }, self.count));
        [before.map(|s| (s, 0)), behind].into_iter().flatten()
    }
}

impl Selection for Cut {
    fn grid(&self, grid: Grid) -> Grid {
        self.axis.resized(grid, self.axis.length(grid) - self.count)
    }

    fn parts(&self, grid: Grid, region: Region) -> impl Iterator<Item = Part> {
        let axis = self.axis;
        self.spans(axis.span(region), axis.length(grid)).map(move |(span, gone)| Part {
            region: axis.with(region, span),
            moved: match axis {
                Axis::Rows => (0, gone),
                Axis::Columns => (gone, 0),
            },
        })
    }

    fn ports(&self, grid: Grid, side: Dir, ports: Span) -> impl Iterator<Item = Span> {
        let (up, down) = self.axis.directions();
        let along = side == up || side == down;
        let cut = self.spans(ports, self.axis.length(grid)).filter(move |_| !along).map(|(span, _)| span);
        along.then_some(ports).into_iter().chain(cut)
    }
}

/// A rectangle of the mesh: `width` columns from `x` on, `height` rows from `y` on.
#[derive(Debug, Clone, Copy)]
pub struct Window {
    /// First column.
    pub x: u32,
    /// First row.
    pub y: u32,
    /// Columns of the rectangle.
    pub width: u32,
    /// Rows of the rectangle.
    pub height: u32,
}

impl Selection for Window {
    fn grid(&self, _grid: Grid) -> Grid {
        Grid { width: self.width, height: self.height }
    }

    fn parts(&self, _grid: Grid, region: Region) -> impl Iterator<Item = Part> {
        let spans = region.x.clip(self.x, self.width).zip(region.y.clip(self.y, self.height));
        let moved = (self.x, self.y);
        spans.map(|(x, y)| Part { region: Region { x, y }, moved }).into_iter()
    }

    fn ports(&self, grid: Grid, side: Dir, ports: Span) -> impl Iterator<Item = Span> {
        let clipped = match side {
            Dir::North if self.y == 0 => ports.clip(self.x, self.width),
            Dir::South if self.y + self.height == grid.height => ports.clip(self.x, self.width),
            Dir::West if self.x == 0 => ports.clip(self.y, self.height),
            Dir::East if self.x + self.width == grid.width => ports.clip(self.y, self.height),
            Dir::North | Dir::South | Dir::West | Dir::East | Dir::Ramp => None,
        };
        clipped.into_iter()
    }
}

/// The program without the lines of a cut, on a mesh that is smaller by them. Several ports of a
/// stream may become those of several streams.
#[must_use]
pub fn without(program: &Program, cut: Cut) -> Program {
    select(program, &cut, program.images.clone())
}

/// The part of a program inside a window, moved to the origin. Images keep their numbers and are left
/// out, since a program may have as many windows as PEs.
#[must_use]
pub fn clip(program: &Program, window: Window) -> Program {
    select(program, &window, Vec::new())
}

fn select(program: &Program, selection: &impl Selection, images: Vec<Image>) -> Program {
    let mesh = program.grid();
    let Program { name, grid: _, images: _, placements, routes, switches, filters, edges } = program;
    let regions = |region: Region| selection.parts(mesh, region).map(|part| part.region);
    let placements = placements.iter().flat_map(|Placement { region, image, params }| {
        regions(*region).map(|region| Placement { region, image: *image, params: params.clone() })
    });
    let routes = routes.iter().flat_map(|&Route { color, region, rx, tx }| {
        regions(region).map(move |region| Route { color, region, rx, tx })
    });
    let switches = switches.iter().flat_map(|&Switch { color, region, ref positions, ring, pop }| {
        regions(region).map(move |region| Switch { color, region, positions: positions.clone(), ring, pop })
    });
    let filters = filters.iter().flat_map(|filter| {
        selection.parts(mesh, filter.region).filter_map(|part| filter_on(filter, part.region, part.moved))
    });
    let edges = edges.iter().flat_map(|edge| {
        let &EdgeStream { ref name, flow, side, ports, color, wavelets, interval, fanout } = edge;
        let stream =
            move |ports| EdgeStream { name: name.clone(), flow, side, ports, color, wavelets, interval, fanout };
        selection.ports(mesh, side, ports).map(stream)
    });
    Program {
        name: name.clone(),
        grid: Some(selection.grid(mesh)),
        placements: placements.collect(),
        routes: routes.collect(),
        switches: switches.collect(),
        filters: filters.collect(),
        edges: edges.collect(),
        images,
    }
}

/// A filter on a part of its region, which moved: its counter starts where it did on the same router
/// before. None if the part is not one of its region.
fn filter_on(filter: &Filter, region: Region, moved: (u32, u32)) -> Option<Filter> {
    let &Filter { color, region: whole, start: _, dx, dy, period, pass } = filter;
    let column = whole.x.ordinal(region.x.start + moved.0)?;
    let row = whole.y.ordinal(region.y.start + moved.1)?;
    Some(Filter { color, region, start: filter.start_at(column, row), dx, dy, period, pass })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::program::parse;

    const TEXT: &str = "program p\ngrid 10x3\nimage a {\n}\nplace a x=0..10 y=1\nroute c0 x=0..10 y=1 west -> east\n\
                        filter c0 x=0..10 y=1 start 0+1*x pass 2 of 5\nedge in n north x=0..10 c1 wavelets 4 every 1 fanout 1\n\
                        edge in w west y=0..3 c0 wavelets 4 every 1 fanout 1\n";

    /// The example of the module's header, with everything else that a program has.
    #[test]
    fn what_is_left_has_what_it_had() {
        let program = parse(TEXT, "t").unwrap();
        let cut = without(&program, Cut { axis: Axis::Columns, from: 4, count: 4 });
        assert_eq!(cut.grid(), Grid { width: 6, height: 3 });
        let spans = |regions: Vec<Region>| regions.iter().map(|r| r.x.to_string()).collect::<Vec<_>>();
        assert_eq!(spans(cut.routes.iter().map(|r| r.region).collect()), ["0..4", "4..6"]);
        assert_eq!(spans(cut.placements.iter().map(|p| p.region).collect()), ["0..4", "4..6"]);
        assert_eq!(cut.filters.iter().map(|f| f.start).collect::<Vec<_>>(), [0, 3], "the counter of column 8");
        assert_eq!(cut.edges.len(), 3, "two parts of the northern stream, the western one whole");
        let part = clip(&program, Window { x: 8, y: 1, width: 2, height: 2 });
        assert_eq!((part.filters[0].start, part.edges.len()), (3, 0));
    }
}
