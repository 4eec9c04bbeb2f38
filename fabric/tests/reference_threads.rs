//! Threads, tasks and the issue slot of the reference engine (rules C1, C2, C8, C9).
#![allow(clippy::unwrap_used, reason = "tests")]

mod common;
use common::*;
use sim_core::program::DType::F32;
use sim_core::program::{AddrOp, AddrReg, Flow, Instr, Op, Priority, TaskId, Then, VecOp};

const B: TaskId = TaskId(1);

/// An addition of 16 f32 words: setup 6, then 8 beats.
fn add16() -> VecOp {
    op(Op::Add, 16, mem(F32, 0, 16), &[mem(F32, 0, 16), mem(F32, 72, 16)])
}

/// Cycles of a PE that runs `tasks`, from the start.
fn tasks(tasks: Vec<sim_core::program::Task>) -> u64 {
    let mut b = Build::new(1, 1);
    b.one(0, 0, &[], &[], tasks);
    b.cycles()
}

#[test]
fn an_empty_program_takes_no_cycle() {
    assert_eq!(Build::new(2, 2).cycles(), 0);
    assert_eq!(tasks(vec![later(&[nop()])]), 0);
}

/// C8: a slot each, two for `wrap`.
#[test]
fn scalar_instructions() {
    assert_eq!(solo(&[nop(), nop(), nop()]), 3);
    let r = AddrReg(0);
    let wrap = Instr::Addr(AddrOp::Wrap { reg: r, end: 8, size: 8 });
    assert_eq!(solo(&[wrap, nop()]), 3);
    let load = Instr::Addr(AddrOp::Load { reg: r, base: None, offset: 0 });
    assert_eq!(solo(&[load, Instr::Addr(AddrOp::Clamp(r, 0, 4)), Instr::Join(7)]), 3);
}

/// C8: loops cost nothing to enter and `loop_back` at the end of every repetition.
#[test]
fn loops() {
    assert_eq!(solo(&[repeat(10, &[nop()])]), 10 * (1 + 1));
    assert_eq!(solo(&[repeat(4, &[repeat(3, &[nop(), nop()])])]), 4 * (3 * (2 + 1) + 1));
    assert_eq!(solo(&[repeat(4, &[nop(), repeat(3, &[nop()]), nop()]), nop()]), 4 * (1 + 6 + 1 + 1) + 1);
    let mut arch = machine();
    arch.pe.loop_back.value = 0;
    assert_eq!(solo_on(&arch, &[repeat(4, &[repeat(3, &[nop(), nop()])]), nop()]), 4 * 3 * 2 + 1);
    arch.pe.loop_back.value = 3;
    assert_eq!(solo_on(&arch, &[repeat(4, &[repeat(3, &[nop(), nop()])])]), 4 * (3 * (2 + 3) + 3));
    assert_eq!(solo(&[repeat(5, &[Instr::Vec(add16())])]), 5 * (6 + 8 + 1));
}

/// C2 on a microthread: issue, setup from the next cycle on, beats. C8: `join` in the cycle
/// after the last slot.
#[test]
fn asynchronous_instructions_and_join() {
    let go = micro(2, Priority::Medium, add16());
    // Issue in 0, setup in 1 to 6, beats in 7 to 14, join in 15.
    assert_eq!(solo(std::slice::from_ref(&go)), 15);
    assert_eq!(solo(&[go.clone(), Instr::Join(2)]), 16);
    // Work in the shadow of the setup costs nothing.
    let shadow = [vec![go.clone()], vec![nop(); 6], vec![Instr::Join(2)]].concat();
    assert_eq!(solo(&shadow), 16);
    // Work beyond the setup takes slots from the beats, which go first.
    let more = [vec![go.clone()], vec![nop(); 8], vec![Instr::Join(2)]].concat();
    assert_eq!(solo(&more), 18);
    // A busy microthread holds the issue: the second one is issued in 15.
    assert_eq!(solo(&[go.clone(), go]), 30);
}

