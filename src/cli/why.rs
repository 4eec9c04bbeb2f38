//! `wafersim why REPORT.json`: what bounds a step and its kernels.

use super::diff;
use super::output::Output;
use super::reply::Reply;
use super::run::Arguments as RunArguments;
use super::session::Session;
use crate::fail::Failure;
use clap::Args;
use report::why::Answer;
use runner::why::{Baseline, LIMITS, Lifted, Limit};
use runner::{Error, Executor, Job};
use sim_core::diag::Diagnostic;
use std::path::{Path, PathBuf};

/// What bounds a step and its kernels: everything is executed again with one limit lifted at a time
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  wafersim run cerebras-gpt-111m --format json -o out.json
  wafersim why out.json
  wafersim why out.json --limit edges --limit banks")]
pub(super) struct Arguments {
    /// A report of `wafersim run --format json`
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

/// Answers; `run_of` reads the command line that the report at a path has.
pub(super) fn run(
    arguments: &Arguments,
    output: &Output,
    run_of: &dyn Fn(&str, &Path) -> Result<RunArguments, Failure>,
) -> Result<Reply, Failure> {
    let report = diff::read(&arguments.report)?;
    let command = report["command"].as_str().unwrap_or("").to_owned();
    let wanted = run_of(&command, &arguments.report)?;
    let job = wanted.step.job()?;
    let session = Session::new(&wanted.limits, !arguments.no_cache, output)?;
    let hash = report["program_hash"].as_str().unwrap_or("");
    let again = Again { job: &job, command: &command, hash, arguments, output };
    Ok(Reply::of(session.run_silently(|executor| again.answer(executor))?))
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
        let limits = if self.arguments.limit.is_empty() { &LIMITS[..] } else { &self.arguments.limit };
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
