//! Control code for random programs: scalar instructions, branches, loops and lengths from registers, time
//! stamps, descriptors, settings of routers, put in between what a program does already.
//!
//! The programs themselves are those of `random.rs`, so that what is recorded of them stays comparable.

use sim_core::arch::ArchSpec;
use sim_core::coord::Color;
use sim_core::program::*;
use sim_core::util::random::SplitMix64;

/// Registers that hold any number; those before are bases of vectors.
const ANY: std::ops::Range<u32> = 4..10;
/// Counters of `while`, one for each depth.
const COUNTER: u8 = 10;
/// Deepest nesting of what is put in.
const DEEP: u8 = 2;

/// Random costs of control code.
pub(crate) fn machine(rng: &mut SplitMix64, a: &mut ArchSpec) {
    a.pe.float_latency.value = rng.range(1, 5);
    a.pe.load_latency.value = rng.range(1, 3);
    a.pe.divide.value = rng.range(1, 9);
    a.pe.branch_untaken.value = rng.range(1, 4);
    a.pe.branch_taken.value = rng.range(1, 7);
    a.pe.descriptor_load.value = rng.below(5);
    a.pe.descriptor_base.value = rng.below(4);
}

/// Puts control code into all images; in half of the programs some of it depends on values.
pub(crate) fn insert(rng: &mut SplitMix64, p: &mut Program) {
    let values = rng.chance(50);
    let (routes, switches) = (p.routes.clone(), p.switches.clone());
    for placement in &mut p.placements {
        for reg in ANY {
            if rng.chance(40) {
                let (dx, dy) = ([0, 0, 1, 2][rng.below(4) as usize], [0, 0, 1, 3][rng.below(4) as usize]);
                let (mod_x, mod_y) = (rng.range(1, 4), rng.range(1, 4));
                let base = rng.below(12) as i32 - 2;
                placement.params.push(Param { reg: AddrReg(reg as u8), base, dx, dy, mod_x, mod_y });
            }
        }
    }
    for (index, image) in (0..).zip(&mut p.images) {
        let placed: Vec<_> = p.placements.iter().filter(|p| p.image == index).map(|p| p.region).collect();
        let on = |color: Color, regions: &mut dyn Iterator<Item = (Color, sim_core::coord::Region)>| {
            let own: Vec<_> = regions.filter(|(c, _)| *c == color).map(|(_, region)| region).collect();
            placed.iter().all(|region| region.iter().all(|pe| own.iter().any(|r| r.contains(pe))))
        };
        let colors = (0..Color::MAX).filter_map(Color::new);
        let routed: Vec<Color> =
            colors.clone().filter(|c| on(*c, &mut routes.iter().map(|r| (r.color, r.region)))).collect();
        let turned: Vec<Color> = colors.filter(|c| on(*c, &mut switches.iter().map(|s| (s.color, s.region)))).collect();
        for task in &mut image.tasks {
            let body = std::mem::take(&mut task.body);
            task.body = Inserter { rng, values, routed: &routed, turned: &turned }.body(body, 0);
        }
    }
}

struct Inserter<'a> {
    rng: &'a mut SplitMix64,
    /// Whether timing may depend on values.
    values: bool,
    /// Colors whose filter, and whose switch, the PEs can set.
    routed: &'a [Color],
    turned: &'a [Color],
}

