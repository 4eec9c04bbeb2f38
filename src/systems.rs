//! A step on many wafers: what the executed kernels of one wafer make of a cluster.
//!
//! **Invariant.** Cycles and bytes are those of the executed programs; nothing is estimated.
//! **Not here.** The rules of the cluster (crate `cluster`, `docs/CLUSTER.md`).

use crate::report::{ClusterReport, Exposed, LostReport};
use crate::step::Executed;
use crate::workload::Workload;
use cluster::{Cluster, ExecutedKernel, Outcome, Picos, Table};
use compiler::step::Compiled;
use models::ModelShape;
use models::count::parameters;
use models::design::Positions;
use sim_core::arch::ArchSpec;
use sim_core::program::{EdgeStream, Flow, Program};

/// Bytes of an element of a gradient, which is always 32-bit.
const GRADIENT: u64 = 4;

/// Bytes that cross a wafer's edge in a launch. What is repeated to several ports counts once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Traffic {
    /// Onto the wafer: those of its own sequences (`Kernel::own_stream`), and others.
    own_on: u64,
    weights: u64,
    /// Off the wafer, likewise.
    own_off: u64,
    gradients: u64,
}

impl Traffic {
    /// Of a program; `own` says which streams are those of the wafer's own sequences.
    #[must_use]
    pub fn of(program: &Program, own: impl Fn(&str) -> bool) -> Traffic {
        let bytes = |e: &EdgeStream| 4 * e.wavelets * u64::from(e.ports.count.div_ceil(e.fanout.max(1)));
        let mut traffic = Traffic::default();
        for stream in &program.edges {
            let sum = match (stream.flow, own(&stream.name)) {
                (Flow::In, true) => &mut traffic.own_on,
                (Flow::In, false) => &mut traffic.weights,
                (Flow::Out, true) => &mut traffic.own_off,
                (Flow::Out, false) => &mut traffic.gradients,
            };
            *sum += bytes(stream);
        }
        traffic
    }

    /// Bytes onto the wafer.
    #[must_use]
    pub fn on(&self) -> u64 {
        self.own_on + self.weights
    }

    /// Bytes off the wafer.
    #[must_use]
    pub fn off(&self) -> u64 {
        self.own_off + self.gradients
    }
}

/// A step that one wafer executed, as the work of a cluster.
#[derive(Debug)]
pub struct Job {
    kernels: Vec<ExecutedKernel>,
    /// Micro-batches of a wafer.
    micro_batches: u64,
    micro_batch: u64,
    /// Sequences of a step.
    batch: u64,
    parameters: Vec<u64>,
    table: Table,
}

impl Job {
    /// Of a step and its execution.
    #[must_use]
    pub fn of(workload: &Workload, arch: &ArchSpec, compiled: &Compiled, executed: &Executed) -> Job {
        let shape = &workload.shape;
        let positions = if shape.design.positions == Positions::Learned { shape.max_positions } else { 0 };
        let rows = u64::from(shape.vocab) + u64::from(positions);
        let embeddings = rows * u64::from(shape.d_model);
        Job {
            kernels: kernels(workload, arch, compiled, executed),
            micro_batches: compiled.micro_batches,
            micro_batch: u64::from(compiled.micro_batch),
            batch: workload.batch,
            parameters: layers(shape),
            table: Table {
                weights: embeddings * u64::from(compiled.geometry.act.bytes()),
                gradients: embeddings * GRADIENT,
            },
        }
    }

    /// The step on a cluster whose systems each do what the wafer did (`cluster.lost` apart).
    #[must_use]
    pub fn on(&self, cluster: &Cluster) -> ClusterReport {
        let whole = Cluster { lost: 0, ..*cluster };
        let full = self.run(&whole, self.micro_batches);
        if cluster.lost == 0 {
            return self.report(cluster, &full, self.micro_batches);
        }
        // Rule K9: as many micro-batches more as it takes, of the same size.
        let micro_batches = self.batch.div_ceil(self.micro_batch * u64::from(cluster.working()));
        let left = self.run(cluster, micro_batches);
        let lost = LostReport {
            systems: cluster.lost,
            step_seconds_before: full.step.seconds(),
            redone_step_seconds: full.step.seconds() + left.step.seconds(),
        };
        ClusterReport { lost: Some(lost), ..self.report(cluster, &left, micro_batches) }
    }

    /// The same with a batch that gives each of the cluster's systems the same share.
    #[must_use]
    pub fn shared(&self, cluster: &Cluster, batch: u64) -> ClusterReport {
        let (kernels, parameters) = (self.kernels.clone(), self.parameters.clone());
        Job { batch, kernels, parameters, ..*self }.on(cluster)
    }

    /// The same with so many systems, each with the same share: weak scaling.
    #[must_use]
    pub fn weak(&self, cluster: &Cluster, systems: u32) -> ClusterReport {
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

    fn report(&self, cluster: &Cluster, done: &Outcome, micro_batches: u64) -> ClusterReport {
        let one = Cluster { systems: 1, skew: 0, lost: 0, ..*cluster };
        let alone = if one == *cluster { *done } else { self.run(&one, micro_batches) };
        let sum = |of: fn(&ExecutedKernel) -> u64| self.kernels.iter().map(of).sum::<u64>() * micro_batches;
        ClusterReport {
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

/// The step on the machine's systems; None if there is only one.
#[must_use]
pub fn report(workload: &Workload, arch: &ArchSpec, compiled: &Compiled, executed: &Executed) -> Option<ClusterReport> {
    (arch.cluster.systems.value > 1).then(|| Job::of(workload, arch, compiled, executed).on(&Cluster::of(arch)))
}

/// The kernels of a micro-batch, in order.
fn kernels(workload: &Workload, arch: &ArchSpec, compiled: &Compiled, executed: &Executed) -> Vec<ExecutedKernel> {
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
