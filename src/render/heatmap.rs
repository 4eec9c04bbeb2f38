//! Where the PEs of the mesh spend their cycles: a map of the wafer, and bars by kernel.
//!
//! **Invariant.** The file is small: neighbouring cells of one shade are one rectangle.

use super::table::{grouped, si};
use crate::fail::{Failure, Kind};
use crate::heat::{Cells, Heat};
use crate::report::{KernelReport, RunReport};
use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use sim_core::diag::Diagnostic;
use sim_core::report::PeCycles;

pub(super) type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
pub(super) type Drawn = Result<(), String>;

const SIZE: (u32, u32) = (1060, 730);
/// Left, top, and height of the map.
const MAP: (i32, i32, i32) = (64, 92, 580);
/// Left and right of the bars' labels and of the bars.
const BARS: (i32, i32, i32) = (630, 806, 1036);
/// Most rectangles of the map.
const RECTANGLES: usize = 2400;
/// Most bars.
const KERNELS: usize = 22;

pub(super) const INK: RGBColor = RGBColor(34, 34, 34);
pub(super) const SOFT: RGBColor = RGBColor(110, 110, 110);
const UNUSED: RGBColor = RGBColor(236, 236, 236);
/// Viridis, in five steps.
const SHADES: [(u8, u8, u8); 5] = [(68, 1, 84), (59, 82, 139), (33, 145, 140), (94, 201, 98), (253, 231, 37)];
/// Compute, wait, back-pressure, idle.
const PARTS: [(&str, RGBColor); 4] = [
    ("compute", RGBColor(33, 145, 140)),
    ("wait", RGBColor(246, 190, 74)),
    ("back-pressure", RGBColor(213, 94, 60)),
    ("idle", RGBColor(221, 221, 221)),
];

/// Draws the picture.
///
/// # Errors
/// If it cannot be drawn: a fault of ours.
pub fn svg(heat: &Heat, report: &RunReport) -> Result<String, Failure> {
    let mut text = String::new();
    {
        let area = SVGBackend::with_string(&mut text, SIZE).into_drawing_area();
        let drawn = draw(&area, heat, report).and_then(|()| area.present().map_err(|e| e.to_string()));
        drawn.map_err(|e| Failure::one(Kind::Internal, Diagnostic::new("cli-plot", "--plot", e)))?;
    }
    Ok(text)
}

fn draw(area: &Area<'_>, heat: &Heat, report: &RunReport) -> Drawn {
    area.fill(&WHITE).map_err(|e| e.to_string())?;
    let pes = grouped(heat.grid.pes());
    let title = format!("Where {pes} PEs spend their cycles: one training step of {}", report.model.name);
    label(area, (24, 20), &title, 22, INK, HPos::Left)?;
    let t = &report.throughput;
    let sub = format!(
        "{}, batch {}: {:.1} samples/s, {}, {:.1} % of the cycles of all PEs compute",
        report.arch.name,
        report.step.batch,
        t.samples_per_second,
        si(t.flops_per_second.cerebras, "FLOP/s"),
        100.0 * overall(report)
    );
    label(area, (24, 48), &sub, 14, SOFT, HPos::Left)?;
    let width = map_width(heat);
    let cells = heat.cells();
    let range = Scale::of(&cells);
    map(area, &cells, width, range)?;
    axes(area, heat, width)?;
    scale(area, MAP.0 + width + 24, range)?;
    bars(area, report)
}

/// Share of compute in all PE-cycles.
fn overall(report: &RunReport) -> f64 {
    let mut all = PeCycles::default();
    report.kernels.iter().for_each(|k| all += k.pe_cycles);
    all.compute as f64 / (all.total().max(1)) as f64
}

pub(super) fn label(area: &Area<'_>, at: (i32, i32), text: &str, size: i32, color: RGBColor, side: HPos) -> Drawn {
    let style = ("sans-serif", size).into_font().color(&color).pos(Pos::new(side, VPos::Center));
    area.draw(&Text::new(text.to_owned(), at, style)).map_err(|e| e.to_string())
}

pub(super) fn rectangle(area: &Area<'_>, from: (i32, i32), to: (i32, i32), color: RGBColor) -> Drawn {
    area.draw(&Rectangle::new([from, to], color.filled())).map_err(|e| e.to_string())
}

