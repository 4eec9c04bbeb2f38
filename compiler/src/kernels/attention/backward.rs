//! Attention backward.
//!
//! Every PE gathers the queries and the gradients of the result of its tokens with all features
//! of the head, and its own keys and values of its row's block. Key and value blocks go once
//! around the column. For each one that a PE meets it computes the probabilities `P` again, from
//! the statistics that the forward kernel left; `dP − D`, where `D` is the sum of `d_out · out`
//! over the head; and `dS = P · (dP − D)`. `dS` gives a share of the gradient of the PE's own
//! queries, and of the block's keys; `P` one of the block's values. The last two are added to
//! sums that go around the column behind their block, and are home after the last step. At the
//! end the row adds what its columns have, each column its own features.
//!
//! To save memory the tokens of a PE may be cut into chunks: all this is done for every chunk of
//! keys with every chunk of queries. Gradients of queries are then added up in their operand, or, if
//! that is the one of the queries, in that of the result, of which only `D` was needed.
//!
//! **Invariant.** A step receives its sums while it computes `P` and `dS`, and sends them while
//! the next step does.
//! **Not here.** The mask (`mask`), exchanges (`blocks`).

use super::blocks::{
    Keep, all_reduce, collect, gather, gather_len, own_features, products, reduce_scatter, spread, travel,
};
use super::mask::Mask;
use super::place::{Links, Rings, build, priced, rings};
use super::registers::{BACKWARD_MICROTHREADS, KEY_ROW, KEYS, LINE, OUTER, QUERIES, SUMS_IN, SUMS_OUT};
use super::shape::{Arena, F32, Shape};
use super::{SCRATCH, chunk, chunks, window, window_requirements};
use crate::banks::Side::{Far, Near};
use crate::codegen::instr::{at, fab, grid, imm, mem, op, set, spawn, vec};
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

/// Gradients of the operands of [`super::AttentionForward`].
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct AttentionBackward {
    /// Queries of all heads.
    pub q: ActivationView,
    /// Keys of all heads.
    pub k: ActivationView,
    /// Values of all heads.
    pub v: ActivationView,
    /// The result of the forward kernel.
    pub out: ActivationView,
    /// Gradient of the result; zero for padding tokens.
    pub d_out: ActivationView,
    /// Name of the statistics that the forward kernel left.
    pub stats: BufferId,
    /// Gradient of the queries; may be the window of an operand.
    pub dq: ActivationView,
    /// Gradient of the keys; may be the window of an operand.
    pub dk: ActivationView,
    /// Gradient of the values; may be the window of an operand.
    pub dv: ActivationView,
    /// Chunks into which a PE's tokens are cut.
    pub chunks: Chunks,
}

relabelled!(AttentionBackward { q, k, v, out, d_out, stats, dq, dk, dv; chunks });

/// Places of the scratch.
struct Layout {
    mask: u32,
    /// Largest score, 1 / Σ, and −D of every token of the PE, f32.
    largest: u32,
    inverse: u32,
    minus_d: u32,
    /// Scaled queries and gradients of the result, `[head][t]`; the latter on the far side.
    queries: u32,
    grads: u32,
    /// Gathered queries token by token, `[t][pitch]`.
    query_rows: u32,
    grad_rows: u32,
    /// Travelling keys and, behind them, values: `2 · [kc][pitch]`.
    blocks: [u32; 2],
    /// Travelling gradients of keys and, behind them, values: f32 `2 · [kc][pitch]`.
    sums: [u32; 2],
    /// Gradient of the queries, f32 `[t][pitch]`; in the end of keys, or values.
    acc: u32,
    /// Probabilities of a block, and scratch of the exponential: f32 `[kc][t]`.
    exp: Scratch,
    /// Gradient of the scores of a block, f32 `[kc][t]`.
    scores: u32,
    /// Passing features during gathering; products `d_out · out` of all tokens, f32; for exchanges
    /// of a number per token. Before the steps, so they share their place with what these sum up.
    passing: [u32; 2],
    terms: u32,
    line: [u32; 2],
    end: u32,
}

/// Rows of the sums of gradients: the tokens of a chunk of queries, or, at the end, of keys.
fn rows(s: &Shape) -> u32 {
    s.t.max(s.kc * s.n)
}

