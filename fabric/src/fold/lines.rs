//! Rows and columns alike: the lines of a mesh along an axis, and a mesh without some of them.
//!
//! **Invariant.** A program without lines has, on every line that is left, what the whole one has
//! there.
//! **Not here.** Which lines may be left out (`stretch`, `gap`).

use sim_core::coord::{Dir, Grid, PeCoord, Region, Span};
use sim_core::program::{EdgeStream, Filter, Program};

/// Along which axis lines are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Axis {
    /// Lines are rows, counted southwards.
    Rows,
    /// Lines are columns, counted eastwards.
    Columns,
}

impl Axis {
    /// Both.
    pub(crate) const ALL: [Axis; 2] = [Axis::Rows, Axis::Columns];

    /// Lines of a mesh.
    pub(crate) fn length(self, grid: Grid) -> u32 {
        match self {
            Axis::Rows => grid.height,
            Axis::Columns => grid.width,
        }
    }

    /// The lines of a region.
    pub(crate) fn span(self, region: Region) -> Span {
        match self {
            Axis::Rows => region.y,
            Axis::Columns => region.x,
        }
    }

    /// The region with other lines.
    pub(crate) fn with(self, region: Region, span: Span) -> Region {
        match self {
            Axis::Rows => Region { y: span, ..region },
            Axis::Columns => Region { x: span, ..region },
        }
    }

    /// The line of a PE.
    pub(crate) fn line(self, at: PeCoord) -> u32 {
        match self {
            Axis::Rows => at.y,
            Axis::Columns => at.x,
        }
    }

    /// Towards lines of greater number, and of smaller.
    pub(crate) fn directions(self) -> (Dir, Dir) {
        match self {
            Axis::Rows => (Dir::South, Dir::North),
            Axis::Columns => (Dir::East, Dir::West),
        }
    }

    /// In texts.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Axis::Rows => "rows",
            Axis::Columns => "columns",
        }
    }

    /// The lines at which a stream has ports.
    pub(crate) fn ports(self, e: &EdgeStream, grid: Grid) -> Span {
        let (up, down) = self.directions();
        if e.side == down {
            Span::one(0)
        } else if e.side == up {
            Span::one(self.length(grid) - 1)
        } else {
            e.ports
        }
    }
}

/// The lines `from..from + count` of a mesh of `length` lines.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cut {
    pub(crate) axis: Axis,
    pub(crate) from: u32,
    pub(crate) count: u32,
}

impl Cut {
    /// What is left of a span of lines, and by how much its second part moved.
    fn parts(self, span: Span, length: u32) -> impl Iterator<Item = Span> {
        let upper = span.clip(0, self.from);
        let below = length - self.from - self.count;
        let lower = span.clip(self.from + self.count, below);
        [upper, lower.map(|s| Span { start: s.start + self.from, ..s })].into_iter().flatten()
    }
}

/// The program without the lines of a cut. Several ports of a stream may become those of several
/// streams.
pub(crate) fn without(p: &Program, cut: Cut) -> Program {
    let grid = p.grid();
    let (axis, length) = (cut.axis, cut.axis.length(grid));
    let regions = |region: Region| cut.parts(axis.span(region), length).map(move |s| axis.with(region, s));
    let mut out = Program {
        grid: Some(match axis {
            Axis::Rows => Grid { height: grid.height - cut.count, ..grid },
            Axis::Columns => Grid { width: grid.width - cut.count, ..grid },
        }),
        name: p.name.clone(),
        images: p.images.clone(),
        ..Program::default()
    };
    for q in &p.placements {
        out.placements.extend(regions(q.region).map(|region| sim_core::program::Placement { region, ..q.clone() }));
    }
    for r in &p.routes {
        out.routes.extend(regions(r.region).map(|region| sim_core::program::Route { region, ..*r }));
    }
    for s in &p.switches {
        out.switches.extend(regions(s.region).map(|region| sim_core::program::Switch { region, ..s.clone() }));
    }
    for f in &p.filters {
        out.filters.extend(regions(f.region).filter_map(|region| {
            let gone = if axis.span(region).start >= cut.from { cut.count } else { 0 };
            let origin = if axis == Axis::Rows { (0, gone) } else { (gone, 0) };
            part_of_filter(f, region, origin)
        }));
    }
    for e in &p.edges {
        let (up, down) = axis.directions();
        if e.side == up || e.side == down {
            out.edges.push(e.clone());
        } else {
            out.edges.extend(cut.parts(e.ports, length).map(|ports| EdgeStream { ports, ..e.clone() }));
        }
    }
    out
}

/// A filter on a part of its region, `region`, which lies `origin` further west and north than it
/// did; None if the part is not one of its region.
pub(crate) fn part_of_filter(f: &Filter, region: Region, origin: (u32, u32)) -> Option<Filter> {
    let i = f.region.x.ordinal(region.x.start + origin.0)?;
    let j = f.region.y.ordinal(region.y.start + origin.1)?;
    Some(Filter { region, start: f.start_at(i, j), ..*f })
}
