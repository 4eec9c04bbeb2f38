//! The code of an image in the form in which it is executed: loops flattened, colors resolved to
//! queues, the elements per beat of every vector instruction worked out (C4).
//!
//! **Invariant.** Every index in a [`ImageCode`] is in range: [`ImageCode::new`] refuses what is not.
//! **Not here.** What executing it does (`ce`, `vector`).

use sim_core::arch::ArchSpec;
use sim_core::coord::Color;
use sim_core::diag::Diagnostic;
use sim_core::program::reg::Reg;
use sim_core::program::{
    AddrOp, AddrReg, Async, AsyncControl, Cond, DType, DataReg, Descriptors, Image, Instr, Int, MemRef, Op,
};
use sim_core::program::{Operand, Priority, ScalarOp, Task, TaskId, Then, Trigger, VecOp};

/// Deepest nesting of loops.
const NESTING: usize = 64;

/// The code of one image.
#[derive(Debug)]
pub(super) struct ImageCode {
    pub(super) tasks: Vec<TaskCode>,
    pub(super) vectors: Vec<VectorCode>,
    pub(super) memory_fifos: Vec<MemoryFifo>,
}

/// The code of one task.
#[derive(Debug)]
pub(super) struct TaskCode {
    pub(super) trigger: Trigger,
    /// For data tasks: the input queue of the color, if there is one.
    pub(super) queue: Option<usize>,
    pub(super) steps: Vec<TaskStep>,
    /// For every step the instruction that it belongs to: how many stand before it in the task.
    pub(super) origins: Vec<usize>,
}

/// One step of a task.
#[derive(Debug)]
pub(super) enum TaskStep {
    /// The vector instruction with this index in `ImageCode::vectors`.
    Vector(usize),
    /// A vector instruction on a microthread.
    Async {
        vector: usize,
        thread: u8,
        priority: Priority,
        then: Option<Then>,
    },
    /// Wait until the microthread is free.
    Join(u8),
    /// Start of a loop: `count` repetitions of what follows.
    Enter {
        count: u32,
    },
    /// End of a loop whose body begins at step `to`.
    Back {
        to: usize,
    },
    /// Arithmetic on an address register.
    Addr(AddrOp),
    Activate(usize),
    Block(usize),
    Unblock(usize),
    /// A control wavelet for the color, with its output queue, if the color is bound to one.
    Control {
        color: Color,
        queue: Option<usize>,
        word: u32,
    },
    Open(Color),
    Scalar(ScalarOp),
    /// Goes on with the next step if the condition holds, else with step `otherwise` (C12).
    Branch {
        cond: Cond,
        otherwise: usize,
    },
    /// A taken branch to step `to`.
    Jump {
        to: usize,
    },
    /// Start of a loop of as many repetitions as a register says; with none it goes on at step `behind`.
    EnterBy {
        reg: AddrReg,
        behind: usize,
    },
    /// The cycles that the descriptors of the next step take (C14).
    Pause(u32),
    /// The end of the task.
    Return,
    /// S7: start, pass, period.
    Filter {
        color: Color,
        numbers: [Int; 3],
    },
    Turn {
        color: Color,
        position: Int,
        open: bool,
    },
}

/// A vector instruction, with what does not change while it runs.
#[derive(Debug)]
pub(super) struct VectorCode {
    pub(super) op: VecOp,
    /// Its task, and how many instructions stand before it there.
    pub(super) place: (usize, usize),
    /// Elements per beat, `w` of rule C4.
    pub(super) width: u32,
    /// Cycles of its setup (C2).
    pub(super) setup: u32,
    /// Output queue of a fabric destination, if its color is bound to one.
    pub(super) output: Option<usize>,
    /// S2: the word of the control wavelet that its one beat gives instead of data.
    pub(super) control: Option<u32>,
    /// Input queues of fabric sources, if their colors are bound to one.
    pub(super) inputs: [Option<usize>; 3],
}

/// A FIFO in memory (C10).
#[derive(Debug, Clone, Copy)]
pub(super) struct MemoryFifo {
    pub(super) addr: i64,
    pub(super) capacity: u32,
}

