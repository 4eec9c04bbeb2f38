//! `wafersim reproduce`: published results, executed; a result of one's own, executed again.

mod cerebras;
mod many;
mod scaling;

use super::output::Output;
use super::reply::Reply;
use crate::fail::{Failure, Kind};
use crate::manifest::{self, FileHash, Manifest};
use clap::{Args, Subcommand};
use report::table::Table;
use report::{Document, Tabular, row};
use serde::Serialize;
use sim_core::diag::Diagnostic;
use std::path::{Path, PathBuf};

/// Published results, executed; or a result of one's own, from the manifest beside it
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
#[command(after_help = "Examples:\n  wafersim reproduce out.run.json
  wafersim reproduce cerebras-gpt
  wafersim reproduce andromeda-scaling --models cerebras-gpt-111m,cerebras-gpt-13b --plot .")]
pub(super) struct Arguments {
    #[command(subcommand)]
    published: Option<Command>,
    /// The manifest of a result: everything is executed again, and the digests are compared
    #[arg(value_name = "MANIFEST.json", required = true)]
    manifest: Option<PathBuf>,
}

/// Published results, executed
#[derive(Debug, Subcommand)]
enum Command {
    AndromedaScaling(scaling::Scaling),
    CerebrasGpt(cerebras::Paper),
}

/// Executes a command line that stands in the file at a path, and gives the digest of its result.
type Execute<'a> = &'a dyn Fn(&str, &Path) -> Result<String, Failure>;

pub(super) fn run(arguments: &Arguments, output: &Output, execute: Execute<'_>) -> Result<Reply, Failure> {
    match (&arguments.published, &arguments.manifest) {
        (Some(Command::AndromedaScaling(arguments)), _) => scaling::run(arguments, output),
        (Some(Command::CerebrasGpt(arguments)), _) => cerebras::run(arguments, output),
        (None, manifest) => again(manifest.as_deref().unwrap_or(Path::new("")), execute),
    }
}

/// A result that was obtained again.
#[derive(Debug, Serialize)]
struct Reproduced {
    command: String,
    result_digest: String,
    by_version: String,
    version: &'static str,
}

/// Executes what a manifest says, without the cache, and compares the digests.
fn again(path: &Path, execute: Execute<'_>) -> Result<Reply, Failure> {
    let manifest = manifest::read(path)?;
    unchanged(&manifest)?;
    let digest = execute(&manifest.command, path)?;
    let by_version = manifest.wafersim_version;
    if digest != manifest.result_digest {
        let (was, now) = (&manifest.result_digest, env!("CARGO_PKG_VERSION"));
        let message = format!("version {now} gives a result with the digest {digest}; version {by_version} gave {was}");
        let help = "write both with --format json -o FILE; `wafersim diff` shows what changed";
        return Err(Failure::one(Kind::Internal, Diagnostic::new("cli-reproduce", path.display(), message).help(help)));
    }
    let command = manifest.command;
    let done = Reproduced { command, result_digest: digest, by_version, version: env!("CARGO_PKG_VERSION") };
    Ok(Reply::of(done))
}

impl Tabular for Reproduced {
    fn table(&self) -> Table {
        let mut table = Table::new(&["command", "result_digest", "by_version", "version"]);
        let Reproduced { command, result_digest, by_version, version } = self;
        table.row(row![command.as_str(), result_digest.as_str(), by_version.as_str(), *version]);
        table
    }
}

impl Document for Reproduced {
    fn text(&self) -> String {
        format!("reproduced: {}\n  digest {}\n", self.command, self.result_digest)
    }
}

/// Whether the inputs are those of the result.
fn unchanged(manifest: &Manifest) -> Result<(), Failure> {
    let diagnostic = |known: &FileHash| {
        let now = FileHash::of(&known.path);
        let message = match now {
            Err(failure) => return failure.diagnostics.into_iter().next(),
            Ok(now) if now == *known => return None,
            Ok(now) => format!("has changed: its hash is {}, and was {}", now.blake3, known.blake3),
        };
        let help = "the result was obtained from another file of this name";
        Some(Diagnostic::new("cli-reproduce", known.path.display(), message).help(help))
    };
    let diagnostics: Vec<Diagnostic> = manifest.inputs.iter().filter_map(diagnostic).collect();
    if diagnostics.is_empty() { Ok(()) } else { Err(Failure::many(Kind::InvalidInput, diagnostics)) }
}
