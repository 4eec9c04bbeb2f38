//! Element functions as sequences of vector instructions on f32 scratch.
//!
//! Every function appends instructions for `len` elements: it reads the operand `x`, uses vectors
//! of a [`Scratch`], and writes the operand `out`, which may be of any type and may be `x` itself.
//! `x` must not be scratch that the function uses; it starts on the side of the banks for which the
//! scratch was laid out, so that no two sources need one bank at a time (rule C5).
//! Sources and `out` are read and written element by element, so `x` may be f32 or, where the
//! function does not look at its bits, any type.
//!
//! | function | scratch vectors (like, apart) | instructions | range of `x` | error |
//! |---|---|---|---|---|
//! | [`exp`] | 1, 2 | 16 | below 88 | 2e-7 + 2e-8·\|x\|, relative |
//! | [`reciprocal`] | 1, 1 | 10 | positive, normal, below 2^125 | 2e-7, relative |
//! | [`rsqrt`] | 1, 2 | 19 | 1e-30 to 1e30 | 3e-7, relative |
//! | [`ln`] | 1, 3 | 33 | 0.5 to 2^23 | 3e-7 · (1 + ln x), absolute |
//! | [`gelu`] | 2, 3 | 42 | finite | 2e-7 · (1 + \|x\|), absolute |
//! | [`gelu_grad`] | 2, 3 | 46 | finite | 6e-7, absolute |
//! | [`logistic`] | 3, 2 | 29 | finite | 3e-7, absolute |
//! | [`sin_cos_turns`] | 1, 1 | 23 | −0.6 to 0.6 | 3e-7, absolute |
//!
//! **Invariant.** Nothing here is an operation that the machine lacks. Two seeds look at the bits
//! of a number: `bitsub` subtracts bit patterns, and reading the high half of an f32 as f16 gives
//! its eighth root to a few per cent, because an f16 has three bits of exponent less.
//! **Not here.** Communication; what the functions are for.

use crate::banks::{Banks, Side};
use crate::codegen::instr::{imm, mem, vec_of};
use sim_core::program::{DType, Dim, Instr, MemRef, Op, Operand};

/// Vectors of f32 elements in one piece of memory. Those that are *like* start on the same side of the
/// banks as the operand that a function is applied to, those that are *apart* on the other one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scratch {
    /// Addresses of the vectors that are like.
    like: Vec<u32>,
    /// Addresses of the vectors that are apart.
    apart: Vec<u32>,
}

impl Scratch {
    /// Elements (f32, on the near side) of memory for so many vectors, like and apart, of `len` elements.
    #[must_use]
    pub fn elements(banks: Banks, len: u32, (like, apart): (u32, u32)) -> u32 {
        (like + apart) * banks.row(DType::F32, len) + banks.period() / DType::F32.bytes()
    }

    /// So many vectors of `len` elements in memory at `base`, which is on the near side, for operands that
    /// start on `side`.
    #[must_use]
    pub fn new(banks: Banks, base: u32, len: u32, side: Side, (like, apart): (u32, u32)) -> Scratch {
        debug_assert_eq!(banks.place(base, Side::Near), base, "scratch starts on the near side");
        let bytes = banks.whole(len * DType::F32.bytes());
        let run = |start: u32, count: u32| (0..count).map(|i| start + i * bytes).collect();
        let first = base + banks.start(side);
        // Behind the first group the side changes: half a period remains unused.
        Scratch { like: run(first, like), apart: run(first + like * bytes + banks.start(Side::Far), apart) }
    }

    /// Address of a vector on the side of the operand.
    #[must_use]
    pub fn like(&self, i: usize) -> u32 {
        self.like[i]
    }

    /// Address of a vector on the other side.
    #[must_use]
    pub fn apart(&self, i: usize) -> u32 {
        self.apart[i]
    }

    /// The memory that is left behind the first vectors.
    #[must_use]
    pub fn behind(&self, like: usize, apart: usize) -> Scratch {
        Scratch { like: self.like[like..].to_vec(), apart: self.apart[apart..].to_vec() }
    }

    /// The memory for an operand on the other side.
    #[must_use]
    pub fn swapped(&self) -> Scratch {
        Scratch { like: self.apart.clone(), apart: self.like.clone() }
    }
}

/// Short names for the instructions of one function, all of the same length.
struct Seq<'a> {
    code: &'a mut Vec<Instr>,
    len: u32,
}

