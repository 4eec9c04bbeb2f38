//! Attention forward.
//!
//! Every PE gathers the queries of its tokens with all features of the head, and its own keys of
//! its row's block likewise. The key blocks go once around the column; every PE computes the
//! scores of all its queries with the keys that it meets, and keeps them. Then the row agrees on
//! the maximum of every query, scores become exponentials. The value blocks go around in the same
//! way, and are summed with the exponentials as weights over the column's keys. At the end the row
//! agrees on the sum of the exponentials, adds the weighted sums, each column its own features,
//! and divides.
//!
//! To save memory the tokens of a PE may be cut into chunks: all this is done for every chunk of
//! queries with every chunk of keys, with a running maximum: when it grows, what was summed
//! before is scaled down (online softmax).
//!
//! **Not here.** The mask (`mask`), exchanges (`blocks`).

use super::blocks::{Keep, all_reduce, gather, gather_len, own_features, products, reduce_scatter, spread, travel};
use super::mask::Mask;
use super::place::{Rings, build, priced, rings};
use super::registers::{KEYS, LINE, MICROTHREADS, OUTER, QUERIES};
use super::shape::{Arena, F32, Shape};
use super::{SCRATCH, chunk, chunks, window_requirements};
use crate::banks::Side::{Far, Near};
use crate::codegen::instr::{at, grid, imm, mem, repeat, set, step, vec};
use crate::codegen::math::{self, Scratch};
use crate::codegen::resources::Uses;
use crate::cost::remembered;
use crate::ids::BufferId;
use crate::kernel::{Access, ActivationView, Addresses, Kernel, Requirement};
use crate::kernels::lanes::buffers;
use crate::kernels::price;
use crate::kernels::stencil::relabelled;
use crate::layout::Geometry;
use crate::options::Chunks;
use sim_core::arch::ArchSpec;
use sim_core::program::{DType, Instr, Op, Operand, Program};

/// Most elements that are exponentiated by one sequence of instructions.
const CHUNK: u32 = 256;

/// Multi-head softmax attention: `out = softmax(q·kᵀ / sqrt(d_head)) · v` per head.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct AttentionForward {
    /// Queries, the slots of [`crate::layout::Features::Hidden`].
    pub q: ActivationView,
    /// Keys of all heads.
    pub k: ActivationView,
    /// Values of all heads.
    pub v: ActivationView,
    /// The result; another buffer than the operands.
    pub out: ActivationView,
    /// Name of an f32 buffer `[2][tokens]` that gets, for every token and this column's head, the
    /// largest score and 1 / Σ e^(score − largest).
    pub stats: Option<BufferId>,
    /// Chunks into which a PE's tokens are cut.
    pub chunks: Chunks,
}

relabelled!(AttentionForward { q, k, v, out, stats; chunks });

/// Places of the scratch.
struct Layout {
    /// Scores, then exponentials: `[r · kc][t]`.
    scores: u32,
    /// Largest score; that before the current chunk, then the factor for what was summed.
    largest: u32,
    before: u32,
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
    /// Scratch of the exponential, of scores and of factors.
    exp: Scratch,
    factors: Scratch,
    /// Weighted sum of values, f32 `[t][pitch]`.
    acc: u32,
    end: u32,
}

impl Layout {
    fn new(s: &Shape, base: u32) -> Layout {
        let mut a = Arena::new(s.banks, base);
        let scores = a.take(s.act, s.keys() * s.t, Near);
        let [largest, sum] = [a.take(DType::F32, s.t, Far), a.take(DType::F32, s.t, Far)];
        let [inverse, before] = a.pair(DType::F32, s.t, Near);
        // Exchanges, or the scratch of a reciprocal.
        let line = a.pair(DType::F32, s.t, Near);
        a.reach(line[0] + Scratch::elements(s.banks, s.t, (1, 1)) * F32);
        // What follows lives in one of three phases: scores, softmax, values. With several chunks
        // mask, queries and sums outlive them.
        let one = !s.cut();
        let mut phases = a.next;
        let mask = a.take(DType::F32, Mask::len(s), Near);
        let queries = a.take(s.act, s.head * s.t, Near);
        let mut acc = 0;
        if !one {
            acc = a.take(DType::F32, s.t * s.pitch, Far);
            phases = a.next;
        }
        let first_keys = a.take(s.act, s.block(), Near);
        let gathered = a.next;
        let passing = a.pair(s.act, gather_len(s), Near);
        a.rewind(gathered);
        let keys = [first_keys, a.take(s.act, s.block(), Near)];
        let block = a.take(DType::F32, s.kc * s.t, Far);
        a.rewind(phases);
        let len = chunk_keys(s) * s.t;
        let scratch = a.take(DType::F32, Scratch::elements(s.banks, len, (1, 2)), Near);
        let exp = |len, side| Scratch::new(s.banks, scratch, len, side, (1, 2));
        let (exp, factors) = (exp(len, Far), exp(s.t, Near));
        a.rewind(phases);
        if one {
            acc = a.take(DType::F32, s.t * s.pitch, Far);
        }
        let first_values = a.take(s.act, s.block(), Near);
        let gathered = a.next;
        let passing_values = a.pair(s.act, gather_len(s), Near);
        a.rewind(gathered);
        let values = [first_values, a.take(s.act, s.block(), Near)];
        Layout {
            scores,
            largest,
            before,
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
            factors,
            acc,
            end: a.top,
        }
    }
}

