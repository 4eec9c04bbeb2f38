//! Sweeps over windows of activations: loops over chunks of slots, with one address register per
//! window, so that f32 scratch stays small and vectors long.
//!
//! **Invariant.** A register moves by whole slots, so operands of one shape stay as far apart as they were
//! (rule C5).
//! **Not here.** What is done with a chunk.

use crate::codegen::instr::{at, grid, mem, repeat, set, step};
use crate::kernel::{ActivationView, Addresses};
use sim_core::coord::Grid;
use sim_core::program::{AddrReg, DType, Image, Instr, Operand, Placement, Program};

/// Elements of a chunk, about: enough to make setup cheap.
const CHUNK: u32 = 256;

/// Slots of a chunk of a window, evenly: about [`CHUNK`] elements. Where there are several chunks
/// it is an even number, so that vectors of f32 numbers per slot stay aligned as well.
pub(super) fn chunk_slots(slots: u32, tokens: u32) -> u32 {
    let most = (CHUNK / tokens).max(1);
    if slots <= most { slots } else { slots.div_ceil(slots.div_ceil(most)).next_multiple_of(2) }
}

/// A window that a sweep goes over.
#[derive(Debug, Clone, Copy)]
pub(super) struct Moving<'a> {
    /// The window.
    pub(super) act: &'a ActivationView,
    /// Bytes from its first slot to the current chunk's.
    pub(super) reg: AddrReg,
}

impl<'a> Moving<'a> {
    /// A window that moves along with another one: on its register where their slots are equally
    /// far apart, or else on `own`. On one register, only the places relative to each other matter
    /// (rule F6), so that kernels of different layers are alike.
    pub(super) fn along(with: Moving<'_>, act: &'a ActivationView, own: AddrReg) -> Moving<'a> {
        let alone = Moving { act, reg: own };
        Moving { reg: if alone.slot_bytes() == with.slot_bytes() { with.reg } else { own }, ..alone }
    }

    /// The current chunk, `slots` slots of it, as one vector.
    pub(super) fn chunk(self, addr: &Addresses, slots: u32) -> Operand {
        at(self.reg, whole(self.act, addr, slots))
    }

    /// Bytes of a slot.
    fn slot_bytes(self) -> i32 {
        (self.act.row * self.act.dtype.bytes()) as i32
    }
}

/// The first `slots` slots of a window as one vector.
pub(super) fn whole(act: &ActivationView, addr: &Addresses, slots: u32) -> Operand {
    let first = act.slot(addr, 0);
    if act.tokens == act.row {
        mem(act.dtype, first, slots * act.tokens)
    } else {
        grid(act.dtype, first, &[(slots, act.row as i32), (act.tokens, 1)])
    }
}

/// One f32 number per token, for each of `slots` slots.
pub(super) fn per_token(addr: u32, slots: u32, tokens: u32) -> Operand {
    grid(DType::F32, addr, &[(slots, 0), (tokens, 1)])
}

/// One f32 number per slot, for each of `tokens` tokens.
pub(super) fn per_slot(addr: u32, slots: u32, tokens: u32) -> Operand {
    grid(DType::F32, addr, &[(slots, 1), (tokens, 0)])
}

/// Goes over `slots` slots in chunks of `per`: `chunk` emits the code for a number of slots. The
/// registers of the windows and of `others` (with bytes per slot) start at zero and move along.
pub(super) fn sweep(
    (slots, per): (u32, u32),
    windows: &[Moving<'_>],
    others: &[(AddrReg, i32)],
    chunk: impl Fn(u32) -> Vec<Instr>,
) -> Vec<Instr> {
    assert!(per > 0, "a chunk has slots");
    let moves = windows.iter().map(|w| (w.reg, w.slot_bytes())).chain(others.iter().copied());
    let mut moves: Vec<(AddrReg, i32)> = moves.collect();
    moves.sort_unstable();
    moves.dedup();
    let mut code: Vec<Instr> = moves.iter().map(|&(reg, _)| set(reg, 0)).collect();
    let mut body = chunk(per);
    body.extend(moves.iter().map(|&(reg, bytes)| step(reg, bytes * per as i32)));
    code.extend(repeat(slots / per, body));
    if !slots.is_multiple_of(per) {
        code.extend(chunk(slots % per));
    }
    code
}

/// A program with one image, on all PEs in use.
pub(super) fn uniform(name: String, mesh: Grid, used: sim_core::coord::Region, image: Image) -> Program {
    let placements = vec![Placement { region: used, image: 0, params: Vec::new() }];
    Program { name, grid: Some(mesh), images: vec![image], placements, ..Program::default() }
}
