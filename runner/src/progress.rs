//! What a caller who waits is told while a step runs.
//!
//! **Invariant.** No result depends on what a caller does with it.

use sim_core::report::Outcome;

/// A caller who waits. Calls come from any thread, one program after the other in no fixed order.
pub trait Progress: Sync {
    /// The step has so many launches of kernels, of so many programs that have to be executed.
    fn planned(&self, _launches: usize, _programs: usize) {}

    /// A program was executed, or its outcome was known; `kernel` is the first one that has it.
    fn executed(&self, _kernel: &str, _outcome: &Outcome) {}

    /// All programs of the step are done; the outcomes of `known` of them came out of a store.
    fn finished(&self, _known: u64) {}
}

/// Nobody waits.
#[derive(Debug, Clone, Copy)]
pub struct Silent;

impl Progress for Silent {}
