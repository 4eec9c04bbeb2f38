//! `wafersim train MODEL`.

use super::options::{Format, RunLimits, VerifyOptions};
use super::provenance::{self, Made, Making, ManifestOptions};
use super::run::{Work, execute};
use super::step::StepOptions;
use super::{Output, json};
use crate::fail::Failure;
use crate::report::{ClusterReport, Simulation, peak_rss_bytes};
use crate::step::groups;
use crate::systems::Job;
use crate::train::{self, Phase, Plan, TRAIN_SCHEMA, TrainReport, Wish};
use crate::{manifest, render};
use clap::Args;
use cluster::Cluster;
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
    pub(super) step: StepOptions,
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

/// How often programs were executed, added up over the phases.
#[derive(Debug, Default)]
pub(super) struct Effort {
    cached: u64,
    stepped: (u64, u64),
    covered: u64,
}

/// A phase, executed: sequences of a system per step, its micro-batch, and the step as a job.
struct Executed {
    share: u64,
    micro_batch: u32,
    job: Job,
}

pub(super) fn run(arguments: &Arguments, output: &Output) -> Result<Vec<u8>, Failure> {
    let making = Making::towards(&[], &arguments.manifest, output)?;
    let (report, arch) = report(arguments, !arguments.no_cache, &making, output)?;
    let made = Made {
        result_schema: TRAIN_SCHEMA,
        command: &report.command,
        config: provenance::settings(&arguments.limits, &VerifyOptions::default(), &arch),
        inputs: arguments.step.files(),
        seed: 0,
        threads: arguments.limits.threads(),
        digest: manifest::digest(&report)?,
        beside: Vec::new(),
    };
    making.attach(made, &arguments.manifest, output)?;
    match output.format {
        Format::Json => json(&report),
        Format::Csv => Ok(render::train::csv(&report).into_bytes()),
        Format::Text => Ok(render::train::text(&report).into_bytes()),
    }
}

/// The digest of the report when everything is executed again.
pub(super) fn again(arguments: &Arguments, output: &Output) -> Result<String, Failure> {
    manifest::digest(&report(arguments, false, &Making::start(), output)?.0)
}

/// Plans the run, executes a step of every phase, and sums up.
pub(super) fn report(
    arguments: &Arguments,
    cache: bool,
    making: &Making,
    output: &Output,
) -> Result<(TrainReport, ArchSpec), Failure> {
    let (arch, workload, _) = arguments.step.inputs()?;
    let wish = Wish {
        batch: arguments.step.batch,
        systems: arguments.step.systems,
        steps: arguments.steps,
        tokens_per_parameter: arguments.tokens_per_parameter,
    };
    let plan = Plan::new(&workload, &arch, &wish)?;
    let mut effort = Effort::default();
    let mut known: Vec<Executed> = Vec::new();
    let mut steps = Vec::new();
    for phase in &plan.phases {
        steps.push(step(arguments, phase, cache, &mut known, &mut effort, output)?);
    }
    let limits = &arguments.limits;
    let report = train::report(train::Run {
        workload: &workload,
        arch: &arch,
        plan: &plan,
        steps,
        command: command(arguments),
        simulation: Simulation {
            engine: limits.engine_name().to_owned(),
            fold: limits.fold_name().to_owned(),
            threads: limits.threads(),
            wall_seconds: making.seconds(),
            stepped_cycles: effort.stepped.0,
            stepped_pe_cycles: effort.stepped.1,
            covered_pe_cycles: effort.covered,
            cached_programs: effort.cached,
            peak_rss_bytes: peak_rss_bytes(),
        },
    });
    Ok((report, arch))
}

/// The step of a phase: executed, unless a phase before it had the same share of the batch on each
/// system.
fn step(
    arguments: &Arguments,
    phase: &Phase,
    cache: bool,
    known: &mut Vec<Executed>,
    effort: &mut Effort,
    output: &Output,
) -> Result<(u32, ClusterReport), Failure> {
    let options = arguments.step.sized(phase.batch, phase.systems);
    let systems = u64::from(phase.systems);
    let same = |k: &&Executed| k.share * systems == phase.batch;
    let at = match known.iter().position(|k| same(&k)) {
        Some(at) => at,
        None => {
            let work = Work { step: &options, limits: &arguments.limits, pes: false, cache };
            let (step, executed) = execute(&work, output)?;
            effort.cached += executed.cached;
            for outcome in &executed.outcomes {
                effort.stepped.0 += outcome.stepped_cycles;
                effort.stepped.1 += outcome.stepped_pe_cycles;
            }
            effort.covered += groups(&step.compiled, &executed).iter().map(|g| g.pe_cycles.total()).sum::<u64>();
            let job = Job::of(&step.workload, &step.arch, &step.compiled, &executed);
            let micro_batch = step.compiled.micro_batch;
            let share = u64::from(micro_batch) * step.compiled.micro_batches;
            known.push(Executed { share, micro_batch, job });
            known.len() - 1
        }
    };
    let (arch, ..) = options.inputs()?;
    let executed = &known[at];
    Ok((executed.micro_batch, executed.job.shared(&Cluster::of(&arch), phase.batch)))
}

/// The command with what the run depends on.
fn command(arguments: &Arguments) -> String {
    let steps = arguments.steps.map(|n| format!(" --steps {n}")).unwrap_or_default();
    let tokens = arguments.tokens_per_parameter.map(|x| format!(" --tokens-per-parameter {x}")).unwrap_or_default();
    format!("wafersim train {}{steps}{tokens}{}", arguments.step.given(), arguments.limits.command())
}
