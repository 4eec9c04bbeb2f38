//! Closed forms of the model: what a program takes, derived by hand from the rules of
//! `docs/MODEL.md`, against what the reference engine measures.
#![allow(clippy::unwrap_used, reason = "tests")]

mod common;
use common::*;
use sim_core::coord::Region;
use sim_core::program::DType::{F16, F32};
use sim_core::program::{AddrReg, Descriptors, Instr, Op, Operand, Priority, VecOp};

/// PE 0 sends `len` elements to all others of a row of `pes`.
fn broadcast(pes: u32, len: u32, dtype: sim_core::program::DType) -> Build {
    let mut b = Build::new(pes, 1);
    b.one(0, 0, &[], &[0], vec![start(&[vec(Op::Mov, len, fab(0, dtype), &[mem(dtype, 0, len)])])]);
    let receive = vec(Op::Mov, len, mem(dtype, 0, len), &[fab(0, dtype)]);
    b.image(Region::rect(1, 0, pes - 1, 1), &[0], &[], vec![start(&[receive])]);
    b.route_at(0, 0, 0, RAMP, &[EAST]);
    if pes > 2 {
        b.route(0, Region::rect(1, 0, pes - 2, 1), WEST, &[EAST, RAMP]);
    }
    b.route_at(0, pes - 1, 0, WEST, &[RAMP]);
    b
}

/// The sender's first beat is in cycle 3 + 6 = 9 (C9, C2). Wavelet `k` is produced in 9 + k, may
/// leave router 0 in 9 + k + 1 + 2 (C6), leaves router `p` in 12 + k + p (R2), is ready at PE `p`
/// two cycles later (C7) and is taken at once. The last beat is in 14 + (B − 1) + (P − 1); the
/// run ends in the next cycle.
#[test]
fn broadcast_takes_b_plus_p_plus_13() {
    for pes in [2, 3, 7, 16] {
        for wavelets in [1, 2, 20, 100] {
            let expected = u64::from(wavelets + pes + 13);
            assert_eq!(broadcast(pes, wavelets, F32).cycles(), expected, "{wavelets} wavelets to {pes} PEs");
            // Two 16-bit elements share a wavelet, an odd last one travels alone (C7).
            assert_eq!(broadcast(pes, 2 * wavelets, F16).cycles(), expected);
            assert_eq!(broadcast(pes, 2 * wavelets - 1, F16).cycles(), expected);
        }
    }
}

/// With one place per buffer and one cycle per hop, a place is free for the cycle in which its
/// wavelet leaves only from the next cycle on (M2): every link carries a wavelet every other
/// cycle. The first arrival is unchanged, the last one is B − 1 cycles later than above.
#[test]
fn broadcast_through_buffers_of_one_takes_two_cycles_per_wavelet() {
    for pes in [2, 3, 7] {
        for wavelets in [1, 2, 20] {
            let mut b = broadcast(pes, wavelets, F32);
            b.arch.router.buffer.value = 1;
            assert_eq!(b.cycles(), u64::from(2 * wavelets - 1 + pes + 13));
        }
    }
}

/// A link of `hop` cycles stores what is on it (R2), so that slow links cost latency only.
#[test]
fn long_hops_cost_latency_not_bandwidth() {
    let mut b = broadcast(5, 50, F32);
    b.arch.router.hop.value = 4;
    assert_eq!(b.cycles(), 50 + 4 * (5 - 1) + 14);
}

/// Wavelet `k` is produced by PE 0 in cycle 3 + 6 + k, and is at the next compute element
/// 1 + 2 (C6) + 1 (R2) + 2 (C7) = 6 cycles later, which adds and sends it in the same beat. The
/// last of P − 1 additions of wavelet B − 1 is in 9 + 6(P − 1) + B − 1, and the end one later:
/// the constant is dispatch + setup of the first PE; all others have theirs behind it.
#[test]
fn chain_reduce_takes_b_plus_6_per_pe_plus_9() {
    for pes in [2, 3, 8] {
        for len in [1u32, 2, 30, 200] {
            let mut b = Build::new(pes, 1);
            let own = mem(F32, 0, len);
            for x in 0..pes {
                let (from, to) = (((x + 1) % 2) as u8, (x % 2) as u8);
                if x == 0 {
                    b.one(
                        x,
                        0,
                        &[],
                        &[to],
                        vec![start(&[vec(Op::Mov, len, fab(to, F32), std::slice::from_ref(&own))])],
                    );
                } else if x + 1 < pes {
                    let add = vec(Op::Add, len, fab(to, F32), &[fab(from, F32), own.clone()]);
                    b.one(x, 0, &[from], &[to], vec![start(&[add])]);
                } else {
                    let add = vec(Op::Add, len, own.clone(), &[fab(from, F32), own.clone()]);
                    b.one(x, 0, &[from], &[], vec![start(&[add])]);
                }
                if x + 1 < pes {
                    b.route_at(to, x, 0, RAMP, &[EAST]);
                    b.route_at(to, x + 1, 0, WEST, &[RAMP]);
                }
            }
            assert_eq!(b.cycles(), u64::from(len) + 6 * (u64::from(pes) - 1) + 9, "{len} over {pes}");
        }
    }
}

