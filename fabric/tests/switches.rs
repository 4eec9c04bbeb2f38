//! Switches, control wavelets, filters, teardown, FIFOs and circular buffers: what leaves which
//! router in which cycle, checked by hand, and the values that arrive (rules S1 to S6, C10).
//!
//! On a CS-2 the first instruction of a task that is active at the start is reached in cycle 3. A
//! vector instruction then has its first beat in cycle 9, a control wavelet is sent in cycle 3; what
//! is sent in `t` leaves the PE's router in `t + 3` at the earliest, crosses a link in 1 cycle and is
//! ready in an input queue 2 cycles after it left a router.
#![allow(clippy::unwrap_used, reason = "tests")]

mod common;
use common::*;
use fabric::HostStreams;
use sim_core::program::parse;

/// A program in text form, on a CS-2.
fn text(grid: &str, body: &str) -> Build {
    let program = parse(&format!("program test\ngrid {grid}\n{body}"), "test").unwrap();
    let faults = common::faults(&program, &sim_core::arch::cs2::cs2());
    assert!(faults.is_empty(), "{faults:#?}");
    Build { program, ..Build::new(1, 1) }
}

/// The memories after a run with `inputs`, a stream of one port each.
fn memories(b: &Build, inputs: &[(&str, Vec<u32>)]) -> Vec<Vec<u8>> {
    let mut streams = HostStreams::default();
    for (name, words) in inputs {
        streams.ports.insert(((*name).to_owned(), 0), words.clone());
    }
    let (outcome, memory, _) = b.with_values(&streams, |_| ());
    outcome.unwrap();
    memory.pes
}

/// Each of two PEs sends two wavelets (beats in 9 and 10) and a control wavelet (in 11); the third
/// one receives. `switch` is what the second one's router does with it.
fn star(switch: &str) -> Build {
    text(
        "3x1",
        &format!(
            "image send {{
               out q0 c0
               task main local active {{
                 vec mov 2: fab c0 f32 <- f32@0[2]
                 control c0 adv
               }}
             }}
             image recv {{
               in q0 c0
               task main local active {{
                 vec mov 4: f32@0[4] <- fab c0 f32
               }}
             }}
             place send x=0..2 y=0
             place recv x=2 y=0
             route c0 x=0..2 y=0 ramp -> east
             route c0 x=2 y=0 west -> ramp
             switch c0 x=1 y=0 {switch}"
        ),
    )
}

/// S1, S2, S3: the second router turns in 15 and takes what waits at its west side since 13; the
/// control wavelets end in the third router, which they do not leave.
#[test]
fn a_control_wavelet_turns_the_switch_behind_it() {
    let b = star("pop never | west");
    assert_eq!(b.moves_of(0, 0, 0), [12, 13, 14]);
    assert_eq!(b.moves_of(0, 1, 0), [12, 13, 14, 15, 16, 17]);
    assert_eq!(b.moves_of(0, 2, 0), [13, 14, 15, 16, 17, 18]);
    // P2: links are counted, not ramps.
    assert_eq!(b.run().unwrap().wavelet_hops, 3 + 6);
}

/// S3: in ring mode the second control wavelet turns the switch back to the ramp, and a third one
/// forward again.
#[test]
fn a_ring_comes_back_to_position_0() {
    let mut b = star("pop never ring | west");
    let more = "control c0 adv\n";
    let program = b.program.to_string().replace("    control c0 adv\n", &format!("    control c0 adv\n    {more}"));
    b.program = parse(&program, "test").unwrap();
    // The second router's own: 12, 13, and control in 14, which turns it west. From the west: 15, 16, and
    // control in 17, which turns it to the ramp, where its second control wavelet waits: 18. West
    // again: 19.
    assert_eq!(b.moves_of(0, 1, 0), [12, 13, 14, 15, 16, 17, 18, 19]);
}

/// S3: in each pop mode the control wavelet itself leaves by the old position, and turns the switch
/// for the data wavelet behind it.
#[test]
fn a_control_wavelet_leaves_by_the_old_position() {
    let line = |pop: &str| {
        text(
            "3x1",
            &format!(
                "image send {{
                   out q0 c0
                   task main local active {{
                     control c0 adv
                     vec mov 1: fab c0 f32 <- f32@0[1]
                   }}
                 }}
                 place send x=0 y=0
                 route c0 x=0 y=0 ramp -> east
                 route c0 x=1..3 y=0 west -> east
                 switch c0 x=1..3 y=0 pop {pop} | -> south
                 edge out east east y=0 c0 wavelets 1 every 1 fanout 1
                 edge out near south x=1 c0 wavelets 1 every 1 fanout 1"
            ),
        )
    };
    // The control wavelet is sent in 3 and leaves the routers in 6, 7 and 8 (over the east edge);
    // the data wavelet (beat in 10) leaves the first two in 13 and 14, the second one to the south.
    for pop in ["never", "always", "advance"] {
        let b = line(pop);
        assert_eq!((b.moves_of(0, 0, 0), b.moves_of(0, 1, 0)), (vec![6, 13], vec![7, 14]), "{pop}");
        assert_eq!(b.moves_of(0, 2, 0), [8], "{pop}");
    }
}

