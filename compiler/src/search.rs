//! The search for the mapping of a step: micro-batch, geometry and tiling, the cheapest first by the
//! kernels' estimates.
//!
//! Mappings become more precise when it is their turn: from the estimate without regard to memory,
//! which bounds that of any tiling from below, to the cheapest tiling whose buffers fit, with code
//! guessed and then known, to the memory plan of the whole step. Each of these costs at least as much
//! as the one before, so the first mapping with a plan is the cheapest one.
//!
//! **Invariant.** Deterministic: equal costs are told apart by their geometry.
//! **Not here.** Lowering (`passes`), the memory plan (`memory`).

use crate::mapping::{self, Candidate, Task};
use crate::memory::Codes;
use crate::schedule::Steps;
use crate::step::{Compiled, Options, RunnerUp, build};
use crate::tiling::{Choice, Choices, Samples};
use models::LayerGraph;
use sim_core::arch::ArchSpec;
use sim_core::diag::Diagnostic;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Most geometries of a micro-batch whose tilings are looked at.
const LOOKED_AT_MAX: usize = 64;
/// Bytes of code of a kernel that nobody has emitted yet: few, so that nothing is left out that fits.
const CODE_GUESS: u64 = 1 << 10;
/// By how many bytes less a tiling may take where gaps between buffers take so much.
const GAPS: u64 = 1 << 9;
/// Mappings whose costs differ by less than this part of them are equal: the one with the fewest
/// columns in a lane is taken. Its rings are the shortest.
pub(crate) const NEAR: u64 = 50;

/// A micro-batch on a geometry.
#[derive(Debug)]
pub struct Site {
    /// Sequences of the micro-batch.
    pub micro_batch: u32,
    /// Micro-batches of a step.
    pub repeats: u64,
    /// The geometry.
    pub candidate: Candidate,
    samples: Arc<Samples>,
    /// Cycles of a micro-batch in which layers start.
    starts: u64,
    /// Bytes for buffers and code.
    room: u64,
    known: Known,
}

/// What is known of a site.
#[derive(Debug)]
enum Known {
    /// Its geometry.
    Bound,
    /// Its tiling, with code guessed or emitted.
    Tiling(Box<Choices>, Choice, bool),
    /// All.
    Plan(Box<Compiled>),
}

/// Bytes for buffers and code in a PE.
#[must_use]
pub fn room(arch: &ArchSpec) -> u64 {
    u64::from(arch.pe.sram.value).saturating_sub(u64::from(arch.pe.stack.value))
}

/// Costs first; what follows tells sites apart.
type Rank = (u64, u32, u32, u32, u32);

impl Site {
    /// Estimated cycles of a step.
    fn cost(&self) -> u64 {
        let cycles = match &self.known {
            Known::Bound => self.candidate.estimate,
            Known::Tiling(_, choice, _) => choice.estimate,
            Known::Plan(compiled) => return compiled.estimate,
        };
        self.of_step(cycles)
    }

    /// Cycles of a step whose micro-batches have kernels of so many.
    fn of_step(&self, kernels: u64) -> u64 {
        kernels.saturating_add(self.starts).saturating_mul(self.repeats)
    }

    fn rank(&self) -> Rank {
        let g = &self.candidate.geometry;
        (self.cost(), g.lanes, g.head_columns, g.tokens, self.micro_batch)
    }

    fn columns(&self) -> u32 {
        self.candidate.geometry.lane_columns()
    }

    fn runner_up(&self, tiling: crate::passes::Tiling) -> RunnerUp {
        let geometry = self.candidate.geometry.clone();
        RunnerUp { geometry, tiling, micro_batch: self.micro_batch, estimate: self.cost() }
    }
}

/// A search under way.
struct Search<'a> {
    graph: &'a LayerGraph,
    steps: Steps,
    arch: &'a ArchSpec,
    options: &'a Options,
    open: BTreeMap<Rank, Site>,
    /// The mapping that is taken, and what the cheapest one costs.
    best: Option<(Site, u64)>,
    runner_up: Option<RunnerUp>,
    /// What comes closest to fitting, with its bytes.
    least: Option<(u64, Site)>,
    /// Geometries by micro-batch.
    looked_at: BTreeMap<u32, usize>,
    faults: Vec<Diagnostic>,
}

