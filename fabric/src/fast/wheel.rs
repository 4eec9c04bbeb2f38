//! Which agent is evaluated in which cycle: a timing wheel with a bit for each agent and cycle.
//!
//! A list of events would have to be sorted and freed of duplicates. In a wheel of 64 slots an entry is one
//! bit, setting it twice changes nothing, and the next cycle with entries is a count of zeros. Entries
//! further ahead than the wheel reaches wait in a map.
//!
//! An agent that is evaluated in vain changes nothing, so early entries are harmless; it is evaluated
//! once per cycle. Agents that are near each other in number are near each other in memory, and
//! are handed out in the order of their numbers.
//!
//! **Invariant.** Agents may be in different cycles, fewer than [`SPREAD`] apart; an entry belongs
//! to the cycle of its agent.
//! **Not here.** What agents are (`agent`), and what they do (`band`).

use std::collections::BTreeMap;

const SLOTS: u64 = 64;
/// Most cycles that agents may be apart.
pub(crate) const SPREAD: u64 = 48;
/// Agents with a word in common.
const LOT: u32 = u64::BITS;

/// Agents to evaluate, by cycle.
#[derive(Debug)]
pub(crate) struct Wheel {
    /// For each lot of agents and each slot, those that have an entry.
    entries: Vec<[u64; SLOTS as usize]>,
    /// For each lot, the slots that have entries.
    slots: Vec<u64>,
    /// Slots that may have entries.
    any: u64,
    far: BTreeMap<u64, Vec<u32>>,
    /// First cycle that some agent has not done.
    now: u64,
    /// By pairs of agents: before this cycle nothing but what the second one does already can
    /// happen to it.
    busy: Vec<u64>,
}

/// The bit of the slot of a cycle.
#[inline]
fn slot(at: u64) -> u64 {
    1 << (at % SLOTS)
}

impl Wheel {
    /// A wheel for `agents` agents, at cycle 0.
    pub(crate) fn new(agents: usize) -> Wheel {
        let lots = agents.div_ceil(LOT as usize);
        Wheel {
            entries: vec![[0; SLOTS as usize]; lots],
            slots: vec![0; lots],
            any: 0,
            far: BTreeMap::new(),
            now: 0,
            busy: vec![0; agents.div_ceil(2)],
        }
    }

    /// Evaluates `agent` in cycle `at`, which it has not done.
    #[inline]
    pub(crate) fn wake(&mut self, agent: u32, at: u64) {
        debug_assert!(at >= self.now, "an entry in the past");
        if agent & 1 == 1 && at < self.busy[(agent / 2) as usize] {
            return;
        }
        if at - self.now >= SLOTS - 1 {
            self.far.entry(at).or_default().push(agent);
        } else {
            self.enter(agent, at);
        }
    }

    #[inline]
    fn enter(&mut self, agent: u32, at: u64) {
        let lot = (agent / LOT) as usize;
        self.entries[lot][(at % SLOTS) as usize] |= 1 << (agent % LOT);
        self.slots[lot] |= slot(at);
        self.any |= slot(at);
    }

    /// Evaluates `agent`, the second of a pair, in cycle `at`; until then nothing that happens around
    /// it concerns it.
    #[inline]
    pub(crate) fn busy_until(&mut self, agent: u32, at: u64) {
        debug_assert!(agent & 1 == 1, "only a compute element, the second of a pair, can be busy");
        self.wake(agent, at);
        self.busy[(agent / 2) as usize] = at;
    }

    /// Evaluates `agent`, the second of a pair, in cycle `at`, busy or not.
    pub(crate) fn rewake(&mut self, agent: u32, at: u64) {
        self.busy[(agent / 2) as usize] = 0;
        self.wake(agent, at);
    }

    /// The next cycle that has entries, if any. All agents are in the same cycle.
    pub(crate) fn peek(&self) -> Option<u64> {
        let far = self.far.keys().next().copied();
        if self.any == 0 {
            return far;
        }
        let ahead = self.any.rotate_right((self.now % SLOTS) as u32).trailing_zeros();
        let near = self.now + u64::from(ahead);
        Some(far.map_or(near, |far| far.min(near)))
    }

    /// First cycle that some agent has not done; between blocks none has.
    pub(crate) fn now(&self) -> u64 {
        self.now
    }

    /// Whether there may be entries for cycle `now`.
    #[inline]
    pub(crate) fn expects(&self, now: u64) -> bool {
        self.any & slot(now) != 0
    }

    /// Lots of agents with entries for cycle `now`.
    pub(crate) fn due(&self, now: u64) -> u64 {
        self.slots.iter().map(|s| s >> (now % SLOTS) & 1).sum()
    }

    /// Moves to cycle `now`, before which there are no entries. Agents may now be up to `cycles`
    /// apart, of which there are at most [`SPREAD`].
    pub(crate) fn begin(&mut self, now: u64, cycles: u64) {
        assert!(now >= self.now, "a block begins before the one before it ended");
        assert!(cycles <= SPREAD, "entries of different cycles of one block would share a slot of the wheel");
        self.now = now;
        while let Some(entry) = self.far.first_entry().filter(|e| *e.key() < now + cycles) {
            let at = *entry.key();
            for agent in entry.remove() {
                self.enter(agent, at);
            }
        }
    }

    /// All agents have done all cycles before `now`.
    pub(crate) fn end(&mut self, now: u64) {
        assert!(now > self.now, "a block has at least one cycle");
        #[cfg(debug_assertions)]
        assert_eq!(self.behind(), 0, "an agent was not evaluated in a cycle that is over: its event is lost");
        self.any =
            if now == self.now + 1 { self.any & !slot(self.now) } else { self.slots.iter().fold(0, |any, s| any | s) };
        self.now = now;
    }

    /// Hands out one of `agents` that has an entry for its cycle `now`, from `*from` on.
    #[inline]
    pub(crate) fn next(&mut self, agents: std::ops::Range<u32>, from: &mut u32, now: u64) -> Option<u32> {
        while *from < agents.end {
            let lot = (*from / LOT) as usize;
            let behind = (lot as u32 + 1) * LOT;
            if self.slots[lot] & slot(now) == 0 {
                *from = behind;
                continue;
            }
            let all = &mut self.entries[lot][(now % SLOTS) as usize];
            let here = *all & u64::MAX << (*from % LOT);
            let agent = lot as u32 * LOT + here.trailing_zeros();
            if here == 0 || agent >= agents.end {
                *from = behind;
                continue;
            }
            *all &= !(1 << (agent % LOT));
            if *all == 0 {
                self.slots[lot] &= !slot(now);
            }
            *from = agent + 1;
            return Some(agent);
        }
        None
    }

    /// Lots of agents with entries for the first cycle that some agent had not done.
    #[cfg(debug_assertions)]
    fn behind(&self) -> usize {
        self.slots.iter().filter(|&&slots| slots & slot(self.now) != 0).count()
    }

    /// Agents that have entries, a bit for each.
    pub(crate) fn expected(&self) -> Vec<u64> {
        let mut all: Vec<u64> = self.entries.iter().map(|slots| slots.iter().fold(0, |a, b| a | b)).collect();
        for &agent in self.far.values().flatten() {
            all[(agent / LOT) as usize] |= 1 << (agent % LOT);
        }
        all
    }
}
