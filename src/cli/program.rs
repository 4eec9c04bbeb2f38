//! Programs on the command line: reading them, and `wafersim verify`.

use super::options::MachineOptions;
use super::reply::Reply;
use crate::fail::{Failure, Kind};
use crate::{files, inputs};
use clap::Args;
use report::table::Table;
use report::{Document, Tabular, row};
use runner::Error;
use serde::Serialize;
use sim_core::codec;
use sim_core::diag::Diagnostic;
use sim_core::program::content_hash_hex;
use sim_core::program::{self, Program, parse::MAX_TEXT};
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
    machine: MachineOptions,
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

/// Reads a program in either form.
pub(super) fn read(path: &Path) -> Result<Program, Failure> {
    let bytes = files::read(path, codec::MAX_PAYLOAD)?;
    let invalid =
        |code, message: String| Failure::one(Kind::InvalidInput, Diagnostic::new(code, path.display(), message));
    if bytes.starts_with(MAGIC) {
        return codec::decode(STORED, &bytes).map_err(|e| invalid("cli-stored", e.to_string()));
    }
    if bytes.len() > MAX_TEXT {
        return Err(invalid("cli-read", format!("the text has {} bytes; at most {MAX_TEXT} are read", bytes.len())));
    }
    let text = String::from_utf8(bytes).map_err(|e| {
        invalid("cli-read", format!("neither text nor a stored program (byte {})", e.utf8_error().valid_up_to()))
    })?;
    program::parse(&text, &path.display().to_string())
        .map_err(|diagnostics| Failure::many(Kind::InvalidInput, diagnostics))
}

/// A program in the form that the extension names.
pub(super) fn bytes(path: Option<&Path>, program: &Program) -> Vec<u8> {
    if path.is_some_and(|p| p.extension().is_some_and(|e| e == "wbin")) {
        codec::encode(STORED, program)
    } else {
        program.to_string().into_bytes()
    }
}

pub(super) fn verify(arguments: &Arguments) -> Result<Reply, Failure> {
    let arch = inputs::machine(&arguments.machine.arch, &arguments.machine.sets)?;
    let program = read(&arguments.program)?;
    let diagnostics = program::verify(&program, &arch);
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
