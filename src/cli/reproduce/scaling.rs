//! `wafersim reproduce andromeda-scaling`.

use super::super::options::Format;
use super::super::run::{Work, execute};
use super::super::step::StepOptions;
use super::super::{Output, json};
use super::many::{Many, ended, failed};
use crate::fail::Failure;
use crate::render::curves::{self, Scaling as Which};
use crate::scaling::{CLAIM, Curve, ModelScaling, SCALING_SCHEMA, SYSTEMS, ScalingReport};
use crate::systems::Job;
use crate::{files, machine, render};
use clap::{Args, ValueEnum};
use cluster::Cluster;
use std::path::PathBuf;

/// Weak and strong scaling of models over 1, 2, 4, 8 and 16 systems, and where and why it bends
#[derive(Debug, Args)]
#[command(after_help = "Weak: every system has the published number of sequences per system.
Strong: the published batch is shared; where that is not even, it is filled up.

Examples:
  wafersim reproduce andromeda-scaling --plot .
  wafersim reproduce andromeda-scaling --models cerebras-gpt-111m --set cluster.memory_read=20Gb/s")]
pub(super) struct Scaling {
    #[command(flatten)]
    many: Many,
    /// Sequences: of every system in weak scaling, of all in strong scaling; the default is what was
    /// published
    #[arg(long, value_name = "N")]
    batch: Option<u64>,
    /// Only one kind of scaling; the weak one executes one step of every model, the strong one a step
    /// for every share
    #[arg(long, value_enum)]
    only: Option<Kind>,
    /// Draws both into the folder DIR, as weak-scaling.svg and strong-scaling.svg
    #[arg(long, value_name = "DIR")]
    plot: Option<PathBuf>,
}

/// A kind of scaling.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Kind {
    /// The same share of the batch on every system.
    Weak,
    /// The same batch, shared by more systems.
    Strong,
}

pub(super) fn run(arguments: &Scaling, output: &Output) -> Result<Vec<u8>, Failure> {
    let arch = machine::build(&arguments.many.arch, &arguments.many.sets)?;
    let (models, bad) = arguments.many.each(output, |step| {
        let scaled = scale(arguments, step, output)?;
        output.stage(&render::andromeda::line(&scaled));
        Ok(scaled)
    });
    let report = ScalingReport {
        schema: SCALING_SCHEMA,
        wafersim_version: env!("CARGO_PKG_VERSION"),
        arch: arch.name.clone(),
        arch_hash: arch.hash(),
        claim: CLAIM,
        models,
        failed: failed(&bad),
    };
    if let Some(folder) = arguments.plot.as_ref().filter(|_| !report.models.is_empty()) {
        for (name, which, other) in
            [("weak-scaling.svg", Which::Weak, Kind::Strong), ("strong-scaling.svg", Which::Strong, Kind::Weak)]
        {
            if arguments.only != Some(other) {
                files::write(&folder.join(name), curves::svg(&report, which)?.as_bytes())?;
            }
        }
    }
    let result = match output.format {
        Format::Json => json(&report)?,
        Format::Csv => render::andromeda::csv(&report).into_bytes(),
        Format::Text => render::andromeda::text(&report).into_bytes(),
    };
    ended(!report.models.is_empty(), bad, result, output)
}

/// A step as a job, with its micro-batch, and the numbers of the cluster.
struct Executed {
    share: u64,
    micro_batch: u32,
    job: Job,
    cluster: Cluster,
}

fn scale(arguments: &Scaling, step: &StepOptions, output: &Output) -> Result<ModelScaling, Failure> {
    let (_, workload, _) = step.inputs()?;
    let published = workload.published.as_ref();
    let per_system = published.map(|p| p.batch / u64::from(p.systems)).unwrap_or(workload.batch);
    let share = arguments.batch.unwrap_or(per_system);
    let batch = arguments.batch.unwrap_or(workload.batch);
    let mut known: Vec<Executed> = Vec::new();
    let mut with = |share: u64| -> Result<usize, Failure> {
        if let Some(at) = known.iter().position(|k| k.share == share) {
            return Ok(at);
        }
        let options = step.sized(share, 1);
        let work = Work { step: &options, limits: &arguments.many.limits, pes: false, cache: true };
        let (step, executed) = execute(&work, output)?;
        let job = Job::of(&step.workload, &step.arch, &step.compiled, &executed);
        let cluster = Cluster::of(&step.arch);
        known.push(Executed { share, micro_batch: step.compiled.micro_batch, job, cluster });
        Ok(known.len() - 1)
    };
    // Executed first: which shares each kind needs.
    let weak = (arguments.only != Some(Kind::Strong)).then(|| with(share)).transpose()?;
    let shares = SYSTEMS.map(|n| batch.div_ceil(u64::from(n)));
    let strong = (arguments.only != Some(Kind::Weak)).then(|| shares.into_iter().map(&mut with).collect());
    let strong: Option<Vec<usize>> = strong.transpose()?;
    let weak = weak.map(|at| {
        let k = &known[at];
        let on = |systems: u32| (share * u64::from(systems), k.micro_batch, k.job.weak(&k.cluster, systems));
        Curve::of(SYSTEMS.map(on).to_vec())
    });
    let strong = strong.map(|shares| {
        let on = |(&systems, at): (&u32, usize)| {
            let k = &known[at];
            (batch, k.micro_batch, k.job.shared(&Cluster { systems, ..k.cluster }, batch))
        };
        Curve::of(SYSTEMS.iter().zip(shares).map(on).collect())
    });
    Ok(ModelScaling { model: workload.shape.name, weak, strong })
}
