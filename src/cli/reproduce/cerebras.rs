//! `wafersim reproduce cerebras-gpt`.

use super::super::options::Format;
use super::super::provenance::{Making, ManifestOptions};
use super::super::step::StepOptions;
use super::super::train::{self, Arguments as Train};
use super::super::{Output, json};
use super::many::{Many, ended, failed};
use crate::fail::{Failure, Kind};
use crate::paper::{PAPER_SCHEMA, PaperReport, REFERENCE, RunReport, compare, flops_per_system};
use crate::train::TrainReport;
use crate::workload::Workload;
use crate::{machine, render};
use clap::Args;
use sim_core::diag::Diagnostic;

/// The seven published runs of Cerebras-GPT: paper, simulated, error, source
#[derive(Debug, Args)]
#[command(after_help = "Each run has its published batches, steps and numbers of systems.

Examples:
  wafersim reproduce cerebras-gpt
  wafersim reproduce cerebras-gpt --models cerebras-gpt-111m,cerebras-gpt-1.3b --format csv")]
pub(super) struct Paper {
    #[command(flatten)]
    many: Many,
}

pub(super) fn run(arguments: &Paper, output: &Output) -> Result<Vec<u8>, Failure> {
    let arch = machine::build(&arguments.many.arch, &arguments.many.sets)?;
    let (trained, bad) = arguments.many.each(output, |step| trained(arguments, step, output));
    let reference = trained.iter().find(|(_, t)| t.model.name == REFERENCE).map(|(_, t)| flops_per_system(t));
    let report = PaperReport {
        schema: PAPER_SCHEMA,
        wafersim_version: env!("CARGO_PKG_VERSION"),
        arch: arch.name.clone(),
        arch_hash: arch.hash(),
        runs: trained.into_iter().filter_map(|(workload, train)| compared(&workload, train, reference)).collect(),
        failed: failed(&bad),
    };
    let result = match output.format {
        Format::Json => json(&report)?,
        Format::Csv => render::paper::csv(&report).into_bytes(),
        Format::Text => render::paper::text(&report).into_bytes(),
    };
    ended(!report.runs.is_empty(), bad, result, output)
}

/// The run of a model, if it was published.
fn trained(arguments: &Paper, step: &StepOptions, output: &Output) -> Result<(Workload, TrainReport), Failure> {
    let (_, workload, _) = step.inputs()?;
    if workload.published.as_ref().is_none_or(|p| p.training.is_none()) {
        let help = "one of the seven of Cerebras-GPT (`wafersim models list`); others: `wafersim train`";
        let message = format!("no training run of {} was published", workload.shape.name);
        let fault = Diagnostic::new("cli-train", "--models", message).help(help);
        return Err(Failure::one(Kind::InvalidInput, fault));
    }
    let arguments = Train {
        step: step.clone(),
        limits: arguments.many.limits.clone(),
        steps: None,
        tokens_per_parameter: None,
        no_cache: false,
        manifest: ManifestOptions::default(),
    };
    let (report, _) = train::report(&arguments, true, &Making::start(), output)?;
    Ok((workload, report))
}

fn compared(workload: &Workload, train: TrainReport, reference: Option<f64>) -> Option<RunReport> {
    let training = workload.published.as_ref()?.training.as_ref()?;
    let rows = compare(workload, training, &train, reference);
    Some(RunReport { model: workload.shape.name.clone(), rows, train })
}
