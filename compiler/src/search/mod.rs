//! The choice of a step's mapping: micro-batch, geometry and memory strategy, the cheapest one by the kernels' estimates
//! that fits into memory.
//!
//! There are thousands of mappings, and planning the memory of one takes tenths of a second. So a mapping becomes more
//! precise only when it is its turn: first it has an estimate without regard to memory, which no strategy can be cheaper
//! than; then the cheapest strategy whose buffers fit, with the size of code guessed, and then known; then the memory
//! plan of the whole step. Each of these costs at least as much as the one before, so the first mapping that has a plan
//! is the cheapest one that fits.
//!
//! **Invariant.** Deterministic: equal costs are told apart by their geometry.
//! **Not here.** Lowering (`schedule`, `passes`), the memory plan (`memory`).

mod geometries;
mod samples;
mod strategies;

use crate::codegen::resources;
use crate::compiled::{Choice, Compiled, RunnerUp, build};
use crate::layout::Precision;
use crate::memory::Codes;
use crate::options::{MemoryStrategy, NEAR, Options};
use crate::schedule::Operations;
use geometries::RatedGeometry;
use models::LayerGraph;
use rayon::prelude::*;
use samples::{Samples, Task, room};
use sim_core::arch::ArchSpec;
use sim_core::diag::Diagnostic;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use strategies::Choices;

/// Most geometries of a micro-batch whose memory strategies are looked at.
const LOOKED_AT_MAX: usize = 64;
/// Bytes of code of a kernel that nobody has emitted yet: few, so that nothing is left out that fits.
const CODE_GUESS: u64 = 1 << 10;
/// By how many bytes less a memory strategy may take where gaps between buffers take so much.
const GAPS: u64 = 1 << 9;
/// Geometries whose kernels are priced together, so that all threads have work.
const RATED_TOGETHER: usize = 16;

/// A micro-batch on a geometry.
#[derive(Debug)]
struct Candidate {
    /// Sequences of the micro-batch.
    micro_batch: u32,
    /// Micro-batches of a step.
    repeats: u64,
    /// The geometry.
    rated: RatedGeometry,
    samples: Arc<Samples>,
    /// Cycles of a micro-batch in which layers start.
    starts: u64,
    /// Bytes for buffers and code.
    room: u64,
    known: Known,
}

/// What is known of a candidate.
#[derive(Debug)]
enum Known {
    /// What it costs at least.
    AtLeast,
    /// What it costs without regard to memory.
    Bound,
    /// Its memory strategy, with code guessed or emitted.
    MemoryStrategy(Box<Choices>, Choice, bool),
    /// The whole step with its memory plan.
    Plan(Box<Compiled>),
}

/// Costs first; what follows tells candidates apart.
type Rank = (u64, u32, u32, u32, u32);

impl Candidate {
    /// Estimated cycles of a step.
    fn cost(&self) -> u64 {
        let cycles = match &self.known {
            Known::AtLeast | Known::Bound => self.rated.estimate,
            Known::MemoryStrategy(_, choice, _) => choice.estimate,
            Known::Plan(compiled) => return compiled.estimate,
        };
        self.of_step(cycles)
    }

    /// Cycles of a step whose micro-batches have kernels of so many.
    fn of_step(&self, kernels: u64) -> u64 {
        kernels.saturating_add(self.starts).saturating_mul(self.repeats)
    }

    fn rank(&self) -> Rank {
        let g = &self.rated.geometry;
        (self.cost(), g.lanes, g.head_columns, g.tokens, self.micro_batch)
    }

    fn columns(&self) -> u32 {
        self.rated.geometry.lane_columns()
    }

    fn runner_up(&self, strategy: MemoryStrategy) -> RunnerUp {
        let geometry = self.rated.geometry.clone();
        RunnerUp { geometry, strategy, micro_batch: self.micro_batch, estimate: self.cost() }
    }
}

/// A search under way.
struct Search<'a> {
    graph: &'a LayerGraph,
    operations: Operations,
    arch: &'a ArchSpec,
    options: &'a Options,
    open: BTreeMap<Rank, Candidate>,
    /// The mapping that is taken, and what the cheapest one costs.
    best: Option<(Candidate, u64)>,
    runner_up: Option<RunnerUp>,
    /// What comes closest to fitting, with its bytes.
    least: Option<(u64, Candidate)>,
    /// Geometries by micro-batch.
    looked_at: BTreeMap<u32, usize>,
    faults: Vec<Diagnostic>,
}

