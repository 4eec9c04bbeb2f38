//! `wafersim run MODEL`.

use super::options::{Format, RunLimits};
use super::provenance::{self, Made, Making, ManifestOptions};
use super::step::{CompiledStep, StepOptions};
use super::{Output, json};
use crate::cache::Cache;
use crate::fail::Failure;
use crate::report::{RUN_SCHEMA, RunReport, Simulation, peak_rss_bytes};
use crate::step::Executed;
use crate::summary::{self, Run};
use crate::{interrupt, manifest, render, step};
use clap::Args;
use std::path::PathBuf;

/// Compiles one training step, executes it on the simulated wafer, reports throughput and memory
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  wafersim run cerebras-gpt-111m
  wafersim run ./config.json --batch 8 --seq-len 1024 --format json
  wafersim run cerebras-gpt-111m --set pe.sram=64KiB --plot heat.svg")]
pub(super) struct Arguments {
    #[command(flatten)]
    step: StepOptions,
    #[command(flatten)]
    limits: RunLimits,
    /// Draws where the PEs of the mesh spend their cycles
    #[arg(long, value_name = "FILE.svg")]
    plot: Option<PathBuf>,
    /// Writes the report as one page for a browser; with --plot, the picture is in it
    #[arg(long, value_name = "FILE.html")]
    report: Option<PathBuf>,
    /// Executes every program, and keeps no outcome (see `wafersim cache`)
    #[arg(long)]
    no_cache: bool,
    #[command(flatten)]
    manifest: ManifestOptions,
}

/// A step that was executed, and its report.
pub(super) struct Finished {
    pub(super) step: CompiledStep,
    pub(super) executed: Executed,
    pub(super) report: RunReport,
}

pub(super) fn run(arguments: &Arguments, output: &Output) -> Result<Vec<u8>, Failure> {
    let mut making = Making::start();
    let done = finished(arguments, !arguments.no_cache, &making, output)?;
    let Finished { step, executed, report } = &done;
    let picture = executed.heat.as_ref().map(|heat| render::heatmap::svg(heat, report)).transpose()?;
    if let (Some(path), Some(picture)) = (&arguments.plot, &picture) {
        making.write(path, picture.as_bytes())?;
    }
    if let Some(path) = &arguments.report {
        making.write(path, render::html::page(report, picture.as_deref().unwrap_or(""))?.as_bytes())?;
    }
    let mut config = arguments.step.settings(step);
    config.extend(provenance::settings(&arguments.limits, &step.arch));
    let files = [&arguments.report, &arguments.plot];
    let made = Made {
        result_schema: RUN_SCHEMA,
        command: &report.command,
        config,
        inputs: arguments.step.files(),
        threads: arguments.limits.threads(),
        digest: manifest::digest(report)?,
        beside: files.into_iter().flatten().map(PathBuf::as_path).collect(),
    };
    making.attach(made, &arguments.manifest, output)?;
    rendered(report, output.format)
}

/// The digest of the report when everything is executed again.
pub(super) fn again(arguments: &Arguments, output: &Output) -> Result<String, Failure> {
    manifest::digest(&finished(arguments, false, &Making::start(), output)?.report)
}

/// Compiles, executes, and sums up.
pub(super) fn finished(
    arguments: &Arguments,
    cache: bool,
    making: &Making,
    output: &Output,
) -> Result<Finished, Failure> {
    let limits = &arguments.limits;
    let work = Work { step: &arguments.step, limits, pes: arguments.plot.is_some(), cache };
    let (compiled, executed) = execute(&work, output)?;
    let report = summary::report(Run {
        workload: &compiled.workload,
        arch: &compiled.arch,
        compiled: &compiled.compiled,
        executed: &executed,
        command: format!("wafersim run {}{}", arguments.step.command(&compiled), limits.command()),
        simulation: Simulation {
            engine: limits.engine_name().to_owned(),
            fold: limits.fold_name().to_owned(),
            threads: limits.threads(),
            wall_seconds: making.seconds(),
            stepped_cycles: 0,
            stepped_pe_cycles: 0,
            covered_pe_cycles: 0,
            cached_programs: executed.cached,
            peak_rss_bytes: peak_rss_bytes(),
        },
    });
    Ok(Finished { step: compiled, executed, report })
}

/// What is to be executed, and how.
pub(super) struct Work<'a> {
    pub(super) step: &'a StepOptions,
    pub(super) limits: &'a RunLimits,
    /// Whether to keep where the PEs spend their cycles.
    pub(super) pes: bool,
    /// Whether outcomes may come out of the cache.
    pub(super) cache: bool,
}

/// Compiles and executes a step.
#[allow(clippy::disallowed_methods, reason = "wall time of the host, for people who wait")]
pub(super) fn execute(work: &Work<'_>, output: &Output) -> Result<(CompiledStep, Executed), Failure> {
    let start = std::time::Instant::now();
    let limits = work.limits;
    let compiled = work.step.compile()?;
    let pool = step::pool(limits.threads())?;
    let plan = pool.install(|| step::plan(&compiled.compiled, &compiled.arch))?;
    output.verbose(&format!("{} launches of {} distinct programs", plan.launches.len(), plan.programs.len()));
    let options = limits.options(work.pes);
    let arch = &compiled.arch;
    let bar = output.progress(plan.programs.len() as u64, "kernels");
    let done = |kernel: &str, outcome: &sim_core::report::Outcome| {
        bar.inc(1);
        output.verbose(&format!(
            "{:8.1} s  {kernel}: {} cycles, {} stepped, {} PE-cycles stepped",
            start.elapsed().as_secs_f64(),
            outcome.cycles.0,
            outcome.stepped_cycles,
            outcome.stepped_pe_cycles
        ));
    };
    let cache = work.cache.then(Cache::open).flatten();
    if let Some(cache) = cache.as_ref().filter(|_| !work.pes) {
        let folder = cache.contents().folder;
        let go_on = "Outcomes of finished kernels are kept in";
        interrupt::advise(&format!("{go_on} {}: the same command goes on from there.", folder.display()));
    }
    let executed = pool.install(|| step::execute(plan, arch, &options, cache.as_ref(), &done))?;
    bar.finish_and_clear();
    if executed.cached > 0 {
        output.verbose(&format!("{} outcomes came out of the cache", executed.cached));
    }
    cache.iter().for_each(Cache::trim);
    Ok((compiled, executed))
}

fn rendered(report: &RunReport, format: Format) -> Result<Vec<u8>, Failure> {
    match format {
        Format::Json => json(report),
        Format::Csv => Ok(render::run::csv(report).into_bytes()),
        Format::Text => Ok(render::run::text(report).into_bytes()),
    }
}
