//! The command line: options, and where results and failures go.
//!
//! **Invariant.** Results go to stdout or `-o FILE`, everything else to stderr; the exit status is
//! one of 0 to 6 or 130; no input ends in a panic.
//! **Not here.** What the commands do (one module each), and which there are (`command`).

mod arch;
mod cache;
mod collective;
mod command;
mod compile;
mod diff;
mod explain;
mod fmt;
mod inside;
mod map;
mod models;
mod options;
mod output;
mod program;
mod provenance;
mod reply;
mod reproduce;
mod run;
mod schema;
mod session;
mod shown;
mod simulate;
mod step;
mod trace;
mod train;
mod validate;
mod why;

pub use options::{EngineChoice, FoldChoice, Global, MachineOptions, RunLimits};
pub use output::Output;

use crate::fail::Kind;
use clap::Parser;
use command::{Cli, dispatch};
use std::ffi::OsString;
use std::process::ExitCode;

/// Runs a command line, of which the first word is the program.
#[must_use]
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    crate::interrupt::install();
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    let run = || ExitCode::from(run(&arguments));
    // A panic has printed its message to stderr by the time it is caught here.
    std::panic::catch_unwind(run).unwrap_or(ExitCode::from(Kind::Internal.status()))
}

/// Runs a command line, and returns the exit status.
fn run(arguments: &[OsString]) -> u8 {
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(error) => {
            let status = if error.use_stderr() { Kind::Usage.status() } else { 0 };
            // Nobody is left to tell when even this cannot be printed.
            let _ = error.print();
            return status;
        }
    };
    let output = Output::new(&cli.global, arguments);
    let done = output.check().and_then(|()| dispatch(cli.command, &output)).and_then(|result| output.finish(&result));
    match done {
        Ok(()) => 0,
        Err(failure) => {
            output.failure(&failure);
            failure.kind.status()
        }
    }
}
