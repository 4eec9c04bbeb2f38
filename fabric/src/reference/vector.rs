//! Vector instructions: setup, beats, slots (C2 to C5, C7).
//!
//! **Invariant.** Everything that a beat takes and gives happens in its first slot; whether it
//! may start is asked of the start of the cycle.
//! **Not here.** Elements per beat (`code`), who gets the issue slot (`ce`).

use super::code::{ImageCode, VectorCode};
use super::state::{Element, Running, Wavelet};
use super::values::{self, MemoryFault, Value};
use sim_core::arch::ArchSpec;
use sim_core::coord::Color;
use sim_core::program::{DType, FifoId, MemRef, Operand, Priority, Then};

/// What a thread can do in a cycle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Status {
    /// It has no instruction.
    Absent,
    /// It is in the setup of a vector instruction.
    Setup,
    /// It can use the issue slot.
    Ready,
    /// Its beat cannot start: the output queue of the color has no room.
    NoRoom(Color),
    /// Its beat cannot start: no wavelet of the color is ready.
    NoInput(Color),
    /// Its beat cannot start: the FIFO in memory has no room for its elements.
    Full(u8),
    /// Its beat cannot start: the FIFO in memory does not hold its elements.
    Empty(u8),
    /// The main thread waits for the microthread.
    Busy(u8),
}

/// Starts a vector instruction whose setup begins in cycle `start` (C2); addresses and bank
/// conflicts are those of now (C5).
pub(super) fn begin(element: &mut Element, code: &ImageCode, vector: usize, start: u64, arch: &ArchSpec) -> Running {
    let op = &code.vectors[vector].op;
    let mut first = [0; 4];
    for (address, operand) in first.iter_mut().zip(std::iter::once(&op.dst).chain(&op.src)) {
        if let Operand::Mem(m) = operand {
            *address = first_address(element, m);
        }
    }
    // C13
    let len = op.count.map_or(op.len, |reg| element.addr[usize::from(reg.0)].max(0) as u32);
    // C14: once all registers were read.
    for operand in std::iter::once(&op.dst).chain(&op.src) {
        if let Operand::Mem(m) = operand
            && let Some(reg) = m.base.filter(|_| m.advance)
        {
            let moved = (len as i32).wrapping_mul(m.dims[0].stride).wrapping_mul(m.dtype.bytes() as i32);
            let register = &mut element.addr[usize::from(reg.0)];
            *register = register.wrapping_add(moved);
        }
    }
    let mut slots = 1;
    if matches!(&op.dst, Operand::Mem(m) if m.is_scalar()) {
        slots = arch.pe.reduce_cycles.value.max(1);
    }
    if conflict(&code.vectors[vector], &first, arch) {
        slots = slots.max(arch.pe.bank_conflict.value);
    }
    Running {
        vector,
        ready: start + u64::from(code.vectors[vector].setup),
        first,
        slots,
        len,
        done: 0,
        slots_left: 0,
        held: [0; 4],
        priority: Priority::Medium,
        then: None,
    }
}

fn first_address(element: &Element, m: &MemRef) -> i64 {
    let base = m.base.map_or(0, |r| element.addr[usize::from(r.0)]);
    let address = i64::from(base) + i64::from(m.offset);
    m.ring.map_or(address, |ring| ring.wrap(address))
}

/// C5: whether two vector sources in memory conflict.
fn conflict(vector: &VectorCode, first: &[i64; 4], arch: &ArchSpec) -> bool {
    for (i, a) in vector.op.src.iter().enumerate() {
        for (j, b) in vector.op.src.iter().enumerate().skip(i + 1) {
            let (Operand::Mem(a), Operand::Mem(b)) = (a, b) else { continue };
            let (at, bt) = (first[i + 1], first[j + 1]);
            let plain = a.ring.is_none() && b.ring.is_none();
            let same = if plain { at == bt && (a.dtype, &a.dims) == (b.dtype, &b.dims) } else { a == b };
            if !a.is_scalar() && !b.is_scalar() && !same && meet(vector, (a, at), (b, bt), arch) {
                return true;
            }
        }
    }
    false
}

/// C5: whether two sources that start at these addresses meet in each beat. What they do depends on their
/// distance modulo `period`, so after as many beats it repeats itself.
fn meet(vector: &VectorCode, (a, at): (&MemRef, i64), (b, bt): (&MemRef, i64), arch: &ArchSpec) -> bool {
    let word = i64::from(arch.pe.bank_width.value / 8);
    let period = i64::from(arch.pe.banks.value / 2) * word;
    let pitch = |m: &MemRef| m.dims.last().map_or(0, |dim| i64::from(dim.stride) * i64::from(m.dtype.bytes()));
    // Where a register gives the length, the instruction counts as an endless one.
    let len = vector.op.count.map_or(vector.op.len, |_| u32::MAX);
    let words = |m: &MemRef| -> Vec<i64> {
        (0..vector.width.min(len)).map(|i| (i64::from(i) * pitch(m)).div_euclid(word) * word).collect()
    };
    let beats = i64::from(len.div_ceil(vector.width)).min(period);
    (0..beats).all(|beat| {
        let ahead = bt.wrapping_sub(at) + beat * i64::from(vector.width) * (pitch(b) - pitch(a));
        words(a).iter().any(|x| {
            words(b).iter().any(|y| {
                let distance = (ahead + y - x).rem_euclid(period);
                distance < word || period - distance < word
            })
        })
    })
}

