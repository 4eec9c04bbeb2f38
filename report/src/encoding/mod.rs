//! Forms that a result can take, one module each. A further format is a further module, and a further
//! entry of [`FORMATS`].
//!
//! **Invariant.** Every form is a function of the report and what it is drawn from alone.
//! **Not here.** The fields of reports, and files.

pub mod csv;
pub mod events;
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

use crate::format::{Document, Format, Presentable, Tabular};
use crate::table::Table;
use runner::Error;
use serde::Serialize;
use std::path::Path;

/// The formats that every result can be written in, in the order in which they are listed for people.
pub const FORMATS: &[Format] = &[
    text::FORMAT,
    json::FORMAT,
    csv::FORMAT,
    #[cfg(feature = "parquet")]
    parquet::FORMAT,
];

/// The format of this name.
#[must_use]
pub fn named(name: &str) -> Option<&'static Format> {
    FORMATS.iter().find(|format| format.name == name)
}

/// The format that the ending of a file means; text where it means none.
#[must_use]
pub fn of_file(file: &Path) -> &'static Format {
    let ending = file.extension().and_then(|e| e.to_str());
    let meant = FORMATS.iter().find(|format| ending.is_some() && format.ending == ending);
    meant.unwrap_or(&text::FORMAT)
}

/// Whatever is data, rows and words can be written in every format.
impl<T: Serialize + Tabular + Document> Presentable for T {
    fn json(&self) -> Result<Vec<u8>, Error> {
        json::document(self)
    }

    fn table(&self) -> Option<Table> {
        Some(Tabular::table(self))
    }

    fn text(&self) -> String {
        Document::text(self)
    }
}
