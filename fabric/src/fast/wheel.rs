//! When to look at whom: a timing wheel of agents.
//!
//! An agent that is looked at in vain changes nothing, so duplicate and early entries are
//! harmless.

use std::collections::BTreeMap;

const SLOTS: u64 = 256;

/// Agents to look at, by cycle.
#[derive(Debug)]
pub(crate) struct Wheel {
    slots: Vec<Vec<u32>>,
    far: BTreeMap<u64, Vec<u32>>,
    now: u64,
    near: usize,
    /// Cycle of the latest entry of each agent: entries for the same cycle are made once.
    latest: Vec<u64>,
    /// Last cycle for which each agent has an entry, plus one; 0 for none.
    furthest: Vec<u64>,
}

impl Wheel {
    /// A wheel for `agents` agents, at cycle 0.
    pub(crate) fn new(agents: usize) -> Wheel {
        Wheel {
            slots: (0..SLOTS).map(|_| Vec::new()).collect(),
            far: BTreeMap::new(),
            now: 0,
            near: 0,
            latest: vec![u64::MAX; agents],
            furthest: vec![0; agents],
        }
    }

    /// Look at `agent` in cycle `at`, which is not in the past.
    #[inline]
    pub(crate) fn wake(&mut self, agent: u32, at: u64) {
        debug_assert!(at >= self.now, "an entry in the past");
        let latest = &mut self.latest[agent as usize];
        if *latest == at {
            return;
        }
        *latest = at;
        let furthest = &mut self.furthest[agent as usize];
        *furthest = (*furthest).max(at + 1);
        if at - self.now < SLOTS {
            self.slots[(at % SLOTS) as usize].push(agent);
            self.near += 1;
        } else {
            self.far.entry(at).or_default().push(agent);
        }
    }

    /// The next cycle that has entries, if any; moves there and hands them out.
    pub(crate) fn next(&mut self, out: &mut Vec<u32>) -> Option<u64> {
        out.clear();
        let far = self.far.keys().next().copied();
        if self.near == 0 {
            self.now = far?;
        } else {
            while self.slots[(self.now % SLOTS) as usize].is_empty() && far != Some(self.now) {
                self.now += 1;
            }
        }
        let slot = &mut self.slots[(self.now % SLOTS) as usize];
        self.near -= slot.len();
        std::mem::swap(slot, out);
        if far == Some(self.now) {
            out.extend(self.far.remove(&self.now).expect("its key was just seen"));
        }
        let now = self.now;
        self.now += 1;
        Some(now)
    }

    /// Whether `agent` has an entry behind cycle `now`.
    pub(crate) fn expects(&self, agent: u32, now: u64) -> bool {
        self.furthest[agent as usize] > now + 1
    }
}
