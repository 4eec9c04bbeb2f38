//! A band of rows: its agents, and what they do in a cycle.
//!
//! A mesh of 994 rows on two threads is cut into eight bands of about 124 rows. Each has tables and a
//! wheel of its own, so a thread that evaluates a band writes to nothing that another thread reads.
//!
//! **Invariant.** What a band does in a cycle depends on its own state at the start of the cycle
//! only; what concerns a neighbouring band is written into boundary messages, which are read before
//! the cells that they concern do the next cycle. So bands may be stepped in any order, or at the same
//! time.
//! **Not here.** Which cycles a band does when, and when messages are delivered (`tiles`); routers
//! (`router`); compute elements (`ce`).

use super::agent::{ce_agent, router_agent};
use super::ce::{CeCycle, Costs, Effects};
use super::fifo::{BELOW, NONE, REFRESH, REMOTE, Word, is_remote};
use super::memory::Memory;
use super::snapshot::TimeFold;
use super::state::{Path, RAMP};
use super::switched::Setting;
use super::tables::Tables;
use super::watch::Watches;
use super::wheel::Wheel;
use sim_core::arch::ArchSpec;
use sim_core::coord::Color;
use sim_core::report::ColorSent;
use std::ops::Range;

/// What a band tells a neighbour at the end of a cycle.
#[derive(Debug, Clone, Copy)]
pub(crate) enum BoundaryMessage {
    /// A wavelet for a FIFO, with its ready cycle.
    Wavelet(u32, u64, Word),
    /// One of the wavelets was taken that a FIFO stands for.
    Credit(u32),
}

/// A band and its state. Aligned to two lines of memory, since cores fetch lines in pairs: so two threads
/// that write to neighbouring bands never write to the same line.
#[derive(Debug)]
#[repr(align(128))]
pub(crate) struct Band {
    pub(crate) t: Tables,
    pub(crate) wheel: Wheel,
    pub(crate) costs: Costs,
    pub(crate) now: u64,
    /// Cycles that time folding skipped so far.
    pub(crate) skipped: u64,
    /// How many evaluations of agents there were so far.
    pub(crate) evaluations: u64,
    /// Wavelets that compute elements put into their output queues so far.
    pub(crate) given: u64,
    pub(crate) memories: Option<Vec<Memory>>,
    pub(crate) effects: Effects,
    /// Paths of switched colors that wavelets leave by: they act at the end of the cycle.
    pub(super) passes: Vec<(u32, u32, Word)>,
    /// What compute elements change in their routers at the end of the cycle: PE, color and change.
    settings: Vec<(u32, u8, Setting)>,
    /// Messages to the band above, and to the band below.
    pub(crate) messages: [Vec<BoundaryMessage>; 2],
    pub(crate) watches: Watches,
    pub(crate) fold: Option<TimeFold>,
    /// PE and first byte of an access outside the memory.
    pub(crate) memory_fault: Option<(u32, i64)>,
    /// Latest cycle in which an agent was evaluated.
    pub(crate) last_evaluation: u64,
    /// Latest cycle before which ready cycles were refreshed.
    refreshed: u64,
    pub(super) hop: u64,
    pub(super) ramp_down: u64,
}

impl Path {
    /// Adds what left by each of its ports; `kept` of its wavelets did not go down the ramp.
    fn add_sent(&self, kept: u64, sent: &mut [u64; 5]) {
        for (i, sum) in sent.iter_mut().enumerate().filter(|(i, _)| self.ports & 1 << i != 0) {
            *sum += if 1 << i == RAMP { self.moved - kept } else { self.moved };
        }
    }
}

impl Band {
    /// A band at the start of a run: every compute element and every port onto the wafer is due.
    pub(crate) fn new(t: Tables, arch: &ArchSpec, watches: Watches, time_fold: bool) -> Band {
        let n = t.pes();
        let fold = time_fold.then(|| TimeFold::new(&t)).flatten();
        let mut band = Band {
            wheel: Wheel::new(2 * n as usize + t.ports.len()),
            costs: Costs::new(arch),
            now: 0,
            skipped: 0,
            evaluations: 0,
            given: 0,
            memories: None,
            effects: Effects::default(),
            passes: Vec::new(),
            settings: Vec::new(),
            messages: [Vec::new(), Vec::new()],
            watches,
            fold,
            memory_fault: None,
            last_evaluation: 0,
            refreshed: 0,
            hop: u64::from(arch.router.hop.value.max(1)),
            ramp_down: u64::from(arch.router.ramp_down.value.max(1)),
            t,
        };
        for pe in 0..n {
            if band.t.ces[pe as usize].exists() {
                band.wheel.wake(ce_agent(pe), 0);
            }
        }
        for (i, p) in band.t.ports.iter().enumerate() {
            if p.inward {
                band.wheel.wake(2 * n + i as u32, p.next);
            }
        }
        band
    }

