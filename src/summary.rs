//! From what was executed to a [`RunReport`].
//!
//! **Invariant.** Cycles, counters and hashes come from the executed step; only rates are computed
//! here.

use crate::report::{
    ArchInfo, Assumed, ByConvention, KernelReport, Layout, Memory, ModelInfo, RUN_SCHEMA, RunReport, RunnerUp,
    Simulation, StepInfo, TensorReport, Throughput,
};
use crate::step::{Executed, Group, groups};
use crate::workload::Workload;
use compiler::memory::{MemoryPlan, PlannedBuffer};
use compiler::options::Checkpoints;
use compiler::step::Compiled;
use models::count::{FlopConvention, training_flops};
use sim_core::arch::{ArchSpec, KeyGroup};

/// What a report is made of.
#[derive(Debug)]
pub struct Run<'a> {
    /// The model.
    pub workload: &'a Workload,
    /// The machine.
    pub arch: &'a ArchSpec,
    /// The compiled step.
    pub compiled: &'a Compiled,
    /// The same, executed.
    pub executed: &'a Executed,
    /// A command that gives the report again.
    pub command: String,
    /// How it was executed; counters are filled in here.
    pub simulation: Simulation,
}

/// Modelling assumptions that are not numbers of the machine.
const MODELLING: [(&str, &str, &str); 3] = [
    (
        "model.kernel_change",
        "0 cycles",
        "what it takes to load the next kernel's code and routes is not published; kernels follow one another at once",
    ),
    (
        "model.host",
        "never late",
        "the host side of the edge is always ready, with weights and for gradients; only the wafer's own bandwidth limits",
    ),
    ("model.optimizer", "not counted", "the optimizer runs off the wafer, while the next step computes"),
];

/// Builds the report.
///
/// # Panics
/// If the counters of a kernel do not add up to its cycles times the PEs.
#[must_use]
pub fn report(run: Run<'_>) -> RunReport {
    let Run { workload, arch, compiled, executed, command, simulation } = run;
    let groups = groups(compiled, executed);
    let pes = u64::from(arch.wafer.width.value) * u64::from(arch.wafer.height.value);
    for g in &groups {
        assert_eq!(g.pe_cycles.total(), g.cycles * pes, "{}: the four parts add up", g.name);
    }
    let cycles: u64 = groups.iter().map(|g| g.cycles).sum();
    let seconds = cycles as f64 / arch.wafer.clock_hz.value as f64;
    let cluster = crate::systems::report(workload, arch, compiled, executed);
    let step_seconds = cluster.as_ref().map_or(seconds, |c| c.step_seconds);
    RunReport {
        schema: RUN_SCHEMA,
        wafersim_version: env!("CARGO_PKG_VERSION"),
        command,
        seed: 0,
        arch_hash: arch.hash(),
        program_hash: executed.hash.clone(),
        model: ModelInfo::of(workload),
        arch: ArchInfo::of(arch),
        layout: layout(compiled, arch),
        step: StepInfo {
            cycles,
            seconds,
            batch: workload.batch,
            micro_batch: compiled.micro_batch,
            micro_batches: compiled.micro_batches,
        },
        throughput: throughput(workload, arch, step_seconds),
        cluster,
        memory: memory(&compiled.memory, compiled.geometry.used().pes()),
        links: executed.heat.as_ref().map(crate::report::LinkLoad::of),
        assumed: assumed(arch, arch.cluster.systems.value > 1),
        fold_verification: None,
        simulation: Simulation {
            stepped_cycles: executed.outcomes.iter().map(|o| o.stepped_cycles).sum(),
            stepped_pe_cycles: executed.outcomes.iter().map(|o| o.stepped_pe_cycles).sum(),
            covered_pe_cycles: groups.iter().map(|g| g.pe_cycles.total()).sum(),
            ..simulation
        },
        kernels: groups.into_iter().map(kernel).collect(),
    }
}

