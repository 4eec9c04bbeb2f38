//! `wafersim reproduce cerebras-gpt`.

use super::super::output::Output;
use super::super::provenance::Recording;
use super::super::reply::Reply;
use super::super::session::Session;
use super::super::step::StepArguments;
use super::many::{Many, ended, failed};
use crate::fail::Failure;
use crate::inputs;
use clap::Args;
use published::paper::{PAPER_SCHEMA, PaperReport, PaperRun, REFERENCE, compare, flops_per_system, published};
use report::train::TrainReport;
use runner::Workload;
use runner::train::train;
use runner::training_plan::{Request, TrainingPlan};

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

pub(super) fn run(arguments: &Paper, output: &Output) -> Result<Reply, Failure> {
    let arch = inputs::machine(&arguments.many.arch, &arguments.many.sets)?;
    let session = Session::new(&arguments.many.limits, true, output)?;
    let (trained, bad) = arguments.many.each(output, |step| trained(arguments, step, &session));
    let reference = trained.iter().find(|(_, t)| t.model.name == REFERENCE).map(|(_, t)| flops_per_system(t));
    let report = PaperReport {
        schema: PAPER_SCHEMA,
        wafersim_version: env!("CARGO_PKG_VERSION"),
        arch: arch.name.clone(),
        arch_hash: arch.hash(),
        runs: trained.into_iter().filter_map(|(workload, train)| compared(&workload, train, reference)).collect(),
        failed: failed(&bad),
    };
    ended(!report.runs.is_empty(), bad, Reply::of(report), output)
}

/// The run of a model, if it was published.
fn trained(arguments: &Paper, step: &StepArguments, session: &Session<'_>) -> Result<(Workload, TrainReport), Failure> {
    let recording = Recording::start();
    let job = step.job()?;
    published(job.workload())?;
    let plan = TrainingPlan::new(job.workload(), job.arch(), &Request::default())?;
    let (steps, effort) = session.run(|executor| train(&job, &plan, executor))?;
    let limits = &arguments.many.limits;
    let command = format!("wafersim train {}{}", step.given(), limits.command());
    let provenance = recording.provenance(command, 0, limits);
    let report = TrainReport::of((job.workload(), job.arch()), &plan, (&steps, effort), &provenance);
    Ok((job.workload().clone(), report))
}

fn compared(workload: &Workload, train: TrainReport, reference: Option<f64>) -> Option<PaperRun> {
    let training = published(workload).ok()?;
    let rows = compare(workload, training, &train, reference);
    Some(PaperRun { model: workload.shape.name.clone(), rows, train })
}
