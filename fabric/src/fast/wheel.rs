//! When to look at whom: a timing wheel of agents.
//!
//! An agent that is looked at in vain changes nothing, so early entries are harmless; it is looked
//! at once per cycle.

use std::collections::BTreeMap;

const SLOTS: u64 = 256;

/// When one agent is to be looked at.
#[derive(Debug, Clone, Copy)]
struct Entry {
    /// Cycle of its latest entry: entries for the same cycle are made once.
    latest: u64,
    /// Last cycle for which it has an entry, plus one; 0 for none.
    furthest: u64,
    /// Cycle in which it was last looked at, plus one.
    looked: u64,
    /// Before this cycle nothing but what it does already can happen to it.
    busy: u64,
}

/// Agents to look at, by cycle.
#[derive(Debug)]
pub(crate) struct Wheel {
    slots: Vec<Vec<u32>>,
    far: BTreeMap<u64, Vec<u32>>,
    /// First cycle that may still get entries.
    now: u64,
    /// No entry in a slot is for a cycle between `now` and this one.
    empty_to: u64,
    near: usize,
    entries: Vec<Entry>,
}

impl Wheel {
    /// A wheel for `agents` agents, at cycle 0.
    pub(crate) fn new(agents: usize) -> Wheel {
        Wheel {
            slots: (0..SLOTS).map(|_| Vec::new()).collect(),
            far: BTreeMap::new(),
            now: 0,
            empty_to: 0,
            near: 0,
            entries: vec![Entry { latest: u64::MAX, furthest: 0, looked: 0, busy: 0 }; agents],
        }
    }

    /// Look at `agent` in cycle `at`, which is not in the past.
    #[inline]
    pub(crate) fn wake(&mut self, agent: u32, at: u64) {
        debug_assert!(at >= self.now, "an entry in the past");
        let entry = &mut self.entries[agent as usize];
        if entry.latest == at || at < entry.busy {
            return;
        }
        entry.latest = at;
        entry.furthest = entry.furthest.max(at + 1);
        if at - self.now < SLOTS {
            self.slots[(at % SLOTS) as usize].push(agent);
            self.empty_to = self.empty_to.min(at);
            self.near += 1;
        } else {
            self.far.entry(at).or_default().push(agent);
        }
    }

    /// Look at `agent` in cycle `at`; until then nothing that happens around it concerns it.
    #[inline]
    pub(crate) fn busy_until(&mut self, agent: u32, at: u64) {
        self.wake(agent, at);
        self.entries[agent as usize].busy = at;
    }

    /// Look at `agent` in cycle `at`, busy or not.
    pub(crate) fn rewake(&mut self, agent: u32, at: u64) {
        self.entries[agent as usize].busy = 0;
        self.wake(agent, at);
    }

    /// Whether `agent` is to be looked at in cycle `now`: not if it was already.
    #[inline]
    pub(crate) fn first_look(&mut self, agent: u32, now: u64) -> bool {
        let entry = &mut self.entries[agent as usize];
        let first = entry.looked <= now;
        entry.looked = now + 1;
        first
    }

    /// The next cycle that has entries, if any.
    pub(crate) fn peek(&mut self) -> Option<u64> {
        let far = self.far.keys().next().copied();
        if self.near == 0 {
            return far;
        }
        while self.slots[(self.empty_to % SLOTS) as usize].is_empty() {
            self.empty_to += 1;
        }
        Some(far.map_or(self.empty_to, |far| far.min(self.empty_to)))
    }

    /// Entries of cycle `now`, if it is the next one that has any.
    pub(crate) fn due(&self, now: u64) -> u64 {
        self.slots[(now % SLOTS) as usize].len() as u64
    }

    /// Moves to the cycle `now`, before which there are no entries, and hands out its entries.
    pub(crate) fn take(&mut self, now: u64, out: &mut Vec<u32>) {
        out.clear();
        let slot = &mut self.slots[(now % SLOTS) as usize];
        self.near -= slot.len();
        std::mem::swap(slot, out);
        if !self.far.is_empty()
            && let Some(far) = self.far.remove(&now)
        {
            out.extend(far);
        }
        self.now = now + 1;
        self.empty_to = now + 1;
    }

    /// Whether `agent` has an entry behind cycle `now`, or one for it that is still to be looked at.
    pub(crate) fn expects(&self, agent: u32, now: u64) -> bool {
        let entry = &self.entries[agent as usize];
        entry.furthest > now + 1 || (entry.furthest == now + 1 && entry.looked <= now)
    }
}