/// The diagnostic of a program that is not well formed, as the engine sees it.
pub(super) fn malformed(at: &str, message: String) -> Diagnostic {
    Diagnostic::new("X001", at, message).help("check the program with `wafersim verify`")
}

impl ImageCode {
    /// The code of `image`.
    pub(super) fn new(image: &Image, arch: &ArchSpec) -> Result<ImageCode, Diagnostic> {
        let mut lower = Lower { image, arch, vectors: Vec::new(), place: (0, 0), origins: Vec::new() };
        let mut tasks = Vec::with_capacity(image.tasks.len());
        for (number, task) in image.tasks.iter().enumerate() {
            lower.place = (number, 0);
            tasks.push(lower.task(task)?);
        }
        let memory_fifos = image.fifos.iter().map(|q| MemoryFifo { addr: q.addr.into(), capacity: q.len }).collect();
        Ok(ImageCode { tasks, vectors: lower.vectors, memory_fifos })
    }
}

/// C2: whether all that the instruction needs before its first beat is in registers and is never changed, so that it
/// can be read early.
fn descriptors_stay(op: &VecOp) -> bool {
    let fixed = |operand: &Operand| match operand {
        Operand::Mem(m) => m.base.is_none(),
        Operand::Fab(..) | Operand::Fifo(..) | Operand::Reg(_) | Operand::Imm(_) => true,
    };
    let word = |source: &Operand| matches!(source, Operand::Mem(m) if m.is_scalar());
    let stay = fixed(&op.dst) && op.src.iter().all(|source| fixed(source) && !word(source));
    op.descriptors == Descriptors::Held && op.count.is_none() && stay
}

/// The queue that is bound to `color`.
fn queue(bindings: &[(u8, Color)], color: Color) -> Option<usize> {
    bindings.iter().find(|(_, c)| *c == color).map(|(q, _)| usize::from(*q))
}

struct Lower<'a> {
    image: &'a Image,
    arch: &'a ArchSpec,
    vectors: Vec<VectorCode>,
    /// The task, and how many of its instructions were begun.
    place: (usize, usize),
    /// Of the task, as in [`TaskCode`].
    origins: Vec<usize>,
}

