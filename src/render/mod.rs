//! Results as text for people, as CSV, and as pictures.
//!
//! **Invariant.** Numbers come from the report alone; nothing is computed here but shares and units.

pub mod curves;
pub mod heatmap;
pub mod html;
pub mod paper;
pub mod run;
pub mod scaling;
pub mod table;
pub mod train;
pub mod validate;