impl Seq<'_> {
    fn op(&mut self, op: Op, dst: &Operand, src: &[&Operand]) {
        self.code.push(vec_of(op, self.len, dst, src));
    }

    fn add(&mut self, dst: &Operand, a: &Operand, b: &Operand) {
        self.op(Op::Add, dst, &[a, b]);
    }

    fn sub(&mut self, dst: &Operand, a: &Operand, b: &Operand) {
        self.op(Op::Sub, dst, &[a, b]);
    }

    fn mul(&mut self, dst: &Operand, a: &Operand, b: &Operand) {
        self.op(Op::Mul, dst, &[a, b]);
    }

    fn max(&mut self, dst: &Operand, a: &Operand, b: &Operand) {
        self.op(Op::Max, dst, &[a, b]);
    }

    /// `dst = a + b · c`, `c` a constant.
    fn fmac(&mut self, dst: &Operand, a: &Operand, b: &Operand, c: f32) {
        self.op(Op::Fmac, dst, &[a, b, &imm(c)]);
    }

    /// `p = (… (c0 · x + c1) · x + …) · x + cn`; `p` and `x` are apart.
    fn horner(&mut self, p: &Operand, x: &Operand, c: &[f32]) {
        self.fmac(p, &imm(c[1]), x, c[0]);
        for &ci in &c[2..] {
            self.mul(p, p, x);
            self.add(p, p, &imm(ci));
        }
    }
}

fn f32s(addr: u32, len: u32) -> Operand {
    mem(DType::F32, addr, len)
}

/// The high halves of `len` f32 numbers, read as f16.
fn halves(addr: u32, len: u32) -> Operand {
    let dims = [Dim { len, stride: 2 }].into_iter().collect();
    Operand::Mem(MemRef { base: None, offset: addr as i32 + 2, dtype: DType::F16, dims, ring: None, advance: false })
}

/// 1.5 · 2^23: adding it rounds a number below 2^22 to an integer.
const ROUND: f32 = 12_582_912.0;

/// Coefficients of 2^-g for |g| ≤ 1/2, highest first: minimax with P(0) = 1, 2e-9 relative.
const EXP2: [f32; 7] =
    [1.535_336e-4, -1.339_887_4e-3, 9.618_437e-3, -5.550_332_4e-2, 2.402_264_8e-1, -std::f32::consts::LN_2, 1.0];

/// `out = e^x`; see [`exp_scaled`]. Exactly 1 at 0; 1.6e-38 below −87.
pub fn exp(code: &mut Vec<Instr>, len: u32, x: &Operand, out: &Operand, scratch: &Scratch) {
    exp_scaled(code, len, (x, 1.0), out, scratch);
}

/// `out = e^(factor · x)`, `factor` positive, `factor · x` below 88 and clamped below at −87.
///
/// With `k` the nearest integer to `x·log2 e` and `g = k − x·log2 e`, the result is `2^k · P(g)`.
/// Scratch: one vector that is like `x` (which may be `x` itself), two apart.
pub fn exp_scaled(code: &mut Vec<Instr>, len: u32, x: (&Operand, f32), out: &Operand, scratch: &Scratch) {
    let (x, factor) = x;
    let log2e = std::f32::consts::LOG2_E * factor;
    let t = &f32s(scratch.like(0), len);
    let k = &f32s(scratch.apart(0), len);
    let g = &f32s(scratch.apart(1), len);
    let mut s = Seq { code, len };
    s.max(t, x, &imm(-87.0 / factor));
    s.fmac(k, &imm(ROUND), t, log2e);
    s.sub(k, k, &imm(ROUND));
    s.fmac(g, k, t, -log2e);
    s.horner(t, g, &EXP2);
    s.op(Op::Scale, out, &[t, k]);
}

/// `out = 1 / x` for positive normal f32 numbers `x`. Scratch: one vector like `x` (which may not
/// be `x`), one apart.
///
/// The seed (12 %) negates the exponent in the bit pattern; three Newton steps
/// `y = y (2 − x y)` square the error each.
pub fn reciprocal(code: &mut Vec<Instr>, len: u32, x: &Operand, out: &Operand, scratch: &Scratch) {
    let e = &f32s(scratch.like(0), len);
    let y = &f32s(scratch.apart(0), len);
    let mut s = Seq { code, len };
    s.op(Op::BitSub, y, &[&Operand::Imm(0x7EF3_11C7), x]);
    for last in [false, false, true] {
        s.mul(e, x, y);
        s.sub(e, &imm(2.0), e);
        s.mul(if last { out } else { y }, y, e);
    }
}

