//! Streams between the wafer's edges and the columns: weights broadcast down from the north,
//! partial sums chained down to the south.
//!
//! **Not here.** What is streamed.

use crate::layout::Geometry;
use sim_core::arch::ArchSpec;
use sim_core::coord::{Color, Dir, DirSet, Region, Span};
use sim_core::program::{EdgeStream, Flow, Route};

/// Least distance in cycles between two wavelets of a port when `streams` external streams share
/// the system's bandwidth in one direction evenly (rule E3).
#[must_use]
pub fn interval(arch: &ArchSpec, streams: u32) -> u32 {
    assert!(streams > 0, "somebody shares the bandwidth of the edge");
    let bits = u128::from(streams) * 32 * u128::from(arch.wafer.clock_hz.value);
    let io = u128::from(arch.wafer.io_bits_per_second.value.max(1));
    u32::try_from(bits.div_ceil(io)).unwrap_or(u32::MAX).max(1)
}

/// Cycles between wavelets of a stream beside `others` streams of its direction whose ports have `their`
/// interval; None if these leave nothing.
#[must_use]
pub fn interval_beside(arch: &ArchSpec, streams: u32, (others, their): (u32, u32)) -> Option<u32> {
    let bits = |streams: u32| u128::from(streams) * 32 * u128::from(arch.wafer.clock_hz.value);
    let their = u128::from(their.max(1));
    let left =
        (u128::from(arch.wafer.io_bits_per_second.value) * their).checked_sub(bits(others)).filter(|left| *left > 0)?;
    u32::try_from((bits(streams) * their).div_ceil(left)).ok().map(|interval| interval.max(1))
}

/// Routes that bring every wavelet of `color` from the north edge to all PEs of its column.
#[must_use]
pub fn broadcast_south(g: &Geometry, color: Color) -> Vec<Route> {
    let x = Span::run(0, g.used_columns());
    let rows = g.used_rows();
    let mut routes = Vec::new();
    if rows > 1 {
        let region = Region { x, y: Span::run(0, rows - 1) };
        routes.push(Route { color, region, rx: Dir::North, tx: DirSet::of(&[Dir::Ramp, Dir::South]) });
    }
    let region = Region { x, y: Span::one(rows - 1) };
    routes.push(Route { color, region, rx: Dir::North, tx: DirSet::of(&[Dir::Ramp]) });
    routes
}

/// The stream that feeds [`broadcast_south`]: all lanes get the same wavelets.
#[must_use]
pub fn feed_north(g: &Geometry, interval: u32, name: &str, color: Color, wavelets: u64) -> EdgeStream {
    EdgeStream {
        name: name.to_owned(),
        flow: Flow::In,
        side: Dir::North,
        ports: Span::run(0, g.used_columns()),
        color,
        wavelets,
        interval,
        fanout: g.lanes,
    }
}

/// Color on which the PEs of row `y` send down the column; its other color brings what the row
/// above sends.
#[must_use]
pub fn chain_color(colors: [Color; 2], y: u32) -> Color {
    colors[(y % 2) as usize]
}

/// Routes of a chain down every column that ends at the south edge: row `y` sends on
/// [`chain_color`] to row `y + 1`, the last one to the edge.
#[must_use]
pub fn chain_south(g: &Geometry, colors: [Color; 2]) -> Vec<Route> {
    assert_ne!(colors[0], colors[1], "a row sends on another color than it receives on");
    let x = Span::run(0, g.used_columns());
    let rows = g.used_rows();
    let mut routes = Vec::new();
    let mut push = |color, span: Option<Span>, rx, tx| {
        if let Some(y) = span {
            routes.push(Route { color, region: Region { x, y }, rx, tx: DirSet::of(&[tx]) });
        }
    };
    for parity in 0..2 {
        let color = colors[parity as usize];
        push(color, Span::every(parity, rows, 2), Dir::Ramp, Dir::South);
        push(color, Span::every(parity + 1, rows, 2), Dir::North, Dir::Ramp);
    }
    push(chain_color(colors, rows - 1), Span::every(rows, g.grid.height, 1), Dir::North, Dir::South);
    routes
}

/// The stream that takes what [`chain_south`] brings to the edge.
#[must_use]
pub fn drain_south(g: &Geometry, arch: &ArchSpec, name: &str, colors: [Color; 2], wavelets: u64) -> EdgeStream {
    EdgeStream {
        name: name.to_owned(),
        flow: Flow::Out,
        side: Dir::South,
        ports: Span::run(0, g.used_columns()),
        color: chain_color(colors, g.used_rows() - 1),
        wavelets,
        interval: interval(arch, g.used_columns()),
        fanout: 1,
    }
}
