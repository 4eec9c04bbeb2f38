//! What is reported of a run: schemas, their assembly from what was executed, and one module per form
//! that a report can take.
//!
//! **Invariant.** A report is built once, complete, and everything that is shown comes from it.
//! **Not here.** Executing (`runner`), measurements of others (`published`), files (`wafersim`).

mod assembly;
pub mod cluster;
pub mod common;
pub mod counters;
pub mod diagnostic;
pub mod encoding;
mod form;
pub mod format;
pub mod layout;
pub mod links;
pub mod listing;
pub mod profile;
pub mod provenance;
pub mod run;
pub mod simulate;
pub mod stamps;
pub mod sums;
pub mod table;
pub mod train;
pub mod values;
pub mod verification;
pub mod why;

pub use format::{Document, Format, Presentable, Tabular};
pub use provenance::Provenance;
pub use run::RunReport;

/// The version that reports name.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
