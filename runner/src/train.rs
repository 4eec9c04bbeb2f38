//! A training run: one step of every phase of its plan, executed.
//!
//! **Invariant.** The time of a step comes from executing it. Phases in which every system has the same
//! share of the batch share one execution.
//! **Not here.** The phases (`training_plan`), multiplying by their steps (`report`).

use crate::cluster_step::{ClusterStep, WaferStep};
use crate::error::Error;
use crate::execute::Executor;
use crate::groups::groups;
use crate::job::Job;
use crate::training_plan::{Phase, TrainingPlan};
use cluster::Cluster;

/// A step of a phase.
#[derive(Debug, Clone, Copy)]
pub struct PhaseStep {
    /// Sequences of a system at a time.
    pub micro_batch: u32,
    /// The step on the systems of the phase.
    pub step: ClusterStep,
}

/// What was executed for a training run, added up over the steps that were.
#[derive(Debug, Clone, Copy, Default)]
pub struct Effort {
    /// Cycles that were stepped.
    pub stepped_cycles: u64,
    /// PE-cycles that were stepped.
    pub stepped_pe_cycles: u64,
    /// PE-cycles that the steps cover.
    pub covered_pe_cycles: u64,
    /// Programs whose outcomes came out of a store.
    pub cached_programs: u64,
}

/// A step as one wafer executed it: with a share of the batch, in micro-batches of a size.
struct Known {
    share: u64,
    micro_batch: u32,
    wafer: WaferStep,
}

/// Executes a step of every phase.
///
/// # Errors
/// The first phase that cannot be compiled or executed.
pub fn train(job: &Job, plan: &TrainingPlan, executor: &Executor<'_>) -> Result<(Vec<PhaseStep>, Effort), Error> {
    let mut effort = Effort::default();
    let mut known: Vec<Known> = Vec::new();
    let mut steps = Vec::new();
    for phase in &plan.phases {
        steps.push(step(&job.sized(phase.batch, phase.systems)?, phase, &mut known, executor, &mut effort)?);
    }
    Ok((steps, effort))
}

/// The step of a phase: executed, unless a phase before it had the same share of the batch.
fn step(
    job: &Job,
    phase: &Phase,
    known: &mut Vec<Known>,
    executor: &Executor<'_>,
    effort: &mut Effort,
) -> Result<PhaseStep, Error> {
    let same = |k: &Known| k.share * u64::from(phase.systems) == phase.batch;
    let at = match known.iter().position(same) {
        Some(at) => at,
        None => {
            known.push(executed(job, executor, effort)?);
            known.len() - 1
        }
    };
    let Known { micro_batch, wafer, .. } = &known[at];
    Ok(PhaseStep { micro_batch: *micro_batch, step: wafer.shared(&Cluster::of(job.arch()), phase.batch) })
}

fn executed(job: &Job, executor: &Executor<'_>, effort: &mut Effort) -> Result<Known, Error> {
    let step = job.compile()?;
    let executed = step.execute(executor)?;
    effort.cached_programs += executed.cached;
    for outcome in &executed.outcomes {
        effort.stepped_cycles += outcome.stepped_cycles;
        effort.stepped_pe_cycles += outcome.stepped_pe_cycles;
    }
    effort.covered_pe_cycles += groups(&step.compiled, &executed).iter().map(|g| g.pe_cycles.total()).sum::<u64>();
    let micro_batch = step.compiled.micro_batch;
    let share = u64::from(micro_batch) * step.compiled.micro_batches;
    Ok(Known { share, micro_batch, wafer: WaferStep::of(&step, &executed) })
}