impl Layout {
    fn new(s: &Shape, base: u32) -> Layout {
        let mut a = Arena::new(s.banks, base);
        let mask = a.take(DType::F32, Mask::len(s), Near);
        let all = s.whole();
        let [largest, inverse] = a.pair(DType::F32, all.t, Near);
        let minus_d = a.take(DType::F32, all.t, Far);
        let queries = a.take(s.act, s.head * s.t, Near);
        let grads = a.take(s.act, s.head * s.t, Far);
        let [query_rows, grad_rows] = a.pair(s.act, s.t * s.pitch, Near);
        let blocks = a.pair(s.act, 2 * s.block(), Near);
        let mut sums = [0; 2];
        // With several chunks features are gathered while gradients of keys are summed.
        if s.cut() {
            sums = a.pair(DType::F32, 2 * s.block(), Far);
        }
        let shared = a.next;
        let passing = a.pair(s.act, gather_len(s), Near);
        a.rewind(shared);
        let terms = a.take(DType::F32, all.own(), Near);
        let line = a.pair(DType::F32, all.t, Near);
        a.rewind(shared);
        if !s.cut() {
            sums = a.pair(DType::F32, 2 * s.block(), Far);
        }
        let acc = a.take(DType::F32, rows(s) * s.pitch, Far);
        let len = s.kc * s.t;
        let words = Scratch::elements(s.banks, len, (1, 2));
        let exp = Scratch::new(s.banks, a.take(DType::F32, words, Near), len, Far, (1, 2));
        let scores = a.take(DType::F32, len, Near);
        Layout {
            mask,
            largest,
            inverse,
            minus_d,
            queries,
            grads,
            query_rows,
            grad_rows,
            blocks,
            sums,
            acc,
            exp,
            scores,
            passing,
            terms,
            line,
            end: a.top,
        }
    }
}

/// Emits the code of one PE.
struct Code<'a> {
    kernel: &'a AttentionBackward,
    at: &'a Addresses,
    s: Shape,
    l: Layout,
}