/// The mapping of a step, among all sizes of micro-batches.
///
/// # Errors
/// `M001` of the mapping that comes closest to fitting, or `M003` if there is none at all.
fn search(graph: &LayerGraph, arch: &ArchSpec, options: &Options, sizes: &[u32]) -> Result<Compiled, Vec<Diagnostic>> {
    let mut search = Search {
        graph,
        operations: Operations::of(graph),
        arch,
        options,
        open: BTreeMap::new(),
        best: None,
        runner_up: None,
        least: None,
        looked_at: BTreeMap::new(),
        faults: Vec::new(),
    };
    for &size in sizes {
        search.begin(size);
    }
    while let Some((rank, candidate)) = search.open.pop_first() {
        if search.done(rank.0) {
            break;
        }
        search.advance(candidate);
    }
    search.result()
}

impl Search<'_> {
    /// All geometries of a micro-batch.
    fn begin(&mut self, size: u32) {
        let task = task(self.graph, self.options, size);
        let Some(samples) = Samples::of(&task) else { return };
        let samples = Arc::new(samples);
        let candidates = geometries::candidates(&task, self.arch, &samples);
        if candidates.is_empty() {
            self.faults.push(no_room(&task, self.arch));
        }
        let (repeats, room) = (self.options.batch / u64::from(size), room(self.arch));
        // Forward and backward.
        let starts = 2 * u64::from(self.graph.shape().layers) * u64::from(self.arch.wafer.layer_start.value);
        for rated in candidates {
            let samples = samples.clone();
            self.push(Candidate { micro_batch: size, repeats, rated, samples, starts, room, known: Known::AtLeast });
        }
    }

    fn push(&mut self, candidate: Candidate) {
        self.open.insert(candidate.rank(), candidate);
    }

    /// Whether nothing at this cost or above is of interest.
    fn done(&self, cost: u64) -> bool {
        let near = |least: u64| cost <= least.saturating_add(least / NEAR);
        self.best.as_ref().is_some_and(|(_, least)| !near(*least) && self.runner_up.is_some())
    }

    /// Learns more of a candidate.
    fn advance(&mut self, mut candidate: Candidate) {
        let near = self.best.as_ref().is_none_or(|(best, least)| {
            candidate.cost() <= least.saturating_add(least / NEAR) && candidate.columns() < best.columns()
        });
        match candidate.known {
            Known::AtLeast => self.rate(candidate),
            Known::Bound => {
                let looked_at = self.looked_at.entry(candidate.micro_batch).or_default();
                if *looked_at < LOOKED_AT_MAX {
                    *looked_at += 1;
                    self.look(candidate, Codes::guess(CODE_GUESS), false);
                }
            }
            Known::MemoryStrategy(_, choice, _) if !near => {
                self.runner_up.get_or_insert_with(|| candidate.runner_up(choice.strategy));
            }
            Known::MemoryStrategy(_, _, false) => self.look(candidate, Codes::default(), true),
            Known::MemoryStrategy(ref choices, choice, true) => {
                match build(&self.operations, self.arch, &candidate.rated.geometry, choice, &choices.codes) {
                    Ok(mut compiled) => {
                        compiled.micro_batch = candidate.micro_batch;
                        compiled.micro_batches = candidate.repeats;
                        compiled.estimate = candidate.of_step(choice.estimate);
                        candidate.known = Known::Plan(Box::new(compiled));
                        self.push(candidate);
                    }
                    // Gaps between buffers are known only now.
                    Err(_) => self.squeeze(candidate, choice),
                }
            }
            Known::Plan(_) => self.take(candidate),
        }
    }

    /// Prices the kernels of a candidate, and of those that are next, on all threads.
    fn rate(&mut self, first: Candidate) {
        let mut next = vec![first];
        while next.len() < RATED_TOGETHER
            && let Some(entry) = self.open.first_entry()
            && matches!(entry.get().known, Known::AtLeast)
        {
            next.push(entry.remove());
        }
        let (arch, layers, strategy) = (self.arch, self.graph.shape().layers, self.options.constraints.whole());
        next.par_iter_mut().for_each(|candidate| {
            let estimate = candidate.samples.estimate(&candidate.rated.geometry, arch, layers, &strategy);
            assert!(candidate.rated.estimate <= estimate, "{:?}: what it costs at least is no more", candidate.rated);
            candidate.rated.estimate = estimate;
            candidate.known = Known::Bound;
        });
        next.into_iter().for_each(|candidate| self.push(candidate));
    }

    /// Looks at a candidate's memory strategies.
    fn look(&mut self, mut candidate: Candidate, codes: Codes, exact: bool) {
        let (g, layers) = (&candidate.rated.geometry, self.graph.shape().layers);
        let choices = Choices::of(&candidate.samples, g, self.arch, layers, &self.options.constraints, codes);
        match choices.best(candidate.room) {
            Ok(choice) => {
                candidate.known = Known::MemoryStrategy(Box::new(choices), choice, exact);
                self.push(candidate);
            }
            Err(Some((bytes, choice))) => {
                candidate.known = Known::MemoryStrategy(Box::new(choices), choice, exact);
                self.missed(candidate, bytes);
            }
            Err(None) => {}
        }
    }

    /// Takes a memory strategy with less room for buffers.
    fn squeeze(&mut self, mut candidate: Candidate, failed: Choice) {
        let Known::MemoryStrategy(choices, choice, _) = &mut candidate.known else { return };
        while *choice == failed {
            candidate.room = candidate.room.saturating_sub(GAPS);
            match choices.best(candidate.room) {
                Ok(other) => *choice = other,
                Err(_) => {
                    let bytes = room(self.arch);
                    return self.missed(candidate, bytes);
                }
            }
        }
        self.push(candidate);
    }

    fn missed(&mut self, candidate: Candidate, bytes: u64) {
        if self.least.as_ref().is_none_or(|(least, _)| bytes < *least) {
            self.least = Some((bytes, candidate));
        }
    }

    /// Takes a candidate instead of one with wider lanes.
    fn take(&mut self, candidate: Candidate) {
        let least = self.best.as_ref().map_or(candidate.cost(), |(_, least)| *least);
        if let Some((before, _)) = self.best.replace((candidate, least))
            && let Known::Plan(compiled) = &before.known
        {
            self.runner_up = Some(before.runner_up(compiled.strategy));
        }
    }

    fn result(mut self) -> Result<Compiled, Vec<Diagnostic>> {
        if let Some((Candidate { known: Known::Plan(mut compiled), .. }, _)) = self.best {
            compiled.runner_up = self.runner_up;
            return Ok(*compiled);
        }
        if let Some((_, Candidate { known: Known::MemoryStrategy(choices, choice, _), rated, .. })) = self.least {
            match build(&self.operations, self.arch, &rated.geometry, choice, &choices.codes) {
                Ok(_) => {}
                Err(fault) => return Err(vec![fault]),
            }
        }
        self.faults.reverse();
        self.faults.truncate(1);
        Err(self.faults)
    }
}

