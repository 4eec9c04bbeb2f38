//! How evenly the PEs are loaded: PEs by the share of cycles that they compute.

use super::draw::{Axis, HPos, INK, SOFT, axes, label, line, picture, rectangle, shade, title};
use crate::table::grouped;
use runner::Error;
use runner::heat::{Heat, Quantity};

const SIZE: (u32, u32) = (620, 420);
/// Bars of the histogram.
const BINS: usize = 40;

/// Draws the picture.
///
/// # Errors
/// If it cannot be drawn: a bug of ours.
pub fn svg(heat: &Heat) -> Result<String, Error> {
    let cells = (0..heat.cells.height).flat_map(|r| (0..heat.cells.width).map(move |c| (c, r)));
    let busy: Vec<(f64, u64)> =
        cells.filter_map(|(c, r)| Some((heat.share(Quantity::Compute, c, r)?, u64::from(heat.used(c, r))))).collect();
    let shares = || busy.iter().map(|(share, _)| *share);
    // Whole per cents around what there is.
    let high = (100.0 * shares().fold(0.0, f64::max)).ceil().max(1.0) / 100.0;
    let low = (100.0 * shares().fold(high, f64::min)).floor().min(100.0 * high - 1.0).max(0.0) / 100.0;
    let mut bins = [0u64; BINS];
    for (share, pes) in &busy {
        bins[((share - low) / (high - low) * BINS as f64).clamp(0.0, BINS as f64 - 1.0) as usize] += pes;
    }
    let used: u64 = busy.iter().map(|(_, pes)| pes).sum();
    let mean = busy.iter().map(|(share, pes)| share * *pes as f64).sum::<f64>() / used.max(1) as f64;
    picture(SIZE, |area| {
        let cell = match heat.cell.pes() {
            1 => String::new(),
            _ => format!(", in cells of {} × {}", heat.cell.width, heat.cell.height),
        };
        let sub = format!("{} of {} PEs, those that run code{cell}", grouped(used), grouped(heat.mesh.pes()));
        title(area, "PEs by the share of cycles that they compute", &sub)?;
        let x = Axis { pixels: (80, 596), range: (low, high), log: false };
        let most = bins.iter().copied().max().unwrap_or(1).max(1);
        let y = Axis { pixels: (360, 96), range: (0.0, most as f64 * 1.15), log: false };
        axes(
            area,
            (&x, "compute, share of cycles", &|v| format!("{} %", (1000.0 * v).round() / 10.0)),
            (&y, "PEs", &|v| grouped(v as u64)),
        )?;
        for (i, n) in bins.iter().enumerate().filter(|(_, n)| **n > 0) {
            let [from, to] = [i, i + 1].map(|i| x.at(low + (high - low) * i as f64 / BINS as f64));
            rectangle(
                area,
                (from + 1, y.at(*n as f64).min(359)),
                (to - 1, 360),
                shade((i as f64 + 0.5) / BINS as f64),
            )?;
        }
        line(area, vec![(x.at(mean), 360), (x.at(mean), 100)], INK, 1)?;
        let (at, side) = if x.at(mean) < 200 { (x.at(mean) + 8, HPos::Left) } else { (x.at(mean) - 8, HPos::Right) };
        label(area, (at, 106), &format!("mean {:.1} %", 100.0 * mean), 13, SOFT, side)
    })
}
