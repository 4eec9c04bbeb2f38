//! Images, lowered for execution: code without nesting, and one record per vector instruction.
//!
//! Everything about an instruction that does not change while a program runs is worked out here
//! once per image: elements per beat (rule C4), slots per beat (C5), queues by local number. Example: a
//! loop becomes `LoopBegin(10)`, its body, and `LoopEnd` with the position of the body.
//!
//! **Invariant.** A color without a queue has the local number 255, which no queue has.
//! **Not here.** The state of a PE (`state`), and what executing an instruction does (`ce`).

use super::banks::{self, Pair};
use super::fifo::{CONTROL, Word};
use sim_core::arch::ArchSpec;
use sim_core::coord::Color;
use sim_core::program::transform::Deciding;
use sim_core::program::{
    AddrOp, AddrReg, Async, AsyncControl, Cond, DType, Descriptors, Image, Instr, Int, MemRef, Op, Operand, Priority,
    ScalarOp, Then, Trigger, VecOp,
};

/// One step of linear code.
#[derive(Debug, Clone)]
pub(crate) enum LoweredInstr {
    /// Vector instruction on the main thread: its index in `vectors`.
    Vec(u16),
    /// Vector instruction for a microthread.
    Async { vector: u16, thread: u8 },
    /// Wait for a microthread.
    Join(u8),
    /// Enter a loop of so many repetitions.
    LoopBegin(u32),
    /// End of a repetition; the first step of the body.
    LoopEnd(u32),
    /// Arithmetic on an address register.
    Addr(AddrOp),
    /// Make the task with this number runnable.
    Activate(u8),
    /// Hold the task with this number.
    Block(u8),
    /// Release the task with this number.
    Unblock(u8),
    /// A control wavelet into the output queue with this local number.
    Control { queue: u8, word: u32 },
    /// Open a color in the router.
    Open(u8),
    /// An operation on single numbers.
    Scalar(ScalarOp),
    /// Go on with the next step if the condition holds, else with this one.
    Branch { cond: Cond, otherwise: u32 },
    /// Go on with this step.
    Jump(u32),
    /// Enter a loop of as many repetitions as a register says; with none, go on behind it.
    LoopReg { count: AddrReg, behind: u32 },
    /// End of the task in this cycle.
    Return,
    /// Cycles that the descriptors of the next step take.
    Pause(u32),
    /// Set a filter in the router: start, pass, period.
    Filter { color: u8, numbers: [Int; 3] },
    /// Turn a switch in the router.
    Turn { color: u8, position: Int, open: bool },
    /// End of the task: the main thread is free from the next cycle on.
    TaskEnd,
}

/// A fabric source or destination of a vector: local queue number and elements per wavelet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FabPort {
    pub(crate) queue: u8,
    pub(crate) per: u32,
}

impl FabPort {
    /// Whether a wavelet begins (or the one before is complete) after `done` elements.
    #[inline]
    pub(crate) fn between(self, done: u32) -> bool {
        // One or two elements.
        done & (self.per - 1) == 0
    }
}

/// What is fixed about a vector instruction.
#[derive(Debug, Clone)]
pub(crate) struct LoweredVec {
    pub(crate) op: VecOp,
    pub(crate) priority: Priority,
    pub(crate) then: Option<Then>,
    /// Cycles of its setup (rule C2).
    pub(crate) setup: u64,
    /// Elements per beat (rule C4).
    pub(crate) width: u32,
    /// Beats of the whole instruction.
    pub(crate) beats: u32,
    /// Slots per beat without a bank conflict.
    pub(crate) slots: u32,
    /// Slots per beat with one.
    pub(crate) slots_conflict: u32,
    /// Pairs of vector sources in memory that may conflict.
    pub(crate) pairs: Vec<Pair>,
    /// Fabric sources, without repetition.
    pub(crate) inputs: Vec<FabPort>,
    /// The output queue of a fabric destination.
    pub(crate) output: Option<FabPort>,
    /// FIFOs in memory that are sources.
    pub(crate) drains: Vec<u8>,
    /// FIFO in memory that is the destination.
    pub(crate) fills: Option<u8>,
    /// The control wavelet that it gives instead of data.
    pub(crate) control: Option<Word>,
    /// Whether no operand can make a beat wait.
    pub(crate) memory_only: bool,
    /// Address registers that move, with the bytes by which they do per element.
    pub(crate) advances: Vec<(u8, i32)>,
}

/// Where a task's code begins, and what makes it runnable.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) pc: u32,
    pub(crate) start: Start,
}

/// What makes a task runnable.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Start {
    /// Its bit among the active tasks.
    Active,
    /// Data at the head of a local input queue; the register that it goes to.
    Data(u8, u8),
    /// A control wavelet with this number.
    Control(u8),
}

