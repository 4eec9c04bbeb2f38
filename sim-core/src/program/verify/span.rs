//! Arithmetic on strided regions: where two meet, where one goes when moved by a link, and
//! whether a set of disjoint regions covers another.
//!
//! **Invariant.** Every region here lies on a grid of at most 2^22 PEs (the callers see to it),
//! so nothing overflows; nothing loops over PEs unless a diagnostic was already found.

use crate::coord::{Dir, Grid, PeCoord, Region, Span};
use std::collections::BTreeMap;

/// The positions that two spans share.
pub(super) fn meet(a: Span, b: Span) -> Option<Span> {
    let (sa, sb) = (step(a), step(b));
    let lo = i64::from(a.start.max(b.start));
    let hi = (a.last().min(b.last())) as i64;
    let (g, inverse) = gcd(sa, sb);
    let gap = i64::from(b.start) - i64::from(a.start);
    if lo > hi || gap % g != 0 {
        return None;
    }
    let turn = sb / g;
    let k = (gap / g).rem_euclid(turn) * inverse.rem_euclid(turn) % turn;
    let period = sa * turn;
    let some = i64::from(a.start) + sa * k;
    let first = some + (lo - some + period - 1).div_euclid(period) * period;
    if first > hi {
        return None;
    }
    let count = ((hi - first) / period + 1) as u32;
    Some(Span { start: first as u32, count, step: if count == 1 { 1 } else { period as u32 } })
}

fn step(s: Span) -> i64 {
    if s.count == 1 { 1 } else { i64::from(s.step) }
}

/// Greatest common divisor of two positive numbers, and `i` with `i · a ≡ gcd (mod b)`.
fn gcd(a: i64, b: i64) -> (i64, i64) {
    let (mut r, mut next_r, mut i, mut next_i) = (a, b, 1, 0);
    while next_r != 0 {
        let q = r / next_r;
        (r, next_r) = (next_r, r - q * next_r);
        (i, next_i) = (next_i, i - q * next_i);
    }
    (r, i)
}

/// The PEs that two regions share.
pub(super) fn meet_region(a: Region, b: Region) -> Option<Region> {
    Some(Region { x: meet(a.x, b.x)?, y: meet(a.y, b.y)? })
}

/// The north-west PE of a region.
pub(super) fn corner(r: Region) -> PeCoord {
    PeCoord { x: r.x.start, y: r.y.start }
}

/// A region's neighbours in one direction.
pub(super) struct Moved {
    /// The part of the moved region that lies on the grid.
    pub(super) inside: Option<Region>,
    /// The ports at which the region touches the edge of the grid.
    pub(super) edge: Option<Span>,
}

/// Moves a region by one link.
pub(super) fn moved(r: Region, dir: Dir, grid: Grid) -> Moved {
    let (along, across, size) = match dir {
        Dir::North | Dir::South => (r.y, r.x, grid.height),
        _ => (r.x, r.y, grid.width),
    };
    let (kept, touches) = match dir {
        Dir::North | Dir::West => back(along),
        _ => forth(along, size),
    };
    let inside = kept.map(|kept| match dir {
        Dir::North | Dir::South => Region { x: across, y: kept },
        _ => Region { x: kept, y: across },
    });
    Moved { inside, edge: touches.then_some(across) }
}

fn back(s: Span) -> (Option<Span>, bool) {
    match s.start {
        0 if s.count == 1 => (None, true),
        0 => (Some(Span { start: s.step - 1, count: s.count - 1, step: s.step }), true),
        start => (Some(Span { start: start - 1, ..s }), false),
    }
}

fn forth(s: Span, size: u32) -> (Option<Span>, bool) {
    let start = s.start + 1;
    match s.last() + 1 == u64::from(size) {
        true if s.count == 1 => (None, true),
        true => (Some(Span { start, count: s.count - 1, step: s.step }), true),
        false => (Some(Span { start, ..s }), false),
    }
}

/// The PEs at the given ports of an edge.
pub(super) fn border(side: Dir, ports: Span, grid: Grid) -> Region {
    match side {
        Dir::North => Region { x: ports, y: Span::one(0) },
        Dir::South => Region { x: ports, y: Span::one(grid.height - 1) },
        Dir::West => Region { x: Span::one(0), y: ports },
        _ => Region { x: Span::one(grid.width - 1), y: ports },
    }
}

/// Regions that can be asked which of them meet another one.
pub(super) struct Cover {
    regions: Vec<Region>,
    /// By the binary sizes of the extents in `x` and `y`: see [`Class`].
    classes: BTreeMap<(u32, u32), Class>,
}

/// Regions of about one size. They are listed by the tile in which their corner lies, row of
/// tiles, then column; a tile is at least as large as the regions.
type Class = Vec<(u32, u32, usize)>;

/// Binary size of a tile that is at least as large as the span.
fn tile_bits(s: Span) -> u32 {
    (s.last() - u64::from(s.start) + 1).ilog2() + 1
}

