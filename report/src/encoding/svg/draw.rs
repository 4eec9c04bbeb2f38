//! What the pictures share: colors, axes, and drawing as SVG.
//!
//! **Invariant.** A picture is a function of its numbers: the same bytes every time.

use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{Pos, VPos};
use runner::Error;
use sim_core::diag::Diagnostic;

pub use plotters::style::RGBColor;
pub use plotters::style::text_anchor::HPos;

/// A part of a picture, in pixels from its upper left corner.
pub type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
/// Whether something could be drawn, and why not.
pub type Drawn = Result<(), String>;

/// Text and axes.
pub const INK: RGBColor = RGBColor(34, 34, 34);
/// What is said beside.
pub const SOFT: RGBColor = RGBColor(110, 110, 110);
/// Lines of a grid.
pub const GRID: RGBColor = RGBColor(232, 232, 232);
/// Cells in which no PE has anything to do.
pub const UNUSED: RGBColor = RGBColor(236, 236, 236);
/// Bars and areas.
pub const TEAL: RGBColor = RGBColor(33, 145, 140);
/// Limits, and what stands out.
pub const ACCENT: RGBColor = RGBColor(213, 94, 60);
/// Viridis, in five steps.
const SHADES: [(u8, u8, u8); 5] = [(68, 1, 84), (59, 82, 139), (33, 145, 140), (94, 201, 98), (253, 231, 37)];
/// Compute, wait, back-pressure, idle.
pub const PARTS: [(&str, RGBColor); 4] =
    [("compute", TEAL), ("wait", RGBColor(246, 190, 74)), ("back-pressure", ACCENT), ("idle", RGBColor(221, 221, 221))];
/// Phases of a step.
pub const PHASES: [(&str, RGBColor); 4] = [
    ("forward", RGBColor(59, 82, 139)),
    ("recompute", RGBColor(122, 143, 196)),
    ("backward", RGBColor(33, 145, 140)),
    ("weight_gradient", RGBColor(94, 201, 98)),
];

/// Color of a phase of the step.
#[must_use]
pub fn phase_color(phase: &str) -> RGBColor {
    PHASES.iter().find(|(name, _)| *name == phase).map_or(SOFT, |(_, color)| *color)
}

