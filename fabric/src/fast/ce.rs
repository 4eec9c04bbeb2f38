//! What a compute element does in a cycle (rules C1 to C9).
//!
//! In each cycle a PE has one issue slot. The main thread is first brought to the instruction that it
//! reaches in this cycle ([`CeCycle::settle_main`]), then the slot is given to one thread
//! ([`CeCycle::issue`]), which uses it for a beat of a vector instruction or for another instruction. A
//! PE whose next event is known, such as the end of an instruction on memory only, is not evaluated in
//! between.
//!
//! **Invariant.** Reads FIFOs as they were at the start of the cycle (`fifo`), and changes only its
//! own PE's registers, threads and queues.
//! **Not here.** What is computed (`values`), address registers (`addr`), and how the cycle is counted
//! (`class`).

use super::agent::{ce_agent, router_agent};
use super::fifo::{Fifos, Word, control_task};
use super::lowered::{LoweredImage, LoweredInstr, LoweredVec, Start};
use super::memory::Memory;
use super::state::{Ce, Frame, LOOPS, Main, Micro, Registers, Running};
use super::switched::Setting;
use super::wheel::Wheel;
use sim_core::arch::ArchSpec;
use sim_core::program::{AddrOp, FloatOp, Int, Op, Operand, Priority, ScalarOp, Then};

/// What a cycle of a compute element leaves to others to do.
#[derive(Debug, Default)]
pub(crate) struct Effects {
    /// What to change in its router, by color.
    pub(crate) settings: Vec<(u8, Setting)>,
    /// Number of wavelets that it put into output queues.
    pub(crate) given: u64,
    /// It finished a repetition of a loop: the position of the loop's end.
    pub(crate) back_edge: Option<u32>,
    /// First byte of an access outside the memory.
    pub(crate) memory_fault: Option<i64>,
}

/// Machine numbers that a compute element needs.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Costs {
    pub(crate) dispatch: u64,
    pub(crate) loop_back: u8,
    pub(crate) divide: u8,
    pub(crate) branch_taken: u64,
    pub(crate) branch_untaken: u64,
    pub(crate) float_latency: u64,
    pub(crate) load_latency: u64,
    pub(crate) out_latency: u64,
}

impl Costs {
    pub(crate) fn new(arch: &ArchSpec) -> Costs {
        Costs {
            dispatch: u64::from(arch.pe.task_dispatch.value.max(1)),
            loop_back: arch.pe.loop_back.value.min(255) as u8,
            divide: arch.pe.divide.value.min(255) as u8,
            branch_taken: u64::from(arch.pe.branch_taken.value),
            branch_untaken: u64::from(arch.pe.branch_untaken.value),
            float_latency: u64::from(arch.pe.float_latency.value),
            load_latency: u64::from(arch.pe.load_latency.value),
            out_latency: u64::from((arch.pe.ce_latency.value + arch.router.ramp_up.value).max(1)),
        }
    }

    /// Issue slots of an instruction that is no vector instruction (rule C8).
    #[inline]
    pub(super) fn slots(&self, instr: &LoweredInstr) -> u8 {
        match instr {
            LoweredInstr::Addr(AddrOp::Wrap { .. }) => 2,
            LoweredInstr::LoopEnd(_) => self.loop_back,
            LoweredInstr::Scalar(ScalarOp::Float(_, FloatOp::Div, _)) => self.divide,
            LoweredInstr::Scalar(ScalarOp::Timestamp(_)) => 3,
            _ => 1,
        }
    }
}

/// One compute element, with all that its evaluation reads and writes.
pub(crate) struct CeCycle<'a> {
    pub(crate) ce: &'a mut Ce,
    pub(crate) registers: &'a mut Registers,
    /// Its microthreads, by number.
    pub(crate) micro: &'a mut [Micro],
    pub(crate) image: &'a LoweredImage,
    pub(crate) fifos: &'a mut Fifos,
    pub(crate) wheel: &'a mut Wheel,
    /// Its router's occupied paths.
    pub(crate) occupied: &'a mut u32,
    pub(crate) memory: Option<&'a mut Memory>,
    pub(crate) costs: Costs,
    pub(crate) now: u64,
    /// Its number in the band.
    pub(crate) pe: u32,
    pub(crate) out: &'a mut Effects,
}

/// Number of the main thread among a PE's threads.
const MAIN: usize = 8;

/// Why a thread cannot start a beat: it lacks a wavelet or elements, or room for what it gives.
pub(super) enum Hold {
    Input,
    Room,
}

