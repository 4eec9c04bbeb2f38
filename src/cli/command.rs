//! Which commands there are, and which module does each of them.
//!
//! **Invariant.** A command that has to read another command line, such as that of a report, is handed
//! the function that does; no command knows this list.
//! **Not here.** What the commands do (one module each).

use super::options::Global;
use super::output::Output;
use super::reply::Reply;
use super::{
    arch, cache, collective, compile, diff, explain, fmt, models, program, reproduce, run, schema, simulate, train,
    validate, why,
};
use crate::fail::{Failure, Kind};
use crate::manifest;
use clap::{CommandFactory, Parser, Subcommand};
use sim_core::diag::Diagnostic;
use std::path::Path;

const EXAMPLES: &str = "Examples:
  wafersim run cerebras-gpt-111m              one training step on a CS-2
  wafersim train cerebras-gpt-111m            its whole training run
  wafersim simulate examples/hello.wafer      one program in text form
  wafersim arch show --set pe.sram=64KiB      a machine, with the source of each number
  wafersim explain R020                       what a diagnostic means

Exit status: 0 done, 1 a bug of wafersim, 2 usage, 3 invalid input,
4 infeasible or the simulated program failed, 5 refused by a limit,
6 some models of several failed, 130 interrupted.";

/// A cycle-level simulator of a wafer-scale accelerator running GPT training.
#[derive(Debug, Parser)]
#[command(name = "wafersim", version, about, after_help = EXAMPLES)]
pub(super) struct Cli {
    #[command(flatten)]
    pub(super) global: Global,
    #[command(subcommand)]
    pub(super) command: Command,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    Run(run::Arguments),
    Train(train::Arguments),
    Simulate(simulate::Arguments),
    Verify(program::Arguments),
    Fmt(fmt::Arguments),
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

/// Does what the command says.
pub(super) fn dispatch(command: Command, output: &Output) -> Result<Reply, Failure> {
    match command {
        Command::Run(arguments) => run::run(&arguments, output),
        Command::Train(arguments) => train::run(&arguments, output),
        Command::Compile(arguments) => compile::run(&arguments, output),
        Command::Collective(arguments) => collective::run(&arguments, output),
        Command::Validate(arguments) => validate::run(&arguments, output),
        Command::Simulate(arguments) => simulate::run(&arguments, output),
        Command::Fmt(arguments) => fmt::run(&arguments),
        Command::Verify(arguments) => program::verify(&arguments, output),
        Command::Models(command) => models::run(&command),
        Command::Arch(command) => arch::run(&command),
        Command::Reproduce(arguments) => reproduce::run(&arguments, output, &|command, at| again(command, at, output)),
        Command::Why(arguments) => why::run(&arguments, output, &asked),
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
        Command::Simulate(arguments) => manifest::digest(&simulate::report(&arguments, output)?.report),
        Command::Collective(arguments) => manifest::digest(&collective::report(&arguments, output)?.report),
        _ => Err(unusable(command, at, "is none that executes a program")),
    }
}

/// The `wafersim run` or `simulate` that a report has; `at` names the report.
fn asked(command: &str, at: &Path) -> Result<why::Asked, Failure> {
    match reread(command, at)? {
        Command::Run(arguments) => Ok(why::Asked::Step(Box::new(arguments))),
        Command::Simulate(arguments) => Ok(why::Asked::Program(Box::new(arguments))),
        _ => Err(unusable(command, at, "is neither `wafersim run` nor `wafersim simulate`")),
    }
}

/// Reads a command line that a report or a manifest has.
fn reread(command: &str, at: &Path) -> Result<Command, Failure> {
    let words = manifest::words(command);
    let cli = Cli::try_parse_from(words);
    cli.map(|cli| cli.command).map_err(|e| unusable(command, at, e.to_string().lines().next().unwrap_or("")))
}

fn unusable(command: &str, at: &Path, why: &str) -> Failure {
    let diagnostic =
        Diagnostic::new("cli-manifest", at.display(), format!("its command `{command}` cannot be used: {why}"));
    Failure::one(Kind::InvalidInput, diagnostic)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tree_is_sound() {
        Cli::command().debug_assert();
    }
}
