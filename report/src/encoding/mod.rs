//! Forms that a result can take, one module each. A further format is a further module, and a further
//! entry of [`FORMATS`].
//!
//! **Invariant.** Every form is a function of the report and what it is drawn from alone.
//! **Not here.** The fields of reports, and files.

pub mod csv;
#[cfg(feature = "traces")]
pub mod fst;
#[cfg(feature = "pictures")]
pub mod html;
pub mod json;
#[cfg(feature = "parquet")]
pub mod parquet;
#[cfg(feature = "traces")]
pub mod perfetto;
#[cfg(feature = "pictures")]
pub mod svg;
pub mod text;
#[cfg(feature = "traces")]
pub mod trace_window;

use crate::format::Format;

/// The formats that every result can be written in, in the order in which they are listed for people.
pub const FORMATS: &[Format] = &[
    text::FORMAT,
    json::FORMAT,
    csv::FORMAT,
    #[cfg(feature = "parquet")]
    parquet::FORMAT,
];
