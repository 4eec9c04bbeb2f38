//! What a command hands over, and the formats that it can be written in.
//!
//! A result knows what it says as a document of data, as a table and as text; a format knows how to
//! write one of these. So a command names no format, and a format no command.
//!
//! **Invariant.** A format is one module of `encoding`, and is listed there once.
//! **Not here.** The encodings themselves (`encoding`), files.

use crate::table::Table;
use runner::Error;

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

/// A result that can be written in every format. Whatever is data, rows and words is one
/// (`encoding`).
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
