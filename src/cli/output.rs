//! Where results, failures, warnings and progress go.

use super::options::{Color, Global};
use super::reply::Reply;
use crate::fail::{Failure, Kind};
use crate::files;
use crate::manifest::{FileHash, Manifest};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use report::Format;
use report::encoding::{self, json};
use sim_core::diag::Diagnostic;
use std::borrow::Cow;
use std::ffi::OsString;
use std::io::{ErrorKind, IsTerminal, Write};
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

/// The streams of this process, as the options want them.
#[derive(Debug)]
pub struct Output {
    /// Form of the result.
    format: &'static Format,
    /// Where the result goes; stdout if there is none.
    pub file: Option<PathBuf>,
    /// Whether failures are documents too.
    documents: bool,
    quiet: bool,
    verbose: bool,
    color: anstream::ColorChoice,
    /// The command line, with the program.
    pub(super) arguments: Vec<String>,
    /// Written once the result is, and where.
    manifest: Mutex<Option<(PathBuf, Manifest)>>,
}

impl Output {
    /// As the options say.
    #[must_use]
    pub fn new(global: &Global, arguments: &[OsString]) -> Output {
        let color = match global.color {
            Color::Auto => anstream::ColorChoice::Auto,
            Color::Always => anstream::ColorChoice::Always,
            Color::Never => anstream::ColorChoice::Never,
        };
        let file = global.output.as_deref();
        let meant = file.map_or(&encoding::text::FORMAT, encoding::of_file);
        Output {
            format: global.format.unwrap_or(meant),
            file: global.output.clone(),
            documents: global.format.is_some_and(|format| format.failures),
            quiet: global.quiet,
            verbose: global.verbose > 0,
            color,
            arguments: arguments.iter().map(|word| word.to_string_lossy().into_owned()).collect(),
            manifest: Mutex::default(),
        }
    }

    /// An output without progress and warnings, for what is executed again.
    pub(super) fn silent(&self) -> Output {
        Output {
            format: self.format,
            file: None,
            documents: self.documents,
            quiet: true,
            verbose: false,
            color: self.color,
            arguments: self.arguments.clone(),
            manifest: Mutex::default(),
        }
    }

    /// Whether the options go together.
    ///
    /// # Errors
    /// `cli-parquet` for a file of bytes without a name.
    pub fn check(&self) -> Result<(), Failure> {
        let (Some(kind), None) = (self.format.binary, &self.file) else { return Ok(()) };
        let message = format!("a {kind} file does not go to stdout");
        let help = format!("name a file: -o FILE.{}", self.format.ending.unwrap_or_default());
        Err(Failure::one(Kind::Usage, Diagnostic::new("cli-parquet", "--format", message).help(help)))
    }

    /// Origin of an option that has a default.
    pub(super) fn origin(&self, option: &str) -> &'static str {
        let named =
            |word: &String| word == option || word.strip_prefix(option).is_some_and(|rest| rest.starts_with('='));
        if self.arguments.iter().any(named) { "command line" } else { "default" }
    }

    /// Keeps a manifest, which is written behind the result.
    pub(super) fn attach(&self, path: PathBuf, manifest: Manifest) {
        *self.manifest.lock().unwrap_or_else(PoisonError::into_inner) = Some((path, manifest));
    }

    /// Writes the result, in the format that is wanted, to its file or to stdout, and then the manifest.
    ///
    /// # Errors
    /// If one cannot be written, or the result is not as its input expects.
    pub(super) fn finish(&self, reply: &Reply) -> Result<(), Failure> {
        let bytes: Cow<'_, [u8]> = match reply {
            Reply::Result(result) | Reply::Unmet(result, _) => (self.format.encode)(result.as_ref())?.into(),
            Reply::Bytes(bytes) => bytes.into(),
        };
        self.result(&bytes)?;
        let manifest = self.manifest.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some((path, mut manifest)) = manifest {
            manifest.outputs.extend(self.file.as_ref().map(|file| FileHash::of_bytes(file, &bytes)));
            files::write(&path, &json::document(&manifest)?)?;
        }
        if let Reply::Unmet(_, failure) = reply { Err(failure.clone()) } else { Ok(()) }
    }

    /// Writes the result to its file, or to stdout.
    ///
    /// # Errors
    /// If it cannot be written. A reader that has gone away is not an error.
    pub fn result(&self, bytes: &[u8]) -> Result<(), Failure> {
        if bytes.is_empty() {
            return Ok(());
        }
        if let Some(path) = &self.file {
            return files::write(path, bytes);
        }
        let mut stdout = std::io::stdout().lock();
        match stdout.write_all(bytes).and_then(|()| stdout.flush()) {
            Err(e) if e.kind() != ErrorKind::BrokenPipe => {
                Err(Failure::one(Kind::Internal, Diagnostic::new("cli-write", "stdout", e.to_string())))
            }
            _ => Ok(()),
        }
    }

    /// Says why there is no result.
    pub fn failure(&self, failure: &Failure) {
        if self.documents {
            self.say(&failure.json());
        } else {
            self.say(&colored(&failure.text()));
        }
    }

    /// Something that the user should know although there is a result.
    pub fn warn(&self, text: &str) {
        let known = text.strip_prefix("warning[").and_then(|rest| rest.split_once(']'));
        match known {
            _ if self.quiet => {}
            Some((code, rest)) => self.say(&format!("\x1b[1;33mwarning[{code}]\x1b[0m{rest}\n")),
            None => self.say(&format!("\x1b[1;33mwarning\x1b[0m: {text}\n")),
        }
    }

    /// Something for `-v`.
    pub fn verbose(&self, text: &str) {
        if self.verbose && !self.quiet {
            self.say(&format!("{text}\n"));
        }
    }

    /// What is being done now, for somebody who waits at a terminal.
    pub fn stage(&self, text: &str) {
        if !self.quiet && (self.verbose || std::io::stderr().is_terminal()) {
            self.say(&format!("{text}\n"));
        }
    }

    fn say(&self, text: &str) {
        let mut stderr = anstream::AutoStream::new(std::io::stderr(), self.color).lock();
        // Nobody is left to tell when even this cannot be printed.
        let _ = stderr.write_all(text.as_bytes());
    }

    /// A progress bar over `length` things; hidden unless stderr is a terminal.
    #[must_use]
    pub fn progress(&self, length: u64, what: &str) -> ProgressBar {
        if self.quiet || !std::io::stderr().is_terminal() {
            return ProgressBar::with_draw_target(Some(length), ProgressDrawTarget::hidden());
        }
        let style =
            ProgressStyle::with_template("{msg:>12} [{bar:32}] {pos}/{len}  {per_sec}, {elapsed} gone, {eta} left");
        let bar = ProgressBar::new(length).with_message(what.to_owned());
        match style {
            Ok(style) => bar.with_style(style.progress_chars("=> ")),
            Err(_) => bar,
        }
    }
}

/// Diagnostics with their codes in red.
fn colored(text: &str) -> String {
    text.lines()
        .map(|line| match line.strip_prefix("error[").and_then(|rest| rest.split_once(']')) {
            Some((code, rest)) => format!("\x1b[1;31merror[{code}]\x1b[0m{rest}\n"),
            None => format!("{line}\n"),
        })
        .collect()
}
