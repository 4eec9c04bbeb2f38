//! What the commands report: the JSON schemas `wafersim.run/1` and `wafersim.simulate/1`.
//!
//! **Invariant.** Everything but `simulation.wall_seconds`, `simulation.peak_rss_bytes` and
//! `simulation.threads` is a function of the command alone. For every kernel the four parts of
//! `pe_cycles` add up to `cycles` × PEs.
//! **Not here.** How the numbers come about (`step`), how they look (`render`).

mod layout;
mod links;

pub use layout::{Layout, RunnerUp};
pub use links::LinkLoad;
use schemars::JsonSchema;
use serde::Serialize;
use sim_core::report::{FoldNote, PeCycles};

/// Schema of a [`RunReport`].
pub const RUN_SCHEMA: &str = "wafersim.run/1";
/// Schema of a [`SimulateReport`].
pub const SIMULATE_SCHEMA: &str = "wafersim.simulate/1";

/// Result of `wafersim run`.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct RunReport {
    /// [`RUN_SCHEMA`].
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
    /// How it was obtained.
    pub simulation: Simulation,
}

/// Programs that were executed folded and in full, and had equal counters in every PE.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct FoldVerification {
    /// Seed that chose them and their meshes.
    pub seed: u64,
    /// They.
    pub kernels: Vec<VerifiedKernel>,
}

/// A program whose folded and full runs agree.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct VerifiedKernel {
    /// What it computes.
    pub name: String,
    /// Columns of its mesh.
    pub width: u32,
    /// Rows of its mesh.
    pub height: u32,
    /// Its cycles; 0 if it does not end.
    pub cycles: u64,
    /// What was folded in the folded run.
    #[schemars(with = "Vec<form::FoldNote>")]
    pub folds: Vec<FoldNote>,
}

/// The model that ran.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct ModelInfo {
    /// Its name.
    pub name: String,
    /// Decoder layers.
    pub layers: u32,
    /// Hidden size.
    pub d_model: u32,
    /// Attention heads.
    pub heads: u32,
    /// Features inside the feed-forward block.
    pub d_ff: u32,
    /// Tokens in the vocabulary.
    pub vocab: u32,
    /// Tokens per sequence.
    pub seq_len: u32,
    /// Trainable parameters.
    pub parameters: u64,
}

/// The machine that ran it.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct ArchInfo {
    /// Its name.
    pub name: String,
    /// Fabric clock.
    pub clock_hz: u64,
    /// Columns of PEs.
    pub width: u32,
    /// Rows of PEs.
    pub height: u32,
    /// Systems.
    pub systems: u32,
    /// Bits per second over the edges of a wafer, each way.
    pub io_bits_per_second: u64,
    /// Multiply-accumulates of a PE per cycle, by the types of the operands.
    pub fmacs_per_cycle: Fmacs,
    /// Every number of the machine by its key (`wafersim arch show`), as text with its unit.
    pub parameters: std::collections::BTreeMap<String, String>,
}

/// Multiply-accumulates per cycle.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Fmacs {
    /// All operands have 16 bits.
    pub half: u32,
    /// 16-bit operands, 32-bit sums.
    pub mixed: u32,
    /// All operands have 32 bits.
    pub single: u32,
}

/// The training step.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct StepInfo {
    /// Cycles of all micro-batches.
    pub cycles: u64,
    /// The same in seconds.
    pub seconds: f64,
    /// Sequences, all systems.
    pub batch: u64,
    /// Sequences on the wafer at a time.
    pub micro_batch: u32,
    /// Micro-batches, one after the other.
    pub micro_batches: u64,
}

/// The step on all systems of a cluster (`docs/CLUSTER.md`).
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct ClusterReport {
    /// Systems.
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

/// A number by counting convention.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, JsonSchema)]
pub struct ByConvention {
    /// Cerebras-GPT, appendix F.
    pub cerebras: f64,
    /// PaLM, appendix B.
    pub palm: f64,
    /// Six per parameter and token.
    pub six_n: f64,
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
    /// Its name.
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

/// A parameter without a public source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Assumed {
    /// Its key, or what is modelled.
    pub parameter: String,
    /// The value taken.
    pub value: String,
    /// Why.
    pub because: String,
}

/// How the result was obtained.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Simulation {
    /// `fast` or `reference`.
    pub engine: String,
    /// Foldings that were allowed.
    pub fold: String,
    /// Threads of the host.
    pub threads: usize,
    /// Time of the host.
    pub wall_seconds: f64,
    /// Cycles that were stepped.
    pub stepped_cycles: u64,
    /// PE-cycles that were stepped.
    pub stepped_pe_cycles: u64,
    /// PE-cycles that the report covers.
    pub covered_pe_cycles: u64,
    /// Programs whose outcomes came out of the cache: what was stepped for them, was stepped then.
    pub cached_programs: u64,
    /// Most memory that the process took.
    pub peak_rss_bytes: u64,
}