    /// Rows of the band.
    pub(crate) fn rows(&self) -> u32 {
        self.t.pes().checked_div(self.t.grid.width).unwrap_or(0)
    }

    /// Columns of the mesh.
    pub(crate) fn width(&self) -> u32 {
        self.t.grid.width
    }

    /// To be called before the cycles `now..now + cycles` of any of its PEs.
    pub(super) fn begin_block(&mut self, now: u64, cycles: u64) {
        if now >= self.refreshed + REFRESH {
            self.t.fifos.refresh(self.wheel.now(), now);
            self.refreshed = now;
        }
        self.wheel.begin(now, cycles);
    }

    /// To be called when all of its PEs have done all cycles before `now`.
    pub(super) fn end_block(&mut self, now: u64) {
        let delivered = self.messages.iter().all(Vec::is_empty);
        assert!(delivered, "a wavelet or a credit for a neighbouring band was never delivered");
        self.wheel.end(now);
    }

    /// Evaluates the agents of a rectangle that are due in cycle `now`.
    pub(super) fn evaluate(&mut self, rows: Range<u32>, columns: Range<u32>, now: u64) {
        if rows.is_empty() || columns.is_empty() || !self.wheel.expects(now) {
            return;
        }
        self.now = now;
        let before = self.evaluations;
        if columns.len() as u32 == self.width() {
            self.evaluate_pes(rows, &columns);
        } else {
            rows.for_each(|row| self.evaluate_pes(row..row + 1, &columns));
        }
        if self.evaluations > before {
            self.last_evaluation = self.last_evaluation.max(now);
            self.settle_all();
        }
    }

    /// Evaluates PEs that are next to each other: a part of a row, or whole rows.
    fn evaluate_pes(&mut self, rows: Range<u32>, columns: &Range<u32>) {
        let (n, width) = (self.t.pes(), self.width());
        let pes = rows.start * width + columns.start..(rows.end - 1) * width + columns.end;
        self.evaluate_agents(2 * pes.start..2 * pes.end);
        let ports = self.t.ports_of(rows, pes);
        if !ports.is_empty() {
            self.evaluate_agents(2 * n + ports.start..2 * n + ports.end);
        }
    }

    fn evaluate_agents(&mut self, agents: Range<u32>) {
        let n = self.t.pes();
        let mut from = agents.start;
        while let Some(agent) = self.wheel.next(agents.clone(), &mut from, self.now) {
            self.evaluations += 1;
            if agent >= 2 * n {
                self.evaluate_port(agent - 2 * n);
            } else if agent & 1 == 0 {
                self.evaluate_router(agent >> 1);
            } else {
                self.evaluate_ce(agent >> 1);
            }
        }
    }

    /// Lets what acts only at the end of a cycle act: control wavelets, filters, settings of routers.
    fn settle_all(&mut self) {
        for (at, pe, word) in std::mem::take(&mut self.passes) {
            self.settle(at, pe as usize, word);
        }
        for (pe, color, setting) in std::mem::take(&mut self.settings) {
            self.set(pe, color, setting);
        }
    }

    /// Receives the messages that a neighbour wrote in cycle `now`.
    pub(crate) fn receive(&mut self, messages: &mut Vec<BoundaryMessage>, now: u64) {
        for message in messages.drain(..) {
            match message {
                BoundaryMessage::Wavelet(fifo, ready, word) => {
                    debug_assert!(ready > now, "a wavelet would arrive in the cycle in which it was sent");
                    self.put(fifo, ready, word);
                }
                BoundaryMessage::Credit(fifo) => {
                    self.t.fifos.give_back(fifo, now);
                    self.wheel.wake(self.t.fifos.all[fifo as usize].producer, now + 1);
                }
            }
        }
    }

    /// Number of wavelets that left the router of a PE, by port: north, east, south, west, ramp.
    pub(crate) fn sent(&self, pe: usize) -> [u64; 5] {
        let mut sent = [0; 5];
        self.sending(pe, |path, kept| path.add_sent(kept, &mut sent));
        sent
    }

    /// Wavelets sent by color, for every color that has a route in the router.
    pub(crate) fn sent_by_color(&self, pe: usize) -> Vec<ColorSent> {
        let mut all: Vec<ColorSent> = Vec::with_capacity(usize::from(self.t.routers[pe].count));
        self.sending(pe, |path, kept| {
            let color = Color::new(path.color).expect("paths have colors that exist");
            match all.last_mut().filter(|last| last.color == color) {
                Some(last) => path.add_sent(kept, &mut last.sent),
                None => {
                    let mut one = ColorSent { color, sent: [0; 5] };
                    path.add_sent(kept, &mut one.sent);
                    all.push(one);
                }
            }
        });
        all
    }

