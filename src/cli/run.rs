//! `wafersim run MODEL`.

use super::options::{Format, RunLimits, VerifyOptions};
use super::provenance::{self, Made, Making, ManifestOptions};
use super::step::{CompiledStep, StepOptions};
use super::trace::TraceOptions;
use super::{Output, json};
use crate::cache::Cache;
use crate::fail::Failure;
use crate::files::Destination;
use crate::render::pictures::{self, Source};
use crate::report::{ClusterReport, RUN_SCHEMA, RunReport, Simulation, peak_rss_bytes};
use crate::step::Executed;
use crate::summary::{self, Run};
use crate::{files, interrupt, manifest, render, step, systems, timeline, trace, verify_fold};
use clap::Args;
use std::path::{Path, PathBuf};

/// Compiles one training step, executes it on the simulated wafer, reports throughput and memory
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  wafersim run cerebras-gpt-111m
  wafersim run ./config.json --batch 8 --seq-len 1024 --format json
  wafersim run cerebras-gpt-111m --set pe.sram=64KiB --plot heat.svg
  wafersim run cerebras-gpt-111m --verify-fold 5 --seed 1
  wafersim run cerebras-gpt-111m --report out.html --plot plots/ --trace step.pftrace")]
pub(super) struct Arguments {
    #[command(flatten)]
    pub(super) step: StepOptions,
    #[command(flatten)]
    pub(super) limits: RunLimits,
    #[command(flatten)]
    pub(super) verify: VerifyOptions,
    /// Draws the step at a glance, or with a folder all pictures: maps of the wafer, roofline,
    /// timeline, memory, histogram, and scaling where there are several systems
    #[arg(long, value_name = "FILE.svg|FOLDER")]
    plot: Option<PathBuf>,
    /// Writes the report with its pictures as one page for a browser
    #[arg(long, value_name = "FILE.html")]
    report: Option<PathBuf>,
    /// Executes every program, and keeps no outcome (see `wafersim cache`)
    #[arg(long)]
    no_cache: bool,
    #[command(flatten)]
    trace: TraceOptions,
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
    let mut making = Making::towards(&arguments.destinations(), &arguments.manifest, output)?;
    let done = finished(arguments, !arguments.no_cache, &making, output)?;
    let Finished { step, executed, report } = &done;
    if let Some(heat) = &executed.heat {
        let timeline = timeline::of(&step.compiled, executed);
        let scaling = scaling(step, executed);
        draw(arguments, &Source { report, heat, timeline: &timeline, scaling: &scaling }, &mut making)?;
    }
    if let Some(path) = &arguments.trace.trace {
        let grid = step.arch.grid();
        let edge_milli = step.arch.wafer.io_bits_per_second.value * 1000 / 8 / step.arch.wafer.clock_hz.value;
        let timeline = timeline::of(&step.compiled, executed);
        let part = arguments.trace.part(grid, timeline.last().map_or(0, timeline::Span::end))?;
        let source = trace::step::Source { compiled: &step.compiled, executed, timeline: &timeline, edge_milli };
        making.write(path, &trace::step::trace(&source, &part, arguments.trace.force)?)?;
    }
    let mut config = arguments.step.settings(step);
    config.extend(provenance::settings(&arguments.limits, &arguments.verify, &step.arch));
    let files = [&arguments.report, &arguments.plot, &arguments.trace.trace];
    let made = Made {
        result_schema: RUN_SCHEMA,
        command: &report.command,
        config,
        inputs: arguments.step.files(),
        seed: report.seed,
        threads: arguments.limits.threads(),
        digest: manifest::digest(report)?,
        beside: files.into_iter().flatten().map(PathBuf::as_path).collect(),
    };
    making.attach(made, &arguments.manifest, output)?;
    rendered(report, output.format)
}

impl Arguments {
    /// Where pictures, page and trace go.
    fn destinations(&self) -> Vec<Destination<'_>> {
        let svg = |path: &Path| path.extension().is_some_and(|e| e == "svg");
        let named = [("--report", &self.report), ("--plot", &self.plot), ("--trace", &self.trace.trace)];
        let named = named.into_iter().filter_map(|(option, path)| Some((option, path.as_deref()?)));
        named.map(|(option, path)| Destination { option, path, folder: option == "--plot" && !svg(path) }).collect()
    }
}

/// The same share of the batch on 1, 2, 4, … systems, if the machine has several.
fn scaling(step: &CompiledStep, executed: &Executed) -> Vec<ClusterReport> {
    let systems = step.arch.cluster.systems.value;
    let mut numbers: Vec<u32> = (0..32).map(|i| 1 << i).take_while(|n| *n < systems).collect();
    if numbers.is_empty() {
        return Vec::new();
    }
    numbers.push(systems);
    let job = systems::Job::of(&step.workload, &step.arch, &step.compiled, executed);
    numbers.iter().map(|&n| job.weak(&cluster::Cluster::of(&step.arch), n)).collect()
}

/// Writes the pictures and the page.
fn draw(arguments: &Arguments, source: &Source<'_>, making: &mut Making) -> Result<(), Failure> {
    if let Some(path) = &arguments.plot {
        if path.extension().is_some_and(|e| e == "svg") {
            let picture = render::overview::svg(source.heat, source.report)?;
            making.write(path, picture.as_bytes())?;
        } else {
            files::folder(path)?;
            for (name, picture) in pictures::all(source)? {
                making.write(&path.join(format!("{name}.svg")), picture.as_bytes())?;
            }
        }
    }
    match &arguments.report {
        Some(path) => making.write(path, render::html::page(source)?.as_bytes()),
        None => Ok(()),
    }
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
    let work =
        Work { step: &arguments.step, limits, pes: arguments.plot.is_some() || arguments.report.is_some(), cache };
    let (compiled, executed) = execute(&work, output)?;
    let mut report = summary::report(Run {
        workload: &compiled.workload,
        arch: &compiled.arch,
        compiled: &compiled.compiled,
        executed: &executed,
        command: format!("wafersim run {}{}", arguments.step.command(&compiled), limits.command())
            + &arguments.verify.command(),
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
    report.seed = arguments.verify.seed;
    if let Some((count, seed)) = arguments.verify.wanted() {
        let step = (&compiled.workload, &compiled.compiled, &compiled.arch);
        let pool = step::pool(limits.threads())?;
        let verified = pool.install(|| verify_fold::of_step(step, (count, seed), &limits.options(false)))?;
        report.fold_verification = Some(verified);
    }
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
    let pool = step::pool(limits.threads())?;
    let compiled = pool.install(|| work.step.compile())?;
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
    if let Some(cache) = &cache {
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