/// An image, lowered for a machine.
#[derive(Debug, Clone)]
pub(crate) struct LoweredImage {
    pub(crate) code: Vec<LoweredInstr>,
    pub(crate) vectors: Vec<LoweredVec>,
    pub(crate) tasks: Vec<Entry>,
    pub(crate) active: u64,
    pub(crate) blocked: u64,
    /// Colors of the input queues by local number, with the queue's number.
    pub(crate) inputs: Vec<(u8, Color)>,
    /// Colors of the output queues by local number, with the queue's number.
    pub(crate) outputs: Vec<(u8, Color)>,
    /// Which task a closed color activates: `(color, task)`.
    pub(crate) teardowns: Vec<(u8, u8)>,
    /// FIFOs in memory: address and elements.
    pub(crate) memory_fifos: Vec<(u32, u32)>,
    /// Address registers that a bank conflict can depend on.
    pub(crate) deciding: Deciding,
    /// Bytes modulo which those registers decide that do not decide whole.
    pub(crate) bank_period: i32,
    /// Whether a register may be written that cannot be read in the next cycle.
    pub(crate) late: bool,
    /// Number of microthreads up to the last one used.
    pub(crate) threads: usize,
    /// Product of nested loop counts, at its largest: how promising the image is as a marker.
    pub(crate) trips: u64,
}

impl LoweredImage {
    /// Prepares an image for a machine.
    pub(crate) fn new(image: &Image, arch: &ArchSpec) -> LoweredImage {
        let mut p = LoweredImage {
            code: Vec::new(),
            vectors: Vec::new(),
            tasks: Vec::new(),
            active: 0,
            blocked: 0,
            inputs: image.inputs.clone(),
            outputs: image.outputs.clone(),
            teardowns: Vec::new(),
            memory_fifos: image.fifos.iter().map(|q| (q.addr, q.len.max(1))).collect(),
            deciding: Deciding::of(image),
            bank_period: arch.pe.bank_period() as i32,
            late: false,
            threads: 0,
            trips: 0,
        };
        for (id, task) in image.tasks.iter().enumerate() {
            let pc = p.code.len() as u32;
            let start = match task.trigger {
                Trigger::Local => Start::Active,
                Trigger::Data(color, reg) => Start::Data(p.input(color), reg.0),
                Trigger::Control(number) => Start::Control(number),
                Trigger::Teardown(color) => {
                    p.teardowns.push((color.index() as u8, id as u8));
                    Start::Active
                }
            };
            p.tasks.push(Entry { pc, start });
            p.active |= u64::from(task.active) << id;
            p.blocked |= u64::from(task.blocked) << id;
            p.emit(&task.body, arch, 1);
            p.code.push(LoweredInstr::TaskEnd);
        }
        p
    }

    fn emit(&mut self, body: &[Instr], arch: &ArchSpec, trips: u64) {
        self.trips = self.trips.max(trips);
        let mut behind_vector = false;
        for instr in body {
            let follows = std::mem::replace(&mut behind_vector, matches!(instr, Instr::Vec(_)));
            if let Instr::Vec(op) | Instr::Async(Async { op, .. }) = instr
                && let cycles @ 1.. = descriptor_cycles(op, arch)
            {
                self.code.push(LoweredInstr::Pause(cycles));
            }
            let step = match instr {
                Instr::Vec(op) => {
                    let vector = self.vector(op, Priority::Low, None, arch);
                    if follows && is_constant(op) {
                        self.vectors[usize::from(vector)].setup = 0;
                    }
                    LoweredInstr::Vec(vector)
                }
                Instr::Async(Async { thread, priority, op, then }) => {
                    self.threads = self.threads.max(usize::from(*thread) % 8 + 1);
                    LoweredInstr::Async { vector: self.vector(op, *priority, *then, arch), thread: *thread }
                }
                Instr::Join(t) => LoweredInstr::Join(*t),
                Instr::Loop { count, body } => {
                    self.code.push(LoweredInstr::LoopBegin(*count));
                    let begin = self.code.len() as u32;
                    self.emit(body, arch, trips.saturating_mul(u64::from(*count)));
                    LoweredInstr::LoopEnd(begin)
                }
                Instr::Addr(op) => {
                    self.late |= matches!(op, AddrOp::Load { .. }) && arch.pe.load_latency.value > 1;
                    LoweredInstr::Addr(op.clone())
                }
                Instr::Scalar(op) => {
                    self.late |= latency(op, arch) > 1;
                    LoweredInstr::Scalar(*op)
                }
                Instr::Return => LoweredInstr::Return,
                Instr::Filter { color, start, pass, period } => {
                    LoweredInstr::Filter { color: color.index() as u8, numbers: [*start, *pass, *period] }
                }
                Instr::Turn { color, position, open } => {
                    LoweredInstr::Turn { color: color.index() as u8, position: *position, open: *open }
                }
                Instr::Repeat { .. } | Instr::While { .. } | Instr::If { .. } => {
                    self.emit_branch(instr, arch, trips);
                    continue;
                }
                Instr::Activate(t) => LoweredInstr::Activate(t.0),
                Instr::Block(t) => LoweredInstr::Block(t.0),
                Instr::Unblock(t) => LoweredInstr::Unblock(t.0),
                Instr::Control(color, control) => {
                    LoweredInstr::Control { queue: self.output(*color), word: control.word() }
                }
                Instr::AsyncControl(send) => self.async_control(send, arch),
                Instr::Open(color) => LoweredInstr::Open(color.index() as u8),
            };
            self.code.push(step);
        }
    }

