//! Rows and columns alike: the lines of a mesh along an axis.
//!
//! What holds for rows holds for columns with x and y exchanged. Code that is written over an
//! [`Axis`] and its *lines* says it once. Example: along [`Axis::Rows`] a mesh of 750 columns and 994
//! rows has 994 lines, and [`Dir::South`] leads from a line to the next one.

use crate::coord::{Dir, Grid, PeCoord, Region, Span};

/// Along which axis the lines of a mesh are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Axis {
    /// Lines are rows, counted southwards.
    Rows,
    /// Lines are columns, counted eastwards.
    Columns,
}

impl Axis {
    /// Both axes, rows first.
    pub const ALL: [Axis; 2] = [Axis::Rows, Axis::Columns];

    /// Number of lines of a mesh.
    #[must_use]
    pub fn length(self, grid: Grid) -> u32 {
        match self {
            Axis::Rows => grid.height,
            Axis::Columns => grid.width,
        }
    }

    /// The mesh with another number of lines.
    #[must_use]
    pub fn resized(self, grid: Grid, length: u32) -> Grid {
        match self {
            Axis::Rows => Grid { height: length, ..grid },
            Axis::Columns => Grid { width: length, ..grid },
        }
    }

    /// The lines that a region covers.
    #[must_use]
    pub fn span(self, region: Region) -> Span {
        match self {
            Axis::Rows => region.y,
            Axis::Columns => region.x,
        }
    }

    /// The places that a region covers within each of its lines.
    #[must_use]
    pub fn across(self, region: Region) -> Span {
        match self {
            Axis::Rows => region.x,
            Axis::Columns => region.y,
        }
    }

    /// The region with other lines.
    #[must_use]
    pub fn with(self, region: Region, span: Span) -> Region {
        match self {
            Axis::Rows => Region { y: span, ..region },
            Axis::Columns => Region { x: span, ..region },
        }
    }

    /// The line of a PE.
    #[must_use]
    pub fn line(self, at: PeCoord) -> u32 {
        match self {
            Axis::Rows => at.y,
            Axis::Columns => at.x,
        }
    }

    /// The directions towards lines of greater and of smaller number.
    #[must_use]
    pub fn directions(self) -> (Dir, Dir) {
        match self {
            Axis::Rows => (Dir::South, Dir::North),
            Axis::Columns => (Dir::East, Dir::West),
        }
    }

    /// What its lines are called in texts for people.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Axis::Rows => "rows",
            Axis::Columns => "columns",
        }
    }
}
