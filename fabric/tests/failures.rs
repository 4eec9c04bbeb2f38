//! Runs that fail: the right error, with the right culprits (rules M3, V2, and limits).
#![allow(clippy::unwrap_used, reason = "tests")]

mod common;
use common::*;
use fabric::{HostStreams, RunOptions, Values, WaferMemory, reference};
use sim_core::coord::{Color, Grid, Region};
use sim_core::error::{Blocked, MAIN_THREAD, RunError, WaitFor};
use sim_core::program::DType::F32;
use sim_core::program::{AddrOp, AddrReg, Flow, Instr, MemRef, Op, Operand, Param, Priority, TaskId};
use sim_core::units::Cycle;

/// A blocked unit: x, y, thread, what it waits for.
type Unit = (u32, u32, Option<u8>, WaitFor);

/// The deadlock of a program: cycle, blocked units, total.
fn deadlock(b: &Build) -> (u64, Vec<Unit>, u64) {
    let options = RunOptions { engine: fabric::EngineKind::Reference, ..RunOptions::default() };
    match fabric::run(&b.program, &b.arch, &options, None) {
        Err(RunError::Deadlock { at, blocked, total, .. }) => {
            let list = blocked.iter().map(|b: &Blocked| (b.pe.x, b.pe.y, b.thread, b.wait)).collect();
            (at.0, list, total)
        }
        other => panic!("{other:?}"),
    }
}

fn receive(n: u8, len: u32) -> Instr {
    vec(Op::Mov, len, mem(F32, 0, len), &[fab(n, F32)])
}

fn send(n: u8, len: u32) -> Instr {
    vec(Op::Mov, len, fab(n, F32), &[mem(F32, 0, len)])
}

/// The last thing that happens is a beat, a setup, a move of a router or a stream's wavelet; the fast engine
/// may look once more later.
/// Of the receiver the setup is over in 8, its beats are in 9 and 10.
#[test]
fn both_engines_name_the_cycle_of_a_deadlock() {
    let mut late = Build::new(1, 1);
    late.one(0, 0, &[0], &[], vec![start(&[receive(0, 3)])]);
    late.route_at(0, 0, 0, WEST, &[RAMP]);
    late.edge(0, Flow::In, WEST, 0, 2);
    let mut setup = Build::new(1, 1);
    setup.one(0, 0, &[0], &[], vec![start(&[receive(0, 3)])]);
    setup.route_at(0, 0, 0, WEST, &[RAMP]);
    // What nobody takes comes after everything else: put in at 0, 20 and 40, moved a cycle later.
    let mut unread = Build::new(1, 1);
    unread.one(0, 0, &[0], &[], vec![start(&[])]);
    unread.route_at(0, 0, 0, WEST, &[RAMP]);
    unread.edge(0, Flow::In, WEST, 0, 3).interval = 20;
    for (b, at) in [(late, 11), (setup, 9), (unread, 42)] {
        for engine in [fabric::EngineKind::Reference, fabric::EngineKind::Fast] {
            let options = RunOptions { engine, ..RunOptions::default() };
            match fabric::run(&b.program, &b.arch, &options, None) {
                Err(RunError::Deadlock { at: found, .. }) => assert_eq!(found, Cycle(at), "{engine:?}"),
                other => panic!("{other:?}"),
            }
        }
    }
}

/// The circle of a deadlock, as both engines tell it.
fn circle(b: &Build) -> Vec<String> {
    let of = |engine| {
        let options = RunOptions { engine, ..RunOptions::default() };
        match fabric::run(&b.program, &b.arch, &options, None) {
            Err(RunError::Deadlock { cycle, .. }) => cycle.iter().map(ToString::to_string).collect::<Vec<_>>(),
            other => panic!("{other:?}"),
        }
    };
    let circle = of(fabric::EngineKind::Reference);
    assert_eq!(circle, of(fabric::EngineKind::Fast));
    circle
}

/// Two PEs each wait for the other's wavelet before they send their own.
#[test]
fn a_circle_of_receivers() {
    let mut b = Build::new(2, 1);
    b.one(0, 0, &[1], &[0], vec![start(&[receive(1, 2), send(0, 2)])]);
    b.one(1, 0, &[0], &[1], vec![start(&[receive(0, 2), send(1, 2)])]);
    b.route_at(0, 0, 0, RAMP, &[EAST]).route_at(0, 1, 0, WEST, &[RAMP]);
    b.route_at(1, 1, 0, RAMP, &[WEST]).route_at(1, 0, 0, EAST, &[RAMP]);
    let want = [
        "PE (0,0): main thread waits for a wavelet of c1 (input queue 0)",
        "PE (1,0): main thread waits for a wavelet of c0 (input queue 0)",
    ];
    assert_eq!(circle(&b), want);
}

