//! What of a program its timing can depend on: as a reduced program, and as a hash.
//!
//! Two launches of a kernel that differ only in names and in most addresses take the same cycles, since
//! their timing depends on no values (rule V1 of `docs/MODEL.md`) and addresses only decide bank conflicts
//! (rule C5). So programs with equal hashes have equal outcomes without values, and one of them is
//! executed. Example: the first layer's `gemm qkv` and the second layer's have one hash.
//!
//! **Invariant.** Only what no rule of timing reads is left out: names, initial memory, start values of
//! registers and addresses that decide nothing. Of a program that depends on values nothing is.
//! **Not here.** Whether an address is in the memory, which the verifier checks for every program.

use super::Deciding;
use super::hash::{content_hash, content_hash_mut};
use crate::coord::{Region, Span};
use crate::program::{
    AddrOp, Async, EdgeStream, Image, Instr, MemRef, Operand, Param, Placement, Program, Task, VecOp,
};

/// The first image by number that some PE runs and whose timing depends on values (rule V1), if there is one.
#[must_use]
pub fn depends_on_values(program: &Program) -> Option<&Image> {
    let placed = |at: &u32| program.placements.iter().any(|p| p.image == *at);
    let images = (0..).zip(&program.images);
    images.filter(|(at, _)| placed(at)).map(|(_, image)| image).find(|image| Deciding::of(image).values)
}

/// Most placements that a program is cut into.
const PARTS: usize = 65_536;

/// The program without names, and without start values of registers that decide nothing (rule V1). Where
/// a register that decides starts with values that differ between PEs, in all or modulo the period of the banks, as it decides,
/// the placement is cut into ones in which they do not. Example: lengths `a1=4+1*x` on 32 by 32 PEs become
/// 32 placements of a column each. None if there would be too many of them, if timing depends on values, or
/// if a placement names an image that there is not. `period` is the machine's ([`Pe::bank_period`]).
///
/// [`Pe::bank_period`]: crate::arch::Pe::bank_period
#[must_use]
pub fn timing_only(program: &Program, period: u32) -> Option<Program> {
    let mut reduced = program.clone();
    let Program { name, grid: _, images, placements, routes: _, switches: _, filters: _, edges } = &mut reduced;
    name.clear();
    for edge in edges {
        let EdgeStream { name, flow: _, side: _, ports: _, color: _, wavelets: _, interval: _, fanout: _ } = edge;
        name.clear();
    }
    let deciding: Vec<Deciding> = images.iter().map(Deciding::of).collect();
    let mut parts = Vec::with_capacity(placements.len());
    for placement in placements.iter() {
        let deciding = *deciding.get(placement.image as usize)?;
        if deciding.values || parts.len() > PARTS {
            return None;
        }
        cut(placement, (deciding, period), &mut parts)?;
    }
    *placements = parts;
    Some(reduced)
}

/// Adds a placement as ones on whose PEs the start values are the same, as far as they decide.
fn cut(placement: &Placement, (deciding, period): (Deciding, u32), parts: &mut Vec<Placement>) -> Option<()> {
    let Placement { region, image, params } = placement;
    let decides = |reg, value: i32| if deciding.whole(reg) { value } else { modulo(value, period) };
    let params: Vec<Param> = params.iter().copied().filter(|param| deciding.contains(param.reg)).collect();
    let changes = |change: fn(&Param) -> i32| params.iter().any(|p| decides(p.reg, change(p)) != 0);
    let lines = |span: Span, single: bool| match single {
        true => span.iter().map(Span::one).collect(),
        false => vec![span],
    };
    let columns = lines(region.x, changes(|p| p.dx));
    let rows = lines(region.y, changes(|p| p.dy));
    if columns.len().saturating_mul(rows.len()) > PARTS {
        return None;
    }
    for (j, &y) in (0..).zip(&rows) {
        for (i, &x) in (0..).zip(&columns) {
            let constant = |p: &Param| Param::constant(p.reg, decides(p.reg, p.value(i, j)));
            let params = params.iter().map(constant).collect();
            parts.push(Placement { region: Region { x, y }, image: *image, params });
        }
    }
    Some(())
}

fn modulo(value: i32, period: u32) -> i32 {
    value.rem_euclid(period as i32)
}

/// Hash of everything that the timing of `program` can depend on, on machines whose banks have this
/// period in bytes.
#[must_use]
pub fn timing_key(program: &Program, period: u32) -> [u8; 32] {
    let Some(mut reduced) = timing_only(program, period) else { return content_hash(program) };
    reduced.images.iter_mut().for_each(|i| image(i, period));
    content_hash_mut(&mut reduced)
}