impl Code<'_> {
    /// A number per token of the current chunk, repeated for every key of a block.
    fn rows(&self, addr: u32) -> Operand {
        at(LINE, grid(DType::F32, addr, &[(self.s.kc, 0), (self.s.t, 1)]))
    }

    /// All keys of the PE.
    fn body(&self, rings: &Rings) -> Vec<Instr> {
        let s = &self.s;
        let mask = Mask { shape: *s, addr: self.l.mask, odd: rings.odd };
        let mut queries = self.queries(rings);
        queries.extend(self.steps(&mask, rings));
        queries.extend(self.query_results(rings));
        if s.cut() {
            queries.push(mask.next(s.t as i32));
        }
        let mut keys = self.keys(rings);
        keys.extend(chunks(s, &[(QUERIES, s.t * s.size()), (LINE, s.t * F32)], queries));
        keys.extend(self.key_results(rings));
        if s.cut() {
            keys.push(mask.next(-((s.whole().t + s.u) as i32)));
        }
        let mut code = self.statistics(rings);
        code.extend(mask.prepare());
        code.extend(chunks(&s.of_keys(), &[(KEYS, s.u * s.size())], keys));
        if self.kernel.sums_in_out() {
            let [from, to] = [&self.kernel.out, &self.kernel.dq].map(|act| window(act, self.at));
            code.push(vec(Op::Mov, s.whole().own(), to, &[from]));
        }
        code
    }

    /// Where the gradient of the queries is added up.
    fn dq(&self) -> &ActivationView {
        if self.kernel.sums_in_out() { &self.kernel.out } else { &self.kernel.dq }
    }

    /// Statistics, and `−D`.
    fn statistics(&self, rings: &Rings) -> Vec<Instr> {
        let (s, l) = (&self.s.whole(), &self.l);
        let stats = self.at[&self.kernel.stats];
        let line = |addr| mem(DType::F32, addr, s.t);
        let own = |act: &ActivationView| window(act, self.at);
        let terms = mem(DType::F32, l.terms, s.own());
        let all = grid(DType::F32, l.minus_d, &[(s.f, 0), (s.t, 1)]);
        let mut code = vec![
            vec(Op::Mov, s.t, line(l.largest), &[line(stats)]),
            vec(Op::Mov, s.t, line(l.inverse), &[line(stats + s.t * F32)]),
            vec(Op::Mul, s.own(), terms.clone(), &[own(&self.kernel.d_out), own(&self.kernel.out)]),
            vec(Op::Mov, s.t, line(l.minus_d), &[imm(0.0)]),
            vec(Op::Sub, s.own(), all.clone(), &[all, terms]),
        ];
        code.extend(all_reduce(s, rings.row, Op::Add, l.minus_d, l.line));
        if self.s.cut() {
            code.push(vec(Op::Mov, s.own(), own(self.dq()), &[imm(0.0)]));
        }
        code
    }

    /// Gathers keys and values along the row; no gradient of them has been summed.
    fn keys(&self, rings: &Rings) -> Vec<Instr> {
        let (s, l, kernel) = (&self.s.of_keys(), &self.l, self.kernel);
        let keys = [(Keep::Keys, l.blocks[0])];
        let values = [(Keep::Keys, l.blocks[0] + s.block() * s.size())];
        let mut code: Vec<Instr> = [(&kernel.k, &keys), (&kernel.v, &values)]
            .into_iter()
            .flat_map(|(act, keeps)| gather(s, rings.row, chunk(act, self.at, s, KEYS), l.passing, keeps))
            .collect();
        if s.cut() {
            code.push(self.no_sums());
        }
        code
    }

    fn no_sums(&self) -> Instr {
        let len = 2 * self.s.block();
        vec(Op::Mov, len, mem(DType::F32, self.l.sums[0], len), &[imm(0.0)])
    }

    /// Gathers queries and gradients of the result along the row.
    fn queries(&self, rings: &Rings) -> Vec<Instr> {
        let (s, l, kernel) = (&self.s, &self.l, self.kernel);
        let queries = [(Keep::Features(s.scale), l.queries), (Keep::Tokens(s.scale), l.query_rows)];
        let grads = [(Keep::Features(1.0), l.grads), (Keep::Tokens(1.0), l.grad_rows)];
        [(&kernel.q, &queries), (&kernel.d_out, &grads)]
            .into_iter()
            .flat_map(|(act, keeps)| gather(s, rings.row, chunk(act, self.at, s, QUERIES), l.passing, keeps))
            .collect()
    }

    /// `P` and `dS` of the block in buffer `i`, and the share of the gradient of the queries.
    fn scores(&self, mask: &Mask, i: usize) -> Vec<Instr> {
        let (s, l) = (&self.s, &self.l);
        let len = s.kc * s.t;
        let (keys, values) = (l.blocks[i], l.blocks[i] + s.block() * s.size());
        let (p, ds) = (mem(DType::F32, l.exp.like(0), len), mem(DType::F32, l.scores, len));
        let mut code = mask.apply(l.exp.like(0));
        code.extend(products(s, l.queries, keys, l.exp.like(0)));
        code.push(vec(Op::Sub, len, p.clone(), &[p.clone(), self.rows(l.largest)]));
        math::exp(&mut code, len, &p, &p, &l.exp);
        code.push(vec(Op::Mul, len, p.clone(), &[p.clone(), self.rows(l.inverse)]));
        code.push(vec(Op::Mov, len, ds.clone(), &[self.rows(l.minus_d)]));
        code.extend(products(s, l.grads, values, l.scores));
        code.push(vec(Op::Mul, len, ds.clone(), &[ds, p]));
        code.push(set(OUTER, 0));
        code.extend(spread(s, (DType::F32, l.scores), keys, l.acc));
        code
    }

    /// Adds to the sums in buffer `i`, when they are there, and sends them on.
    fn sums(&self, sums: Option<Links>, i: usize) -> Vec<Instr> {
        let (s, l) = (&self.s, &self.l);
        let len = 2 * s.block();
        let mut code = vec![Instr::Join(SUMS_IN)];
        code.extend(collect(s, l.scores, l.query_rows, l.sums[i]));
        code.extend(collect(s, l.exp.like(0), l.grad_rows, l.sums[i] + s.block() * F32));
        if let Some(links) = sums {
            let of = |i: usize| mem(DType::F32, l.sums[i], len);
            code.push(Instr::Join(SUMS_OUT));
            code.push(spawn(SUMS_IN, op(Op::Mov, len, of(1 - i), &[fab(links.recv, DType::F32)])));
            code.push(spawn(SUMS_OUT, op(Op::Mov, len, fab(links.send, DType::F32), &[of(i)])));
        }
        code
    }

    fn steps(&self, mask: &Mask, rings: &Rings) -> Vec<Instr> {
        let (s, l) = (&self.s, &self.l);
        let len = rows(s) * s.pitch;
        let mut code = mask.start();
        code.push(vec(Op::Mov, len, mem(DType::F32, l.acc, len), &[imm(0.0)]));
        if !s.cut() {
            code.push(self.no_sums());
        }
        code.extend(travel(s, rings.column, l.blocks, 2 * s.block(), &|i| {
            let mut code = self.scores(mask, i);
            code.extend(self.sums(rings.sums, i));
            code.extend(mask.advance());
            code
        }));
        code.extend([Instr::Join(SUMS_IN), Instr::Join(SUMS_OUT)]);
        code.extend(mask.finish());
        code
    }

    /// Adds the gradients of queries over the row.
    fn query_results(&self, rings: &Rings) -> Vec<Instr> {
        let (s, l) = (&self.s, &self.l);
        let mut code = reduce_scatter(s, rings.row, l.acc);
        let dq = chunk(self.dq(), self.at, s, QUERIES);
        let (own, scale) = (own_features(s, l.acc), imm(s.scale));
        code.push(if !s.cut() {
            vec(Op::Mul, s.own(), dq, &[own, scale])
        } else {
            vec(Op::Fmac, s.own(), dq.clone(), &[dq, own, scale])
        });
        code
    }

    /// Brings the gradients of keys and values to the owners of their features.
    fn key_results(&self, rings: &Rings) -> Vec<Instr> {
        let (s, l) = (&self.s.of_keys(), &self.l);
        let rows = s.kc * s.n;
        let own = own_features(s, l.acc);
        let mut code = Vec::new();
        for (part, act) in [&self.kernel.dk, &self.kernel.dv].into_iter().enumerate() {
            // A column has all features of its own keys: rows j, j + n, … of the tokens.
            let sums = l.sums[0] + part as u32 * s.block() * F32;
            let to = grid(DType::F32, l.acc, &[(s.kc, (s.n * s.pitch) as i32), (s.head, 1)]);
            let from = grid(DType::F32, sums, &[(s.kc, s.pitch as i32), (s.head, 1)]);
            let len = rows * s.pitch;
            code.push(vec(Op::Mov, len, mem(DType::F32, l.acc, len), &[imm(0.0)]));
            code.push(vec(Op::Mov, s.kc * s.head, at(KEY_ROW, to), &[from]));
            code.extend(reduce_scatter(s, rings.row, l.acc));
            code.push(vec(Op::Mov, s.own(), chunk(act, self.at, s, KEYS), std::slice::from_ref(&own)));
        }
        code
    }
}

