//! What several reports have: the model, the machine, what was assumed, and how the result was obtained.
//!
//! **Not here.** What only one report has (`run`, `simulate`, `train`).

use models::count::parameters;
use runner::Workload;
use schemars::JsonSchema;
use serde::Serialize;
use sim_core::arch::{ArchSpec, KeyGroup};
use std::collections::BTreeMap;

/// The model that ran.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct ModelInfo {
    /// Name of the model or of the machine.
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
    /// Name of the model or of the machine.
    pub name: String,
    /// Fabric clock.
    pub clock_hz: u64,
    /// Columns of PEs.
    pub width: u32,
    /// Rows of PEs.
    pub height: u32,
    /// Systems of the machine.
    pub systems: u32,
    /// Bits per second over the edges of a wafer, each way.
    pub io_bits_per_second: u64,
    /// Multiply-accumulates of a PE per cycle, by the types of the operands.
    pub fmacs_per_cycle: Fmacs,
    /// Every number of the machine by its key (`wafersim arch show`), as text with its unit.
    pub parameters: BTreeMap<String, String>,
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

/// A parameter without a public source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Assumed {
    /// Its key, or what is modelled.
    pub parameter: String,
    /// The value taken.
    pub value: String,
    /// Why this value was taken.
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

impl ModelInfo {
    /// Of a workload.
    #[must_use]
    pub fn of(workload: &Workload) -> ModelInfo {
        let s = &workload.shape;
        ModelInfo {
            name: s.name.clone(),
            layers: s.layers,
            d_model: s.d_model,
            heads: s.heads,
            d_ff: s.d_ff,
            vocab: s.vocab,
            seq_len: workload.seq_len,
            parameters: parameters(s),
        }
    }
}

impl ArchInfo {
    /// Of a machine.
    #[must_use]
    pub fn of(arch: &ArchSpec) -> ArchInfo {
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

/// FLOP/s of a system: PEs × fp16 multiply-accumulates per cycle × 2 × clock.
#[must_use]
pub fn peak_flops(arch: &ArchSpec) -> f64 {
    let pes = f64::from(arch.wafer.width.value) * f64::from(arch.wafer.height.value);
    pes * f64::from(arch.pe.width_fmac.value.half) * 2.0 * arch.wafer.clock_hz.value as f64
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
