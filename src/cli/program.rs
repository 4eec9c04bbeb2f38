//! Programs on the command line: reading them, and `wafersim verify`.

use super::options::MachineOptions;
use super::output::Output;
use super::reply::Reply;
use crate::fail::{Failure, Kind};
use crate::manifest::quoted;
use crate::{files, inputs, npy};
use clap::Args;
use report::table::Table;
use report::{Document, Tabular, row};
use runner::Error;
use runner::program::Numbers;
use serde::Serialize;
use sim_core::codec;
use sim_core::diag::Diagnostic;
use sim_core::program::content_hash_hex;
use sim_core::program::parse::{self, Array, Data, Loader, MAX_TEXT, SourceMap};
use sim_core::program::verify::lints;
use sim_core::program::{self, Program};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Kind under which programs are stored.
pub(super) const STORED: &str = "program/1";
/// How a stored program begins.
const MAGIC: &[u8] = b"wafersim";

/// Runs the checker on a program
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  wafersim verify examples/hello.wafer --arch teaching")]
pub(super) struct Arguments {
    /// A program in text form (.wafer) or stored (.wbin)
    program: PathBuf,
    #[command(flatten)]
    params: ParamOptions,
    #[command(flatten)]
    machine: MachineOptions,
}

/// Values of a program's parameters.
#[derive(Debug, Clone, Default, Args)]
pub(super) struct ParamOptions {
    /// Sets a parameter of the program; may be repeated
    #[arg(long = "param", value_name = "NAME=VALUE", value_parser = assignment)]
    params: Vec<(String, String)>,
}

impl ParamOptions {
    /// Whether there is none.
    pub(super) fn is_empty(&self) -> bool {
        self.params.is_empty()
    }

    /// The options as on a command line.
    pub(super) fn command(&self) -> String {
        self.params.iter().map(|(name, value)| format!(" --param {}", quoted(&format!("{name}={value}")))).collect()
    }
}

/// `NAME=VALUE` in its two parts.
fn assignment(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.trim().is_empty() => Ok((name.trim().to_owned(), value.trim().to_owned())),
        _ => Err("write NAME=VALUE, such as n=64".to_owned()),
    }
}

/// Included files, in the folder of the file that includes them.
#[derive(Default)]
struct Folder {
    /// What was read.
    read: Vec<PathBuf>,
}

impl Loader for Folder {
    fn text(&mut self, path: &str, from: &str) -> Result<(String, String), String> {
        let file = Path::new(from).parent().unwrap_or(Path::new("")).join(path);
        let text =
            files::read_text(&file, MAX_TEXT as u64).map_err(|failure| failure.diagnostics[0].message.clone())?;
        self.read.push(file.clone());
        let name = std::fs::canonicalize(&file).ok().filter(|_| file.is_absolute()).unwrap_or(file);
        Ok((name.display().to_string(), text))
    }

    fn array(&mut self, path: &str, from: &str) -> Result<Array, String> {
        let file = Path::new(from).parent().unwrap_or(Path::new("")).join(path);
        let bytes = files::read(&file, npy::LARGEST).map_err(|failure| failure.diagnostics[0].message.clone())?;
        let array = npy::array(&bytes);
        self.read.push(file);
        array
    }
}

/// A program with what the text says beside it.
pub(super) struct Source {
    pub(super) program: Program,
    /// Where its parts stand, and the numbers that it says; None for a stored program.
    pub(super) text: Option<(SourceMap, Data)>,
    /// What is suspicious about it.
    pub(super) warnings: Vec<Diagnostic>,
    /// Files that it was read from, beside its own.
    pub(super) read: Vec<PathBuf>,
}

impl Source {
    /// Adds to diagnostics where in the text they belong.
    pub(super) fn located(&self, diagnostics: Vec<Diagnostic>) -> Vec<Diagnostic> {
        match &self.text {
            Some((map, _)) => map.located(diagnostics),
            None => diagnostics,
        }
    }

