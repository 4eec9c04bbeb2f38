//! All FIFOs of a mesh in flat arrays (rule M2).
//!
//! **Invariant.** Within a cycle only the commit phase changes a FIFO; so what the decide phase
//! reads is the state at the start of the cycle.

/// Index of a FIFO.
pub(crate) type FifoId = u32;

/// What an entry carries: 32 bits, and whether it is a control wavelet ([`CONTROL`]).
pub(crate) type Word = u64;

/// Set in the [`Word`] of a control wavelet.
pub(crate) const CONTROL: Word = 1 << 32;

/// Value of "no such thing" for FIFOs and agents.
pub(crate) const NONE: u32 = u32::MAX;

/// Fixed and changing data of one FIFO.
#[derive(Debug, Clone)]
pub(crate) struct Fifo {
    offset: u32,
    /// Entries that it can hold.
    pub(crate) capacity: u16,
    head: u16,
    /// Entries that it holds.
    pub(crate) len: u16,
    /// Who takes from it.
    pub(crate) consumer: u32,
    /// Who puts into it.
    pub(crate) producer: u32,
    /// Boundary that it stands behind, or [`NONE`]: row `y` and the next have number `y`, column
    /// `x` and the next have the mesh's height plus `x`.
    pub(crate) boundary: u32,
    /// What identifies it among those of one boundary.
    pub(crate) key: u64,
}

/// All FIFOs of a mesh.
#[derive(Debug, Clone, Default)]
pub(crate) struct Fifos {
    /// One record per FIFO.
    pub(crate) all: Vec<Fifo>,
    ready: Vec<u64>,
    /// Empty where neither values nor control wavelets are carried.
    data: Vec<Word>,
    /// Entries put in and taken out so far.
    pub(crate) pushed: u64,
    pub(crate) popped: u64,
    /// Something was taken from an empty FIFO or put into a full one.
    pub(crate) broken: bool,
}

impl Fifos {
    /// A new FIFO.
    pub(crate) fn add(&mut self, capacity: u32, consumer: u32, producer: u32) -> FifoId {
        let capacity = capacity.clamp(1, u32::from(u16::MAX)) as u16;
        let offset = self.ready.len() as u32;
        self.ready.resize(self.ready.len() + usize::from(capacity), 0);
        self.all.push(Fifo { offset, capacity, head: 0, len: 0, consumer, producer, boundary: NONE, key: 0 });
        (self.all.len() - 1) as u32
    }

    /// Makes room for what wavelets carry.
    pub(crate) fn carry_words(&mut self) {
        self.data = vec![0; self.ready.len()];
    }

    /// Whether the head is there and usable in cycle `now`.
    #[inline]
    pub(crate) fn ready(&self, id: FifoId, now: u64) -> bool {
        let f = &self.all[id as usize];
        f.len > 0 && self.ready[(f.offset + u32::from(f.head)) as usize] <= now
    }

    /// Whether the entry behind `ahead` others is there, usable in cycle `now`, and data.
    #[inline]
    pub(crate) fn has_data(&self, id: FifoId, ahead: u16, now: u64) -> bool {
        let f = &self.all[id as usize];
        f.len > ahead && self.ready[self.at(f, ahead)] <= now && self.word(id, ahead) & CONTROL == 0
    }

    fn at(&self, f: &Fifo, ahead: u16) -> usize {
        (f.offset + (u32::from(f.head) + u32::from(ahead)) % u32::from(f.capacity)) as usize
    }

    /// What the entry behind `ahead` others carries; 0 where nothing is carried.
    #[inline]
    pub(crate) fn word(&self, id: FifoId, ahead: u16) -> Word {
        if self.data.is_empty() { 0 } else { self.data[self.at(&self.all[id as usize], ahead)] }
    }

    /// Whether each entry is a control wavelet, and which, head first.
    pub(crate) fn controls(&self, id: FifoId) -> impl Iterator<Item = Word> + '_ {
        (0..self.all[id as usize].len).map(move |i| self.word(id, i)).map(|w| if w & CONTROL == 0 { 0 } else { w })
    }

    /// Whether there is room.
    #[inline]
    pub(crate) fn room(&self, id: FifoId) -> bool {
        let f = &self.all[id as usize];
        f.len < f.capacity
    }

    /// Takes the head.
    #[inline]
    pub(crate) fn pop(&mut self, id: FifoId) -> Word {
        let f = &mut self.all[id as usize];
        if f.len == 0 {
            self.broken = true;
            return 0;
        }
        self.popped += 1;
        let at = (f.offset + u32::from(f.head)) as usize;
        f.head = if f.head + 1 == f.capacity { 0 } else { f.head + 1 };
        f.len -= 1;
        self.data.get(at).copied().unwrap_or(0)
    }

    /// Puts an entry in.
    #[inline]
    pub(crate) fn push(&mut self, id: FifoId, ready: u64, value: Word) {
        let f = &mut self.all[id as usize];
        if f.len >= f.capacity {
            self.broken = true;
            return;
        }
        self.pushed += 1;
        let mut at = f.head + f.len;
        if at >= f.capacity {
            at -= f.capacity;
        }
        let at = (f.offset + u32::from(at)) as usize;
        f.len += 1;
        self.ready[at] = ready;
        if let Some(d) = self.data.get_mut(at) {
            *d = value;
        }
    }

    /// Ready cycles of all entries, head first.
    pub(crate) fn readies(&self, id: FifoId) -> impl Iterator<Item = u64> + '_ {
        let f = &self.all[id as usize];
        (0..f.len).map(move |i| {
            let at = (u32::from(f.head) + u32::from(i)) % u32::from(f.capacity);
            self.ready[(f.offset + at) as usize]
        })
    }
}
