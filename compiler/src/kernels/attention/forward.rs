//! Attention forward.
//!
//! Every PE gathers the queries of its tokens with all features of the head, and its own keys of
//! its row's block likewise. The key blocks go once around the column; every PE computes the
//! scores of all its queries with the keys that it meets, and keeps them. Then the row agrees on
//! the maximum of every query, scores become exponentials, and the row agrees on their sum. The
//! value blocks go around in the same way, and are summed with the exponentials as weights over
//! the column's keys; the row adds these sums, each column its own features, and divides.
//!
//! **Not here.** The mask (`mask`), exchanges (`blocks`).

use super::blocks::{
    Keep, OUTER, all_reduce, gather, gather_len, own_features, products, reduce_scatter, spread, travel,
};
use super::mask::Mask;
use super::place::{Rings, build};
use super::shape::{Arena, F32, Shape};
use super::{SCRATCH, buffers, setups, window, window_needs};
use crate::code::{at, grid, imm, mem, repeat, set, step, vec};
use crate::geometry::Geometry;
use crate::kernel::{Access, Act, Addresses, Kernel, Need};
use crate::math::{self, Scratch};
use sim_core::arch::ArchSpec;
use sim_core::program::{DType, Instr, Op, Program};

/// Most elements that are exponentiated by one sequence of instructions.
const CHUNK: u32 = 256;

/// Causal multi-head softmax attention: `out = softmax(q·kᵀ / sqrt(d_head)) · v` per head.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct AttentionForward {
    /// Queries, the slots of [`crate::geometry::Features::Hidden`].
    pub q: Act,
    /// Keys.
    pub k: Act,
    /// Values.
    pub v: Act,
    /// The result; another buffer than the operands.
    pub out: Act,
    /// Name of an f32 buffer `[2][tokens]` that gets, for every token and this column's head, the
    /// largest score and 1 / Σ e^(score − largest).
    pub stats: Option<String>,
}

/// Places of the scratch.
struct Layout {
    /// Scores, then exponentials: `[r · kc][t]`.
    scores: u32,
    /// Largest score.
    largest: u32,
    /// Sum of the exponentials, and its inverse (f32 `[t]` each).
    sum: u32,
    inverse: u32,
    /// For exchanges of `[t]`.
    line: [u32; 2],
    mask: u32,
    /// Gathered queries `[head][t]`.
    queries: u32,
    /// Travelling keys, travelling values: `[kc][pitch]`.
    keys: [u32; 2],
    values: [u32; 2],
    /// Passing features while queries and keys are gathered, and while values are.
    passing: [u32; 2],
    passing_values: [u32; 2],
    /// Scores of a block, f32 `[kc][t]`.
    block: u32,
    /// Scratch of the exponential.
    exp: Scratch,
    /// Weighted sum of values, f32 `[t][pitch]`.
    acc: u32,
    end: u32,
}

impl Layout {
    fn new(s: &Shape, base: u32) -> Layout {
        let mut a = Arena::new(base);
        let scores = a.take(s.act, s.keys() * s.t, 0);
        let [largest, sum] = [a.take(DType::F32, s.t, 4), a.take(DType::F32, s.t, 4)];
        let inverse = a.take(DType::F32, s.t, 0);
        let line = a.pair(DType::F32, s.t, 0);
        // What follows lives in one of three phases: scores, softmax, values.
        let phases = a.next;
        let mask = a.take(DType::F32, Mask::len(s), 0);
        let queries = a.take(s.act, s.head * s.t, 0);
        let first_keys = a.take(s.act, s.block(), 0);
        let gathered = a.next;
        let passing = a.pair(s.act, gather_len(s), 0);
        a.rewind(gathered);
        let keys = [first_keys, a.take(s.act, s.block(), 0)];
        let block = a.take(DType::F32, s.kc * s.t, 4);
        a.rewind(phases);
        let len = chunk(s) * s.t;
        let exp = Scratch::new(a.take(DType::F32, Scratch::elements(len, 1, 2), 0), len, 4, 1, 2);
        a.rewind(phases);
        let acc = a.take(DType::F32, s.t * s.pitch, 4);
        let first_values = a.take(s.act, s.block(), 0);
        let gathered = a.next;
        let passing_values = a.pair(s.act, gather_len(s), 0);
        a.rewind(gathered);
        let values = [first_values, a.take(s.act, s.block(), 0)];
        Layout {
            scores,
            largest,
            sum,
            inverse,
            line,
            mask,
            queries,
            keys,
            values,
            passing,
            passing_values,
            block,
            exp,
            acc,
            end: a.top,
        }
    }
}

/// Keys that are exponentiated together: a divisor of all.
fn chunk(s: &Shape) -> u32 {
    let most = (CHUNK / s.t).clamp(1, s.keys());
    (1..=most).rev().find(|c| s.keys().is_multiple_of(*c)).unwrap_or(1)
}

/// Emits the code of one PE.
struct Code<'a> {
    kernel: &'a AttentionForward,
    at: &'a Addresses,
    s: Shape,
    l: Layout,
}