impl Lower<'_> {
    fn task(&mut self, task: &Task) -> Result<TaskCode, Diagnostic> {
        let mut steps = Vec::new();
        self.body(&task.body, &mut steps, 0, 0)?;
        let queue = match task.trigger {
            Trigger::Local | Trigger::Control(_) | Trigger::Teardown(_) => None,
            Trigger::Data(color, reg) => {
                self.data_reg(reg)?;
                queue(&self.image.inputs, color)
            }
        };
        Ok(TaskCode { trigger: task.trigger, queue, steps, origins: std::mem::take(&mut self.origins) })
    }

    fn nested(&self, instr: &Instr, depth: usize) -> Result<(), Diagnostic> {
        match instr {
            Instr::Loop { body, .. }
            | Instr::Repeat { body, .. }
            | Instr::While { body, .. }
            | Instr::If { then: body, .. }
                if body.is_empty() || depth == NESTING =>
            {
                Err(self.malformed("a loop or branch without body, or nested too deeply"))
            }
            _ => Ok(()),
        }
    }

    /// C14: before an instruction whose descriptors take time.
    fn pause(&self, instr: &Instr) -> Option<TaskStep> {
        let (Instr::Vec(op) | Instr::Async(Async { op, .. })) = instr else { return None };
        let pe = &self.arch.pe;
        let cycles = match op.descriptors {
            Descriptors::Held => 0,
            Descriptors::Loaded => pe.descriptor_load.value,
            Descriptors::Based => bases(op) * pe.descriptor_base.value,
            Descriptors::LoadedBased => pe.descriptor_load.value + bases(op) * pe.descriptor_base.value,
        };
        (cycles > 0).then_some(TaskStep::Pause(cycles))
    }

    /// The steps of a body, which belongs to the instruction with number `around`.
    fn body(
        &mut self,
        body: &[Instr],
        steps: &mut Vec<TaskStep>,
        depth: usize,
        around: usize,
    ) -> Result<(), Diagnostic> {
        for (position, instr) in body.iter().enumerate() {
            self.nested(instr, depth)?;
            self.origins.resize(steps.len(), around);
            let own = self.place.1;
            self.place.1 += 1;
            steps.extend(self.pause(instr));
            let step = match instr {
                Instr::Loop { count, body } => {
                    if *count == 0 {
                        return Err(self.malformed("a loop without repetitions"));
                    }
                    steps.push(TaskStep::Enter { count: *count });
                    let to = steps.len();
                    self.body(body, steps, depth + 1, own)?;
                    TaskStep::Back { to }
                }
                Instr::Vec(op) => {
                    let vector = self.vector(op)?;
                    let before = position.checked_sub(1).map(|before| &body[before]);
                    if matches!(before, Some(Instr::Vec(_))) && descriptors_stay(op) {
                        self.vectors[vector].setup = 0;
                    }
                    TaskStep::Vector(vector)
                }
                Instr::Async(Async { thread, priority, op, then }) => {
                    self.microthread(*thread)?;
                    self.then(*then)?;
                    TaskStep::Async { vector: self.vector(op)?, thread: *thread, priority: *priority, then: *then }
                }
                Instr::Join(thread) => {
                    self.microthread(*thread)?;
                    TaskStep::Join(*thread)
                }
                Instr::Addr(op) => {
                    self.addr_op(op)?;
                    TaskStep::Addr(op.clone())
                }
                Instr::Activate(task) => TaskStep::Activate(self.task_index(*task)?),
                Instr::Block(task) => TaskStep::Block(self.task_index(*task)?),
                Instr::Unblock(task) => TaskStep::Unblock(self.task_index(*task)?),
                Instr::Control(color, control) => {
                    TaskStep::Control { color: *color, queue: queue(&self.image.outputs, *color), word: control.word() }
                }
                Instr::AsyncControl(send) => self.async_control(send)?,
                Instr::Open(color) => TaskStep::Open(*color),
                Instr::Scalar(op) => {
                    self.registers(op.reads().into_iter().chain(op.writes()))?;
                    TaskStep::Scalar(*op)
                }
                Instr::Return => TaskStep::Return,
                Instr::Filter { color, start, pass, period } => {
                    let numbers = [*start, *pass, *period];
                    self.registers(numbers.iter().filter_map(|n| n.reg()).map(Reg::Addr))?;
                    TaskStep::Filter { color: *color, numbers }
                }
                Instr::Turn { color, position, open } => {
                    self.registers(position.reg().map(Reg::Addr))?;
                    TaskStep::Turn { color: *color, position: *position, open: *open }
                }
                Instr::Repeat { .. } | Instr::While { .. } | Instr::If { .. } => {
                    self.branch(instr, steps, depth, own)?;
                    self.origins.resize(steps.len(), own);
                    continue;
                }
            };
            steps.push(step);
            self.origins.resize(steps.len(), own);
        }
        Ok(())
    }

    /// S2: an asynchronous instruction of one element, which gives the control wavelet.
    fn async_control(&mut self, send: &AsyncControl) -> Result<TaskStep, Diagnostic> {
        self.microthread(send.thread)?;
        self.then(send.then)?;
        let one = VecOp::new(Op::Mov, 1, Operand::Fab(send.color, DType::F32), vec![Operand::Imm(0)]);
        let vector = self.vector(&one)?;
        self.vectors[vector].control = Some(send.control.word());
        Ok(TaskStep::Async { vector, thread: send.thread, priority: send.priority, then: send.then })
    }

    /// The task that a microthread names when it is done, if there is one, exists.
    fn then(&self, then: Option<Then>) -> Result<(), Diagnostic> {
        match then {
            Some(Then::Activate(task) | Then::Unblock(task)) => self.task_index(task).map(drop),
            None => Ok(()),
        }
    }

    /// Loops that a register or a condition ends, and branches.
    fn branch(&mut self, instr: &Instr, steps: &mut Vec<TaskStep>, depth: usize, own: usize) -> Result<(), Diagnostic> {
        let head = steps.len();
        match instr {
            Instr::Repeat { count, body } => {
                self.addr_reg(*count)?;
                steps.push(TaskStep::EnterBy { reg: *count, behind: 0 });
                self.body(body, steps, depth + 1, own)?;
                steps.push(TaskStep::Back { to: head + 1 });
                steps[head] = TaskStep::EnterBy { reg: *count, behind: steps.len() };
            }
            Instr::While { cond, body } => {
                self.registers(cond.reads())?;
                steps.push(TaskStep::Branch { cond: *cond, otherwise: 0 });
                self.body(body, steps, depth + 1, own)?;
                steps.push(TaskStep::Jump { to: head });
                steps[head] = TaskStep::Branch { cond: *cond, otherwise: steps.len() };
            }
            Instr::If { cond, then, otherwise } => {
                self.registers(cond.reads())?;
                steps.push(TaskStep::Branch { cond: *cond, otherwise: 0 });
                self.body(then, steps, depth + 1, own)?;
                let jump = steps.len();
                if !otherwise.is_empty() {
                    steps.push(TaskStep::Jump { to: 0 });
                }
                steps[head] = TaskStep::Branch { cond: *cond, otherwise: steps.len() };
                self.body(otherwise, steps, depth + 1, own)?;
                if !otherwise.is_empty() {
                    steps[jump] = TaskStep::Jump { to: steps.len() };
                }
            }
            _ => unreachable!("only loops and branches come here"),
        }
        Ok(())
    }

    fn registers(&self, registers: impl IntoIterator<Item = Reg>) -> Result<(), Diagnostic> {
        registers.into_iter().try_for_each(|register| match register {
            Reg::Addr(reg) => self.addr_reg(reg),
            Reg::Data(reg) => self.data_reg(reg),
        })
    }

    fn vector(&mut self, op: &VecOp) -> Result<usize, Diagnostic> {
        op.count.map_or(Ok(()), |count| self.addr_reg(count))?;
        if (op.len == 0) == op.count.is_none() || op.src.len() != op.op.sources() || matches!(op.dst, Operand::Imm(_)) {
            return Err(self.malformed("a vector instruction without elements, or with the wrong operands"));
        }
        let mut inputs = [None; 3];
        for (input, source) in inputs.iter_mut().zip(&op.src) {
            self.operand(source, op)?;
            if let Operand::Fab(color, _) = source {
                *input = queue(&self.image.inputs, *color);
            }
        }
        self.operand(&op.dst, op)?;
        let output = match op.dst {
            Operand::Fab(color, _) => queue(&self.image.outputs, color),
            _ => None,
        };
        // The one that was begun last.
        let place = (self.place.0, self.place.1.saturating_sub(1));
        let (width, setup) = (width(op, self.arch), self.arch.pe.vector_setup.value);
        self.vectors.push(VectorCode { op: op.clone(), place, width, setup, output, control: None, inputs });
        Ok(self.vectors.len() - 1)
    }

    fn operand(&self, operand: &Operand, op: &VecOp) -> Result<(), Diagnostic> {
        // C13: the first dimension is open if and only if the length is in a register.
        let open = |i: usize| i == 0 && op.count.is_some();
        match operand {
            Operand::Mem(m) if m.dims.iter().enumerate().any(|(i, d)| (d.len == 0) != open(i)) => {
                Err(self.malformed("a dimension without elements, or a fixed one of a length in a register"))
            }
            Operand::Mem(m) if m.advance && (m.base.is_none() || m.dims.len() != 1) => {
                Err(self.malformed("an operand that cannot advance"))
            }
            Operand::Mem(m) => m.base.map_or(Ok(()), |r| self.addr_reg(r)),
            Operand::Reg(r) => self.data_reg(*r),
            Operand::Fifo(id, _) if usize::from(id.0) >= self.image.fifos.len() => {
                Err(self.malformed("a FIFO that does not exist"))
            }
            Operand::Fifo(..) => Ok(()),
            Operand::Fab(..) | Operand::Imm(_) => Ok(()),
        }
    }

    fn addr_op(&self, op: &AddrOp) -> Result<(), Diagnostic> {
        self.addr_reg(op.target())?;
        match op {
            AddrOp::Copy(_, other) | AddrOp::AddReg(_, other) => self.addr_reg(*other),
            AddrOp::Load { base: Some(base), .. } => self.addr_reg(*base),
            _ => Ok(()),
        }
    }

    fn addr_reg(&self, reg: AddrReg) -> Result<(), Diagnostic> {
        if reg.0 < AddrReg::COUNT { Ok(()) } else { Err(self.malformed("an address register that does not exist")) }
    }

    fn data_reg(&self, reg: DataReg) -> Result<(), Diagnostic> {
        if reg.0 < DataReg::COUNT { Ok(()) } else { Err(self.malformed("a data register that does not exist")) }
    }

    fn microthread(&self, thread: u8) -> Result<(), Diagnostic> {
        let exists = u32::from(thread) < self.arch.pe.microthreads.value;
        if exists { Ok(()) } else { Err(self.malformed("a microthread that does not exist")) }
    }

    fn task_index(&self, task: TaskId) -> Result<usize, Diagnostic> {
        let index = usize::from(task.0);
        if index < self.image.tasks.len() { Ok(index) } else { Err(self.malformed("a task that does not exist")) }
    }

    fn malformed(&self, message: &str) -> Diagnostic {
        malformed(&format!("image {}", self.image.name), message.to_owned())
    }
}

