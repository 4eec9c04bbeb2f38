//! A training step, compiled: the pipeline as a straight list of calls.
//!
//! `LayerGraph → Tiled → placed → Program`. Routes and code are emitted together by each kernel.
//!
//! **Invariant.** Every launch's program depends only on its kernel, the geometry, the machine and
//! its addresses.
//! **Not here.** Executing (`fabric`), reports (the root package).

use crate::geometry::Geometry;
use crate::kernel::{Addresses, Kernel};
use crate::mapping::{self, Candidate, Task};
use crate::memory::{self, MemoryPlan};
use crate::schedule::Tiled;
use models::LayerGraph;
use sim_core::arch::ArchSpec;
use sim_core::diag::Diagnostic;
use sim_core::program::{DType, Program};
use std::fmt::Write;

/// Most candidate geometries whose memory is planned for one micro-batch.
const PLANS_MAX: usize = 12;

/// What to compile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// Sequences per system and step.
    pub batch: u64,
    /// Sequences per micro-batch; None takes the one with the best estimate that fits.
    pub micro_batch: Option<u32>,
    /// Tokens per sequence.
    pub seq_len: u32,
    /// Type of activations and streamed weights.
    pub act: DType,
    /// Lanes; None takes the number with the best estimate.
    pub lanes: Option<u32>,
}

/// A kernel with its addresses.
#[derive(Debug)]
pub struct Launch {
    /// The kernel.
    pub kernel: Box<dyn Kernel>,
    /// `forward`, `recompute`, `backward` or `weight_gradient`.
    pub phase: &'static str,
    /// The layer, if it belongs to one.
    pub layer: Option<u32>,
    /// Where its buffers are.
    pub addresses: Addresses,
    /// How often it runs in a micro-batch.
    pub count: u64,
}

/// A training step.
#[derive(Debug)]
pub struct Compiled {
    /// The layout.
    pub geometry: Geometry,
    /// Sequences per micro-batch.
    pub micro_batch: u32,
    /// Micro-batches per step and system.
    pub micro_batches: u64,
    /// The kernels of a micro-batch in order.
    pub launches: Vec<Launch>,
    /// The memory of a PE.
    pub memory: MemoryPlan,
    /// Parts in which the tokens of a PE pass the LM head.
    pub lm_chunks: u32,
    tiled: String,
}

impl Compiled {
    /// The program of a launch.
    #[must_use]
    pub fn program(&self, launch: &Launch, arch: &ArchSpec) -> Program {
        launch.kernel.program(&self.geometry, arch, &launch.addresses)
    }

    /// Text of a stage: `tiled` (kernels and windows) or `placed` (addresses and lifetimes); None
    /// for a name that is not a stage. Programs have their own text form.
    #[must_use]
    pub fn dump(&self, stage: &str) -> Option<String> {
        match stage {
            "tiled" => Some(self.tiled.clone()),
            "placed" => {
                let mut text = String::new();
                let m = &self.memory;
                writeln!(
                    text,
                    "peak {} B of {} B: code {} B, stack {} B; {} micro-batches of {}",
                    m.peak_bytes, m.capacity, m.code_bytes, m.stack_bytes, self.micro_batches, self.micro_batch
                )
                .expect("writing to a string");
                for b in &m.buffers {
                    writeln!(
                        text,
                        "@{:<6} {:>6} B  launches {:>4}..={:<4} {}",
                        b.addr, b.bytes, b.first, b.last, b.name
                    )
                    .expect("writing to a string");
                }
                Some(text)
            }
            _ => None,
        }
    }
}

/// Compiles a training step of `graph` for one system.
///
/// # Errors
/// All faults: `M001` does not fit a PE's memory, `M002` the micro-batch does not divide the
/// batch, `M003` the mesh has no room for the model, `M004` an operation was not lowered.
pub fn compile(graph: &LayerGraph, arch: &ArchSpec, options: &Options) -> Result<Compiled, Vec<Diagnostic>> {
    let sizes = micro_batches(options)?;
    let mut fitting: Vec<(u64, Compiled)> = Vec::new();
    let mut faults = Vec::new();
    for micro_batch in sizes {
        let repeats = options.batch / u64::from(micro_batch);
        let task = Task {
            shape: graph.shape(),
            sequences: micro_batch,
            seq_len: options.seq_len,
            act: options.act,
            lanes: options.lanes,
        };
        let candidates = mapping::candidates(&task, arch);
        if candidates.fitting.is_empty() {
            faults
                .push(candidates.tightest.map_or_else(|| no_room(&task, arch), |least| no_memory(&task, arch, least)));
            continue;
        }
        for c in candidates.fitting.iter().take(PLANS_MAX) {
            let cost = c.estimate.saturating_mul(repeats);
            if fitting.iter().any(|f| alike(f.0) < cost) {
                break;
            }
            match build(graph, arch, c, options, micro_batch) {
                Ok(compiled) => {
                    fitting.push((cost, compiled));
                    break;
                }
                Err(fault) => faults.push(fault),
            }
        }
    }
    let least = fitting.iter().map(|f| f.0).min().unwrap_or(0);
    let good = fitting.into_iter().filter(|f| f.0 <= alike(least));
    match good.min_by_key(|f| (f.1.geometry.lanes, f.0)) {
        Some((_, compiled)) => Ok(compiled),
        None => {
            // The smallest micro-batch comes last, and comes closest.
            Err(faults.pop().into_iter().collect())
        }
    }
}

