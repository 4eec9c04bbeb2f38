//! The step on all systems of a cluster, in a report.
//!
//! **Not here.** The rules of a cluster (crate `cluster`, `docs/CLUSTER.md`), what is computed
//! (`runner::cluster_step`).

use runner::cluster_step::ClusterStep;
use schemars::JsonSchema;
use serde::Serialize;

/// The step on all systems of a cluster (`docs/CLUSTER.md`).
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct ClusterReport {
    /// Systems that share the batch.
    pub systems: u32,
    /// From the start of a step to the start of the next.
    pub step_seconds: f64,
    /// Of it, the kernels of the slowest system.
    pub compute_seconds: f64,
    /// A step of one system with its share of the batch, over this one.
    pub scaling_efficiency: f64,
    /// What a system stalls for, in seconds.
    pub exposed: Exposed,
    /// `compute`, or what a system stalls for longest, if that is a hundredth of the step.
    #[schemars(with = "String")]
    pub bottleneck: cluster::Cause,
    /// The part of the cluster without whose limits the step is shortest: `memoryx`, `swarmx`,
    /// `servers` (of activations) or `edges` (of the wafers). Left out where a system hardly
    /// stalls.
    #[schemars(with = "Option<String>")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bound_by: Option<cluster::Component>,
    /// Bytes of weights onto each wafer.
    pub weights_bytes: u64,
    /// Bytes of gradients off each wafer.
    pub gradients_bytes: u64,
    /// Bytes onto each wafer that it gets alone.
    pub inputs_bytes: u64,
    /// Bytes off each wafer that it gives alone.
    pub outputs_bytes: u64,
    /// Micro-batches of a system in a step; each takes the whole stream of weights.
    pub micro_batches: u64,
    /// Sequences of a step that only fill up the last micro-batches.
    pub padding: u64,
    /// Systems that were executed; the others do the same at the same time.
    pub executed_systems: u32,
    /// What the loss of systems costs; only with `cluster.lost`. All else is then about the systems
    /// that are left.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lost: Option<LostReport>,
}

/// Systems that are lost within a step, whose share the others take over.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, JsonSchema)]
pub struct LostReport {
    /// Systems that are lost.
    pub systems: u32,
    /// A step of all systems.
    pub step_seconds_before: f64,
    /// The step in which they are lost, at its end: it is done once more by those that are left.
    pub redone_step_seconds: f64,
}

/// Seconds that a system stalls in a step.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, JsonSchema)]
pub struct Exposed {
    /// For weights.
    pub weights: f64,
    /// For gradients to leave.
    pub gradients: f64,
    /// For parameters to be updated.
    pub optimizer: f64,
    /// For what it gets or gives alone.
    pub activations: f64,
}

impl From<&ClusterStep> for ClusterReport {
    fn from(c: &ClusterStep) -> ClusterReport {
        let e = c.exposed;
        ClusterReport {
            systems: c.systems,
            step_seconds: c.step_seconds,
            compute_seconds: c.compute_seconds,
            scaling_efficiency: c.scaling_efficiency,
            exposed: Exposed {
                weights: e.weights,
                gradients: e.gradients,
                optimizer: e.optimizer,
                activations: e.activations,
            },
            bottleneck: c.bottleneck,
            bound_by: c.bound_by,
            weights_bytes: c.weights_bytes,
            gradients_bytes: c.gradients_bytes,
            inputs_bytes: c.inputs_bytes,
            outputs_bytes: c.outputs_bytes,
            micro_batches: c.micro_batches,
            padding: c.padding,
            executed_systems: c.executed_systems,
            lost: c.lost.map(|l| LostReport {
                systems: l.systems,
                step_seconds_before: l.step_seconds_before,
                redone_step_seconds: l.redone_step_seconds,
            }),
        }
    }
}
