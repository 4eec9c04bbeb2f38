//! Pieces of code that the attention kernels share: exchanges along rings, and sums of scaled
//! vectors.
//!
//! Along a row the features of the head are gathered in *ring order*: slot `s · f + i` is feature
//! `i` of the PE that is `s` places back in the row's ring. The order is the same for everything
//! that a column holds, and for all columns of one place, so no address depends on the PE.
//!
//! **Invariant.** A PE always awaits what it receives and sends what it sends at the same time,
//! each on a microthread, so rings cannot deadlock. Loops leave their registers as they were.
//! **Not here.** Addresses.

use super::place::Links;
use super::registers::{KEY, LOOP_SUM, LOOP_VECTOR, LOOP_WORD, OUTER, RECEIVER, SENDER};
use super::shape::{F32, Shape};
use crate::codegen::instr::{at, fab, grid, imm, mem, op, repeat, set, spawn, step, vec, word};
use sim_core::program::{AddrReg, DType, Instr, Op, Operand, VecOp};

/// Registers of loops; the last one is only for repeated words, so that no conflict depends on it.
const LOOP: [AddrReg; 3] = [LOOP_SUM, LOOP_VECTOR, LOOP_WORD];
/// Most instructions of a loop's body.
const UNROLLED: u32 = 8;

/// Sends a vector to the next PE of a ring, and receives one of the same length.
pub(super) fn exchange(links: Links, send: Operand, len: u32, dtype: DType, receive: VecOp) -> [Instr; 2] {
    [spawn(RECEIVER, receive), spawn(SENDER, op(Op::Mov, len, fab(links.send, dtype), &[send]))]
}

/// Waits for the end of an [`exchange`].
pub(super) fn exchanged() -> [Instr; 2] {
    [Instr::Join(RECEIVER), Instr::Join(SENDER)]
}

/// Plain reception into memory.
fn receive(links: Links, len: u32, dtype: DType, to: u32) -> VecOp {
    op(Op::Mov, len, mem(dtype, to, len), &[fab(links.recv, dtype)])
}

/// `count` instructions `one(0), one(1), …` whose operands move by the given bytes from one to
/// the next.
fn series(count: u32, moves: &[(AddrReg, u32)], one: &dyn Fn(u32) -> Instr) -> Vec<Instr> {
    let group = (4..=UNROLLED).rev().find(|d| count.is_multiple_of(*d)).unwrap_or(UNROLLED.min(count));
    let (groups, rest) = (count / group, count % group);
    let mut body: Vec<Instr> = (0..group).map(one).collect();
    if groups == 1 && rest == 0 {
        return body;
    }
    body.extend(moves.iter().map(|&(reg, by)| step(reg, (group * by) as i32)));
    let mut code = repeat(groups, body);
    code.extend((0..rest).map(one));
    code.extend(moves.iter().map(|&(reg, by)| step(reg, -((groups * group * by) as i32))));
    code
}

/// `sum[k][0..t] += Σ_i left[i][0..t] · right[k][i]` for `kc` keys `k`, and `i` over the head.
pub(super) fn products(s: &Shape, left: u32, right: u32, sum: u32) -> Vec<Instr> {
    let [l, k, r] = LOOP;
    let size = s.size();
    let acc = at(k, mem(DType::F32, sum, s.t));
    let one = |i: u32| {
        let (x, w) = (mem(s.act, left + i * s.t * size, s.t), word(s.act, right + i * size));
        vec(Op::Fmac, s.t, acc.clone(), &[acc.clone(), at(l, x), at(r, w)])
    };
    let mut body = series(s.head, &[(l, s.t * size), (r, size)], &one);
    body.extend([step(k, (s.t * F32) as i32), step(r, (s.pitch * size) as i32)]);
    let mut code = LOOP.map(|reg| set(reg, 0)).to_vec();
    code.extend(repeat(s.kc, body));
    code
}

/// `sum[t][0..head] += Σ_k factor[k][t] · rows[k][0..head]` for `kc` keys `k`; the factors are
/// relative to [`OUTER`].
pub(super) fn spread(s: &Shape, factor: (DType, u32), rows: u32, sum: u32) -> Vec<Instr> {
    let [a, r, p] = LOOP;
    let (dtype, factors) = factor;
    let one = |t: u32| {
        let acc = at(a, mem(DType::F32, sum + t * s.pitch * F32, s.head));
        let w = at(p, word(dtype, factors + t * dtype.bytes()));
        vec(Op::Fmac, s.head, acc.clone(), &[acc, at(r, mem(s.act, rows, s.head)), w])
    };
    let mut body = series(s.t, &[(a, s.pitch * F32), (p, dtype.bytes())], &one);
    body.extend([step(r, (s.pitch * s.size()) as i32), step(p, (s.t * dtype.bytes()) as i32)]);
    let mut code = vec![set(a, 0), set(r, 0)];
    code.push(Instr::Addr(sim_core::program::AddrOp::Copy(p, OUTER)));
    code.extend(repeat(s.kc, body));
    code
}

