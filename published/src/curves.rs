//! Scaling over systems as a picture: speed against one system, and what is left of it per system.
//!
//! **Invariant.** Both axes of the left panel and the lower one of the right are logarithms to base
//! two; numbers come from the report, so the same report gives the same bytes.

use crate::scaling::{Curve, Kind, ScalingReport};
use report::encoding::svg::draw::{
    Area, Drawn, HPos, INK, RGBColor, SOFT, circle, label, line, picture, rectangle, title,
};
use runner::Error;

const SIZE: (u32, u32) = (1060, 500);
/// Top and bottom of both panels.
const ROWS: (i32, i32) = (96, 400);
/// Left and right of each panel.
const LEFT: (i32, i32) = (70, 420);
const RIGHT: (i32, i32) = (520, 840);
/// Left of the legend.
const LEGEND: i32 = 868;
/// Okabe and Ito's colors, which color-blind people can tell apart.
const COLORS: [RGBColor; 8] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(86, 180, 233),
    RGBColor(230, 159, 0),
    RGBColor(0, 0, 0),
    RGBColor(150, 150, 150),
];

/// A panel: where it lies, and the values at its ends.
struct Panel {
    x: (i32, i32),
    /// Largest number of systems.
    most: u32,
    /// Lowest and highest value.
    y: (f64, f64),
}

impl Panel {
    fn at(&self, systems: u32, value: f64) -> (i32, i32) {
        let along = if self.most > 1 { f64::from(systems).log2() / f64::from(self.most).log2() } else { 0.5 };
        let up = (value - self.y.0) / (self.y.1 - self.y.0);
        let x = self.x.0 + (f64::from(self.x.1 - self.x.0) * along).round() as i32;
        (x, ROWS.1 - (f64::from(ROWS.1 - ROWS.0) * up).round() as i32)
    }
}

/// Draws one kind of scaling of all models.
///
/// # Errors
/// If it cannot be drawn: a fault of ours.
pub fn svg(report: &ScalingReport, which: Kind) -> Result<String, Error> {
    picture(SIZE, |area| draw(area, report, which))
}

fn draw(area: &Area<'_>, report: &ScalingReport, which: Kind) -> Drawn {
    let (name, sub) = match which {
        Kind::Weak => ("Weak scaling", "the same share of the batch on every system"),
        Kind::Strong => ("Strong scaling", "the batch of the published run, shared by more systems"),
    };
    title(area, &format!("{name} on {}", report.arch), sub)?;
    let curves: Vec<(&str, &Curve)> =
        report.models.iter().filter_map(|m| Some((m.model.as_str(), which.curve(m)?))).collect();
    let rows = || curves.iter().flat_map(|c| &c.1.rows);
    let most = rows().map(|r| r.systems).max().unwrap_or(1);
    let top = f64::from(most).log2().max(1.0);
    let speed = Panel { x: LEFT, most, y: (0.0, top) };
    let lowest = 100.0 * rows().map(|r| r.efficiency).fold(1.0, f64::min);
    let highest = 100.0 * rows().map(|r| r.efficiency).fold(1.0, f64::max);
    let (low, step) = floor(lowest);
    let share = Panel { x: RIGHT, most, y: (low, (highest / step).ceil() * step) };
    frame(area, &speed, "speed against one system")?;
    frame(area, &share, "efficiency: of it per system, %")?;
    for k in 0..=top as u32 {
        tick(area, &speed, f64::from(k), &(1u32 << k).to_string())?;
    }
    let mut value = low;
    while value <= share.y.1 + step / 2.0 {
        tick(area, &share, value, &format!("{value:.*}", if step < 1.0 { 1 } else { 0 }))?;
        value += step;
    }
    line(area, vec![speed.at(1, 0.0), speed.at(most, f64::from(most).log2())], SOFT, 1)?;
    line(area, vec![share.at(1, 100.0), share.at(most, 100.0)], SOFT, 1)?;
    for (i, &(model, curve)) in curves.iter().enumerate() {
        let color = COLORS[i % COLORS.len()];
        points(area, curve.rows.iter().map(|r| speed.at(r.systems, r.speedup.log2())).collect(), color)?;
        points(area, curve.rows.iter().map(|r| share.at(r.systems, 100.0 * r.efficiency)).collect(), color)?;
        let y = ROWS.0 + 8 + 24 * i as i32;
        rectangle(area, (LEGEND, y - 5), (LEGEND + 12, y + 5), color)?;
        label(area, (LEGEND + 18, y), model, 13, INK, HPos::Left)?;
    }
    let y = ROWS.0 + 8 + 24 * curves.len() as i32;
    line(area, vec![(LEGEND, y), (LEGEND + 12, y)], SOFT, 1)?;
    label(area, (LEGEND + 18, y), "ideal", 13, INK, HPos::Left)?;
    label(area, (24, 470), "published: \"near-perfect linear scaling\" (claimed, no table)", 13, SOFT, HPos::Left)
}

/// A round value below the lowest, and the distance of ticks.
fn floor(lowest: f64) -> (f64, f64) {
    let step = [0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0].into_iter().find(|s| (100.0 - lowest) / s <= 5.0).unwrap_or(20.0);
    (((lowest / step).floor() * step).min(100.0 - step), step)
}

fn frame(area: &Area<'_>, panel: &Panel, what: &str) -> Drawn {
    let (x0, x1) = panel.x;
    line(area, vec![(x0, ROWS.0), (x1, ROWS.0), (x1, ROWS.1), (x0, ROWS.1), (x0, ROWS.0)], SOFT, 1)?;
    label(area, (x0, ROWS.0 - 16), what, 13, INK, HPos::Left)?;
    let mut systems = 1;
    while systems <= panel.most {
        let x = panel.at(systems, panel.y.0).0;
        label(area, (x, ROWS.1 + 14), &systems.to_string(), 12, SOFT, HPos::Center)?;
        systems *= 2;
    }
    label(area, (i32::midpoint(x0, x1), ROWS.1 + 36), "systems", 13, INK, HPos::Center)
}

fn tick(area: &Area<'_>, panel: &Panel, value: f64, text: &str) -> Drawn {
    let y = panel.at(1, value).1;
    line(area, vec![(panel.x.0 - 4, y), (panel.x.0, y)], SOFT, 1)?;
    label(area, (panel.x.0 - 8, y), text, 12, SOFT, HPos::Right)
}

fn points(area: &Area<'_>, points: Vec<(i32, i32)>, color: RGBColor) -> Drawn {
    for &point in &points {
        circle(area, point, 3, color)?;
    }
    line(area, points, color, 2)
}