/// Width of the map in pixels, PEs square, at most what is left of the bars.
fn map_width(heat: &Heat) -> i32 {
    let g = heat.grid;
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
    /// From the least busy to the busiest cells, in steps of 5 %, at least 20 % wide.
    fn of(cells: &Cells) -> Scale {
        let shares = || cells.compute.iter().copied();
        let most = shares().fold(0.0, f64::max);
        let least = shares().filter(|s| *s > 0.0).fold(most, f64::min);
        let high = ((most * 20.0).ceil() / 20.0).clamp(0.2, 1.0);
        Scale { low: ((least * 20.0).floor() / 20.0).min(high - 0.2).max(0.0), high }
    }

    /// Position of a share on the scale, 0 to 1.
    fn position(self, share: f64) -> f64 {
        ((share - self.low) / (self.high - self.low)).clamp(0.0, 1.0)
    }
}

fn shade(share: f64) -> RGBColor {
    let x = share.clamp(0.0, 1.0) * 4.0;
    let i = (x as usize).min(3);
    let mix = |a: u8, b: u8| (f64::from(a) + (f64::from(b) - f64::from(a)) * (x - i as f64)).round() as u8;
    let (a, b) = (SHADES[i], SHADES[i + 1]);
    RGBColor(mix(a.0, b.0), mix(a.1, b.1), mix(a.2, b.2))
}

/// Cells from (column, row) to (column, row), exclusive, of one level; level 0 is unused.
type Block = ((u32, u32), (u32, u32), u32);

fn map(area: &Area<'_>, cells: &Cells, width: i32, range: Scale) -> Drawn {
    let mut levels = 48;
    let mut blocks = merged(cells, range, levels);
    while blocks.len() > RECTANGLES && levels > 3 {
        levels /= 2;
        blocks = merged(cells, range, levels);
    }
    let (columns, rows) = (cells.columns, cells.rows);
    let x = |c: u32| MAP.0 + (f64::from(width) * f64::from(c) / f64::from(columns)).round() as i32;
    let y = |r: u32| MAP.1 + (f64::from(MAP.2) * f64::from(r) / f64::from(rows)).round() as i32;
    for ((c0, r0), (c1, r1), level) in blocks {
        let color = if level == 0 { UNUSED } else { shade((f64::from(level) - 0.5) / f64::from(levels)) };
        rectangle(area, (x(c0), y(r0)), (x(c1), y(r1)), color)?;
    }
    Ok(())
}

/// Rectangles of cells of one level, greedily: first to the east, then to the south.
fn merged(cells: &Cells, range: Scale, levels: u32) -> Vec<Block> {
    let (columns, rows) = (cells.columns, cells.rows);
    let level = |c: u32, r: u32| {
        let share = cells.at(c, r);
        let above = (range.position(share) * f64::from(levels)).ceil() as u32;
        if share == 0.0 { 0 } else { above.clamp(1, levels) }
    };
    let mut taken = vec![false; (columns * rows) as usize];
    let at = |c: u32, r: u32| (r * columns + c) as usize;
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
    let g = heat.grid;
    let frame = Rectangle::new([(MAP.0, MAP.1), (MAP.0 + width, MAP.1 + MAP.2)], SOFT.stroke_width(1));
    area.draw(&frame).map_err(|e| e.to_string())?;
    for x in ticks(g.width) {
        let px = MAP.0 + (f64::from(width) * f64::from(x) / f64::from(g.width)) as i32;
        label(area, (px, MAP.1 + MAP.2 + 14), &x.to_string(), 12, SOFT, HPos::Center)?;
    }
    for y in ticks(g.height) {
        let py = MAP.1 + (f64::from(MAP.2) * f64::from(y) / f64::from(g.height)) as i32;
        label(area, (MAP.0 - 8, py), &y.to_string(), 12, SOFT, HPos::Right)?;
    }
    label(area, (MAP.0 + width / 2, MAP.1 + MAP.2 + 34), "column of PEs", 13, INK, HPos::Center)?;
    label(area, (MAP.0, MAP.1 - 14), "row of PEs", 13, INK, HPos::Right)
}

/// Round positions along an axis of `n` PEs.
fn ticks(n: u32) -> Vec<u32> {
    let step = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000].into_iter().find(|s| n / s <= 8).unwrap_or(n.max(1));
    (0..=n).step_by(step as usize).collect()
}

