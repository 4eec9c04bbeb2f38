//! The search for the mapping of a step: micro-batch, geometry and tiling, the cheapest first by the
//! kernels' estimates.
//!
//! The estimate without regard to memory bounds that of any tiling from below, so geometries are
//! taken in that order, until no further one can be better.
//! **Invariant.** Deterministic: equal costs are told apart by their geometry.
//! **Not here.** Lowering (`passes`), the memory plan (`memory`).

use crate::geometry::Geometry;
use crate::mapping::{self, Candidate, Task};
use crate::step::Options;
use crate::tiling::{Choice, Choices, Samples};
use models::LayerGraph;
use sim_core::arch::ArchSpec;
use sim_core::diag::Diagnostic;

/// Most geometries whose tilings are looked at.
const LOOKED_AT_MAX: usize = 48;
/// Lanes with more columns than this are taken only if they are a tenth better: long rings fall out
/// of step, which no estimate sees and which takes long to execute; the vendor's compiler takes lanes
/// of about 83 columns for a model of 7B parameters.
const WIDE: u32 = 160;

/// A micro-batch on a geometry.
#[derive(Debug)]
pub struct Site {
    /// Sequences of the micro-batch.
    pub micro_batch: u32,
    /// Micro-batches of a step.
    pub repeats: u64,
    /// The geometry.
    pub candidate: Candidate,
    /// What there is to choose from.
    pub choices: Choices,
    /// The cheapest choice that seems to fit.
    pub choice: Choice,
}

impl Site {
    /// Estimated cycles of a step.
    #[must_use]
    pub fn cost(&self) -> u64 {
        self.choice.estimate.saturating_mul(self.repeats)
    }

    /// What sites are ranked by.
    fn rank(&self) -> (u64, u32, u32) {
        let g = &self.candidate.geometry;
        (handicapped(self.cost(), g), g.lanes, g.head_columns)
    }
}

/// Bytes for buffers and code in a PE.
#[must_use]
pub fn room(arch: &ArchSpec) -> u64 {
    u64::from(arch.sram.value).saturating_sub(u64::from(arch.stack.value))
}

/// Cycles, a tenth more for a geometry with wide lanes.
fn handicapped(cycles: u64, g: &Geometry) -> u64 {
    if g.lane_columns() > WIDE { cycles.saturating_add(cycles / 10) } else { cycles }
}

/// What a search found.
#[derive(Debug, Default)]
pub struct Found {
    /// Mappings that seem to fit, the cheapest first.
    pub sites: Vec<Site>,
    /// If there are none: the one that takes least of a PE's memory.
    pub least: Option<Site>,
    /// Why others do not.
    pub faults: Vec<Diagnostic>,
}

/// Looks at the geometries of all sizes of micro-batches.
#[must_use]
pub fn search(graph: &LayerGraph, arch: &ArchSpec, options: &Options, sizes: &[u32]) -> Found {
    let tasks: Vec<Task<'_>> = sizes.iter().map(|&n| task(graph, options, n)).collect();
    let mut open = Vec::new();
    let mut found = Found::default();
    for task in &tasks {
        let Some(samples) = Samples::of(task) else { continue };
        let candidates = mapping::candidates(task, arch, &samples);
        if candidates.is_empty() {
            found.faults.push(no_room(task, arch));
        }
        let samples = std::sync::Arc::new(samples);
        let repeats = options.batch / u64::from(task.sequences);
        let bound = |c: &Candidate| handicapped(c.estimate.saturating_mul(repeats), &c.geometry);
        open.extend(candidates.into_iter().map(|c| (bound(&c), task.sequences, repeats, c, samples.clone())));
    }
    open.sort_by_key(|(bound, _, _, c, _)| (*bound, c.geometry.lanes, c.geometry.head_columns, c.geometry.tokens));
    let layers = graph.shape().layers;
    let mut least = u64::MAX;
    for (bound, micro_batch, repeats, candidate, samples) in open {
        let enough = found.sites.len() > 1 && found.sites[1].rank().0 <= bound;
        if enough || (found.sites.len() >= LOOKED_AT_MAX) {
            break;
        }
        let choices = Choices::of(&samples, &candidate.geometry, arch, layers, &options.map);
        match choices.best(room(arch)) {
            Ok(choice) => {
                found.sites.push(Site { micro_batch, repeats, candidate, choices, choice });
                found.sites.sort_by_key(Site::rank);
            }
            Err(Some((bytes, choice))) if bytes < least => {
                least = bytes;
                found.least = Some(Site { micro_batch, repeats, candidate, choices, choice });
            }
            Err(_) => {}
        }
    }
    found
}

/// The task of lowering micro-batches of a size.
fn task<'a>(graph: &'a LayerGraph, options: &Options, sequences: u32) -> Task<'a> {
    Task { shape: graph.shape(), sequences, seq_len: options.seq_len, act: options.act, map: options.map }
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
