//! A whole training run: its phases, and what they take together.
//!
//! **Invariant.** The time of a step comes from executing it; what is done here is to multiply by
//! the number of steps, to count FLOPs, and to evaluate the published scaling law.
//! **Not here.** Executing a step and the cluster (`runner`), the learning rate and the law
//! (`models::training`).

use crate::cluster::ClusterReport;
use crate::common::{self, ArchInfo, Assumed, ByConvention, ModelInfo, Simulation};
use crate::provenance::Provenance;
use crate::table::word;
use models::count::{FlopConvention, parameters, training_flops};
use models::training::{LAW, LAW_SOURCE, Schedule, expected_loss};
use runner::Workload;
use runner::train::{Effort, PhaseStep};
use runner::training_plan::{Phase, TrainingPlan};
use schemars::JsonSchema;
use serde::Serialize;
use sim_core::arch::ArchSpec;

/// Schema of a [`TrainReport`].
pub const TRAIN_SCHEMA: &str = "wafersim.train/1";
/// Seconds of an hour.
const HOUR: f64 = 3600.0;

/// Result of `wafersim train`.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct TrainReport {
    /// Name and version of the schema, [`TRAIN_SCHEMA`].
    pub schema: &'static str,
    /// Version of this program.
    pub wafersim_version: &'static str,
    /// A command that gives this report again.
    pub command: String,
    /// Hash of the machine's numbers.
    pub arch_hash: String,
    /// The model.
    pub model: ModelInfo,
    /// The machine.
    pub arch: ArchInfo,
    /// Where the plan of the run is from.
    pub plan: String,
    /// Parts of the run with one batch size each, in order.
    pub phases: Vec<PhaseReport>,
    /// The learning rate, piece by piece; empty if none was published.
    pub learning_rate: Vec<Piece>,
    /// All phases together.
    pub total: Total,
    /// What the scaling law expects.
    pub loss: Loss,
    /// What no public source says.
    pub assumed: Vec<Assumed>,
    /// How it was obtained.
    pub simulation: Simulation,
}

/// A part of the run with one batch size.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct PhaseReport {
    /// Systems that share the batch.
    pub systems: u32,
    /// Sequences per step, all systems.
    pub batch: u64,
    /// Sequences of a system at a time.
    pub micro_batch: u32,
    /// Steps of the phase or the run.
    pub steps: u64,
    /// Tokens that are read.
    pub tokens: u64,
    /// Time of all steps.
    pub seconds: f64,
    /// Learning rate at the start and at the end.
    pub learning_rate: Option<[f64; 2]>,
    /// A step, executed.
    pub step: ClusterReport,
}

/// A piece of the learning rate.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Piece {
    /// `warm-up`, `linear` or `cosine`.
    pub shape: String,
    /// Tokens at its start and at its end.
    pub tokens: [u64; 2],
    /// Rates there.
    pub rate: [f64; 2],
}

/// What a run takes.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Total {
    /// Steps of the phase or the run.
    pub steps: u64,
    /// Tokens that are read.
    pub tokens: u64,
    /// Tokens per parameter.
    pub tokens_per_parameter: f64,
    /// Time in seconds.
    pub seconds: f64,
    /// Time times systems, in hours.
    pub system_hours: f64,
    /// Model FLOPs.
    pub flops: ByConvention,
    /// Share of the peak of the systems in use.
    pub utilisation: ByConvention,
    /// Energy of the systems at their highest power, in kilowatt-hours: an upper bound for them;
    /// MemoryX, SwarmX and other servers are not in it.
    pub energy_at_peak_kwh: f64,
    /// Highest power of a system in watts.
    pub system_watts: u32,
    /// Where that is from.
    pub power_source: String,
}

/// The loss at the end.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Loss {
    /// What the law expects.
    pub expected: f64,
    /// The law.
    pub law: &'static str,
    /// Where it is from, and what it is about.
    pub source: &'static str,
    /// What was published for this run, if it is a published one.
    pub published: Option<f64>,
    /// `expected / published − 1`.
    pub residual: Option<f64>,
}

