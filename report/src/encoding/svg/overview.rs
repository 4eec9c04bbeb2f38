//! The step at a glance: a map of the wafer, and bars by kernel.

use super::draw::{Area, Drawn, HPos, INK, PARTS, SOFT, label, legend, picture, rectangle, shortened, title};
use super::heatmap::{self, MAP};
use crate::run::{KernelReport, RunReport};
use crate::sums;
use crate::table::{grouped, si};
use runner::Error;
use runner::heat::{Heat, Quantity};
use sim_core::report::PeCycles;

const SIZE: (u32, u32) = (1060, 730);
/// Left and right of the bars' labels and of the bars.
const BARS: (i32, i32, i32) = (630, 806, 1036);
/// Most bars.
const KERNELS: usize = 22;

/// Draws the picture.
///
/// # Errors
/// If it cannot be drawn: a bug of ours.
pub fn svg(heat: &Heat, report: &RunReport) -> Result<String, Error> {
    picture(SIZE, |area| {
        let pes = grouped(heat.mesh.pes());
        let t = &report.throughput;
        let sub = format!(
            "{}, batch {}: {:.1} samples/s, {}, {:.1} % of the cycles of all PEs compute",
            report.arch.name,
            report.step.batch,
            t.samples_per_second,
            si(t.flops_per_second.cerebras, "FLOP/s"),
            100.0 * overall(report)
        );
        let name = shortened(&report.model.name, 40);
        title(area, &format!("Where {pes} PEs spend their cycles: one training step of {name}"), &sub)?;
        heatmap::map(area, heat, Quantity::Compute)?;
        label(area, (MAP.0 + 450, MAP.1 - 14), &Quantity::Compute.title(), 13, INK, HPos::Right)?;
        bars(area, report)
    })
}

/// Share of compute in all PE-cycles.
fn overall(report: &RunReport) -> f64 {
    let mut all = PeCycles::default();
    report.kernels.iter().for_each(|k| all += k.pe_cycles);
    all.compute as f64 / (all.total().max(1)) as f64
}

/// The longest kernels over all layers; the others together.
fn longest(report: &RunReport) -> Vec<KernelReport> {
    let mut bars = sums::over_layers(&report.kernels);
    let names: Vec<String> = bars.iter().map(|b| b.name.clone()).collect();
    for bar in &mut bars {
        // The phase, where the name alone does not tell.
        if bar.phase != "forward" && names.iter().filter(|n| **n == bar.name).count() > 1 {
            bar.name = format!("{}, {}", bar.name, bar.phase.replace('_', " "));
        }
    }
    bars.sort_by(|a, b| b.cycles.cmp(&a.cycles).then(a.name.cmp(&b.name)));
    if bars.len() > KERNELS {
        let rest = bars.split_off(KERNELS - 1);
        let mut others = KernelReport { name: format!("{} others", rest.len()), ..rest[0].clone() };
        rest[1..].iter().for_each(|k| sums::add(&mut others, k));
        bars.push(others);
    }
    bars
}

fn bars(area: &Area<'_>, report: &RunReport) -> Drawn {
    let bars = longest(report);
    let (left, zero, right) = BARS;
    label(area, (left, MAP.1 - 14), "kernels by cycles of the step", 13, INK, HPos::Left)?;
    let most = bars.iter().map(|b| b.cycles).max().unwrap_or(1).max(1);
    let pitch = ((MAP.2 - 6) / bars.len().max(1) as i32).min(26);
    for (i, bar) in bars.iter().enumerate() {
        let y = MAP.1 + pitch * i as i32 + pitch / 2;
        label(area, (zero - 8, y), &shortened(&bar.name, 30), 12, INK, HPos::Right)?;
        let length = f64::from(right - zero - 44) * bar.cycles as f64 / most as f64;
        let end = stacked(area, (zero, y - pitch * 3 / 8), pitch * 3 / 4, length, bar.pe_cycles)?;
        let share = 100.0 * bar.cycles as f64 / report.step.cycles.max(1) as f64;
        label(area, (end + 6, y), &format!("{share:.1} %"), 12, SOFT, HPos::Left)?;
    }
    legend(area, (left, MAP.1 + MAP.2 + 34), &PARTS)
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