fn image(image: &mut Image, period: u32) {
    let deciding = Deciding::of(image);
    let Image { name, inputs: _, outputs: _, buffers, fifos: _, tasks } = image;
    name.clear();
    buffers.clear();
    for Task { name, trigger: _, active: _, blocked: _, body: code } in tasks {
        name.clear();
        body(code, deciding, period);
    }
}

fn body(code: &mut [Instr], deciding: Deciding, period: u32) {
    for instr in code {
        match instr {
            Instr::Vec(op) | Instr::Async(Async { op, thread: _, priority: _, then: _ }) => vector(op, period),
            Instr::Loop { count: _, body: inner }
            | Instr::Repeat { count: _, body: inner }
            | Instr::While { cond: _, body: inner } => body(inner, deciding, period),
            Instr::If { cond: _, then, otherwise } => {
                body(then, deciding, period);
                body(otherwise, deciding, period);
            }
            Instr::Addr(op) if deciding.contains(op.target()) => {
                deciding_address(op, deciding, period);
            }
            Instr::Addr(op) => address(op),
            Instr::Return
            | Instr::Join(_)
            | Instr::Activate(_)
            | Instr::Block(_)
            | Instr::Unblock(_)
            | Instr::Control(..)
            | Instr::AsyncControl(_)
            | Instr::Open(_)
            // What these compute may decide, and is kept.
            | Instr::Scalar(_)
            | Instr::Filter { color: _, start: _, pass: _, period: _ }
            | Instr::Turn { color: _, position: _, open: _ } => {}
        }
    }
}

/// An operation on a register that decides a conflict: values that decide modulo the period are kept so.
fn deciding_address(op: &mut AddrOp, deciding: Deciding, period: u32) {
    match op {
        AddrOp::Set(reg, value) | AddrOp::Add(reg, value) => {
            *value = if deciding.modulo(*reg) { modulo(*value, period) } else { *value };
        }
        AddrOp::Copy(..) | AddrOp::AddReg(..) | AddrOp::Clamp(..) => {}
        AddrOp::Wrap { reg: _, end: _, size: _ } | AddrOp::Load { reg: _, base: _, offset: _ } => {}
    }
}

/// An operation on a register that decides no conflict: the time that it takes is its kind's.
fn address(op: &mut AddrOp) {
    match op {
        AddrOp::Set(_, value) | AddrOp::Add(_, value) => *value = 0,
        AddrOp::Clamp(_, low, high) => (*low, *high) = (0, 0),
        AddrOp::Wrap { reg: _, end, size } => (*end, *size) = (0, 0),
        AddrOp::Load { reg: _, base: _, offset } => *offset = 0,
        AddrOp::Copy(..) | AddrOp::AddReg(..) => {}
    }
}

/// The memory operand, if it is one.
fn memory(operand: &mut Operand) -> Option<&mut MemRef> {
    match operand {
        Operand::Mem(m) => Some(m),
        Operand::Fab(..) | Operand::Fifo(..) | Operand::Reg(_) | Operand::Imm(_) => None,
    }
}

