//! Forms that a report can take, one module each.
//!
//! **Invariant.** Every form is a function of the report and what it is drawn from alone.
//! **Not here.** The fields of reports, and files.

#[cfg(feature = "traces")]
pub mod fst;
#[cfg(feature = "pictures")]
pub mod html;
#[cfg(feature = "parquet")]
pub mod parquet;
#[cfg(feature = "traces")]
pub mod perfetto;
#[cfg(feature = "pictures")]
pub mod svg;
pub mod text;
#[cfg(feature = "traces")]
pub mod trace_window;