impl Running {
    /// Elements of the beat that is next.
    fn beat_len(&self, vector: &VectorCode) -> u32 {
        vector.width.min(self.len - self.done)
    }

    /// C7: whether the next beat takes a new wavelet of a fabric source.
    fn takes(&self, dtype: DType) -> bool {
        self.done.is_multiple_of(dtype.per_wavelet())
    }

    /// C7: whether the next beat completes a wavelet of a fabric destination.
    fn gives(&self, vector: &VectorCode, dtype: DType) -> bool {
        let end = self.done + self.beat_len(vector);
        end.is_multiple_of(dtype.per_wavelet()) || end == self.len
    }
}

/// C2, C3: what the instruction can do in cycle `now`. `claimed` is the input queue whose head
/// the main thread takes in this cycle for a data task (C9).
pub(super) fn status(element: &Element, code: &ImageCode, run: &Running, now: u64, claimed: Option<usize>) -> Status {
    let vector = &code.vectors[run.vector];
    if now < run.ready {
        return Status::Setup;
    }
    // C13: a beat without elements has no conditions.
    if run.slots_left > 0 || run.len == 0 {
        return Status::Ready;
    }
    if let Operand::Fab(color, dtype) = vector.op.dst {
        let room = vector.output.is_some_and(|q| element.outputs[q].1.has_room());
        if run.gives(vector, dtype) && !room {
            return Status::NoRoom(color);
        }
    }
    if let Operand::Fifo(id, _) = vector.op.dst {
        let occupancy = element.occupancies[usize::from(id.0)].len;
        if occupancy + run.beat_len(vector) > code.memory_fifos[usize::from(id.0)].capacity {
            return Status::Full(id.0);
        }
    }
    for (i, source) in vector.op.src.iter().enumerate() {
        if let Operand::Fifo(id, _) = source
            && element.occupancies[usize::from(id.0)].len < run.beat_len(vector)
        {
            return Status::Empty(id.0);
        }
        let Operand::Fab(color, dtype) = *source else { continue };
        if !run.takes(dtype) {
            continue;
        }
        let Some(queue) = vector.inputs[i] else { return Status::NoInput(color) };
        let earlier = vector.op.src[..i].iter().zip(&vector.inputs);
        let ahead = earlier.filter(|(s, q)| **q == Some(queue) && s.dtype().is_some_and(|d| run.takes(d))).count();
        let ahead = ahead + usize::from(claimed == Some(queue));
        if !element.inputs[queue].1.has_data(ahead, now) {
            return Status::NoInput(color);
        }
    }
    Status::Ready
}

/// Uses one issue slot. Gives whether it was the last one of the instruction, and how many
/// elements were computed in it.
pub(super) fn slot(
    element: &mut Element,
    code: &ImageCode,
    run: &mut Running,
    now: u64,
    arch: &ArchSpec,
    memory: Option<&mut [u8]>,
) -> Result<(bool, u32), MemoryFault> {
    let vector = &code.vectors[run.vector];
    if run.len == 0 {
        return Ok((true, 0));
    }
    let mut computed = 0;
    if run.slots_left == 0 {
        computed = run.beat_len(vector);
        beat(element, code, run, now, arch, memory)?;
        run.slots_left = run.slots;
    }
    run.slots_left -= 1;
    Ok((run.slots_left == 0 && run.done == run.len, computed))
}

/// C3: the first slot of a beat takes wavelets, computes its elements in order, and gives a
/// wavelet.
fn beat(
    element: &mut Element,
    code: &ImageCode,
    run: &mut Running,
    now: u64,
    arch: &ArchSpec,
    memory: Option<&mut [u8]>,
) -> Result<(), MemoryFault> {
    let vector = &code.vectors[run.vector];
    for (i, source) in vector.op.src.iter().enumerate() {
        if let Operand::Fab(_, dtype) = source
            && run.takes(*dtype)
        {
            let queue = vector.inputs[i].expect("a beat that starts has its queues");
            run.held[i + 1] = element.inputs[queue].1.pop().data;
        }
    }
    let count = run.beat_len(vector);
    if let Some(memory) = memory {
        for index in run.done..run.done + count {
            one(element, code, run, index, memory)?;
        }
    }
    move_occupancies(element, code, vector, count);
    if let Operand::Fab(_, dtype) = vector.op.dst
        && run.gives(vector, dtype)
    {
        // C6
        let queue = vector.output.expect("a beat that starts has its queues");
        let ready = now + u64::from(arch.pe.ce_latency.value) + u64::from(arch.router.ramp_up.value);
        let data = vector.control.unwrap_or(run.held[0]);
        element.outputs[queue].1.push(Wavelet { ready, data, control: vector.control.is_some() });
        run.held[0] = 0;
    }
    run.done += count;
    assert!(run.done <= run.len, "C2: an instruction computes more elements than it has");
    Ok(())
}

