//! How a model scales over numbers of systems, and where and why that bends.
//!
//! **Invariant.** Every row is a step that was executed on that many systems; what is done here is
//! to compare rows.
//! **Not here.** Executing (`runner`), tables (`text`) and pictures (`curves`).

use cluster::{Cause, Cluster};
use report::cluster::ClusterReport;
use runner::cluster_step::WaferStep;
use runner::{Error, Executor, Job};
use schemars::JsonSchema;
use serde::Serialize;

/// Schema of a [`ScalingReport`].
pub const SCALING_SCHEMA: &str = "wafersim.scaling/1";
/// Numbers of systems of the published scaling.
pub const SYSTEMS: [u32; 5] = [1, 2, 4, 8, 16];
/// What was published about it.
pub const CLAIM: &str = "\"near-perfect linear scaling\" from 1 to 16 systems for GPT-3 XL, GPT-J and GPT-NeoX \
    (claimed: Cerebras, Andromeda, 2022-11-14); no table was published, so there is no error to print";
/// Share of the ideal step above which scaling is said to bend.
const BEND: f64 = 0.01;

/// Result of `wafersim reproduce andromeda-scaling`.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct ScalingReport {
    /// Name and version of the schema, [`SCALING_SCHEMA`].
    pub schema: &'static str,
    /// Version of this program.
    pub wafersim_version: &'static str,
    /// Name of the machine.
    pub arch: String,
    /// Hash of its numbers.
    pub arch_hash: String,
    /// What was published.
    pub claim: &'static str,
    /// Models that were executed.
    pub models: Vec<ModelScaling>,
    /// Models that were not, and why.
    pub failed: Vec<Failed>,
}

/// A model that could not be executed.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Failed {
    /// The model.
    pub model: String,
    /// Why the model could not be run.
    pub faults: Vec<String>,
}

/// How a model scales.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct ModelScaling {
    /// Name of the model.
    pub model: String,
    /// Steps in which every system has an equal share of a batch that grows with them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weak: Option<Curve>,
    /// Steps with one batch, shared by more and more systems.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub strong: Option<Curve>,
}

/// Steps on several numbers of systems.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Curve {
    /// One row for each number of systems.
    pub rows: Vec<Row>,
    /// Where it bends, and why.
    pub bend: Bend,
}

/// A step on some systems.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Row {
    /// Systems that share the batch.
    pub systems: u32,
    /// Sequences of the step, padding not counted.
    pub batch: u64,
    /// Sequences of a system at a time.
    pub micro_batch: u32,
    /// Sequences per second.
    pub samples_per_second: f64,
    /// Sequences per second against one system's.
    pub speedup: f64,
    /// Throughput per system, divided by that of one system.
    pub efficiency: f64,
    /// The step.
    pub step: ClusterReport,
}

/// Where a curve leaves the ideal, and what takes the time.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, JsonSchema)]
pub struct Bend {
    /// First number of systems at which a hundredth of the speed is lost; None if none is.
    pub systems: Option<u32>,
    /// The number of systems of which the rest speaks: that one, or the largest.
    pub at: u32,
    /// What takes most of the time that is lost: `compute` if kernels do, as shares become small.
    #[schemars(with = "String")]
    pub cause: Cause,
    /// Seconds of a step that are lost to it.
    pub seconds: f64,
    /// All that is lost, as a share of the ideal speed.
    pub lost: f64,
}

impl Curve {
    /// A curve of steps, each with its number of sequences and its micro-batch, the first one on one
    /// system.
    ///
    /// # Panics
    /// If there is no step.
    #[must_use]
    pub fn of(steps: Vec<(u64, u32, ClusterReport)>) -> Curve {
        let rate = |batch: u64, step: &ClusterReport| batch as f64 / step.step_seconds;
        let first = &steps[0];
        let alone = rate(first.0, &first.2) / f64::from(first.2.systems);
        let row = |(batch, micro_batch, step): (u64, u32, ClusterReport)| {
            let (systems, samples_per_second) = (step.systems, rate(batch, &step));
            let speedup = samples_per_second / alone;
            let efficiency = speedup / f64::from(systems);
            Row { systems, batch, micro_batch, samples_per_second, speedup, efficiency, step }
        };
        let rows: Vec<Row> = steps.into_iter().map(row).collect();
        let bend = bend(&rows);
        Curve { rows, bend }
    }
}

/// A kind of scaling.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Every system has an equal share of a batch that grows with their number.
    Weak,
    /// One batch, shared by more and more systems.
    Strong,
}

impl Kind {
    /// The curve of a model.
    #[must_use]
    pub fn curve(self, model: &ModelScaling) -> Option<&Curve> {
        match self {
            Kind::Weak => model.weak.as_ref(),
            Kind::Strong => model.strong.as_ref(),
        }
    }
}

/// A step as one wafer executed it: with a share of the batch, in micro-batches of a size.
struct Known {
    share: u64,
    micro_batch: u32,
    wafer: WaferStep,
    cluster: Cluster,
}

