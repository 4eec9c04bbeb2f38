//! `wafersim fmt`: the layout of programs, and what they expand to.

use super::options::DEFAULT_MACHINE;
use super::program::{self, ParamOptions};
use super::reply::Reply;
use crate::fail::{Failure, Kind};
use crate::files;
use clap::Args;
use sim_core::diag::Diagnostic;
use sim_core::program::parse::{MAX_TEXT, format};
use std::path::{Path, PathBuf};

/// Lays out a program, or shows what it expands to
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  wafersim fmt examples/ring.wafer
  wafersim fmt --write examples/*.wafer
  wafersim fmt --expand examples/ring.wafer --param P=4")]
pub(super) struct Arguments {
    /// Programs in text form; several with --write or --check
    #[arg(required = true)]
    programs: Vec<PathBuf>,
    /// Writes each program back to its file
    #[arg(long, conflicts_with = "expand")]
    write: bool,
    /// Only says which programs are laid out differently (status 3)
    #[arg(long, conflicts_with_all = ["write", "expand"])]
    check: bool,
    /// Shows the program without names, loops and expressions, as it is executed
    #[arg(long)]
    expand: bool,
    #[command(flatten)]
    params: ParamOptions,
}

pub(super) fn run(arguments: &Arguments) -> Result<Reply, Failure> {
    if !arguments.expand && !arguments.params.is_empty() {
        let diagnostic = Diagnostic::new("cli-format", "--param", "parameters change the layout of nothing");
        return Err(Failure::one(Kind::Usage, diagnostic.help("they belong to --expand")));
    }
    match &arguments.programs[..] {
        [one] if arguments.expand => expanded(one, &arguments.params),
        [one] if !arguments.write && !arguments.check => Ok(Reply::text(format(&text(one)?))),
        all if arguments.write || arguments.check => {
            let differ = all.iter().map(|path| laid_out(path, arguments.write)).collect::<Result<Vec<_>, _>>()?;
            let faults: Vec<Diagnostic> = differ.into_iter().flatten().collect();
            if faults.is_empty() {
                Ok(Reply::text(String::new()))
            } else {
                Err(Failure::many(Kind::InvalidInput, faults))
            }
        }
        all => {
            let message = format!("{} programs, and one place where they go", all.len());
            let diagnostic = Diagnostic::new("cli-format", "PROGRAMS", message);
            Err(Failure::one(Kind::Usage, diagnostic.help("--write lays out each in its file, --check looks at each")))
        }
    }
}

fn text(path: &Path) -> Result<String, Failure> {
    files::read_text(path, MAX_TEXT as u64)
}

/// The program as it is executed; what numbers the text says besides is counted in a comment.
fn expanded(path: &Path, params: &ParamOptions) -> Result<Reply, Failure> {
    let source = program::read(path, params, DEFAULT_MACHINE)?;
    let mut shown = source.program.to_string();
    if let Some((_, data)) = source.text.as_ref().filter(|(_, data)| data.has_values()) {
        shown += &format!("\n// Beside the program: {}.\n", data.summary());
    }
    Ok(Reply::text(shown))
}

/// Lays out a file; a diagnostic if it is only looked at, and is laid out differently.
fn laid_out(path: &Path, write: bool) -> Result<Option<Diagnostic>, Failure> {
    let before = text(path)?;
    let after = format(&before);
    if before == after {
        return Ok(None);
    }
    if write {
        return files::write(path, after.as_bytes()).map(|()| None);
    }
    let line = before.lines().zip(after.lines()).take_while(|(a, b)| a == b).count() + 1;
    let diagnostic = Diagnostic::new("cli-format", format!("{}:{line}", path.display()), "is laid out differently");
    Ok(Some(diagnostic.help("`wafersim fmt --write` lays it out")))
}