/// C10: `count` elements leave the FIFOs of the sources and enter that of the destination.
fn move_occupancies(element: &mut Element, code: &ImageCode, vector: &VectorCode, count: u32) {
    for source in &vector.op.src {
        if let Operand::Fifo(id, _) = source {
            let occupancy = &mut element.occupancies[usize::from(id.0)];
            occupancy.head = (occupancy.head + count) % code.memory_fifos[usize::from(id.0)].capacity;
            assert!(occupancy.len >= count, "C10: a beat takes more elements than the FIFO in memory holds");
            occupancy.len -= count;
        }
    }
    if let Operand::Fifo(id, _) = vector.op.dst {
        let occupancy = &mut element.occupancies[usize::from(id.0)];
        occupancy.len += count;
        let capacity = code.memory_fifos[usize::from(id.0)].capacity;
        assert!(occupancy.len <= capacity, "C10: a beat puts more elements into a FIFO in memory than it has room for");
    }
}

/// C10: where the element behind `ahead` others of a FIFO lies.
fn place(element: &Element, code: &ImageCode, id: FifoId, ahead: u32, dtype: DType) -> i64 {
    let fifo = code.memory_fifos[usize::from(id.0)];
    let at = (u64::from(element.occupancies[usize::from(id.0)].head) + u64::from(ahead)) % u64::from(fifo.capacity);
    fifo.addr + at as i64 * i64::from(dtype.bytes())
}

/// Element `index` of a vector instruction.
fn one(
    element: &mut Element,
    code: &ImageCode,
    run: &mut Running,
    index: u32,
    memory: &mut [u8],
) -> Result<(), MemoryFault> {
    let vector = &code.vectors[run.vector];
    let mut sources = [Value::single(0); 3];
    for (i, source) in vector.op.src.iter().enumerate() {
        sources[i] = match source {
            Operand::Mem(m) => {
                let bits = values::load(memory, address(m, run.first[i + 1], index), m.dtype)?;
                Value { bits, dtype: m.dtype }
            }
            Operand::Fifo(id, dtype) => {
                let at = place(element, code, *id, index - run.done, *dtype);
                Value { bits: values::load(memory, at, *dtype)?, dtype: *dtype }
            }
            Operand::Fab(_, dtype) => Value { bits: part(run.held[i + 1], *dtype, index), dtype: *dtype },
            Operand::Reg(r) => Value::single(element.data[usize::from(r.0)]),
            Operand::Imm(bits) => Value::single(*bits),
        };
    }
    let op = vector.op.op;
    match &vector.op.dst {
        Operand::Mem(m) => {
            values::store(memory, address(m, run.first[0], index), m.dtype, values::compute(op, &sources, m.dtype))?;
        }
        Operand::Fifo(id, dtype) => {
            let occupancy = element.occupancies[usize::from(id.0)].len;
            let at = place(element, code, *id, occupancy + (index - run.done), *dtype);
            values::store(memory, at, *dtype, values::compute(op, &sources, *dtype))?;
        }
        Operand::Fab(_, DType::F32) => run.held[0] = values::compute(op, &sources, DType::F32),
        Operand::Fab(_, dtype) => run.held[0] |= values::compute(op, &sources, *dtype) << (16 * (index % 2)),
        Operand::Reg(r) => element.data[usize::from(r.0)] = values::compute(op, &sources, DType::F32),
        Operand::Imm(_) => unreachable!("refused when the code was built"),
    }
    Ok(())
}

/// The element with number `index` of the vector in its wavelet (C7).
fn part(wavelet: u32, dtype: DType, index: u32) -> u32 {
    match dtype {
        DType::F32 => wavelet,
        DType::F16 | DType::Bf16 => wavelet >> (16 * (index % 2)) & 0xffff,
    }
}

/// Address of element `index` of a vector whose first one is at `first`.
fn address(m: &MemRef, first: i64, index: u32) -> i64 {
    let address = first.wrapping_add(offset(m, index));
    m.ring.map_or(address, |ring| ring.wrap(address))
}

/// Distance in bytes of element `index` from the first one: the last dimension runs fastest.
fn offset(m: &MemRef, index: u32) -> i64 {
    let mut rest = index;
    let mut elements = 0i64;
    for dim in m.dims.iter().rev() {
        // C13: an open dimension, which is the first one, takes what is left.
        let at = if dim.len == 0 { rest } else { rest % dim.len };
        elements = elements.wrapping_add(i64::from(at).wrapping_mul(i64::from(dim.stride)));
        rest = rest.checked_div(dim.len).unwrap_or(0);
    }
    elements.wrapping_mul(i64::from(m.dtype.bytes()))
}

/// Makes a running instruction that of a microthread.
pub(super) fn on_microthread(mut run: Running, priority: Priority, then: Option<Then>) -> Running {
    run.priority = priority;
    run.then = then;
    run
}