/// The task of lowering micro-batches of a size.
fn task<'a>(graph: &'a LayerGraph, options: &Options, sequences: u32) -> Task<'a> {
    Task {
        shape: graph.shape(),
        sequences,
        seq_len: options.seq_len,
        precision: Precision { act: options.act, accumulator: options.accumulator },
        constraints: options.constraints,
    }
}

fn no_room(task: &Task<'_>, arch: &ArchSpec) -> Diagnostic {
    let message = format!(
        "{} heads, {} sequences of {} tokens have no place on {} x {} PEs",
        task.shape.heads, task.sequences, task.seq_len, arch.wafer.width.value, arch.wafer.height.value
    );
    let help = if task.shape.design.causal {
        "a lane needs a column per head, and a row per sequence"
    } else {
        "a lane needs a column per head, and a row per sequence; without a causal mask the sequence length has to be a multiple of 4"
    };
    Diagnostic::new("M003", &task.shape.name, message).help(help)
}

/// Compiles a training step of `graph` for one system.
///
/// # Errors
/// All faults: `M001` does not fit a PE's memory, `M002` the micro-batch does not divide the
/// batch, `M003` the mesh has no room for the model, `M004` an operation was not lowered, `M005` the
/// machine has too few colors, queues or microthreads for a kernel.
pub fn compile(graph: &LayerGraph, arch: &ArchSpec, options: &Options) -> Result<Compiled, Vec<Diagnostic>> {
    let compiled = search(graph, arch, options, &micro_batches(options)?)?;
    let missing = missing(&compiled, arch);
    if missing.is_empty() { Ok(compiled) } else { Err(missing) }
}

/// `M005` of every kernel that needs more of something than the machine has.
fn missing(compiled: &Compiled, arch: &ArchSpec) -> Vec<Diagnostic> {
    let mut seen = BTreeSet::new();
    let mut out = Vec::new();
    for launch in &compiled.launches {
        let (kernel, uses) = (&launch.kernel, launch.kernel.uses(&compiled.geometry));
        if seen.insert(kernel.name()) {
            out.extend(resources::missing(&kernel.name(), &uses, arch));
        }
    }
    out
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
