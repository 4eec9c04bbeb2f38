//! A step on many wafers: what the executed kernels of one wafer make of a cluster.
//!
//! **Invariant.** Cycles and bytes are those of the executed programs; nothing is estimated.
//! **Not here.** The rules of the cluster (crate `cluster`, `docs/CLUSTER.md`).

use crate::compiled_step::CompiledStep;
use crate::execute::ExecutedStep;
use crate::traffic::Traffic;
use cluster::{Cause, Cluster, Component, ExecutedKernel, Outcome, Picos, Table};
use models::ModelShape;
use models::count::parameters;
use models::design::Positions;
use sim_core::arch::ArchSpec;

/// Bytes of an element of a gradient, which is always 32-bit.
const GRADIENT: u64 = 4;

/// A step on all systems of a cluster.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ClusterStep {
    /// Systems that work.
    pub systems: u32,
    /// Seconds from the start of a step to the start of the next.
    pub step_seconds: f64,
    /// Of it, the kernels of the slowest system.
    pub compute_seconds: f64,
    /// A step of one system with its share of the batch, over this one.
    pub scaling_efficiency: f64,
    /// What a system stalls for, in seconds.
    pub exposed: Exposed,
    /// Compute, or what a system stalls for longest, if that is a hundredth of the step.
    pub bottleneck: Cause,
    /// The part of the cluster without whose limits the step is shortest; None where a system hardly
    /// stalls.
    pub bound_by: Option<Component>,
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
    /// What the loss of systems costs, with `cluster.lost`. All else is then about the systems that
    /// are left.
    pub lost: Option<Lost>,
}

/// Seconds that a system stalls in a step.
#[derive(Debug, Clone, Copy, PartialEq)]
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

/// Systems that are lost within a step, whose share the others take over.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Lost {
    /// Systems that are lost.
    pub systems: u32,
    /// Seconds of a step of all systems.
    pub step_seconds_before: f64,
    /// Seconds of the step in which they are lost, at its end: it is done once more by those that are
    /// left.
    pub redone_step_seconds: f64,
}

/// A step that one wafer executed, as the work of a cluster.
#[derive(Debug)]
pub struct WaferStep {
    kernels: Vec<ExecutedKernel>,
    /// Micro-batches of a wafer.
    micro_batches: u64,
    micro_batch: u64,
    /// Sequences of a step.
    batch: u64,
    parameters: Vec<u64>,
    table: Table,
}

impl WaferStep {
    /// Of a step and its execution.
    #[must_use]
    pub fn of(step: &CompiledStep, executed: &ExecutedStep) -> WaferStep {
        WaferStep::on_machine(step, &step.arch, executed)
    }

    /// Of a step that was executed on another machine than it was compiled for.
    #[must_use]
    pub fn on_machine(step: &CompiledStep, arch: &ArchSpec, executed: &ExecutedStep) -> WaferStep {
        let CompiledStep { workload, compiled, .. } = step;
        let shape = &workload.shape;
        let positions = if shape.design.positions == Positions::Learned { shape.max_positions } else { 0 };
        let rows = u64::from(shape.vocab) + u64::from(positions);
        let embeddings = rows * u64::from(shape.d_model);
        WaferStep {
            kernels: kernels(step, arch, executed),
            micro_batches: compiled.micro_batches,
            micro_batch: u64::from(compiled.micro_batch),
            batch: workload.batch,
            parameters: layers(shape),
            table: Table {
                weights: embeddings * u64::from(compiled.geometry.precision.act.bytes()),
                gradients: embeddings * GRADIENT,
            },
        }
    }

    /// The step on a cluster whose systems each do what the wafer did (`cluster.lost` apart).
    #[must_use]
    pub fn on(&self, cluster: &Cluster) -> ClusterStep {
        let whole = Cluster { lost: 0, ..*cluster };
        let full = self.run(&whole, self.micro_batches);
        if cluster.lost == 0 {
            return self.report(cluster, &full, self.micro_batches);
        }
        // Rule K9: as many micro-batches more as it takes, of the same size.
        let micro_batches = self.batch.div_ceil(self.micro_batch * u64::from(cluster.working()));
        let left = self.run(cluster, micro_batches);
        let lost = Lost {
            systems: cluster.lost,
            step_seconds_before: full.step.seconds(),
            redone_step_seconds: full.step.seconds() + left.step.seconds(),
        };
        ClusterStep { lost: Some(lost), ..self.report(cluster, &left, micro_batches) }
    }

