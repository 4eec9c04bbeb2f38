//! All pictures of a report, each with the name of its file.
//!
//! **Invariant.** The same report gives the same names and bytes.

use super::{heatmap, histogram, memory, overview, roofline, scaling, timeline};
use crate::cluster::ClusterReport;
use crate::run::RunReport;
use runner::Error;
use runner::heat::{Heat, Quantity};
use runner::timeline::Span;
use sim_core::coord::{Color, Dir};
use std::collections::BTreeSet;

/// What pictures are drawn from.
#[derive(Debug, Clone, Copy)]
pub struct PictureInput<'a> {
    /// The report.
    pub report: &'a RunReport,
    /// What the PEs did.
    pub heat: &'a Heat,
    /// The kernels of a micro-batch.
    pub timeline: &'a [Span],
    /// Steps with equal shares of the batch on 1, 2, 4, … systems; empty for a single one.
    pub scaling: &'a [ClusterReport],
}

/// The pictures as SVG: name without ending, and text.
///
/// # Errors
/// If one cannot be drawn: a bug of ours.
pub fn all(source: &PictureInput<'_>) -> Result<Vec<(String, String)>, Error> {
    let mut out = vec![("overview".to_owned(), overview::svg(source.heat, source.report)?)];
    for layer in Quantity::ALL.into_iter().chain(busiest(source.heat)) {
        out.push((format!("heat-{}", layer.name()), heatmap::svg(source.heat, layer, source.report)?));
    }
    out.extend(charts(source)?.into_iter().map(|(name, text)| (name.to_owned(), text)));
    Ok(out)
}

/// A map of links for every color that crosses any.
fn busiest(heat: &Heat) -> impl Iterator<Item = Quantity> {
    let colors: BTreeSet<Color> = heat.colors().filter(|(_, dir, _)| *dir != Dir::Ramp).map(|c| c.0).collect();
    colors.into_iter().map(Quantity::Busiest)
}

/// The pictures that are no maps.
///
/// # Errors
/// If one cannot be drawn: a bug of ours.
pub fn charts(source: &PictureInput<'_>) -> Result<Vec<(&'static str, String)>, Error> {
    let PictureInput { report, heat, timeline: spans, scaling: systems } = source;
    let mut out = vec![
        ("timeline", timeline::svg(spans, report)?),
        ("roofline", roofline::svg(report)?),
        ("memory", memory::svg(report)?),
        ("histogram", histogram::svg(heat)?),
    ];
    if !systems.is_empty() {
        out.push(("scaling", scaling::svg(systems, report)?));
    }
    Ok(out)
}
