//! Tiny cases that move as drawn by hand: what leaves which router in which cycle (rules R1 to
//! R3, C6, C7, E1, E2, M2).
#![allow(clippy::unwrap_used, reason = "tests")]

mod common;
use common::*;
use sim_core::coord::{Dir, PeCoord, Region};
use sim_core::program::DType::F32;
use sim_core::program::{Flow, Op};

/// A row of `pes` routers; each color in `through` goes from the west edge to the east edge, as
/// many wavelets as stated.
fn row(pes: u32, through: &[u64]) -> Build {
    let mut b = Build::new(pes, 1);
    for (n, &wavelets) in (0u8..).zip(through) {
        b.route(n, Region::rect(0, 0, pes, 1), WEST, &[EAST]);
        b.edge(n, Flow::In, WEST, 0, wavelets);
        b.edge(n, Flow::Out, EAST, 0, wavelets);
    }
    b
}

/// R3: two colors share the links; color 1 turns off at PE 1. Both enter in cycle 0.
#[test]
fn two_colors_alternate_on_a_link() {
    let mut b = row(3, &[3]);
    b.route_at(1, 0, 0, WEST, &[EAST]).route_at(1, 1, 0, WEST, &[SOUTH]);
    b.edge(1, Flow::In, WEST, 0, 2);
    b.edge(1, Flow::Out, SOUTH, 1, 2);
    assert_eq!(b.waveform(), [".01010..", "..01010.", "...0.0.0"]);
}

/// R3: the least recently served goes first, whatever its number; who is alone goes every cycle.
#[test]
fn three_colors_take_turns() {
    assert_eq!(row(1, &[4, 2, 2]).waveform(), [".01201200"]);
}

/// R3: a color that comes late has not been served for longest. Color 1 enters from the north in
/// cycle 0, colors 0 and 2 from the west from cycle 0; 1 has one wavelet more in cycle 3.
#[test]
fn a_color_that_waits_moves_up() {
    let mut b = Build::new(1, 1);
    for (n, side, wavelets, interval) in [(0, WEST, 5, 1), (1, WEST, 2, 4), (2, WEST, 2, 1)] {
        b.route_at(n, 0, 0, side, &[EAST]);
        b.edge(n, Flow::In, side, 0, wavelets).interval = interval;
        b.edge(n, Flow::Out, EAST, 0, wavelets);
    }
    // 1: order 0 1 2, 0 goes: 1 2 0. 2: 1 goes: 2 0 1. 3: 2 goes: 0 1 2. 4: 0 goes: 1 2 0.
    // 5: the second wavelet of 1 entered in 4, and goes: 2 0 1. 6: 2. 7 to 9: 0.
    assert_eq!(b.waveform(), [".012012000"]);
}

/// R3: colors with different outputs move in one cycle.
#[test]
fn different_links_do_not_compete() {
    let mut b = row(1, &[3]);
    b.route_at(1, 0, 0, WEST, &[SOUTH]);
    b.edge(1, Flow::In, WEST, 0, 3);
    b.edge(1, Flow::Out, SOUTH, 0, 3);
    assert_eq!((b.moves_of(0, 0, 0), b.moves_of(1, 0, 0)), (vec![1, 2, 3], vec![1, 2, 3]));
}

/// R1: a multicast leaves by both ports in one cycle or not at all. The south edge takes a
/// wavelet every 5 cycles (E2), so the east edge gets no more.
#[test]
fn multicast_is_all_or_nothing() {
    let mut b = Build::new(1, 1);
    b.route_at(0, 0, 0, WEST, &[EAST, SOUTH]);
    b.edge(0, Flow::In, WEST, 0, 4);
    b.edge(0, Flow::Out, EAST, 0, 4);
    b.edge(0, Flow::Out, SOUTH, 0, 4).interval = 5;
    assert_eq!(b.waveform(), [".0....0....0....0"]);
    // P2: every copy counts.
    assert_eq!(b.run().unwrap().wavelet_hops, 8);
}

/// R1, R3: a multicast needs all of its ports at once. Colors 0 and 1 hold one port each, color 2
/// needs both; each of the colors is served in its turn.
#[test]
fn multicast_competes_for_all_its_ports() {
    let mut b = Build::new(1, 1);
    b.route_at(0, 0, 0, WEST, &[EAST]).route_at(1, 0, 0, WEST, &[SOUTH]).route_at(2, 0, 0, WEST, &[EAST, SOUTH]);
    for n in 0..3 {
        b.edge(n, Flow::In, WEST, 0, 2);
    }
    for (n, side) in [(0, EAST), (1, SOUTH), (2, EAST), (2, SOUTH)] {
        b.edge(n, Flow::Out, side, 0, 2);
    }
    // 1: 0 and 1 go, order 2 0 1. 2: 2 goes and takes both, order 0 1 2. And again.
    assert_eq!((b.moves_of(0, 0, 0), b.moves_of(1, 0, 0)), (vec![1, 3], vec![1, 3]));
    assert_eq!(b.moves_of(2, 0, 0), [2, 4]);
}