    /// All paths of a router, those of a color together, at all positions of its switch; each with
    /// the number of wavelets that did not go down its ramp.
    fn sending(&self, pe: usize, mut visit: impl FnMut(&Path, u64)) {
        let router = self.t.routers[pe];
        for path in &self.t.paths[router.start as usize..][..usize::from(router.count)] {
            let Some(switched) = self.t.switched_colors.get(path.switched as usize) else {
                visit(path, 0);
                continue;
            };
            let present = usize::from(switched.position);
            visit(path, switched.kept[present]);
            let others = switched.paths.iter().zip(&switched.kept).enumerate().filter(|(i, _)| *i != present);
            others.for_each(|(_, (p, kept))| visit(p, *kept));
        }
    }

    fn evaluate_ce(&mut self, pe: u32) {
        let ce = &mut self.t.ces[pe as usize];
        if !ce.exists() {
            return;
        }
        ce.flush(self.now, self.skipped);
        let image = &self.t.images[usize::from(ce.image)];
        let mut step = CeCycle {
            registers: &mut self.t.registers[pe as usize],
            micro: &mut self.t.micro[ce.own(image.threads)],
            ce,
            image,
            fifos: &mut self.t.fifos,
            wheel: &mut self.wheel,
            occupied: &mut self.t.routers[pe as usize].occupied,
            memory: self.memories.as_mut().map(|m| &mut m[pe as usize]),
            costs: self.costs,
            now: self.now,
            pe,
            out: &mut self.effects,
        };
        step.run();
        let effects = &mut self.effects;
        self.given += std::mem::take(&mut effects.given);
        if !effects.settings.is_empty() {
            self.settings.extend(effects.settings.drain(..).map(|(color, setting)| (pe, color, setting)));
        }
        if let Some(address) = effects.memory_fault.take() {
            self.memory_fault = Some((pe, address));
        }
        if let Some(pc) = effects.back_edge.take()
            && let Some(fold) = &mut self.fold
        {
            fold.back_edge(pe, pc);
        }
    }

    /// Rule E1: a port onto the wafer puts in its next wavelet, if that is due and there is room.
    fn evaluate_port(&mut self, port: u32) {
        let p = &mut self.t.ports[port as usize];
        if !p.inward || p.left == 0 || p.into == NONE || p.next > self.now {
            return;
        }
        if !self.t.fifos.room(p.into, self.now) {
            return;
        }
        debug_assert!(p.interval > 0, "a port would put in wavelets without end in one cycle");
        let value = p.values.get(p.taken).copied().unwrap_or(0);
        p.taken += 1;
        p.left -= 1;
        p.next = self.now + u64::from(p.interval);
        let (into, pe, next) = (p.into, p.pe, p.next);
        self.t.routers[pe as usize].last_event = self.now + 1 + self.skipped;
        self.wheel.wake(2 * self.t.pes() + port, next);
        self.put(into, self.now + self.hop, Word::from(value));
    }

    /// Takes the head of a path's FIFO.
    #[inline]
    pub(super) fn pop(&mut self, fifo: u32, switched: u32, pe: u32) -> Word {
        if self.watches.any() {
            self.watch(fifo, 1 << 63);
        }
        let popped = self.t.fifos.pop(fifo, self.now);
        let word = popped.word;
        if popped.next > 0 {
            self.wheel.wake(router_agent(pe), popped.next);
        }
        let f = &self.t.fifos.all[fifo as usize];
        if f.len == 0 && switched == NONE {
            self.t.routers[pe as usize].occupied &= !(1 << f.path);
        }
        let producer = f.producer;
        if producer == NONE {
            return word;
        }
        if is_remote(producer) {
            let side = usize::from(producer & BELOW != 0);
            self.messages[side].push(BoundaryMessage::Credit(producer & !(REMOTE | BELOW)));
            return word;
        }
        if !popped.freed {
            return word;
        }
        let at = match producer.checked_sub(2 * self.t.pes()) {
            Some(port) => self.t.ports[port as usize].next.max(self.now + 1),
            None => self.now + 1,
        };
        self.wheel.wake(producer, at);
        word
    }

    /// Puts a wavelet into the FIFO of a router or an input queue.
    #[inline]
    pub(super) fn put(&mut self, fifo: u32, ready: u64, word: Word) {
        if self.watches.any() {
            self.watch(fifo, 0);
        }
        let f = &self.t.fifos.all[fifo as usize];
        let (consumer, path) = (f.consumer, f.path);
        if is_remote(consumer) {
            let side = usize::from(consumer & BELOW != 0);
            self.messages[side].push(BoundaryMessage::Wavelet(consumer & !(REMOTE | BELOW), ready, word));
            self.t.fifos.lend(fifo);
            return;
        }
        if self.t.fifos.push(fifo, ready, word) {
            if consumer & 1 == 0 {
                self.t.routers[(consumer >> 1) as usize].occupied |= 1 << path;
            }
            self.wheel.wake(consumer, ready);
        }
    }
}
