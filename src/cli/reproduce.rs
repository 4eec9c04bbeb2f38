//! `wafersim reproduce`: published results, executed; a result of one's own, executed again.

use super::options::{Format, RunLimits};
use super::run::{Work, execute};
use super::step::StepOptions;
use super::{Output, json};
use crate::fail::{Failure, Kind};
use crate::manifest::{self, FileHash, Manifest};
use crate::render::table::Table;
use crate::systems;
use clap::{Args, Subcommand};
use serde::Serialize;
use sim_core::diag::Diagnostic;
use std::path::{Path, PathBuf};

/// Numbers of systems of the published scaling.
const SYSTEMS: [u32; 5] = [1, 2, 4, 8, 16];
/// What was published about it.
const CLAIM: &str = "\"near-perfect linear scaling\" from 1 to 16 systems for GPT-3 XL, GPT-J and GPT-NeoX (claimed: Cerebras, Andromeda, 2022-11-14); no table was published";

/// Published results, executed; or a result of one's own, from the manifest beside it
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
#[command(after_help = "Examples:\n  wafersim reproduce out.run.json
  wafersim reproduce andromeda-scaling cerebras-gpt-111m")]
pub(super) struct Arguments {
    #[command(subcommand)]
    published: Option<Command>,
    /// The manifest of a result: everything is executed again, and the digests are compared
    #[arg(value_name = "MANIFEST.json", required = true)]
    manifest: Option<PathBuf>,
}

/// Published results, executed
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    AndromedaScaling(Scaling),
}

/// A model on 1, 2, 4, 8 and 16 systems, each with the same share of the batch
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  wafersim reproduce andromeda-scaling cerebras-gpt-111m
  wafersim reproduce andromeda-scaling cerebras-gpt-111m --set cluster.memory_read=20Gb/s")]
pub(super) struct Scaling {
    #[command(flatten)]
    step: StepOptions,
    #[command(flatten)]
    limits: RunLimits,
}

/// A row of the table.
#[derive(Debug, Serialize)]
struct Row {
    systems: u32,
    batch: u64,
    step_seconds: f64,
    samples_per_second: f64,
    speedup: f64,
    scaling_efficiency: f64,
    bottleneck: cluster::Cause,
}

/// The table with what it is compared with.
#[derive(Debug, Serialize)]
struct Reproduction {
    model: String,
    claim: &'static str,
    rows: Vec<Row>,
}

pub(super) fn run(arguments: &Arguments, output: &Output) -> Result<Vec<u8>, Failure> {
    match (&arguments.published, &arguments.manifest) {
        (Some(Command::AndromedaScaling(scaling)), _) => scale(scaling, output),
        (None, manifest) => again(manifest.as_deref().unwrap_or(Path::new("")), output),
    }
}

/// A result that was obtained again.
#[derive(Debug, Serialize)]
struct Reproduced {
    command: String,
    result_digest: String,
    by_version: String,
    version: &'static str,
}

/// Executes what a manifest says, without the cache, and compares the digests.
fn again(path: &Path, output: &Output) -> Result<Vec<u8>, Failure> {
    let manifest = manifest::read(path)?;
    unchanged(&manifest)?;
    let digest = super::again(&manifest.command, path, output)?;
    let by_version = manifest.wafersim_version;
    if digest != manifest.result_digest {
        let (was, now) = (&manifest.result_digest, env!("CARGO_PKG_VERSION"));
        let message = format!("version {now} gives a result with the digest {digest}; version {by_version} gave {was}");
        let help = "write both with --format json -o FILE; `wafersim diff` shows what changed";
        return Err(Failure::one(Kind::Internal, Diagnostic::new("cli-reproduce", path.display(), message).help(help)));
    }
    let command = manifest.command;
    let done = Reproduced { command, result_digest: digest, by_version, version: env!("CARGO_PKG_VERSION") };
    match output.format {
        Format::Json => json(&done),
        Format::Csv => {
            let mut table = Table::new(&["command", "result_digest", "by_version", "version"]);
            table.row(vec![done.command, done.result_digest, done.by_version, done.version.to_owned()]);
            Ok(table.csv().into_bytes())
        }
        Format::Text => Ok(format!("reproduced: {}\n  digest {}\n", done.command, done.result_digest).into_bytes()),
    }
}

/// Whether the inputs are those of the result.
fn unchanged(manifest: &Manifest) -> Result<(), Failure> {
    let fault = |known: &FileHash| {
        let now = FileHash::of(&known.path);
        let message = match now {
            Err(failure) => return failure.faults.into_iter().next(),
            Ok(now) if now == *known => return None,
            Ok(now) => format!("has changed: its hash is {}, and was {}", now.blake3, known.blake3),
        };
        let help = "the result was obtained from another file of this name";
        Some(Diagnostic::new("cli-reproduce", known.path.display(), message).help(help))
    };
    let faults: Vec<Diagnostic> = manifest.inputs.iter().filter_map(fault).collect();
    if faults.is_empty() { Ok(()) } else { Err(Failure::many(Kind::InvalidInput, faults)) }
}

fn scale(arguments: &Scaling, output: &Output) -> Result<Vec<u8>, Failure> {
    let work = Work { step: &arguments.step, limits: &arguments.limits, pes: false, cache: true };
    let (step, executed) = execute(&work, output)?;
    let share = step.workload.batch / u64::from(step.arch.systems.value);
    let reports = scaled(&step, &executed);
    let alone = reports[0].step_seconds;
    let row = |r: &crate::report::ClusterReport| Row {
        systems: r.systems,
        batch: share * u64::from(r.systems),
        step_seconds: r.step_seconds,
        samples_per_second: (share * u64::from(r.systems)) as f64 / r.step_seconds,
        speedup: f64::from(r.systems) * alone / r.step_seconds,
        scaling_efficiency: alone / r.step_seconds,
        bottleneck: r.bottleneck,
    };
    let done =
        Reproduction { model: step.workload.shape.name.clone(), claim: CLAIM, rows: reports.iter().map(row).collect() };
    match output.format {
        Format::Json => json(&done),
        Format::Csv => Ok(table(&done).csv().into_bytes()),
        Format::Text => {
            Ok(format!("{}, weak scaling\n{}published: {}\n", done.model, table(&done).text(), done.claim).into_bytes())
        }
    }
}

fn scaled(step: &super::step::CompiledStep, executed: &crate::step::Executed) -> Vec<crate::report::ClusterReport> {
    let job = systems::Job::of(&step.workload, &step.arch, &step.compiled, executed);
    SYSTEMS.iter().map(|&n| job.weak(&cluster::Cluster::of(&step.arch), n)).collect()
}

fn table(done: &Reproduction) -> Table {
    let mut table = Table::new(&["systems", "batch", "step s", "samples/s", "speedup", "efficiency %", "bound by"]);
    for r in &done.rows {
        table.row(vec![
            r.systems.to_string(),
            r.batch.to_string(),
            format!("{:.6}", r.step_seconds),
            format!("{:.2}", r.samples_per_second),
            format!("{:.4}", r.speedup),
            format!("{:.3}", 100.0 * r.scaling_efficiency),
            format!("{:?}", r.bottleneck).to_lowercase(),
        ]);
    }
    table
}