/// Result of `wafersim simulate`.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct SimulateReport {
    /// [`SIMULATE_SCHEMA`].
    pub schema: &'static str,
    /// Version of this program.
    pub wafersim_version: &'static str,
    /// A command that gives this report again.
    pub command: String,
    /// Hash of the machine's numbers.
    pub arch_hash: String,
    /// Hash of the program's meaning.
    pub program_hash: String,
    /// The program's name.
    pub program: String,
    /// The machine.
    pub arch: ArchInfo,
    /// From the start to the last event.
    pub cycles: u64,
    /// Where all PEs spent them.
    #[schemars(with = "form::PeCycles")]
    pub pe_cycles: PeCycles,
    /// Multiply-accumulates of all PEs.
    pub macs: u64,
    /// Link crossings of all wavelets.
    pub wavelet_hops: u64,
    /// What was not stepped cycle by cycle, and why that is exact.
    #[schemars(with = "Vec<form::FoldNote>")]
    pub folds: Vec<FoldNote>,
    /// Column, row and finishing cycle of every PE that did anything (`--finish`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub finish: Option<Vec<(u32, u32, u64)>>,
    /// Smaller programs on which folding was verified (`--verify-fold`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fold_verification: Option<FoldVerification>,
    /// Named buffers of the PEs and what left at the edges (`--values`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub values: Option<ValuesReport>,
    /// How it was obtained.
    pub simulation: Simulation,
}

/// Real numbers at the end of a run.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct ValuesReport {
    /// Named buffers, PE by PE.
    pub buffers: Vec<BufferValues>,
    /// Wavelets that left at the edges, by stream and port.
    pub edges: Vec<EdgeValues>,
}

/// A named buffer of one PE. Numbers that JSON does not have are `null`.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct BufferValues {
    /// Column of the PE.
    pub x: u32,
    /// Row of the PE.
    pub y: u32,
    /// The buffer.
    pub name: String,
    /// Its elements.
    pub values: Vec<f32>,
}

/// What left by one port.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct EdgeValues {
    /// The stream.
    pub stream: String,
    /// Ordinal of the port.
    pub port: u32,
    /// The wavelets' 32 bits.
    pub words: Vec<u32>,
}

impl ModelInfo {
    /// Of a workload.
    #[must_use]
    pub fn of(workload: &crate::workload::Workload) -> ModelInfo {
        let s = &workload.shape;
        ModelInfo {
            name: s.name.clone(),
            layers: s.layers,
            d_model: s.d_model,
            heads: s.heads,
            d_ff: s.d_ff,
            vocab: s.vocab,
            seq_len: workload.seq_len,
            parameters: models::count::parameters(s),
        }
    }
}

impl ArchInfo {
    /// Of a machine.
    #[must_use]
    pub fn of(arch: &sim_core::arch::ArchSpec) -> ArchInfo {
        ArchInfo {
            name: arch.name.clone(),
            clock_hz: arch.wafer.clock_hz.value,
            width: arch.wafer.width.value,
            height: arch.wafer.height.value,
            systems: arch.cluster.systems.value,
            io_bits_per_second: arch.wafer.io_bits_per_second.value,
            fmacs_per_cycle: Fmacs {
                half: arch.pe.width_fmac.value.half,
                mixed: arch.pe.width_fmac.value.mixed,
                single: arch.pe.width_fmac.value.single,
            },
            parameters: arch.entries().into_iter().map(|e| (e.key, e.value)).collect(),
        }
    }
}

/// Most memory that this process took so far, in bytes; 0 where the system does not say.
#[must_use]
pub fn peak_rss_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|rest| rest.trim().trim_end_matches("kB").trim().parse::<u64>().ok());
    kib.unwrap_or(0) * 1024
}

/// What types of other crates look like in JSON, for the schemas.
#[allow(dead_code, reason = "only their schemas are used")]
mod form {
    use schemars::JsonSchema;

    /// Where PE-cycles went; every cycle of every PE is in exactly one part.
    #[derive(JsonSchema)]
    pub(super) struct PeCycles {
        /// An instruction was issued, or being set up or dispatched.
        compute: u64,
        /// Something waited for a wavelet or a microthread, and nothing for room.
        wait: u64,
        /// Something waited for room in an output queue.
        back_pressure: u64,
        /// There was nothing to do.
        idle: u64,
    }

    /// Something that was not stepped cycle by cycle, and why that is exact.
    #[derive(JsonSchema)]
    pub(super) struct FoldNote {
        /// `time`, `blocks`, `rows`, `columns` or `kernels`; `none` where nothing was folded.
        kind: String,
        /// What was folded, by how much, and on which check.
        text: String,
    }
}
