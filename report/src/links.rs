//! What the links carry, by color, in a report.
//!
//! **Not here.** Counting (`fabric`), maps (`runner::heat`).

use runner::heat::{Heat, Quantity};
use schemars::JsonSchema;
use serde::Serialize;

/// What all routers together sent of one color by one port, in the whole step.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct LinkLoad {
    /// Number of the color. Kernels use colors anew: it is one color of each of them.
    pub color: u8,
    /// `north`, `east`, `south`, `west`; or `ramp`, down to the PEs.
    pub port: &'static str,
    /// Wavelets of the color.
    pub wavelets: u64,
    /// Wavelets per link and cycle where there are most, by cells of neighbouring PEs; a link can
    /// carry 1.
    pub greatest_load: f64,
}

impl LinkLoad {
    /// All that carried anything, by color and port.
    #[must_use]
    pub fn of(heat: &Heat) -> Vec<LinkLoad> {
        let load = |(color, port, wavelets): (sim_core::coord::Color, sim_core::coord::Dir, u64)| LinkLoad {
            color: color.index() as u8,
            port: port.name(),
            wavelets,
            greatest_load: heat.shares(Quantity::Color(color, port)).into_iter().flatten().fold(0.0, f64::max),
        };
        heat.colors().map(load).collect()
    }
}
