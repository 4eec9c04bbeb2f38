//! `wafersim why REPORT.json`: what bounds a step and its kernels.

use super::diff;
use super::options::Format;
use super::run::Arguments as Run;
use super::{Output, json, reread, unusable};
use crate::cache::Cache;
use crate::fail::{Failure, Kind};
use crate::interrupt;
use crate::render::sums;
use crate::render::table::{Table, grouped};
use crate::why::{self, Answer, Executed, LIMITS, Limit};
use crate::{step, systems};
use clap::Args;
use sim_core::arch::ArchSpec;
use sim_core::diag::Diagnostic;
use std::path::PathBuf;

/// Most kernels in the text.
const KERNELS: usize = 24;

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

pub(super) fn run(arguments: &Arguments, output: &Output) -> Result<Vec<u8>, Failure> {
    let report = diff::read(&arguments.report)?;
    let command = report["command"].as_str().unwrap_or("").to_owned();
    let super::Command::Run(wanted) = reread(&command, &arguments.report)? else {
        return Err(unusable(&command, &arguments.report, "is no `wafersim run`"));
    };
    let limits = if arguments.limit.is_empty() { LIMITS.to_vec() } else { arguments.limit.clone() };
    let again = Again::new(&wanted, !arguments.no_cache, limits.len() as u64, output)?;
    let arch = &again.step.arch;
    let executed = again.execute(arch)?;
    same(report["program_hash"].as_str().unwrap_or(""), &executed.hash, arguments)?;
    let base = again.summed(arch, &executed);
    let mut lifted = Vec::new();
    for limit in limits {
        again.bar.inc(1);
        let Some(machine) = limit.lifted(arch) else { continue };
        // A limit of the cluster alone changes nothing on a wafer.
        let other = if machine.wafer_hash() == arch.wafer_hash() { None } else { Some(again.execute(&machine)?) };
        let done = again.summed(&machine, other.as_ref().unwrap_or(&executed));
        output.verbose(&format!("{}: {} s instead of {} s", limit.name, done.seconds, base.seconds));
        lifted.push((limit, machine, done));
    }
    again.bar.finish_and_clear();
    let answer = why::answer(&command, arch, &base, &lifted);
    match output.format {
        Format::Json => json(&answer),
        Format::Csv => Ok(kernels(&answer, usize::MAX).csv().into_bytes()),
        Format::Text => Ok(text(&answer).into_bytes()),
    }
}

/// The report has to be of the kernels that are executed now.
fn same(reported: &str, now: &str, arguments: &Arguments) -> Result<(), Failure> {
    if reported == now {
        return Ok(());
    }
    let message = format!("is of other programs than its command gives now: their hash is {now}, and was {reported}");
    let fault = Diagnostic::new("cli-report", arguments.report.display(), message);
    Err(Failure::one(Kind::InvalidInput, fault.help("write the report again with this version")))
}

/// A compiled step that is executed on several machines.
struct Again<'a> {
    step: super::step::CompiledStep,
    wanted: &'a Run,
    cache: Option<Cache>,
    pool: rayon::ThreadPool,
    bar: indicatif::ProgressBar,
}

impl Again<'_> {
    fn new<'a>(wanted: &'a Run, cache: bool, limits: u64, output: &Output) -> Result<Again<'a>, Failure> {
        let cache = cache.then(Cache::open).flatten();
        interrupt::advise("Outcomes of finished kernels are kept in the cache: the same command goes on from there.");
        let pool = step::pool(wanted.limits.threads())?;
        let step = pool.install(|| wanted.step.compile())?;
        Ok(Again { step, wanted, cache, pool, bar: output.progress(limits, "limits") })
    }

    /// The kernels on a wafer of a machine: always those that were compiled for the report's, at
    /// the machine's rate over the edges.
    fn execute(&self, arch: &ArchSpec) -> Result<step::Executed, Failure> {
        let (compiled, options) = (&self.step.compiled, self.wanted.limits.options(false));
        let plan = self.pool.install(|| step::plan(compiled, &self.step.arch))?.at_rate(&self.step.arch, arch);
        self.pool.install(|| step::execute(plan, arch, &options, self.cache.as_ref(), &|_, _| {}))
    }

    /// What the machine's systems make of executed kernels.
    fn summed(&self, arch: &ArchSpec, done: &step::Executed) -> Executed {
        let compiled = &self.step.compiled;
        let kernels: Vec<_> = step::groups(compiled, done).into_iter().map(crate::summary::kernel).collect();
        let kernels = sums::over_layers(&kernels);
        let cycles: u64 = kernels.iter().map(|k| k.cycles).sum();
        let alone = cycles as f64 / arch.wafer.clock_hz.value as f64;
        let cluster = systems::report(&self.step.workload, arch, compiled, done);
        Executed { seconds: cluster.map_or(alone, |c| c.step_seconds), kernels }
    }
}

fn text(a: &Answer) -> String {
    let mut table = Table::new(&["  limit", "costs %", "step without it, s", "wait", "back-pressure", "lifted"]);
    for l in &a.limits {
        let change = |[with, without]: [u64; 2]| match with {
            0 => "-".to_owned(),
            with if without / with >= 10 => format!("x {}", grouped(without / with)),
            with => format!("{:+.1} %", 100.0 * (without as f64 / with as f64 - 1.0)),
        };
        table.row(vec![
            format!("  {}", l.limit),
            format!("{:.2}", 100.0 * l.saved),
            format!("{:.6}", l.step_seconds),
            change(l.wait),
            change(l.back_pressure),
            l.text.clone(),
        ]);
    }
    format!(
        "{}\n\nThe step takes {:.6} s ({} cycles of a wafer). Lifting one limit at a time:\n{}\nWhat bounds the kernels: cycles that each limit costs, in % of the kernel\n{}\nEvery number is an execution of the same kernels on a machine without the limit. They do not add up:\nbehind a lifted limit stands the next one. A link carries one wavelet per cycle on any machine.\n",
        a.command,
        a.step_seconds,
        grouped(a.step_cycles),
        table.text(),
        kernels(a, KERNELS).text()
    )
}

fn kernels(a: &Answer, most: usize) -> Table {
    let mut table = Table::new(&["kernel", "phase", "cycles", "share %", "bounds"]);
    for k in a.kernels.iter().take(most) {
        let bound = |(limit, without): &(String, u64)| {
            let saved = 100.0 * (1.0 - *without as f64 / k.cycles.max(1) as f64);
            (saved >= 0.05).then(|| format!("{limit} {saved:.1}"))
        };
        let bounds: Vec<String> = k.limits.iter().filter_map(bound).take(5).collect();
        let bounds = if bounds.is_empty() { "none of them alone".to_owned() } else { bounds.join(", ") };
        let share = format!("{:.1}", 100.0 * k.share);
        table.row(vec![k.name.clone(), k.phase.replace('_', " "), grouped(k.cycles), share, bounds]);
    }
    table
}
