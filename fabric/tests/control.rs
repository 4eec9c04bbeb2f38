//! Control code: what each instruction costs, checked by hand, and what it computes (rules C11 to C15, S7,
//! V1, V4).
//!
//! On a CS-2 the first instruction of a task that is active at the start is reached in cycle 3, and a scalar
//! instruction takes one cycle. `cycles` counts from there.
#![allow(clippy::unwrap_used, reason = "tests")]

mod common;
use common::*;
use fabric::{EngineKind, HostStreams, RunOptions, Values, WaferMemory};
use sim_core::program::transform::depends_on_values;
use sim_core::program::{Program, parse};

fn program(text: &str) -> Program {
    let program = parse(text, "test").unwrap();
    let faults = common::faults(&program, &machine());
    assert!(faults.is_empty(), "{faults:#?}");
    program
}

/// One PE that runs `body` once.
fn one(body: &str) -> Program {
    program(&format!(
        "program test\ngrid 1x1\nimage one {{\nmem x f32[4] @0 = 1.5, -2.25, 1e10, 0.5\ntask main local active {{\n{body}\n}}\n}}\nplace one x=0 y=0\n"
    ))
}

/// Cycles and memories, which are the same on both engines; the cycles count from the first instruction.
fn execute(p: &Program) -> (u64, Vec<Vec<u8>>) {
    let run = |engine| {
        let mut memory = WaferMemory::new(p.grid(), machine().pe.sram.value);
        let (inputs, mut outputs) = (HostStreams::default(), HostStreams::default());
        let mut values = Values { memory: &mut memory, inputs: &inputs, outputs: &mut outputs };
        let options = RunOptions { engine, per_pe: true, cycle_limit: 1_000_000, ..RunOptions::default() };
        let outcome = fabric::run(p, &machine(), &options, Some(&mut values)).unwrap();
        (outcome.cycles.0 - DISPATCH, memory.pes)
    };
    let both = [run(EngineKind::Reference), run(EngineKind::Fast)];
    assert!(both[0] == both[1], "the engines differ on\n{p}");
    both.into_iter().next().unwrap()
}

fn cycles(body: &str) -> u64 {
    execute(&one(body)).0
}

fn word_at(memory: &[u8], at: usize) -> i32 {
    i32::from_le_bytes(memory[at..at + 4].try_into().unwrap())
}

/// The integers from byte 1024 on.
fn words<const N: usize>(body: &str) -> [i32; N] {
    let memory = execute(&one(body)).1.remove(0);
    std::array::from_fn(|i| word_at(&memory, 1024 + 4 * i))
}

/// The numbers of binary32 from byte 1024 on.
fn numbers<const N: usize>(body: &str) -> [f32; N] {
    words::<N>(body).map(|bits| f32::from_bits(bits as u32))
}

/// C11.
#[test]
fn scalar_instructions_take_a_slot_each() {
    assert_eq!(cycles("a1 = 5\na2 = add a1 7\na2 = mul a2 a2\nstore i32 64 a2"), 4);
    assert_eq!(cycles("a1 = load i32 0\na2 = add a1 1"), 2, "a load can be used in the next cycle");
    assert_eq!(cycles("r1 = div #1 #3"), 50);
}

/// C11: the result of an operation on binary32 can be used two cycles later.
#[test]
fn results_of_binary32_are_late() {
    assert_eq!(cycles("r1 = add #1 #2\nr2 = add #1 #2"), 2, "two that do not depend on each other");
    assert_eq!(cycles("r1 = add #1 #2\nr2 = add r1 #2"), 3, "the second one waits for a cycle");
    assert_eq!(cycles("r1 = add #1 #2\na1 = 5\nr2 = add r1 #2"), 3, "or something else is done in it");
    assert_eq!(cycles("r1 = div #1 #3\nstore f32 64 r1"), 52);
    assert_eq!(cycles("a1 = int r1\na1 = a1 + 1"), 3, "a conversion likewise");
    // P1: the cycle in which it waits is one of computing.
    let done = fabric::run(&one("r1 = add #1 #2\nr2 = add r1 #2"), &machine(), &options(), None).unwrap();
    assert_eq!(done.pe_cycles.compute, DISPATCH + 3);
}

