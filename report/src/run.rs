//! The report of a training step, as `wafersim run` gives it: the schema `wafersim.run/1`.
//!
//! **Invariant.** Everything but `simulation.wall_seconds`, `simulation.peak_rss_bytes` and
//! `simulation.threads` is a function of the command alone. For every kernel the four parts of
//! `pe_cycles` add up to `cycles` × PEs.
//! **Not here.** How the numbers come about (`runner`), how a report is put together (`assembly`),
//! how it looks (`encoding`).

use crate::cluster::ClusterReport;
use crate::common::{ArchInfo, Assumed, ByConvention, ModelInfo, Simulation};
use crate::form;
use crate::layout::Layout;
use crate::links::LinkLoad;
use crate::values::StepValues;
use crate::verification::FoldVerification;
use schemars::JsonSchema;
use serde::Serialize;
use sim_core::report::PeCycles;

/// Schema of a [`RunReport`].
pub const RUN_SCHEMA: &str = "wafersim.run/1";

/// Result of `wafersim run`.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct RunReport {
    /// Name and version of the schema, [`RUN_SCHEMA`].
    pub schema: &'static str,
    /// Version of this program.
    pub wafersim_version: &'static str,
    /// A command that gives this report again.
    pub command: String,
    /// Seed of everything random in the run.
    pub seed: u64,
    /// Hash of the machine's numbers.
    pub arch_hash: String,
    /// Hash of all programs in order, with how often each is executed.
    pub program_hash: String,
    /// The model.
    pub model: ModelInfo,
    /// The machine.
    pub arch: ArchInfo,
    /// The layout on the mesh that the compiler chose.
    pub layout: Layout,
    /// The training step.
    pub step: StepInfo,
    /// What many systems make of it; only where there are several.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cluster: Option<ClusterReport>,
    /// What it achieves.
    pub throughput: Throughput,
    /// What it needs.
    pub memory: Memory,
    /// What was executed.
    pub kernels: Vec<KernelReport>,
    /// What routers sent by color and port; only where maps were asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub links: Option<Vec<LinkLoad>>,
    /// What no public source says.
    pub assumed: Vec<Assumed>,
    /// Kernels on which folding was verified (`--verify-fold`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fold_verification: Option<FoldVerification>,
    /// Loss and gradients of the step (`--values`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub values: Option<StepValues>,
    /// How it was obtained.
    pub simulation: Simulation,
}

/// The training step.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct StepInfo {
    /// Cycles of all micro-batches.
    pub cycles: u64,
    /// Time of the step in seconds.
    pub seconds: f64,
    /// Sequences, all systems.
    pub batch: u64,
    /// Sequences on the wafer at a time.
    pub micro_batch: u32,
    /// Micro-batches, one after the other.
    pub micro_batches: u64,
}

/// What the step achieves.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Throughput {
    /// Sequences per second.
    pub samples_per_second: f64,
    /// Tokens per second.
    pub tokens_per_second: f64,
    /// PEs × fp16 multiply-accumulates per cycle × 2 × clock × systems.
    pub peak_flops: f64,
    /// Model FLOPs per second.
    pub flops_per_second: ByConvention,
    /// Share of the peak.
    pub utilisation: ByConvention,
}

/// What the step needs.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Memory {
    /// Most bytes that a PE holds at a time, code and stack included.
    pub pe_peak_bytes: u64,
    /// Bytes that a PE has.
    pub pe_capacity_bytes: u64,
    /// The peak over all PEs that hold activations.
    pub wafer_peak_bytes: u64,
    /// Code of the program that runs when a PE holds the most, bytes per PE.
    pub pe_code_bytes: u64,
    /// Stack, bytes per PE.
    pub pe_stack_bytes: u64,
    /// Every buffer.
    pub tensors: Vec<TensorReport>,
}

/// A buffer of every PE.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct TensorReport {
    /// Name of the kernel or tensor.
    pub name: String,
    /// Its size.
    pub bytes_per_pe: u64,
    /// First and last launch of a micro-batch between which it is live.
    pub live: [usize; 2],
    /// Whether it is live when memory is at its peak.
    pub at_peak: bool,
}

/// Kernels of one name, phase and layer.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct KernelReport {
    /// What it computes.
    pub name: String,
    /// `forward`, `recompute`, `backward` or `weight_gradient`.
    pub phase: String,
    /// Layer of the model, if it belongs to one.
    pub layer: Option<u32>,
    /// Executions in the step.
    pub count: u64,
    /// Cycles of all executions.
    pub cycles: u64,
    /// Multiply-accumulates of all executions and PEs.
    pub macs: u64,
    /// Bytes onto the wafer in all executions; what is repeated to several ports counts once.
    pub edge_in_bytes: u64,
    /// Bytes off the wafer in all executions.
    pub edge_out_bytes: u64,
    /// Where the PEs spent these cycles.
    #[schemars(with = "form::PeCycles")]
    pub pe_cycles: PeCycles,
    /// What was not stepped cycle by cycle, and why that is exact.
    pub folded: Vec<String>,
}

impl Memory {
    /// Buffers that are live when memory is at its peak, the largest first.
    #[must_use]
    pub fn largest(&self) -> Vec<&TensorReport> {
        let mut largest: Vec<_> = self.tensors.iter().filter(|t| t.at_peak).collect();
        largest.sort_by(|a, b| b.bytes_per_pe.cmp(&a.bytes_per_pe).then(a.name.cmp(&b.name)));
        largest
    }
}