/// P1: while the main thread waits for a microthread that has nothing to do, the PE waits.
#[test]
fn waiting_for_a_microthread_counts_as_wait() {
    let mut b = Build::new(1, 1);
    let receive = op(Op::Mov, 1, mem(F32, 0, 1), &[fab(0, F32)]);
    b.one(0, 0, &[0], &[], vec![start(&[micro(0, Priority::High, receive), Instr::Join(0)])]);
    b.route_at(0, 0, 0, WEST, &[RAMP]);
    b.edge(0, Flow::In, WEST, 0, 1);
    b.arch.router.hop.value = 20;
    // Dispatch 0 to 2, issue in 3, setup in 4 to 9. The wavelet leaves the router in 20, is ready
    // in 22; the beat in 22, join in 23.
    let outcome = b.run().unwrap();
    let [counters] = outcome.per_pe.unwrap()[..] else { panic!("one PE") };
    assert_eq!((counters.cycles.compute, counters.cycles.wait, counters.cycles.idle), (3 + 1 + 6 + 2, 12, 0));
    assert_eq!(outcome.cycles.0, 24);
}

/// Two microthreads send 4 words each, on colors 0 and 1, while the main thread has `work`
/// cycles to do: the cycles in which their wavelets leave the router, 3 after their beats.
fn two_senders(first: Priority, second: Priority, work: usize) -> (Vec<u64>, Vec<u64>) {
    let mut b = Build::new(1, 1);
    let send = |n| op(Op::Mov, 4, fab(n, F32), &[mem(F32, 0, 4)]);
    let body = [vec![micro(0, first, send(0)), micro(1, second, send(1))], vec![nop(); work]].concat();
    b.one(0, 0, &[], &[0, 1], vec![start(&body)]);
    for (n, side) in [(0, EAST), (1, SOUTH)] {
        b.route_at(n, 0, 0, RAMP, &[side]);
        b.edge(n, Flow::Out, side, 0, 4);
    }
    let less_ramp = |cycles: Vec<u64>| cycles.iter().map(|c| c - 3).collect();
    (less_ramp(b.moves_of(0, 0, 0)), less_ramp(b.moves_of(1, 0, 0)))
}

/// C1. The instructions are issued in 3 and 4; setups are over in 10 and 11. The main thread has
/// slots 5 to 9 in any case.
#[test]
fn priorities() {
    use Priority::{High, Low, Medium};
    let beats = two_senders;
    // Equals take turns, starting behind the one that issued last.
    assert_eq!(beats(Medium, Medium, 0), (vec![10, 12, 14, 16], vec![11, 13, 15, 17]));
    assert_eq!(beats(High, High, 0), (vec![10, 12, 14, 16], vec![11, 13, 15, 17]));
    assert_eq!(beats(Low, Low, 0), (vec![10, 12, 14, 16], vec![11, 13, 15, 17]));
    // High before medium, medium before low.
    assert_eq!(beats(Medium, High, 0), (vec![10, 15, 16, 17], vec![11, 12, 13, 14]));
    assert_eq!(beats(High, Medium, 0), (vec![10, 11, 12, 13], vec![14, 15, 16, 17]));
    assert_eq!(beats(Low, Medium, 0), (vec![10, 15, 16, 17], vec![11, 12, 13, 14]));
    // The main thread is before low: its 20 slots are 5 to 24.
    assert_eq!(beats(Low, Low, 20), (vec![25, 27, 29, 31], vec![26, 28, 30, 32]));
    assert_eq!(beats(Medium, Low, 20), (vec![10, 11, 12, 13], vec![29, 30, 31, 32]));
    assert_eq!(beats(Medium, Medium, 20), (vec![10, 12, 14, 16], vec![11, 13, 15, 17]));
}

