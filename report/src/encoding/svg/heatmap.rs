//! Maps of the wafer: what its PEs do with their cycles and what its links carry.
//!
//! **Invariant.** The file is small: neighbouring cells of one shade are one rectangle.
//! **Not here.** The sums (`heat`).

use super::draw::{Area, Drawn, HPos, INK, SOFT, UNUSED, label, line, picture, rectangle, shade, title};
use crate::run::RunReport;
use runner::Error;
use runner::heat::{Heat, Quantity};

const SIZE: (u32, u32) = (620, 730);
/// Left, top, and height of the map.
pub(super) const MAP: (i32, i32, i32) = (64, 92, 580);
/// Most rectangles of the map.
const RECTANGLES: usize = 2400;

/// Draws a map.
///
/// # Errors
/// If it cannot be drawn: a bug of ours.
pub fn svg(heat: &Heat, layer: Quantity, report: &RunReport) -> Result<String, Error> {
    picture(SIZE, |area| {
        let what = layer.title();
        let name = super::draw::shortened(&report.model.name, 40);
        title(area, &format!("{}{}", what[..1].to_uppercase(), &what[1..]), &format!("one training step of {name}"))?;
        map(area, heat, layer)
    })
}

/// The map with its axes and its scale.
pub(super) fn map(area: &Area<'_>, heat: &Heat, layer: Quantity) -> Drawn {
    let shares = heat.shares(layer);
    let width = map_width(heat);
    let range = Scale::of(&shares);
    cells(area, heat, &shares, width, range)?;
    axes(area, heat, width)?;
    let unused = if layer.is_load() { "none" } else { "unused" };
    scale(area, MAP.0 + width + 24, range, unused)
}

/// Width of the map in pixels, PEs square, at most what is left of the bars.
fn map_width(heat: &Heat) -> i32 {
    let g = heat.mesh;
    let wide = f64::from(MAP.2) * f64::from(g.width) / f64::from(g.height.max(1));
    (wide as i32).clamp(40, 450)
}

/// The shares at the ends of the color scale.
#[derive(Debug, Clone, Copy)]
struct Scale {
    low: f64,
    high: f64,
}

impl Scale {
    /// From the least to the greatest share, in round steps.
    fn of(shares: &[Option<f64>]) -> Scale {
        let most = shares.iter().flatten().copied().fold(0.0, f64::max);
        let least = shares.iter().flatten().copied().fold(most, f64::min);
        let rough = ((most - least) / 5.0).max((most / 50.0).clamp(1e-12, 0.000_2));
        let scale = 10f64.powf(rough.log10().floor());
        let step = [1.0, 2.0, 5.0, 10.0].into_iter().map(|s| s * scale).find(|s| *s >= rough).unwrap_or(rough);
        let low = (least / step).floor() * step;
        Scale { low, high: ((most / step).ceil() * step).max(low + step) }
    }

    /// Position of a share on the scale, 0 to 1.
    fn position(self, share: f64) -> f64 {
        ((share - self.low) / (self.high - self.low)).clamp(0.0, 1.0)
    }
}

/// Cells from (column, row) to (column, row), exclusive, of one level; level 0 is unused.
type Block = ((u32, u32), (u32, u32), u32);

fn cells(area: &Area<'_>, heat: &Heat, shares: &[Option<f64>], width: i32, range: Scale) -> Drawn {
    let mut levels = 48;
    let mut blocks = merged(heat, shares, range, levels);
    while blocks.len() > RECTANGLES && levels > 3 {
        levels /= 2;
        blocks = merged(heat, shares, range, levels);
    }
    let (columns, rows) = (heat.cells.width, heat.cells.height);
    let x = |c: u32| MAP.0 + (f64::from(width) * f64::from(c) / f64::from(columns)).round() as i32;
    let y = |r: u32| MAP.1 + (f64::from(MAP.2) * f64::from(r) / f64::from(rows)).round() as i32;
    for ((c0, r0), (c1, r1), level) in blocks {
        let color = if level == 0 { UNUSED } else { shade((f64::from(level) - 0.5) / f64::from(levels)) };
        rectangle(area, (x(c0), y(r0)), (x(c1), y(r1)), color)?;
    }
    Ok(())
}