/// Keys that are exponentiated together: a divisor of all.
fn chunk_keys(s: &Shape) -> u32 {
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
    fn line(&self, addr: u32) -> Operand {
        mem(DType::F32, addr, self.s.t)
    }

    /// A row of `[t]`, repeated `times`.
    fn rows(&self, addr: u32, times: u32) -> Operand {
        grid(DType::F32, addr, &[(times, 0), (self.s.t, 1)])
    }

    /// All queries of the PE.
    fn body(&self, rings: &Rings) -> Vec<Instr> {
        let s = &self.s;
        let mask = Mask { shape: *s, addr: self.l.mask, odd: rings.odd };
        let mut keys = self.scores(&mask, rings);
        keys.extend(self.maximum(rings));
        keys.extend(self.exponentials());
        keys.extend(self.values(rings));
        if s.cut() {
            keys.push(mask.next(-(s.u as i32)));
        }
        let mut queries = self.queries(rings);
        queries.extend(chunks(&s.of_keys(), &[(KEYS, s.u * s.size())], keys));
        if s.cut() {
            queries.push(mask.next((s.whole().t + s.t) as i32));
        }
        queries.extend(self.results(rings));
        let mut code = mask.prepare();
        code.extend(chunks(s, &[(QUERIES, s.t * s.size()), (LINE, s.t * F32)], queries));
        code
    }

    /// Gathers the queries; nothing has been summed.
    fn queries(&self, rings: &Rings) -> Vec<Instr> {
        let (s, l) = (&self.s, &self.l);
        let keep = [(Keep::Features(s.scale), l.queries)];
        let mut code = gather(s, rings.row, chunk(&self.kernel.q, self.at, s, QUERIES), l.passing, &keep);
        code.push(vec(Op::Mov, s.t, self.line(l.largest), &[imm(f32::MIN)]));
        code.push(vec(Op::Mov, s.t, self.line(l.sum), &[imm(0.0)]));
        if s.cut() {
            code.push(self.no_sums());
        }
        code
    }

    fn no_sums(&self) -> Instr {
        let len = self.s.t * self.s.pitch;
        vec(Op::Mov, len, mem(DType::F32, self.l.acc, len), &[imm(0.0)])
    }

    fn scores(&self, mask: &Mask, rings: &Rings) -> Vec<Instr> {
        let (s, l) = (&self.s, &self.l);
        let mut code = mask.start();
        let own = chunk(&self.kernel.k, self.at, &s.of_keys(), KEYS);
        code.extend(gather(&s.of_keys(), rings.row, own, l.passing, &[(Keep::Keys, l.keys[0])]));
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
        code.extend(mask.finish());
        code
    }

    /// The largest score so far; with several chunks, what was summed so far is scaled to it.
    fn maximum(&self, rings: &Rings) -> Vec<Instr> {
        let (s, l) = (&self.s, &self.l);
        let (keys, len) = (s.keys(), s.keys() * s.t);
        let (largest, before, sum) = (self.line(l.largest), self.line(l.before), self.line(l.sum));
        let all = self.rows(l.largest, keys);
        let mut code = Vec::new();
        if s.cut() {
            code.push(vec(Op::Mov, s.t, before.clone(), std::slice::from_ref(&largest)));
        }
        code.push(vec(Op::Max, len, all.clone(), &[all, mem(s.act, l.scores, len)]));
        code.extend(all_reduce(s, rings.row, Op::Max, l.largest, l.line));
        if s.cut() {
            code.push(vec(Op::Sub, s.t, before.clone(), &[before.clone(), largest]));
            math::exp(&mut code, s.t, &before, &before, &l.factors);
            code.push(vec(Op::Mul, s.t, sum.clone(), &[sum, before]));
            let acc = mem(DType::F32, l.acc, s.t * s.pitch);
            let factors = grid(DType::F32, l.before, &[(s.t, 1), (s.pitch, 0)]);
            code.push(vec(Op::Mul, s.t * s.pitch, acc.clone(), &[acc, factors]));
        }
        code
    }

    /// Scores become exponentials, which are summed.
    fn exponentials(&self) -> Vec<Instr> {
        let (s, l) = (&self.s, &self.l);
        let mut code = vec![set(OUTER, 0)];
        let (keys, len) = (chunk_keys(s), chunk_keys(s) * s.t);
        let part = at(OUTER, mem(s.act, l.scores, len));
        let x = mem(DType::F32, l.exp.like(0), len);
        let mut body = vec![vec(Op::Sub, len, x.clone(), &[part.clone(), self.rows(l.largest, keys)])];
        math::exp(&mut body, len, &x, &part, &l.exp);
        body.push(vec(Op::Add, len, self.rows(l.sum, keys), &[self.rows(l.sum, keys), part]));
        body.push(step(OUTER, (len * s.size()) as i32));
        code.extend(repeat(s.keys() / keys, body));
        code
    }

    fn values(&self, rings: &Rings) -> Vec<Instr> {
        let (s, l) = (&self.s, &self.l);
        let own = chunk(&self.kernel.v, self.at, &s.of_keys(), KEYS);
        let mut code = if !s.cut() { vec![self.no_sums()] } else { Vec::new() };
        code.extend(gather(&s.of_keys(), rings.row, own, l.passing_values, &[(Keep::Keys, l.values[0])]));
        code.push(set(OUTER, 0));
        code.extend(travel(s, rings.column, l.values, s.block(), &|i| {
            let mut code = spread(s, (s.act, l.scores), l.values[i], l.acc);
            code.push(step(OUTER, (s.kc * s.t * s.size()) as i32));
            code
        }));
        code
    }

    /// Sums over the row, the statistics, and the quotient.
    fn results(&self, rings: &Rings) -> Vec<Instr> {
        let (s, l) = (&self.s, &self.l);
        let mut code = all_reduce(s, rings.row, Op::Add, l.sum, l.line);
        let scratch = Scratch::new(s.banks, l.line[0], s.t, Far, (1, 1));
        math::reciprocal(&mut code, s.t, &self.line(l.sum), &self.line(l.inverse), &scratch);
        if let Some(stats) = &self.kernel.stats {
            let to = self.at[stats];
            let second = to + s.whole().t * F32;
            code.push(vec(Op::Mov, s.t, at(LINE, self.line(to)), &[self.line(l.largest)]));
            code.push(vec(Op::Mov, s.t, at(LINE, self.line(second)), &[self.line(l.inverse)]));
        }
        code.extend(reduce_scatter(s, rings.row, l.acc));
        let inverse = grid(DType::F32, l.inverse, &[(s.f, 0), (s.t, 1)]);
        let out = chunk(&self.kernel.out, self.at, s, QUERIES);
        code.push(vec(Op::Mul, s.own(), out, &[own_features(s, l.acc), inverse]));
        code
    }
}