/// A conflict is decided by the places of the vector sources relative to each other modulo the period,
/// and by which of them are one and the same.
fn vector(op: &mut VecOp, period: u32) {
    let VecOp { op: _, len: _, count: _, descriptors: _, dst, src } = op;
    if let Some(MemRef { base: _, offset, dtype: _, dims: _, ring: _, advance: _ }) = memory(dst) {
        *offset = 0;
    }
    let mut sources: Vec<&mut MemRef> = src.iter_mut().filter_map(memory).collect();
    sources.iter_mut().filter(|m| m.is_scalar()).for_each(|m| m.offset = 0);
    sources.retain(|m| !m.is_scalar());
    if sources.iter().any(|m| m.ring.is_some()) {
        return;
    }
    if sources.iter().any(|m| m.base != sources[0].base) {
        // Whole offsets only where the values of registers can make two operands one and the same.
        let alike = |i: usize| sources[..i].iter().any(|m| (m.dtype, &m.dims) == (sources[i].dtype, &sources[i].dims));
        if !(0..sources.len()).any(alike) {
            sources.into_iter().for_each(|m| m.offset = modulo(m.offset, period));
        }
        return;
    }
    let places: Vec<i32> = sources.iter().map(|m| m.offset).collect();
    for m in sources {
        let rank = places.iter().position(|p| *p == m.offset).unwrap_or(0) as i32;
        m.offset = period as i32 * rank + modulo(m.offset.wrapping_sub(places[0]), period);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::coord::{Grid, Region};
    use crate::program::{AddrReg, DType, Op, Placement, Task, Trigger};

    /// The key on the CS-2, whose banks have a period of 16 bytes.
    fn key(program: &Program) -> [u8; 32] {
        timing_key(program, 16)
    }

    /// A program of one addition of vectors at `a` and `b` to `to`.
    fn add(name: &str, a: u32, b: u32, to: u32) -> Program {
        let vector = |at| Operand::Mem(MemRef::vec(DType::F16, at, 8));
        let op = VecOp::new(Op::Add, 8, vector(to), vec![vector(a), vector(b)]);
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
        assert_eq!(key(&add("a", 0, 100, 200)), key(&add("b", 8, 140, 0)));
        assert_ne!(key(&add("a", 0, 100, 200)), key(&add("b", 8, 132, 0)), "another distance modulo 16");
    }

    /// A program of one multiplication of a vector at a register and `a` with one of `len` elements
    /// at `b`; the register is set to `start`.
    fn moving(start: i32, a: u32, b: u32, len: u32) -> [u8; 32] {
        let mut program = add("a", 0, 0, 0);
        let from = Operand::Mem(MemRef::vec(DType::F16, a, 8).at(crate::program::AddrReg(0)));
        let src = vec![from, Operand::Mem(MemRef::vec(DType::F16, b, len))];
        let op = VecOp::new(Op::Mul, 8, Operand::Mem(MemRef::vec(DType::F16, 200, 8)), src);
        let set = Instr::Addr(AddrOp::Set(crate::program::AddrReg(0), start));
        program.images[0].tasks[0].body = vec![set, Instr::Vec(op)];
        key(&program)
    }

    #[test]
    fn places_that_move_are_kept_modulo_the_banks_or_whole() {
        assert_eq!(moving(0, 40, 100, 4), moving(16, 88, 116, 4), "never one and the same");
        assert_ne!(moving(0, 40, 100, 4), moving(8, 40, 100, 4), "the register decides modulo 16");
        assert_ne!(moving(0, 40, 100, 4), moving(4, 40, 100, 4), "the register decides");
        assert_ne!(moving(0, 40, 100, 4), moving(0, 44, 100, 4), "the offset decides");
        assert_ne!(moving(0, 40, 40, 8), moving(8, 40, 40, 8), "one and the same, or not");
        assert_ne!(moving(0, 40, 40, 8), moving(0, 48, 40, 8), "one and the same, or not");
    }

    #[test]
    fn conflicts_are_kept() {
        let conflict = key(&add("a", 8, 104, 200));
        assert_ne!(conflict, key(&add("a", 0, 100, 200)), "other banks");
        assert_ne!(conflict, key(&add("a", 104, 104, 200)), "one and the same operand");
        assert_eq!(conflict, key(&add("a", 4, 100, 200)), "equal banks elsewhere");
    }

    #[test]
    fn circular_buffers_are_kept_whole() {
        let wrapped = |start: i32| {
            let mut program = add("a", 0, 0, 0);
            let at = |offset| MemRef::vec(DType::F16, offset, 8).at(crate::program::AddrReg(0));
            let ring = Some(crate::program::Ring { start: 64, bytes: 40 });
            let src = vec![Operand::Mem(MemRef { ring, ..at(64) }), Operand::Mem(at(128))];
            let op = VecOp::new(Op::Mul, 8, Operand::Mem(MemRef::vec(DType::F16, 200, 8)), src);
            let set = Instr::Addr(AddrOp::Set(crate::program::AddrReg(0), start));
            program.images[0].tasks[0].body = vec![set, Instr::Vec(op)];
            key(&program)
        };
        assert_ne!(wrapped(0), wrapped(40), "one register, and one of the operands wraps");
    }

    /// One image whose length and whose branch depend on the place: a placement per column, in which they do not.
    #[test]
    fn lengths_by_place_are_cut_into_placements() {
        let text = |body: &str| {
            format!(
                "program p\ngrid 4x3\nimage i {{\ntask t local active {{\n{body}\n}}\n}}\nplace i x=0..4 y=0..3 a1=4+1*x a2=7*y\n"
            )
        };
        let reduced = |body: &str| timing_only(&crate::program::parse(&text(body), "t").unwrap(), 32);
        let length = reduced("vec mov a1: f32@0[..] <- #1").unwrap();
        let columns: Vec<_> = length.placements.iter().map(|p| (p.region.x.start, p.params.clone())).collect();
        let one = |x: u32| (x, vec![Param::constant(AddrReg(1), 4 + x as i32)]);
        assert_eq!(columns, [one(0), one(1), one(2), one(3)]);
        assert_eq!(reduced("if lt a1 a2 {\na3 = 1\n}").unwrap().placements.len(), 12, "both decide");
        assert_eq!(reduced("a2 = add a1 1").unwrap().placements[0].params, [], "none decides");
        assert_eq!(reduced("a1 = load i32 0\nloop a1 {\na3 = 1\n}"), None, "a value decides");
    }
}
