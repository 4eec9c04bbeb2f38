//! `wafersim run MODEL`.

use super::options::{RunLimits, VerifyOptions};
use super::output::Output;
use super::provenance::{self, ManifestFacts, ManifestOptions, Recording};
use super::reply::Reply;
use super::session::Session;
use super::step::StepArguments;
use super::trace::TraceOptions;
use crate::fail::Failure;
use crate::files::Destination;
use crate::manifest::Setting;
use crate::{files, manifest};
use clap::Args;
use cluster::Cluster;
use report::RunReport;
use report::cluster::ClusterReport;
use report::encoding::perfetto::step::StepTrace;
use report::encoding::svg::pictures::{self, PictureInput};
use report::encoding::{html, perfetto, svg};
use report::run::RUN_SCHEMA;
use runner::cluster_step::WaferStep;
use runner::{CompiledStep, ExecutedStep, Extras, FinishedStep, timeline};
use std::path::{Path, PathBuf};

/// Compiles one training step, executes it on the simulated wafer, reports throughput and memory
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  wafersim run cerebras-gpt-111m
  wafersim run ./config.json --batch 8 --seq-len 1024 --format json
  wafersim run cerebras-gpt-111m --set pe.sram=64KiB --plot heat.svg
  wafersim run cerebras-gpt-111m --verify-fold 5 --seed 1
  wafersim run tiny --values --seed 1
  wafersim run cerebras-gpt-111m --report out.html --plot plots/ --trace step.pftrace")]
pub(super) struct Arguments {
    #[command(flatten)]
    pub(super) step: StepArguments,
    #[command(flatten)]
    pub(super) limits: RunLimits,
    #[command(flatten)]
    pub(super) verify: VerifyOptions,
    /// Carries real numbers as well: loss and gradients of the step, beside those of an f64
    /// implementation. For small models such as `tiny`; `--seed` chooses parameters and tokens
    #[arg(long, help_heading = "Execution")]
    values: bool,
    /// Draws the step at a glance, or with a folder all pictures: maps of the wafer, roofline,
    /// timeline, memory, histogram, and scaling where there are several systems
    #[arg(long, value_name = "FILE.svg|FOLDER", help_heading = "Output")]
    plot: Option<PathBuf>,
    /// Writes the report with its pictures as one page for a browser
    #[arg(long, value_name = "FILE.html", help_heading = "Output")]
    report: Option<PathBuf>,
    /// Executes every program, and keeps no outcome (see `wafersim cache`)
    #[arg(long, help_heading = "Execution")]
    no_cache: bool,
    #[command(flatten)]
    trace: TraceOptions,
    #[command(flatten)]
    manifest: ManifestOptions,
}

pub(super) fn run(arguments: &Arguments, output: &Output) -> Result<Reply, Failure> {
    let mut recording = Recording::towards(&arguments.destinations(), &arguments.manifest, output)?;
    let (done, report) = finished(arguments, !arguments.no_cache, &recording, output)?;
    let FinishedStep { step, executed, .. } = &done;
    if let Some(heat) = &executed.heat {
        let timeline = timeline::of(&step.compiled, executed);
        let scaling = scaling(step, executed);
        draw(
            arguments,
            &PictureInput { report: &report, heat, timeline: &timeline, scaling: &scaling },
            &mut recording,
        )?;
    }
    if let Some(path) = &arguments.trace.trace {
        let grid = step.arch.grid();
        let edge_milli = step.arch.wafer.io_bits_per_second.value * 1000 / 8 / step.arch.wafer.clock_hz.value;
        let timeline = timeline::of(&step.compiled, executed);
        let part = arguments.trace.part(grid, timeline.last().map_or(0, timeline::Span::end))?;
        let source = StepTrace { compiled: &step.compiled, executed, timeline: &timeline, edge_milli };
        recording.write(path, &perfetto::step::trace(&source, &part, arguments.trace.force)?)?;
    }
    let mut config = arguments.step.settings(step, output);
    config.extend(provenance::settings(&arguments.limits, &arguments.verify, &step.arch, output));
    config.extend(arguments.values.then(|| Setting::new("--values", "", "command line")));
    let files = [&arguments.report, &arguments.plot, &arguments.trace.trace];
    let facts = ManifestFacts {
        result_schema: RUN_SCHEMA,
        command: &report.command,
        config,
        inputs: arguments.step.files(),
        seed: report.seed,
        threads: arguments.limits.threads(),
        digest: manifest::digest(&report)?,
        beside: files.into_iter().flatten().map(PathBuf::as_path).collect(),
    };
    recording.attach(facts, &arguments.manifest, output)?;
    Ok(Reply::of(report))
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

/// Steps with equal shares of the batch on 1, 2, 4, … systems, if the machine has several.
fn scaling(step: &CompiledStep, executed: &ExecutedStep) -> Vec<ClusterReport> {
    let systems = step.arch.cluster.systems.value;
    let mut numbers: Vec<u32> = (0..32).map(|i| 1 << i).take_while(|n| *n < systems).collect();
    if numbers.is_empty() {
        return Vec::new();
    }
    numbers.push(systems);
    let (wafer, cluster) = (WaferStep::of(step, executed), Cluster::of(&step.arch));
    numbers.iter().map(|&n| ClusterReport::from(&wafer.weak(&cluster, n))).collect()
}

/// Writes the pictures and the page.
fn draw(arguments: &Arguments, source: &PictureInput<'_>, recording: &mut Recording) -> Result<(), Failure> {
    if let Some(path) = &arguments.plot {
        if path.extension().is_some_and(|e| e == "svg") {
            let picture = svg::overview::svg(source.heat, source.report)?;
            recording.write(path, picture.as_bytes())?;
        } else {
            files::folder(path)?;
            for (name, picture) in pictures::all(source)? {
                recording.write(&path.join(format!("{name}.svg")), picture.as_bytes())?;
            }
        }
    }
    match &arguments.report {
        Some(path) => recording.write(path, html::step::page(source)?.as_bytes()),
        None => Ok(()),
    }
}

/// The digest of the report when everything is executed again.
pub(super) fn again(arguments: &Arguments, output: &Output) -> Result<String, Failure> {
    manifest::digest(&finished(arguments, false, &Recording::start(), output)?.1)
}

/// Runs the step, and reports.
fn finished(
    arguments: &Arguments,
    cache: bool,
    recording: &Recording,
    output: &Output,
) -> Result<(FinishedStep, RunReport), Failure> {
    let Arguments { step, limits, verify, values, plot, report, .. } = arguments;
    let job = step.job()?;
    let session = Session::new(limits, cache, output)?.per_pe(plot.is_some() || report.is_some());
    let extras = Extras { verify_fold: verify.wanted(), values: values.then_some(verify.seed) };
    let done = session.run(|executor| job.run(executor, extras))?;
    let command = format!("wafersim run {}{}", step.command(&done.step), limits.command())
        + &verify.command()
        + if *values { " --values" } else { "" };
    let provenance = recording.provenance(command, verify.seed, limits);
    let report = RunReport::of(&done, &provenance);
    Ok((done, report))
}