fn scale(area: &Area<'_>, left: i32, range: Scale) -> Drawn {
    const STEPS: i32 = 48;
    for i in 0..STEPS {
        let y = |k: i32| MAP.1 + MAP.2 - MAP.2 * k / STEPS;
        rectangle(area, (left, y(i + 1)), (left + 16, y(i)), shade((f64::from(i) + 0.5) / f64::from(STEPS)))?;
    }
    for i in 0..=5 {
        let y = MAP.1 + MAP.2 - MAP.2 * i / 5;
        let text = format!("{:.0} %", 100.0 * (range.low + (range.high - range.low) * f64::from(i) / 5.0));
        label(area, (left + 22, y), &text, 12, SOFT, HPos::Left)?;
    }
    rectangle(area, (left, MAP.1 + MAP.2 + 28), (left + 16, MAP.1 + MAP.2 + 40), UNUSED)?;
    label(area, (left + 22, MAP.1 + MAP.2 + 34), "unused", 12, SOFT, HPos::Left)?;
    label(area, (left + 44, MAP.1 - 14), "compute, share of cycles", 13, INK, HPos::Right)
}

/// A kernel over all layers.
struct Bar {
    name: String,
    cycles: u64,
    parts: PeCycles,
}

fn add(bars: &mut Vec<Bar>, k: &KernelReport) {
    let phase = k.phase.replace('_', " ");
    let name = if phase == "forward" { k.name.clone() } else { format!("{}, {phase}", k.name) };
    match bars.iter_mut().find(|b| b.name == name) {
        Some(bar) => {
            bar.cycles += k.cycles;
            bar.parts += k.pe_cycles;
        }
        None => bars.push(Bar { name, cycles: k.cycles, parts: k.pe_cycles }),
    }
}

fn bars(area: &Area<'_>, report: &RunReport) -> Drawn {
    let mut bars = Vec::new();
    report.kernels.iter().for_each(|k| add(&mut bars, k));
    bars.sort_by(|a, b| b.cycles.cmp(&a.cycles).then(a.name.cmp(&b.name)));
    if bars.len() > KERNELS {
        let mut rest = Bar { name: String::new(), cycles: 0, parts: PeCycles::default() };
        for bar in &bars[KERNELS - 1..] {
            rest.cycles += bar.cycles;
            rest.parts += bar.parts;
        }
        rest.name = format!("{} others", bars.len() + 1 - KERNELS);
        bars.truncate(KERNELS - 1);
        bars.push(rest);
    }
    let (left, zero, right) = BARS;
    label(area, (left, MAP.1 - 14), "kernels by cycles of the step", 13, INK, HPos::Left)?;
    let most = bars.iter().map(|b| b.cycles).max().unwrap_or(1).max(1);
    let pitch = ((MAP.2 - 6) / bars.len().max(1) as i32).min(26);
    for (i, bar) in bars.iter().enumerate() {
        let y = MAP.1 + pitch * i as i32 + pitch / 2;
        label(area, (zero - 8, y), &shortened(&bar.name), 12, INK, HPos::Right)?;
        let length = f64::from(right - zero - 44) * bar.cycles as f64 / most as f64;
        let end = stacked(area, (zero, y - pitch * 3 / 8), pitch * 3 / 4, length, bar.parts)?;
        let share = 100.0 * bar.cycles as f64 / report.step.cycles.max(1) as f64;
        label(area, (end + 6, y), &format!("{share:.1} %"), 12, SOFT, HPos::Left)?;
    }
    let mut x = left;
    for (name, color) in PARTS {
        let y = MAP.1 + MAP.2 + 34;
        rectangle(area, (x, y - 6), (x + 12, y + 6), color)?;
        label(area, (x + 18, y), name, 13, INK, HPos::Left)?;
        x += 44 + 7 * name.len() as i32;
    }
    Ok(())
}

/// One bar; returns where it ends.
fn stacked(area: &Area<'_>, at: (i32, i32), height: i32, length: f64, parts: PeCycles) -> Result<i32, String> {
    let total = parts.total().max(1) as f64;
    let mut done = 0;
    let x = |cycles: u64| at.0 + (length * cycles as f64 / total).round() as i32;
    for (n, (_, color)) in [parts.compute, parts.wait, parts.back_pressure, parts.idle].into_iter().zip(PARTS) {
        if x(done + n) > x(done) {
            rectangle(area, (x(done), at.1), (x(done + n), at.1 + height), color)?;
        }
        done += n;
    }
    Ok(x(done))
}

/// A name that fits beside a bar.
fn shortened(name: &str) -> String {
    const MOST: usize = 30;
    if name.chars().count() <= MOST { name.to_owned() } else { name.chars().take(MOST - 1).chain(['…']).collect() }
}
