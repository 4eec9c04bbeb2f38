//! A step on many wafers: what the executed kernels of one wafer make of a cluster.
//!
//! **Invariant.** Cycles and bytes are those of the executed programs; nothing is estimated.
//! **Not here.** The rules of the cluster (crate `cluster`, `docs/CLUSTER.md`).

use crate::report::{ClusterReport, Exposed};
use crate::step::Executed;
use crate::workload::Workload;
use cluster::{Cluster, Picos, Stage};
use compiler::step::Compiled;
use models::GptShape;
use models::count::parameters;
use sim_core::arch::ArchSpec;
use sim_core::program::{EdgeStream, Flow, Program};

/// Bytes that cross a wafer's edge in one execution of a program: onto it, and off it. What is
/// repeated to several ports counts once.
#[must_use]
pub fn traffic(program: &Program) -> (u64, u64) {
    let bytes = |e: &EdgeStream| 4 * e.wavelets * u64::from(e.ports.count.div_ceil(e.fanout.max(1)));
    let sum = |flow| program.edges.iter().filter(|e| e.flow == flow).map(bytes).sum();
    (sum(Flow::In), sum(Flow::Out))
}

/// The step on the machine's systems; None if there is only one.
#[must_use]
pub fn report(workload: &Workload, arch: &ArchSpec, compiled: &Compiled, executed: &Executed) -> Option<ClusterReport> {
    (arch.systems.value > 1).then(|| on(&Cluster::of(arch), workload, arch, compiled, executed))
}

/// Weak scaling: the same share of the batch on each of so many systems.
#[must_use]
pub fn weak_scaling(
    workload: &Workload,
    arch: &ArchSpec,
    compiled: &Compiled,
    executed: &Executed,
    systems: &[u32],
) -> Vec<ClusterReport> {
    let cluster = Cluster::of(arch);
    systems.iter().map(|&systems| on(&Cluster { systems, ..cluster }, workload, arch, compiled, executed)).collect()
}

fn on(
    cluster: &Cluster,
    workload: &Workload,
    arch: &ArchSpec,
    compiled: &Compiled,
    executed: &Executed,
) -> ClusterReport {
    let stages = stages(workload, arch, compiled, executed);
    let parameters = layers(&workload.shape);
    let run = |cluster: &Cluster| cluster::run(cluster, &stages, compiled.micro_batches, &parameters);
    let done = run(cluster);
    let alone = run(&Cluster { systems: 1, skew: 0, ..*cluster });
    ClusterReport {
        systems: cluster.systems,
        step_seconds: done.step.seconds(),
        compute_seconds: done.compute.seconds(),
        scaling_efficiency: alone.step.seconds() / done.step.seconds(),
        exposed: Exposed {
            weights: done.weights.seconds(),
            gradients: done.gradients.seconds(),
            optimizer: done.optimizer.seconds(),
        },
        bottleneck: done.bottleneck(),
        weights_bytes: stages.iter().map(|s| s.weights).sum::<u64>() * compiled.micro_batches,
        gradients_bytes: stages.iter().map(|s| s.gradients).sum::<u64>() * compiled.micro_batches,
        executed_systems: done.executed,
    }
}

/// The kernels of a micro-batch, in order.
fn stages(workload: &Workload, arch: &ArchSpec, compiled: &Compiled, executed: &Executed) -> Vec<Stage> {
    let mut stages = Vec::with_capacity(compiled.launches.len());
    for (launch, &program) in compiled.launches.iter().zip(&executed.launches) {
        let (weights, gradients) = executed.traffic[program];
        let time = Picos::of(executed.outcomes[program].cycles.0, arch.clock_hz.value);
        let layer = launch.layer.unwrap_or(workload.shape.layers);
        let stage = Stage { time, weights, gradients, layer };
        stages.extend(std::iter::repeat_n(stage, launch.count as usize));
    }
    stages
}

/// Parameters of every layer, and of what belongs to none.
fn layers(shape: &GptShape) -> Vec<u64> {
    let of = |layers| parameters(&GptShape { layers, ..shape.clone() });
    let layer = of(2) - of(1);
    let mut all = vec![layer; shape.layers as usize];
    all.push(of(1) - layer);
    all
}