/// C1: "the microthread that issued last" is one for all priorities. Microthreads 0 and 1 are
/// medium and ready in 10 and 11; 5 is high, has one word to send, and is ready in 12.
#[test]
fn turns_start_behind_the_one_that_issued_last() {
    let mut b = Build::new(1, 1);
    let send = |n, len| op(Op::Mov, len, fab(n, F32), &[mem(F32, 0, len)]);
    let medium = |t| micro(t, Priority::Medium, send(t, 4));
    b.one(0, 0, &[], &[0, 1, 2], vec![start(&[medium(0), medium(1), micro(5, Priority::High, send(2, 1))])]);
    for (n, side, len) in [(0, EAST, 4), (1, SOUTH, 4), (2, WEST, 1)] {
        b.route_at(n, 0, 0, RAMP, &[side]);
        b.edge(n, Flow::Out, side, 0, len);
    }
    // 10: 0. 11: 1. 12: 5, and behind it comes 0 again: 13: 0. 14: 1. 15: 0. 16: 1. 17: 0. 18: 1.
    assert_eq!(b.moves_of(2, 0, 0), [15]);
    assert_eq!(b.moves_of(0, 0, 0), [13, 16, 18, 20]);
    assert_eq!(b.moves_of(1, 0, 0), [14, 17, 19, 21]);
    // Ready in 11 instead, after 0: 10: 0. 11: 5. 12: 0 (not 1). 13: 1. And so on.
    b.program.images[0].tasks[0].body.swap(1, 2);
    assert_eq!(b.moves_of(2, 0, 0), [14]);
    assert_eq!(b.moves_of(0, 0, 0), [13, 15, 17, 19]);
    assert_eq!(b.moves_of(1, 0, 0), [16, 18, 20, 21]);
}

/// C3: a beat of two slots may be interrupted between them.
#[test]
fn the_second_slot_of_a_beat() {
    // The reduction of 3 words into a word in memory takes 2 slots each; it is ready in 7.
    let reduce = op(Op::Add, 3, word(F32, 0), &[word(F32, 0), mem(F32, 4, 3)]);
    let low = micro(0, Priority::Low, reduce);
    assert_eq!(solo(std::slice::from_ref(&low)), 7 + 6);
    // The main thread is in its setup in 2 to 7 and has its 8 beats in 8 to 15, between the first
    // slot of the microthread and its other 5.
    assert_eq!(solo(&[low.clone(), nop(), Instr::Vec(add16())]), 16 + 5);
    // Here it has slot 7 itself, and none is left over: 8 to 13.
    assert_eq!(solo(&[vec![low], vec![nop(); 7]].concat()), 8 + 6);
}

/// C9: selected in 0, reached in 3. B is activated in 4, selected in 5, reached in 8.
#[test]
fn tasks_follow_each_other() {
    let a = start(&[nop(), Instr::Activate(B)]);
    assert_eq!(tasks(vec![a.clone(), later(&[nop()])]), 9);
    // An activation in the middle is remembered, once.
    let twice = start(&[Instr::Activate(B), Instr::Activate(B), nop()]);
    assert_eq!(tasks(vec![twice, later(&[nop()])]), 3 + 3 + 3 + 1);
    // A task that activates itself by way of another runs for ever.
    let mut b = Build::new(1, 1);
    b.one(0, 0, &[], &[], vec![start(&[Instr::Activate(B)]), later(&[Instr::Activate(TaskId(0))])]);
    assert!(b.run().is_err());
}

/// C9: the first instruction is reached at least one cycle after the selection.
#[test]
fn dispatch_takes_at_least_a_cycle() {
    for (dispatch, expected) in [(0, 2), (1, 2), (2, 3), (7, 8)] {
        let mut b = Build::new(1, 1);
        b.arch.pe.task_dispatch.value = dispatch;
        b.one(0, 0, &[], &[], vec![start(&[nop()])]);
        assert_eq!(b.cycles(), expected);
    }
}

/// C9: of two runnable tasks the one with the smaller number is selected.
#[test]
fn the_smaller_number_goes_first() {
    let mut b = Build::new(1, 1);
    let send = |n| vec(Op::Mov, 1, fab(n, F32), &[mem(F32, 0, 1)]);
    b.one(0, 0, &[], &[0, 1], vec![later(&[]), start(&[send(1)]), start(&[send(0)])]);
    for (n, side) in [(0, EAST), (1, SOUTH)] {
        b.route_at(n, 0, 0, RAMP, &[side]);
        b.edge(n, Flow::Out, side, 0, 1);
    }
    // Task 1: reached in 3, beat in 9. Task 2: selected in 10, reached in 13, beat in 19.
    assert_eq!((b.moves_of(1, 0, 0), b.moves_of(0, 0, 0)), (vec![12], vec![22]));
}