/// S3: the second command is for the next router if the first was popped.
#[test]
fn each_router_pops_its_own_command() {
    let b = |commands: &str, pop: &str, side: &str| {
        text(
            "3x1",
            &format!(
                "image send {{
                   out q0 c0
                   task main local active {{
                     control c0 {commands}
                     vec mov 1: fab c0 f32 <- f32@0[1]
                   }}
                 }}
                 place send x=0 y=0
                 route c0 x=0 y=0 ramp -> east
                 route c0 x=1..3 y=0 west -> east
                 switch c0 x=1..3 y=0 pop {pop} | -> south
                 edge out east east y=0 c0 wavelets {} every 1 fanout 1
                 edge out south south x=2 c0 wavelets 1 every 1 fanout 1",
                if side == "south" { 1 } else { 2 }
            ),
        )
    };
    // `nop adv`, always popped: the first switch stays, the second turns south.
    assert!(b("nop adv", "always", "south").run().is_ok());
    // Popped only if it advanced: `nop` stays the first command, nobody turns; both go east and the
    // south edge waits.
    assert!(b("nop adv", "advance", "south").run().is_err());
}

/// S2, S6: with a number it goes down the ramp and makes the task runnable: ready in the queue in
/// 6 + 1 + 2 = 9, selected in 9, first instruction in 12, which is the run's last cycle but none.
#[test]
fn a_control_task_runs_when_its_wavelet_arrives() {
    let b = text(
        "2x1",
        "image send {
           out q0 c0
           task main local active {
             control c0 -> 5
           }
         }
         image recv {
           in q0 c0
           task other control 4 {
             loop 100 {
               a0 = a0 + 1
             }
           }
           task told control 5 {
             a0 = a0 + 1
           }
         }
         place send x=0 y=0
         place recv x=1 y=0
         route c0 x=0 y=0 ramp -> east
         route c0 x=1 y=0 west -> ramp",
    );
    assert_eq!((b.moves_of(0, 0, 0), b.moves_of(0, 1, 0)), (vec![6], vec![7]));
    assert_eq!(b.run().unwrap().cycles.0, 13);
}

/// S4: `teardown` passes in 6 and closes the color in 7; the wavelet behind it (beat in 10, ready in
/// 13) waits until the PE opens the color. The task is runnable in 7, but the main thread is in the
/// vector instruction until 10 and without a task from 11 on: it selects in 11, reaches `open` in 14.
#[test]
fn teardown_closes_until_the_pe_opens() {
    let b = text(
        "1x1",
        "image send {
           out q0 c0
           task main local active {
             control c0 teardown
             vec mov 1: fab c0 f32 <- f32@0[1]
           }
           task again teardown c0 {
             open c0
           }
         }
         place send x=0 y=0
         route c0 x=0 y=0 ramp -> east
         edge out east east y=0 c0 wavelets 2 every 1 fanout 1",
    );
    assert_eq!(b.moves_of(0, 0, 0), [6, 15]);
}

/// S5: a broadcast becomes a scatter: of eight wavelets each of four PEs gets its two, without
/// instructions; the counters start two apart.
#[test]
fn filters_scatter_a_broadcast() {
    let b = text(
        "4x1",
        "image recv {
           in q0 c0
           mem y f32[2] @0
           task main local active {
             vec mov 2: f32@0[2] <- fab c0 f32
           }
         }
         place recv x=0..4 y=0
         route c0 x=0..3 y=0 west -> east ramp
         route c0 x=3 y=0 west -> ramp
         filter c0 x=0..4 y=0 start 0-2*x pass 2 of 8
         edge in x west y=0 c0 wavelets 8 every 1 fanout 1",
    );
    assert_eq!(b.moves_of(0, 0, 0), (1..9).collect::<Vec<u64>>());
    let values: Vec<u32> = (0..8u32).map(|k| (k as f32).to_bits()).collect();
    let memory = memories(&b, &[("x", values)]);
    for x in 0..4u32 {
        let pair = |at: usize| f32::from_le_bytes(memory[x as usize][at..at + 4].try_into().unwrap());
        assert_eq!((pair(0), pair(4)), (2.0 * x as f32, 2.0 * x as f32 + 1.0), "PE {x}");
    }
}