/// C11: counting from task to task, as a callback of several senders does.
#[test]
fn registers_are_kept_between_tasks() {
    let p = program(
        "program test
         grid 1x1
         image one {
           task main local active {
             activate 1
           }
           task count local {
             a3 = add a3 1
             if lt a3 4 {
               activate 1
             }
             store i32 1024 a3
           }
         }
         place one x=0 y=0",
    );
    assert_eq!(word_at(&execute(&p).1[0], 1024), 4);
}

/// C12: 3 cycles to what follows if the condition holds, 6 to what stands behind the block if not; the end of
/// the first block before `else` is taken too.
#[test]
fn branches_cost_what_they_do() {
    assert_eq!(cycles("if lt a1 5 {\na2 = 1\n}"), 3 + 1);
    assert_eq!(cycles("if gt a1 5 {\na2 = 1\n}"), 6);
    assert_eq!(cycles("if lt a1 5 {\na2 = 1\n} else {\na2 = 2\n}"), 3 + 1 + 6);
    assert_eq!(cycles("if gt a1 5 {\na2 = 1\n} else {\na2 = 2\n}"), 6 + 1);
    // Each repetition: not taken, what is repeated, and back; at the end taken.
    assert_eq!(cycles("a1 = 10\nwhile gt a1 0 {\na1 = add a1 -1\n}"), 1 + 10 * (3 + 1 + 6) + 6);
}

/// C12: a slot, and nothing behind it.
#[test]
fn a_task_can_end_early() {
    assert_eq!(cycles("return\na1 = 1\na1 = 2"), 1);
    assert_eq!(cycles("loop 5 {\na1 = a1 + 1\nif gt a1 2 {\nreturn\n}\n}"), 2 * (1 + 6 + 1) + 1 + 3 + 1);
    let then = "a1 = 7\nactivate 1\nreturn\na1 = 8\n}\ntask more local {\nstore i32 1024 a1";
    assert_eq!(words(then), [7], "the next task runs");
}

/// C12: a slot to enter, `loop_back` for each repetition; behind it in 6 cycles if there is none.
#[test]
fn a_loop_counts_what_a_register_says() {
    assert_eq!(cycles("a1 = 10\nloop a1 {\na2 = add a2 1\n}"), 1 + 1 + 10 * (1 + 1));
    assert_eq!(cycles("a1 = -3\nloop a1 {\na2 = add a2 1\n}\na3 = 1"), 1 + 6 + 1);
    assert_eq!(words("a1 = 10\nloop a1 {\na1 = 0\na2 = add a2 1\n}\nstore i32 1024 a2"), [10], "read once");
}

/// C13: as many elements as the register holds at the start of the setup.
#[test]
fn lengths_come_from_registers() {
    assert_eq!(cycles("a1 = 8\nvec mov a1: f32@64[..] <- f32@128[..]"), 1 + SETUP + 4);
    assert_eq!(cycles("a1 = 8\nvec mov a1: f32@64[..:2] <- #1"), 1 + SETUP + 4, "4 words apart: 2 per cycle");
    assert_eq!(words("a1 = 2\nvec mov a1: f32@1024[..] <- #1"), [0x3f80_0000, 0x3f80_0000, 0]);
    // Two rows of two, of a matrix of rows of four.
    assert_eq!(numbers("a1 = 4\nvec mov a1: f32@1024[..:4,2] <- f32@0[..]"), [1.5, -2.25, 0.0, 0.0, 1e10, 0.5]);
}