/// Draws a picture as SVG text.
///
/// # Errors
/// If it cannot be drawn: a bug of ours.
pub fn picture(size: (u32, u32), draw: impl FnOnce(&Area<'_>) -> Drawn) -> Result<String, Error> {
    let mut text = String::new();
    {
        let area = SVGBackend::with_string(&mut text, size).into_drawing_area();
        let white = area.fill(&WHITE).map_err(|e| e.to_string());
        let drawn = white.and_then(|()| draw(&area)).and_then(|()| area.present().map_err(|e| e.to_string()));
        drawn.map_err(|e| Error::internal(Diagnostic::new("cli-plot", "--plot", e)))?;
    }
    // No seams between rectangles that touch, at whatever size the picture is shown.
    let body = text.find('>').map_or(text.len(), |end| end + 1);
    text.insert_str(body, "<style>rect{shape-rendering:crispEdges}</style>");
    Ok(text)
}

/// Title and subtitle of a picture.
pub fn title(area: &Area<'_>, title: &str, subtitle: &str) -> Drawn {
    label(area, (24, 22), title, 21, INK, HPos::Left)?;
    label(area, (24, 48), subtitle, 14, SOFT, HPos::Left)
}

/// Text at a place, which is its middle in height and the named side of it.
pub fn label(area: &Area<'_>, at: (i32, i32), text: &str, size: i32, color: RGBColor, side: HPos) -> Drawn {
    let style = ("sans-serif", size).into_font().color(&color).pos(Pos::new(side, VPos::Center));
    area.draw(&Text::new(text.to_owned(), at, style)).map_err(|e| e.to_string())
}

/// A filled rectangle between two corners.
pub fn rectangle(area: &Area<'_>, from: (i32, i32), to: (i32, i32), color: RGBColor) -> Drawn {
    area.draw(&Rectangle::new([from, to], color.filled())).map_err(|e| e.to_string())
}

/// A line through points.
pub fn line(area: &Area<'_>, points: Vec<(i32, i32)>, color: RGBColor, width: u32) -> Drawn {
    area.draw(&PathElement::new(points, color.stroke_width(width))).map_err(|e| e.to_string())
}

/// A filled polygon.
pub fn polygon(area: &Area<'_>, points: Vec<(i32, i32)>, color: RGBColor) -> Drawn {
    area.draw(&Polygon::new(points, color.filled())).map_err(|e| e.to_string())
}

/// A filled circle.
pub fn circle(area: &Area<'_>, at: (i32, i32), radius: i32, color: RGBColor) -> Drawn {
    area.draw(&Circle::new(at, radius, color.mix(0.75).filled())).map_err(|e| e.to_string())?;
    area.draw(&Circle::new(at, radius, color.stroke_width(1))).map_err(|e| e.to_string())
}

/// Squares with names, from left to right.
pub fn legend(area: &Area<'_>, at: (i32, i32), entries: &[(&str, RGBColor)]) -> Drawn {
    let (mut x, y) = at;
    for (name, color) in entries {
        rectangle(area, (x, y - 6), (x + 12, y + 6), *color)?;
        label(area, (x + 18, y), &name.replace('_', " "), 13, INK, HPos::Left)?;
        x += 44 + 7 * name.len() as i32;
    }
    Ok(())
}

/// Color of a position on the scale, 0 to 1.
#[must_use]
pub fn shade(position: f64) -> RGBColor {
    let x = position.clamp(0.0, 1.0) * 4.0;
    let i = (x as usize).min(3);
    let mix = |a: u8, b: u8| (f64::from(a) + (f64::from(b) - f64::from(a)) * (x - i as f64)).round() as u8;
    let (a, b) = (SHADES[i], SHADES[i + 1]);
    RGBColor(mix(a.0, b.0), mix(a.1, b.1), mix(a.2, b.2))
}

/// A name that fits.
#[must_use]
pub fn shortened(name: &str, most: usize) -> String {
    if name.chars().count() <= most { name.to_owned() } else { name.chars().take(most - 1).chain(['…']).collect() }
}

/// Numbers along a line of pixels.
#[derive(Debug, Clone, Copy)]
pub struct Axis {
    /// Pixels of both ends.
    pub pixels: (i32, i32),
    /// Numbers of both ends.
    pub range: (f64, f64),
    /// Whether equal ratios have equal lengths.
    pub log: bool,
}

impl Axis {
    /// The pixel of a number; numbers beyond the ends are at the ends.
    #[must_use]
    pub fn at(&self, value: f64) -> i32 {
        let scale = |v: f64| if self.log { v.max(f64::MIN_POSITIVE).log10() } else { v };
        let (low, high) = (scale(self.range.0), scale(self.range.1));
        let share = ((scale(value) - low) / (high - low)).clamp(0.0, 1.0);
        self.pixels.0 + (f64::from(self.pixels.1 - self.pixels.0) * share).round() as i32
    }

    /// Round numbers between the ends, at most about eight.
    #[must_use]
    pub fn ticks(&self) -> Vec<f64> {
        let (low, high) = self.range;
        if self.log {
            let (first, last) = (low.log10().ceil() as i32, high.log10().floor() as i32);
            let step = ((last - first) / 8 + 1) as usize;
            return (first..=last).step_by(step).map(|e| 10f64.powi(e)).collect();
        }
        let rough = (high - low) / 7.0;
        let scale = 10f64.powf(rough.log10().floor());
        let step = [1.0, 2.0, 5.0, 10.0].into_iter().map(|s| s * scale).find(|s| *s >= rough).unwrap_or(rough);
        let first = (low / step).ceil() as i64;
        (first..).map(|i| i as f64 * step).take_while(|v| *v <= high + step * 1e-9).collect()
    }
}

/// Draws the horizontal and the vertical axis of a chart, with lines at round numbers.
pub fn axes(
    area: &Area<'_>,
    x: (&Axis, &str, &dyn Fn(f64) -> String),
    y: (&Axis, &str, &dyn Fn(f64) -> String),
) -> Drawn {
    let (left, right) = x.0.pixels;
    let (bottom, top) = y.0.pixels;
    for v in x.0.ticks() {
        line(area, vec![(x.0.at(v), bottom), (x.0.at(v), top)], GRID, 1)?;
        label(area, (x.0.at(v), bottom + 14), &x.2(v), 12, SOFT, HPos::Center)?;
    }
    for v in y.0.ticks() {
        line(area, vec![(left, y.0.at(v)), (right, y.0.at(v))], GRID, 1)?;
        label(area, (left - 8, y.0.at(v)), &y.2(v), 12, SOFT, HPos::Right)?;
    }
    line(area, vec![(left, top), (left, bottom), (right, bottom)], SOFT, 1)?;
    label(area, (right, bottom + 34), x.1, 13, INK, HPos::Right)?;
    label(area, (left, top - 14), y.1, 13, INK, HPos::Left)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_have_round_numbers() {
        let axis = Axis { pixels: (100, 0), range: (0.0, 70.0), log: false };
        assert_eq!(axis.ticks(), [0.0, 10.0, 20.0, 30.0, 40.0, 50.0, 60.0, 70.0]);
        assert_eq!([axis.at(0.0), axis.at(35.0), axis.at(99.0)], [100, 50, 0]);
        let axis = Axis { pixels: (0, 30), range: (0.5, 2000.0), log: true };
        assert_eq!(axis.ticks(), [1.0, 10.0, 100.0, 1000.0]);
        assert_eq!(axis.at(2000.0), 30);
    }
}