/// `out = x^(−1/2)` for f32 numbers `x` from 1e-30 to 1e30. Scratch: one vector like `x` (which
/// may not be `x`), two apart.
///
/// The seed (14 %): `C − bits(x)` is the pattern of about `1/x`; its high half, read as f16, is
/// about its eighth root, whose fourth power is the seed. `C` is 123.31 · 2^24: it centres the
/// error and takes all constant factors. Four Newton steps `y = y (1.5 − x y² / 2)` follow.
pub fn rsqrt(code: &mut Vec<Instr>, len: u32, x: &Operand, out: &Operand, scratch: &Scratch) {
    let t = &f32s(scratch.like(0), len);
    let y = &f32s(scratch.apart(1), len);
    let u = &f32s(scratch.apart(0), len);
    let root = &halves(scratch.apart(0), len);
    let mut s = Seq { code, len };
    s.op(Op::BitSub, u, &[&Operand::Imm(0x7B4F_5C29), x]);
    s.mul(t, root, root);
    s.mul(y, t, t);
    for last in [false, false, false, true] {
        s.mul(u, y, y);
        s.mul(u, u, x);
        s.fmac(t, &imm(1.5), u, -0.5);
        s.mul(if last { out } else { y }, y, t);
    }
}

/// `out = ln x` for f32 numbers `x` from 0.5 to 2^23. Scratch: one vector like `x` (which may not
/// be `x`), three apart.
///
/// The seed `y` (0.034): the high half of `bits(x) − bits(0.5)` is an integer, 128 · log2 (2x) to
/// 0.09 · 128; read as f16 it is proportional to its value up to 2048, twice as steep beyond.
/// Then `ln x = y + ln(1 + (x e^−y − 1))` by a polynomial.
pub fn ln(code: &mut Vec<Instr>, len: u32, x: &Operand, out: &Operand, scratch: &Scratch) {
    /// Value of the f16 pattern 2048.
    const KNEE: f32 = 1.0 / 8192.0;
    let ln2 = std::f32::consts::LN_2;
    let t = &f32s(scratch.like(0), len);
    let u = &f32s(scratch.apart(0), len);
    let y = &f32s(scratch.apart(2), len);
    let log = &halves(scratch.apart(0), len);
    let mut s = Seq { code, len };
    s.op(Op::BitSub, u, &[x, &Operand::Imm(0.5f32.to_bits())]);
    s.sub(t, log, &imm(KNEE));
    s.max(t, t, &imm(0.0));
    s.fmac(y, log, t, -0.5);
    s.fmac(y, &imm(ln2 * (0.047 - 1.0)), y, 131_072.0 * ln2);
    s.sub(t, &imm(0.0), y);
    exp(code, len, t, u, scratch);
    let mut s = Seq { code, len };
    s.mul(t, x, u);
    s.sub(t, t, &imm(1.0));
    s.horner(u, t, &[0.2, -0.25, 1.0 / 3.0, -0.5, 1.0]);
    s.mul(t, u, t);
    s.add(out, y, t);
}

/// Leaves `1 / (1 + e^−z)` in `apart(0)` and `e^−z` in `like(0)`. `z` may be `like(0)` itself.
/// Scratch: three vectors like `z`, two apart.
pub fn logistic(code: &mut Vec<Instr>, len: u32, z: &Operand, scratch: &Scratch) {
    let [t, sum] = [0, 1].map(|i| f32s(scratch.like(i), len));
    let mut s = Seq { code, len };
    // Beyond, the result is 1 or below 1e-34, and e^80 is far from the largest number.
    s.max(&t, z, &imm(-80.0));
    s.sub(&t, &imm(0.0), &t);
    exp(code, len, &t, &t, scratch);
    let mut s = Seq { code, len };
    s.add(&sum, &t, &imm(1.0));
    let sigmoid = f32s(scratch.apart(0), len);
    reciprocal(code, len, &sum, &sigmoid, &scratch.behind(2, 0));
}

/// `sin(2π u) / u` as a polynomial of `u²`, highest power first: minimax to 5e-9 for |u| ≤ 1/2.
const SIN_TURNS: [f32; 7] = [3.237_564_8, -14.899_43, 42.025_814, -76.703, 81.605_13, -41.341_7, std::f32::consts::TAU];
/// `(cos(2π u) − 1) / u²` likewise, to 2e-9.
const COS_TURNS: [f32; 7] = [-1.483_747_8, 7.826001, -26.41318, 60.243504, -85.456_77, 64.93939, -19.739208];

