//! The kernels of a micro-batch in time, and how busy the edges of the wafer are meanwhile.
//!
//! **Invariant.** Every stretch is at least a pixel wide or part of one: the picture stays small.

use super::draw::{
    ACCENT, Area, Axis, Drawn, GRID, HPos, INK, PHASES, SOFT, TEAL, axes, label, line, picture, polygon, rectangle,
    shortened, title,
};
use crate::run::RunReport;
use crate::table::grouped;
use runner::Error;
use runner::timeline::Span;

const SIZE: (u32, u32) = (960, 420);
/// Left and right of the time axis.
const X: (i32, i32) = (150, 936);
/// Top of the first row, and distance of the rows.
const ROWS: (i32, i32) = (78, 34);
/// Top and bottom of the chart of the edges.
const EDGE: (i32, i32) = (262, 362);

/// Draws the picture.
///
/// # Errors
/// If it cannot be drawn: a bug of ours.
pub fn svg(spans: &[Span], report: &RunReport) -> Result<String, Error> {
    let end = spans.last().map_or(1, Span::end).max(1);
    let x = Axis { pixels: X, range: (0.0, end as f64), log: false };
    picture(SIZE, |area| {
        let name = shortened(&report.model.name, 40);
        let sub = format!(
            "{} kernels, {} cycles: {}",
            grouped(spans.iter().map(|s| s.count).sum()),
            grouped(end),
            match report.step.micro_batches {
                1 => "the whole step".to_owned(),
                n => format!("one of {} micro-batches", grouped(n)),
            }
        );
        title(area, &format!("Kernels of {name} in time"), &sub)?;
        rows(area, spans, &x)?;
        edges(area, spans, report, &x)
    })
}

fn rows(area: &Area<'_>, spans: &[Span], x: &Axis) -> Drawn {
    for (i, (phase, color)) in PHASES.into_iter().enumerate() {
        let y = ROWS.0 + ROWS.1 * i as i32;
        label(area, (X.0 - 12, y + 13), &phase.replace('_', " "), 13, INK, HPos::Right)?;
        rectangle(area, (X.0, y), (X.1, y + 26), GRID)?;
        for (from, to, name) in stretches(spans, phase, x) {
            rectangle(area, (from, y), (to.max(from + 1), y + 26), color)?;
            // A light line where the next kernel starts.
            if to - from > 3 {
                line(area, vec![(to, y), (to, y + 26)], GRID, 1)?;
            }
            if to - from > 9 * name.len() as i32 {
                label(area, ((from + to) / 2, y + 13), name, 12, plotters::style::WHITE, HPos::Center)?;
            }
        }
    }
    Ok(())
}

/// Kernels of a phase from pixel to pixel; those narrower than two pixels together.
fn stretches<'a>(spans: &'a [Span], phase: &str, x: &Axis) -> Vec<(i32, i32, &'a str)> {
    let mut out: Vec<(i32, i32, &str)> = Vec::new();
    for s in spans.iter().filter(|s| s.phase.name() == phase && s.cycles > 0) {
        let (from, to) = (x.at(s.start as f64), x.at(s.end() as f64));
        match out.last_mut() {
            Some(last) if last.1 >= from && (to - from < 2 || last.1 - last.0 < 2) => (last.1, last.2) = (to, ""),
            _ => out.push((from, to, &s.name)),
        }
    }
    out
}

/// Draws what moves onto and off the wafer, as shares of the edges' bandwidth.
fn edges(area: &Area<'_>, spans: &[Span], report: &RunReport, x: &Axis) -> Drawn {
    let capacity = report.arch.io_bits_per_second as f64 / 8.0 / report.arch.clock_hz as f64;
    let (onto, off) = (shares(spans, x, |s| s.traffic.0, capacity), shares(spans, x, |s| s.traffic.1, capacity));
    let most = onto.iter().chain(&off).copied().fold(0.01, f64::max);
    let y = Axis { pixels: (EDGE.1, EDGE.0), range: (0.0, most), log: false };
    let percent = |v: f64| format!("{} %", (10_000.0 * v).round() / 100.0);
    axes(area, (x, "cycle", &|v| grouped(v as u64)), (&y, "edges of the wafer, share of bandwidth", &percent))?;
    for (shares, color) in [(&onto, TEAL), (&off, ACCENT)] {
        steps(area, shares, &y, color)?;
    }
    let mut at = X.0 + 300;
    for (name, color) in [("onto the wafer", TEAL), ("off the wafer", ACCENT)] {
        line(area, vec![(at, EDGE.0 - 14), (at + 20, EDGE.0 - 14)], color, 3)?;
        label(area, (at + 28, EDGE.0 - 14), name, 13, SOFT, HPos::Left)?;
        at += 150;
    }
    Ok(())
}

/// Bytes per cycle of every pixel's time, as shares of the capacity.
fn shares(spans: &[Span], x: &Axis, bytes: impl Fn(&Span) -> u64, capacity: f64) -> Vec<f64> {
    let columns = (X.1 - X.0) as usize;
    let cycles = (x.range.1 / columns as f64).max(f64::MIN_POSITIVE);
    let mut sums = vec![0.0; columns];
    for s in spans.iter().filter(|s| s.cycles > 0) {
        let rate = bytes(s) as f64 / s.cycles as f64;
        let (first, last) = (s.start as f64 / cycles, s.end() as f64 / cycles);
        for (i, sum) in sums.iter_mut().enumerate().take(last.ceil() as usize).skip(first as usize) {
            let overlap = last.min(i as f64 + 1.0) - first.max(i as f64);
            *sum += rate * overlap.max(0.0);
        }
    }
    sums.into_iter().map(|rate| rate / capacity).collect()
}

/// An area that changes at pixels.
fn steps(area: &Area<'_>, shares: &[f64], y: &Axis, color: plotters::style::RGBColor) -> Drawn {
    let mut outline = vec![(X.0, y.at(0.0))];
    for (i, share) in shares.iter().enumerate() {
        let level = y.at(*share);
        if outline.last().is_some_and(|last| last.1 != level) {
            let before = outline.last().map_or(level, |last| last.1);
            outline.extend([(X.0 + i as i32, before), (X.0 + i as i32, level)]);
        }
    }
    let last = outline.last().map_or(y.at(0.0), |last| last.1);
    outline.extend([(X.1, last), (X.1, y.at(0.0))]);
    let light = plotters::style::RGBColor(color.0 / 2 + 127, color.1 / 2 + 127, color.2 / 2 + 127);
    if color == TEAL {
        polygon(area, outline.clone(), light)?;
    }
    line(area, outline, color, 1)
}