/// E1: the first wavelet from cycle 0, the next ones every `interval` cycles.
#[test]
fn an_edge_stream_keeps_its_interval() {
    let mut b = row(2, &[3]);
    b.program.edges[0].interval = 3;
    assert_eq!(b.waveform(), [".0..0..0.", "..0..0..0"]);
}

/// R2: ready `hop` cycles after it left; on the link there is room for what is on the way.
#[test]
fn a_hop_takes_its_cycles() {
    let mut b = row(2, &[3]);
    b.arch.router.hop.value = 3;
    assert_eq!(b.waveform(), ["...000...", "......000"]);
}

/// M2: a place that becomes free in a cycle is free from the next one on.
#[test]
fn credits_return_a_cycle_later() {
    let mut b = row(2, &[3]);
    b.arch.router.buffer.value = 1;
    // Put in 0, 2, 4; each leaves PE 0 a cycle later.
    assert_eq!(b.waveform(), [".0.0.0.", "..0.0.0"]);
    b.arch.router.buffer.value = 2;
    assert_eq!(b.waveform(), [".000.", "..000"]);
}

/// C6, C7: through a compute element. The task is selected in 0, reached in 3, its setup over
/// in 9; the wavelet of cycle 0 + 1 is in the input queue from 3 on.
#[test]
fn up_and_down_the_ramp() {
    let mut b = Build::new(1, 1);
    let copy = vec(Op::Mov, 3, fab(1, F32), &[fab(0, F32)]);
    b.one(0, 0, &[0], &[1], vec![start(&[copy])]);
    b.route_at(0, 0, 0, WEST, &[RAMP]).route_at(1, 0, 0, RAMP, &[EAST]);
    b.edge(0, Flow::In, WEST, 0, 3);
    b.edge(1, Flow::Out, EAST, 0, 3);
    // Beats in 9, 10, 11; the wavelets may leave 1 + 2 cycles later.
    assert_eq!(b.waveform(), [".000........111"]);
}

/// Back-pressure through shallow buffers: the receiver is busy until cycle 29.
///
/// Buffers hold 2, the input queue 1 + 2 − 1 = 2. Wavelets enter in 0 to 5, PE 0 sends in 1 to 4,
/// PE 1 in 2 and 3; then everything is full. The beats are in 29, 30 (what is in the queue), and
/// from then on two wavelets per three cycles: a place in the queue is taken from the cycle after
/// the router sent until the end of the cycle of the beat two cycles later.
#[test]
fn back_pressure_reaches_the_edge() {
    let mut b = Build::new(2, 1);
    b.arch.router.buffer.value = 2;
    b.arch.pe.input_queues.value[0] = 1;
    b.route_at(0, 0, 0, WEST, &[EAST]).route_at(0, 1, 0, WEST, &[RAMP]);
    b.edge(0, Flow::In, WEST, 0, 8);
    let mut body = vec![nop(); 20];
    body.push(vec(Op::Mov, 8, mem(F32, 0, 8), &[fab(0, F32)]));
    b.one(1, 0, &[0], &[], vec![start(&body)]);
    assert_eq!(b.moves_of(0, 0, 0), [1, 2, 3, 4, 31, 32, 34, 35]);
    assert_eq!(b.moves_of(0, 1, 0), [2, 3, 30, 31, 33, 34, 36, 37]);
    // Beats in 29, 30, 32, 33, 35, 36, 38, 39.
    assert_eq!(b.cycles(), 40);
}

/// C6: the output queue holds depth + 1 + 2 − 1 wavelets, the pipeline's registers included.
/// The edge takes a wavelet every 10 cycles, from 12 on. P1, P3 for both PEs of the row.
#[test]
fn a_full_output_queue_holds_the_beat() {
    let mut b = Build::new(2, 1);
    b.one(0, 0, &[], &[0], vec![start(&[vec(Op::Mov, 10, fab(0, F32), &[mem(F32, 0, 10)])])]);
    b.route_at(0, 0, 0, RAMP, &[SOUTH]);
    b.edge(0, Flow::Out, SOUTH, 0, 10).interval = 10;
    // Beats in 9 to 12; 13, since one left in 12; then one after each that leaves: 23, 33, … 63.
    assert_eq!(b.moves_of(0, 0, 0), (0..10).map(|k| 12 + 10 * k).collect::<Vec<_>>());
    let outcome = b.run().unwrap();
    let [sender, other] = outcome.per_pe.unwrap()[..] else { panic!("two PEs") };
    assert_eq!(outcome.cycles.0, 103);
    assert_eq!(sender.cycles.compute, 3 + 6 + 10);
    assert_eq!(sender.cycles.back_pressure, 63 - 14 - 4);
    assert_eq!((sender.cycles.wait, sender.cycles.idle), (0, 103 - 64));
    assert_eq!((sender.finish, sender.sent), (64, [0, 0, 10, 0, 0]));
    assert_eq!((other.cycles.idle, other.finish), (103, 0));
}