/// `sum[k][0..head] += Σ_t factor[k][t] · rows[t][0..head]` for `kc` keys `k`, with factors in f32.
pub(super) fn collect(s: &Shape, factors: u32, rows: u32, sum: u32) -> Vec<Instr> {
    let [a, r, p] = LOOP;
    let acc = at(a, mem(DType::F32, sum, s.head));
    let one = |t: u32| {
        let x = at(r, mem(s.act, rows + t * s.pitch * s.size(), s.head));
        let w = at(p, word(DType::F32, factors + t * F32));
        vec(Op::Fmac, s.head, acc.clone(), &[acc.clone(), x, w])
    };
    let mut body = series(s.t, &[(r, s.pitch * s.size()), (p, F32)], &one);
    body.extend([step(a, (s.pitch * F32) as i32), step(p, (s.t * F32) as i32)]);
    let mut code = LOOP.map(|reg| set(reg, 0)).to_vec();
    code.extend(repeat(s.kc, body));
    code
}

/// What [`gather`] keeps of the features that pass by.
#[derive(Debug, Clone, Copy)]
pub(super) enum Keep {
    /// The column's own keys: `[kc][pitch]`.
    Keys,
    /// All tokens, feature by feature: `[head][t]`, times a factor.
    Features(f32),
    /// All tokens, token by token: `[t][pitch]`, times a factor.
    Tokens(f32),
}

impl Keep {
    /// Copies from the block at `from` to the kept tensor at `to`, relative to `reg`.
    fn copy(self, s: &Shape, from: u32, to: u32, reg: AddrReg) -> Instr {
        let (f, t, n, pitch) = (s.f, s.t, s.n, s.pitch as i32);
        let (factor, len, dst, src) = match self {
            Keep::Keys => (
                1.0,
                s.kc * f,
                grid(s.act, to, &[(s.kc, pitch), (f, 1)]),
                at(KEY, grid(s.act, from, &[(s.kc, n as i32), (f, t as i32)])),
            ),
            Keep::Features(factor) => (factor, f * t, mem(s.act, to, f * t), mem(s.act, from, f * t)),
            Keep::Tokens(factor) => {
                (factor, f * t, grid(s.act, to, &[(t, pitch), (f, 1)]), grid(s.act, from, &[(t, 1), (f, t as i32)]))
            }
        };
        if factor.to_bits() == 1.0f32.to_bits() {
            vec(Op::Mov, len, at(reg, dst), &[src])
        } else {
            vec(Op::Mul, len, at(reg, dst), &[src, imm(factor)])
        }
    }

    /// Bytes from what one PE contributes to what the next one does.
    fn stride(self, s: &Shape) -> u32 {
        match self {
            Keep::Keys | Keep::Tokens(_) => s.f * s.size(),
            Keep::Features(_) => s.own() * s.size(),
        }
    }
}

/// Elements of each of the two buffers of [`gather`].
pub(super) fn gather_len(s: &Shape) -> u32 {
    s.own().max(s.of_keys().own()) + s.overhang()
}

