//! The roofline: what limits a kernel, its arithmetic or the edges of the wafer.
//!
//! **Invariant.** Points are executed kernels; the lines are numbers of the machine.

use super::draw::{
    ACCENT, Area, Axis, Drawn, HPos, INK, PHASES, SOFT, axes, circle, label, legend, line, phase_color, picture,
    shortened, title,
};
use super::labels::{LINE, Places, width};
use crate::run::{KernelReport, RunReport};
use crate::sums;
use crate::table::si;
use runner::Error;

const SIZE: (u32, u32) = (1110, 560);
/// Points that have their names beside them.
const NAMED: usize = 10;
/// Where kernels are that move nothing over the edges.
const NONE: i32 = 820;
/// Where the roofs end.
const END: i32 = 885;
/// Points that are nearer than this, in pixels, are named together.
const NEAR: i32 = 26;

/// A kernel over all layers.
struct Point {
    kernel: KernelReport,
    /// FLOPs per byte over the busier direction of the edge; None if nothing moves there.
    intensity: Option<f64>,
    /// FLOPs per second.
    rate: f64,
}

/// Draws the picture.
///
/// # Errors
/// If it cannot be drawn: a bug of ours.
pub fn svg(report: &RunReport) -> Result<String, Error> {
    let points = points(report);
    picture(SIZE, |area| {
        let sub = "multiply-accumulates as two FLOPs; a disc's area is the kernel's share of the step";
        title(area, "Roofline: kernels by what they compute per byte over the wafer's edges", sub)?;
        let intensities = || points.iter().filter_map(|p| p.intensity);
        let peak = peaks(report)[0].1;
        let ridge = 8.0 * peak / report.arch.io_bits_per_second as f64;
        let low = intensities().fold(ridge, f64::min) / 4.0;
        let high = intensities().fold(ridge, f64::max) * 6.0;
        let least = points.iter().map(|p| p.rate).fold(peak, f64::min);
        let x = Axis { pixels: (86, NONE - 40), range: (low, high), log: true };
        let y = Axis { pixels: (486, 96), range: (least / 4.0, peak * 2.0), log: true };
        let flops = |v: f64| si(v, "FLOP/s");
        axes(area, (&x, "FLOP per byte", &|v| si(v, "")), (&y, "FLOP/s", &flops))?;
        let mut places = Places::new((90, 98, END, 482));
        roofs(area, report, (&x, &y), &mut places)?;
        draw(area, (&points, report), (&x, &y), &mut places)?;
        legend(area, (86, 540), &PHASES)
    })
}

/// Kernels with multiply-accumulates, the longest first.
fn points(report: &RunReport) -> Vec<Point> {
    let mut kernels = sums::over_layers(&report.kernels);
    kernels.retain(|k| k.macs > 0 && k.cycles > 0);
    kernels.sort_by(|a, b| b.cycles.cmp(&a.cycles).then(a.name.cmp(&b.name)));
    let point = |kernel: KernelReport| {
        let flops = 2.0 * kernel.macs as f64;
        let bytes = kernel.edge_in_bytes.max(kernel.edge_out_bytes);
        let seconds = kernel.cycles as f64 / report.arch.clock_hz as f64;
        Point { intensity: (bytes > 0).then(|| flops / bytes as f64), rate: flops / seconds, kernel }
    };
    kernels.into_iter().map(point).collect()
}