    /// The step with a batch that gives each of the cluster's systems the same share.
    #[must_use]
    pub fn shared(&self, cluster: &Cluster, batch: u64) -> ClusterStep {
        let (kernels, parameters) = (self.kernels.clone(), self.parameters.clone());
        WaferStep { batch, kernels, parameters, ..*self }.on(cluster)
    }

    /// The step on so many systems, each with the same share of sequences: weak scaling.
    #[must_use]
    pub fn weak(&self, cluster: &Cluster, systems: u32) -> ClusterStep {
        let share = self.micro_batch * self.micro_batches;
        self.shared(&Cluster { systems, lost: 0, ..*cluster }, share * u64::from(systems))
    }

    fn run(&self, cluster: &Cluster, micro_batches: u64) -> Outcome {
        cluster::run(cluster, &self.work(micro_batches))
    }

    fn work(&self, micro_batches: u64) -> cluster::Work<'_> {
        let (kernels, parameters) = (&self.kernels, &self.parameters);
        cluster::Work { kernels, micro_batches, parameters, table: self.table }
    }

    fn report(&self, cluster: &Cluster, done: &Outcome, micro_batches: u64) -> ClusterStep {
        let one = Cluster { systems: 1, skew: 0, lost: 0, ..*cluster };
        let alone = if one == *cluster { *done } else { self.run(&one, micro_batches) };
        let sum = |of: fn(&ExecutedKernel) -> u64| self.kernels.iter().map(of).sum::<u64>() * micro_batches;
        ClusterStep {
            systems: cluster.working(),
            step_seconds: done.step.seconds(),
            compute_seconds: done.compute.seconds(),
            scaling_efficiency: alone.step.seconds() / done.step.seconds(),
            exposed: Exposed {
                weights: done.weights.seconds(),
                gradients: done.gradients.seconds(),
                optimizer: done.optimizer.seconds(),
                activations: done.activations.seconds(),
            },
            bottleneck: done.bottleneck(),
            bound_by: cluster::bound_by(cluster, &self.work(micro_batches), done),
            weights_bytes: sum(|s| s.weights),
            gradients_bytes: sum(|s| s.gradients),
            inputs_bytes: sum(|s| s.inputs),
            outputs_bytes: sum(|s| s.outputs),
            micro_batches,
            padding: micro_batches * self.micro_batch * u64::from(cluster.working()) - self.batch,
            executed_systems: done.executed,
            lost: None,
        }
    }
}

/// The step on the systems of a machine; None if there is only one.
#[must_use]
pub fn on_systems(step: &CompiledStep, arch: &ArchSpec, executed: &ExecutedStep) -> Option<ClusterStep> {
    (arch.cluster.systems.value > 1).then(|| WaferStep::on_machine(step, arch, executed).on(&Cluster::of(arch)))
}

/// The kernels of a micro-batch, in order.
fn kernels(step: &CompiledStep, arch: &ArchSpec, executed: &ExecutedStep) -> Vec<ExecutedKernel> {
    let CompiledStep { workload, compiled, .. } = step;
    let mut kernels = Vec::with_capacity(compiled.launches.len());
    let launches = compiled.launches.iter().zip(&executed.launches).zip(&executed.traffic);
    for ((launch, &program), &Traffic { own_on, weights, own_off, gradients }) in launches {
        let time = Picos::of(executed.outcomes[program].cycles.0, arch.wafer.clock_hz.value);
        let layer = launch.layer.unwrap_or(workload.shape.layers);
        let kernel = ExecutedKernel { time, inputs: own_on, outputs: own_off, weights, gradients, layer };
        kernels.extend(std::iter::repeat_n(kernel, launch.count as usize));
    }
    kernels
}

/// Parameters of every layer, and of what belongs to none.
fn layers(shape: &ModelShape) -> Vec<u64> {
    let of = |layers| parameters(&ModelShape { layers, ..shape.clone() });
    let layer = of(2) - of(1);
    let mut all = vec![layer; shape.layers as usize];
    all.push(of(1) - layer);
    all
}
