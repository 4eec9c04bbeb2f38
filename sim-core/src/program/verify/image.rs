//! Checks of one image: bindings, tasks, instructions, operands, memory.

use super::switch::{check_control, check_entry};
use super::{Diagnostics, MAX_DIMS, MAX_NESTING, MAX_TASKS, check_color};
use crate::arch::ArchSpec;
use crate::coord::Color;
use crate::diag::Part;
use crate::program::reg::Reg;
use crate::program::{
    AddrOp, AddrReg, Address, Async, AsyncControl, Control, DType, DataReg, FifoId, Image, Instr, Int, MemRef, Op,
    Operand, Placement, ScalarOp, TaskId, Then, Trigger, VecOp, code_bytes,
};
use std::fmt::{self, Display};

/// Checks everything that an image says about itself.
pub(super) fn check(index: usize, image: &Image, arch: &ArchSpec, diagnostics: &mut Diagnostics) {
    diagnostics.part = Some(Part::Image(index));
    let at = format!("image `{}`", image.name);
    let queues = [
        ("input", &image.inputs, arch.pe.input_queues.value.len()),
        ("output", &image.outputs, arch.pe.output_queues.value.len()),
    ];
    for (what, bound, count) in queues {
        check_bindings(what, bound, count, arch, &at, diagnostics);
    }
    check_memory(index, image, arch, &at, diagnostics);
    if image.tasks.len() > MAX_TASKS {
        diagnostics.push("R015", &at, format!("{} tasks; at most {MAX_TASKS} are possible", image.tasks.len()), "");
    }
    for (i, task) in image.tasks.iter().enumerate() {
        diagnostics.part = Some(Part::Task(index, i));
        let at = format!("image `{}` task `{}`", image.name, task.name);
        match task.trigger {
            Trigger::Local => {}
            Trigger::Data(color, reg) => {
                check_color(color, arch, &at, diagnostics);
                check_input(image, color, &at, diagnostics);
                check_data(reg, &at, diagnostics);
            }
            Trigger::Control(id) => check_entry(id, &at, diagnostics),
            Trigger::Teardown(color) => check_color(color, arch, &at, diagnostics),
        }
        Body { image, arch, diagnostics, at: (index, i), seen: 0 }.check(&task.body, &at, None);
    }
}

/// Checks the start values of a placement.
pub(super) fn check_params(placement: &Placement, at: &dyn Display, diagnostics: &mut Diagnostics) {
    let mut set = [false; AddrReg::COUNT as usize];
    for p in &placement.params {
        if p.mod_x == 0 || p.mod_y == 0 {
            diagnostics.push("R016", at, format!("a{}: a period of 0 positions", p.reg.0), "periods are at least 1");
        }
        match set.get_mut(usize::from(p.reg.0)) {
            None => check_addr(p.reg, at, diagnostics),
            Some(true) => diagnostics.push("R016", at, format!("a{} is set twice", p.reg.0), ""),
            Some(unset) => *unset = true,
        }
    }
}

fn check_bindings(
    what: &str,
    bound: &[(u8, Color)],
    count: usize,
    arch: &ArchSpec,
    at: &dyn Display,
    diagnostics: &mut Diagnostics,
) {
    for (i, &(queue, color)) in bound.iter().enumerate() {
        check_color(color, arch, at, diagnostics);
        if usize::from(queue) >= count {
            diagnostics.push("R012", at, format!("{what} queue {queue} does not exist; there are {count}"), "");
        }
        if bound[..i].iter().any(|b| b.0 == queue) {
            diagnostics.push("R012", at, format!("{what} queue {queue} is bound twice"), "one color per queue");
        }
        if bound[..i].iter().any(|b| b.1 == color) {
            diagnostics.push("R012", at, format!("{color} is bound to two {what} queues"), "one queue per color");
        }
        if diagnostics.full("R012") {
            return;
        }
    }
}

