//! `wafersim cache show|clear`.

use super::options::Format;
use super::{Output, json};
use crate::cache::{Cache, Contents, FOLDER};
use crate::fail::{Failure, Kind};
use clap::Subcommand;
use report::table::{Table, grouped};
use sim_core::diag::Diagnostic;

#[derive(Debug, Clone, Copy, Subcommand)]
pub(super) enum Command {
    /// Where the cache is, and how much is in it
    Show,
    /// Removes what is in it
    Clear,
}

pub(super) fn run(command: &Command, output: &Output) -> Result<Vec<u8>, Failure> {
    let none = || {
        let fault = Diagnostic::new("cli-cache", FOLDER, "there is no folder for a cache");
        Failure::one(Kind::InvalidInput, fault.help("set it to the path of a folder"))
    };
    let cache = Cache::open().ok_or_else(none)?;
    let (contents, verb) = match command {
        Command::Show => (cache.contents(), "holds"),
        Command::Clear => (cache.clear(), "held"),
    };
    match output.format {
        Format::Json => json(&contents),
        Format::Csv => Ok(csv(&contents).into_bytes()),
        Format::Text => {
            let Contents { folder, entries, bytes, limit } = contents;
            let (entries, bytes, limit) = (grouped(entries), grouped(bytes), grouped(limit));
            let folder = folder.display();
            Ok(format!("{folder} {verb} {entries} outcomes, {bytes} of at most {limit} bytes\n").into_bytes())
        }
    }
}

fn csv(contents: &Contents) -> String {
    let mut table = Table::new(&["folder", "entries", "bytes", "limit"]);
    let numbers = [contents.entries, contents.bytes, contents.limit].map(|n| n.to_string());
    table.row([vec![contents.folder.display().to_string()], numbers.to_vec()].concat());
    table.csv()
}
