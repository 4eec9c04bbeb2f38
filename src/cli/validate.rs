//! `wafersim validate`.

use super::options::{Format, MachineOptions, RunLimits};
use super::run::{Work, execute};
use super::step::StepOptions;
use super::{Output, json};
use crate::fail::Failure;
use crate::render::table::Table;
use crate::step::groups;
use crate::throughput::{
    COMPILE_REPORT, ESTIMATED, ESTIMATES, EpochRow, Estimate, KernelRow, MEASURED, Measured, Moved, Row,
    ThroughputReport,
};
use crate::{machine, render, validate};
use clap::Args;
use sim_core::arch::KeyGroup;

/// Runs every published case that the project knows: ours, theirs, the error, the source
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  wafersim validate
  wafersim validate --set pe.vector_setup=8      how much the answers depend on a parameter
  wafersim validate --throughput                 measured training throughputs, executed: long
  wafersim validate --throughput --only gpt2-small
  wafersim validate --sensitivity --only gpt2-small   how they move with assumed numbers: longer
  wafersim validate --page -o docs/VALIDATION.md")]
pub(super) struct Arguments {
    #[command(flatten)]
    machine: MachineOptions,
    #[command(flatten)]
    limits: RunLimits,
    /// The table as a page of the documentation
    #[arg(long)]
    page: bool,
    /// Measured training throughputs instead of the quick cases: whole steps are executed
    #[arg(long)]
    throughput: bool,
    /// Throughputs again with each assumed number of the machine doubled
    #[arg(long)]
    sensitivity: bool,
    /// Of the throughputs, only those of models with this text in their name
    #[arg(long, value_name = "TEXT", default_value = "")]
    only: String,
}

pub(super) fn run(arguments: &Arguments, output: &Output) -> Result<Vec<u8>, Failure> {
    let arch = machine::build(&arguments.machine.arch, &arguments.machine.sets)?;
    if arguments.throughput || arguments.sensitivity {
        let report = throughputs(arguments, output);
        return match output.format {
            Format::Json => json(&report),
            Format::Text => Ok(render::throughput::text(&report).into_bytes()),
            Format::Csv => Ok(render::throughput::csv(&report).into_bytes()),
        };
    }
    let cases = validate::cases(&arch)?;
    if arguments.page {
        return Ok(render::validate::page(&cases).into_bytes());
    }
    match output.format {
        Format::Json => json(&cases),
        Format::Text => Ok(render::validate::text(&cases).into_bytes()),
        Format::Csv => {
            let mut table = Table::new(&["case", "kind", "ours", "theirs", "error", "source"]);
            for c in cases {
                let error = c.error.to_string();
                let row =
                    [c.name, c.kind.to_owned(), c.ours.to_string(), c.theirs.to_string(), error, c.source.to_owned()];
                table.row(row.to_vec());
            }
            Ok(table.csv().into_bytes())
        }
    }
}

/// Executes the step of every measurement that is asked for.
fn throughputs(arguments: &Arguments, output: &Output) -> ThroughputReport {
    let wanted = || MEASURED.iter().filter(|m| m.preset.contains(&arguments.only));
    let mut report = ThroughputReport::default();
    for measured in wanted() {
        match throughput(arguments, measured, &[], output) {
            Ok(row) => {
                if arguments.sensitivity {
                    report.sensitivity.extend(sensitivity(arguments, measured, &row, output));
                }
                report.rows.push(row);
            }
            Err(failure) => report.failed.push(failed(measured, &failure)),
        }
    }
    if ESTIMATED.0.contains(&arguments.only) {
        match estimates(arguments, output) {
            Ok(rows) => report.kernels = rows,
            Err(failure) => report.failed.extend(failure.faults.iter().map(ToString::to_string)),
        }
    }
    report
}

