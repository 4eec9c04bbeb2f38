//! The causal mask, without branches: a window into a table of `−30000 … 0 …`, whose place
//! depends on the PE and on the step.
//!
//! At step `s` the row with place `k` in the ring holds the block of place `k − s`. Going back
//! along the ring from an even row `y` one meets first the `y` rows above, in some order, and
//! then those below; from an odd row first those below and then those above. So whether a
//! travelling block is in the past is a comparison of `s` with a number that depends on the row
//! alone, and a register that grows by a constant per step, clamped, is the window's place. Only
//! the own block (`s = 0`) is cut by the diagonal: by that of the sequence if queries and keys are of
//! the same chunk; keys of an earlier chunk are all in the past, of a later one none.
//!
//! Without causality the window stays where nothing is masked, and only absent keys are.
//!
//! **Invariant.** Registers differ between PEs here, but timing does not: the mask is the only
//! vector in memory of its instruction.

use super::registers::{ABSENT, DIAGONAL, KEY, KEY_ROW, LAST, RAW, WINDOW};
use super::shape::{F32, Places, Shape};
use crate::codegen::instr::{at, grid, imm, mem, vec};
use crate::kernel::PAD_BIAS;
use sim_core::program::{AddrOp, DType, Instr, Op, Param};

/// A mask table at an address.
#[derive(Debug, Clone, Copy)]
pub(super) struct Mask {
    pub(super) shape: Shape,
    pub(super) addr: u32,
    /// Whether the row is an odd one of its sequence.
    pub(super) odd: bool,
}

/// Place of the window where a block is masked altogether.
fn low(s: &Shape) -> i32 {
    -((s.t * F32) as i32)
}

/// Place of the window where nothing of a block is masked.
fn high(s: &Shape) -> i32 {
    (s.reach() * F32) as i32
}

/// The start values of the registers.
pub(super) fn params(s: &Shape, x: &Places, y: &Places, odd: bool) -> Vec<Param> {
    let along = |reg, base: i32, per: i32| {
        let (first, step) = (x.first as i32, x.step as i32);
        Param { reg, base: base + per * first, dx: per * step, dy: 0, mod_x: x.period, mod_y: 1 }
    };
    let mut params = vec![
        along(KEY, 0, s.size() as i32),
        along(KEY_ROW, 0, (s.pitch * F32) as i32),
        along(DIAGONAL, 0, -(F32 as i32)),
    ];
    if let Some(from) = s.absent_from() {
        params.push(along(ABSENT, far(s) * (from as i32 - 1), -far(s)));
    }
    if !s.causal {
        return params;
    }
    let stride = high(s) - low(s);
    let first = y.first as i32 - if odd { s.r as i32 } else { 0 };
    params.push(Param {
        reg: RAW,
        base: high(s) + stride * first,
        dx: 0,
        dy: stride * y.step as i32,
        mod_x: 1,
        mod_y: y.period,
    });
    params
}

/// A distance that leaves the table from everywhere.
fn far(s: &Shape) -> i32 {
    high(s) - low(s)
}

impl Mask {
    /// Elements of the table.
    pub(super) fn len(s: &Shape) -> u32 {
        2 * (s.t + s.reach())
    }

    /// Fills the table.
    pub(super) fn prepare(&self) -> Vec<Instr> {
        let s = &self.shape;
        let half = Mask::len(s) / 2;
        let mut code = vec![
            vec(Op::Mov, half, mem(DType::F32, self.addr, half), &[imm(PAD_BIAS)]),
            vec(Op::Mov, half, mem(DType::F32, self.addr + half * F32, half), &[imm(0.0)]),
        ];
        if s.absent_from().is_some() {
            code.push(Instr::Addr(AddrOp::Clamp(ABSENT, -far(s), 0)));
        }
        code
    }

    /// Sets the registers for the own block, before it travels.
    pub(super) fn start(&self) -> Vec<Instr> {
        let open = AddrOp::Set(WINDOW, high(&self.shape));
        let place = if self.shape.causal { AddrOp::Copy(WINDOW, DIAGONAL) } else { open };
        let mut code = vec![Instr::Addr(place)];
        code.extend(self.clamp());
        code
    }

