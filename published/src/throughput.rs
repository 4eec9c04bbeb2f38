//! Measured training throughputs of CS-2 systems, beside those of executed steps.
//!
//! **Invariant.** Nothing is fitted to these numbers.
//! **Not here.** Executing (`runner`), printing (`text`).

use compiler::ids::{Label, Phase, Product, ProductPart};
use runner::groups::{KernelGroup, groups};
use runner::workload::Request;
use runner::{CompiledStep, Error, Executor, Job, StepOptions, Workload, machine};
use serde::Serialize;
use sim_core::arch::{ArchSpec, KeyGroup};

/// Where GPT-3 and BERT were measured.
const USC: &str = "arXiv 2409.00287v2, table V (hours per epoch) and figure 5, digitised";
/// Where the throughputs of BERT were measured.
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
    /// Samples of an epoch, where the source measured the time of epochs so short that it counts that
    /// they have whole steps.
    pub epoch: Option<u64>,
    /// Where it was published.
    pub source: &'static str,
}

const fn gpt3(preset: &'static str, batch: u64, samples_per_second: f64) -> Measured {
    Measured { preset, batch, seq_len: 2048, samples_per_second, epoch: None, source: USC }
}

const fn bert(batch: u64, samples_per_second: f64) -> Measured {
    let epoch = Some(67_350);
    Measured { preset: "bert-base", batch, seq_len: 128, samples_per_second, epoch, source: USC_BERT }
}

/// Published measurements on one system.
pub const MEASURED: [Measured; 16] = [
    Measured {
        preset: "gpt2-small",
        batch: 112,
        seq_len: 2048,
        samples_per_second: 516.44,
        epoch: None,
        source: DABENCH,
    },
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

/// What the vendor's compiler estimates of the kernels of an operation, forward and backward.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Estimate {
    /// The product.
    pub product: Product,
    /// Multiply-accumulates per cycle and PE of those that it is given.
    pub macs: f64,
}

/// The model whose kernels were estimated, and tokens per sequence.
pub const ESTIMATED: (&str, u32) = ("gpt2-small", 1024);

/// Where they were published: the kernels' PEs and samples per second, to which the
/// multiply-accumulates of forward pass, input gradient and weight gradient are counted here. A
/// pipelined execution gives every kernel PEs of its own; ours has all PEs for each in turn.
pub const COMPILE_REPORT: &str =
    "augustuszzq/Regular-DABench-LLM@5f86bb6, gpt2_compile_report.txt (release 1.6.0), at 850 MHz";

/// The estimates that apply: those of products of matrices.
pub const ESTIMATES: [Estimate; 3] = [
    Estimate { product: Product::Qkv, macs: 2.39 },
    Estimate { product: Product::FfnUp, macs: 2.447 },
    Estimate { product: Product::FfnDown, macs: 2.447 },
];

impl Estimate {
    /// Whether kernels of a step make the product, or a gradient of it, and do so for the first time.
    #[must_use]
    pub fn has(&self, label: Option<Label>, phase: Phase) -> bool {
        let made = |label: Label| label.product == self.product && label.part != ProductPart::BiasGradient;
        phase != Phase::Recompute && label.is_some_and(made)
    }
}

/// An estimate and what was executed for it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct KernelRow {
    /// The operation.
    pub operation: &'static str,
    /// Multiply-accumulates per cycle and PE in use here.
    pub ours: f64,
    /// What was estimated.
    pub theirs: f64,
    /// `ours / theirs − 1`.
    pub error: f64,
    /// Where it was published.
    pub source: &'static str,
}

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
    /// As the source counts, where it measured epochs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub epoch: Option<EpochRow>,
    /// Share of the cycles in kernels that recompute.
    pub recompute: f64,
    /// Share of the machine's PEs that hold activations.
    pub pes_in_use: f64,
    /// Where it was published.
    pub source: &'static str,
}

/// An epoch as a source counts: its samples per second of the time that its steps take. Steps are whole,
/// so that the last one is not full.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct EpochRow {
    /// Samples of an epoch.
    pub samples: u64,
    /// Steps of an epoch.
    pub steps: u64,
    /// Samples per second of an epoch here.
    pub ours: f64,
    /// `ours / theirs − 1`.
    pub error: f64,
}