/// Executes the step whose kernels the vendor's compiler estimates.
fn estimates(arguments: &Arguments, output: &Output) -> Result<Vec<KernelRow>, Failure> {
    let (preset, seq_len) = ESTIMATED;
    let options = StepOptions::of(preset, arguments.machine.clone()).of_level(1).of_length(seq_len);
    let (step, executed) =
        execute(&Work { step: &options, limits: &arguments.limits, pes: false, cache: true }, output)?;
    let (groups, pes) = (groups(&step.compiled, &executed), step.compiled.geometry.used().pes());
    let row = |estimate: &Estimate| {
        let of: Vec<_> = groups.iter().filter(|g| estimate.has(&g.name, g.phase)).collect();
        let [macs, cycles] = [of.iter().map(|g| g.macs).sum::<u64>(), of.iter().map(|g| g.cycles).sum()];
        let ours = macs as f64 / (cycles * pes).max(1) as f64;
        let (operation, theirs) = (estimate.operation, estimate.macs);
        KernelRow { operation, ours, theirs, error: ours / theirs - 1.0, source: COMPILE_REPORT }
    };
    Ok(ESTIMATES.iter().map(row).collect())
}

fn failed(measured: &Measured, failure: &Failure) -> String {
    let why = failure.faults.first().map(ToString::to_string).unwrap_or_default();
    format!("{} at batch {}: {why}", measured.preset, measured.batch)
}

fn throughput(arguments: &Arguments, measured: &Measured, sets: &[String], output: &Output) -> Result<Row, Failure> {
    let mut machine = arguments.machine.clone();
    machine.sets.extend_from_slice(sets);
    // The vendor's models have this level by default; none of the sources says otherwise.
    let options = StepOptions::of(measured.preset, machine).of_level(1);
    let options = options.sized(measured.batch, 1).of_length(measured.seq_len);
    let work = Work { step: &options, limits: &arguments.limits, pes: false, cache: true };
    let (step, executed) = execute(&work, output)?;
    let groups = groups(&step.compiled, &executed);
    let cycles: u64 = groups.iter().map(|g| g.cycles).sum();
    let again: u64 = groups.iter().filter(|g| g.phase == "recompute").map(|g| g.cycles).sum();
    let seconds = cycles as f64 / step.arch.wafer.clock_hz.value as f64;
    let ours = measured.batch as f64 / seconds;
    let pes = f64::from(step.arch.wafer.width.value) * f64::from(step.arch.wafer.height.value);
    Ok(Row {
        model: measured.preset,
        batch: measured.batch,
        micro_batch: step.compiled.micro_batch,
        cycles,
        ours,
        theirs: measured.samples_per_second,
        error: ours / measured.samples_per_second - 1.0,
        epoch: EpochRow::of(measured, seconds),
        recompute: again as f64 / cycles as f64,
        pes_in_use: step.compiled.geometry.used().pes() as f64 / pes,
        source: measured.source,
    })
}

/// The row again with each assumed number of a wafer doubled, where that is a number of cycles or
/// wavelets.
fn sensitivity(arguments: &Arguments, measured: &Measured, row: &Row, output: &Output) -> Vec<Moved> {
    let Ok(arch) = machine::build(&arguments.machine.arch, &arguments.machine.sets) else { return Vec::new() };
    let doubled = |(key, value, _): (String, String, String)| {
        let (number, unit) = value.split_at(value.find(|c: char| !c.is_ascii_digit()).unwrap_or(value.len()));
        let one = number
            .parse()
            .ok()
            .filter(|n| *n > 0 && KeyGroup::of(&key) != Some(KeyGroup::Cluster) && !unit.contains(','));
        one.map(|number: u64| format!("{key}={}{unit}", 2 * number))
    };
    let sets: Vec<String> = arch.assumed().into_iter().filter_map(doubled).collect();
    let moved = |set: String| {
        let ours = throughput(arguments, measured, std::slice::from_ref(&set), output).ok()?.ours;
        let change = ours / row.ours - 1.0;
        Some(Moved { model: row.model, batch: row.batch, set, samples_per_second: ours, change })
    };
    sets.into_iter().filter_map(moved).collect()
}