/// Executes a model's step for every share of the batch that the curves need. `batch`: sequences of
/// every system in weak scaling, of all in strong scaling; None is what was published.
///
/// # Errors
/// The first share that cannot be compiled or executed.
pub fn scale(
    job: &Job,
    batch: Option<u64>,
    only: Option<Kind>,
    executor: &Executor<'_>,
) -> Result<ModelScaling, Error> {
    let workload = job.workload();
    let published = workload.published.as_ref();
    let per_system = published.map(|p| p.batch / u64::from(p.systems)).unwrap_or(workload.batch);
    let share = batch.unwrap_or(per_system);
    let batch = batch.unwrap_or(workload.batch);
    let mut known: Vec<Known> = Vec::new();
    let mut with = |share: u64| -> Result<usize, Error> {
        if let Some(at) = known.iter().position(|k| k.share == share) {
            return Ok(at);
        }
        let step = job.sized(share, 1)?.compile()?;
        let wafer = WaferStep::of(&step, &step.execute(executor)?);
        let micro_batch = step.compiled.micro_batch;
        known.push(Known { share, micro_batch, wafer, cluster: Cluster::of(&step.arch) });
        Ok(known.len() - 1)
    };
    // Executed first: which shares each kind needs.
    let weak = (only != Some(Kind::Strong)).then(|| with(share)).transpose()?;
    let shares = SYSTEMS.map(|n| batch.div_ceil(u64::from(n)));
    let strong = (only != Some(Kind::Weak)).then(|| shares.into_iter().map(&mut with).collect());
    let strong: Option<Vec<usize>> = strong.transpose()?;
    Ok(ModelScaling {
        model: workload.shape.name.clone(),
        weak: weak.map(|at| weak_curve(&known[at], share)),
        strong: strong.map(|shares| strong_curve(shares.iter().map(|&at| &known[at]), batch)),
    })
}

fn weak_curve(k: &Known, share: u64) -> Curve {
    let on = |systems: u32| {
        let step = k.wafer.weak(&k.cluster, systems);
        (share * u64::from(systems), k.micro_batch, ClusterReport::from(&step))
    };
    Curve::of(SYSTEMS.map(on).to_vec())
}

fn strong_curve<'a>(shares: impl Iterator<Item = &'a Known>, batch: u64) -> Curve {
    let on = |(systems, k): (u32, &Known)| {
        let step = k.wafer.shared(&Cluster { systems, ..k.cluster }, batch);
        (batch, k.micro_batch, ClusterReport::from(&step))
    };
    Curve::of(SYSTEMS.into_iter().zip(shares).map(on).collect())
}

/// Seconds of a step by what they are spent on.
fn parts(step: &ClusterReport) -> [(Cause, f64); 5] {
    let e = &step.exposed;
    [
        (Cause::Compute, step.compute_seconds),
        (Cause::Weights, e.weights),
        (Cause::Gradients, e.gradients),
        (Cause::Optimizer, e.optimizer),
        (Cause::Activations, e.activations),
    ]
}

fn bend(rows: &[Row]) -> Bend {
    let bent = rows.iter().find(|r| r.efficiency < 1.0 - BEND);
    let row = bent.unwrap_or(&rows[rows.len() - 1]);
    // What the row's sequences would take of each part if systems worked as the first row's do.
    let ideal = row.batch as f64 * f64::from(rows[0].systems) / (rows[0].batch as f64 * f64::from(row.systems));
    let lost =
        parts(&row.step).into_iter().zip(parts(&rows[0].step)).map(|((cause, s), (_, t))| (cause, s - t * ideal));
    let most = lost.max_by(|a, b| a.1.total_cmp(&b.1)).unwrap_or((Cause::Compute, 0.0));
    Bend {
        systems: bent.map(|r| r.systems),
        at: row.systems,
        cause: most.0,
        seconds: most.1,
        lost: 1.0 - row.efficiency,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use report::cluster::Exposed;

    fn step(systems: u32, compute: f64, gradients: f64) -> ClusterReport {
        ClusterReport {
            systems,
            step_seconds: compute + gradients,
            compute_seconds: compute,
            scaling_efficiency: 1.0,
            exposed: Exposed { weights: 0.0, gradients, optimizer: 0.0, activations: 0.0 },
            bottleneck: Cause::Compute,
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

    #[test]
    fn weak_scaling_bends_where_a_part_grows() {
        let steps = [(1, 0.0), (2, 0.001), (4, 0.5), (8, 0.6)];
        let curve = Curve::of(steps.map(|(n, g)| (10 * u64::from(n), 10, step(n, 1.0, g))).to_vec());
        assert_eq!((curve.bend.systems, curve.bend.cause, curve.bend.seconds), (Some(4), Cause::Gradients, 0.5));
        assert!((curve.rows[2].efficiency - 1.0 / 1.5).abs() < 1e-12);
        assert!((curve.rows[3].speedup - 8.0 / 1.6).abs() < 1e-12);
    }

    #[test]
    fn strong_scaling_bends_where_kernels_do_not_shrink() {
        let steps = [(1, 1.0), (2, 0.5), (4, 0.4)];
        let curve = Curve::of(steps.map(|(n, c)| (8, 8, step(n, c, 0.0))).to_vec());
        assert_eq!((curve.bend.systems, curve.bend.cause), (Some(4), Cause::Compute));
        assert!((curve.bend.seconds - 0.15).abs() < 1e-12 && (curve.bend.lost - 0.375).abs() < 1e-12);
        let straight = Curve::of(vec![(8, 8, step(1, 1.0, 0.0)), (16, 8, step(2, 1.0, 0.0))]);
        assert_eq!((straight.bend.systems, straight.bend.at, straight.bend.lost), (None, 2, 0.0));
    }
}