impl EpochRow {
    /// Of a measurement of epochs, with steps of so many seconds.
    #[must_use]
    pub fn of(measured: &Measured, step: f64) -> Option<EpochRow> {
        let samples = measured.epoch?;
        let steps = samples.div_ceil(measured.batch);
        let ours = samples as f64 / (steps as f64 * step);
        Some(EpochRow { samples, steps, ours, error: ours / measured.samples_per_second - 1.0 })
    }
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
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct ThroughputReport {
    /// One row per measurement.
    pub rows: Vec<Row>,
    /// One row per estimate of a kernel.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub kernels: Vec<KernelRow>,
    /// What could not be executed, and why.
    pub failed: Vec<String>,
    /// How rows move with assumed numbers, on request.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub sensitivity: Vec<Moved>,
}

/// What of the measurements is wanted.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    /// Only models with this text in their name.
    pub only: &'a str,
    /// Also how each throughput moves with each assumed number of the machine doubled.
    pub sensitivity: bool,
}

/// Executes the step of every measurement that is wanted, each on one system of a machine. What fails
/// is named in the report.
#[must_use]
pub fn measure(wanted: Wanted<'_>, arch: &ArchSpec, executor: &Executor<'_>) -> ThroughputReport {
    let mut report = ThroughputReport::default();
    for measured in MEASURED.iter().filter(|m| m.preset.contains(wanted.only)) {
        match row(measured, arch, executor) {
            Ok(row) => {
                if wanted.sensitivity {
                    report.sensitivity.extend(moved(measured, &row, arch, executor));
                }
                report.rows.push(row);
            }
            Err(error) => report.failed.push(failed(measured, &error)),
        }
    }
    if ESTIMATED.0.contains(wanted.only) {
        match estimates(arch, executor) {
            Ok(rows) => report.kernels = rows,
            Err(error) => report.failed.extend(error.diagnostics().iter().map(ToString::to_string)),
        }
    }
    report
}

fn failed(measured: &Measured, error: &Error) -> String {
    let why = error.diagnostics().first().map(ToString::to_string).unwrap_or_default();
    format!("{} at batch {}: {why}", measured.preset, measured.batch)
}

/// The vendor's models have the level 1 of precision by default; none of the sources says otherwise.
fn job(preset: &str, request: Request, arch: &ArchSpec) -> Result<Job, Error> {
    let options = StepOptions { precision_opt_level: Some(1), ..StepOptions::default() };
    Ok(Job::new(Workload::preset_with(preset, request)?).machine(arch.clone()).options(options))
}

/// Executes the step whose kernels the vendor's compiler estimates.
fn estimates(arch: &ArchSpec, executor: &Executor<'_>) -> Result<Vec<KernelRow>, Error> {
    let (preset, seq_len) = ESTIMATED;
    let step = job(preset, Request { batch: None, seq_len: Some(seq_len) }, arch)?.compile()?;
    let groups = groups(&step.compiled, &step.execute(executor)?);
    let pes = step.compiled.geometry.used().pes();
    Ok(ESTIMATES.iter().map(|estimate| kernel_row(estimate, &groups, pes)).collect())
}

fn kernel_row(estimate: &Estimate, groups: &[KernelGroup], pes: u64) -> KernelRow {
    let of: Vec<_> = groups.iter().filter(|g| estimate.has(g.label, g.phase)).collect();
    let [macs, cycles] = [of.iter().map(|g| g.macs).sum::<u64>(), of.iter().map(|g| g.cycles).sum()];
    let ours = macs as f64 / (cycles * pes).max(1) as f64;
    let (operation, theirs) = (estimate.product.name(), estimate.macs);
    KernelRow { operation, ours, theirs, error: ours / theirs - 1.0, source: COMPILE_REPORT }
}

