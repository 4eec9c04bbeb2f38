//! Pictures of a report as SVG.
//!
//! **Invariant.** The same report gives the same bytes. Numbers come from the report alone; nothing is
//! computed here but shares and units.
//! **Not here.** The page that has them together (`html`).

pub mod draw;
pub mod heatmap;
pub mod histogram;
mod labels;
pub mod memory;
pub mod overview;
pub mod pictures;
pub mod roofline;
pub mod scaling;
pub mod timeline;
