//! Where results, failures, warnings and progress go.

use super::options::{Color, Format, FormatChoice, Global};
use crate::fail::{Failure, Kind};
use crate::files;
use crate::manifest::{FileHash, Manifest};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use sim_core::diag::Diagnostic;
use std::ffi::OsString;
use std::io::{ErrorKind, IsTerminal, Write};
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

/// The streams of this process, as the options want them.
#[derive(Debug)]
pub struct Output {
    /// Form of the result.
    pub format: Format,
    /// Where the result goes; stdout if there is none.
    pub file: Option<PathBuf>,
    /// Whether the table becomes a Parquet file.
    parquet: bool,
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
        let choice = global.format.or(file.map(FormatChoice::of)).unwrap_or(FormatChoice::Text);
        let (format, parquet) = match choice {
            FormatChoice::Text => (Format::Text, false),
            FormatChoice::Json => (Format::Json, false),
            FormatChoice::Csv => (Format::Csv, false),
            FormatChoice::Parquet => (Format::Csv, true),
        };
        Output {
            format,
            parquet,
            file: global.output.clone(),
            documents: global.format == Some(FormatChoice::Json),
            quiet: global.quiet,
            verbose: global.verbose > 0,
            color,
            arguments: arguments.iter().map(|word| word.to_string_lossy().into_owned()).collect(),
            manifest: Mutex::default(),
        }
    }

    /// Whether the options go together.
    ///
    /// # Errors
    /// `cli-parquet` for a Parquet file without a name.
    pub fn check(&self) -> Result<(), Failure> {
        if self.parquet && self.file.is_none() {
            let fault = Diagnostic::new("cli-parquet", "--format", "a Parquet file does not go to stdout");
            return Err(Failure::one(Kind::Usage, fault.help("name a file: -o FILE.parquet")));
        }
        Ok(())
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

    /// Writes the result to its file, or to stdout, and then the manifest.
    ///
    /// # Errors
    /// If one cannot be written.
    pub fn finish(&self, bytes: &[u8]) -> Result<(), Failure> {
        let table = if self.parquet { Some(report::encoding::parquet::of_csv(bytes)?) } else { None };
        let bytes = table.as_deref().unwrap_or(bytes);
        self.result(bytes)?;
        let manifest = self.manifest.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some((path, mut manifest)) = manifest else { return Ok(()) };
        manifest.outputs.extend(self.file.as_ref().map(|file| FileHash::of_bytes(file, bytes)));
        files::write(&path, &super::json(&manifest)?)
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
        if !self.quiet {
            self.say(&format!("\x1b[1;33mwarning\x1b[0m: {text}\n"));
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

/// Faults with their codes in red.
fn colored(text: &str) -> String {
    text.lines()
        .map(|line| match line.strip_prefix("error[").and_then(|rest| rest.split_once(']')) {
            Some((code, rest)) => format!("\x1b[1;31merror[{code}]\x1b[0m{rest}\n"),
            None => format!("{line}\n"),
        })
        .collect()
}