fn check_memory(index: usize, image: &Image, arch: &ArchSpec, at: &dyn Display, diagnostics: &mut Diagnostics) {
    let sram = u64::from(arch.pe.sram.value);
    let mut top = 0;
    for (i, b) in image.buffers.iter().enumerate() {
        diagnostics.part = Some(Part::Buffer(index, i));
        let at = format!("{at} buffer `{}`", b.name);
        top = top.max(b.end());
        if b.end() > sram {
            diagnostics.push("R020", &at, format!("ends at byte {}, the PE has {sram} B", b.end()), "");
        }
        if b.init.len() as u64 > u64::from(b.len) {
            let message = format!("{} start values for {} elements", b.init.len(), b.len);
            diagnostics.push("R018", &at, message, "");
        }
    }
    diagnostics.part = Some(Part::Image(index));
    for q in &image.fifos {
        top = top.max(q.end());
        if q.end() > sram || q.len == 0 {
            let message = format!("FIFO `{}`: {} elements, to byte {}; the PE has {sram} B", q.name, q.len, q.end());
            diagnostics.push("R030", at, message, "a FIFO has at least one element and lies in memory");
        }
    }
    let (code, stack) = (code_bytes(image, arch), u64::from(arch.pe.stack.value));
    if top <= sram && top + code + stack > sram {
        let message =
            format!("buffers end at byte {top}, code takes {code} B and the stack {stack} B; the PE has {sram} B");
        diagnostics.push("R020", at, message, "use smaller buffers or more PEs");
    }
}

fn fabric_color(operand: &Operand) -> Option<Color> {
    match operand {
        Operand::Fab(color, _) => Some(*color),
        Operand::Mem(_) | Operand::Fifo(..) | Operand::Reg(_) | Operand::Imm(_) => None,
    }
}

fn fifo_id(operand: &Operand) -> Option<FifoId> {
    match operand {
        Operand::Fifo(id, _) => Some(*id),
        _ => None,
    }
}

/// Whether two sources are of one color or FIFO.
fn shared<T: PartialEq>(sources: &[Operand], of: impl Fn(&Operand) -> Option<T>) -> bool {
    let earlier = |i: usize, one: T| sources[..i].iter().filter_map(&of).any(|other| other == one);
    sources.iter().enumerate().any(|(i, source)| of(source).is_some_and(|one| earlier(i, one)))
}

fn check_input(image: &Image, color: Color, at: &dyn Display, diagnostics: &mut Diagnostics) {
    if !image.inputs.iter().any(|b| b.1 == color) {
        diagnostics.push("R013", at, format!("no input queue is bound to {color}"), "add `in qN cN` to the image");
    }
}

fn check_addr(reg: AddrReg, at: &dyn Display, diagnostics: &mut Diagnostics) {
    if reg.0 >= AddrReg::COUNT {
        diagnostics.push("R016", at, format!("a{} does not exist; the last one is a{}", reg.0, AddrReg::COUNT - 1), "");
    }
}

fn check_data(reg: DataReg, at: &dyn Display, diagnostics: &mut Diagnostics) {
    if reg.0 >= DataReg::COUNT {
        diagnostics.push("R016", at, format!("r{} does not exist; the last one is r{}", reg.0, DataReg::COUNT - 1), "");
    }
}

/// Checker of a task's instructions.
struct Body<'a> {
    image: &'a Image,
    arch: &'a ArchSpec,
    diagnostics: &'a mut Diagnostics,
    /// The image and the task, by their places.
    at: (usize, usize),
    /// Instructions of the task so far.
    seen: usize,
}

/// Where an instruction stands. Written out only where there is a diagnostic.
struct Place<'a> {
    task: &'a str,
    /// The loop around it.
    around: Option<&'a Place<'a>>,
    /// From 1 on.
    ordinal: usize,
    /// 1 outside of all loops.
    depth: usize,
}

impl Place<'_> {
    /// Ordinals of the loops around it, and its own.
    fn path(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(around) = self.around {
            around.path(f)?;
            f.write_str(".")?;
        }
        write!(f, "{}", self.ordinal)
    }
}

impl Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} instruction ", self.task)?;
        self.path(f)
    }
}

