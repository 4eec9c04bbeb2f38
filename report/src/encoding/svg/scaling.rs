//! A cluster's speed by the number of its systems, each with the same share of the batch.

use super::draw::{Axis, HPos, INK, SOFT, TEAL, axes, circle, label, line, picture, shortened, title};
use crate::cluster::ClusterReport;
use crate::run::RunReport;
use runner::Error;

const SIZE: (u32, u32) = (960, 460);

/// Draws the picture; the first report is that of one system.
///
/// # Errors
/// If it cannot be drawn: a bug of ours.
pub fn svg(scaling: &[ClusterReport], report: &RunReport) -> Result<String, Error> {
    let alone = scaling.first().map_or(0.0, |c| c.step_seconds);
    let most = scaling.iter().map(|c| c.systems).max().unwrap_or(1).max(2);
    picture(SIZE, |area| {
        let name = shortened(&report.model.name, 40);
        let sub = "executed; the dashed line is perfect scaling, the numbers are efficiencies";
        title(area, &format!("{name} on 1 to {most} systems, the same batch on each"), sub)?;
        let x = Axis { pixels: (76, 920), range: (0.8, f64::from(most) * 1.25), log: true };
        let y = Axis { pixels: (400, 96), range: (0.8, f64::from(most) * 1.25), log: true };
        let none = |_: f64| String::new();
        axes(area, (&x, "systems", &none), (&y, "speed, systems' worth", &none))?;
        for c in scaling {
            let n = f64::from(c.systems);
            label(area, (x.at(n), 414), &c.systems.to_string(), 12, SOFT, HPos::Center)?;
            label(area, (68, y.at(n)), &c.systems.to_string(), 12, SOFT, HPos::Right)?;
        }
        let top = f64::from(most);
        for i in 0..40 {
            let at = |i: i32| top.powf(f64::from(i) / 80.0);
            line(area, vec![(x.at(at(2 * i)), y.at(at(2 * i))), (x.at(at(2 * i + 1)), y.at(at(2 * i + 1)))], SOFT, 1)?;
        }
        let speed = |c: &ClusterReport| f64::from(c.systems) * alone / c.step_seconds;
        line(area, scaling.iter().map(|c| (x.at(f64::from(c.systems)), y.at(speed(c)))).collect(), TEAL, 2)?;
        for c in scaling {
            let at = (x.at(f64::from(c.systems)), y.at(speed(c)));
            circle(area, at, 5, TEAL)?;
            let text = format!("{:.1} %", 100.0 * alone / c.step_seconds);
            label(area, (at.0 + 10, at.1 + 14), &text, 12, INK, HPos::Left)?;
        }
        Ok(())
    })
}
