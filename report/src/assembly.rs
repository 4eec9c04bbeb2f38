//! From an executed step to its report.
//!
//! **Invariant.** A report is built once, complete. Cycles, counters and hashes come from the executed
//! step; only rates are computed here.
//! **Not here.** The fields (`run`, `layout`), how the step was executed (`runner`).

use crate::cluster::ClusterReport;
use crate::common::{self, ArchInfo, ByConvention, ModelInfo, peak_flops};
use crate::layout::{Layout, RunnerUp};
use crate::links::LinkLoad;
use crate::provenance::Provenance;
use crate::run::{KernelReport, Memory, RUN_SCHEMA, RunReport, StepInfo, TensorReport, Throughput};
use compiler::Compiled;
use compiler::memory::{MemoryPlan, PlannedBuffer};
use compiler::options::Checkpoints;
use models::count::{FlopConvention, training_flops};
use runner::groups::{KernelGroup, groups};
use runner::train::Effort;
use runner::{CompiledStep, ExecutedStep, FinishedStep, Workload, cluster_step};
use sim_core::arch::ArchSpec;

impl RunReport {
    /// The report of an executed step, with what was done besides.
    ///
    /// # Panics
    /// If the counters of a kernel do not add up to its cycles times the PEs.
    #[must_use]
    pub fn of(done: &FinishedStep, provenance: &Provenance) -> RunReport {
        let FinishedStep { step, executed, verified, values } = done;
        let CompiledStep { workload, arch, compiled, .. } = step;
        let groups = groups(compiled, executed);
        for g in &groups {
            assert_eq!(g.pe_cycles.total(), g.cycles * arch.grid().pes(), "{}: the four parts add up", g.name);
        }
        let info = step_info(step, &groups);
        let cluster = cluster_step::on_systems(step, arch, executed);
        let step_seconds = cluster.map_or(info.seconds, |c| c.step_seconds);
        RunReport {
            schema: RUN_SCHEMA,
            wafersim_version: crate::VERSION,
            command: provenance.command.clone(),
            seed: provenance.seed,
            arch_hash: arch.hash(),
            program_hash: executed.hash.clone(),
            model: ModelInfo::of(workload),
            arch: ArchInfo::of(arch),
            layout: layout(compiled, arch),
            step: info,
            throughput: throughput(workload, arch, step_seconds),
            cluster: cluster.as_ref().map(ClusterReport::from),
            memory: memory(&compiled.memory, compiled.geometry.used().pes()),
            links: executed.heat.as_ref().map(LinkLoad::of),
            assumed: common::assumed(arch, arch.cluster.systems.value > 1),
            fold_verification: verified.clone().map(Into::into),
            values: values.as_ref().map(Into::into),
            simulation: provenance.simulation(effort(executed, &groups)),
            kernels: groups.into_iter().map(KernelReport::from).collect(),
        }
    }
}

fn step_info(step: &CompiledStep, groups: &[KernelGroup]) -> StepInfo {
    let cycles: u64 = groups.iter().map(|g| g.cycles).sum();
    StepInfo {
        cycles,
        seconds: cycles as f64 / step.arch.wafer.clock_hz.value as f64,
        batch: step.workload.batch,
        micro_batch: step.compiled.micro_batch,
        micro_batches: step.compiled.micro_batches,
    }
}

fn effort(executed: &ExecutedStep, groups: &[KernelGroup]) -> Effort {
    Effort {
        stepped_cycles: executed.outcomes.iter().map(|o| o.stepped_cycles).sum(),
        stepped_pe_cycles: executed.outcomes.iter().map(|o| o.stepped_pe_cycles).sum(),
        covered_pe_cycles: groups.iter().map(|g| g.pe_cycles.total()).sum(),
        cached_programs: executed.cached,
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
        act: g.precision.act.name().to_owned(),
        sums: g.precision.accumulator.name().to_owned(),
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
        name: b.buffer.to_string(),
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

impl From<KernelGroup> for KernelReport {
    fn from(g: KernelGroup) -> KernelReport {
        KernelReport {
            name: g.name,
            phase: g.phase.name().to_owned(),
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
}
