//! What commands that execute share: threads, the cache, progress, and advice for somebody who
//! interrupts.
//!
//! **Invariant.** No result depends on what is here.
//! **Not here.** The order of events of a run (`runner`).

use super::options::RunLimits;
use super::output::Output;
use crate::cache::Cache;
use crate::fail::Failure;
use crate::{host, interrupt};
use fabric::RunOptions;
use indicatif::ProgressBar;
use runner::{Error, Executor, OutcomeStore, Progress, Silent};
use sim_core::report::Outcome;
use std::time::Instant;

/// A command that executes.
pub(super) struct Session<'a> {
    pool: rayon::ThreadPool,
    cache: Option<Cache>,
    options: RunOptions,
    output: &'a Output,
}

impl<'a> Session<'a> {
    /// With the engine and the limits of the options; `cache`: outcomes may come out of the cache.
    pub(super) fn new(limits: &RunLimits, cache: bool, output: &'a Output) -> Result<Session<'a>, Failure> {
        let cache = cache.then(Cache::open).flatten();
        if let Some(cache) = &cache {
            let folder = cache.contents().folder;
            let go_on = "Outcomes of finished kernels are kept in";
            interrupt::advise(&format!("{go_on} {}: the same command goes on from there.", folder.display()));
        }
        Ok(Session { pool: host::pool(limits.threads())?, cache, options: limits.options(false), output })
    }

    /// Keeps where the PEs spend their cycles, if that is `wanted`.
    pub(super) fn per_pe(mut self, wanted: bool) -> Session<'a> {
        self.options.per_pe = wanted;
        self
    }

    /// Does `work` on the threads of the session, and shows every program that it executes.
    pub(super) fn run<T: Send>(
        &self,
        work: impl FnOnce(&Executor<'_>) -> Result<T, Error> + Send,
    ) -> Result<T, Failure> {
        self.told(work, &Watcher::new(self.output))
    }

    /// Runs the job without showing anything.
    pub(super) fn run_silently<T: Send>(
        &self,
        work: impl FnOnce(&Executor<'_>) -> Result<T, Error> + Send,
    ) -> Result<T, Failure> {
        self.told(work, &Silent)
    }

    fn told<T: Send>(
        &self,
        work: impl FnOnce(&Executor<'_>) -> Result<T, Error> + Send,
        progress: &dyn Progress,
    ) -> Result<T, Failure> {
        let store = self.cache.as_ref().map(|cache| cache as &dyn OutcomeStore);
        let executor = Executor { options: self.options, store, progress };
        let done = self.pool.install(|| work(&executor))?;
        self.cache.iter().for_each(Cache::trim);
        Ok(done)
    }
}

/// Shows what is executed to somebody who waits.
struct Watcher<'a> {
    output: &'a Output,
    bar: ProgressBar,
    start: Instant,
}

impl Watcher<'_> {
    #[allow(clippy::disallowed_methods, reason = "wall time of the host, for people who wait")]
    fn new(output: &Output) -> Watcher<'_> {
        Watcher { output, bar: output.progress(0, "kernels"), start: Instant::now() }
    }
}

impl Progress for Watcher<'_> {
    fn planned(&self, launches: usize, programs: usize) {
        self.output.verbose(&format!("{launches} launches of {programs} distinct programs"));
        self.bar.reset();
        self.bar.set_length(programs as u64);
    }

    fn executed(&self, kernel: &str, outcome: &Outcome) {
        self.bar.inc(1);
        self.output.verbose(&format!(
            "{:8.1} s  {kernel}: {} cycles, {} stepped, {} PE-cycles stepped",
            self.start.elapsed().as_secs_f64(),
            outcome.cycles.0,
            outcome.stepped_cycles,
            outcome.stepped_pe_cycles
        ));
    }

    fn finished(&self, known: u64) {
        self.bar.finish_and_clear();
        if known > 0 {
            self.output.verbose(&format!("{known} outcomes came out of the cache"));
        }
    }
}