/// `sin = sin(2π u)` and `cos = cos(2π u)` for f32 numbers `u` between −1/2 and 1/2; exactly 0 and 1
/// at 0. `sin` and `cos` are on the side of `u` and not `u`. Scratch: one vector like `u`, which may
/// not be `u`, and one apart.
pub fn sin_cos_turns(
    code: &mut Vec<Instr>,
    len: u32,
    u: &Operand,
    (sin, cos): (&Operand, &Operand),
    scratch: &Scratch,
) {
    let (w, p) = (&f32s(scratch.like(0), len), &f32s(scratch.apart(0), len));
    let mut s = Seq { code, len };
    s.mul(w, u, u);
    s.horner(p, w, &SIN_TURNS);
    s.mul(sin, p, u);
    s.horner(p, w, &COS_TURNS);
    s.mul(p, p, w);
    s.add(cos, p, &imm(1.0));
}

/// Abramowitz and Stegun 7.1.26: `erfc z = P(1 / (1 + p z)) e^(−z²)` for `z ≥ 0`, to 1.5e-7.
const ERFC_P: f64 = 0.327_591_1;

/// Half the coefficients of `P`, highest first.
const ERFC: [f32; 5] = [0.530_702_7, -0.726_576, 0.710_706_9, -0.142_248_37, 0.127_414_8];

/// Leaves `|x|` in apart 0, `e^(−x²/2)` in like 0 and `P(t)/2` in apart 1, so that the product of
/// the last two is the tail `Q(|x|)` of the normal distribution.
fn tail(code: &mut Vec<Instr>, len: u32, x: &Operand, scratch: &Scratch) {
    let a = &f32s(scratch.apart(0), len);
    let e = &f32s(scratch.like(0), len);
    let t = &f32s(scratch.like(1), len);
    let p = &f32s(scratch.apart(1), len);
    let mut s = Seq { code, len };
    s.sub(a, &imm(0.0), x);
    s.mul(e, x, a);
    s.max(a, x, a);
    exp_scaled(code, len, (e, 0.5), e, &scratch.behind(0, 1));
    let mut s = Seq { code, len };
    s.fmac(p, &imm(1.0), a, (ERFC_P * std::f64::consts::FRAC_1_SQRT_2) as f32);
    reciprocal(code, len, p, t, &scratch.behind(1, 2).swapped());
    let mut s = Seq { code, len };
    s.horner(p, t, &ERFC);
    s.mul(p, p, t);
}

/// `out = x Φ(x) = max(x, 0) − |x| Q(|x|)`, the exact GELU. Scratch: two vectors like `x`, three
/// apart; `x` may be f32, f16 or bf16.
pub fn gelu(code: &mut Vec<Instr>, len: u32, x: &Operand, out: &Operand, scratch: &Scratch) {
    tail(code, len, x, scratch);
    let [a, p] = [&f32s(scratch.apart(0), len), &f32s(scratch.apart(1), len)];
    let [e, q] = [&f32s(scratch.like(0), len), &f32s(scratch.like(1), len)];
    let mut s = Seq { code, len };
    s.mul(q, p, e);
    s.mul(p, a, q);
    s.max(q, x, &imm(0.0));
    s.sub(out, q, p);
}

/// `out = dy · (Φ(x) + x φ(x))`, the derivative of the exact GELU times `dy`, which is of the
/// side of `x`. Scratch: two vectors like `x`, three apart; `x` may be f32, f16 or bf16.
///
/// The derivative is point-symmetric about (0, 1/2), so it is `1/2 + sign(x) · D` with
/// `D = 1/2 − Q(|x|) + |x| φ(x)`. The sign is put on by `bitsub`: the patterns of `x` and `|x|`
/// differ in the sign bit only.
pub fn gelu_grad(code: &mut Vec<Instr>, len: u32, x: &Operand, dy: &Operand, out: &Operand, scratch: &Scratch) {
    /// 1 / √(2π)
    const PHI0: f32 = 0.398_942_3;
    tail(code, len, x, scratch);
    let [a, d] = [&f32s(scratch.apart(0), len), &f32s(scratch.apart(1), len)];
    let [e, q] = [&f32s(scratch.like(0), len), &f32s(scratch.like(1), len)];
    let mut s = Seq { code, len };
    s.mul(q, d, e);
    s.mul(d, a, e);
    s.fmac(d, &imm(0.5), d, PHI0);
    s.sub(d, d, q);
    s.op(Op::BitSub, q, &[x, a]);
    s.op(Op::BitSub, d, &[d, q]);
    s.add(d, d, &imm(0.5));
    s.mul(out, dy, d);
}