/// Two PEs each send more than queues and links hold before they take what the other sends.
#[test]
fn a_circle_of_senders() {
    let mut b = Build::new(2, 1);
    b.one(0, 0, &[1], &[0], vec![start(&[send(0, 40), receive(1, 40)])]);
    b.one(1, 0, &[0], &[1], vec![start(&[send(1, 40), receive(0, 40)])]);
    b.route_at(0, 0, 0, RAMP, &[EAST]).route_at(0, 1, 0, WEST, &[RAMP]);
    b.route_at(1, 1, 0, RAMP, &[WEST]).route_at(1, 0, 0, EAST, &[RAMP]);
    let want = [
        "PE (0,0): main thread waits for room to send on c0 (output queue 0)",
        "PE (1,0): main thread waits for room to send on c1 (output queue 0)",
    ];
    assert_eq!(circle(&b), want);
}

/// A receiver of what nobody sends is in no circle.
#[test]
fn no_circle() {
    let mut b = Build::new(3, 2);
    b.one(2, 1, &[4], &[], vec![start(&[receive(4, 1)])]);
    assert!(circle(&b).is_empty());
}

const MAIN: Option<u8> = Some(MAIN_THREAD);

/// Nothing arrives: dispatch in 0 to 2, setup in 3 to 8, and nothing from 9 on.
#[test]
fn a_receiver_without_a_sender() {
    let mut b = Build::new(3, 2);
    b.one(2, 1, &[4], &[], vec![start(&[receive(4, 1)])]);
    assert_eq!(deadlock(&b), (9, vec![(2, 1, MAIN, WaitFor::Input(color(4)))], 1));
}

/// A color that is bound to no queue is blocked for ever, and no panic.
#[test]
fn colors_without_queues() {
    let mut b = Build::new(2, 1);
    b.one(0, 0, &[], &[], vec![start(&[receive(4, 1)])]);
    b.one(1, 0, &[], &[], vec![start(&[send(5, 1)]), on(6, 0, &[])]);
    let blocked = vec![(0, 0, MAIN, WaitFor::Input(color(4))), (1, 0, MAIN, WaitFor::Output(color(5)))];
    assert_eq!(deadlock(&b), (9, blocked, 2));
}

/// One wavelet too many, and one too few. PE 0 has its beats in 9 to 11, PE 1 from 15 on; the last
/// wavelet is ready in its queue in 17.
#[test]
fn counts_that_disagree() {
    let mut b = Build::new(2, 1);
    b.one(0, 0, &[], &[0], vec![start(&[send(0, 3)])]);
    b.one(1, 0, &[0], &[], vec![start(&[receive(0, 2)])]);
    b.route_at(0, 0, 0, RAMP, &[EAST]).route_at(0, 1, 0, WEST, &[RAMP]);
    // The last thing that happens is the second beat, in 16, or the third, in 17.
    assert_eq!(deadlock(&b), (17, vec![(1, 0, None, WaitFor::Unread(color(0)))], 1));
    b.program.images[1].tasks[0].body = vec![receive(0, 4)];
    assert_eq!(deadlock(&b), (18, vec![(1, 0, MAIN, WaitFor::Input(color(0)))], 1));
}

/// A cycle: each of two PEs sends all before it reads. On the way are 2 + 1 + 2 − 1 places in the
/// output queue, 4 in the router and 6 + 2 − 1 in the input queue: 15 wavelets are taken, 16 not.
#[test]
fn two_senders_in_each_others_way() {
    let exchange = |len: u32| {
        let mut b = Build::new(2, 1);
        b.one(0, 0, &[1], &[0], vec![start(&[send(0, len), receive(1, len)])]);
        b.one(1, 0, &[0], &[1], vec![start(&[send(1, len), receive(0, len)])]);
        b.route_at(0, 0, 0, RAMP, &[EAST]).route_at(0, 1, 0, WEST, &[RAMP]);
        b.route_at(1, 1, 0, RAMP, &[WEST]).route_at(1, 0, 0, EAST, &[RAMP]);
        b
    };
    assert!(exchange(15).run().is_ok());
    let (_, blocked, total) = deadlock(&exchange(16));
    let (zero, one) = (color(0), color(1));
    let culprits = vec![
        (0, 0, MAIN, WaitFor::Output(zero)),
        (0, 0, None, WaitFor::Router(zero)),
        (0, 0, None, WaitFor::Router(one)),
        (0, 0, None, WaitFor::Unread(one)),
        (1, 0, MAIN, WaitFor::Output(one)),
        (1, 0, None, WaitFor::Router(zero)),
        (1, 0, None, WaitFor::Router(one)),
        (1, 0, None, WaitFor::Unread(zero)),
    ];
    assert_eq!((blocked, total), (culprits, 8));
}

