//! `wafersim reproduce`: published results, executed.

use super::options::{Format, RunLimits};
use super::run::{Work, execute};
use super::step::StepOptions;
use super::{Output, json};
use crate::fail::Failure;
use crate::render::table::Table;
use crate::systems;
use clap::{Args, Subcommand};
use serde::Serialize;

/// Numbers of systems of the published scaling.
const SYSTEMS: [u32; 5] = [1, 2, 4, 8, 16];
/// What was published about it.
const CLAIM: &str = "\"near-perfect linear scaling\" from 1 to 16 systems for GPT-3 XL, GPT-J and GPT-NeoX (claimed: Cerebras, Andromeda, 2022-11-14); no table was published";

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

pub(super) fn run(command: &Command, output: &Output) -> Result<Vec<u8>, Failure> {
    let Command::AndromedaScaling(arguments) = command;
    let work = Work { step: &arguments.step, limits: &arguments.limits, pes: false, cache: true };
    let (step, executed) = execute(&work, output)?;
    let share = step.workload.batch / u64::from(step.arch.systems.value);
    let reports = systems::weak_scaling(&step.workload, &step.arch, &step.compiled, &executed, &SYSTEMS);
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