/// The tiles in which a span may start that meets `s`.
fn tiles(s: Span, bits: u32) -> (u32, u32) {
    ((s.start >> bits).saturating_sub(1), (s.last() >> bits) as u32)
}

impl Cover {
    /// A cover of the given regions; they keep their indices.
    pub(super) fn new(regions: Vec<Region>) -> Cover {
        let mut classes: BTreeMap<(u32, u32), Class> = BTreeMap::new();
        for (i, r) in regions.iter().enumerate() {
            let bits = (tile_bits(r.x), tile_bits(r.y));
            classes.entry(bits).or_default().push((r.y.start >> bits.1, r.x.start >> bits.0, i));
        }
        for class in classes.values_mut() {
            class.sort_unstable();
        }
        Cover { regions, classes }
    }

    /// Indices and shared PEs of the regions that meet `with`.
    pub(super) fn meeting(&self, with: Region) -> impl Iterator<Item = (usize, Region)> {
        let near = self.classes.iter().flat_map(move |(bits, class)| {
            let (left, right) = tiles(with.x, bits.0);
            let (top, bottom) = tiles(with.y, bits.1);
            // Where there are fewer regions than rows of tiles, all of them are looked at.
            let all = class.len() < (bottom - top) as usize;
            let rows = if all { 0..=0 } else { top..=bottom };
            rows.flat_map(move |row| {
                let from = class.partition_point(|&(y, x, _)| (y, x) < (row, left));
                let to = class.partition_point(|&(y, x, _)| (y, x) <= (row, right));
                if all { &class[..] } else { &class[from..to] }
            })
        });
        near.filter_map(move |&(_, _, i)| Some((i, meet_region(self.regions[i], with)?)))
    }

    /// A PE of `of` that is in none of the regions for which `counts` holds; the regions must be
    /// disjoint.
    pub(super) fn hole(&self, of: Region, counts: impl Fn(usize) -> bool) -> Option<PeCoord> {
        let parts: Vec<Region> = self.meeting(of).filter(|&(i, _)| counts(i)).map(|(_, part)| part).collect();
        if parts.iter().map(|p| p.pes()).sum::<u64>() == of.pes() {
            return None;
        }
        of.y.iter().find_map(|y| {
            let row: Vec<Span> = parts.iter().filter(|p| p.y.ordinal(y).is_some()).map(|p| p.x).collect();
            let full = row.iter().map(|s| u64::from(s.count)).sum::<u64>() == u64::from(of.x.count);
            let free = |x: &u32| row.iter().all(|s| s.ordinal(*x).is_none());
            if full { None } else { of.x.iter().find(free).map(|x| PeCoord { x, y }) }
        })
    }
}

/// A position of `of` that is in none of the spans.
pub(super) fn hole_in_span(of: Span, spans: &[Span]) -> Option<u32> {
    let full: u64 = spans.iter().filter_map(|&s| meet(of, s)).map(|s| u64::from(s.count)).sum();
    if full == u64::from(of.count) {
        return None;
    }
    of.iter().find(|&at| spans.iter().all(|s| s.ordinal(at).is_none()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn span() -> impl Strategy<Value = Span> {
        (0u32..20, 1u32..8, 1u32..7).prop_map(|(start, count, step)| Span { start, count, step })
    }

    proptest! {
        #[test]
        fn spans_meet_where_their_positions_do(a in span(), b in span()) {
            let both: Vec<u32> = a.iter().filter(|&x| b.ordinal(x).is_some()).collect();
            let got: Vec<u32> = meet(a, b).map(|s| s.iter().collect()).unwrap_or_default();
            prop_assert_eq!(got, both);
        }

        #[test]
        fn a_moved_region_is_the_set_of_neighbours(x in span(), y in span(), d in 0usize..4) {
            let grid = Grid { width: x.last() as u32 + 1, height: y.last() as u32 + 1 };
            let region = Region { x, y };
            let dir = Dir::LINKS[d];
            let there: Vec<PeCoord> = region.iter().filter_map(|p| grid.neighbour(p, dir)).collect();
            let moved = moved(region, dir, grid);
            let got: Vec<PeCoord> = moved.inside.map(|r| r.iter().collect()).unwrap_or_default();
            prop_assert_eq!(&got, &there);
            let out = moved.edge.map_or(0, |s| s.count as usize);
            prop_assert_eq!(got.len() + out, region.pes() as usize);
        }

        #[test]
        fn a_hole_is_found_where_there_is_one(regions in prop::collection::vec((span(), span()), 0..4), x in span(), y in span()) {
            let mut disjoint: Vec<Region> = Vec::new();
            for (x, y) in regions {
                let r = Region { x, y };
                if disjoint.iter().all(|&d| meet_region(d, r).is_none()) {
                    disjoint.push(r);
                }
            }
            let of = Region { x, y };
            let want = of.iter().find(|&p| disjoint.iter().all(|r| !r.contains(p)));
            prop_assert_eq!(Cover::new(disjoint).hole(of, |_| true), want);
        }
    }
}
