//! `wafersim why REPORT.json|PROGRAM`: what bounds a step and its kernels, or a program.

use super::diff;
use super::output::Output;
use super::reply::Reply;
use super::run::Arguments as RunArguments;
use super::session::Session;
use super::simulate;
use crate::fail::Failure;
use crate::manifest::quoted;
use clap::Args;
use report::run::RUN_SCHEMA;
use report::simulate::SIMULATE_SCHEMA;
use report::why::{Answer, ProgramAnswer};
use runner::why::{Baseline, LIMITS, Lifted, Limit};
use runner::{Error, Executor, Job};
use sim_core::diag::Diagnostic;
use std::path::{Path, PathBuf};

/// What bounds a step and its kernels, or a program: everything is executed again with one limit lifted at a time
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  wafersim run cerebras-gpt-111m --format json -o out.json
  wafersim why out.json
  wafersim why out.json --limit edges --limit banks
  wafersim why examples/hello.wafer")]
pub(super) struct Arguments {
    /// A report of `wafersim run` or `simulate --format json`, or a program (.wafer, .wbin)
    report: PathBuf,
    /// Lifts only this limit; may be repeated
    #[arg(long, value_name = "NAME", value_parser = limit)]
    limit: Vec<Limit>,
    /// Executes every program, and keeps no outcome
    #[arg(long)]
    no_cache: bool,
}

fn limit(text: &str) -> Result<Limit, String> {
    let names = || LIMITS.iter().map(|l| l.name).collect::<Vec<_>>().join(", ");
    LIMITS.into_iter().find(|l| l.name == text).ok_or_else(|| format!("one of {}", names()))
}

/// What is asked about.
pub(super) enum Asked {
    /// A step.
    Step(Box<RunArguments>),
    /// A program.
    Program(Box<simulate::Arguments>),
}

/// Answers; `asked` reads the command line that the report at a path has.
pub(super) fn run(
    arguments: &Arguments,
    output: &Output,
    asked: &dyn Fn(&str, &Path) -> Result<Asked, Failure>,
) -> Result<Reply, Failure> {
    let path = &arguments.report;
    if path.extension().is_some_and(|ending| ending == "wafer" || ending == "wbin") {
        let command = format!("wafersim simulate {}", quoted(&path.display().to_string()));
        let Asked::Program(program) = asked(&command, path)? else { unreachable!("the command says simulate") };
        return of_program(arguments, &program, None, output);
    }
    let report = diff::read_as(path, &[RUN_SCHEMA, SIMULATE_SCHEMA])?;
    let command = report["command"].as_str().unwrap_or("").to_owned();
    let wanted = match asked(&command, path)? {
        Asked::Step(wanted) => wanted,
        Asked::Program(program) => return of_program(arguments, &program, report["program_hash"].as_str(), output),
    };
    let job = wanted.step.job()?;
    let session = Session::new(&wanted.limits, !arguments.no_cache, output)?;
    let hash = report["program_hash"].as_str().unwrap_or("");
    let again = Again { job: &job, command: &command, hash, arguments, output };
    Ok(Reply::of(session.run_silently(|executor| again.answer(executor))?))
}

/// Executes a program on its machine, and on machines without one limit each.
fn of_program(
    arguments: &Arguments,
    program: &simulate::Arguments,
    hash: Option<&str>,
    output: &Output,
) -> Result<Reply, Failure> {
    let arch = simulate::machine(program)?;
    let whole = simulate::report_on(program, arch.clone(), output)?;
    whole.finished()?;
    same(hash.unwrap_or(&whole.report.program_hash), &whole.report.program_hash, arguments)?;
    let lifted = simulate::without(program, &arch, arguments.limits(), output)?;
    Ok(Reply::of(ProgramAnswer::of(&arch, &whole.report, &lifted)))
}

impl Arguments {
    /// The limits that are lifted.
    fn limits(&self) -> &[Limit] {
        if self.limit.is_empty() { &LIMITS[..] } else { &self.limit }
    }
}

/// A report's step, to be executed again.
struct Again<'a> {
    job: &'a Job,
    command: &'a str,
    /// Hash of the programs that the report is of.
    hash: &'a str,
    arguments: &'a Arguments,
    output: &'a Output,
}

impl Again<'_> {
    fn answer(&self, executor: &Executor<'_>) -> Result<Answer, Error> {
        let limits = self.arguments.limits();
        let bar = self.output.progress(limits.len() as u64, "limits");
        let step = self.job.compile()?;
        let baseline = Baseline::new(&step, *executor)?;
        same(self.hash, baseline.hash(), self.arguments)?;
        let seconds = baseline.timed.seconds;
        let lifted = baseline.without(limits, &mut |lifted: Option<&Lifted>| {
            bar.inc(1);
            if let Some(l) = lifted {
                self.output.verbose(&format!("{}: {} s instead of {seconds} s", l.limit.name, l.step.seconds));
            }
        })?;
        bar.finish_and_clear();
        Ok(Answer::of(self.command, &step.arch, &baseline.timed, &lifted))
    }
}

/// The report has to be of the kernels that are executed now.
fn same(reported: &str, now: &str, arguments: &Arguments) -> Result<(), Error> {
    if reported == now {
        return Ok(());
    }
    let message = format!("is of other programs than its command gives now: their hash is {now}, and was {reported}");
    let diagnostic = Diagnostic::new("cli-report", arguments.report.display(), message);
    Err(Error::invalid(diagnostic.help("write the report again with this version")))
}