/// Costs up to here count as equal to `cost`: estimates are off by a few per cent. Of equal ones the
/// one with the fewest lanes is taken, whose weight gradients leave the wafer the fewest times.
fn alike(cost: u64) -> u64 {
    cost.saturating_add(cost / 20)
}

/// Sizes of micro-batches to try, the largest first.
fn micro_batches(options: &Options) -> Result<Vec<u32>, Vec<Diagnostic>> {
    let batch = options.batch;
    if let Some(size) = options.micro_batch {
        if size == 0 || !batch.is_multiple_of(u64::from(size)) {
            let message = format!("a micro-batch of {size} does not divide the batch of {batch} sequences per system");
            let help = "choose a divisor of the batch, or --micro-batch auto";
            return Err(vec![Diagnostic::new("M002", "micro-batch", message).help(help)]);
        }
        return Ok(vec![size]);
    }
    if batch == 0 {
        return Err(vec![Diagnostic::new("M002", "batch", "a batch has at least one sequence")]);
    }
    let largest = batch.min(1 << 16);
    Ok((1..=largest).rev().filter(|&m| batch.is_multiple_of(m)).map(|m| m as u32).collect())
}

fn no_memory(task: &Task<'_>, arch: &ArchSpec, least: u64) -> Diagnostic {
    let message = format!(
        "with {} sequences at a time a PE needs at least {least} B for one kernel and the inputs of {} layers, and has {} B with {} B of stack",
        task.sequences, task.shape.layers, arch.sram.value, arch.stack.value
    );
    Diagnostic::new("M001", "micro-batch", message).help("choose a smaller --micro-batch")
}

fn no_room(task: &Task<'_>, arch: &ArchSpec) -> Diagnostic {
    let message = format!(
        "{} heads, {} sequences of {} tokens have no place on {} x {} PEs",
        task.shape.heads, task.sequences, task.seq_len, arch.width.value, arch.height.value
    );
    let help = if task.shape.design.causal {
        "a lane needs a column per head, and a row per sequence"
    } else {
        "a lane needs a column per head, and a row per sequence; without a causal mask the sequence length has to be a multiple of 4"
    };
    Diagnostic::new("M003", &task.shape.name, message).help(help)
}

/// Lowers for one geometry, with as few chunks of the LM head as fit.
fn build(
    graph: &LayerGraph,
    arch: &ArchSpec,
    candidate: &Candidate,
    options: &Options,
    micro_batch: u32,
) -> Result<Compiled, Diagnostic> {
    let g = &candidate.geometry;
    let mut fault = None;
    for lm_chunks in 1..=g.tokens / 4 {
        let chunk = g.tokens.div_ceil(lm_chunks).next_multiple_of(4);
        let logits = u64::from(g.vocab_slots) * u64::from(chunk) * u64::from(g.act.bytes());
        if lm_chunks < g.tokens / 4 && logits > u64::from(arch.sram.value) {
            continue;
        }
        let tiled = Tiled::new(graph, g, lm_chunks);
        if let Some(missing) = tiled.verify().into_iter().next() {
            return Err(missing);
        }
        let kernels: Vec<&dyn Kernel> = tiled.tiles.iter().map(|t| &*t.kernel).collect();
        match memory::plan(g, arch, &kernels) {
            Ok((memory, addresses)) => {
                let text = tiled.to_string();
                let launches = tiled
                    .tiles
                    .into_iter()
                    .zip(addresses)
                    .map(|(t, addresses)| Launch {
                        kernel: t.kernel,
                        phase: t.pass.name(),
                        layer: t.layer,
                        addresses,
                        count: 1,
                    })
                    .collect();
                let micro_batches = options.batch / u64::from(micro_batch);
                let geometry = g.clone();
                return Ok(Compiled { geometry, micro_batch, micro_batches, launches, memory, lm_chunks, tiled: text });
            }
            Err(f) => fault = Some(*f),
        }
    }
    Err(fault.unwrap_or_else(|| Diagnostic::new("M001", "micro-batch", "a PE has no memory for one token's logits")))
}
