//! All FIFOs of a band in flat arrays (rule M2).
//!
//! A full wafer has some ten million FIFOs, so a record takes half a line of memory. Entries are put in
//! and taken out at once, in the cycle in which it happens; a second pass that commits them would read all
//! records again.
//!
//! **Invariant.** What a decision reads is nevertheless the state at the start of the cycle: an entry that
//! is put in is ready in a later cycle, and what was taken out in this cycle still counts as occupied.
//! Every FIFO has one producer, which puts in at most one entry per cycle.
//! **Not here.** Who is woken when an entry comes or goes (`band`, `ce`).

/// Index of a FIFO.
pub(crate) type FifoId = u32;

/// What an entry carries: 32 bits, and whether it is a control wavelet ([`CONTROL`]).
pub(crate) type Word = u64;

/// Set in the [`Word`] of a control wavelet.
pub(crate) const CONTROL: Word = 1 << 32;

/// The task that a control wavelet names; None for others.
pub(crate) fn control_task(word: Word) -> Option<u8> {
    (word & CONTROL != 0 && word & 1 << 22 != 0).then_some((word >> 16 & 63) as u8)
}

/// Value of "no such thing" for FIFOs and agents.
pub(crate) const NONE: u32 = u32::MAX;

/// Set in the number of a producer or consumer in a neighbouring band; [`BELOW`] says in which.
/// The rest is the number of the FIFO there that stands for this one.
pub(crate) const REMOTE: u32 = 1 << 31;
/// Set with [`REMOTE`] for the band below, not for the one above.
pub(crate) const BELOW: u32 = 1 << 30;

/// Whether a producer or consumer is in another band.
pub(crate) fn is_remote(agent: u32) -> bool {
    agent & REMOTE != 0 && agent != NONE
}

/// Cycles after which ready cycles, of which the low 16 bits are kept, are refreshed. A block and the
/// longest latency that a machine may have, 20,000 cycles ([`sim_core::arch`]), besides are less than
/// half of what 16 bits tell apart.
pub(crate) const REFRESH: u64 = 1 << 13;

/// Fixed and changing data of one FIFO.
#[derive(Debug, Clone, Default)]
pub(crate) struct Fifo {
    offset: u32,
    /// The agent that takes from it.
    pub(crate) consumer: u32,
    /// The agent that puts into it.
    pub(crate) producer: u32,
    /// Low bits of the cycle of the latest entries that were taken out.
    popped_at: u16,
    /// Low bits of the cycle in which the head is ready; those of the entries behind it are in a
    /// ring of their own.
    head_ready: u16,
    /// Entries that it can hold.
    pub(crate) capacity: u16,
    head: u16,
    /// Entries that it holds at the moment.
    pub(crate) len: u16,
    /// How many were taken out in the cycle `popped_at`.
    popped: u8,
    /// Number of the consumer's path among those of its router, if it is a router.
    pub(crate) path: u8,
}

impl Fifo {
    /// How many were taken out in cycle `now`, which is the latest one in which any were, or a later
    /// one.
    #[inline]
    fn popped_in(&self, now: u64) -> u16 {
        if self.popped_at == now as u16 { u16::from(self.popped) } else { 0 }
    }

    #[inline]
    fn count_popped(&mut self, now: u64) {
        debug_assert!(
            self.popped < u8::MAX,
            "a FIFO has one consumer, which takes at most one entry per queue and cycle"
        );
        self.popped = self.popped_in(now) as u8 + 1;
        self.popped_at = now as u16;
    }
}

/// What taking the head of a FIFO gave.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Popped {
    pub(crate) word: Word,
    /// The FIFO was full: only then its producer may wait for room, which there is from the next
    /// cycle on.
    pub(crate) freed: bool,
    /// Cycle in which the new head is ready, if it is not yet; else 0.
    pub(crate) next: u64,
}

/// Where a link's FIFO stands, for watches.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Mark {
    /// Boundary that it stands behind, or [`NONE`]: row `y` and the next have number `y`, column
    /// `x` and the next have the mesh's height plus `x`.
    pub(crate) boundary: u32,
    /// What identifies it among those of one boundary.
    pub(crate) key: u64,
}