/// Sends a PE's own features `[f][t]` once around the row's ring, and keeps of all of them what
/// `keeps` says, at the given addresses.
pub(super) fn gather(
    s: &Shape,
    row: Option<Links>,
    own: Operand,
    buffers: [u32; 2],
    keeps: &[(Keep, u32)],
) -> Vec<Instr> {
    let len = s.own();
    let mut code = Vec::new();
    if s.overhang() > 0 {
        // What absent keys read must be a number, or the mask does not help.
        let rest = |b: u32| mem(s.act, b + len * s.size(), s.overhang());
        code.extend(buffers.map(|b| vec(Op::Mov, s.overhang(), rest(b), &[imm(0.0)])));
    }
    code.push(vec(Op::Mov, len, mem(s.act, buffers[0], len), &[own]));
    code.extend(keeps.iter().zip(LOOP).map(|(_, reg)| set(reg, 0)));
    let keep = |b: u32| keeps.iter().zip(LOOP).map(move |(&(k, to), reg)| k.copy(s, b, to, reg));
    let Some(links) = row else {
        code.extend(keep(buffers[0]));
        return code;
    };
    let mut body = Vec::new();
    for i in 0..2 {
        let (from, to) = (buffers[i], buffers[1 - i]);
        let sent = mem(s.act, from, len);
        let mut work: Vec<Instr> = keep(from).collect();
        work.extend(keeps.iter().zip(LOOP).map(|((k, _), reg)| step(reg, k.stride(s) as i32)));
        let pause = links.pace.pause(2 * s.act.wavelets(len), &work, &sent);
        body.extend(exchange(links, sent, len, s.act, receive(links, len, s.act, to)));
        body.extend([work, pause].concat());
        body.extend(exchanged());
    }
    // The last exchange brings everything home; it is awaited as the others are.
    let pair = body.len() / 2;
    let odd = (s.n % 2 == 1).then(|| body[..pair].to_vec());
    code.extend(repeat(s.n / 2, body));
    code.extend(odd.into_iter().flatten());
    code
}

/// Sends a block of `len` elements once around the column's ring, and runs `body(address)` at
/// every step while the next block arrives.
pub(super) fn travel(
    s: &Shape,
    column: Option<Links>,
    buffers: [u32; 2],
    len: u32,
    body: &dyn Fn(usize) -> Vec<Instr>,
) -> Vec<Instr> {
    let Some(links) = column else {
        return body(0);
    };
    let mut pair = Vec::new();
    for i in 0..2 {
        let (from, to) = (buffers[i], buffers[1 - i]);
        let (sent, work) = (mem(s.act, from, len), body(i));
        let pause = links.pace.pause(2 * s.act.wavelets(len), &work, &sent);
        pair.extend(exchange(links, sent, len, s.act, receive(links, len, s.act, to)));
        pair.extend([work, pause].concat());
        pair.extend(exchanged());
    }
    repeat(s.r / 2, pair)
}

/// `value[0..t] = op over the row`, with two buffers of `t` f32 on the near side of the banks.
pub(super) fn all_reduce(s: &Shape, row: Option<Links>, o: Op, value: u32, buffers: [u32; 2]) -> Vec<Instr> {
    let Some(links) = row else {
        return Vec::new();
    };
    let t = s.t;
    let of = |addr| mem(DType::F32, addr, t);
    let one = |i: usize| {
        let (from, to) = (buffers[i], buffers[1 - i]);
        let mut code = exchange(links, of(from), t, DType::F32, receive(links, t, DType::F32, to)).to_vec();
        code.extend(links.pace.pause(2 * t, &[], &of(from)));
        code.extend(exchanged());
        code.push(vec(o, t, of(value), &[of(value), of(to)]));
        code
    };
    let mut code = vec![vec(Op::Mov, t, of(buffers[0]), &[of(value)])];
    let pair: Vec<Instr> = one(0).into_iter().chain(one(1)).collect();
    code.extend(repeat((s.n - 1) / 2, pair));
    if s.n.is_multiple_of(2) {
        code.extend(one(0));
    }
    code
}

/// A column's own features of a `[t][pitch]` tensor of f32 whose features are in ring order,
/// feature by feature.
pub(super) fn own_features(s: &Shape, sum: u32) -> Operand {
    grid(DType::F32, sum, &[(s.f, 1), (s.t, s.pitch as i32)])
}

/// Adds a `[t][pitch]` tensor of f32 over the row; every column gets its own features of the sum,
/// as [`own_features`].
pub(super) fn reduce_scatter(s: &Shape, row: Option<Links>, sum: u32) -> Vec<Instr> {
    let Some(links) = row else {
        return Vec::new();
    };
    let len = s.own();
    let stride = s.f * F32;
    let pass = |from: Operand, to: Operand| {
        let add = op(Op::Add, len, to.clone(), &[fab(links.recv, DType::F32), to]);
        let pause = links.pace.pause(2 * len, &[], &from);
        exchange(links, from, len, DType::F32, add).into_iter().chain(pause).chain(exchanged())
    };
    let reg = LOOP[0];
    let mut code = vec![set(reg, 0)];
    let mut body: Vec<Instr> =
        pass(at(reg, own_features(s, sum + stride)), at(reg, own_features(s, sum + 2 * stride))).collect();
    body.push(step(reg, stride as i32));
    code.extend(repeat(s.n - 2, body));
    code.extend(pass(own_features(s, sum + (s.n - 1) * stride), own_features(s, sum)));
    code
}
