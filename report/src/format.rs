//! What a command hands over, and the formats that it can be written in.
//!
//! A result knows what it says as a document of data, as a table and as text; a format knows how to
//! write one of these. So a command names no format, and a format no command.
//!
//! **Invariant.** A format is one module of `encoding`, and is listed there once.
//! **Not here.** The encodings themselves (`encoding`), files.

use crate::encoding::json;
use crate::table::Table;
use runner::Error;
use serde::Serialize;
use std::path::Path;

/// What a result says in rows and columns.
pub trait Tabular {
    /// Its main table.
    fn table(&self) -> Table;
}

/// What a result says to people.
pub trait Document {
    /// The text, which ends with a line break.
    fn text(&self) -> String;
}

/// A result that can be written in every format.
pub trait Presentable {
    /// As a JSON document.
    ///
    /// # Errors
    /// If it has no form in JSON: a bug of ours.
    fn json(&self) -> Result<Vec<u8>, Error>;

    /// Its main table; None for a result that is words only.
    fn table(&self) -> Option<Table>;

    /// As text for people.
    fn text(&self) -> String;
}

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

/// A format that a result can be written in.
#[derive(Debug, Clone, Copy)]
pub struct Format {
    /// Its name on a command line.
    pub name: &'static str,
    /// What it is, in a line.
    pub about: &'static str,
    /// The ending of files that mean it.
    pub ending: Option<&'static str>,
    /// What such a file is called, if it is no text and so needs a file.
    pub binary: Option<&'static str>,
    /// Whether failures are written in it too.
    pub failures: bool,
    /// A result in it.
    pub encode: fn(&dyn Presentable) -> Result<Vec<u8>, Error>,
}

impl Format {
    /// The format of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<&'static Format> {
        crate::encoding::FORMATS.iter().find(|format| format.name == name)
    }

    /// The format that the ending of a file means; text where it means none.
    #[must_use]
    pub fn of_file(file: &Path) -> &'static Format {
        let ending = file.extension().and_then(|e| e.to_str());
        let meant = crate::encoding::FORMATS.iter().find(|format| ending.is_some() && format.ending == ending);
        meant.unwrap_or(&crate::encoding::text::FORMAT)
    }
}
