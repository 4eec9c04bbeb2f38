//! Prices a list of instructions: walks over it with a clock, as one PE would execute it.
//!
//! A PE has one issue slot per cycle. The main thread has the first claim on it; during the setups of its
//! vector instructions, and while it waits, microthreads take turns (rule C1). So a block that travels
//! around a ring costs nothing as long as setups leave it slots, and the rest of its beats where the main
//! thread waits for it. That is all that happens on a PE whose neighbours are in step with it; what
//! arrives from them, and from the edge, is said in advance as a [`Source`] of a color.
//!
//! Loops are not walked to their end: as soon as one repetition takes as long as the one before, all
//! others do. So the price of a loop costs a few walks over its body.
//!
//! **Invariant.** Time never goes back. **Not here.** What a single instruction costs (`instr`).

use super::instr::{Prepared, Registers};
use super::steps::{Exchange, Setup, Step, Steps};
use sim_core::arch::ArchSpec;
use sim_core::coord::Color;
use sim_core::program::{AddrOp, Instr};

/// Microthreads that a program may name.
const THREADS: usize = 8;
/// Most colors of a PE that have a source.
const STREAMS: usize = 6;
/// Most repetitions of a loop that are walked before the last one stands for the rest.
const WALKED: u32 = 6;

/// When the wavelets of a color come, or may go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Source {
    /// From a PE that is in step with this one: so many cycles after it sends, and it sends when this
    /// PE begins to receive.
    Partner {
        /// Cycles on the way.
        way: u64,
    },
    /// At most one per `interval` cycles, the first one not before `first`: what comes from an edge, or
    /// leaves by one.
    Edge {
        /// Cycle of the first one.
        first: u64,
        /// Cycles from one to the next.
        interval: u64,
    },
    /// So many cycles after this PE began to send: the answer of others to it.
    Reply {
        /// Cycles until the first wavelet is back.
        after: u64,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stream {
    color: Color,
    source: Source,
    /// Of an edge: when the next wavelet is there.
    next: u64,
}

/// A vector instruction on a microthread.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Thread {
    /// Issue slots that it has still to take.
    left: u64,
    /// When it may take the first one.
    ready: u64,
    /// When what it needs from others has come, at the earliest.
    due: u64,
    /// When it took the last one.
    end: u64,
    /// How many instructions it has been given.
    given: u32,
}

impl Thread {
    /// Takes up to so many slots until `now`, and says how many.
    fn take(&mut self, slots: u64, now: u64) -> u64 {
        let taken = slots.min(self.left);
        if taken > 0 {
            (self.left, self.end) = (self.left - taken, now);
        }
        taken
    }

    /// Whether it has begun by then, or has nothing to do.
    fn begun(&self, now: u64) -> bool {
        self.left == 0 || self.ready <= now
    }
}

/// The time of one PE while it executes.
#[derive(Debug, Clone, Copy)]
pub struct Clock<'a> {
    arch: &'a ArchSpec,
    now: u64,
    setup: u64,
    /// Wavelets of an edge that may wait near a PE, so that a break in its work does not break the stream.
    buffered: u64,
    threads: [Thread; THREADS],
    streams: [Option<Stream>; STREAMS],
    registers: Registers,
    /// When it last began to send.
    sent: u64,
}