/// All FIFOs of a band, and their entries.
#[derive(Debug, Clone, Default)]
pub(crate) struct Fifos {
    /// One record per FIFO.
    pub(crate) all: Vec<Fifo>,
    /// Where each stands; empty where nothing is watched.
    pub(crate) marks: Vec<Mark>,
    /// Whether anything is watched.
    pub(crate) watched: bool,
    /// The low bits of ready cycles.
    ready: Vec<u16>,
    /// Empty where neither values nor control wavelets are carried.
    data: Vec<Word>,
    /// Entries put in and taken out so far.
    pub(crate) pushed: u64,
    pub(crate) popped: u64,
    /// Something was taken from an empty FIFO or put into a full one.
    pub(crate) broken: bool,
}

impl Fifos {
    /// Adds a FIFO of `capacity` entries; gives its index.
    pub(crate) fn add(&mut self, capacity: u32, consumer: u32, producer: u32) -> FifoId {
        debug_assert!(capacity > 0, "a FIFO without a place would never pass a wavelet on");
        let capacity = capacity.clamp(1, u32::from(u16::MAX)) as u16;
        let offset = self.ready.len() as u32;
        self.ready.resize(self.ready.len() + usize::from(capacity), 0);
        self.record(Fifo { offset, consumer, producer, capacity, ..Fifo::default() })
    }

    fn record(&mut self, fifo: Fifo) -> FifoId {
        self.all.push(fifo);
        if self.watched {
            self.marks.push(Mark { boundary: NONE, key: 0 });
        }
        (self.all.len() - 1) as u32
    }

    /// A FIFO that only counts, for one in another band.
    pub(crate) fn stand_in(&mut self, producer: u32) -> FifoId {
        let offset = self.ready.len() as u32;
        self.record(Fifo { offset, consumer: REMOTE, producer, ..Fifo::default() })
    }

    /// Makes room for what wavelets carry.
    pub(crate) fn carry_words(&mut self) {
        self.data = vec![0; self.ready.len()];
    }

    /// Whether the head is there and usable in cycle `now`.
    #[inline]
    pub(crate) fn ready(&self, id: FifoId, now: u64) -> bool {
        let f = &self.all[id as usize];
        f.len > 0 && !later(f.head_ready, now)
    }

    /// Whether the head is there, usable in cycle `now`, and data.
    #[inline]
    pub(crate) fn has_data(&self, id: FifoId, now: u64) -> bool {
        self.ready(id, now) && self.word(id) & CONTROL == 0
    }

    /// Whether the head is there, ready or not, and data.
    pub(crate) fn holds_data(&self, id: FifoId) -> bool {
        self.all[id as usize].len > 0 && self.word(id) & CONTROL == 0
    }

    /// What the head carries; 0 where nothing is carried.
    #[inline]
    pub(crate) fn word(&self, id: FifoId) -> Word {
        self.entry(id, 0)
    }

    fn entry(&self, id: FifoId, ahead: u16) -> Word {
        if self.data.is_empty() {
            return 0;
        }
        let f = &self.all[id as usize];
        self.data[(f.offset + (u32::from(f.head) + u32::from(ahead)) % u32::from(f.capacity)) as usize]
    }