    /// A vector instruction of one wavelet, which is a control wavelet (rule S2).
    fn async_control(&mut self, send: &AsyncControl, arch: &ArchSpec) -> LoweredInstr {
        self.threads = self.threads.max(usize::from(send.thread) % 8 + 1);
        let wavelet = VecOp::new(Op::Mov, 1, Operand::Fab(send.color, DType::F32), vec![Operand::Imm(0)]);
        let vector = self.vector(&wavelet, send.priority, send.then, arch);
        self.vectors[usize::from(vector)].control = Some(CONTROL | Word::from(send.control.word()));
        LoweredInstr::Async { vector, thread: send.thread }
    }

    /// Loops that a register or a condition ends, and branches.
    fn emit_branch(&mut self, instr: &Instr, arch: &ArchSpec, trips: u64) {
        let head = self.code.len();
        // Put in place of this when the code behind it is there.
        self.code.push(LoweredInstr::TaskEnd);
        let [first, second] = instr.bodies();
        // A register may count far, which makes the image a promising marker.
        let inside = if matches!(instr, Instr::Repeat { .. }) { trips.saturating_mul(16) } else { trips };
        self.emit(first, arch, inside);
        match instr {
            Instr::Repeat { .. } => self.code.push(LoweredInstr::LoopEnd(head as u32 + 1)),
            Instr::While { .. } => self.code.push(LoweredInstr::Jump(head as u32)),
            _ if !second.is_empty() => self.code.push(LoweredInstr::TaskEnd),
            _ => {}
        }
        let behind = self.code.len() as u32;
        if !second.is_empty() {
            self.emit(second, arch, trips);
            self.code[behind as usize - 1] = LoweredInstr::Jump(self.code.len() as u32);
        }
        self.code[head] = match instr {
            Instr::Repeat { count, .. } => LoweredInstr::LoopReg { count: *count, behind },
            Instr::While { cond, .. } | Instr::If { cond, .. } => {
                LoweredInstr::Branch { cond: *cond, otherwise: behind }
            }
            _ => unreachable!("only loops and branches have bodies that are emitted here"),
        };
    }

    /// Local number of the input queue of a color; 255 if the image has none.
    fn input(&self, color: Color) -> u8 {
        self.inputs.iter().position(|&(_, c)| c == color).map_or(255, |i| i as u8)
    }

    fn output(&self, color: Color) -> u8 {
        self.outputs.iter().position(|&(_, c)| c == color).map_or(255, |i| i as u8)
    }

    fn vector(&mut self, op: &VecOp, priority: Priority, then: Option<Then>, arch: &ArchSpec) -> u16 {
        let mut inputs: Vec<FabPort> = Vec::new();
        for s in &op.src {
            if let Operand::Fab(color, dtype) = s {
                let port = FabPort { queue: self.input(*color), per: dtype.per_wavelet() };
                if !inputs.contains(&port) {
                    inputs.push(port);
                }
            }
        }
        let output = match &op.dst {
            Operand::Fab(color, dtype) => Some(FabPort { queue: self.output(*color), per: dtype.per_wavelet() }),
            _ => None,
        };
        let drains: Vec<u8> = op.src.iter().filter_map(fifo).collect();
        let fills = fifo(&op.dst);
        let memory_only = inputs.is_empty() && output.is_none() && drains.is_empty() && fills.is_none();
        let width = width(op, arch);
        let into_word = matches!(&op.dst, Operand::Mem(m) if m.is_scalar());
        let slots = if into_word { arch.pe.reduce_cycles.value.max(1) } else { 1 };
        self.vectors.push(LoweredVec {
            op: op.clone(),
            priority,
            then,
            setup: u64::from(arch.pe.vector_setup.value),
            width,
            beats: op.len.div_ceil(width),
            slots,
            slots_conflict: slots.max(arch.pe.bank_conflict.value),
            pairs: banks::pairs(op, width, arch),
            inputs,
            output,
            drains,
            fills,
            control: None,
            memory_only,
            advances: op.operands().filter_map(advance).collect(),
        });
        (self.vectors.len() - 1) as u16
    }
}

