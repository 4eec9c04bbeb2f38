//! What a compute element does in a cycle (rules C1 to C9).
//!
//! **Invariant.** Reads FIFOs as they were at the start of the cycle (`fifo`), and changes only its
//! own PE's registers, threads and queues.

use super::build::{ce_agent, router_agent};
use super::code::{Code, Plan, Prepared, Start};
use super::fifo::{CONTROL, Fifos, Word};
use super::state::{Ce, Frame, LOOPS, Main, Micro, Registers, Run};
use super::switch;
use super::values::Memory;
use super::wheel::Wheel;
use sim_core::arch::ArchSpec;
use sim_core::program::{AddrOp, Op, Operand, Priority, Then};

/// What a cycle of a compute element leaves to others to do.
#[derive(Debug, Default)]
pub(crate) struct Effects {
    /// Colors to open in its router.
    pub(crate) opens: Vec<u8>,
    /// Wavelets that it gave.
    pub(crate) given: u64,
    /// It finished a repetition of a loop: the position of the loop's end.
    pub(crate) back_edge: Option<u32>,
    /// First byte of an access outside the memory.
    pub(crate) fault: Option<i64>,
}

/// Machine numbers that a compute element needs.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Costs {
    pub(crate) setup: u64,
    pub(crate) dispatch: u64,
    pub(crate) loop_back: u8,
    pub(crate) out_latency: u64,
}

impl Costs {
    pub(crate) fn new(arch: &ArchSpec) -> Costs {
        Costs {
            setup: u64::from(arch.pe.vector_setup.value),
            dispatch: u64::from(arch.pe.task_dispatch.value.max(1)),
            loop_back: arch.pe.loop_back.value.min(255) as u8,
            out_latency: u64::from((arch.pe.ce_latency.value + arch.router.ramp_up.value).max(1)),
        }
    }
}

/// One compute element, with all that a cycle of it looks at.
pub(crate) struct Step<'a> {
    pub(crate) ce: &'a mut Ce,
    pub(crate) registers: &'a mut Registers,
    /// Its microthreads.
    pub(crate) micro: &'a mut [Micro],
    pub(crate) image: &'a Prepared,
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

/// Why a thread cannot start a beat.
pub(super) enum Hold {
    Input,
    Room,
}

