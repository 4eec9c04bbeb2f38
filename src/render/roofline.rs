//! The roofline: what limits a kernel, its arithmetic or the edges of the wafer.
//!
//! **Invariant.** Points are executed kernels; the lines are numbers of the machine.

use super::draw::{
    ACCENT, Area, Axis, Drawn, HPos, INK, PHASES, SOFT, axes, circle, label, legend, line, phase_color, picture,
    shortened, title,
};
use super::sums;
use super::table::si;
use crate::fail::Failure;
use crate::report::{KernelReport, RunReport};

const SIZE: (u32, u32) = (960, 560);
/// Points that have their names beside them.
const NAMED: usize = 10;
/// Where kernels are that move nothing over the edges.
const NONE: i32 = 860;

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
/// If it cannot be drawn: a fault of ours.
pub fn svg(report: &RunReport) -> Result<String, Failure> {
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
        roofs(area, report, &x, &y)?;
        draw(area, &points, report, &x, &y)?;
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
    [("16-bit", rate(f.half)), ("16-bit with 32-bit sums", rate(f.mixed)), ("32-bit", rate(f.single))]
}

fn roofs(area: &Area<'_>, report: &RunReport, x: &Axis, y: &Axis) -> Drawn {
    let io = report.arch.io_bits_per_second as f64 / 8.0;
    let peak = peaks(report)[0].1;
    let foot = (x.range.0).max(y.range.0 / io);
    let slope = vec![(x.at(foot), y.at(foot * io)), (x.at(peak / io), y.at(peak))];
    line(area, slope, ACCENT, 2)?;
    let mid = (foot * (peak / io)).sqrt();
    label(
        area,
        (x.at(mid) + 10, y.at(mid * io) + 12),
        &si(report.arch.io_bits_per_second as f64, "b/s over the edges"),
        12,
        ACCENT,
        HPos::Left,
    )?;
    for (i, (name, rate)) in peaks(report).into_iter().enumerate().filter(|(_, p)| p.1 > 0.0) {
        let from = (rate / io).max(x.range.0);
        line(
            area,
            vec![(x.at(from), y.at(rate)), (930, y.at(rate))],
            if i == 0 { INK } else { SOFT },
            2 - i.min(1) as u32,
        )?;
        label(area, (930, y.at(rate) - 9), &format!("{name}: {}", si(rate, "FLOP/s")), 12, SOFT, HPos::Right)?;
    }
    Ok(())
}

fn draw(area: &Area<'_>, points: &[Point], report: &RunReport, x: &Axis, y: &Axis) -> Drawn {
    let at = |p: &Point| (p.intensity.map_or(NONE, |i| x.at(i)), y.at(p.rate));
    if points.iter().any(|p| p.intensity.is_none()) {
        label(area, (NONE, y.pixels.0 + 14), "no traffic", 12, SOFT, HPos::Center)?;
    }
    // The small ones last, so that they are seen.
    for p in points {
        let share = p.kernel.cycles as f64 / report.step.cycles.max(1) as f64;
        let radius = (3.0 + 40.0 * share.sqrt()).round() as i32;
        circle(area, at(p), radius, phase_color(&p.kernel.phase))?;
    }
    names(area, points, &at)
}

/// The names of the longest kernels, one below the other where discs are close.
fn names(area: &Area<'_>, points: &[Point], at: &dyn Fn(&Point) -> (i32, i32)) -> Drawn {
    let mut taken: Vec<(i32, i32, i32)> = Vec::new();
    let mut seen: Vec<&str> = Vec::new();
    for p in points {
        if seen.contains(&p.kernel.name.as_str()) || seen.len() == NAMED {
            continue;
        }
        seen.push(&p.kernel.name);
        let ((px, mut row), name) = (at(p), shortened(&p.kernel.name, 28));
        let wide = 7 * name.chars().count() as i32;
        let (from, to, side) =
            if px < 620 { (px + 18, px + 18 + wide, HPos::Left) } else { (px - 18 - wide, px - 18, HPos::Right) };
        while taken.iter().any(|t| t.0 < to && from < t.1 && (t.2 - row).abs() < 14) {
            row += 14;
        }
        taken.push((from, to, row));
        let x = if px < 620 { from } else { to };
        label(area, (x, row), &name, 12, INK, side)?;
    }
    Ok(())
}