/// The vendor simulator's figures: 5124 elements in 5130 cycles, and in 10254 with a conflict.
#[test]
fn vector_instructions_take_setup_and_beats() {
    let n = 5124;
    // The first elements are the 16-bit words 0, 2n + 4 and 2n: 0, 4 and 0 modulo 8.
    let (a, b, far) = (mem(F32, 0, n), mem(F32, 4 * n + 8, n), mem(F32, 4 * n, n));
    assert_eq!(solo(&[vec(Op::Mul, n, a.clone(), &[a.clone(), b.clone()])]), 6 + 5124);
    assert_eq!(solo(&[vec(Op::Mul, n, a.clone(), &[a.clone(), far])]), 6 + 10248);
    assert_eq!(solo(&[vec(Op::Add, n, a.clone(), &[a.clone(), b])]), 6 + 2562);
    // One and the same operand does not conflict with itself.
    assert_eq!(solo(&[vec(Op::Mul, n, a.clone(), &[a.clone(), a])]), 6 + 5124);
}

/// A microthread's instruction in the shadow of another one's setup: issue in 0 and 1, setups in
/// 1 to 6 and 2 to 7, beats of the first in 7 to 14, of the second in 8 to 15 as far as there
/// are slots: 16 beats share the cycles 7 to 22.
#[test]
fn setups_overlap() {
    let add = |at| op(Op::Add, 16, mem(F32, at, 16), &[mem(F32, at, 16), mem(F32, at + 72, 16)]);
    let two = [micro(0, Priority::High, add(0)), micro(1, Priority::High, add(256))];
    assert_eq!(solo(&two), 7 + 16);
    // On the main thread one after the other, the second without a setup of its own: 6 + 2 · 8.
    assert_eq!(solo(&[vec_of(add(0)), vec_of(add(256))]), 22);
}

/// C2: behind a vector instruction one has no setup if its descriptors stay as they are, and nothing stands between.
#[test]
fn setups_of_held_descriptors_overlap() {
    let add = |at| op(Op::Add, 16, mem(F32, at, 16), &[mem(F32, at, 16), mem(F32, at + 72, 16)]);
    let first = || vec_of(add(0));
    let moving = {
        let mut op = add(256);
        let Operand::Mem(m) = &op.dst else { unreachable!("a vector in memory") };
        op.dst = Operand::Mem(m.clone().at(AddrReg(1)));
        vec_of(op)
    };
    let word = vec(Op::Mul, 8, mem(F32, 0, 8), &[mem(F32, 0, 8), common::word(F32, 256)]);
    let loaded = vec_of(VecOp { descriptors: Descriptors::Loaded, ..add(256) });
    let many = |count, body: Vec<Instr>| Instr::Loop { count, body };
    // Setup of 6, 8 beats; 4 for descriptors; 1 for a scalar instruction and for the end of a repetition.
    for (body, expected) in [
        (vec![first(), first(), first()], 6 + 3 * 8),
        (vec![first(), moving.clone(), first()], 2 * 6 + 3 * 8),
        (vec![first(), loaded, first()], 2 * 6 + 4 + 3 * 8),
        (vec![first(), word, first()], 2 * 6 + 3 * 8),
        (vec![first(), nop(), first()], 2 * (6 + 8) + 1),
        (vec![first(), many(3, vec![first()])], 4 * (6 + 8) + 3),
        (vec![many(3, vec![first(), first()])], 3 * (6 + 2 * 8 + 1)),
        (vec![many(2, vec![first()]), first()], 3 * (6 + 8) + 2),
        (vec![micro(0, Priority::High, add(0)), first(), Instr::Join(0)], 1 + 6 + 16 + 1),
    ] {
        assert_eq!(solo(&body), expected, "{body:?}");
    }
}

fn vec_of(op: sim_core::program::VecOp) -> sim_core::program::Instr {
    sim_core::program::Instr::Vec(op)
}
