//! Models and machines that a user names: presets, or files that are read here.
//!
//! **Invariant.** All diagnostics of a file are returned together.
//! **Not here.** What a model or a machine is (`runner`, `models`, `sim_core::arch`).

use crate::fail::Failure;
use crate::files;
use models::hf;
use runner::workload::Request;
use runner::{Error, Workload, machine};
use sim_core::arch::{self, ArchSpec};
use std::path::Path;

/// A model: a preset, or the path of a Hugging Face `config.json`.
///
/// # Errors
/// Every diagnostic of the name or of the file.
pub fn model(name: &str, request: Request) -> Result<Workload, Failure> {
    let path = Path::new(name);
    if path.extension().is_some_and(|e| e == "json") || path.is_file() {
        let text = files::read_text(path, hf::TEXT_MAX as u64)?;
        return Ok(Workload::from_hf_json(&text, &path.display().to_string(), request)?);
    }
    Ok(Workload::preset_with(name, request)?)
}

/// A machine, a preset or the path of a TOML file, in which each of `sets` replaces a number.
///
/// # Errors
/// Every diagnostic of the file, of the changes and of the machine as a whole.
pub fn machine(name: &str, sets: &[String]) -> Result<ArchSpec, Failure> {
    let path = Path::new(name);
    let file = path.extension().is_some_and(|e| e == "toml") || path.is_file();
    let base = match arch::preset(name) {
        Some(arch) => Ok(arch),
        None if file => from_file(path, name),
        None => machine::preset(name),
    };
    Ok(machine::changed(base, sets)?)
}

fn from_file(path: &Path, name: &str) -> Result<ArchSpec, Error> {
    let text = files::read_text(path, arch::MAX_FILE as u64).map_err(Failure::into_error)?;
    ArchSpec::from_toml(&text, name).map_err(Error::Invalid)
}