/// The mapping of a step, among all sizes of micro-batches.
///
/// # Errors
/// `M001` of the mapping that comes closest to fitting, or `M003` if there is none at all.
pub fn search(
    graph: &LayerGraph,
    arch: &ArchSpec,
    options: &Options,
    sizes: &[u32],
) -> Result<Compiled, Vec<Diagnostic>> {
    let mut search = Search {
        graph,
        steps: Steps::of(graph),
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
    while let Some((rank, site)) = search.open.pop_first() {
        if search.done(rank.0) {
            break;
        }
        search.advance(site);
    }
    search.result()
}

impl Search<'_> {
    /// All geometries of a micro-batch.
    fn begin(&mut self, size: u32) {
        let task = task(self.graph, self.options, size);
        let Some(samples) = Samples::of(&task) else { return };
        let samples = Arc::new(samples);
        let candidates = mapping::candidates(&task, self.arch, &samples);
        if candidates.is_empty() {
            self.faults.push(no_room(&task, self.arch));
        }
        let (repeats, room) = (self.options.batch / u64::from(size), room(self.arch));
        // Forward and backward.
        let starts = 2 * u64::from(self.graph.shape().layers) * u64::from(self.arch.wafer.layer_start.value);
        for candidate in candidates {
            let samples = samples.clone();
            self.push(Site { micro_batch: size, repeats, candidate, samples, starts, room, known: Known::Bound });
        }
    }

    fn push(&mut self, site: Site) {
        self.open.insert(site.rank(), site);
    }

    /// Whether nothing at this cost or above is of interest.
    fn done(&self, cost: u64) -> bool {
        let near = |least: u64| cost <= least.saturating_add(least / NEAR);
        self.best.as_ref().is_some_and(|(_, least)| !near(*least) && self.runner_up.is_some())
    }

    /// Learns more of a site.
    fn advance(&mut self, mut site: Site) {
        let near = self.best.as_ref().is_none_or(|(best, least)| {
            site.cost() <= least.saturating_add(least / NEAR) && site.columns() < best.columns()
        });
        match site.known {
            Known::Bound => {
                let looked_at = self.looked_at.entry(site.micro_batch).or_default();
                if *looked_at < LOOKED_AT_MAX {
                    *looked_at += 1;
                    self.look(site, Codes::guess(CODE_GUESS), false);
                }
            }
            Known::Tiling(_, choice, _) if !near => {
                self.runner_up.get_or_insert_with(|| site.runner_up(choice.tiling));
            }
            Known::Tiling(_, _, false) => self.look(site, Codes::default(), true),
            Known::Tiling(ref choices, choice, true) => {
                match build(&self.steps, self.arch, &site.candidate.geometry, choice, &choices.codes) {
                    Ok(mut compiled) => {
                        compiled.micro_batch = site.micro_batch;
                        compiled.micro_batches = site.repeats;
                        compiled.estimate = site.of_step(choice.estimate);
                        site.known = Known::Plan(Box::new(compiled));
                        self.push(site);
                    }
                    // Gaps between buffers are known only now.
                    Err(_) => self.squeeze(site, choice),
                }
            }
            Known::Plan(_) => self.take(site),
        }
    }

    /// Looks at a site's tilings.
    fn look(&mut self, mut site: Site, codes: Codes, exact: bool) {
        let (g, layers) = (&site.candidate.geometry, self.graph.shape().layers);
        let choices = Choices::of(&site.samples, g, self.arch, layers, &self.options.map, codes);
        match choices.best(site.room) {
            Ok(choice) => {
                site.known = Known::Tiling(Box::new(choices), choice, exact);
                self.push(site);
            }
            Err(Some((bytes, choice))) => {
                site.known = Known::Tiling(Box::new(choices), choice, exact);
                self.missed(site, bytes);
            }
            Err(None) => {}
        }
    }

    /// Takes a tiling with less room for buffers.
    fn squeeze(&mut self, mut site: Site, failed: Choice) {
        let Known::Tiling(choices, choice, _) = &mut site.known else { return };
        while *choice == failed {
            site.room = site.room.saturating_sub(GAPS);
            match choices.best(site.room) {
                Ok(other) => *choice = other,
                Err(_) => {
                    let bytes = room(self.arch);
                    return self.missed(site, bytes);
                }
            }
        }
        self.push(site);
    }

    fn missed(&mut self, site: Site, bytes: u64) {
        if self.least.as_ref().is_none_or(|(least, _)| bytes < *least) {
            self.least = Some((bytes, site));
        }
    }

    /// Takes a site instead of one with wider lanes.
    fn take(&mut self, site: Site) {
        let least = self.best.as_ref().map_or(site.cost(), |(_, least)| *least);
        if let Some((before, _)) = self.best.replace((site, least))
            && let Known::Plan(compiled) = &before.known
        {
            self.runner_up = Some(before.runner_up(compiled.tiling));
        }
    }

    fn result(mut self) -> Result<Compiled, Vec<Diagnostic>> {
        if let Some((Site { known: Known::Plan(mut compiled), .. }, _)) = self.best {
            compiled.runner_up = self.runner_up;
            return Ok(*compiled);
        }
        if let Some((_, Site { known: Known::Tiling(choices, choice, _), candidate, .. })) = self.least {
            match build(&self.steps, self.arch, &candidate.geometry, choice, &choices.codes) {
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
        act: options.act,
        sums: options.sums,
        map: options.map,
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