impl Inserter<'_> {
    /// What there is, with more in between.
    fn body(&mut self, body: Vec<Instr>, depth: u8) -> Vec<Instr> {
        let mut out = Vec::new();
        for instr in body {
            if self.rng.chance(35) {
                self.more(&mut out, depth);
            }
            match instr {
                Instr::Vec(op) => {
                    let op = self.vector(op, &mut out);
                    out.push(Instr::Vec(op));
                }
                Instr::Async(mut a) => {
                    a.op = self.vector(a.op, &mut out);
                    out.push(Instr::Async(a));
                }
                Instr::Loop { count, body } if self.rng.chance(30) => {
                    let reg = AddrReg(13);
                    out.push(Instr::Addr(AddrOp::Set(reg, count as i32)));
                    let body = self.body(body, depth);
                    out.push(Instr::Repeat { count: reg, body });
                }
                Instr::Loop { count, body } => {
                    let body = self.body(body, depth);
                    out.push(Instr::Loop { count, body });
                }
                Instr::Open(color) if self.rng.chance(50) && self.turned.contains(&color) => {
                    out.push(Instr::Turn { color, position: Int::Const(0), open: true });
                }
                other => out.push(other),
            }
        }
        if self.rng.chance(20) {
            self.more(&mut out, depth);
        }
        out
    }

    fn any(&mut self) -> AddrReg {
        AddrReg(self.rng.range(ANY.start, ANY.end - 1) as u8)
    }

    fn int(&mut self) -> Int {
        if self.rng.chance(60) { Int::Reg(self.any()) } else { Int::Const(self.rng.below(20) as i32 - 4) }
    }

    fn data(&mut self) -> DataReg {
        DataReg(self.rng.below(8) as u8)
    }

    fn float(&mut self) -> Float {
        if self.rng.chance(70) {
            return Float::Reg(self.data());
        }
        Float::Const((self.rng.below(40) as f32 * 0.25 - 3.0).to_bits())
    }

    /// An address that nothing else is at, but for what `ANY` may add.
    fn at(&mut self) -> Address {
        let base = if self.rng.chance(30) { Some(AddrReg(self.rng.below(3) as u8)) } else { None };
        Address { base, offset: 20_000 + 4 * self.rng.below(64) as i32 }
    }

    /// Sometimes the length is in a register, an operand advances, descriptors are loaded.
    fn vector(&mut self, mut op: VecOp, out: &mut Vec<Instr>) -> VecOp {
        if self.rng.chance(20) {
            op.descriptors = Descriptors::ALL[self.rng.below(4) as usize];
        }
        if self.rng.chance(20) {
            let reg = AddrReg(14);
            out.push(Instr::Addr(AddrOp::Set(reg, op.len as i32)));
            (op.len, op.count) = (0, Some(reg));
            for operand in op.src.iter_mut().chain([&mut op.dst]) {
                if let Operand::Mem(MemRef { dims, .. }) = operand
                    && let Some(first) = dims.first_mut()
                {
                    first.len = 0;
                }
            }
        }
        if self.rng.chance(20)
            && let Operand::Mem(m) = &mut op.dst
            && let [_] = m.dims[..]
            && m.base.is_none()
        {
            (m.base, m.advance) = (Some(AddrReg(3)), true);
            out.push(Instr::Addr(AddrOp::Set(AddrReg(3), 0)));
        }
        op
    }

    /// A few instructions, one at least.
    fn more(&mut self, out: &mut Vec<Instr>, depth: u8) {
        let op = ScalarOp::Int(self.any(), IntOp::Add, self.int(), self.int());
        out.push(Instr::Scalar(op));
        for _ in 0..self.rng.range(1, 5) {
            self.one(out, depth);
        }
        // Seldom, since what is behind it is never sent or taken.
        if depth > 0 && self.rng.chance(2) {
            out.push(Instr::Return);
        }
    }

    fn one(&mut self, out: &mut Vec<Instr>, depth: u8) {
        match self.rng.below(14) {
            0..3 => {
                let op = IntOp::ALL[self.rng.below(11) as usize];
                let op = ScalarOp::Int(self.any(), op, self.int(), self.int());
                out.push(Instr::Scalar(op));
            }
            3..6 => {
                let op = self.number();
                out.push(Instr::Scalar(op));
            }
            6 if self.values => {
                let op = self.taint();
                out.push(Instr::Scalar(op));
            }
            6 | 7 => {
                let at = self.at();
                out.push(Instr::Scalar(ScalarOp::Timestamp(at)));
            }
            8 => self.filter(out),
            9 => self.turn(out),
            10 if depth < DEEP => {
                let (mut then, mut otherwise) = (Vec::new(), Vec::new());
                self.more(&mut then, depth + 1);
                if self.rng.chance(50) {
                    self.more(&mut otherwise, depth + 1);
                }
                let cond = self.cond();
                out.push(Instr::If { cond, then, otherwise });
            }
            11 if depth < DEEP => {
                let counter = AddrReg(COUNTER + depth);
                out.push(Instr::Addr(AddrOp::Set(counter, self.rng.below(4) as i32)));
                let mut body = vec![Instr::Addr(AddrOp::Add(counter, -1))];
                self.more(&mut body, depth + 1);
                let cond = Cond::Int(Cmp::Gt, Int::Reg(counter), Int::Const(0));
                out.push(Instr::While { cond, body });
            }
            12 if depth < DEEP => {
                let count = AddrReg(13);
                let op = ScalarOp::Int(count, IntOp::And, Int::Reg(self.any()), Int::Const(3));
                out.push(Instr::Scalar(op));
                let mut body = Vec::new();
                self.more(&mut body, depth + 1);
                out.push(Instr::Repeat { count, body });
            }
            _ => self.some_elements(out),
        }
    }

    /// A vector instruction over as many elements as a register happens to say, perhaps none.
    fn some_elements(&mut self, out: &mut Vec<Instr>) {
        let count = AddrReg(14);
        out.push(Instr::Scalar(ScalarOp::Int(count, IntOp::Min, Int::Reg(self.any()), Int::Const(30))));
        let open = |offset| MemRef {
            dims: [Dim { len: 0, stride: 1 }].into_iter().collect(),
            ..MemRef::vec(DType::F32, offset, 1)
        };
        let (a, b) = (open(22_000), open(23_000 + 4 * self.rng.below(8)));
        let mut op = VecOp::new(Op::Add, 0, Operand::Mem(a), vec![Operand::Mem(b), Operand::imm(1.0)]);
        op.count = Some(count);
        op.descriptors = Descriptors::ALL[self.rng.below(4) as usize];
        out.push(Instr::Vec(op));
    }

    /// Something with numbers of binary32.
    fn number(&mut self) -> ScalarOp {
        match self.rng.below(7) {
            0 => ScalarOp::LoadFloat(self.data(), DType::ALL[self.rng.below(3) as usize], self.at()),
            1 => ScalarOp::StoreFloat(DType::ALL[self.rng.below(3) as usize], self.at(), self.data()),
            2 => ScalarOp::ToFloat(self.data(), self.any()),
            3 => ScalarOp::StoreInt(Word::ALL[self.rng.below(3) as usize], self.at(), self.any()),
            // Kept apart: bits that are no number may differ in what an operation makes of them.
            4 => ScalarOp::OfBits(DataReg(9), self.any()),
            5 => ScalarOp::StoreFloat(DType::F32, self.at(), DataReg(9)),
            _ => {
                let op = FloatOp::ALL[self.rng.below(8) as usize];
                let mut from = [Float::Const(0); 3];
                from.iter_mut().take(op.sources()).for_each(|source| *source = self.float());
                ScalarOp::Float(self.data(), op, from)
            }
        }
    }

    /// Brings a value into an address register.
    fn taint(&mut self) -> ScalarOp {
        match self.rng.below(4) {
            0 => ScalarOp::ToInt(self.any(), self.data()),
            1 => ScalarOp::ToBits(self.any(), self.data()),
            _ => ScalarOp::LoadInt(self.any(), Word::ALL[self.rng.below(3) as usize], self.at()),
        }
    }

    fn cond(&mut self) -> Cond {
        let cmp = Cmp::ALL[self.rng.below(6) as usize];
        if self.values && self.rng.chance(30) {
            return Cond::Float(cmp, self.float(), self.float());
        }
        Cond::Int(cmp, self.int(), self.int())
    }

    /// A filter that lets everything pass; seldom another one.
    fn filter(&mut self, out: &mut Vec<Instr>) {
        if self.routed.is_empty() || self.rng.chance(70) {
            return;
        }
        let color = self.routed[self.rng.below(self.routed.len() as u32) as usize];
        let period = Int::Const(self.rng.below(5) as i32);
        let pass = if self.rng.chance(85) { period } else { self.int() };
        out.push(Instr::Filter { color, start: self.int(), pass, period });
    }

    /// Position 0 of a switch; seldom another one.
    fn turn(&mut self, out: &mut Vec<Instr>) {
        if self.turned.is_empty() || self.rng.chance(50) {
            return;
        }
        let color = self.turned[self.rng.below(self.turned.len() as u32) as usize];
        let position = if self.rng.chance(70) { Int::Const(0) } else { self.int() };
        out.push(Instr::Turn { color, position, open: self.rng.chance(10) });
    }
}