    /// The numbers that a run with values begins with.
    pub(super) fn numbers(&self) -> Numbers<'_> {
        match &self.text {
            Some((map, data)) => Numbers::Given(data, map),
            None => Numbers::Zero,
        }
    }
}

#[derive(Serialize)]
struct Verified {
    program: String,
    program_hash: String,
    width: u32,
    height: u32,
    images: usize,
    routes: usize,
    #[serde(rename = "faults")]
    diagnostics: Vec<Diagnostic>,
    /// The file, and the name of the machine.
    #[serde(skip)]
    of: (PathBuf, String),
}

impl Tabular for Verified {
    fn table(&self) -> Table {
        let mut table = Table::new(&["program", "width", "height", "images", "routes", "faults"]);
        let name = self.program.as_str();
        table.row(row![name, self.width, self.height, self.images, self.routes, self.diagnostics.len()]);
        table
    }
}

impl Document for Verified {
    fn text(&self) -> String {
        format!("{}: no faults on {}\n", self.of.0.display(), self.of.1)
    }
}

/// Reads a program in either form, for the machine of this name.
pub(super) fn read(path: &Path, params: &ParamOptions, machine: &str) -> Result<Source, Failure> {
    let bytes = files::read(path, codec::MAX_PAYLOAD)?;
    let invalid =
        |code, message: String| Failure::one(Kind::InvalidInput, Diagnostic::new(code, path.display(), message));
    if bytes.starts_with(MAGIC) {
        if let Some((name, _)) = params.params.first() {
            let message = format!("a stored program has no parameters, and `{name}` is given");
            return Err(invalid("cli-stored", message));
        }
        let program = codec::decode(STORED, &bytes).map_err(|e| invalid("cli-stored", e.to_string()))?;
        return Ok(Source { warnings: lints(&program, &BTreeSet::new()), program, text: None, read: Vec::new() });
    }
    if bytes.len() > MAX_TEXT {
        return Err(invalid("cli-read", format!("the text has {} bytes; at most {MAX_TEXT} are read", bytes.len())));
    }
    let text = String::from_utf8(bytes).map_err(|e| {
        invalid("cli-read", format!("neither text nor a stored program (byte {})", e.utf8_error().valid_up_to()))
    })?;
    let mut folder = Folder::default();
    let options = parse::Options { params: &params.params, machine, loader: &mut folder };
    let unit = parse::read(&text, &path.display().to_string(), options)
        .map_err(|diagnostics| Failure::many(Kind::InvalidInput, diagnostics))?;
    Ok(Source { program: unit.program, text: Some((unit.map, unit.data)), warnings: unit.warnings, read: folder.read })
}

/// A program in the form that the extension names.
pub(super) fn bytes(path: Option<&Path>, program: &Program) -> Vec<u8> {
    if path.is_some_and(|p| p.extension().is_some_and(|e| e == "wbin")) {
        codec::encode(STORED, program)
    } else {
        program.to_string().into_bytes()
    }
}

pub(super) fn verify(arguments: &Arguments, output: &Output) -> Result<Reply, Failure> {
    let arch = inputs::machine(&arguments.machine.arch, &arguments.machine.sets)?;
    let source = read(&arguments.program, &arguments.params, &arch.name)?;
    for warning in &source.warnings {
        output.warn(&warning.to_string());
    }
    let diagnostics = source.located(program::verify(&source.program, &arch));
    let program = source.program;
    if !diagnostics.is_empty() {
        return Err(Error::of_program(diagnostics).into());
    }
    let grid = program.grid();
    Ok(Reply::of(Verified {
        program_hash: content_hash_hex(&program),
        width: grid.width,
        height: grid.height,
        images: program.images.len(),
        routes: program.routes.len(),
        program: program.name,
        diagnostics,
        of: (arguments.program.clone(), arch.name),
    }))
}