impl AttentionForward {
    /// The kernel with the tokens of a PE in chunks.
    pub(crate) fn in_chunks(&self, chunks: Chunks) -> Self {
        AttentionForward { chunks, ..self.clone() }
    }
}

impl Kernel for AttentionForward {
    fn name(&self) -> String {
        "attention".to_owned()
    }

    fn requirements(&self, g: &Geometry) -> Vec<Requirement> {
        let s = Shape::of(g, &self.q, self.chunks);
        let mut requirements = window_requirements(&[&self.q, &self.k, &self.v], &[&self.out]);
        requirements
            .extend(self.stats.iter().map(|n| Requirement::operand(*n, DType::F32, 2 * self.q.tokens, Access::Write)));
        requirements.push(Requirement::scratch(SCRATCH, DType::F32, Layout::new(&s, 0).end.div_ceil(F32), Near));
        requirements
    }

    fn uses(&self, g: &Geometry) -> Uses {
        let ports = rings(g, false);
        Uses { ports, microthreads: MICROTHREADS }
    }

    fn program(&self, g: &Geometry, arch: &ArchSpec, at: &Addresses) -> Program {
        let s = Shape::of(g, &self.q, self.chunks);
        build("attention", (g, arch, &self.ports(g, arch)), &s, &buffers(&self.requirements(g), at), false, &|rings| {
            let code = Code { kernel: self, at, s, l: Layout::new(&s, at[SCRATCH]) };
            code.body(rings)
        })
    }

    /// Every block that is met has its scores and its weighted sums.
    fn at_least(&self, g: &Geometry, arch: &ArchSpec) -> u64 {
        let s = Shape::of(g, &self.q, self.chunks);
        s.blocks() * (s.products(arch) + s.spread(arch))
    }

    fn estimate(&self, g: &Geometry, arch: &ArchSpec) -> u64 {
        let acts = [&self.q, &self.k, &self.v, &self.out].map(price::shape);
        let numbers = [g.head_columns, g.rows_per_sequence];
        let key = (acts, numbers, self.chunks, self.stats.is_some(), g.model.causal);
        remembered(arch, ("attention", key), || {
            let s = Shape::of(g, &self.q, self.chunks);
            let at = &price::anywhere(g, &self.requirements(g));
            let code = Code { kernel: self, at, s, l: Layout::new(&s, at[SCRATCH]) };
            let (rings, sources) = priced(&s, (arch, &self.ports(g, arch)), false);
            price::code(arch, &sources, &code.body(&rings))
        })
    }
}
