//! The published runs of Cerebras-GPT beside what is simulated.
//!
//! **Invariant.** A value of the paper is one that was published; what was not is `None`. Ours is
//! counted or executed, and none is fitted.
//! **Not here.** Executing (`runner::train`), tables (`text`).

use crate::scaling::Failed;
use models::count::parameters;
use models::presets::Training;
use models::training::{LAW_SOURCE, TOKENS_PER_PARAMETER};
use report::train::TrainReport;
use runner::{Error, Workload};
use schemars::JsonSchema;
use serde::Serialize;
use sim_core::diag::Diagnostic;

/// Schema of a [`PaperReport`].
pub const PAPER_SCHEMA: &str = "wafersim.cerebras-gpt/1";
/// The model that utilisation is relative to.
pub const REFERENCE: &str = "cerebras-gpt-111m";

const TABLE_1: &str = "Cerebras-GPT, arXiv 2304.03208, table 1; Cerebras/modelzoo at b353ab5, yaml files";
const TABLE_6: &str = "Cerebras-GPT, arXiv 2304.03208, table 6";
const TABLE_8: &str = "Cerebras-GPT, arXiv 2304.03208, table 8 and appendix F";
const MICRO: &str = "Cerebras/modelzoo at b353ab5 (2023-03-27): batch over systems and accumulation steps";

/// Result of `wafersim reproduce cerebras-gpt`.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct PaperReport {
    /// Name and version of the schema, [`PAPER_SCHEMA`].
    pub schema: &'static str,
    /// Version of this program.
    pub wafersim_version: &'static str,
    /// Name of the machine.
    pub arch: String,
    /// Hash of its numbers.
    pub arch_hash: String,
    /// Runs that were reproduced.
    pub runs: Vec<PaperRun>,
    /// Models that could not be executed, and why.
    pub failed: Vec<Failed>,
}

/// A published run.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[schemars(rename = "RunReport")]
pub struct PaperRun {
    /// The model.
    pub model: String,
    /// What was published, and what is simulated.
    pub rows: Vec<Comparison>,
    /// The run, simulated.
    pub train: TrainReport,
}

/// A quantity of a run.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Comparison {
    /// What it is.
    pub quantity: &'static str,
    /// Its value in the paper, if it was published.
    pub paper: Option<f64>,
    /// Its value here; None if what it is relative to was not executed.
    pub simulated: Option<f64>,
    /// `simulated / paper − 1`.
    pub error: Option<f64>,
    /// `setting` (an input of the run), `claimed` (a statement of the vendor), `measured`, or
    /// `not published`.
    pub kind: &'static str,
    /// How ours comes about.
    pub ours: &'static str,
    /// Where theirs is from.
    pub source: &'static str,
}

