//! The map of a mesh, as the script of a page draws it.
//!
//! **Invariant.** What is written cannot end the script that it stands in.
//! **Not here.** How it is drawn (`report/templates/map.js`).

use base64::Engine;
use runner::Error;
use runner::heat::{Heat, Quantity};
use serde::Serialize;
use sim_core::coord::{Color, Grid};
use sim_core::diag::Diagnostic;

/// Steps of the map's shares, and of those of a single color, which are many.
const STEPS: u32 = 65_534;
const COLOR_STEPS: u32 = 255;

/// The map, for the page's script.
#[derive(Serialize)]
struct Map {
    mesh: [u32; 2],
    cell: [u32; 2],
    cells: [u32; 2],
    layers: Vec<MapLayer>,
}

#[derive(Serialize)]
struct MapLayer {
    name: String,
    title: String,
    none: &'static str,
    #[serde(flatten)]
    shares: Shares,
    /// What it is made of, if it is of links.
    colors: Vec<MapColor>,
}

/// What a single color has of a layer.
#[derive(Serialize)]
struct MapColor {
    color: String,
    name: String,
    title: String,
    none: &'static str,
    #[serde(flatten)]
    shares: Shares,
}

/// The shares of all cells.
#[derive(Serialize)]
struct Shares {
    min: f64,
    max: f64,
    /// How many steps lie between them.
    steps: u32,
    /// Cells in base64, as [`runner::heat::packed`] has them: 0 for none, else 1 to `steps` + 1.
    data: String,
}

/// The map as JSON that cannot end the script it stands in.
pub(super) fn data(heat: &Heat) -> Result<String, Error> {
    let none = |layer: Quantity| if layer.is_load() { "nothing sent" } else { "no code" };
    let color = |color: Color, dir| {
        let layer = Quantity::Color(color, dir);
        let shares = Shares::of(heat, layer, COLOR_STEPS);
        MapColor { color: color.to_string(), name: layer.name(), title: layer.title(), none: none(layer), shares }
    };
    let layer = |layer: Quantity| {
        let own = heat.colors().filter(|(_, dir, _)| layer == Quantity::Load(*dir));
        let colors = own.map(|(c, dir, _)| color(c, dir)).collect();
        let shares = Shares::of(heat, layer, STEPS);
        MapLayer { name: layer.name(), title: layer.title(), none: none(layer), shares, colors }
    };
    let pair = |g: Grid| [g.width, g.height];
    let layers = Quantity::ALL.into_iter().map(layer).collect();
    let map = Map { mesh: pair(heat.mesh), cell: pair(heat.cell), cells: pair(heat.cells), layers };
    let text = serde_json::to_string(&map);
    let text = text.map_err(|e| Error::internal(Diagnostic::new("cli-json", "--report", e.to_string())))?;
    Ok(text.replace('<', "\\u003c"))
}

impl Shares {
    fn of(heat: &Heat, layer: Quantity, steps: u32) -> Shares {
        let shares = heat.shares(layer);
        let max = shares.iter().flatten().copied().fold(0.0, f64::max);
        let min = shares.iter().flatten().copied().fold(max, f64::min);
        let span = if max > min { max - min } else { 1.0 };
        let cell = |share: &Option<f64>| share.map_or(0, |s| 1 + ((s - min) / span * f64::from(steps)).round() as u64);
        let cells: Vec<u64> = shares.iter().map(cell).collect();
        let packed = runner::heat::packed(&cells, heat.cells.width as usize);
        Shares { min, max, steps, data: base64::engine::general_purpose::STANDARD.encode(packed) }
    }
}
