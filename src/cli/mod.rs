//! The command line: the clap tree, dispatch, and where results and failures go.
//!
//! **Invariant.** Results go to stdout or `-o FILE`, everything else to stderr; the exit status is
//! one of 0 to 6 or 130; no input ends in a panic.
//! **Not here.** What the commands do (one module each).

mod arch;
mod cache;
mod collective;
mod compile;
mod diff;
mod explain;
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
mod simulate;
mod step;
mod trace;
mod train;
mod validate;
mod why;

pub use options::{EngineChoice, FoldChoice, Global, MachineOptions, RunLimits};
pub use output::Output;
use reply::Reply;

use crate::fail::{Failure, Kind};
use crate::manifest;
use clap::{CommandFactory, Parser, Subcommand};
use sim_core::diag::Diagnostic;
use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

const EXAMPLES: &str = "Examples:
  wafersim run cerebras-gpt-111m              one training step on a CS-2
  wafersim train cerebras-gpt-111m            its whole training run
  wafersim simulate examples/hello.wafer      one program in text form
  wafersim arch show --set pe.sram=64KiB      a machine, with the source of each number
  wafersim explain R020                       what a diagnostic means

Exit status: 0 done, 1 a fault of wafersim, 2 usage, 3 invalid input,
4 infeasible or the simulated program failed, 5 refused by a limit, 6 incomplete,
130 interrupted.";

/// A cycle-level simulator of a wafer-scale accelerator running GPT training.
#[derive(Debug, Parser)]
#[command(name = "wafersim", version, about, after_help = EXAMPLES)]
struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Run(run::Arguments),
    Train(train::Arguments),
    Simulate(simulate::Arguments),
    Verify(program::Arguments),
    Compile(compile::Arguments),
    Collective(collective::Arguments),
    Validate(validate::Arguments),
    /// Models known by name
    #[command(subcommand)]
    Models(models::Command),
    /// Machines, with the source of each number
    #[command(subcommand)]
    Arch(arch::Command),
    Diff(diff::Arguments),
    Why(why::Arguments),
    Reproduce(reproduce::Arguments),
    Schema(schema::Arguments),
    Explain(explain::Arguments),
    /// Outcomes of kernels, kept from run to run
    #[command(subcommand)]
    Cache(cache::Command),
    /// Shell completions, on stdout
    #[command(
        after_help = "Example:\n  wafersim completions bash > ~/.local/share/bash-completion/completions/wafersim"
    )]
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
}

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

/// Does what the command says.
fn dispatch(command: Command, output: &Output) -> Result<Reply, Failure> {
    match command {
        Command::Run(arguments) => run::run(&arguments, output),
        Command::Train(arguments) => train::run(&arguments, output),
        Command::Compile(arguments) => compile::run(&arguments, output),
        Command::Collective(arguments) => collective::run(&arguments, output),
        Command::Validate(arguments) => validate::run(&arguments, output),
        Command::Simulate(arguments) => simulate::run(&arguments, output),
        Command::Verify(arguments) => program::verify(&arguments),
        Command::Models(command) => models::run(&command),
        Command::Arch(command) => arch::run(&command),
        Command::Reproduce(arguments) => reproduce::run(&arguments, output),
        Command::Why(arguments) => why::run(&arguments, output),
        Command::Schema(arguments) => schema::run(&arguments),
        Command::Diff(arguments) => diff::run(&arguments),
        Command::Explain(arguments) => explain::run(&arguments),
        Command::Cache(command) => cache::run(&command),
        Command::Completions { shell } => {
            let mut bytes = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "wafersim", &mut bytes);
            Ok(Reply::Bytes(bytes))
        }
    }
}

/// Executes a command line that a report or a manifest has, without the cache, and gives the
/// digest of the result; `at` names the file.
fn again(command: &str, at: &Path, output: &Output) -> Result<String, Failure> {
    match reread(command, at)? {
        Command::Run(arguments) => run::again(&arguments, output),
        Command::Train(arguments) => train::again(&arguments, output),
        Command::Simulate(arguments) => manifest::digest(&simulate::report(&arguments, output)?.0),
        Command::Collective(arguments) => manifest::digest(&collective::report(&arguments)?.0),
        _ => Err(unusable(command, at, "is none that executes a program")),
    }
}

/// Reads a command line that a report or a manifest has.
fn reread(command: &str, at: &Path) -> Result<Command, Failure> {
    let words = manifest::words(command);
    let cli = Cli::try_parse_from(words);
    cli.map(|cli| cli.command).map_err(|e| unusable(command, at, e.to_string().lines().next().unwrap_or("")))
}

fn unusable(command: &str, at: &Path, why: &str) -> Failure {
    let fault = Diagnostic::new("cli-manifest", at.display(), format!("its command `{command}` cannot be used: {why}"));
    Failure::one(Kind::InvalidInput, fault)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tree_is_sound() {
        Cli::command().debug_assert();
    }
}
