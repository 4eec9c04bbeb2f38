//! `wafersim train MODEL`.

use super::options::{RunLimits, VerifyOptions};
use super::output::Output;
use super::provenance::{self, ManifestFacts, ManifestOptions, Recording};
use super::reply::Reply;
use super::session::Session;
use super::step::StepArguments;
use crate::fail::Failure;
use crate::manifest;
use clap::Args;
use report::train::{TRAIN_SCHEMA, TrainReport};
use runner::train::train;
use runner::training_plan::{Request, TrainingPlan};
use sim_core::arch::ArchSpec;

/// A whole training run: steps, tokens, time, FLOPs, energy, and the loss that is expected
#[derive(Debug, Args)]
#[command(after_help = "A model whose run was published is trained as published: batches, steps, systems.
Each phase's step is executed; its time is multiplied by the number of steps.

Examples:
  wafersim train cerebras-gpt-111m
  wafersim train cerebras-gpt-13b --arch andromeda16
  wafersim train gpt2-small --arch andromeda --systems 8 --batch 480 --tokens-per-parameter 40")]
pub(super) struct Arguments {
    #[command(flatten)]
    pub(super) step: StepArguments,
    #[command(flatten)]
    pub(super) limits: RunLimits,
    /// Steps of the run; the last batch size goes on for as long as it takes
    #[arg(long, value_name = "N", conflicts_with = "tokens_per_parameter")]
    pub(super) steps: Option<u64>,
    /// Tokens of the run, per parameter; 20 where no run was published
    #[arg(long, value_name = "X")]
    pub(super) tokens_per_parameter: Option<f64>,
    /// Executes every program, and keeps no outcome (see `wafersim cache`)
    #[arg(long)]
    pub(super) no_cache: bool,
    #[command(flatten)]
    pub(super) manifest: ManifestOptions,
}

pub(super) fn run(arguments: &Arguments, output: &Output) -> Result<Reply, Failure> {
    let recording = Recording::towards(&[], &arguments.manifest, output)?;
    let (report, arch) = report(arguments, !arguments.no_cache, &recording, output)?;
    let facts = ManifestFacts {
        result_schema: TRAIN_SCHEMA,
        command: &report.command,
        config: provenance::settings(&arguments.limits, &VerifyOptions::default(), &arch, output),
        inputs: arguments.step.files(),
        seed: 0,
        threads: arguments.limits.threads(),
        digest: manifest::digest(&report)?,
        beside: Vec::new(),
    };
    recording.attach(facts, &arguments.manifest, output)?;
    Ok(Reply::of(report))
}

/// The digest of the report when everything is executed again.
pub(super) fn again(arguments: &Arguments, output: &Output) -> Result<String, Failure> {
    manifest::digest(&report(arguments, false, &Recording::start(), output)?.0)
}

/// Plans the run, executes a step of every phase, and sums up.
fn report(
    arguments: &Arguments,
    cache: bool,
    recording: &Recording,
    output: &Output,
) -> Result<(TrainReport, ArchSpec), Failure> {
    let job = arguments.step.job()?;
    let (workload, arch) = (job.workload(), job.arch());
    let request = Request {
        batch: arguments.step.batch,
        systems: arguments.step.systems,
        steps: arguments.steps,
        tokens_per_parameter: arguments.tokens_per_parameter,
    };
    let plan = TrainingPlan::new(workload, arch, &request)?;
    let session = Session::new(&arguments.limits, cache, output)?;
    let (steps, effort) = session.run(|executor| train(&job, &plan, executor))?;
    let provenance = recording.provenance(command(arguments), 0, &arguments.limits);
    let report = TrainReport::of((workload, arch), &plan, (&steps, effort), &provenance);
    Ok((report, arch.clone()))
}

/// The command with what the run depends on.
fn command(arguments: &Arguments) -> String {
    let steps = arguments.steps.map(|n| format!(" --steps {n}")).unwrap_or_default();
    let tokens = arguments.tokens_per_parameter.map(|x| format!(" --tokens-per-parameter {x}")).unwrap_or_default();
    format!("wafersim train {}{steps}{tokens}{}", arguments.step.given(), arguments.limits.command())
}