impl AttentionBackward {
    /// Whether the result's operand holds the gradient of the queries while these are needed.
    fn sums_in_out(&self) -> bool {
        self.chunks != Chunks::ONE && self.dq.buffer == self.q.buffer
    }
}

impl AttentionBackward {
    /// The kernel with the tokens of a PE in chunks.
    pub(crate) fn in_chunks(&self, chunks: Chunks) -> Self {
        AttentionBackward { chunks, ..self.clone() }
    }
}

impl Kernel for AttentionBackward {
    fn name(&self) -> String {
        "attention backward".to_owned()
    }

    fn requirements(&self, g: &Geometry) -> Vec<Requirement> {
        let s = Shape::of(g, &self.q, self.chunks);
        let reads = [&self.q, &self.k, &self.v, &self.out, &self.d_out];
        let mut writes = vec![&self.dq, &self.dk, &self.dv];
        writes.extend(Some(&self.out).filter(|_| self.sums_in_out()));
        let mut requirements = window_requirements(&reads, &writes);
        requirements.push(Requirement::operand(self.stats, DType::F32, 2 * self.q.tokens, Access::Read));
        requirements.push(Requirement::scratch(SCRATCH, DType::F32, Layout::new(&s, 0).end.div_ceil(F32), Near));
        requirements
    }

    fn uses(&self, g: &Geometry) -> Uses {
        let ports = rings(g, true);
        Uses { ports, microthreads: BACKWARD_MICROTHREADS }
    }

    fn program(&self, g: &Geometry, arch: &ArchSpec, at: &Addresses) -> Program {
        let s = Shape::of(g, &self.q, self.chunks);
        build(
            "attention backward",
            (g, arch, &self.ports(g, arch)),
            &s,
            &buffers(&self.requirements(g), at),
            true,
            &|rings| {
                let code = Code { kernel: self, at, s, l: Layout::new(&s, at[SCRATCH]) };
                code.body(rings)
            },
        )
    }

    /// Every block that is met has its scores and its weighted sums.
    fn at_least(&self, g: &Geometry, arch: &ArchSpec) -> u64 {
        let s = Shape::of(g, &self.q, self.chunks);
        s.blocks() * (2 * s.products(arch) + 3 * s.spread(arch))
    }

    fn estimate(&self, g: &Geometry, arch: &ArchSpec) -> u64 {
        let acts = [&self.q, &self.k, &self.v, &self.out, &self.d_out, &self.dq, &self.dk, &self.dv].map(price::shape);
        let numbers = [g.head_columns, g.rows_per_sequence];
        let key = (acts, numbers, self.chunks, self.sums_in_out(), g.model.causal);
        remembered(arch, ("attention backward", key), || {
            let s = Shape::of(g, &self.q, self.chunks);
            let at = &price::anywhere(g, &self.requirements(g));
            let code = Code { kernel: self, at, s, l: Layout::new(&s, at[SCRATCH]) };
            let (rings, sources) = priced(&s, (arch, &self.ports(g, arch)), true);
            price::code(arch, &sources, &code.body(&rings))
        })
    }
}