/// A measurement with the step that is executed for it, on one system.
fn row(measured: &Measured, arch: &ArchSpec, executor: &Executor<'_>) -> Result<Row, Error> {
    let request = Request { batch: Some(measured.batch), seq_len: Some(measured.seq_len) };
    let step = job(measured.preset, request, arch)?.sized(measured.batch, 1)?.compile()?;
    let groups = groups(&step.compiled, &step.execute(executor)?);
    Ok(compared(measured, &step, &groups))
}

fn compared(measured: &Measured, step: &CompiledStep, groups: &[KernelGroup]) -> Row {
    let cycles: u64 = groups.iter().map(|g| g.cycles).sum();
    let again: u64 = groups.iter().filter(|g| g.phase == Phase::Recompute).map(|g| g.cycles).sum();
    let seconds = cycles as f64 / step.arch.wafer.clock_hz.value as f64;
    let ours = measured.batch as f64 / seconds;
    Row {
        model: measured.preset,
        batch: measured.batch,
        micro_batch: step.compiled.micro_batch,
        cycles,
        ours,
        theirs: measured.samples_per_second,
        error: ours / measured.samples_per_second - 1.0,
        epoch: EpochRow::of(measured, seconds),
        recompute: again as f64 / cycles as f64,
        pes_in_use: step.compiled.geometry.used().pes() as f64 / step.arch.grid().pes() as f64,
        source: measured.source,
    }
}

/// The row again with each assumed number of a wafer doubled, where that is a number of cycles or
/// wavelets.
fn moved(measured: &Measured, base: &Row, arch: &ArchSpec, executor: &Executor<'_>) -> Vec<Moved> {
    let with = |set: String| {
        let changed = machine::changed(Ok(arch.clone()), std::slice::from_ref(&set)).ok()?;
        let ours = row(measured, &changed, executor).ok()?.ours;
        let change = ours / base.ours - 1.0;
        Some(Moved { model: base.model, batch: base.batch, set, samples_per_second: ours, change })
    };
    arch.assumed().iter().filter_map(|(key, value, _)| doubled(key, value)).filter_map(with).collect()
}

/// A change that doubles a number of a wafer, if it is one number above 0.
fn doubled(key: &str, value: &str) -> Option<String> {
    let (number, unit) = value.split_at(value.find(|c: char| !c.is_ascii_digit()).unwrap_or(value.len()));
    let wafer = KeyGroup::of(key) != Some(KeyGroup::Cluster) && !unit.contains(',');
    let number: u64 = number.parse().ok().filter(|n| *n > 0 && wafer)?;
    Some(format!("{key}={}{unit}", 2 * number))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An epoch of 67,350 samples has five steps of 16,384, of which the last one has 1,814.
    #[test]
    fn epochs_have_whole_steps() {
        let row = EpochRow::of(&bert(16_384, 10_000.0), 1.0).unwrap();
        assert_eq!((row.steps, row.ours), (5, 13_470.0));
        assert!((row.error - 0.347).abs() < 1e-9);
        assert_eq!(EpochRow::of(&gpt3("gpt3-256m", 128, 373.0), 1.0), None);
    }

    /// Estimates come from the report's PEs and samples per second.
    #[test]
    fn estimates_are_those_of_the_compile_report() {
        let rows = [("qkv", 3 * 768_u64, 2304.0, 861.1), ("ffn_up", 4 * 768, 3010.0, 863.8)];
        for (operation, outputs, pes, samples_per_second) in rows {
            let macs = 3.0 * (u64::from(ESTIMATED.1) * 768 * outputs) as f64;
            let of = ESTIMATES.iter().find(|e| e.product.name() == operation).map_or(0.0, |e| e.macs);
            assert!((macs * samples_per_second / (pes * 850e6) - of).abs() < 0.001, "{operation}");
        }
        assert!(ESTIMATES[0].has(Some(Product::Qkv.makes(ProductPart::InputGradient)), Phase::Backward));
        let qkv = Some(Product::Qkv.makes(ProductPart::Output));
        assert!(!ESTIMATES[0].has(qkv, Phase::Recompute) && !ESTIMATES[1].has(qkv, Phase::Forward));
    }
}