fn layout(compiled: &Compiled, arch: &ArchSpec) -> Layout {
    let (g, t) = (&compiled.geometry, &compiled.strategy);
    let stationary = compiled.stationary_outputs(arch);
    Layout {
        lanes: g.lanes,
        lane_columns: g.lane_columns(),
        head_columns: g.head_columns,
        sequences_per_lane: g.sequences_per_lane,
        rows_per_sequence: g.rows_per_sequence,
        tokens_per_pe: g.tokens,
        pes: g.used().pes(),
        act: g.act.name().to_owned(),
        sums: g.accumulator.name().to_owned(),
        attention_chunks: t.attention.queries,
        key_chunks: t.attention.keys,
        backward_chunks: t.attention_backward.queries,
        backward_key_chunks: t.attention_backward.keys,
        ffn_parts: t.ffn_parts,
        lm_chunks: t.lm_chunks,
        recomputed_twice: t.rematerialise,
        checkpoints: checkpoints(t.checkpoints),
        stationary_outputs: stationary.names,
        stationary_outputs_save: stationary.saved * compiled.micro_batches,
        reduction: compiled.reduction().name().to_owned(),
        fastest_reductions_save: compiled.fastest_reductions_save(arch) * compiled.micro_batches,
        estimated_cycles: compiled.estimate,
        runner_up: compiled.runner_up.as_ref().map(|r| RunnerUp {
            lanes: r.geometry.lanes,
            head_columns: r.geometry.head_columns,
            tokens_per_pe: r.geometry.tokens,
            micro_batch: r.micro_batch,
            checkpoints: checkpoints(r.strategy.checkpoints),
            estimated_cycles: r.estimate,
        }),
    }
}

fn checkpoints(what: Checkpoints) -> String {
    match what {
        Checkpoints::Stay => "stay".to_owned(),
        Checkpoints::Offload { stay: 0, .. } => "leave the wafer".to_owned(),
        Checkpoints::Offload { stay, .. } => format!("leave the wafer but for the last {stay}"),
        Checkpoints::Recompute { block } => format!("every {block} layers"),
    }
}

/// FLOP/s of a system: PEs × fp16 multiply-accumulates per cycle × 2 × clock.
#[must_use]
pub fn peak_flops(arch: &ArchSpec) -> f64 {
    let pes = f64::from(arch.wafer.width.value) * f64::from(arch.wafer.height.value);
    pes * f64::from(arch.pe.width_fmac.value.half) * 2.0 * arch.wafer.clock_hz.value as f64
}

fn throughput(workload: &Workload, arch: &ArchSpec, seconds: f64) -> Throughput {
    let systems = f64::from(arch.cluster.systems.value);
    let peak = peak_flops(arch) * systems;
    let tokens = workload.batch * u64::from(workload.seq_len);
    let rate = |convention| training_flops(&workload.shape, workload.seq_len, tokens, convention) as f64 / seconds;
    let by = |f: &dyn Fn(FlopConvention) -> f64| ByConvention {
        cerebras: f(FlopConvention::Cerebras),
        palm: f(FlopConvention::Palm),
        six_n: f(FlopConvention::SixN),
    };
    Throughput {
        samples_per_second: workload.batch as f64 / seconds,
        tokens_per_second: tokens as f64 / seconds,
        peak_flops: peak,
        flops_per_second: by(&rate),
        utilisation: by(&|convention| rate(convention) / peak),
    }
}

fn memory(plan: &MemoryPlan, pes: u64) -> Memory {
    let tensor = |b: &PlannedBuffer| TensorReport {
        name: b.name.to_string(),
        bytes_per_pe: b.bytes,
        live: [b.first, b.last],
        at_peak: plan.at_peak(b),
    };
    Memory {
        pe_peak_bytes: plan.peak_bytes,
        pe_capacity_bytes: plan.capacity,
        wafer_peak_bytes: plan.peak_bytes * pes,
        pe_code_bytes: plan.code_bytes,
        pe_stack_bytes: plan.stack_bytes,
        tensors: plan.buffers.iter().map(tensor).collect(),
    }
}

/// What no public source says of the machine and of the model of it; `cluster`: of a cluster too.
#[must_use]
pub fn assumed(arch: &ArchSpec, cluster: bool) -> Vec<Assumed> {
    let concerns = |key: &str| cluster || KeyGroup::of(key) != Some(KeyGroup::Cluster);
    let machine = arch.assumed().into_iter().filter(|a| concerns(&a.0));
    let machine = machine.map(|(parameter, value, because)| Assumed { parameter, value, because });
    // A cluster has a host and an optimizer.
    let modelling =
        MODELLING.iter().filter(|m| !cluster || m.0 == "model.kernel_change").map(|&(parameter, value, because)| {
            Assumed { parameter: parameter.to_owned(), value: value.to_owned(), because: because.to_owned() }
        });
    machine.chain(modelling).collect()
}

/// A group as it is reported.
#[must_use]
pub fn kernel(g: Group) -> KernelReport {
    KernelReport {
        name: g.name,
        phase: g.phase.to_owned(),
        layer: g.layer,
        count: g.count,
        cycles: g.cycles,
        macs: g.macs,
        edge_in_bytes: g.traffic.0,
        edge_out_bytes: g.traffic.1,
        pe_cycles: g.pe_cycles,
        folded: g.folded,
    }
}
