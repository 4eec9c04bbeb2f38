//! Results as text for people, as CSV, and as pictures.
//!
//! **Invariant.** Numbers come from the report alone; nothing is computed here but shares and units.

pub mod andromeda;
pub mod curves;
mod draw;
pub mod heatmap;
pub mod histogram;
pub mod html;
mod labels;
pub mod memory;
pub mod overview;
pub mod paper;
pub mod parquet;
pub mod pictures;
pub mod roofline;
pub mod run;
pub mod scaling;
pub mod sums;
pub mod table;
pub mod throughput;
pub mod timeline;
pub mod train;
pub mod validate;