impl Body<'_> {
    fn check(&mut self, body: &[Instr], task: &str, around: Option<&Place<'_>>) {
        let depth = around.map_or(0, |around| around.depth) + 1;
        for (i, instr) in body.iter().enumerate() {
            self.check_instr(instr, &Place { task, around, ordinal: i + 1, depth });
        }
    }

    /// What a microthread does streams from or to the fabric (rule C8).
    fn check_streams(&mut self, op: &VecOp, at: &Place<'_>) {
        if !op.src.iter().chain([&op.dst]).any(|o| matches!(o, Operand::Fab(..))) {
            let message = "an asynchronous instruction without a fabric operand".to_owned();
            self.diagnostics.push("R032", at, message, "write it for the main thread, without `async`");
        }
    }

    fn check_instr(&mut self, instr: &Instr, at: &Place<'_>) {
        self.diagnostics.part = Some(Part::Instr(self.at.0, self.at.1, self.seen));
        self.seen += 1;
        match instr {
            Instr::Vec(op) => self.check_op(op, at),
            Instr::Async(Async { thread, op, then, .. }) => {
                self.check_microthread(*thread, *then, at);
                self.check_op(op, at);
                self.check_streams(op, at);
            }
            Instr::Join(thread) => self.check_thread(*thread, at),
            Instr::Loop { count, body } => {
                if *count == 0 || body.is_empty() {
                    let message = format!("a loop of {} instructions, {count} times", body.len());
                    self.diagnostics.push("R019", at, message, "a loop repeats something at least once");
                }
                self.check_body(body, at);
            }
            Instr::Repeat { count, body } => {
                check_addr(*count, at, self.diagnostics);
                self.check_branch(&[body], at);
            }
            Instr::While { cond, body } => {
                self.check_registers(&cond.reads(), at);
                self.check_branch(&[body], at);
            }
            Instr::If { cond, then, otherwise } => {
                self.check_registers(&cond.reads(), at);
                self.check_branch(&[then, otherwise], at);
            }
            Instr::Scalar(op) => self.check_scalar(op, at),
            Instr::Return => {}
            Instr::Filter { color, start, pass, period } => {
                check_color(*color, self.arch, at, self.diagnostics);
                for int in [start, pass, period] {
                    self.check_int(*int, at);
                }
            }
            Instr::Turn { color, position, .. } => {
                check_color(*color, self.arch, at, self.diagnostics);
                self.check_int(*position, at);
            }
            Instr::Addr(op) => self.check_addr_op(op, at),
            Instr::Activate(task) => self.check_task(*task, true, at),
            Instr::Block(task) | Instr::Unblock(task) => self.check_task(*task, false, at),
            Instr::Control(color, control) => self.check_send(*color, control, at),
            Instr::AsyncControl(AsyncControl { thread, priority: _, color, control, then }) => {
                self.check_microthread(*thread, *then, at);
                self.check_send(*color, control, at);
            }
            Instr::Open(color) => check_color(*color, self.arch, at, self.diagnostics),
        }
    }

    fn check_send(&mut self, color: Color, control: &Control, at: &Place<'_>) {
        check_color(color, self.arch, at, self.diagnostics);
        self.check_output(color, at);
        check_control(control, at, self.diagnostics);
    }

    /// A microthread, and what happens when it is done.
    fn check_microthread(&mut self, thread: u8, then: Option<Then>, at: &Place<'_>) {
        self.check_thread(thread, at);
        let Some(Then::Activate(task) | Then::Unblock(task)) = then else { return };
        self.check_task(task, matches!(then, Some(Then::Activate(_))), at);
    }

    /// What a loop or a branch has inside.
    fn check_body(&mut self, body: &[Instr], at: &Place<'_>) {
        if at.depth > MAX_NESTING {
            let message = format!("loops and branches are nested more than {MAX_NESTING} deep");
            self.diagnostics.push("R019", at, message, "");
        } else {
            self.check(body, at.task, Some(at));
        }
    }

    /// The bodies of a branch, or of a loop that a condition or a register ends; the first has something in it.
    fn check_branch(&mut self, bodies: &[&[Instr]], at: &Place<'_>) {
        if bodies[0].is_empty() {
            let message = "a branch or loop without an instruction";
            self.diagnostics.push("R019", at, message, "turn the condition round, or leave it out");
        }
        bodies.iter().for_each(|body| self.check_body(body, at));
    }

    fn check_registers(&mut self, registers: &[Reg], at: &Place<'_>) {
        for register in registers {
            match register {
                Reg::Addr(reg) => check_addr(*reg, at, self.diagnostics),
                Reg::Data(reg) => check_data(*reg, at, self.diagnostics),
            }
        }
    }

    fn check_int(&mut self, int: Int, at: &Place<'_>) {
        int.reg().into_iter().for_each(|reg| check_addr(reg, at, self.diagnostics));
    }

    fn check_scalar(&mut self, op: &ScalarOp, at: &Place<'_>) {
        self.check_registers(&op.reads(), at);
        self.check_registers(op.writes().as_slice(), at);
        if let Some((Address { base: None, offset }, bytes)) = op.address() {
            self.check_range(i128::from(offset), i128::from(offset) + i128::from(bytes), at);
        }
    }

    fn check_thread(&mut self, thread: u8, at: &Place<'_>) {
        let count = self.arch.pe.microthreads.value;
        if u32::from(thread) >= count {
            self.diagnostics.push("R014", at, format!("microthread {thread} does not exist; there are {count}"), "");
        }
    }

    fn check_task(&mut self, task: TaskId, local: bool, at: &Place<'_>) {
        match self.image.tasks.get(usize::from(task.0)) {
            None => {
                let message = format!("task {} does not exist; there are {}", task.0, self.image.tasks.len());
                self.diagnostics.push("R015", at, message, "");
            }
            Some(t) if local && t.trigger != Trigger::Local => {
                let message = format!("task {} (`{}`) is triggered by wavelets", task.0, t.name);
                self.diagnostics.push("R015", at, message, "activate a local task");
            }
            Some(_) => {}
        }
    }

    fn check_addr_op(&mut self, op: &AddrOp, at: &Place<'_>) {
        check_addr(op.target(), at, self.diagnostics);
        match *op {
            AddrOp::Copy(_, other) | AddrOp::AddReg(_, other) => check_addr(other, at, self.diagnostics),
            AddrOp::Load { base: Some(base), .. } => check_addr(base, at, self.diagnostics),
            AddrOp::Load { base: None, offset, .. } => {
                self.check_range(i128::from(offset), i128::from(offset) + 2, at);
            }
            _ => {}
        }
    }

    fn check_op(&mut self, op: &VecOp, at: &Place<'_>) {
        let want = op.op.sources();
        if op.src.len() != want {
            let message = format!("`{}` takes {want} sources and has {}", op.op.name(), op.src.len());
            self.diagnostics.push("R017", at, message, "");
        }
        if op.op == Op::Fmac && op.src.get(2).is_some_and(|c| !c.is_scalar()) {
            self.diagnostics.push("R017", at, "the third source of `fmac` is a vector", "use a repeated value");
        }
        if matches!(op.dst, Operand::Imm(_)) {
            self.diagnostics.push("R017", at, "the destination is a constant", "");
        }
        if shared(&op.src, fabric_color) {
            self.diagnostics.push("R017", at, "two sources are wavelets of one color", "one of them must be in memory");
        }
        match op.count {
            Some(count) => check_addr(count, at, self.diagnostics),
            None if op.len == 0 => self.diagnostics.push("R018", at, "a vector instruction over 0 elements", ""),
            None => {}
        }
        self.check_advances(op, at);
        if let Operand::Fab(color, _) = op.dst {
            self.check_output(color, at);
        }
        if shared(&op.src, fifo_id) {
            self.diagnostics.push("R017", at, "two sources take from one FIFO", "one of them must be in memory");
        }
        let len = op.count.is_none().then_some(op.len);
        self.check_operand(&op.dst, len, at);
        for src in op.src.iter().take(3) {
            if let Operand::Fab(color, _) = src {
                check_input(self.image, *color, at, self.diagnostics);
            }
            self.check_operand(src, len, at);
        }
    }

    /// Operands that advance (rule C14).
    fn check_advances(&mut self, op: &VecOp, at: &Place<'_>) {
        let mut moved = Vec::new();
        for operand in op.operands() {
            let Operand::Mem(MemRef { advance: true, base, dims, .. }) = operand else { continue };
            let Some(base) = base.filter(|_| dims.len() == 1) else {
                let message = "an operand advances that has no register, or not exactly one dimension";
                self.diagnostics.push("R017", at, message, "write it as `type@register[length]+`");
                continue;
            };
            if moved.contains(&base) {
                let message = format!("two operands advance a{}", base.0);
                self.diagnostics.push("R017", at, message, "give each a register of its own");
            }
            moved.push(base);
        }
    }

    fn check_output(&mut self, color: Color, at: &Place<'_>) {
        if !self.image.outputs.iter().any(|b| b.1 == color) {
            let message = format!("no output queue is bound to {color}");
            self.diagnostics.push("R013", at, message, "add `out qN cN` to the image");
        }
    }

    fn check_fifo(&mut self, id: FifoId, dtype: DType, at: &Place<'_>) {
        let message = match self.image.fifos.get(usize::from(id.0)) {
            None => format!("FIFO {} does not exist; there are {}", id.0, self.image.fifos.len()),
            Some(q) if q.dtype != dtype => format!("FIFO `{}` holds {}, not {}", q.name, q.dtype.name(), dtype.name()),
            Some(_) => return,
        };
        self.diagnostics.push("R030", at, message, "");
    }

    /// `len` is None where it is in a register.
    fn check_operand(&mut self, operand: &Operand, len: Option<u32>, at: &Place<'_>) {
        match operand {
            Operand::Mem(m) => self.check_mem(m, len, at),
            Operand::Fab(color, _) => check_color(*color, self.arch, at, self.diagnostics),
            Operand::Fifo(id, dtype) => self.check_fifo(*id, *dtype, at),
            Operand::Reg(reg) => check_data(*reg, at, self.diagnostics),
            Operand::Imm(_) => {}
        }
    }

    fn check_mem(&mut self, m: &MemRef, len: Option<u32>, at: &Place<'_>) {
        if m.dims.len() > MAX_DIMS {
            let message = format!("{} dimensions; at most {MAX_DIMS} are possible", m.dims.len());
            self.diagnostics.push("R018", at, message, "");
            return;
        }
        let elements: u128 = m.dims.iter().map(|d| u128::from(d.len)).product();
        match len {
            Some(len) if !m.is_scalar() && elements != u128::from(len) => {
                let message = format!("the instruction has {len} elements, its operand {elements}");
                self.diagnostics.push("R018", at, message, "the product of the dimensions is the length");
                return;
            }
            None if !m.is_open() => {
                let message = "the length is in a register, but the first dimension of the operand is fixed";
                self.diagnostics.push("R018", at, message, "write `[..]`, and lengths only for further dimensions");
                return;
            }
            _ => {}
        }
        if let Some(ring) = m.ring {
            let end = i128::from(ring.start) + i128::from(ring.bytes);
            if ring.start % 8 != 0 || ring.bytes % 8 != 0 || ring.bytes == 0 {
                let message = format!("a circular buffer of {} bytes from byte {}", ring.bytes, ring.start);
                self.diagnostics.push("R030", at, message, "start and size are multiples of 8");
            }
            self.check_range(i128::from(ring.start), end, at);
        }
        match m.base {
            Some(base) => check_addr(base, at, self.diagnostics),
            None if elements == 0 || m.ring.is_some() => {}
            None => {
                let (low, high) = m.extent();
                let offset = i128::from(m.offset);
                self.check_range(offset + low, offset + high, at);
            }
        }
    }

    fn check_range(&mut self, first: i128, end: i128, at: &Place<'_>) {
        let sram = self.arch.pe.sram.value;
        if first < 0 || end > i128::from(sram) {
            let message = format!("bytes {first} to {} are addressed, the PE has {sram}", end - 1);
            self.diagnostics.push("R021", at, message, "");
        }
    }
}

impl MemRef {
    /// Whether it fits an instruction whose length is in a register: a repeated word, or a vector whose first
    /// dimension, and no other one, is as long as it has to be.
    fn is_open(&self) -> bool {
        self.dims.iter().enumerate().all(|(i, dim)| (i == 0) == (dim.len == 0))
    }

    /// First byte and first byte behind, relative to register + offset.
    fn extent(&self) -> (i128, i128) {
        let size = i128::from(self.dtype.bytes());
        let (mut low, mut high) = (0, 0);
        for d in &self.dims {
            let reach = i128::from(d.len.max(1) - 1) * i128::from(d.stride);
            low += reach.min(0);
            high += reach.max(0);
        }
        (low * size, (high + 1) * size)
    }
}
