//! `wafersim explain CODE`.

use super::options::Format;
use super::{Output, json};
use crate::fail::{self, Failure, Kind};
use clap::Args;
use serde::Serialize;
use sim_core::diag::{self, Diagnostic};

/// What a diagnostic means and how to mend it
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  wafersim explain R020\n  wafersim explain hf-unsupported")]
pub(super) struct Arguments {
    /// The code in brackets after `error`, such as R020
    code: String,
}

#[derive(Serialize)]
struct Explanation<'a> {
    code: &'a str,
    text: String,
}

pub(super) fn run(arguments: &Arguments, output: &Output) -> Result<Vec<u8>, Failure> {
    let code = arguments.code.trim();
    let Some(text) = text(code).or_else(|| text(&code.to_uppercase())) else {
        let message = format!("there is no diagnostic `{code}`");
        let help = "codes look like R020, A001, hf-unsupported, run-deadlock; they stand in brackets after `error`";
        return Err(Failure::one(Kind::InvalidInput, Diagnostic::new("cli-code", "CODE", message).help(help)));
    };
    match output.format {
        Format::Json => json(&Explanation { code, text }),
        Format::Text | Format::Csv => Ok(text.into_bytes()),
    }
}

/// The meaning of a code of any crate, with its code in front.
fn text(code: &str) -> Option<String> {
    if let Some(section) = diag::explain(code) {
        return Some(format!("{section}\n"));
    }
    let sentence = fail::explain(code).or_else(|| models::diagnostic::explain(code))?;
    Some(format!("{code}\n\n{sentence}\n"))
}
