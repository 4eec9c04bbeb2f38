//! Places: PEs, directions, colors, and rectangles of PEs with a stride.
//!
//! **Invariant.** A [`Color`] that no machine has cannot be built; `x` grows east, `y` grows
//! south, and the origin is the north-west corner.

use serde::{Deserialize, Serialize};
use std::fmt;

/// Most PEs of a grid.
pub const MAX_PES: u64 = 1 << 22;

/// Position of one processing element.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PeCoord {
    /// Column, growing east.
    pub x: u32,
    /// Row, growing south.
    pub y: u32,
}

impl fmt::Display for PeCoord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "({},{})", self.x, self.y)
    }
}

/// Width and height of a mesh.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Grid {
    /// Number of columns.
    pub width: u32,
    /// Number of rows.
    pub height: u32,
}

/// Dense index of a PE inside one [`Grid`]: row by row from the north-west corner.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PeIdx(pub u32);

impl Grid {
    /// Number of PEs of the mesh.
    #[must_use]
    pub fn pes(self) -> u64 {
        u64::from(self.width) * u64::from(self.height)
    }

    /// Whether the grid has a PE at `at`.
    #[must_use]
    pub fn contains(self, at: PeCoord) -> bool {
        at.x < self.width && at.y < self.height
    }

    /// Dense index of the PE at `at`, which must be inside.
    #[must_use]
    pub fn index(self, at: PeCoord) -> PeIdx {
        debug_assert!(self.contains(at), "{at} is outside {self}");
        PeIdx(at.y * self.width + at.x)
    }

    /// Position of the PE with index `pe`.
    #[must_use]
    pub fn coord(self, pe: PeIdx) -> PeCoord {
        PeCoord { x: pe.0 % self.width, y: pe.0 / self.width }
    }

    /// The neighbour of `at` in direction `dir`, if the grid has it. None for the ramp.
    #[must_use]
    pub fn neighbour(self, at: PeCoord, dir: Dir) -> Option<PeCoord> {
        let (x, y) = match dir {
            Dir::North => (Some(at.x), at.y.checked_sub(1)),
            Dir::East => (at.x.checked_add(1), Some(at.y)),
            Dir::South => (Some(at.x), at.y.checked_add(1)),
            Dir::West => (at.x.checked_sub(1), Some(at.y)),
            Dir::Ramp => (None, None),
        };
        let to = PeCoord { x: x?, y: y? };
        self.contains(to).then_some(to)
    }
}

impl fmt::Display for Grid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x{}", self.width, self.height)
    }
}

/// One of the five ports of a router.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[repr(u8)]
pub enum Dir {
    /// Towards smaller `y`.
    North,
    /// Towards larger `x`.
    East,
    /// Towards larger `y`.
    South,
    /// Towards smaller `x`.
    West,
    /// To or from the PE's own compute element.
    Ramp,
}

impl Dir {
    /// All five ports, in index order.
    pub const ALL: [Dir; 5] = [Dir::North, Dir::East, Dir::South, Dir::West, Dir::Ramp];
    /// The four links to neighbours, without the ramp.
    pub const LINKS: [Dir; 4] = [Dir::North, Dir::East, Dir::South, Dir::West];

    /// The port on the other end of the link; the ramp is its own opposite.
    #[must_use]
    pub const fn opposite(self) -> Dir {
        match self {
            Dir::North => Dir::South,
            Dir::East => Dir::West,
            Dir::South => Dir::North,
            Dir::West => Dir::East,
            Dir::Ramp => Dir::Ramp,
        }
    }

    /// Its name in the text form, such as `north`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Dir::North => "north",
            Dir::East => "east",
            Dir::South => "south",
            Dir::West => "west",
            Dir::Ramp => "ramp",
        }
    }
}

/// A set of ports of a router: the four links and the ramp.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct DirSet(u8);

impl DirSet {
    /// The set without a port.
    pub const EMPTY: DirSet = DirSet(0);

    /// The set of the given ports.
    #[must_use]
    pub fn of(dirs: &[Dir]) -> DirSet {
        DirSet(dirs.iter().fold(0, |bits, &d| bits | 1 << d as u8))
    }