/// C13: no element takes the setup and one beat.
#[test]
fn a_length_of_nothing_takes_a_beat() {
    for none in ["0", "-7"] {
        assert_eq!(cycles(&format!("a1 = {none}\nvec mov a1: f32@64[..] <- f32@128[..]")), 1 + SETUP + 1);
    }
    let p = program(
        "program test
         grid 1x1
         image one {
           in q0 c0
           out q0 c1
           task main local active {
             vec mov a1: fab c1 f32 <- fab c0 f32
           }
         }
         place one x=0 y=0",
    );
    let done = fabric::run(&p, &machine(), &options(), None).unwrap();
    assert_eq!(done.cycles.0, DISPATCH + SETUP + 1, "it neither waits for a wavelet nor gives one");
}

/// C14: 4 cycles to load, 7 for each base.
#[test]
fn descriptors_that_are_loaded_cost_cycles() {
    let add = |mark: &str| format!("vec add 8{mark}: f32@64[8] <- f32@128[8], #1");
    let held = cycles(&add(""));
    assert_eq!(held, SETUP + 4);
    assert_eq!(cycles(&add(" load")), 4 + held);
    assert_eq!(cycles(&add(" base")), 2 * 7 + held);
    assert_eq!(cycles(&add(" load base")), 4 + 2 * 7 + held);
    // Operands that are one and the same are one descriptor, whose base is set once.
    let fmac = |c: &str| format!("vec fmac 8 base: f32@64[8] <- {c}, f32@132[8], #0.5");
    let two = |c: &str| cycles(&fmac(c)) - cycles(&fmac(c).replace(" base", ""));
    assert_eq!((two("f32@64[8]"), two("f32@68[8]"), two("f32@64[4,2]")), (2 * 7, 3 * 7, 3 * 7));
    // The published loop around `fmacs`: 28 cycles more than the instruction alone.
    let fmacs = "vec mul 32 load base: f32@1024[32] <- f32@2060[32], #0.5";
    let published = cycles(&format!("a1 = 100\nwhile gt a1 0 {{\na1 = add a1 -1\n{fmacs}\n}}"));
    assert_eq!(published - 7, 100 * (SETUP + 32 + 28), "back edge 9, counting 1, descriptors 4 + 2 · 7");
}

/// C14: the register moves behind what was walked over.
#[test]
fn an_operand_advances() {
    let body =
        "a1 = 0\na2 = 1024\nloop 2 {\nvec mov 2: f32@a2[2]+ <- f32@a1[2]+\n}\nstore i32 1040 a1\nstore i32 1044 a2";
    assert_eq!(numbers(body), [1.5, -2.25, 1e10, 0.5]);
    assert_eq!(words::<6>(body)[4..], [16, 1040]);
    // Back through an array, two at a time; of three, since the length is in a register.
    let back = "a1 = 12\na3 = 3\nvec mov a3: f32@1024[..] <- f32@a1[..:-1]+\nstore i32 1036 a1";
    assert_eq!(numbers::<3>(back), [0.5, 1e10, -2.25]);
    assert_eq!(words::<4>(back)[3], 0);
}

/// C15: three slots, the number of the last one.
#[test]
fn a_timestamp_is_the_cycle() {
    assert_eq!(cycles("timestamp 1024"), 3);
    let [first, second] = words("timestamp 1024\nvec mov 8: f32@64[8] <- #1\ntimestamp 1028");
    assert_eq!(first as u64 & 0xffff, DISPATCH + 2);
    assert_eq!(second as u64 & 0xffff, DISPATCH + 3 + SETUP + 4 + 2);
}

/// V4.
#[test]
fn integers_wrap_and_shift() {
    let body = "a1 = -8
        a2 = sar a1 1\nstore i32 1024 a2
        a2 = shr a1 28\nstore i32 1028 a2
        a2 = shl 3 33\nstore i32 1032 a2
        a2 = mul 65536 65537\nstore i32 1036 a2
        a2 = min a1 3\nstore i32 1040 a2
        a2 = xor 12 10\nstore i32 1044 a2
        a2 = sub 5 a1\nstore i32 1048 a2
        store u16 1052 a1
        a2 = load i16 1052\nstore i32 1056 a2
        a2 = load 1052\nstore i32 1060 a2";
    assert_eq!(words(body), [-4, 15, 6, 65536, -8, 6, 13, 0xfff8, -8, 0xfff8]);
}