impl Code<'_> {
    fn scores(&self, rings: &Rings) -> Vec<Instr> {
        let (s, l) = (&self.s, &self.l);
        let mask = Mask { shape: *s, addr: l.mask, odd: rings.odd };
        let own = |act: &Act| window(act, self.at);
        let mut code = mask.prepare();
        let (queries, keys) = ([(Keep::Features(s.scale), l.queries)], [(Keep::Keys, l.keys[0])]);
        code.extend(gather(s, rings.row, own(&self.kernel.q), l.passing, &queries));
        code.extend(gather(s, rings.row, own(&self.kernel.k), l.passing, &keys));
        code.push(set(OUTER, 0));
        let len = s.kc * s.t;
        code.extend(travel(s, rings.column, l.keys, s.block(), &|i| {
            let mut code = mask.apply(l.block);
            code.extend(products(s, l.queries, l.keys[i], l.block));
            let block = mem(DType::F32, l.block, len);
            code.push(vec(Op::Mov, len, at(OUTER, mem(s.act, l.scores, len)), &[block]));
            code.push(step(OUTER, (len * s.size()) as i32));
            code.extend(mask.advance());
            code
        }));
        code
    }

    fn softmax(&self, rings: &Rings) -> Vec<Instr> {
        let (s, l) = (&self.s, &self.l);
        let line = |addr| mem(DType::F32, addr, s.t);
        let all = |addr, keys| grid(DType::F32, addr, &[(keys, 0), (s.t, 1)]);
        let len = s.keys() * s.t;
        let mut code = vec![
            vec(Op::Mov, s.t, line(l.largest), &[imm(f32::MIN)]),
            vec(Op::Max, len, all(l.largest, s.keys()), &[all(l.largest, s.keys()), mem(s.act, l.scores, len)]),
        ];
        code.extend(all_reduce(s, rings.row, Op::Max, l.largest, l.line));
        code.push(vec(Op::Mov, s.t, line(l.sum), &[imm(0.0)]));
        code.push(set(OUTER, 0));
        let (keys, len) = (chunk(s), chunk(s) * s.t);
        let part = at(OUTER, mem(s.act, l.scores, len));
        let x = mem(DType::F32, l.exp.like(0), len);
        let mut body = vec![vec(Op::Sub, len, x.clone(), &[part.clone(), all(l.largest, keys)])];
        math::exp(&mut body, len, &x, &part, &l.exp);
        body.push(vec(Op::Add, len, all(l.sum, keys), &[all(l.sum, keys), part]));
        body.push(step(OUTER, (len * s.size()) as i32));
        code.extend(repeat(s.keys() / keys, body));
        code.extend(all_reduce(s, rings.row, Op::Add, l.sum, l.line));
        // The line buffers are free again, and as scratch as good as any.
        let scratch = Scratch::new(l.exp_base(), s.t, 4, 1, 1);
        math::reciprocal(&mut code, s.t, &line(l.sum), &line(l.inverse), &scratch);
        if let Some(stats) = &self.kernel.stats {
            let to = self.at[stats];
            code.push(vec(Op::Mov, s.t, line(to), &[line(l.largest)]));
            code.push(vec(Op::Mov, s.t, line(to + s.t * F32), &[line(l.inverse)]));
        }
        code
    }

    fn values(&self, rings: &Rings) -> Vec<Instr> {
        let (s, l) = (&self.s, &self.l);
        let len = s.t * s.pitch;
        let own = window(&self.kernel.v, self.at);
        let mut code = vec![vec(Op::Mov, len, mem(DType::F32, l.acc, len), &[imm(0.0)])];
        code.extend(gather(s, rings.row, own, l.passing_values, &[(Keep::Keys, l.values[0])]));
        code.push(set(OUTER, 0));
        code.extend(travel(s, rings.column, l.values, s.block(), &|i| {
            let mut code = spread(s, (s.act, l.scores), l.values[i], l.acc);
            code.push(step(OUTER, (s.kc * s.t * s.size()) as i32));
            code
        }));
        code.extend(reduce_scatter(s, rings.row, l.acc));
        let inverse = grid(DType::F32, l.inverse, &[(s.f, 0), (s.t, 1)]);
        let out = window(&self.kernel.out, self.at);
        code.push(vec(Op::Mul, s.own(), out, &[own_features(s, l.acc), inverse]));
        code
    }
}

impl Layout {
    /// Where the scratch of the exponential starts, 0 modulo 8.
    fn exp_base(&self) -> u32 {
        self.exp.like(0) - 4
    }
}

impl AttentionForward {
    fn all_needs(&self, g: &Geometry) -> Vec<Need> {
        let s = Shape::of(g, &self.q);
        let mut needs = window_needs(&[&self.q, &self.k, &self.v], &[&self.out]);
        needs.extend(self.stats.iter().map(|n| Need::operand(n, DType::F32, 2 * s.t, Access::Write)));
        needs.push(Need::scratch(SCRATCH, DType::F32, Layout::new(&s, 0).end.div_ceil(F32), 0));
        needs
    }
}

impl Kernel for AttentionForward {
    fn name(&self) -> String {
        "attention".to_owned()
    }

    fn needs(&self, g: &Geometry) -> Vec<Need> {
        self.all_needs(g)
    }

    fn program(&self, g: &Geometry, _arch: &ArchSpec, at: &Addresses) -> Program {
        let s = Shape::of(g, &self.q);
        build("attention", g, &s, &buffers(&self.needs(g), at), false, &|rings| {
            let code = Code { kernel: self, at, s, l: Layout::new(&s, at[SCRATCH]) };
            let mut body = code.scores(rings);
            body.extend(code.softmax(rings));
            body.extend(code.values(rings));
            body
        })
    }

    fn estimate(&self, g: &Geometry, arch: &ArchSpec) -> u64 {
        let s = Shape::of(g, &self.q);
        let count = setups(&s, arch);
        let blocks = u64::from(s.r) * (count.products + count.spread).max(2 * count.travel);
        let elements = u64::from(s.keys() * s.t);
        blocks + 20 * elements + 3 * count.gather + count.scatter
    }
}
