//! `wafersim explain CODE`.

use super::reply::Reply;
use crate::fail::{self, Failure, Kind};
use clap::Args;
use report::Presentable;
use report::encoding::json;
use report::table::Table;
use runner::Error;
use serde::Serialize;
use sim_core::diag::{self, Diagnostic};

/// What a diagnostic means and how to mend it
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  wafersim explain R020\n  wafersim explain hf-unsupported")]
pub(super) struct Arguments {
    /// The code in brackets after `error`, such as R020
    code: String,
}

/// A code with its meaning: words, and no table.
#[derive(Serialize)]
struct Explanation {
    code: String,
    text: String,
}

impl Presentable for Explanation {
    fn json(&self) -> Result<Vec<u8>, Error> {
        json::document(self)
    }

    fn table(&self) -> Option<Table> {
        None
    }

    fn text(&self) -> String {
        self.text.clone()
    }
}

pub(super) fn run(arguments: &Arguments) -> Result<Reply, Failure> {
    let code = arguments.code.trim();
    let Some(text) = text(code).or_else(|| text(&code.to_uppercase())) else {
        let message = format!("there is no diagnostic `{code}`");
        let help = "codes look like R020, A001, hf-unsupported, run-deadlock; they stand in brackets after `error`";
        return Err(Failure::one(Kind::InvalidInput, Diagnostic::new("cli-code", "CODE", message).help(help)));
    };
    Ok(Reply::of(Explanation { code: code.to_owned(), text }))
}

/// The meaning of a code of any crate, with its code in front.
fn text(code: &str) -> Option<String> {
    if let Some(section) = diag::explain(code) {
        return Some(format!("{section}\n"));
    }
    let sentence = fail::explain(code)?;
    Some(format!("{code}\n\n{sentence}\n"))
}