/// C14: the vectors in memory among the operands, those that are one and the same once.
fn bases(op: &VecOp) -> u32 {
    let mut different: Vec<MemRef> = Vec::new();
    for operand in op.operands() {
        if let Operand::Mem(m) = operand
            && !m.is_scalar()
        {
            // Whether an operand advances is not part of where it lies.
            let place = MemRef { advance: false, ..m.clone() };
            if !different.contains(&place) {
                different.push(place);
            }
        }
    }
    different.len() as u32
}

/// C4: elements per beat.
fn width(op: &VecOp, arch: &ArchSpec) -> u32 {
    let mut width = class_width(op, arch);
    for operand in op.src.iter().chain([&op.dst]) {
        match operand {
            Operand::Fab(_, DType::F32) => width = width.min(1),
            Operand::Fab(..) => width = width.min(2),
            Operand::Mem(m) => width = width.min(stride_limit(m)),
            Operand::Fifo(..) | Operand::Reg(_) | Operand::Imm(_) => {}
        }
    }
    match &op.dst {
        Operand::Reg(_) => width = width.min(arch.pe.width_register.value),
        Operand::Mem(m) if m.is_scalar() => width = 1,
        _ => {}
    }
    width.max(1)
}

/// C4, first item: by the types of the vector operands, destination included.
fn class_width(op: &VecOp, arch: &ArchSpec) -> u32 {
    let widths = op.op.widths(&arch.pe);
    let (mut short, mut long) = (false, false);
    for operand in op.src.iter().chain([&op.dst]).filter(|o| !o.is_scalar()) {
        match operand.dtype() {
            Some(DType::F16 | DType::Bf16) => short = true,
            Some(DType::F32) => long = true,
            None => {}
        }
    }
    match (short, long) {
        (true, true) => widths.mixed,
        (true, false) => widths.half,
        (false, _) => widths.single,
    }
}

/// C4, fourth item: by the stride of the last dimension in 16-bit words.
fn stride_limit(m: &MemRef) -> u32 {
    let Some(last) = m.dims.last() else { return u32::MAX };
    if last.stride == 0 || last.stride == 1 {
        return u32::MAX;
    }
    let words = i64::from(last.stride) * i64::from(m.dtype.bytes() / 2);
    match words.rem_euclid(8) {
        0 => 1,
        1 | 4 | 7 => 2,
        _ => u32::MAX,
    }
}