/// Microthreads and those who wait for them.
#[test]
fn a_microthread_without_input() {
    let mut b = Build::new(1, 1);
    let what = op(Op::Mov, 1, mem(F32, 0, 1), &[fab(3, F32)]);
    b.one(0, 0, &[3], &[], vec![start(&[micro(5, Priority::Low, what), nop(), Instr::Join(5)])]);
    // Issue in 3, setup in 4 to 9.
    let blocked = vec![(0, 0, Some(5), WaitFor::Input(color(3))), (0, 0, MAIN, WaitFor::Microthread(5))];
    assert_eq!(deadlock(&b), (10, blocked, 2));
}

/// Edge streams: into nothing, and out of nothing; a wavelet more than the edge takes (E2).
#[test]
fn edge_streams_that_do_not_end() {
    let mut b = Build::new(1, 2);
    b.route_at(0, 0, 1, RAMP, &[SOUTH]);
    b.edge(0, Flow::Out, SOUTH, 0, 1);
    b.edge(1, Flow::In, WEST, 0, 1);
    let blocked = vec![(0, 0, None, WaitFor::Edge(color(1))), (0, 1, None, WaitFor::Edge(color(0)))];
    assert_eq!(deadlock(&b), (0, blocked, 2));
    let mut b = Build::new(1, 1);
    b.route_at(0, 0, 0, WEST, &[EAST]);
    b.edge(0, Flow::In, WEST, 0, 3);
    b.edge(0, Flow::Out, EAST, 0, 2);
    // The wavelets leave in 1 and 2; the third stays.
    assert_eq!(deadlock(&b), (3, vec![(0, 0, None, WaitFor::Router(color(0)))], 1));
}

/// M3: a port that may only go on later, or a wavelet that is on its way, is no deadlock.
#[test]
fn patience_is_no_deadlock() {
    let mut b = Build::new(2, 1);
    b.route(0, Region::rect(0, 0, 2, 1), WEST, &[EAST]);
    b.edge(0, Flow::In, WEST, 0, 3).interval = 1000;
    b.edge(0, Flow::Out, EAST, 0, 3);
    b.arch.router.hop.value = 500;
    assert_eq!(b.cycles(), 2000 + 2 * 500 + 1);
}

/// A link at whose other end nobody takes the color; only 16 units are listed, in PE order.
#[test]
fn many_units_are_counted() {
    let mut b = Build::new(5, 4);
    b.image(Region::rect(0, 0, 5, 4), &[0], &[0], vec![start(&[send(0, 1), receive(0, 1)])]);
    b.route(0, Region::rect(0, 0, 5, 4), RAMP, &[EAST]);
    let (at, blocked, total) = deadlock(&b);
    // Beat in 9; what follows has no setup of its own and waits from 10 on.
    assert_eq!((at, blocked.len(), total), (10, 16, 40));
    let places: Vec<_> = blocked.iter().map(|b| (b.0, b.1)).collect();
    let expected: Vec<_> = (0..16).map(|k| (k / 2 % 5, k / 10)).collect();
    assert_eq!(places, expected);
    let options = RunOptions { engine: fabric::EngineKind::Reference, ..RunOptions::default() };
    let text = fabric::run(&b.program, &b.arch, &options, None).unwrap_err().to_string();
    assert!(text.starts_with("deadlock at cycle 10: nothing moves, 40 units are blocked"), "{text}");
    assert!(text.ends_with("… and 24 more"), "{text}");
}

/// The limit is the longest length that a run may have.
#[test]
fn cycle_limit() {
    let mut b = Build::new(1, 1);
    b.one(0, 0, &[], &[], vec![start(&[repeat(50, &[nop()])])]);
    let run = |cycle_limit| {
        reference::run(&b.program, &b.arch, &RunOptions { cycle_limit, ..options() }, None).map(|o| o.cycles.0)
    };
    assert_eq!((run(103), run(102)), (Ok(103), Err(RunError::CycleLimit { limit: 102 })));
    assert_eq!(run(0), Err(RunError::CycleLimit { limit: 0 }));
}

#[test]
fn memory_limit() {
    let mut b = Build::new(100, 100);
    b.image(Region::rect(0, 0, 100, 100), &[], &[], vec![start(&[nop()])]);
    let limited = RunOptions { memory_limit: 1 << 20, ..options() };
    match reference::run(&b.program, &b.arch, &limited, None) {
        Err(RunError::TooLarge { needs, limit }) => assert!(needs > limit && limit == 1 << 20),
        other => panic!("{other:?}"),
    }
    let mut b = Build::new(u32::MAX, 1);
    b.one(7, 0, &[], &[], vec![start(&[nop()])]);
    assert!(matches!(b.run_unchecked(), Err(RunError::TooLarge { .. })));
}

