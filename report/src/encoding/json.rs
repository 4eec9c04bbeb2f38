//! A result as one JSON document.

use crate::format::{Format, Presentable};
use runner::Error;
use serde::Serialize;
use sim_core::diag::Diagnostic;

/// The format.
pub const FORMAT: Format = Format {
    name: "json",
    about: "One JSON document; failures too, on stderr",
    ending: Some("json"),
    binary: None,
    failures: true,
    encode,
};

fn encode(result: &dyn Presentable) -> Result<Vec<u8>, Error> {
    result.json()
}

/// A value as a JSON document with a line for every value.
///
/// # Errors
/// `cli-json` if it has no form in JSON: a bug of ours.
pub fn document<T: Serialize + ?Sized>(value: &T) -> Result<Vec<u8>, Error> {
    let mut bytes = serde_json::to_vec_pretty(value)
        .map_err(|e| Error::internal(Diagnostic::new("cli-json", "", e.to_string())))?;
    bytes.push(b'\n');
    Ok(bytes)
}
