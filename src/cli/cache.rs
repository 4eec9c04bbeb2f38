//! `wafersim cache show|clear`.

use super::reply::Reply;
use crate::cache::{Cache, Contents, FOLDER};
use crate::fail::{Failure, Kind};
use clap::Subcommand;
use report::table::{Table, grouped};
use report::{Document, Tabular, row};
use serde::Serialize;
use sim_core::diag::Diagnostic;

#[derive(Debug, Clone, Copy, Subcommand)]
pub(super) enum Command {
    /// Where the cache is, and how much is in it
    Show,
    /// Removes what is in it
    Clear,
}

pub(super) fn run(command: &Command) -> Result<Reply, Failure> {
    let none = || {
        let diagnostic = Diagnostic::new("cli-cache", FOLDER, "there is no folder for a cache");
        Failure::one(Kind::InvalidInput, diagnostic.help("set it to the path of a folder"))
    };
    let cache = Cache::open().ok_or_else(none)?;
    let (contents, verb) = match command {
        Command::Show => (cache.contents(), "holds"),
        Command::Clear => (cache.clear(), "held"),
    };
    Ok(Reply::of(Shown { contents, verb }))
}

/// What is or was in the cache.
#[derive(Serialize)]
#[serde(transparent)]
struct Shown {
    contents: Contents,
    /// `holds` or `held`.
    #[serde(skip)]
    verb: &'static str,
}

impl Tabular for Shown {
    fn table(&self) -> Table {
        let Contents { folder, entries, bytes, limit } = &self.contents;
        let mut table = Table::new(&["folder", "entries", "bytes", "limit"]);
        table.row(row![folder.display().to_string(), *entries, *bytes, *limit]);
        table
    }
}

impl Document for Shown {
    fn text(&self) -> String {
        let Contents { folder, entries, bytes, limit } = &self.contents;
        let (entries, bytes, limit) = (grouped(*entries), grouped(*bytes), grouped(*limit));
        let (folder, verb) = (folder.display(), self.verb);
        format!("{folder} {verb} {entries} outcomes, {bytes} of at most {limit} bytes\n")
    }
}