/// The first byte of the access that faults, when, and where: PE (1,0) by its parameter.
#[test]
fn memory_faults() {
    let mut b = Build::new(2, 1);
    let base = AddrReg(0);
    let m = Operand::Mem(MemRef::vec(F32, 0, 6).at(base));
    b.image(Region::rect(0, 0, 2, 1), &[], &[], vec![start(&[vec(Op::Mov, 6, m, &[Operand::imm(1.0)])])]);
    let sram = u64::from(b.arch.pe.sram.value);
    let faults = |b: &Build| b.with_values(&HostStreams::default(), |_| ()).0.unwrap_err();
    // Two words a beat: the first two are inside, the third is not.
    b.program.placements[0].params = vec![Param { dx: sram as i32 - 8, mod_x: 2, ..Param::constant(base, 0) }];
    let fault = RunError::MemoryFault { at: Cycle(10), pe: pe(1, 0), address: sram as i64, sram };
    assert_eq!(faults(&b), fault);
    b.program.placements[0].params[0].dx = -3;
    assert_eq!(faults(&b), RunError::MemoryFault { at: Cycle(9), pe: pe(1, 0), address: -3, sram });
    // A word that is partly outside. Without values nothing is addressed.
    b.program.placements[0].params[0].dx = sram as i32 - 2;
    assert_eq!(faults(&b), RunError::MemoryFault { at: Cycle(9), pe: pe(1, 0), address: sram as i64 - 2, sram });
    assert!(b.run().is_ok());
    let load = Instr::Addr(AddrOp::Load { reg: base, base: Some(base), offset: 1 });
    b.program.images[0].tasks[0].body = vec![load];
    assert_eq!(faults(&b), RunError::MemoryFault { at: Cycle(3), pe: pe(1, 0), address: sram as i64 - 1, sram });
}

/// Programs that cannot be built are refused, not run.
#[test]
fn malformed_programs() {
    type Change = fn(&mut Build);
    let changes: [Change; 13] = [
        |b| b.program.placements[0].image = 9,
        |b| b.program.placements[0].region.x.start = 9,
        |b| b.program.placements[0].params = vec![Param::constant(AddrReg(16), 0)],
        |b| b.program.placements.push(b.program.placements[0].clone()),
        |b| b.program.routes.push(b.program.routes[0]),
        |b| b.program.routes[0].region.y.count = 0,
        |b| b.program.routes[0].region.x.step = 0,
        |b| b.program.edges[0].ports.start = 3,
        |b| b.program.edges.push(b.program.edges[0].clone()),
        |b| b.program.images[0].inputs.push((99, color(9))),
        |b| b.program.images[0].outputs.push((0, Color::new(9).unwrap())),
        |b| b.program.images[0].tasks[0].body = vec![Instr::Activate(TaskId(7))],
        |b| b.program.images[0].tasks[0].body = vec![repeat(0, &[nop()])],
    ];
    for (k, change) in changes.iter().enumerate() {
        let mut b = Build::new(1, 1);
        b.one(0, 0, &[0], &[1], vec![start(&[receive(0, 1)])]);
        b.route_at(0, 0, 0, WEST, &[RAMP]);
        b.edge(0, Flow::In, WEST, 0, 1);
        assert!(b.run().is_ok());
        change(&mut b);
        assert!(matches!(b.run_unchecked(), Err(RunError::Invalid(_))), "change {k}");
    }
    let bodies = [
        vec(Op::Add, 1, mem(F32, 0, 1), &[]),
        vec(Op::Mov, 0, mem(F32, 0, 1), &[mem(F32, 0, 1)]),
        vec(Op::Mov, 1, Operand::imm(0.0), &[mem(F32, 0, 1)]),
        vec(Op::Mov, 1, mem(F32, 0, 0), &[mem(F32, 0, 1)]),
        Instr::Join(8),
        Instr::Addr(AddrOp::Copy(AddrReg(0), AddrReg(16))),
    ];
    for body in bodies {
        let mut b = Build::new(1, 1);
        b.one(0, 0, &[], &[], vec![start(&[body])]);
        assert!(matches!(b.run_unchecked(), Err(RunError::Invalid(_))));
    }
}

/// The memory must be that of the mesh.
#[test]
fn memory_of_another_mesh() {
    let b = Build::new(2, 1);
    let mut memory = WaferMemory::new(Grid { width: 1, height: 2 }, 64);
    let (inputs, mut outputs) = (HostStreams::default(), HostStreams::default());
    let mut values = Values { memory: &mut memory, inputs: &inputs, outputs: &mut outputs };
    let run = reference::run(&b.program, &b.arch, &options(), Some(&mut values));
    assert!(matches!(run, Err(RunError::Invalid(_))));
}
