//! The price of one vector instruction: beats, and issue slots per beat (rules C4 and C5 of
//! `docs/MODEL.md`).
//!
//! **Invariant.** The same numbers as the engines', which share no code with this: a test executes what
//! is priced here.
//! **Not here.** When a beat can start (`clock`).

use sim_core::arch::{ArchSpec, Widths};
use sim_core::program::{AddrReg, DType, MemRef, Op, Operand, VecOp};

/// Values of the address registers, as far as the code that was priced so far has set them.
pub type Registers = [i32; AddrReg::COUNT as usize];

/// Beats and issue slots of a vector instruction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Beats {
    /// Beats, of `width` elements each.
    pub count: u64,
    /// Issue slots of a beat.
    pub slots: u64,
}

impl Beats {
    /// Issue slots of all beats.
    #[must_use]
    pub fn all(self) -> u64 {
        self.count * self.slots
    }

    /// The slots of an instruction, whose operands in memory are relative to registers of these values.
    #[must_use]
    pub fn of(arch: &ArchSpec, op: &VecOp, registers: &Registers) -> Beats {
        Prepared::of(arch, op).beats(registers)
    }
}

/// What the beats of a vector instruction take, whatever address registers hold: worked out once for an
/// instruction that is repeated.
#[derive(Debug, Clone)]
pub struct Prepared {
    /// How many beats it has.
    count: u64,
    /// Issue slots of a beat, without and with a bank conflict.
    slots: [u64; 2],
    /// Operands that are read together.
    together: [Option<Together>; 3],
}

impl Prepared {
    /// Of an instruction on a machine.
    #[must_use]
    pub fn of(arch: &ArchSpec, op: &VecOp) -> Prepared {
        let reduces = matches!(&op.dst, Operand::Mem(m) if m.is_scalar());
        let alone = if reduces { arch.pe.reduce_cycles.value } else { 1 };
        let width = width(arch, op);
        Prepared {
            count: u64::from(op.len).div_ceil(u64::from(width)),
            slots: [alone, alone.max(arch.pe.bank_conflict.value)].map(u64::from),
            together: together(arch, op, width),
        }
    }

    /// Its beats, where registers have these values.
    #[must_use]
    pub fn beats(&self, registers: &Registers) -> Beats {
        let conflict = self.together.iter().flatten().any(|pair| pair.conflicts(registers));
        Beats { count: self.count, slots: self.slots[usize::from(conflict)] }
    }

    /// Whether another instruction takes the same, whatever registers hold.
    #[must_use]
    pub fn takes_as_much_as(&self, other: &Prepared) -> bool {
        let same = |(a, b): (&Option<Together>, &Option<Together>)| match (a, b) {
            (Some(a), Some(b)) => a.conflicts_as(b),
            (None, None) => true,
            _ => false,
        };
        self.count == other.count && self.slots == other.slots && self.together.iter().zip(&other.together).all(same)
    }
}

/// A register, if any, and what is added to it.
type Place = (Option<AddrReg>, i32);

/// Two vectors in memory that a beat reads.
#[derive(Debug, Clone)]
struct Together {
    places: [Place; 2],
    /// Whether they are one and the same if they begin at the same address.
    alike: bool,
    reads: Reads,
}

impl Together {
    fn of(arch: &ArchSpec, [a, b]: [&MemRef; 2], op: &VecOp, width: u32) -> Together {
        let alike = a.dtype == b.dtype && a.dims == b.dims;
        Together { places: [a, b].map(|m| (m.base, m.offset)), alike, reads: Reads::of(arch, [a, b], op, width) }
    }

    /// Whether another pair conflicts for the same values of registers, as far as that is seen from where
    /// both begin.
    fn conflicts_as(&self, other: &Together) -> bool {
        let same = |(a, b): (&Place, &Place)| a.0 == b.0 && i64::from(a.1 - b.1) % self.reads.period == 0;
        !self.alike && !other.alike && self.reads == other.reads && self.places.iter().zip(&other.places).all(same)
    }

    /// Rule C5.
    fn conflicts(&self, registers: &Registers) -> bool {
        let [a, b] =
            self.places.map(|(base, offset)| base.map_or(0, |r| registers[usize::from(r.0)]).wrapping_add(offset));
        !(a == b && self.alike) && self.reads.meet(b.wrapping_sub(a).into())
    }
}