impl Step<'_> {
    /// Decides and does the cycle `now`. The element was flushed up to `now`.
    pub(crate) fn run(&mut self) {
        self.ce.bulk = false;
        let dispatching = self.settle_main();
        let issued = self.issue();
        self.ce.class = self.class(dispatching || issued);
    }

    #[inline]
    fn wake(&mut self, at: u64) {
        self.wheel.wake(ce_agent(self.pe), at);
    }

    /// Looks again in cycle `at`. The main thread alone has something to do, so that nothing can
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
                Main::Vec(ref run) => {
                    if !run.over() {
                        return false;
                    }
                    self.advance();
                }
                Main::At(_) => match &self.image.code[self.ce.pc as usize] {
                    Code::LoopBegin(count) => {
                        self.registers.activations = self.registers.activations.wrapping_add(1);
                        let frame = Frame { left: *count, activation: self.registers.activations };
                        let depth = usize::from(self.ce.depth).min(LOOPS - 1);
                        self.registers.frames[depth] = frame;
                        self.ce.depth = depth as u8 + 1;
                        self.ce.pc += 1;
                    }
                    Code::LoopEnd(begin) if self.costs.loop_back == 0 => self.repeat(*begin),
                    Code::TaskEnd => self.ce.main = Main::Idle,
                    Code::Vec(plan) => {
                        let run = self.start(*plan, self.now + self.costs.setup, MAIN);
                        self.ce.main = Main::Vec(run);
                        if run.from > self.now {
                            self.wake_main(run.from);
                        }
                        return false;
                    }
                    _ => return false,
                },
            }
        }
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
    fn output(&self, queue: u8) -> Option<u32> {
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
        let fifo = self.input(queue).expect("its head was looked at");
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
    fn give(&mut self, queue: u8, word: Word) {
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
            self.fifos.ready(fifo, self.now) && switch::task(self.fifos.word(fifo)) == Some(number)
        });
        found.min_by_key(|(_, (queue, _))| *queue).map(|(local, _)| local as u8)
    }

    fn advance(&mut self) {
        self.ce.pc += 1;
        self.ce.main = Main::At(0);
    }

    /// End of a repetition.
    fn repeat(&mut self, begin: u32) {
        let frame = &mut self.registers.frames[usize::from(self.ce.depth.max(1)) - 1];
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
    fn start(&mut self, index: u16, from: u64, thread: usize) -> Run {
        let image = self.image;
        let plan = &image.plans[usize::from(index)];
        let mut addr = [0; 4];
        for (slot, operand) in addr.iter_mut().zip([&plan.op.dst].into_iter().chain(&plan.op.src)) {
            if let Operand::Mem(m) = operand {
                let address = self.address(m.base, m.offset);
                *slot = m.ring.map_or(address, |ring| ring.wrap(i64::from(address)) as i32);
            }
        }
        let conflict = plan.pairs.iter().any(|&(a, b)| {
            let (x, y) = (addr[usize::from(a) + 1], addr[usize::from(b) + 1]);
            let same = || match (&plan.op.src[usize::from(a)], &plan.op.src[usize::from(b)]) {
                (Operand::Mem(p), Operand::Mem(q)) => {
                    (p.dtype, &p.dims) == (q.dtype, &q.dims) && p.ring.is_none() && q.ring.is_none()
                }
                _ => false,
            };
            (x.div_euclid(2) - y.div_euclid(2)).rem_euclid(4) == 0 && !(x == y && same())
        });
        self.registers.activations = self.registers.activations.wrapping_add(1);
        if let Some(memory) = &mut self.memory {
            memory.addr[thread] = addr;
        }
        Run {
            plan: index,
            from,
            beats: plan.beats,
            rest: 0,
            slots: if conflict { plan.slots_conflict } else { plan.slots },
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
        (high != 0 && self.issue_micro(Priority::High))
            || (medium != 0 && self.issue_micro(Priority::Medium))
            || self.issue_main()
            || (low != 0 && self.issue_micro(Priority::Low))
    }

    fn issue_micro(&mut self, priority: Priority) -> bool {
        let image = self.image;
        // From the one behind the last on, in a circle.
        let mut waiting = self.ce.levels[priority as usize].rotate_right(u32::from(self.ce.turn));
        while waiting != 0 {
            let t = (self.ce.turn + waiting.trailing_zeros() as u8) % 8;
            waiting &= waiting - 1;
            let run = self.micro[usize::from(t)].run;
            let plan = &image.plans[usize::from(run.plan)];
            if run.from > self.now || self.hold(&run, plan).is_some() {
                continue;
            }
            let run = self.beat(run, plan, usize::from(t));
            self.micro[usize::from(t)].run = run;
            self.ce.turn = (t + 1) % 8;
            if run.over() {
                self.ce.busy &= !(1 << t);
                self.ce.levels[priority as usize] &= !(1 << t);
                match plan.then {
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
            Main::Vec(run) => self.issue_vec(run),
            Main::At(used) => self.issue_scalar(used),
        }
    }

    fn issue_vec(&mut self, run: Run) -> bool {
        let image = self.image;
        let plan = &image.plans[usize::from(run.plan)];
        if run.from > self.now || self.hold(&run, plan).is_some() {
            return false;
        }
        if plan.memory_only && self.memory.is_none() {
            self.ce.bulk = true;
            if run.done == 0 {
                self.count(plan, plan.op.len);
            }
            self.ce.main = Main::Vec(Run { done: plan.op.len, ..run });
            let end = self.now + run.slots_left();
            if self.urgent() {
                self.wake(end)
            } else {
                self.wheel.busy_until(ce_agent(self.pe), end)
            }
            return true;
        }
        let run = self.beat(run, plan, MAIN);
        self.ce.main = Main::Vec(run);
        self.wake(self.now + 1);
        true
    }

    /// Whether a microthread is at work that takes the issue slot before the main thread.
    fn urgent(&self) -> bool {
        let [high, medium, _] = self.ce.levels;
        high | medium != 0
    }

    fn count(&mut self, plan: &Plan, elements: u32) {
        if plan.op.op == Op::Fmac {
            self.ce.macs += u64::from(elements);
        }
    }

    /// Why the next slot of an instruction cannot be used, if it cannot (rule C3).
    pub(super) fn hold(&self, run: &Run, plan: &Plan) -> Option<Hold> {
        if run.rest > 0 {
            return None;
        }
        let n = plan.width.min(plan.op.len - run.done.min(plan.op.len));
        if let Some(port) = plan.output {
            let completes = port.between(run.done + n) || run.done + n == plan.op.len;
            let room = self.output(port.queue).is_some_and(|f| self.fifos.room(f, self.now));
            if completes && !room {
                return Some(Hold::Room);
            }
        }
        let stock = |id: u8| self.registers.stocks[usize::from(id)].len;
        if plan.fills.is_some_and(|id| stock(id) + n > self.image.stores[usize::from(id)].1) {
            return Some(Hold::Room);
        }
        let lacks = plan.inputs.iter().any(|p| p.between(run.done) && !self.has_data(p.queue));
        (lacks || plan.drains.iter().any(|&id| stock(id) < n)).then_some(Hold::Input)
    }

    /// Uses one slot.
    fn beat(&mut self, mut run: Run, plan: &Plan, thread: usize) -> Run {
        if run.rest > 0 {
            run.rest -= 1;
            return run;
        }
        let n = plan.width.min(plan.op.len - run.done);
        let ends = run.done + n == plan.op.len;
        let word = self.compute(&run, plan, thread, n);
        for port in &plan.inputs {
            if port.between(run.done) {
                self.take(port.queue);
            }
        }
        if let Some(port) = plan.output
            && (port.between(run.done + n) || ends)
        {
            self.give(port.queue, Word::from(word));
        }
        for &id in &plan.drains {
            let stock = &mut self.registers.stocks[usize::from(id)];
            stock.head = (stock.head + n) % self.image.stores[usize::from(id)].1;
            stock.len -= n;
        }
        if let Some(id) = plan.fills {
            self.registers.stocks[usize::from(id)].len += n;
        }
        self.count(plan, n);
        run.done += n;
        run.beats -= 1;
        run.rest = run.slots - 1;
        run
    }

    /// Rule C8. `used` slots of the instruction are already used.
    fn issue_scalar(&mut self, used: u8) -> bool {
        let slots = match &self.image.code[self.ce.pc as usize] {
            Code::Join(t) | Code::Async { thread: t, .. } => {
                if self.ce.busy & 1 << (t % 8) != 0 {
                    return false;
                }
                1
            }
            Code::Control { queue, .. } => {
                if !self.output(*queue).is_some_and(|f| self.fifos.room(f, self.now)) {
                    return false;
                }
                1
            }
            Code::Addr(AddrOp::Wrap { .. }) => 2,
            Code::LoopEnd(_) => self.costs.loop_back,
            _ => 1,
        };
        self.wake(self.now + 1);
        if used + 1 < slots {
            self.ce.main = Main::At(used + 1);
            return true;
        }
        self.finish_scalar();
        true
    }

    fn finish_scalar(&mut self) {
        let image = self.image;
        match &image.code[self.ce.pc as usize] {
            Code::LoopEnd(begin) => return self.repeat(*begin),
            Code::Async { plan, thread } => {
                let thread = usize::from(*thread) % 8;
                let run = self.start(*plan, self.now + 1 + self.costs.setup, thread);
                self.wake(run.from);
                self.micro[thread].run = run;
                self.ce.busy |= 1 << thread;
                let level = image.plans[usize::from(*plan)].priority as usize;
                self.ce.levels[level] |= 1 << thread;
            }
            Code::Activate(t) => self.registers.active |= 1 << t,
            Code::Block(t) => self.registers.blocked |= 1 << t,
            Code::Unblock(t) => self.registers.blocked &= !(1 << t),
            Code::Control { queue, word } => {
                self.give(*queue, CONTROL | Word::from(*word));
            }
            Code::Open(color) => self.out.opens.push(*color),
            Code::Addr(op) => self.arithmetic(op),
            _ => {}
        }
        self.advance();
    }
}