    /// Makes the registers what they were before the block travelled around the column.
    pub(super) fn finish(&self) -> Vec<Instr> {
        let back = Instr::Addr(AddrOp::Add(RAW, -self.stride() * self.shape.r as i32));
        if self.shape.causal { vec![back] } else { Vec::new() }
    }

    /// Moves on by so many tokens of queries, less those of keys.
    pub(super) fn next(&self, tokens: i32) -> Instr {
        Instr::Addr(AddrOp::Add(DIAGONAL, tokens * F32 as i32))
    }

    /// Starts the scores of a block: `[kc][t]` at `to` gets the mask.
    pub(super) fn apply(&self, to: u32) -> Vec<Instr> {
        let s = &self.shape;
        let zero = self.addr + Mask::len(s) / 2 * F32;
        let window = |reg, first: u32, keys: u32| {
            let dims = [(keys, -(s.n as i32)), (s.t, 1)];
            let from = at(reg, grid(DType::F32, zero - first * s.n * F32, &dims));
            vec(Op::Mov, keys * s.t, mem(DType::F32, to + first * s.t * F32, keys * s.t), &[from])
        };
        match s.absent_from() {
            None => vec![window(WINDOW, 0, s.kc)],
            Some(_) if s.kc == 1 => vec![window(LAST, 0, 1)],
            Some(_) => vec![window(WINDOW, 0, s.kc - 1), window(LAST, s.kc - 1, 1)],
        }
    }

    /// Moves on to the next travelling block.
    pub(super) fn advance(&self) -> Vec<Instr> {
        if !self.shape.causal {
            return Vec::new();
        }
        let mut code = vec![Instr::Addr(AddrOp::Add(RAW, self.stride())), Instr::Addr(AddrOp::Copy(WINDOW, RAW))];
        code.extend(self.clamp());
        code
    }

    /// Bytes by which a step moves the window before it is clamped.
    fn stride(&self) -> i32 {
        let stride = high(&self.shape) - low(&self.shape);
        if self.odd { stride } else { -stride }
    }

    fn clamp(&self) -> Vec<Instr> {
        let s = &self.shape;
        let mut code = vec![AddrOp::Clamp(WINDOW, low(s), high(s))];
        if s.absent_from().is_some() {
            code.extend([
                AddrOp::Copy(LAST, WINDOW),
                AddrOp::AddReg(LAST, ABSENT),
                AddrOp::Clamp(LAST, low(s), high(s)),
            ]);
        }
        code.into_iter().map(Instr::Addr).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codegen::instr::color;
    use crate::codegen::ring::{Axis, Ring};
    use crate::options::Chunks;
    use sim_core::coord::Span;

    /// The comparison that the registers make is that of the block's row with the own row.
    #[test]
    fn a_travelling_block_is_masked_if_it_is_in_the_future() {
        for r in [2, 4, 6, 10, 48] {
            let ring = Ring { axis: Axis::Y, len: r, colors: [8, 9, 10, 11].map(color) };
            let s = Shape {
                n: 2,
                f: 2,
                head: 4,
                pitch: 4,
                t: 8,
                u: 8,
                chunks: Chunks::ONE,
                r,
                kc: 4,
                act: DType::F16,
                banks: crate::banks::Banks::of(&sim_core::arch::cs2::cs2()),
                scale: 1.0,
                causal: true,
            };
            let x = Places { span: Span::one(0), first: 0, step: 0, period: 1 };
            for row in 0..r {
                let y = Places { span: Span::one(row), first: row, step: 0, period: 1 };
                let raw = *params(&s, &x, &y, row % 2 == 1).iter().find(|p| p.reg == RAW).unwrap();
                let by = (high(&s) - low(&s)) * if row % 2 == 1 { 1 } else { -1 };
                for step in 1..r {
                    let held = ring.position((ring.index(row) + r - step) % r);
                    let place = (raw.base + by * step as i32).clamp(low(&s), high(&s));
                    assert_eq!(place, if held > row { low(&s) } else { high(&s) }, "{r} rows, row {row}, step {step}");
                }
            }
        }
    }
}