/// S2: the control wavelet of a microthread is a vector instruction of one element. It is issued in 3, set up in 4
/// to 9, and given in 10, if its priority is high; the data of the main thread is set up in 4 to 9 as well and
/// issued in 10 and 11, before a microthread of low priority.
#[test]
fn a_microthread_sends_a_control_wavelet() {
    for (priority, stuck) in [("high", true), ("low", false)] {
        let b = text(
            "2x1",
            &format!(
                "image send {{
                   out q0 c0
                   task main local active {{
                     async t0 {priority} control c0 nop -> 5 then activate done
                     vec mov 2: fab c0 f32 <- f32@0[2]
                     join t0
                   }}
                   task done local {{
                     a0 = 1
                   }}
                 }}
                 image recv {{
                   in q0 c0
                   mem y f32[2] @0
                   task main control 5 {{
                     a0 = 1
                   }}
                   task all local active {{
                     vec mov 2: f32@0[2] <- fab c0 f32
                   }}
                 }}
                 place send x=0 y=0
                 place recv x=1 y=0
                 route c0 x=0 y=0 ramp -> east
                 route c0 x=1 y=0 west -> ramp"
            ),
        );
        // Behind the data, the control wavelet waits for its task. Before it, nobody takes it: the main thread
        // is in a task that waits for data.
        assert_eq!(b.run().is_err(), stuck, "{priority}");
        if !stuck {
            assert_eq!(b.moves_of(0, 0, 0), [13, 14, 15]);
        }
    }
}

/// R1: the first beat is in 9, leaves the router in 12, by both ports, and is ready at the PE itself in 14 and
/// at its neighbour, one hop later, in 15. The PE's own receiver is set up in 11 to 16 and issues in 17 and 18.
#[test]
fn a_pe_sends_to_itself() {
    let b = text(
        "2x1",
        "image both {
           in q0 c0
           out q0 c0
           mem x f32[2] @0 = 3, 4
           task main local active {
             vec mov 2: fab c0 f32 <- f32@0[2]
             vec mov 2: f32@8[2] <- fab c0 f32
           }
         }
         image recv {
           in q0 c0
           task main local active {
             vec mov 2: f32@8[2] <- fab c0 f32
           }
         }
         place both x=0 y=0
         place recv x=1 y=0
         route c0 x=0 y=0 ramp -> east ramp
         route c0 x=1 y=0 west -> ramp",
    );
    assert_eq!(b.moves_of(0, 0, 0), [12, 13]);
    for memory in memories(&b, &[]) {
        assert_eq!(memory[8..16], [0, 0, 64, 64, 0, 0, 128, 64], "3 and 4");
    }
    // The second instruction has no setup of its own.
    assert_eq!(b.run().unwrap().cycles.0, 17);
}

/// S7: an image opens a color at position 1 on three PEs, of which the one at the end has no switch: its route is
/// both its first and its last position.
#[test]
fn a_color_without_a_switch_has_the_position_of_its_route() {
    let b = text(
        "3x1",
        "image all {
           in q0 c0
           task main local active {
             open c0 1
             turn c0 3
             vec mov 1: f32@0[1] <- fab c0 f32
           }
         }
         place all x=0..3 y=0
         route c0 x=0..2 y=0 north -> ramp
         route c0 x=2 y=0 west -> ramp
         switch c0 x=0..2 y=0 pop never | west -> ramp east
         edge in x west y=0 c0 wavelets 1 every 1 fanout 1",
    );
    let values = memories(&b, &[("x", vec![0x4040_0000])]);
    assert!(values.iter().all(|memory| memory[..4] == [0, 0, 64, 64]), "3 everywhere");
}

/// C10: a microthread fills a FIFO of 8 with 32 elements, the main thread drains it; beats of 4
/// (both sides 16-bit). The first beat of the microthread is in 1 + 3 + 6 = 10, that of the main
/// thread waits until the elements are there in 11; the main thread goes first (low priority fills),
/// so they alternate: the last of eight pairs is in 10 + 2 · 8 − 1 = 25.
#[test]
fn a_fifo_couples_two_threads() {
    let b = text(
        "1x1",
        "image both {
           fifo f f16[8] @1024
           mem x f16[32] @0 = 1, 2, 3, 4, 5, 6, 7, 8, 9, 10
           task main local active {
             async t0 low vec mov 32: fifo 0 f16 <- f16@0[32]
             vec mov 32: f16@128[32] <- fifo 0 f16
           }
         }
         place both x=0 y=0",
    );
    let memory = memories(&b, &[]);
    assert_eq!(memory[0][0..64], memory[0][128..192], "the same elements in the same order");
    assert_eq!(b.run().unwrap().cycles.0, 26);
}

/// C10: eight elements from the sixth of a circular buffer of eight.
#[test]
fn a_circular_buffer_wraps() {
    let b = text(
        "1x1",
        "image one {
           mem ring f16[8] @64 = 0, 1, 2, 3, 4, 5, 6, 7
           task main local active {
             vec mov 8: f16@0[8] <- f16@74[8]%64+16
             vec mov 4: f16@40[4:2]%32+16 <- f16@64[4]
           }
         }
         place one x=0 y=0",
    );
    let memory = memories(&b, &[]);
    let at = |byte: usize| sim_core::program::DType::F16.read(&memory[0][byte..byte + 2])[0];
    let row: Vec<f32> = (0..8).map(|i| at(2 * i)).collect();
    assert_eq!(row, [5.0, 6.0, 7.0, 0.0, 1.0, 2.0, 3.0, 4.0]);
    assert_eq!([at(40), at(44), at(32), at(36)], [0.0, 1.0, 2.0, 3.0]);
}