    /// Whether each entry is a control wavelet, and which, head first.
    pub(crate) fn controls(&self, id: FifoId) -> impl Iterator<Item = Word> + '_ {
        (0..self.all[id as usize].len).map(move |i| self.entry(id, i)).map(|w| if w & CONTROL == 0 { 0 } else { w })
    }

    /// Whether there was room at the start of cycle `now`.
    #[inline]
    pub(crate) fn room(&self, id: FifoId, now: u64) -> bool {
        let f = &self.all[id as usize];
        f.len + f.popped_in(now) < f.capacity
    }

    /// Takes the head in cycle `now`.
    #[inline]
    pub(crate) fn pop(&mut self, id: FifoId, now: u64) -> Popped {
        let f = &mut self.all[id as usize];
        if f.len == 0 {
            self.broken = true;
            return Popped::default();
        }
        debug_assert!(f.len <= f.capacity, "a FIFO holds more than it has places for");
        debug_assert!(f.head < f.capacity, "the head of a FIFO is one of its places");
        debug_assert!(!later(f.head_ready, now), "a wavelet is taken before it has arrived");
        // Only a producer of a full FIFO may wait for room; waking the others would be in vain.
        let freed = f.len + f.popped_in(now) >= f.capacity;
        let mut next = 0;
        self.popped += 1;
        let at = (f.offset + u32::from(f.head)) as usize;
        f.head = if f.head + 1 == f.capacity { 0 } else { f.head + 1 };
        f.len -= 1;
        if f.len > 0 {
            f.head_ready = self.ready[(f.offset + u32::from(f.head)) as usize];
            if later(f.head_ready, now) {
                next = now + behind(f.head_ready, now);
            }
        }
        f.count_popped(now);
        Popped { word: self.data.get(at).copied().unwrap_or(0), freed, next }
    }

    /// Puts an entry in; gives whether it is the head, so that its consumer has to be evaluated.
    #[inline]
    pub(crate) fn push(&mut self, id: FifoId, ready: u64, value: Word) -> bool {
        let f = &mut self.all[id as usize];
        if f.len >= f.capacity {
            self.broken = true;
            return false;
        }
        debug_assert_ne!(f.consumer, NONE, "what is put into a FIFO without a consumer is lost");
        self.pushed += 1;
        let mut at = u32::from(f.head) + u32::from(f.len);
        if at >= u32::from(f.capacity) {
            at -= u32::from(f.capacity);
        }
        let at = (f.offset + at) as usize;
        let head = f.len == 0;
        if head {
            f.head_ready = ready as u16;
        } else {
            self.ready[at] = ready as u16;
        }
        f.len += 1;
        if let Some(d) = self.data.get_mut(at) {
            *d = value;
        }
        head
    }

    /// Counts an entry in a FIFO that stands for one in another band.
    #[inline]
    pub(crate) fn lend(&mut self, id: FifoId) {
        let f = &mut self.all[id as usize];
        debug_assert!(f.len < f.capacity, "more wavelets were sent to another band than there are credits");
        self.broken |= f.len >= f.capacity;
        f.len += 1;
    }

    /// Counts an entry of such a FIFO as taken out in cycle `now`.
    #[inline]
    pub(crate) fn give_back(&mut self, id: FifoId, now: u64) {
        let f = &mut self.all[id as usize];
        debug_assert!(f.len > 0, "a credit came back that was never given: credits would be negative");
        self.broken |= f.len == 0;
        f.len = f.len.saturating_sub(1);
        f.count_popped(now);
    }

    /// Cycles from `now` until each entry is ready, head first.
    pub(crate) fn waits(&self, id: FifoId, now: u64) -> impl Iterator<Item = u64> + '_ {
        let f = &self.all[id as usize];
        (0..f.len).map(move |i| {
            let at = (u32::from(f.head) + u32::from(i)) % u32::from(f.capacity);
            let ready = if i == 0 { f.head_ready } else { self.ready[(f.offset + at) as usize] };
            if later(ready, now) { behind(ready, now) } else { 0 }
        })
    }

    /// Keeps ready cycles comparable: to be called before cycle `now` if the latest call was
    /// [`REFRESH`] cycles before, or more. Nothing happened from `since` to `now`, which may lie
    /// far apart.
    pub(crate) fn refresh(&mut self, since: u64, now: u64) {
        assert!(since <= now, "ready cycles cannot be compared with a cycle that is over");
        for f in &mut self.all {
            f.popped = 0;
        }
        let heads = self.all.iter_mut().map(|f| &mut f.head_ready);
        for r in heads.chain(&mut self.ready) {
            if !later(*r, since) || since + behind(*r, since) <= now {
                *r = now as u16;
            }
        }
    }
}

/// Cycles from `now` to a later cycle, of which the low bits are given.
#[inline]
fn behind(cycle: u16, now: u64) -> u64 {
    u64::from(cycle.wrapping_sub(now as u16))
}

/// Whether a cycle, of which the low bits are given, lies behind `now`.
#[inline]
fn later(cycle: u16, now: u64) -> bool {
    (cycle.wrapping_sub(now as u16) as i16) > 0
}