impl<'a> Clock<'a> {
    /// A PE whose task has just been selected.
    #[must_use]
    pub fn new(arch: &'a ArchSpec, sources: &[(Color, Source)]) -> Clock<'a> {
        let stream = |&(color, source): &(Color, Source)| {
            let next = if let Source::Edge { first, .. } = source { first } else { 0 };
            Stream { color, source, next }
        };
        assert!(sources.len() <= STREAMS, "a PE has at most {STREAMS} colors with a source");
        let mut streams = [None; STREAMS];
        streams.iter_mut().zip(sources).for_each(|(place, source)| *place = Some(stream(source)));
        let queue = arch.pe.input_queues.value.first().copied().unwrap_or(1);
        Clock {
            arch,
            now: u64::from(arch.pe.task_dispatch.value.max(1)),
            setup: u64::from(arch.pe.vector_setup.value),
            buffered: u64::from(queue + arch.router.buffer.value),
            threads: [Thread::default(); THREADS],
            streams,
            registers: Registers::default(),
            sent: 0,
        }
    }

    /// The cycle in which the PE is done, its microthreads included.
    #[must_use]
    pub fn end(mut self) -> u64 {
        for thread in 0..THREADS {
            self.await_thread(thread);
        }
        self.now
    }

    /// Executes a list of instructions.
    pub fn run(&mut self, code: &[Instr]) {
        self.walk(&Steps::of(self.arch, code, THREADS));
    }

    fn walk(&mut self, steps: &Steps) {
        for step in &steps.0 {
            match step {
                Step::Local(prepared, setup, times) => self.local(prepared, *setup, *times),
                Step::Fabric(prepared, setup, exchange) => self.vector(prepared, *setup, exchange),
                Step::Spawn(thread, prepared, exchange) => self.spawn(*thread, prepared, exchange),
                Step::Join(thread) => {
                    self.await_thread(*thread);
                    self.now += 1;
                }
                Step::Loop(count, body) => self.repeat(*count, |clock| {
                    clock.walk(body);
                    clock.now += u64::from(clock.arch.pe.loop_back.value);
                }),
                Step::Address(op) => self.address(op),
                Step::Slot => self.now += 1,
            }
        }
    }

    /// Executes something `count` times.
    fn repeat(&mut self, count: u32, mut once: impl FnMut(&mut Self)) {
        let mut before = None;
        for done in 1..=count {
            let start = *self;
            once(self);
            let took = self.now - start.now;
            let steady = before == Some(took) && self.threads.iter().all(|thread| thread.begun(start.now));
            if steady || done == WALKED {
                return self.skip(&start, count - done);
            }
            before = Some(took);
        }
    }

    /// As many more repetitions as the one since `start`.
    fn skip(&mut self, start: &Clock<'a>, times: u32) {
        let (took, times) = (self.now - start.now, u64::from(times));
        self.now += took * times;
        // What goes on beside the repetitions takes as much of each; where one thread is through, the
        // others take its share.
        let mut spare = 0;
        for (thread, before) in self.threads.iter_mut().zip(&start.threads) {
            if thread.given == before.given {
                let share = (before.left - thread.left) * times;
                spare += share - thread.take(share, self.now);
                continue;
            }
            for instant in [&mut thread.ready, &mut thread.due, &mut thread.end] {
                *instant += took * times;
            }
        }
        for (thread, before) in self.threads.iter_mut().zip(&start.threads) {
            if thread.given == before.given {
                spare -= thread.take(spare, self.now);
            }
        }
        for (stream, before) in self.streams.iter_mut().flatten().zip(start.streams.iter().flatten()) {
            stream.next += (stream.next - before.next) * times;
        }
        for (register, before) in self.registers.iter_mut().zip(&start.registers) {
            let step = register.wrapping_sub(*before);
            *register = register.wrapping_add(step.wrapping_mul(times as i32));
        }
        if self.sent > start.sent {
            self.sent += took * times;
        }
    }

    /// Cycles of a setup of the main thread.
    fn cycles_of(&self, setup: Setup) -> u64 {
        match setup {
            Setup::Own => self.setup,
            Setup::Overlapped => 0,
        }
    }

    /// Vector instructions of the main thread, all alike, that have nothing to do with the fabric.
    fn local(&mut self, prepared: &Prepared, setup: Setup, mut times: u64) {
        let (slots, setup) = (prepared.beats(&self.registers).all(), self.cycles_of(setup));
        while setup > 0 && times > 0 && self.threads.iter().any(|t| t.left > 0) {
            let setups = self.setups_alike().min(times);
            if setups > 1 {
                let passed = (setups - 1) * (setup + slots);
                self.leave_alike(setups, passed + setup);
                self.now += passed;
            } else {
                self.leave(setup);
            }
            self.now += setup + slots;
            times -= setups.max(1);
        }
        self.now += times * (setup + slots);
    }

    /// A vector instruction of the main thread.
    fn vector(&mut self, prepared: &Prepared, setup: Setup, exchange: &Exchange) {
        let slots = prepared.beats(&self.registers).all();
        let begin = self.now + self.cycles_of(setup);
        let (first, last) = self.exchange(exchange, begin);
        let end = (first.max(begin) + slots).max(last);
        self.leave(end - self.now - slots);
        self.now = end;
    }

    fn spawn(&mut self, thread: usize, prepared: &Prepared, exchange: &Exchange) {
        self.await_thread(thread);
        self.now += 1;
        let left = prepared.beats(&self.registers).all();
        let (first, due) = self.exchange(exchange, self.now + self.setup);
        let ready = first.max(self.now + self.setup);
        let given = self.threads[thread].given + 1;
        self.threads[thread] = Thread { left, ready, due: due.max(ready), end: 0, given };
    }

    /// When the first wavelet that an instruction needs is there and when the last one, if it begins to
    /// ask for them now.
    fn exchange(&mut self, exchange: &Exchange, begin: u64) -> (u64, u64) {
        let (mut first, mut last) = (begin, begin);
        for &(color, wavelets) in &exchange.from {
            let (a, b) = self.stream(color, wavelets, begin);
            (first, last) = (first.max(a), last.max(b));
        }
        if let Some((color, wavelets)) = exchange.to {
            let (_, b) = self.stream(color, wavelets, begin);
            last = last.max(b);
            self.sent = first;
        }
        (first, last)
    }

    fn stream(&mut self, color: Color, wavelets: u64, begin: u64) -> (u64, u64) {
        let (sent, buffered) = (self.sent, self.buffered);
        let Some(stream) = self.streams.iter_mut().flatten().find(|s| s.color == color) else { return (begin, begin) };
        match stream.source {
            Source::Partner { way } => (begin + way, begin + way),
            Source::Reply { after } => (sent + after, sent + after),
            Source::Edge { interval, .. } => {
                let first = stream.next.max(begin.saturating_sub(buffered * interval));
                stream.next = first + wavelets * interval;
                (first, stream.next - interval + 1)
            }
        }
    }

    /// Waits until a microthread is free.
    fn await_thread(&mut self, thread: usize) {
        let Thread { left, ready, due, end, .. } = self.threads[thread];
        let mut until = end.max(due);
        if left > 0 {
            // The others take turns with it.
            let others = self.threads.iter().enumerate().filter(|(i, t)| *i != thread && t.left > 0);
            let beside: u64 = others.map(|(_, t)| t.left.min(left)).sum();
            until = until.max(self.now.max(ready) + left + beside);
        }
        if until > self.now {
            self.leave(until - self.now);
            let ended = &self.threads[thread];
            self.now = if ended.left == 0 { ended.end.max(ended.due).max(self.now) } else { until };
            self.threads[thread].left = 0;
        }
    }

    /// Leaves the next so many cycles to the microthreads.
    fn leave(&mut self, cycles: u64) {
        let (mut now, end) = (self.now, self.now + cycles);
        while now < end {
            let waits = |t: &&Thread| t.left > 0 && t.ready > now;
            let horizon = self.threads.iter().filter(waits).map(|t| t.ready).min().unwrap_or(end).min(end);
            let runs = |t: &&mut Thread| t.left > 0 && t.ready <= now;
            let (running, least) = self
                .threads
                .iter()
                .filter(|t| t.left > 0 && t.ready <= now)
                .fold((0, u64::MAX), |(n, least), t| (n + 1, least.min(t.left)));
            if running == 0 {
                now = horizon;
                continue;
            }
            let all = (least * running).min(horizon - now);
            let (each, mut rest) = (all / running, all % running);
            for thread in self.threads.iter_mut().filter(runs) {
                let takes = each + u64::from(rest > 0);
                rest = rest.saturating_sub(1);
                thread.left -= takes.min(thread.left);
                thread.end = now + all;
            }
            now += all;
        }
    }

    /// How many setups from now on give every microthread at work as many slots: all of them have begun,
    /// share a setup without a remainder, and are not through before.
    fn setups_alike(&self) -> u64 {
        let busy = || self.threads.iter().filter(|t| t.left > 0);
        let (running, least) = busy().fold((0, u64::MAX), |(n, least), t| (n + 1, least.min(t.left)));
        let shared = running > 0 && self.setup >= running && self.setup.is_multiple_of(running);
        if shared && busy().all(|t| t.ready <= self.now) { least * running / self.setup } else { 0 }
    }

    /// So many setups that microthreads share, the last one of which ends in `until` cycles.
    fn leave_alike(&mut self, setups: u64, until: u64) {
        let running = self.threads.iter().filter(|t| t.left > 0).count() as u64;
        for thread in self.threads.iter_mut().filter(|t| t.left > 0) {
            thread.left -= setups * (self.setup / running);
            thread.end = self.now + until;
        }
    }

    /// Address arithmetic.
    fn address(&mut self, op: &AddrOp) {
        self.now += if matches!(op, AddrOp::Wrap { .. }) { 2 } else { 1 };
        let target = usize::from(op.target().0);
        let of = |reg: sim_core::program::AddrReg| self.registers[usize::from(reg.0)];
        self.registers[target] = match *op {
            AddrOp::Set(_, value) => value,
            AddrOp::Add(reg, value) => of(reg).wrapping_add(value),
            AddrOp::Copy(_, from) => of(from),
            AddrOp::AddReg(reg, other) => of(reg).wrapping_add(of(other)),
            AddrOp::Clamp(reg, low, high) => of(reg).max(low).min(high),
            AddrOp::Wrap { reg, end, size } if of(reg) >= end => of(reg).wrapping_sub(size),
            AddrOp::Wrap { reg, .. } => of(reg),
            // What it loads is data.
            AddrOp::Load { .. } => 0,
        };
    }
}