/// C9: a blocked task is not runnable; it stays active.
#[test]
fn block_and_unblock() {
    let mut held = start(&[nop()]);
    held.blocked = true;
    // It never runs, and the run ends without it (M3).
    assert_eq!(tasks(vec![start(&[nop()]), held.clone()]), 4);
    // Unblocked in 4, selected in 5, reached in 8.
    assert_eq!(tasks(vec![start(&[nop(), Instr::Unblock(B)]), held]), 9);
    // Blocked in time by the first task, although active from the start.
    assert_eq!(tasks(vec![start(&[nop(), Instr::Block(B)]), start(&[nop()])]), 5);
}

/// An asynchronous instruction activates or unblocks a task at its end, visible one cycle later.
#[test]
fn completion_makes_a_task_runnable() {
    // Issue in 3, setup in 4 to 9, beats in 10 to 17; selected in 18, reached in 21.
    let then = Then::Activate(B);
    assert_eq!(tasks(vec![start(&[micro_then(0, Priority::Low, add16(), then)]), later(&[nop()])]), 22);
    let mut held = start(&[nop()]);
    held.blocked = true;
    let then = Then::Unblock(B);
    assert_eq!(tasks(vec![start(&[micro_then(0, Priority::Low, add16(), then)]), held]), 22);
}

/// C9 for data tasks: the wavelets leave the router in 1 and 2, are ready in 3 and 4; selected in
/// 3, reached in 6, over; selected in 7, reached in 10.
#[test]
fn wavelets_run_data_tasks() {
    let mut b = Build::new(1, 1);
    b.one(0, 0, &[0], &[], vec![on(0, 3, &[nop()])]);
    b.route_at(0, 0, 0, WEST, &[RAMP]);
    b.edge(0, Flow::In, WEST, 0, 2);
    assert_eq!(b.cycles(), 11);
    let mut hold = Build::new(1, 1);
    let mut task = on(0, 3, &[nop()]);
    task.blocked = true;
    // Unblocked in 3 + 10; selected in 14, reached in 17; selected in 18, reached in 21.
    let body = [vec![nop(); 10], vec![Instr::Unblock(TaskId(0))]].concat();
    hold.one(0, 0, &[0], &[], vec![task, start(&body)]);
    hold.route_at(0, 0, 0, WEST, &[RAMP]);
    hold.edge(0, Flow::In, WEST, 0, 2);
    assert_eq!(hold.cycles(), 22);
}

/// C9: a data task may take what follows its wavelet by a vector instruction.
#[test]
fn a_data_task_takes_the_rest() {
    let mut b = Build::new(1, 1);
    b.one(0, 0, &[0], &[], vec![on(0, 3, &[vec(Op::Mov, 3, mem(F32, 0, 3), &[fab(0, F32)])])]);
    b.route_at(0, 0, 0, WEST, &[RAMP]);
    b.edge(0, Flow::In, WEST, 0, 8);
    // Twice 4 wavelets. Selected in 3, reached in 6, setup to 11, beats in 12 to 14; and again.
    assert_eq!(b.cycles(), 3 + 2 * (3 + 6 + 3));
}

/// The same program on machines with other latencies.
#[test]
fn setup_is_a_number_of_the_machine() {
    let mut arch = machine();
    for setup in [0, 1, 17] {
        arch.pe.vector_setup.value = setup;
        assert_eq!(solo_on(&arch, &[Instr::Vec(add16())]), u64::from(setup) + 8);
        assert_eq!(solo_on(&arch, &[micro(0, Priority::High, add16())]), 1 + u64::from(setup) + 8);
    }
    assert_eq!(SETUP, u64::from(machine().pe.vector_setup.value));
}
