//! The memory of a PE: what lives when, and what fills it at the peak.

use super::draw::{
    ACCENT, Area, Axis, Drawn, HPos, INK, SOFT, TEAL, axes, label, line, picture, polygon, rectangle, shortened, title,
};
use crate::run::{Memory, RunReport};
use crate::table::{bytes, grouped, percent};
use runner::Error;

const SIZE: (u32, u32) = (960, 460);
/// Most bars.
const TENSORS: usize = 14;
/// Left of the bars, their zero, and their right end.
const BARS: (i32, i32) = (690, 870);

/// Draws the picture.
///
/// # Errors
/// If it cannot be drawn: a bug of ours.
pub fn svg(report: &RunReport) -> Result<String, Error> {
    let m = &report.memory;
    picture(SIZE, |area| {
        let (peak, all) = (m.pe_peak_bytes, m.pe_capacity_bytes);
        let sub = format!(
            "at the peak {} of {} ({} %); every PE that holds activations has the same plan",
            bytes(peak),
            bytes(all),
            percent(peak, all)
        );
        title(area, &format!("Memory of a PE: {}", shortened(&report.model.name, 40)), &sub)?;
        over_time(area, m)?;
        at_the_peak(area, m)
    })
}

/// Bytes that are live in each launch.
fn live(m: &Memory) -> Vec<u64> {
    let launches = m.tensors.iter().map(|t| t.live[1] + 1).max().unwrap_or(1);
    let mut change = vec![0i64; launches + 1];
    for t in &m.tensors {
        change[t.live[0]] += t.bytes_per_pe.cast_signed();
        change[t.live[1] + 1] -= t.bytes_per_pe.cast_signed();
    }
    let mut sum = (m.pe_code_bytes + m.pe_stack_bytes).cast_signed();
    let add = |change: &i64| {
        sum += change;
        sum.cast_unsigned()
    };
    change[..launches].iter().map(add).collect()
}

fn over_time(area: &Area<'_>, m: &Memory) -> Drawn {
    let live = live(m);
    let x = Axis { pixels: (86, 530), range: (0.0, live.len() as f64), log: false };
    let top = m.pe_capacity_bytes.max(m.pe_peak_bytes) as f64;
    let y = Axis { pixels: (400, 96), range: (0.0, top * 1.02), log: false };
    axes(area, (&x, "kernel of a micro-batch", &|v| grouped(v as u64)), (&y, "bytes live", &|v| grouped(v as u64)))?;
    let mut outline = vec![(x.at(0.0), y.at(0.0))];
    for (i, bytes) in live.iter().enumerate() {
        let (from, to, level) = (x.at(i as f64), x.at(i as f64 + 1.0), y.at(*bytes as f64));
        if outline.last().is_some_and(|last| last.1 != level) {
            outline.push((from, level));
        }
        outline.push((to, level));
    }
    outline.push((x.pixels.1, y.at(0.0)));
    outline.dedup();
    polygon(area, outline, TEAL)?;
    let base = (m.pe_code_bytes + m.pe_stack_bytes) as f64;
    rectangle(area, (x.pixels.0, y.at(base)), (x.pixels.1, y.at(0.0)), plotters::style::RGBColor(59, 82, 139))?;
    label(
        area,
        (x.pixels.0 + 8, (y.at(base) + y.at(0.0)) / 2),
        "code and stack",
        12,
        plotters::style::WHITE,
        HPos::Left,
    )?;
    let limit = y.at(m.pe_capacity_bytes as f64);
    line(area, vec![(x.pixels.0, limit), (x.pixels.1, limit)], ACCENT, 2)?;
    label(area, (x.pixels.1, limit - 10), "what a PE has", 12, ACCENT, HPos::Right)
}

fn at_the_peak(area: &Area<'_>, m: &Memory) -> Drawn {
    let largest = m.largest();
    let most = largest.first().map_or(1, |t| t.bytes_per_pe).max(1);
    label(area, (BARS.0, 82), "largest buffers at the peak", 13, INK, HPos::Right)?;
    for (i, t) in largest.iter().take(TENSORS).enumerate() {
        let y = 106 + 22 * i as i32;
        label(area, (BARS.0 - 8, y), &shortened(&t.name, 18), 12, INK, HPos::Right)?;
        let length = (f64::from(BARS.1 - BARS.0) * t.bytes_per_pe as f64 / most as f64).round() as i32;
        rectangle(area, (BARS.0, y - 8), (BARS.0 + length.max(1), y + 8), TEAL)?;
        label(area, (BARS.0 + length + 8, y), &bytes(t.bytes_per_pe), 12, SOFT, HPos::Left)?;
    }
    if largest.len() > TENSORS {
        let rest: u64 = largest[TENSORS..].iter().map(|t| t.bytes_per_pe).sum();
        let text = format!("{} more: {}", largest.len() - TENSORS, bytes(rest));
        label(area, (BARS.0, 106 + 22 * TENSORS as i32), &text, 12, SOFT, HPos::Left)?;
    }
    Ok(())
}
