//! `wafersim reproduce andromeda-scaling`.

use super::super::output::Output;
use super::super::reply::Reply;
use super::super::session::Session;
use super::many::{Many, ended, failed};
use crate::fail::Failure;
use crate::{files, inputs};
use clap::{Args, ValueEnum};
use published::curves;
use published::scaling::{self, CLAIM, SCALING_SCHEMA, ScalingReport, scale};
use published::text;
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
    /// Every system has an equal share of a batch that grows with their number.
    Weak,
    /// One batch, shared by more and more systems.
    Strong,
}

impl From<Kind> for scaling::Kind {
    fn from(kind: Kind) -> scaling::Kind {
        match kind {
            Kind::Weak => scaling::Kind::Weak,
            Kind::Strong => scaling::Kind::Strong,
        }
    }
}

pub(super) fn run(arguments: &Scaling, output: &Output) -> Result<Reply, Failure> {
    let arch = inputs::machine(&arguments.many.arch, &arguments.many.sets)?;
    let session = Session::new(&arguments.many.limits, true, output)?;
    let only = arguments.only.map(scaling::Kind::from);
    let (models, bad) = arguments.many.each(output, |step| {
        let job = step.job()?;
        let scaled = session.run(|executor| scale(&job, arguments.batch, only, executor))?;
        output.stage(&text::scaling::line(&scaled));
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
        for (name, which, other) in [
            ("weak-scaling.svg", scaling::Kind::Weak, Kind::Strong),
            ("strong-scaling.svg", scaling::Kind::Strong, Kind::Weak),
        ] {
            if arguments.only != Some(other) {
                files::write(&folder.join(name), curves::svg(&report, which)?.as_bytes())?;
            }
        }
    }
    ended(!report.models.is_empty(), bad, Reply::of(report), output)
}
