//! Measured training throughputs of CS-2 systems, beside those of executed steps.
//!
//! **Invariant.** Nothing is fitted to these numbers.
//! **Not here.** Executing (`step`), printing (`render::throughput`).

use serde::Serialize;

/// Where GPT-3 and BERT were measured.
const USC: &str = "arXiv 2409.00287v2, table V (hours per epoch) and figure 5, digitised";
/// The same, for BERT.
const USC_BERT: &str = "arXiv 2409.00287v2, table IV (67,350 samples per epoch)";
/// Where GPT-2 was measured.
const DABENCH: &str = "augustuszzq/Regular-DABench-LLM@5f86bb6, gpt2_train_bf16.log (release 2.3.0)";

/// A measured throughput of one CS-2.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Measured {
    /// The preset that stands for the model.
    pub preset: &'static str,
    /// Sequences per step.
    pub batch: u64,
    /// Tokens per sequence.
    pub seq_len: u32,
    /// Samples per second.
    pub samples_per_second: f64,
    /// Where it was published.
    pub source: &'static str,
}

const fn gpt3(preset: &'static str, batch: u64, samples_per_second: f64) -> Measured {
    Measured { preset, batch, seq_len: 2048, samples_per_second, source: USC }
}

const fn bert(batch: u64, samples_per_second: f64) -> Measured {
    Measured { preset: "bert-base", batch, seq_len: 128, samples_per_second, source: USC_BERT }
}

/// Published measurements on one system.
pub const MEASURED: [Measured; 16] = [
    Measured { preset: "gpt2-small", batch: 112, seq_len: 2048, samples_per_second: 516.44, source: DABENCH },
    gpt3("gpt3-256m", 128, 373.396),
    gpt3("gpt3-256m", 256, 373.396),
    gpt3("gpt3-256m", 512, 378.3),
    gpt3("gpt3-256m", 1024, 380.9),
    gpt3("gpt3-6.7b", 128, 22.669),
    gpt3("gpt3-6.7b", 256, 22.713),
    gpt3("gpt3-6.7b", 512, 22.72),
    gpt3("gpt3-6.7b", 1024, 22.73),
    bert(128, 2267.7),
    bert(512, 7804.2),
    bert(1024, 12335.2),
    bert(2048, 16189.9),
    bert(4096, 14515.1),
    bert(8192, 13606.1),
    bert(16384, 12135.1),
];

/// A measurement and what was executed for it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Row {
    /// The preset.
    pub model: &'static str,
    /// Sequences per step.
    pub batch: u64,
    /// Sequences at a time, as the compiler chose.
    pub micro_batch: u32,
    /// Cycles of the step here.
    pub cycles: u64,
    /// Samples per second here.
    pub ours: f64,
    /// Samples per second measured.
    pub theirs: f64,
    /// `ours / theirs − 1`.
    pub error: f64,
    /// Share of the cycles in kernels that recompute.
    pub recompute: f64,
    /// Share of the machine's PEs that hold activations.
    pub pes_in_use: f64,
    /// Where it was published.
    pub source: &'static str,
}

/// How a throughput moves when one assumed number of the machine moves.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Moved {
    /// The preset.
    pub model: &'static str,
    /// Sequences per step.
    pub batch: u64,
    /// The number, as an assignment.
    pub set: String,
    /// Samples per second with it.
    pub samples_per_second: f64,
    /// Relative to the machine as it is.
    pub change: f64,
}

/// The measured throughputs with the executed ones.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ThroughputReport {
    /// One row per measurement.
    pub rows: Vec<Row>,
    /// What could not be executed, and why.
    pub failed: Vec<String>,
    /// How rows move with assumed numbers, on request.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub sensitivity: Vec<Moved>,
}