    /// Whether the port is in the set.
    #[must_use]
    pub const fn contains(self, dir: Dir) -> bool {
        self.0 & (1 << dir as u8) != 0
    }

    /// This set and one more port.
    #[must_use]
    pub const fn with(self, dir: Dir) -> DirSet {
        DirSet(self.0 | 1 << dir as u8)
    }

    /// The ports in index order.
    pub fn iter(self) -> impl Iterator<Item = Dir> {
        Dir::ALL.into_iter().filter(move |&d| self.contains(d))
    }

    /// Whether there is no port in the set.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether two sets have a port in common.
    #[must_use]
    pub const fn intersects(self, other: DirSet) -> bool {
        self.0 & other.0 != 0
    }

    /// The ports that are in either set.
    #[must_use]
    pub const fn union(self, other: DirSet) -> DirSet {
        DirSet(self.0 | other.0)
    }
}

/// A routable color: a virtual channel with its own route and buffer in every router.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Color(u8);

impl Color {
    /// Colors that any machine we know can route; an `ArchSpec` may have fewer.
    pub const MAX: u8 = 24;

    /// Color `n`, or None where no machine has it.
    #[must_use]
    pub const fn new(n: u8) -> Option<Color> {
        if n < Self::MAX { Some(Color(n)) } else { None }
    }

    /// Its number, from 0 on.
    #[must_use]
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

impl fmt::Display for Color {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "c{}", self.0)
    }
}

/// Positions on one axis: `start, start + step, …`, `count` of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Span {
    /// First position.
    pub start: u32,
    /// How many positions; at least 1.
    pub count: u32,
    /// Distance between neighbours; at least 1.
    pub step: u32,
}

impl Span {
    /// `count` adjacent positions from `start`.
    #[must_use]
    pub const fn run(start: u32, count: u32) -> Span {
        Span { start, count, step: 1 }
    }

    /// The span of a single position.
    #[must_use]
    pub const fn one(at: u32) -> Span {
        Span { start: at, count: 1, step: 1 }
    }

    /// Every `step`-th of the positions `start..end`, or None where there is none.
    #[must_use]
    pub fn every(start: u32, end: u32, step: u32) -> Option<Span> {
        (start < end).then(|| Span { start, count: (end - start).div_ceil(step), step })
    }

    /// The last position (64-bit, since a hostile span may leave the 32-bit range).
    #[must_use]
    pub fn last(self) -> u64 {
        u64::from(self.start) + u64::from(self.count.max(1) - 1) * u64::from(self.step)
    }

    /// Ordinal of `at` within the span, if it is one of the positions.
    #[must_use]
    pub fn ordinal(self, at: u32) -> Option<u32> {
        let off = at.checked_sub(self.start)?;
        let step = self.step.max(1);
        let k = off / step;
        (off % step == 0 && k < self.count).then_some(k)
    }

    /// All positions, from the first to the last.
    pub fn iter(self) -> impl Iterator<Item = u32> {
        (0..self.count).map(move |k| self.start + k * self.step)
    }

    /// The positions inside `from..from + len`, moved by `-from`.
    #[must_use]
    pub fn clip(self, from: u32, len: u32) -> Option<Span> {
        let first = if self.start >= from { 0 } else { (from - self.start).div_ceil(self.step) };
        let end = u64::from(from) + u64::from(len);
        if first >= self.count {
            return None;
        }
        let start = u64::from(self.start) + u64::from(first) * u64::from(self.step);
        if start >= end {
            return None;
        }
        let fit = (end - start).div_ceil(u64::from(self.step)) as u32;
        let count = fit.min(self.count - first);
        let step = if count == 1 { 1 } else { self.step };
        Some(Span { start: (start - u64::from(from)) as u32, count, step })
    }
}

/// As in the text form: `3`, `0..4`, or `0..10 step 2` (every second one).
impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let end = if self.count == 0 { u64::from(self.start) } else { self.last() + 1 };
        match (self.count, self.step) {
            (1, 1) => write!(f, "{}", self.start),
            (_, 1) => write!(f, "{}..{end}", self.start),
            (_, step) => write!(f, "{}..{end} step {step}", self.start),
        }
    }
}