impl TrainReport {
    /// The report of a training run: its plan with an executed step of every phase, and what executing
    /// them took.
    #[must_use]
    pub fn of(
        (workload, arch): (&Workload, &ArchSpec),
        plan: &TrainingPlan,
        (steps, effort): (&[PhaseStep], Effort),
        provenance: &Provenance,
    ) -> TrainReport {
        let phases = phases(workload, plan, steps);
        let total = total(workload, arch, &phases);
        let published = plan.training.as_ref().filter(|_| plan.published).map(|t| t.cross_entropy);
        let expected = expected_loss(total.flops.cerebras);
        TrainReport {
            schema: TRAIN_SCHEMA,
            wafersim_version: crate::VERSION,
            command: provenance.command.clone(),
            arch_hash: arch.hash(),
            model: ModelInfo::of(workload),
            arch: ArchInfo::of(arch),
            plan: plan.origin.clone(),
            learning_rate: pieces(plan.schedule(workload)),
            loss: Loss {
                expected,
                law: LAW,
                source: LAW_SOURCE,
                published,
                residual: published.map(|loss| expected / loss - 1.0),
            },
            phases,
            total,
            assumed: common::assumed(arch, true),
            simulation: provenance.simulation(effort),
        }
    }
}

fn phases(workload: &Workload, plan: &TrainingPlan, steps: &[PhaseStep]) -> Vec<PhaseReport> {
    let schedule = plan.schedule(workload);
    let mut before = 0;
    let mut report = |(phase, executed): (&Phase, &PhaseStep)| {
        let PhaseStep { micro_batch, step } = *executed;
        let tokens = phase.tokens(workload.seq_len);
        let ends = [before, before + tokens];
        before = ends[1];
        PhaseReport {
            systems: phase.systems,
            batch: phase.batch,
            micro_batch,
            steps: phase.steps,
            tokens,
            seconds: phase.steps as f64 * step.step_seconds,
            learning_rate: schedule.map(|s| ends.map(|t| s.rate(t))),
            step: ClusterReport::from(&step),
        }
    };
    plan.phases.iter().zip(steps).map(&mut report).collect()
}

fn total(workload: &Workload, arch: &ArchSpec, phases: &[PhaseReport]) -> Total {
    let tokens: u64 = phases.iter().map(|p| p.tokens).sum();
    let system_seconds: f64 = phases.iter().map(|p| p.seconds * f64::from(p.systems)).sum();
    let peak = common::peak_flops(arch);
    let by = |f: &dyn Fn(f64) -> f64| {
        let flops = |convention| f(training_flops(&workload.shape, workload.seq_len, tokens, convention) as f64);
        ByConvention {
            cerebras: flops(FlopConvention::Cerebras),
            palm: flops(FlopConvention::Palm),
            six_n: flops(FlopConvention::SixN),
        }
    };
    let watts = arch.system.power.value;
    Total {
        steps: phases.iter().map(|p| p.steps).sum(),
        tokens,
        tokens_per_parameter: tokens as f64 / parameters(&workload.shape) as f64,
        seconds: phases.iter().map(|p| p.seconds).sum(),
        system_hours: system_seconds / HOUR,
        flops: by(&|flops| flops),
        utilisation: by(&|flops| flops / (peak * system_seconds)),
        energy_at_peak_kwh: f64::from(watts) * system_seconds / HOUR / 1000.0,
        system_watts: watts,
        power_source: format!("{}: {}", arch.system.power.source.kind(), arch.system.power.source.text()),
    }
}

/// The schedule in pieces.
fn pieces(schedule: Option<Schedule>) -> Vec<Piece> {
    let Some(s) = schedule else { return Vec::new() };
    let top = s.warmup_tokens.min(s.tokens);
    let piece = |shape: &str, from: u64, to: u64| Piece {
        shape: shape.to_owned(),
        tokens: [from, to],
        rate: [s.rate(from), s.rate(to)],
    };
    let down = word(&s.decay);
    vec![piece("warm-up", 0, top), piece(&down, top, s.tokens)]
}