/// V4.
#[test]
fn conversions() {
    let body = "r1 = load f32 4\na1 = int r1\nstore i32 1024 a1
        r1 = load f32 8\na1 = int r1\nstore i32 1028 a1
        a1 = bits r1\nr2 = bits a1\nstore f32 1032 r2
        a1 = 16777217\nr1 = float a1\nstore f32 1036 r1
        r1 = fmac #1 #2 #3\nstore f32 1040 r1
        r1 = div #1 #4\nstore f16 1044 r1\nr1 = load f16 1044\nstore f32 1048 r1
        r1 = min #2 #-3\nstore f32 1052 r1";
    let [a, b, rest @ ..] = words::<8>(body);
    assert_eq!((a, b), (-2, i32::MAX));
    let rest = rest.map(|bits| f32::from_bits(bits as u32));
    assert_eq!([rest[0], rest[1], rest[2], rest[4], rest[5]], [1e10, 16_777_216.0, 7.0, 0.25, -3.0]);
}

/// S7: of eight wavelets the PE takes the two that its number says; before, everything passes.
#[test]
fn a_filter_is_set_at_run_time() {
    let p = program(
        "program test
         grid 4x1
         image recv {
           in q0 c0
           task main local active {
             filter c0 start a1 pass 2 of 8
             vec mov 2: f32@1024[2] <- fab c0 f32
           }
         }
         place recv x=0..4 y=0 a1=0-2*x
         route c0 x=0..3 y=0 west -> east ramp
         route c0 x=3 y=0 west -> ramp
         edge in x west y=0 c0 wavelets 8 every 1 fanout 1",
    );
    let mut memory = WaferMemory::new(p.grid(), machine().pe.sram.value);
    let (mut inputs, mut outputs) = (HostStreams::default(), HostStreams::default());
    inputs.ports.insert(("x".into(), 0), (0..8).collect());
    let mut values = Values { memory: &mut memory, inputs: &inputs, outputs: &mut outputs };
    fabric::run(&p, &machine(), &options(), Some(&mut values)).unwrap();
    for x in 0..4 {
        let taken = [1024, 1028].map(|at| word_at(&memory.pes[x], at));
        assert_eq!(taken, [2 * x as i32, 2 * x as i32 + 1], "PE {x}");
    }
    let per_pe = |engine| RunOptions { engine, per_pe: true, ..RunOptions::default() };
    let run = |engine| fabric::run(&p, &machine(), &per_pe(engine), None).unwrap().per_pe;
    assert_eq!(run(EngineKind::Reference), run(EngineKind::Fast));
}

/// S7: two wavelets go east, and two south; the switch turns in the cycle after its instruction.
#[test]
fn a_switch_is_turned_by_its_pe() {
    let text = |turn: &str, east: u32| {
        format!(
            "program test
             grid 1x1
             image send {{
               out q0 c0
               task main local active {{
                 vec mov 2: fab c0 f32 <- f32@0[2]
                 loop 6 {{
                   a1 = a1 + 1
                 }}
                 {turn}
                 vec mov 2: fab c0 f32 <- f32@0[2]
               }}
             }}
             place send x=0 y=0
             route c0 x=0 y=0 ramp -> east
             switch c0 x=0 y=0 pop never | -> south
             edge out e east y=0 c0 wavelets {east} every 1 fanout 1
             edge out s south x=0 c0 wavelets 2 every 1 fanout 1"
        )
    };
    let ends = |turn: &str, east| fabric::run(&program(&text(turn, east)), &machine(), &options(), None).is_ok();
    assert!(ends("turn c0 1", 2));
    assert!(ends("turn c0 9", 2), "behind the last position is the last one");
    assert!(!ends("turn c0 0", 2), "the southern edge waits");
    // Closed by a wavelet that goes east as well, and opened at the other position by the PE itself.
    assert!(ends("control c0 teardown\nloop 9 {\na1 = a1 + 1\n}\nopen c0 1", 3));
}