/// A rectangle of PEs, possibly with gaps: the product of two spans.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Region {
    /// The columns.
    pub x: Span,
    /// The rows.
    pub y: Span,
}

impl Region {
    /// The dense rectangle with the given corner and size.
    #[must_use]
    pub const fn rect(x: u32, y: u32, width: u32, height: u32) -> Region {
        Region { x: Span::run(x, width), y: Span::run(y, height) }
    }

    /// Whether the PE belongs to the region.
    #[must_use]
    pub fn contains(self, at: PeCoord) -> bool {
        self.x.ordinal(at.x).is_some() && self.y.ordinal(at.y).is_some()
    }

    /// Number of PEs of the region.
    #[must_use]
    pub fn pes(self) -> u64 {
        u64::from(self.x.count) * u64::from(self.y.count)
    }

    /// All PEs, row by row.
    pub fn iter(self) -> impl Iterator<Item = PeCoord> {
        self.y.iter().flat_map(move |y| self.x.iter().map(move |x| PeCoord { x, y }))
    }
}

/// As in the text form: `x=0..4 y=2`.
impl fmt::Display for Region {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "x={} y={}", self.x, self.y)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn indices_and_positions_are_inverse() {
        let grid = Grid { width: 5, height: 3 };
        for i in 0..15 {
            assert_eq!(grid.index(grid.coord(PeIdx(i))), PeIdx(i));
        }
        assert!(!grid.contains(PeCoord { x: 5, y: 0 }));
    }

    #[test]
    fn neighbours_are_mutual_and_end_at_the_edge() {
        let grid = Grid { width: 3, height: 2 };
        for at in Region::rect(0, 0, 3, 2).iter() {
            for dir in Dir::LINKS {
                if let Some(there) = grid.neighbour(at, dir) {
                    assert_eq!(grid.neighbour(there, dir.opposite()), Some(at));
                }
            }
            assert_eq!(grid.neighbour(at, Dir::Ramp), None);
        }
        assert_eq!(grid.neighbour(PeCoord { x: 0, y: 0 }, Dir::North), None);
        assert_eq!(grid.neighbour(PeCoord { x: 2, y: 1 }, Dir::East), None);
    }

    #[test]
    fn a_color_that_no_machine_has_cannot_be_built() {
        assert_eq!(Color::new(23).map(Color::index), Some(23));
        assert_eq!(Color::new(24), None);
    }

    #[test]
    fn a_clipped_span_has_the_positions_inside() {
        for (start, count, step) in [(0, 5, 1), (3, 4, 3), (7, 1, 1), (2, 6, 2)] {
            let span = Span { start, count, step };
            for from in 0..12 {
                let inside: Vec<u32> = span.iter().filter(|&p| p >= from && p < from + 5).map(|p| p - from).collect();
                let clipped: Vec<u32> = span.clip(from, 5).map(|s| s.iter().collect()).unwrap_or_default();
                assert_eq!(clipped, inside, "{span} from {from}");
            }
        }
    }

    #[test]
    fn spans_show_as_in_the_text_form() {
        let show = |s: Span| s.to_string();
        assert_eq!(show(Span::one(3)), "3");
        assert_eq!(show(Span::run(0, 4)), "0..4");
        assert_eq!(Span::every(0, 10, 2).map(show), Some("0..9 step 2".to_owned()));
        assert_eq!(Region::rect(1, 2, 3, 1).to_string(), "x=1..4 y=2");
        assert_eq!(
            Span { start: 1, count: u32::MAX, step: u32::MAX }.last(),
            1 + (u64::from(u32::MAX) - 1) * u64::from(u32::MAX)
        );
    }

    #[test]
    fn a_set_of_ports_lists_them_in_order() {
        let set = DirSet::of(&[Dir::Ramp, Dir::North]).with(Dir::South);
        assert_eq!(set.iter().collect::<Vec<_>>(), [Dir::North, Dir::South, Dir::Ramp]);
        assert!(set.intersects(DirSet::of(&[Dir::Ramp])) && !set.intersects(DirSet::of(&[Dir::East])));
        assert!(DirSet::EMPTY.union(DirSet::EMPTY).is_empty());
    }
}