/// The pairs of an instruction's sources that are vectors in memory.
fn together(arch: &ArchSpec, op: &VecOp, width: u32) -> [Option<Together>; 3] {
    let vectors = op.src.iter().filter_map(|o| if let Operand::Mem(m) = o { Some(m) } else { None });
    let mut vectors = vectors.filter(|m| !m.is_scalar());
    let (a, b, c) = (vectors.next(), vectors.next(), vectors.next());
    let pair = |a: Option<&MemRef>, b: Option<&MemRef>| Some(Together::of(arch, [a?, b?], op, width));
    [pair(a, b), pair(a, c), pair(b, c)]
}

/// What two sources read of the banks, wherever they begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Reads {
    /// Bytes of a word of a bank, and after which addresses meet at the same banks again: powers of two.
    word: i64,
    period: i64,
    /// Bytes from an element to the next one.
    pitch: [i64; 2],
    /// Elements of a beat.
    elements: i64,
    /// Beats until everything is as it was.
    beats: i64,
}

impl Reads {
    fn of(arch: &ArchSpec, sources: [&MemRef; 2], op: &VecOp, width: u32) -> Reads {
        let period = i64::from(arch.pe.bank_period());
        let pitch = sources.map(|m| {
            let stride = m.dims.last().map_or(0, |last| i64::from(last.stride));
            stride * i64::from(m.dtype.bytes())
        });
        let word = i64::from(arch.pe.bank_width.value / 8);
        let mut reads = Reads { word, period, pitch, elements: width.min(op.len).into(), beats: 1 };
        if reads.drift() % period != 0 {
            reads.beats = period.min(op.len.div_ceil(width).into());
        }
        reads
    }

    /// How many bytes the second source gets further ahead in a beat.
    fn drift(&self) -> i64 {
        self.elements * (self.pitch[1] - self.pitch[0])
    }

    /// Whether words meet at the banks in every beat, if the second source begins so many bytes ahead of the
    /// first.
    fn meet(&self, ahead: i64) -> bool {
        (0..self.beats).all(|beat| self.in_a_beat(ahead + beat * self.drift()))
    }

    fn in_a_beat(&self, ahead: i64) -> bool {
        let word = |source: usize, element: i64| (element * self.pitch[source]) & -self.word;
        (0..self.elements).any(|i| {
            (0..self.elements).any(|j| {
                let distance = (ahead + word(1, j) - word(0, i)) & (self.period - 1);
                distance < self.word || distance > self.period - self.word
            })
        })
    }
}

/// Whether all vectors among the operands have 16 bits, or all have 32.
fn of_class(widths: &Widths, op: &VecOp) -> u32 {
    let (mut narrow, mut wide) = (false, false);
    for operand in std::iter::once(&op.dst).chain(&op.src) {
        if let Some(dtype) = operand.dtype().filter(|_| !operand.is_scalar()) {
            narrow |= dtype != DType::F32;
            wide |= dtype == DType::F32;
        }
    }
    match (narrow, wide) {
        (true, true) => widths.mixed,
        (true, false) => widths.half,
        (false, _) => widths.single,
    }
}

/// Elements per beat.
fn width(arch: &ArchSpec, op: &VecOp) -> u32 {
    let pe = &arch.pe;
    let widths = match op.op {
        Op::Mov => &pe.width_mov.value,
        Op::Add | Op::Sub => &pe.width_add.value,
        Op::Mul => &pe.width_mul.value,
        Op::Max => &pe.width_max.value,
        Op::Fmac => &pe.width_fmac.value,
        Op::Scale => &pe.width_scale.value,
        Op::BitSub => &pe.width_bitsub.value,
    };
    let mut width = of_class(widths, op);
    for operand in std::iter::once(&op.dst).chain(&op.src) {
        width = width.min(match operand {
            Operand::Fab(_, dtype) => dtype.per_wavelet(),
            Operand::Mem(m) => by_stride(m),
            Operand::Fifo(..) | Operand::Reg(_) | Operand::Imm(_) => u32::MAX,
        });
    }
    match &op.dst {
        Operand::Reg(_) => width = width.min(pe.width_register.value),
        Operand::Mem(m) if m.is_scalar() => width = 1,
        _ => {}
    }
    width.max(1)
}

/// Most elements per beat of a vector in memory whose neighbours are so far apart.
fn by_stride(m: &MemRef) -> u32 {
    let Some(last) = m.dims.last().filter(|dim| dim.stride != 0 && dim.stride != 1) else { return u32::MAX };
    let words = i64::from(last.stride) * i64::from(m.dtype.bytes() / 2);
    match words.rem_euclid(8) {
        2 | 3 | 5 | 6 => u32::MAX,
        0 => 1,
        _ => 2,
    }
}
