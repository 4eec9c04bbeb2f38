//! What of a program its timing can depend on, as a hash: programs with equal hashes have equal
//! outcomes without values (rule V1), so one of them is executed.
//!
//! **Invariant.** Only what no rule of timing reads is left out: names, initial memory, and
//! addresses that decide no bank conflict (rule C5).
//! **Not here.** Whether an address is in the memory, which the verifier checks for every program.

use super::blocks::timing_only;
use super::registers::{Deciding, bit};
use sim_core::codec::{content_hash, content_hash_mut};
use sim_core::program::{AddrOp, Image, Instr, MemRef, Operand, Program, VecOp};

/// Hash of everything that the timing of `program` can depend on.
#[must_use]
pub fn timing_key(program: &Program) -> [u8; 32] {
    let Some(mut canonical) = timing_only(program) else { return content_hash(program) };
    canonical.images.iter_mut().for_each(image);
    content_hash_mut(&mut canonical)
}

fn image(image: &mut Image) {
    image.name.clear();
    image.buffers.clear();
    let regs = Deciding::of(image);
    for task in &mut image.tasks {
        task.name.clear();
        body(&mut task.body, regs);
    }
}

fn body(code: &mut [Instr], regs: Deciding) {
    for instr in code {
        match instr {
            Instr::Vec(op) => vector(op),
            Instr::Async(a) => vector(&mut a.op),
            Instr::Loop { body: inner, .. } => body(inner, regs),
            Instr::Addr(op) if regs.any() & bit(op.target()) == 0 => address(op),
            Instr::Addr(AddrOp::Set(reg, value) | AddrOp::Add(reg, value)) if regs.modulo & bit(*reg) != 0 => {
                *value = value.rem_euclid(8);
            }
            _ => {}
        }
    }
}

/// An operation on a register that decides no conflict: the time that it takes is its kind's.
fn address(op: &mut AddrOp) {
    match op {
        AddrOp::Set(_, value) | AddrOp::Add(_, value) => *value = 0,
        AddrOp::Clamp(_, low, high) => (*low, *high) = (0, 0),
        AddrOp::Wrap { end, size, .. } => (*end, *size) = (0, 0),
        AddrOp::Load { offset, .. } => *offset = 0,
        AddrOp::Copy(..) | AddrOp::AddReg(..) => {}
    }
}

/// A conflict is decided by the places of the vector sources relative to each other modulo 8, and
/// by which of them are one and the same.
fn vector(op: &mut VecOp) {
    if let Operand::Mem(m) = &mut op.dst {
        m.offset = 0;
    }
    let mut sources: Vec<&mut MemRef> = op
        .src
        .iter_mut()
        .filter_map(|s| match s {
            Operand::Mem(m) => Some(m),
            _ => None,
        })
        .collect();
    sources.iter_mut().filter(|m| m.is_scalar()).for_each(|m| m.offset = 0);
    sources.retain(|m| !m.is_scalar());
    if sources.iter().any(|m| m.base != sources[0].base) {
        // Whole offsets only where the values of registers can make two operands one and the same.
        let alike = |i: usize| sources[..i].iter().any(|m| (m.dtype, &m.dims) == (sources[i].dtype, &sources[i].dims));
        if !(0..sources.len()).any(alike) {
            sources.into_iter().for_each(|m| m.offset = m.offset.rem_euclid(8));
        }
        return;
    }
    let places: Vec<i32> = sources.iter().map(|m| m.offset).collect();
    for m in sources {
        let rank = places.iter().position(|p| *p == m.offset).unwrap_or(0) as i32;
        m.offset = 8 * rank + m.offset.wrapping_sub(places[0]).rem_euclid(8);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sim_core::coord::{Grid, Region};
    use sim_core::program::{DType, Op, Placement, Task, Trigger};

    /// A program of one addition of vectors at `a` and `b` to `to`.
    fn add(name: &str, a: u32, b: u32, to: u32) -> Program {
        let vector = |at| Operand::Mem(MemRef::vec(DType::F16, at, 8));
        let op = VecOp { op: Op::Add, len: 8, dst: vector(to), src: vec![vector(a), vector(b)].into() };
        let body = vec![Instr::Vec(op)];
        let task = Task { name: name.to_owned(), trigger: Trigger::Local, active: true, blocked: false, body };
        let image = Image { name: name.to_owned(), tasks: vec![task], ..Image::default() };
        let placement = Placement { region: Region::rect(0, 0, 1, 1), image: 0, params: Vec::new() };
        Program {
            name: name.to_owned(),
            grid: Some(Grid { width: 1, height: 1 }),
            placements: vec![placement],
            images: vec![image],
            ..Program::default()
        }
    }

    #[test]
    fn names_and_addresses_are_left_out() {
        assert_eq!(timing_key(&add("a", 0, 100, 200)), timing_key(&add("b", 8, 140, 0)));
    }

    /// A program of one multiplication of a vector at a register and `a` with one of `len` elements
    /// at `b`; the register is set to `start`.
    fn moving(start: i32, a: u32, b: u32, len: u32) -> [u8; 32] {
        let mut program = add("a", 0, 0, 0);
        let from = Operand::Mem(MemRef::vec(DType::F16, a, 8).at(sim_core::program::AddrReg(0)));
        let src = vec![from, Operand::Mem(MemRef::vec(DType::F16, b, len))];
        let op = VecOp { op: Op::Mul, len: 8, dst: Operand::Mem(MemRef::vec(DType::F16, 200, 8)), src: src.into() };
        let set = Instr::Addr(AddrOp::Set(sim_core::program::AddrReg(0), start));
        program.images[0].tasks[0].body = vec![set, Instr::Vec(op)];
        timing_key(&program)
    }

    #[test]
    fn places_that_move_are_kept_modulo_8_or_whole() {
        assert_eq!(moving(0, 40, 100, 4), moving(16, 80, 108, 4), "never one and the same");
        assert_ne!(moving(0, 40, 100, 4), moving(4, 40, 100, 4), "the register decides");
        assert_ne!(moving(0, 40, 100, 4), moving(0, 44, 100, 4), "the offset decides");
        assert_ne!(moving(0, 40, 40, 8), moving(8, 40, 40, 8), "one and the same, or not");
        assert_ne!(moving(0, 40, 40, 8), moving(0, 48, 40, 8), "one and the same, or not");
    }

    #[test]
    fn conflicts_are_kept() {
        let conflict = timing_key(&add("a", 0, 104, 200));
        assert_ne!(conflict, timing_key(&add("a", 0, 100, 200)), "other banks");
        assert_ne!(conflict, timing_key(&add("a", 104, 104, 200)), "one and the same operand");
        assert_eq!(conflict, timing_key(&add("a", 12, 100, 200)), "equal banks elsewhere");
    }
}
