//! Executes the distinct programs of a step, or takes their outcomes out of a store.
//!
//! **Invariant.** Nothing here depends on the number of threads: programs are independent, results are
//! gathered in the order of the launches, and all sums are of integers.
//! **Not here.** Engines (`fabric`), which programs there are (`programs`), rates (`report`).

use crate::error::Error;
use crate::heat::Heat;
use crate::programs::{Distinct, StepPrograms};
use crate::progress::{Progress, Silent};
use crate::store::{OutcomeKey, OutcomeStore};
use crate::traffic::Traffic;
use fabric::RunOptions;
use rayon::prelude::*;
use sim_core::arch::ArchSpec;
use sim_core::coord::{Grid, Region};
use sim_core::program::EdgeStream;
use sim_core::report::{FoldNote, Outcome};
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

/// A step that was executed.
#[derive(Debug, Clone)]
pub struct ExecutedStep {
    /// Program of every launch.
    pub launches: Vec<usize>,
    /// What crosses the wafer's edge in every launch.
    pub traffic: Vec<Traffic>,
    /// Outcome of every program, without its PEs.
    pub outcomes: Vec<Outcome>,
    /// Hash of all programs in order, with their counts.
    pub hash: String,
    /// Edge streams of every program.
    pub streams: Vec<Vec<EdgeStream>>,
    /// Where the PEs spent the cycles of the step, if that was asked for.
    pub heat: Option<Heat>,
    /// Programs whose outcomes came out of a store.
    pub cached: u64,
}

/// How programs are executed: by which engine, with what known before, and who is told.
#[derive(Clone, Copy)]
pub struct Executor<'a> {
    /// Engine, foldings and limits; with `per_pe`, what the PEs did is kept as [`Heat`].
    pub options: RunOptions,
    /// Where outcomes that are known come from, and where others are kept.
    pub store: Option<&'a dyn OutcomeStore>,
    /// Who is told.
    pub progress: &'a dyn Progress,
}

impl Default for Executor<'_> {
    /// The fast engine with all foldings, everything executed, nobody told.
    fn default() -> Self {
        Executor { options: RunOptions::default(), store: None, progress: &Silent }
    }
}

impl std::fmt::Debug for Executor<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let stored = self.store.is_some();
        f.debug_struct("Executor").field("options", &self.options).field("stored", &stored).finish_non_exhaustive()
    }
}

impl Executor<'_> {
    /// Executes every program once, on the threads of the current rayon pool, or takes its outcome out
    /// of the store.
    ///
    /// # Errors
    /// The first program that fails, in the order of the launches.
    ///
    /// # Panics
    /// If cycles of PEs are missing from an outcome: a bug of the engines.
    pub fn execute(&self, programs: StepPrograms, arch: &ArchSpec) -> Result<ExecutedStep, Error> {
        let StepPrograms { programs: distinct, weights, launches, traffic, hash } = programs;
        self.progress.planned(launches.len(), distinct.len());
        let mesh = arch.grid();
        let (heat, known) = (Mutex::new(Heat::new(mesh)), AtomicU64::new(0));
        let run = |(distinct, weight): (&Distinct, &u64)| -> Result<Outcome, Error> {
            let (mut outcome, own) = self.outcome(distinct, arch, &known)?;
            complete(&mut outcome, distinct, mesh);
            if let Some(own) = own {
                heat.lock().unwrap_or_else(PoisonError::into_inner).add(&own, *weight);
            }
            self.progress.executed(&distinct.kernel, &outcome);
            Ok(outcome)
        };
        let results: Vec<_> = distinct.par_iter().zip(&weights).with_max_len(1).map(run).collect();
        let outcomes = results.into_iter().collect::<Result<Vec<Outcome>, Error>>()?;
        let heat = self.options.per_pe.then(|| {
            let mut heat = heat.into_inner().unwrap_or_else(PoisonError::into_inner);
            heat.mark(&placed(&distinct));
            heat
        });
        let cached = known.into_inner();
        self.progress.finished(cached);
        let streams = distinct.into_iter().map(|p| p.program.edges).collect();
        Ok(ExecutedStep { launches, traffic, streams, outcomes, hash, heat, cached })
    }

    /// A program's outcome, and what its PEs did if that is wanted: out of the store, or executed.
    fn outcome(
        &self,
        distinct: &Distinct,
        arch: &ArchSpec,
        stored: &AtomicU64,
    ) -> Result<(Outcome, Option<Heat>), Error> {
        let (wanted, mesh) = (self.options.per_pe, arch.grid());
        let key = self.store.map(|store| (store, OutcomeKey::new(&distinct.timing, arch, &self.options)));
        if let Some((store, key)) = &key
            && let Some(known) = store.load(key).filter(|known| known.cycles.0 <= self.options.cycle_limit)
        {
            let heat = wanted.then(|| store.load_heat(key, mesh)).flatten();
            if heat.is_some() || !wanted {
                stored.fetch_add(1, Ordering::Relaxed);
                return Ok((known, heat));
            }
        }
        let cells = wanted.then(|| Heat::new(mesh).cell);
        let options = RunOptions { per_pe: false, cells, ..self.options };
        let run = fabric::run(&distinct.program, arch, &options, None);
        let mut outcome = run.map_err(|error| Error::Execution { at: named(distinct), error })?;
        let heat = outcome.per_cell.take().map(|cells| Heat::of(mesh, &cells, outcome.cycles.0));
        if let Some((store, key)) = &key {
            store.store(key, &outcome);
            heat.iter().for_each(|heat| store.store_heat(key, heat));
        }
        Ok((outcome, heat))
    }
}

/// The place of a program in diagnostics.
fn named(distinct: &Distinct) -> String {
    format!("kernel `{}`", distinct.kernel)
}

/// Adds to the outcome of a program what it is of the whole machine and of all launches.
fn complete(outcome: &mut Outcome, distinct: &Distinct, mesh: Grid) {
    let grid = distinct.program.grid();
    assert_eq!(
        outcome.pe_cycles.total(),
        outcome.cycles.0 * grid.pes(),
        "{}: every cycle of every PE is in one part",
        named(distinct)
    );
    // PEs of the machine that the program does not name have nothing to do.
    outcome.pe_cycles.idle += outcome.cycles.0 * (mesh.pes() - grid.pes());
    if distinct.launches > 1 {
        let text = format!(
            "executed once for {} launches, whose programs differ only in names and in addresses that decide no bank conflict",
            distinct.launches
        );
        outcome.folds.push(FoldNote { kind: "kernels".to_owned(), text });
    }
}

/// Regions of the PEs that run an image, each once.
fn placed(programs: &[Distinct]) -> Vec<Region> {
    let regions: BTreeSet<Region> =
        programs.iter().flat_map(|p| p.program.placements.iter().map(|placement| placement.region)).collect();
    regions.into_iter().collect()
}
