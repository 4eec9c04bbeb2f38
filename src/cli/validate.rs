//! `wafersim validate`.

use super::options::{Format, MachineOptions};
use super::{Output, json};
use crate::fail::Failure;
use crate::render::table::Table;
use crate::{machine, render, validate};
use clap::Args;

/// Runs every published case that the project knows: ours, theirs, the error, the source
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  wafersim validate
  wafersim validate --set pe.vector_setup=8      how much the answers depend on a parameter
  wafersim validate --page -o docs/VALIDATION.md")]
pub(super) struct Arguments {
    #[command(flatten)]
    machine: MachineOptions,
    /// The table as a page of the documentation
    #[arg(long)]
    page: bool,
}

pub(super) fn run(arguments: &Arguments, output: &Output) -> Result<Vec<u8>, Failure> {
    let arch = machine::build(&arguments.machine.arch, &arguments.machine.sets)?;
    let cases = validate::cases(&arch)?;
    if arguments.page {
        return Ok(render::validate::page(&cases).into_bytes());
    }
    match output.format {
        Format::Json => json(&cases),
        Format::Text => Ok(render::validate::text(&cases).into_bytes()),
        Format::Csv => {
            let mut table = Table::new(&["case", "kind", "ours", "theirs", "error", "source"]);
            for c in cases {
                let error = c.error.to_string();
                let row =
                    [c.name, c.kind.to_owned(), c.ours.to_string(), c.theirs.to_string(), error, c.source.to_owned()];
                table.row(row.to_vec());
            }
            Ok(table.csv().into_bytes())
        }
    }
}