/// Cycles before the instruction in which its descriptors are prepared (rule C14).
fn descriptor_cycles(op: &VecOp, arch: &ArchSpec) -> u32 {
    let (load, base) = match op.descriptors {
        Descriptors::Held => (false, false),
        Descriptors::Loaded => (true, false),
        Descriptors::Based => (false, true),
        Descriptors::LoadedBased => (true, true),
    };
    let place = |m: &MemRef| (m.base, m.offset, m.dtype, m.dims.clone(), m.ring);
    let vectors = op.operands().filter_map(|operand| match operand {
        Operand::Mem(m) if !m.is_scalar() => Some(place(m)),
        _ => None,
    });
    let mut places: Vec<_> = vectors.collect();
    places.sort_unstable();
    places.dedup();
    u32::from(load) * arch.pe.descriptor_load.value
        + u32::from(base) * places.len() as u32 * arch.pe.descriptor_base.value
}

/// Cycles until the result of a scalar instruction can be read, at most.
fn latency(op: &ScalarOp, arch: &ArchSpec) -> u32 {
    match op {
        ScalarOp::Int(..) | ScalarOp::StoreInt(..) | ScalarOp::StoreFloat(..) | ScalarOp::Timestamp(_) => 1,
        ScalarOp::LoadInt(..) | ScalarOp::LoadFloat(..) => arch.pe.load_latency.value,
        ScalarOp::Float(..) | ScalarOp::ToFloat(..) => arch.pe.float_latency.value,
        ScalarOp::ToInt(..) | ScalarOp::ToBits(..) | ScalarOp::OfBits(..) => arch.pe.float_latency.value,
    }
}

/// Whether what an instruction does is the same whenever it is executed, and its descriptors are there: behind another
/// vector instruction it has no setup (rule C2).
fn is_constant(op: &VecOp) -> bool {
    let moves = |o: &Operand| matches!(o, Operand::Mem(MemRef { base: Some(_), .. }));
    let loaded = |o: &Operand| matches!(o, Operand::Mem(m) if m.is_scalar());
    let same = op.descriptors == Descriptors::Held && op.count.is_none() && !op.operands().any(moves);
    same && !op.src.iter().any(loaded)
}

/// The register of an operand that advances, with its bytes per element.
fn advance(operand: &Operand) -> Option<(u8, i32)> {
    match operand {
        Operand::Mem(m) if m.advance => m.base.map(|reg| (reg.0, m.step(1))),
        _ => None,
    }
}

fn fifo(operand: &Operand) -> Option<u8> {
    match operand {
        Operand::Fifo(id, _) => Some(id.0),
        _ => None,
    }
}

/// Elements per beat (rule C4).
fn width(op: &VecOp, arch: &ArchSpec) -> u32 {
    let widths = op.op.widths(&arch.pe);
    let operands = || op.src.iter().chain([&op.dst]);
    let (mut half, mut single) = (false, false);
    for o in operands().filter(|o| !o.is_scalar()) {
        match o.dtype() {
            Some(DType::F32) => single = true,
            Some(DType::F16 | DType::Bf16) => half = true,
            None => {}
        }
    }
    let mut w = match (half, single) {
        (true, false) => widths.half,
        (true, true) => widths.mixed,
        (false, _) => widths.single,
    };
    for o in operands() {
        match o {
            Operand::Fab(_, dtype) => w = w.min(dtype.per_wavelet()),
            Operand::Mem(m) => w = w.min(stride_limit(m)),
            Operand::Fifo(..) | Operand::Reg(_) | Operand::Imm(_) => {}
        }
    }
    match &op.dst {
        Operand::Reg(_) => w = w.min(arch.pe.width_register.value),
        Operand::Mem(m) if m.is_scalar() => w = 1,
        _ => {}
    }
    w.max(1)
}

/// Elements per beat that the stride of a vector's last dimension allows.
fn stride_limit(m: &MemRef) -> u32 {
    let Some(last) = m.dims.last() else { return u32::MAX };
    if last.stride == 0 || last.stride == 1 {
        return u32::MAX;
    }
    let words = i64::from(last.stride) * i64::from(m.dtype.bytes() / 2);
    match words.rem_euclid(8) {
        2 | 3 | 5 | 6 => u32::MAX,
        0 => 1,
        _ => 2,
    }
}
