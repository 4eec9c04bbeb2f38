//! Outcomes of programs that were executed before, behind a trait: in memory here, on disk in the
//! command line.
//!
//! A kernel starts and ends with a quiescent fabric, so its outcome depends on its program, the
//! machine, the engine and the foldings (which say what was stepped) alone. The hash of all of them is
//! the key, so there is nothing to invalidate within one version of the engines; a store that outlives
//! a process adds the executable to it.
//!
//! **Invariant.** A store gives what was stored under the very key, or nothing. Nothing that goes
//! wrong in it fails a run.
//! **Not here.** Files, and how large a store may become.

use crate::heat::Heat;
use fabric::{EngineKind, RunOptions};
use sim_core::arch::ArchSpec;
use sim_core::coord::Grid;
use sim_core::report::Outcome;
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Hash of all that the outcome of a program depends on, but for the version of the engines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct OutcomeKey(pub [u8; 32]);

impl OutcomeKey {
    /// The key of a program on a machine; `timing` is the hash of all of the program that its timing
    /// can depend on.
    #[must_use]
    pub fn new(timing: &[u8; 32], arch: &ArchSpec, options: &RunOptions) -> OutcomeKey {
        let engine = match options.engine {
            EngineKind::Reference => 0,
            EngineKind::Fast => 1,
        };
        let mut hash = blake3::Hasher::new();
        hash.update(timing).update(arch.wafer_hash().as_bytes());
        hash.update(&[engine, u8::from(options.fold.time), u8::from(options.fold.space)]);
        OutcomeKey(*hash.finalize().as_bytes())
    }
}

/// Where outcomes are kept from one execution to the next.
pub trait OutcomeStore: Sync {
    /// The outcome under a key, if it is known.
    fn load(&self, key: &OutcomeKey) -> Option<Outcome>;

    /// Keeps an outcome.
    fn store(&self, key: &OutcomeKey, outcome: &Outcome);

    /// What the PEs of a mesh did in the outcome under a key, if that is known.
    fn load_heat(&self, key: &OutcomeKey, mesh: Grid) -> Option<Heat>;

    /// Keeps what the PEs did.
    fn store_heat(&self, key: &OutcomeKey, heat: &Heat);
}

/// A store that lives as long as the process, for somebody who runs many variants of a step.
#[derive(Debug, Default)]
pub struct MemoryStore {
    outcomes: Mutex<BTreeMap<OutcomeKey, Outcome>>,
    heat: Mutex<BTreeMap<OutcomeKey, Heat>>,
}

/// A map of a store; one that another thread left in a panic is whole, since nothing is half stored.
fn locked<T>(map: &Mutex<BTreeMap<OutcomeKey, T>>) -> MutexGuard<'_, BTreeMap<OutcomeKey, T>> {
    map.lock().unwrap_or_else(PoisonError::into_inner)
}

impl OutcomeStore for MemoryStore {
    fn load(&self, key: &OutcomeKey) -> Option<Outcome> {
        locked(&self.outcomes).get(key).cloned()
    }

    fn store(&self, key: &OutcomeKey, outcome: &Outcome) {
        locked(&self.outcomes).insert(*key, outcome.clone());
    }

    fn load_heat(&self, key: &OutcomeKey, mesh: Grid) -> Option<Heat> {
        locked(&self.heat).get(key).filter(|heat| heat.mesh == mesh).cloned()
    }

    fn store_heat(&self, key: &OutcomeKey, heat: &Heat) {
        locked(&self.heat).insert(*key, heat.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sim_core::arch::cs2::cs2;
    use sim_core::report::CellCounters;
    use sim_core::units::Cycles;

    #[test]
    fn outcomes_are_found_under_their_key_only() {
        let store = MemoryStore::default();
        let key = |timing: u8, hop: u32, space: bool| {
            let mut arch = cs2();
            arch.router.hop.value = hop;
            let mut options = RunOptions::default();
            options.fold.space = space;
            OutcomeKey::new(&[timing; 32], &arch, &options)
        };
        let outcome = Outcome { cycles: Cycles(5), ..Outcome::default() };
        store.store(&key(1, 1, true), &outcome);
        assert_eq!(store.load(&key(1, 1, true)), Some(outcome));
        for other in [key(2, 1, true), key(1, 2, true), key(1, 1, false)] {
            assert_eq!(store.load(&other), None);
        }
        let mesh = Grid { width: 3, height: 2 };
        let heat = Heat::of(mesh, &CellCounters::new(mesh, mesh), 11);
        store.store_heat(&key(1, 1, true), &heat);
        assert_eq!(store.load_heat(&key(1, 1, true), mesh), Some(heat));
        assert_eq!(store.load_heat(&key(1, 1, true), Grid { width: 2, height: 3 }), None);
    }
}