/// V1.
#[test]
fn what_depends_on_values_is_found() {
    let depends = |body: &str| depends_on_values(&one(body)).is_some();
    for body in [
        "a1 = load i32 0\nif lt a1 5 {\na2 = 1\n}",
        "a1 = load 0\na2 = mul a1 3\nloop a2 {\na3 = 1\n}",
        "a1 = int r1\nvec mov a1: f32@64[..] <- #1",
        "if lt r1 #5 {\na2 = 1\n}",
        "a1 = load i16 0\nvec add 4: f32@64[4] <- f32@a1[4], f32@256[4]",
    ] {
        assert!(depends(body), "{body}");
    }
    for body in [
        "a1 = load i32 0\nstore i32 a1+64 a1\nif lt a2 5 {\na2 = 1\n}",
        "a1 = load i32 0\nvec mov 4: f32@a1[4] <- f32@64[4]",
        "timestamp 64\nr1 = load f32 64\nstore f32 68 r1",
        "a1 = 5\nloop a1 {\nr1 = add r1 #1\n}",
    ] {
        assert!(!depends(body), "{body}");
    }
}

/// V1: without values it runs from zeros and start values, and says so; with them as they are.
#[test]
fn programs_that_depend_on_values_run_with_values() {
    let p = one("r1 = load f32 0\nif lt r1 #0 {\na2 = 1\n} else {\na2 = 1\na2 = 2\n}");
    for engine in [EngineKind::Reference, EngineKind::Fast] {
        let options = RunOptions { engine, ..RunOptions::default() };
        let done = fabric::run(&p, &machine(), &options, None).unwrap();
        assert_eq!(done.cycles.0, DISPATCH + 1 + 6 + 2);
        assert_eq!(done.folds[0].kind, fabric::VALUES);
    }
    let options = RunOptions { memory_limit: 10_000, ..RunOptions::default() };
    assert!(fabric::run(&p, &machine(), &options, None).is_err(), "the memory that it needs is part of the limit");
}

/// F3: lengths and branches by the place, from one image. Rows are alike, so few of them are executed.
#[test]
fn one_image_of_many_lengths_folds() {
    let edges = (0..32).map(|x| format!("edge in i{x} north x={x} c0 wavelets {} every 1 fanout 1\n", 4 + x));
    let p = program(&format!(
        "program test
         grid 32x64
         image all {{
           in q0 c0
           task main local active {{
             vec mov a1: f32@1024[..] <- fab c0 f32
             if lt a2 16 {{
               vec add a1: f32@2048[..] <- f32@1024[..], #1
             }} else {{
               loop a2 {{
                 a3 = add a3 1
               }}
             }}
           }}
         }}
         place all x=0..32 y=0..64 a1=4+1*x a2=0+1*x
         route c0 x=0..32 y=0..63 north -> south ramp
         route c0 x=0..32 y=63 north -> ramp
         {}",
        edges.collect::<String>()
    ));
    let full = in_full(&p, &machine(), EngineKind::Fast, None);
    let folded = fabric::run(&p, &machine(), &RunOptions { per_pe: true, ..RunOptions::default() }, None).unwrap();
    assert_eq!((full.cycles, full.per_pe), (folded.cycles, folded.per_pe));
    assert!(folded.folds.iter().any(|f| f.kind == "rows"), "{:?}", folded.folds);
    assert!(folded.stepped_pe_cycles * 2 < full.cycles.0 * 32 * 64);
}