/// P1, P2, P3 of a broadcast of 20 over 3 PEs, 36 cycles (see `closed_form.rs`): beats of the
/// sender in 9 to 28, of the receivers in 15 to 34 and 16 to 35.
#[test]
fn every_cycle_is_accounted_for() {
    let mut b = Build::new(3, 1);
    b.one(0, 0, &[], &[0], vec![start(&[vec(Op::Mov, 20, fab(0, F32), &[mem(F32, 0, 20)])])]);
    let receive = vec(Op::Mov, 20, mem(F32, 0, 20), &[fab(0, F32)]);
    b.image(Region::rect(1, 0, 2, 1), &[0], &[], vec![start(&[receive])]);
    b.route_at(0, 0, 0, RAMP, &[EAST]).route_at(0, 1, 0, WEST, &[EAST, RAMP]).route_at(0, 2, 0, WEST, &[RAMP]);
    let outcome = b.run().unwrap();
    let counters = outcome.per_pe.clone().unwrap();
    let parts: Vec<_> = counters.iter().map(|c| (c.cycles.compute, c.cycles.wait, c.cycles.idle, c.finish)).collect();
    assert_eq!(parts, [(29, 0, 7, 29), (29, 6, 1, 35), (29, 7, 0, 36)]);
    assert_eq!(counters.map_sent(), [[0, 20, 0, 0, 0], [0, 20, 0, 0, 20], [0, 0, 0, 0, 20]]);
    assert_eq!((outcome.cycles.0, outcome.wavelet_hops, outcome.macs), (36, 40, 0));
    assert_eq!((outcome.stepped_cycles, outcome.stepped_pe_cycles), (36, 108));
}

/// P2 by color: PE 0 sends 3 on c0 to both neighbours and 5 on c1 to the east, where c1 goes down
/// the ramp and on over the edge. Every copy of a multicast counts.
#[test]
fn what_routers_send_is_counted_by_color() {
    let mut b = Build::new(2, 2);
    let send = |color, n| vec(Op::Mov, n, fab(color, F32), &[mem(F32, 0, n)]);
    let receive = |color, n| vec(Op::Mov, n, mem(F32, 0, n), &[fab(color, F32)]);
    b.one(0, 0, &[], &[0, 1], vec![start(&[send(0, 3), send(1, 5)])]);
    b.one(1, 0, &[0, 1], &[], vec![start(&[receive(0, 3), receive(1, 5)])]);
    b.one(0, 1, &[0], &[], vec![start(&[receive(0, 3)])]);
    b.route_at(0, 0, 0, RAMP, &[EAST, SOUTH]).route_at(0, 1, 0, WEST, &[RAMP]);
    b.route_at(0, 0, 1, Dir::North, &[RAMP]);
    b.route_at(1, 0, 0, RAMP, &[EAST]).route_at(1, 1, 0, WEST, &[EAST, RAMP]);
    b.edge(1, Flow::Out, EAST, 0, 5);
    let outcome = b.run().unwrap();
    let (colors, pes) = (outcome.per_color.unwrap(), outcome.per_pe.unwrap());
    let sent = |pe| colors.pe(pe).iter().map(|c| (c.color.index(), c.sent)).collect::<Vec<_>>();
    assert_eq!(sent(0), [(0, [0, 3, 3, 0, 0]), (1, [0, 5, 0, 0, 0])]);
    assert_eq!(sent(1), [(0, [0, 0, 0, 0, 3]), (1, [0, 5, 0, 0, 5])]);
    assert_eq!((sent(2), sent(3)), (vec![(0, [0, 0, 0, 0, 3])], vec![]));
    assert_eq!(pes[1].sent, [0, 5, 0, 0, 8]);
}

trait MapSent {
    fn map_sent(&self) -> Vec<[u64; 5]>;
}

impl MapSent for Vec<sim_core::report::PeCounters> {
    fn map_sent(&self) -> Vec<[u64; 5]> {
        self.iter().map(|c| c.sent).collect()
    }
}

/// M1: moving a whole pattern by one PE moves its waveform, and nothing else: nothing depends on
/// the order in which units are visited.
#[test]
fn mirrored_programs_move_alike() {
    let (mut a, mut b) = (Build::new(4, 1), Build::new(4, 1));
    for n in 0..2 {
        a.route(n, Region::rect(0, 0, 4, 1), WEST, &[EAST]);
        b.route(n, Region::rect(0, 0, 4, 1), EAST, &[WEST]);
        a.edge(n, Flow::In, WEST, 0, 5);
        a.edge(n, Flow::Out, EAST, 0, 5).interval = 3;
        b.edge(n, Flow::In, EAST, 0, 5);
        b.edge(n, Flow::Out, WEST, 0, 5).interval = 3;
    }
    let mirrored: Vec<String> = b.waveform().into_iter().rev().collect();
    assert_eq!(a.waveform(), mirrored);
    assert!(a.moves().iter().any(|m| m.1 == PeCoord { x: 3, y: 0 }));
}