/// The machine's rates by operand types.
fn peaks(report: &RunReport) -> [(&'static str, f64); 3] {
    let a = &report.arch;
    let rate =
        |per_cycle: u32| 2.0 * f64::from(per_cycle) * f64::from(a.width) * f64::from(a.height) * a.clock_hz as f64;
    let f = a.fmacs_per_cycle;
    [("16-bit", rate(f.half)), ("16-bit, 32-bit sums", rate(f.mixed)), ("32-bit", rate(f.single))]
}

fn roofs(area: &Area<'_>, report: &RunReport, (x, y): (&Axis, &Axis), places: &mut Places) -> Drawn {
    let io = report.arch.io_bits_per_second as f64 / 8.0;
    let peak = peaks(report)[0].1;
    let foot = (x.range.0).max(y.range.0 / io);
    let (from, to) = ((x.at(foot), y.at(foot * io)), (x.at(peak / io), y.at(peak)));
    line(area, vec![from, to], ACCENT, 2)?;
    // The slope as a row of small boxes.
    let on = |i: i32| (from.0 + (to.0 - from.0) * i / 40, from.1 + (to.1 - from.1) * i / 40);
    (0..=40).map(on).for_each(|(x, y)| places.take((x - 4, y - 4, x + 4, y + 4)));
    let (text, (px, py)) = (si(report.arch.io_bits_per_second as f64, "b/s over the edges"), on(10));
    label(area, (px + 10, py + 14), &text, 12, ACCENT, HPos::Left)?;
    places.take_text(px + 10 + width(&text), py + 14, &text);
    for (i, (name, rate)) in peaks(report).into_iter().enumerate().filter(|(_, p)| p.1 > 0.0) {
        let (from, py) = (x.at((rate / io).max(x.range.0)), y.at(rate));
        line(area, vec![(from, py), (END, py)], if i == 0 { INK } else { SOFT }, 2 - i.min(1) as u32)?;
        places.take((from, py - 1, END, py + 1));
        label(area, (END + 8, py), &format!("{name}: {}", si(rate, "FLOP/s")), 12, SOFT, HPos::Left)?;
    }
    Ok(())
}

/// A disc: its center and its radius.
type Disc = ((i32, i32), i32);

fn draw(
    area: &Area<'_>,
    (points, report): (&[Point], &RunReport),
    (x, y): (&Axis, &Axis),
    places: &mut Places,
) -> Drawn {
    let disc = |p: &Point| {
        let share = p.kernel.cycles as f64 / report.step.cycles.max(1) as f64;
        ((p.intensity.map_or(NONE, |i| x.at(i)), y.at(p.rate)), (3.0 + 40.0 * share.sqrt()).round() as i32)
    };
    if points.iter().any(|p| p.intensity.is_none()) {
        label(area, (NONE, y.pixels.0 + 14), "no traffic", 12, SOFT, HPos::Center)?;
    }
    let discs: Vec<Disc> = points.iter().map(disc).collect();
    // The small ones last, so that they are seen.
    for (p, ((x, y), radius)) in points.iter().zip(&discs) {
        circle(area, (*x, *y), *radius, phase_color(&p.kernel.phase))?;
        places.take((x - radius, y - radius, x + radius, y + radius));
    }
    for ((at, radius), names) in together(points, &discs) {
        let place = places.near(at, radius, &names);
        // A line to the nearest point of the names, if they are not beside the disc.
        let nearest = (at.0.clamp(place.0 - 4, place.2), at.1.clamp(place.1, place.3));
        if (nearest.0 - at.0).abs().max((nearest.1 - at.1).abs()) > radius + 12 {
            line(area, vec![at, nearest], SOFT, 1)?;
        }
        for (i, name) in (0..).zip(&names) {
            label(area, (place.0, place.1 + LINE * i + LINE / 2), name, 12, INK, HPos::Left)?;
        }
    }
    Ok(())
}

/// The names of the longest kernels; of discs that are near, in one list.
fn together(points: &[Point], discs: &[Disc]) -> Vec<(Disc, Vec<String>)> {
    let mut lists: Vec<(Disc, Vec<String>)> = Vec::new();
    let mut seen: Vec<&str> = Vec::new();
    for (p, disc) in points.iter().zip(discs) {
        if seen.contains(&p.kernel.name.as_str()) || seen.len() == NAMED {
            continue;
        }
        seen.push(&p.kernel.name);
        let near = |other: &Disc| (other.0.0 - disc.0.0).abs().max((other.0.1 - disc.0.1).abs()) < NEAR;
        let name = shortened(&p.kernel.name, 40);
        match lists.iter_mut().find(|(other, _)| near(other)) {
            Some((_, names)) => names.push(name),
            None => lists.push((*disc, vec![name])),
        }
    }
    lists
}