impl Comparison {
    fn new(
        quantity: &'static str,
        paper: Option<f64>,
        simulated: Option<f64>,
        (kind, ours, source): (&'static str, &'static str, &'static str),
    ) -> Comparison {
        let error = paper.zip(simulated).map(|(paper, ours)| ours / paper - 1.0);
        let (kind, source) = if paper.is_some() { (kind, source) } else { ("not published", "") };
        Comparison { quantity, paper, simulated, error, kind, ours, source }
    }
}

/// FLOP/s of a system in Cerebras' count.
#[must_use]
pub fn flops_per_system(train: &TrainReport) -> f64 {
    train.total.flops.cerebras / (train.total.system_hours * 3600.0)
}

/// Whether a training run of the model was published.
///
/// # Errors
/// If none was.
pub fn published(workload: &Workload) -> Result<&Training, Error> {
    workload.published.as_ref().and_then(|p| p.training.as_ref()).ok_or_else(|| {
        let help = "one of the seven of Cerebras-GPT (`wafersim models list`); others: `wafersim train`";
        let message = format!("no training run of {} was published", workload.shape.name);
        Error::invalid(Diagnostic::new("cli-train", "models", message).help(help))
    })
}

/// A published run beside its simulation; `reference`: FLOP/s of a system for [`REFERENCE`].
#[must_use]
pub fn compare(
    workload: &Workload,
    published: &Training,
    train: &TrainReport,
    reference: Option<f64>,
) -> Vec<Comparison> {
    let t = &train.total;
    let whole = |n: u64| Some(n as f64);
    let wanted = TOKENS_PER_PARAMETER * parameters(&workload.shape) as f64;
    let last = train.phases.last();
    let stage = published.stages.last();
    let per_batch = last.map_or(1, |p| p.batch) * u64::from(workload.seq_len);
    // Steps of the last batch size that are left of 20 tokens per parameter.
    let before: u64 = train.phases.iter().rev().skip(1).map(|p| p.tokens).sum();
    let steps: u64 = train.phases.iter().rev().skip(1).map(|p| p.steps).sum();
    let needed = steps as f64 + ((wanted - before as f64) / per_batch as f64).round();
    let counted = "counted: 20 tokens per parameter";
    let executed = "executed: steps times the executed step";
    vec![
        Comparison::new(
            "batch (last phase)",
            stage.and_then(|s| whole(s.batch)),
            last.and_then(|p| whole(p.batch)),
            ("setting", "taken from the paper", TABLE_1),
        ),
        Comparison::new(
            "sequences of a system at a time",
            stage.and_then(|s| whole(s.micro_batch_per_system)),
            last.map(|p| f64::from(p.micro_batch)),
            ("setting", "what fits on the simulated wafer best", MICRO),
        ),
        Comparison::new("steps", whole(published.steps), Some(needed), ("setting", counted, TABLE_1)),
        Comparison::new("tokens", whole(published.tokens), Some(wanted), ("setting", counted, TABLE_1)),
        Comparison::new(
            "training FLOPs",
            Some(published.flops),
            Some(t.flops.cerebras),
            ("claimed", "counted by appendix F", TABLE_8),
        ),
        Comparison::new(
            "test loss on the Pile, nats per token",
            Some(published.cross_entropy),
            Some(train.loss.expected),
            ("measured", "scaling law at the FLOPs above", LAW_SOURCE),
        ),
        Comparison::new("days", None, Some(t.seconds / 86_400.0), ("", executed, "")),
        Comparison::new("system-hours", None, Some(t.system_hours), ("", executed, "")),
        Comparison::new(
            "FLOP/s of a system against 111M on one",
            published.relative_utilisation,
            reference.map(|r| flops_per_system(train) / r),
            ("claimed", executed, TABLE_6),
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use report::Provenance;
    use runner::cluster_step::{ClusterStep, Exposed};
    use runner::train::{Effort, PhaseStep};
    use runner::training_plan::{Request, TrainingPlan};
    use sim_core::arch;

    /// A step of a second on each of the systems.
    fn second(systems: u32) -> ClusterStep {
        ClusterStep {
            systems,
            step_seconds: 1.0,
            compute_seconds: 1.0,
            scaling_efficiency: 1.0,
            exposed: Exposed { weights: 0.0, gradients: 0.0, optimizer: 0.0, activations: 0.0 },
            bottleneck: cluster::Cause::Compute,
            bound_by: None,
            weights_bytes: 0,
            gradients_bytes: 0,
            inputs_bytes: 0,
            outputs_bytes: 0,
            micro_batches: 1,
            padding: 0,
            executed_systems: 1,
            lost: None,
        }
    }

    /// With steps of a second, everything that the seven papers' rows say follows from counting; all
    /// that is counted agrees with the paper, to its digits.
    #[test]
    fn what_is_counted_agrees_with_the_paper() {
        let machine = arch::preset("andromeda16").unwrap();
        for preset in models::presets::list().into_iter().take(7) {
            let workload = Workload::preset(&preset.shape.name).unwrap();
            let plan = TrainingPlan::new(&workload, &machine, &Request::default()).unwrap();
            let phase = |systems| PhaseStep { micro_batch: 1, step: second(systems) };
            let steps: Vec<PhaseStep> = plan.phases.iter().map(|p| phase(p.systems)).collect();
            let executed = (&steps[..], Effort::default());
            let train = TrainReport::of((&workload, &machine), &plan, executed, &Provenance::default());
            let training = plan.training.as_ref().unwrap();
            let rows = compare(&workload, training, &train, Some(flops_per_system(&train)));
            let row = |quantity: &str| rows.iter().find(|r| r.quantity.starts_with(quantity)).unwrap();
            let error = |quantity: &str| row(quantity).error.unwrap().abs();
            let name = &preset.shape.name;
            assert!(error("batch") == 0.0, "{name}");
            assert!(error("steps") < 2e-4 && error("tokens") < 2e-4, "{name}: {rows:?}");
            assert!(error("training FLOPs") < 0.025 && error("test loss") < 0.0105, "{name}: {rows:?}");
            assert_eq!((row("days").paper, row("days").kind), (None, "not published"));
            assert_eq!(row("days").simulated, Some(training.steps as f64 / 86_400.0));
            assert_eq!(row("FLOP/s of a system").simulated, Some(1.0));
        }
    }
}