/// Rectangles of cells of one level, greedily: first to the east, then to the south.
fn merged(heat: &Heat, shares: &[Option<f64>], range: Scale, levels: u32) -> Vec<Block> {
    let (columns, rows) = (heat.cells.width, heat.cells.height);
    let at = |c: u32, r: u32| (r * columns + c) as usize;
    let level = |c: u32, r: u32| {
        let above = |share| (range.position(share) * f64::from(levels)).ceil() as u32;
        shares[at(c, r)].map_or(0, |share| above(share).clamp(1, levels))
    };
    let mut taken = vec![false; (columns * rows) as usize];
    let mut blocks = Vec::new();
    for r in 0..rows {
        for c in 0..columns {
            if taken[at(c, r)] {
                continue;
            }
            let own = level(c, r);
            let free = |c: u32, r: u32, taken: &[bool]| !taken[at(c, r)] && level(c, r) == own;
            let c1 = (c + 1..columns).find(|&x| !free(x, r, &taken)).unwrap_or(columns);
            let r1 = (r + 1..rows).find(|&y| (c..c1).any(|x| !free(x, y, &taken))).unwrap_or(rows);
            (r..r1).for_each(|y| (c..c1).for_each(|x| taken[at(x, y)] = true));
            blocks.push(((c, r), (c1, r1), own));
        }
    }
    blocks
}

fn axes(area: &Area<'_>, heat: &Heat, width: i32) -> Drawn {
    let g = heat.mesh;
    let (left, top, right, bottom) = (MAP.0, MAP.1, MAP.0 + width, MAP.1 + MAP.2);
    line(area, vec![(left, top), (right, top), (right, bottom), (left, bottom), (left, top)], SOFT, 1)?;
    for x in ticks(g.width) {
        let px = MAP.0 + (f64::from(width) * f64::from(x) / f64::from(g.width)) as i32;
        label(area, (px, bottom + 14), &x.to_string(), 12, SOFT, HPos::Center)?;
    }
    for y in ticks(g.height) {
        let py = MAP.1 + (f64::from(MAP.2) * f64::from(y) / f64::from(g.height)) as i32;
        label(area, (MAP.0 - 8, py), &y.to_string(), 12, SOFT, HPos::Right)?;
    }
    label(area, (MAP.0 + width / 2, bottom + 34), "column of PEs", 13, INK, HPos::Center)?;
    label(area, (MAP.0, MAP.1 - 14), "row of PEs", 13, INK, HPos::Right)
}

/// Round positions along an axis of `n` PEs.
fn ticks(n: u32) -> Vec<u32> {
    let step = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000].into_iter().find(|s| n / s <= 8).unwrap_or(n.max(1));
    (0..=n).step_by(step as usize).collect()
}

fn scale(area: &Area<'_>, left: i32, range: Scale, unused: &str) -> Drawn {
    const STEPS: i32 = 48;
    for i in 0..STEPS {
        let y = |k: i32| MAP.1 + MAP.2 - MAP.2 * k / STEPS;
        rectangle(area, (left, y(i + 1)), (left + 16, y(i)), shade((f64::from(i) + 0.5) / f64::from(STEPS)))?;
    }
    let span = 100.0 * (range.high - range.low);
    let digits = if span >= 5.0 { 0 } else { (1.0 - span.log10().floor()).clamp(0.0, 10.0) as usize };
    for i in 0..=5 {
        let y = MAP.1 + MAP.2 - MAP.2 * i / 5;
        let share = 100.0 * range.low + span * f64::from(i) / 5.0;
        label(area, (left + 22, y), &format!("{share:.digits$} %"), 12, SOFT, HPos::Left)?;
    }
    rectangle(area, (left, MAP.1 + MAP.2 + 28), (left + 16, MAP.1 + MAP.2 + 40), UNUSED)?;
    label(area, (left + 22, MAP.1 + MAP.2 + 34), unused, 12, SOFT, HPos::Left)
}
