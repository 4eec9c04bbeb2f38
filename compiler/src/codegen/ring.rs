//! Rings: every position of a row or column sends to the next one of a cycle of short hops.
//!
//! In a plain ring along a row the last position is far from the first. So a ring visits the even positions first and the
//! odd ones on the way back: every hop is two links at most. Rings of kernels have even lengths, since their code is a
//! loop over pairs of steps. `docs/COMPILER.md`, *Rings*, has the rest.
//!
//! **Invariant.** No link is used by two hops in the same direction and color.
//! **Not here.** What is sent.

use sim_core::coord::{Color, Dir, DirSet, Region, Span};
use sim_core::program::Route;

/// Along which axis a ring lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Axis {
    /// Along a row.
    X,
    /// Along a column.
    Y,
}

/// A ring over `len` adjacent positions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Ring {
    /// The axis.
    pub axis: Axis,
    /// Positions; at least 2, and an even number in kernels.
    pub len: u32,
    /// Two colors for positions that send away from the origin, two for those that send back.
    pub colors: [Color; 4],
}

/// Positions that send and receive on the same pair of colors, and so can share an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RingClass {
    /// Color on which they send to the next position.
    pub send: Color,
    /// Color on which they receive from the previous one.
    pub recv: Color,
    /// The positions.
    pub positions: Vec<u32>,
}

impl Ring {
    /// Place in the cycle of the position `pos`.
    #[must_use]
    pub fn index(&self, pos: u32) -> u32 {
        debug_assert!(pos < self.len, "position {pos} is not on a ring of {}", self.len);
        if pos.is_multiple_of(2) { pos / 2 } else { self.len - pos.div_ceil(2) }
    }

    /// Position of the place `index` of the cycle.
    #[must_use]
    pub fn position(&self, index: u32) -> u32 {
        debug_assert!(index < self.len, "a ring of {} has no place {index}", self.len);
        if index < self.len.div_ceil(2) { 2 * index } else { 2 * (self.len - index) - 1 }
    }

    /// The position that `pos` sends to.
    #[must_use]
    pub fn next(&self, pos: u32) -> u32 {
        self.position((self.index(pos) + 1) % self.len)
    }

    /// The position that `pos` receives from.
    #[must_use]
    pub fn prev(&self, pos: u32) -> u32 {
        self.position((self.index(pos) + self.len - 1) % self.len)
    }

    /// Color on which `pos` sends.
    #[must_use]
    pub fn send(&self, pos: u32) -> Color {
        let back = if pos.is_multiple_of(2) { 0 } else { 2 };
        self.colors[(back + self.index(pos) % 2) as usize]
    }

    /// Color on which `pos` receives.
    #[must_use]
    pub fn recv(&self, pos: u32) -> Color {
        self.send(self.prev(pos))
    }

    /// Positions by the pair of colors that they use, in order of their first position.
    #[must_use]
    pub fn classes(&self) -> Vec<RingClass> {
        let mut classes: Vec<RingClass> = Vec::new();
        for pos in 0..self.len {
            let (send, recv) = (self.send(pos), self.recv(pos));
            match classes.iter_mut().find(|c| c.send == send && c.recv == recv) {
                Some(class) => class.positions.push(pos),
                None => classes.push(RingClass { send, recv, positions: vec![pos] }),
            }
        }
        classes
    }

    /// The routes of the rings that start at `start` of the axis, in all of `across`.
    #[must_use]
    pub fn routes(&self, start: u32, across: Span) -> Vec<Route> {
        assert!(self.len >= 2, "a position does not send to itself: a ring has at least two");
        let (away, back) = match self.axis {
            Axis::X => (Dir::East, Dir::West),
            Axis::Y => (Dir::South, Dir::North),
        };
        let mut routes = Vec::new();
        for pos in 0..self.len {
            let color = self.send(pos);
            let to = self.next(pos);
            assert!(
                pos.abs_diff(to) <= 2,
                "a hop from {pos} to {to} is two links at most, so all hops take the same time"
            );
            let (out, step): (Dir, i64) = if to > pos { (away, 1) } else { (back, -1) };
            let mut at = i64::from(pos);
            routes.push(self.route(color, start + pos, across, Dir::Ramp, out));
            loop {
                at += step;
                let last = at == i64::from(to);
                let tx = if last { Dir::Ramp } else { out };
                routes.push(self.route(color, start + at as u32, across, out.opposite(), tx));
                if last {
                    break;
                }
            }
        }
        merge(routes, self.axis)
    }

    fn route(&self, color: Color, pos: u32, across: Span, rx: Dir, tx: Dir) -> Route {
        let along = Span::one(pos);
        let region = match self.axis {
            Axis::X => Region { x: along, y: across },
            Axis::Y => Region { x: across, y: along },
        };
        Route { color, region, rx, tx: DirSet::of(&[tx]) }
    }
}

/// Splits an increasing list of positions into arithmetic spans.
#[must_use]
pub fn spans(positions: &[u32]) -> Vec<Span> {
    debug_assert!(positions.is_sorted_by(|a, b| a < b), "positions increase");
    let mut out: Vec<Span> = Vec::new();
    for &p in positions {
        if let Some(last) = out.last_mut() {
            let end = last.last() as u32;
            if last.count == 1 || p == end + last.step {
                if last.count == 1 {
                    last.step = p - end;
                }
                last.count += 1;
                continue;
            }
        }
        out.push(Span::one(p));
    }
    out
}

/// Joins routes that differ only in their position along the axis.
fn merge(routes: Vec<Route>, axis: Axis) -> Vec<Route> {
    let along = |r: &Route| match axis {
        Axis::X => r.region.x.start,
        Axis::Y => r.region.y.start,
    };
    let mut groups: Vec<(Route, Vec<u32>)> = Vec::new();
    for r in routes {
        match groups.iter_mut().find(|(g, _)| g.color == r.color && g.rx == r.rx && g.tx == r.tx) {
            Some((_, at)) => at.push(along(&r)),
            None => groups.push((r, vec![along(&r)])),
        }
    }
    let mut out = Vec::new();
    for (r, mut at) in groups {
        at.sort_unstable();
        for span in spans(&at) {
            let mut one = r;
            match axis {
                Axis::X => one.region.x = span,
                Axis::Y => one.region.y = span,
            }
            out.push(one);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ring(len: u32) -> Ring {
        let c = |n| Color::new(n).unwrap();
        Ring { axis: Axis::X, len, colors: [c(0), c(1), c(2), c(3)] }
    }

    #[test]
    fn a_ring_visits_every_position_once() {
        for len in [2, 3, 4, 5, 6, 7, 10, 15, 48] {
            let r = ring(len);
            let mut pos = 0;
            for k in 0..len {
                assert_eq!((r.index(pos), r.position(k)), (k, pos), "length {len}");
                pos = r.next(pos);
            }
            assert_eq!(pos, 0);
        }
    }

    #[test]
    fn routes_have_one_entry_per_router_and_color() {
        for len in [2, 3, 4, 5, 6, 7, 10, 15, 48] {
            let routes = ring(len).routes(5, Span::run(0, 3));
            for x in 0..len + 10 {
                for color in ring(len).colors {
                    let n = routes.iter().filter(|r| r.color == color && r.region.x.ordinal(x).is_some()).count();
                    assert!(n <= 1, "length {len}, column {x}, {color}: {n} routes");
                }
            }
        }
    }
}