impl CeCycle<'_> {
    /// Decides and does the cycle `now`. The element was flushed up to `now`.
    pub(crate) fn run(&mut self) {
        self.ce.bulk = false;
        let dispatching = self.settle_main();
        let issued = self.issue();
        self.ce.class = self.class(dispatching || issued);
    }

    #[inline]
    pub(super) fn wake(&mut self, at: u64) {
        self.wheel.wake(ce_agent(self.pe), at);
    }

    /// Is evaluated again in cycle `at`. The main thread alone has something to do, so that nothing can
    /// happen before, unless microthreads are at work.
    #[inline]
    fn wake_main(&mut self, at: u64) {
        if self.ce.busy == 0 {
            self.wheel.busy_until(ce_agent(self.pe), at);
        } else {
            self.wake(at);
        }
    }

    /// Brings the main thread to the instruction that it reaches in this cycle. True while it
    /// selects or dispatches a task.
    fn settle_main(&mut self) -> bool {
        loop {
            match self.ce.main {
                Main::Idle => return self.select(),
                Main::Dispatch(until) if until > self.now => {
                    self.wake_main(until);
                    return true;
                }
                Main::Dispatch(_) => self.ce.main = Main::At(0),
                Main::Vec(ref running) => {
                    if !running.over() {
                        return false;
                    }
                    self.advance();
                }
                Main::At(_) => match &self.image.code[self.ce.pc as usize] {
                    LoweredInstr::LoopBegin(count) => {
                        self.enter(*count);
                        self.ce.pc += 1;
                    }
                    LoweredInstr::Pause(cycles) => {
                        self.ce.main = Main::Dispatch(self.now + u64::from(*cycles));
                        self.ce.pc += 1;
                    }
                    LoweredInstr::LoopEnd(begin) if self.costs.loop_back == 0 => self.repeat(*begin),
                    LoweredInstr::TaskEnd => self.ce.main = Main::Idle,
                    LoweredInstr::Vec(vector) => {
                        let from = self.now + self.image.vectors[usize::from(*vector)].setup;
                        let running = self.start(*vector, from, MAIN);
                        self.ce.main = Main::Vec(running);
                        if running.from > self.now {
                            self.wake_main(running.from);
                        }
                        return false;
                    }
                    // What it reads may not be there yet (C11).
                    instr => match self.operands_ready(instr) {
                        until if until > self.now => self.ce.main = Main::Dispatch(until),
                        _ => return false,
                    },
                },
            }
        }
    }

    /// Enters a loop of so many repetitions.
    pub(super) fn enter(&mut self, count: u32) {
        self.registers.activations = self.registers.activations.wrapping_add(1);
        let frame = Frame { left: count, activation: self.registers.activations };
        let depth = usize::from(self.ce.depth).min(LOOPS - 1);
        self.registers.frames[depth] = frame;
        self.ce.depth = depth as u8 + 1;
    }

    /// Rule C9: selects a task.
    fn select(&mut self) -> bool {
        let image = self.image;
        for (id, task) in image.tasks.iter().enumerate() {
            if self.registers.blocked & (1 << id) != 0 {
                continue;
            }
            match task.start {
                Start::Active if self.registers.active & (1 << id) != 0 => self.registers.active &= !(1 << id),
                Start::Control(number) => {
                    let Some(queue) = self.control_queue(number) else { continue };
                    self.take(queue);
                }
                Start::Data(queue, reg) if self.has_data(queue) => {
                    let word = self.take(queue);
                    if let Some(memory) = &mut self.memory {
                        memory.regs[usize::from(reg) % 16] = f32::from_bits(word as u32);
                    }
                }
                _ => continue,
            }
            let until = self.now + self.costs.dispatch;
            self.ce.main = Main::Dispatch(until);
            self.ce.pc = task.pc;
            self.ce.depth = 0;
            self.wake_main(until);
            return true;
        }
        false
    }

    /// The FIFO of a local input queue.
    #[inline]
    fn input(&self, queue: u8) -> Option<u32> {
        (usize::from(queue) < self.image.inputs.len()).then(|| self.ce.queues + u32::from(queue))
    }

    /// The FIFO of a local output queue.
    #[inline]
    pub(super) fn output(&self, queue: u8) -> Option<u32> {
        let inputs = self.image.inputs.len() as u32;
        (usize::from(queue) < self.image.outputs.len()).then(|| self.ce.queues + inputs + u32::from(queue))
    }

    /// Whether data is ready at the head of a local input queue. What the main thread took in this
    /// cycle is no longer there.
    #[inline]
    fn has_data(&self, queue: u8) -> bool {
        self.input(queue).is_some_and(|f| self.fifos.has_data(f, self.now))
    }

    /// Takes the head of a local input queue.
    #[inline]
    fn take(&mut self, queue: u8) -> Word {
        let fifo = self.input(queue).expect("the head was checked before");
        let popped = self.fifos.pop(fifo, self.now);
        if popped.freed {
            self.wheel.wake(router_agent(self.pe), self.now + 1);
        }
        if popped.next > 0 {
            self.wake(popped.next);
        }
        popped.word
    }

    /// Puts a wavelet into a local output queue.
    #[inline]
    pub(super) fn give(&mut self, queue: u8, word: Word) {
        let fifo = self.output(queue).expect("there was room in its queue");
        let ready = self.now + self.costs.out_latency;
        if self.fifos.push(fifo, ready, word) {
            *self.occupied |= 1 << self.fifos.all[fifo as usize].path;
            self.wheel.wake(router_agent(self.pe), ready);
        }
        self.out.given += 1;
    }

    /// Rule S6: the input queue of the smallest number with a control wavelet for a task.
    fn control_queue(&self, number: u8) -> Option<u8> {
        let inputs = self.image.inputs.iter().enumerate();
        let found = inputs.filter(|&(local, _)| {
            let fifo = self.ce.queues + local as u32;
            self.fifos.ready(fifo, self.now) && control_task(self.fifos.word(fifo)) == Some(number)
        });
        found.min_by_key(|(_, (queue, _))| *queue).map(|(local, _)| local as u8)
    }

    pub(super) fn advance(&mut self) {
        self.ce.pc += 1;
        self.ce.main = Main::At(0);
    }

    /// The main thread is at the end of a repetition of the loop whose body begins at `begin`.
    pub(super) fn repeat(&mut self, begin: u32) {
        debug_assert!(self.ce.depth > 0, "the end of a loop that was never entered");
        let frame = &mut self.registers.frames[usize::from(self.ce.depth.max(1)) - 1];
        debug_assert!(frame.left > 0, "a loop repeats more often than it says");
        frame.left -= 1;
        if frame.left > 0 {
            self.out.back_edge = Some(self.ce.pc);
            self.ce.pc = begin;
        } else {
            self.ce.depth -= 1;
            self.ce.pc += 1;
        }
        self.ce.main = Main::At(0);
    }

    /// Starts a vector instruction whose first beat may start in cycle `from`.
    pub(super) fn start(&mut self, index: u16, from: u64, thread: usize) -> Running {
        let image = self.image;
        let vector = &image.vectors[usize::from(index)];
        let mut addr = [0; 4];
        for (slot, operand) in addr.iter_mut().zip([&vector.op.dst].into_iter().chain(&vector.op.src)) {
            if let Operand::Mem(m) = operand {
                let address = self.address(m.base, m.offset);
                *slot = m.ring.map_or(address, |ring| ring.wrap(i64::from(address)) as i32);
            }
        }
        let conflict = vector.pairs.iter().any(|pair| pair.conflicts(&addr));
        let len = vector.op.count.map_or(vector.op.len, |reg| self.int(Int::Reg(reg)).max(0) as u32);
        for &(reg, bytes) in &vector.advances {
            let register = &mut self.registers.regs[usize::from(reg) % 16];
            *register = register.wrapping_add(bytes.wrapping_mul(len as i32));
        }
        self.registers.activations = self.registers.activations.wrapping_add(1);
        if let Some(memory) = &mut self.memory {
            memory.addr[thread] = addr;
        }
        let slots = if conflict { vector.slots_conflict } else { vector.slots };
        Running {
            vector: index,
            from,
            beats: if vector.op.count.is_none() { vector.beats } else { len.div_ceil(vector.width).max(1) },
            rest: 0,
            slots: if len == 0 { 1 } else { slots as u16 },
            len,
            done: 0,
            activation: self.registers.activations,
        }
    }

    /// Gives the issue slot to a thread (rule C1). True if one took it.
    fn issue(&mut self) -> bool {
        if self.ce.busy == 0 {
            return self.issue_main();
        }
        let [high, medium, low] = self.ce.levels;
        debug_assert_eq!(high | medium | low, self.ce.busy, "a microthread at work has one priority");
        (high != 0 && self.issue_micro(Priority::High))
            || (medium != 0 && self.issue_micro(Priority::Medium))
            || self.issue_main()
            || (low != 0 && self.issue_micro(Priority::Low))
    }

    fn issue_micro(&mut self, priority: Priority) -> bool {
        let image = self.image;
        // From the one behind the last on, in a circle: C1 asks for fairness among equals.
        let mut waiting = self.ce.levels[priority as usize].rotate_right(u32::from(self.ce.turn));
        while waiting != 0 {
            let t = (self.ce.turn + waiting.trailing_zeros() as u8) % 8;
            waiting &= waiting - 1;
            let running = self.micro[usize::from(t)].running;
            let vector = &image.vectors[usize::from(running.vector)];
            if running.from > self.now || self.hold(&running, vector).is_some() {
                continue;
            }
            let running = self.beat(running, vector, usize::from(t));
            self.micro[usize::from(t)].running = running;
            self.ce.turn = (t + 1) % 8;
            if running.over() {
                self.ce.busy &= !(1 << t);
                self.ce.levels[priority as usize] &= !(1 << t);
                match vector.then {
                    Some(Then::Activate(id)) => self.registers.active |= 1 << id.0,
                    Some(Then::Unblock(id)) => self.registers.blocked &= !(1 << id.0),
                    None => {}
                }
            }
            self.wake(self.now + 1);
            return true;
        }
        false
    }

    fn issue_main(&mut self) -> bool {
        match self.ce.main {
            Main::Idle | Main::Dispatch(_) => false,
            Main::Vec(running) => self.issue_vec(running),
            Main::At(used) => self.issue_scalar(used),
        }
    }

    fn issue_vec(&mut self, running: Running) -> bool {
        let image = self.image;
        let vector = &image.vectors[usize::from(running.vector)];
        if running.from > self.now || self.hold(&running, vector).is_some() {
            return false;
        }
        // Nothing can hold such an instruction up and nothing is computed: one evaluation at its end is
        // enough.
        if vector.memory_only && self.memory.is_none() {
            self.ce.bulk = true;
            if running.done == 0 {
                self.count(vector, running.len);
            }
            self.ce.main = Main::Vec(Running { done: running.len, ..running });
            let end = self.now + running.slots_left();
            if self.urgent() {
                self.wake(end)
            } else {
                self.wheel.busy_until(ce_agent(self.pe), end)
            }
            return true;
        }
        let running = self.beat(running, vector, MAIN);
        self.ce.main = Main::Vec(running);
        self.wake(self.now + 1);
        true
    }

    /// Whether a microthread is at work that takes the issue slot before the main thread.
    fn urgent(&self) -> bool {
        let [high, medium, _] = self.ce.levels;
        high | medium != 0
    }

    fn count(&mut self, vector: &LoweredVec, elements: u32) {
        if vector.op.op == Op::Fmac {
            self.ce.macs += u64::from(elements);
        }
    }

    /// Why the next slot of an instruction cannot be used, if it cannot (rule C3).
    pub(super) fn hold(&self, running: &Running, vector: &LoweredVec) -> Option<Hold> {
        if running.rest > 0 || running.len == 0 {
            return None;
        }
        let n = vector.width.min(running.len - running.done.min(running.len));
        if let Some(port) = vector.output {
            let completes = port.between(running.done + n) || running.done + n == running.len;
            let room = self.output(port.queue).is_some_and(|f| self.fifos.room(f, self.now));
            if completes && !room {
                return Some(Hold::Room);
            }
        }
        let occupancy = |id: u8| self.registers.occupancies[usize::from(id)].len;
        if vector.fills.is_some_and(|id| occupancy(id) + n > self.image.memory_fifos[usize::from(id)].1) {
            return Some(Hold::Room);
        }
        let lacks = vector.inputs.iter().any(|p| p.between(running.done) && !self.has_data(p.queue));
        (lacks || vector.drains.iter().any(|&id| occupancy(id) < n)).then_some(Hold::Input)
    }

    /// Uses one issue slot for an instruction; the first slot of a beat computes its elements, takes
    /// the wavelets that they begin with and gives the one that they complete (rule C3).
    fn beat(&mut self, mut running: Running, vector: &LoweredVec, thread: usize) -> Running {
        if running.rest > 0 {
            running.rest -= 1;
            return running;
        }
        debug_assert!(running.beats > 0, "a beat of an instruction that has none left");
        if running.len == 0 {
            running.beats -= 1;
            return running;
        }
        debug_assert!(running.done < running.len, "an instruction would compute elements that it does not have");
        let n = vector.width.min(running.len - running.done);
        let ends = running.done + n == running.len;
        let word = self.compute(&running, vector, thread, n);
        for port in &vector.inputs {
            if port.between(running.done) {
                self.take(port.queue);
            }
        }
        if let Some(port) = vector.output
            && (port.between(running.done + n) || ends)
        {
            self.give(port.queue, vector.control.unwrap_or(Word::from(word)));
        }
        for &id in &vector.drains {
            let occupancy = &mut self.registers.occupancies[usize::from(id)];
            occupancy.head = (occupancy.head + n) % self.image.memory_fifos[usize::from(id)].1;
            debug_assert!(occupancy.len >= n, "more elements are taken from a FIFO in memory than it holds");
            occupancy.len -= n;
        }
        if let Some(id) = vector.fills {
            let occupancy = &mut self.registers.occupancies[usize::from(id)];
            occupancy.len += n;
            let capacity = self.image.memory_fifos[usize::from(id)].1;
            debug_assert!(occupancy.len <= capacity, "a FIFO in memory holds more elements than it has places for");
        }
        self.count(vector, n);
        running.done += n;
        running.beats -= 1;
        running.rest = running.slots - 1;
        running
    }
}
