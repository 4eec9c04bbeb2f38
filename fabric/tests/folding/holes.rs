//! Programs that look periodic and are not: each breaks one condition of rules F2 to F6, and is
//! executed with and without folding.

use super::{agree, run};
use fabric::Fold;
use fabric::fold::timing_key;
use sim_core::arch::cs2::cs2;
use sim_core::program::{Program, parse};

fn program(text: &str) -> Program {
    parse(&format!("program hole\n{text}"), "hole").unwrap_or_else(|e| panic!("{e:?}"))
}

/// F3, F4: two registers are one and the same address in one row alone, where the bank conflict of
/// the other rows is none (C5).
#[test]
fn one_row_reads_one_and_the_same_operand() {
    for start in ["a0=0+8*y a1=80", "a0=0+8*y a1=0+8*y"] {
        let p = program(&format!(
            "grid 1x40
image a {{
  task main local active {{
    vec mul 16: f32@4096[16] <- f32@a0+0[16], f32@a1+0[16]
  }}
}}
place a x=0 y=0..40 {start}
route c0 x=0 y=0..39 north -> south
"
        ));
        agree(&p, &cs2()).unwrap();
    }
}

/// F6: which operands are one and the same depends on whole start values.
#[test]
fn start_values_that_make_operands_one_and_the_same_are_kept() {
    let p = |start: &str| {
        program(&format!(
            "grid 1x1
image a {{
  task main local active {{
    vec mul 16: f32@4096[16] <- f32@a0+0[16], f32@a1+0[16]
  }}
}}
place a x=0 y=0 {start}
"
        ))
    };
    let (same, apart) = (p("a0=0 a1=0"), p("a0=0 a1=800"));
    assert_ne!(run(&same, &cs2(), Fold::NONE).unwrap().cycles, run(&apart, &cs2(), Fold::NONE).unwrap().cycles);
    assert_ne!(timing_key(&same, 16), timing_key(&apart, 16));
}

/// F4: what a control wavelet carries decides what rows further on do (S3).
#[test]
fn a_command_that_only_a_later_row_obeys() {
    let p = program(
        "grid 1x60
image source {
  out q0 c0
  task main local active {
    vec mov 200: f32@0[200] <- f32@2048[200]
    control c0 nop nop nop nop nop nop teardown
    vec mov 20: fab c0 f32 <- f32@0[20]
  }
}
image row {
  in q0 c0
  task again teardown c0 {
    vec mov 300: f32@0[300] <- f32@2048[300]
    open c0
  }
}
image last {
  in q0 c0
  task main local active {
    vec mov 20: f32@0[20] <- fab c0 f32
  }
}
place source x=0 y=0
place row x=0 y=1..59
place last x=0 y=59
route c0 x=0 y=0 ramp -> south
route c0 x=0 y=1..59 north -> south
route c0 x=0 y=59 north -> ramp
switch c0 x=0 y=1..59 pop always | -> south
",
    );
    agree(&p, &cs2()).unwrap();
}

/// A row wave goes down at once; a column wave goes along row 0 much later. In a mesh with few rows
/// the first is over by then, in the whole mesh it is not.
#[test]
fn two_axes_at_different_times() {
    let p = program(
        "grid 60x500
image corner {
  out q0 c0
  out q1 c1
  task main local active {
    vec mov 4: fab c0 f32 <- f32@0[4]
    vec mov 100: f32@0[100] <- f32@2048[100]
    vec mov 4: fab c1 f32 <- f32@0[4]
  }
}
image top {
  in q0 c1
  out q0 c0
  task main local active {
    vec mov 4: fab c0 f32 <- f32@0[4]
    vec mov 4: f32@0[4] <- fab c1 f32
  }
}
image row {
  in q0 c0
  task main local active {
    vec mov 4: f32@0[4] <- fab c0 f32
  }
}
place corner x=0 y=0
place top x=1..60 y=0
place row x=0..60 y=1..500
route c0 x=0..60 y=0 ramp -> south
route c0 x=0..60 y=1..499 north -> ramp south
route c0 x=0..60 y=499 north -> ramp
route c1 x=0 y=0 ramp -> east
route c1 x=1..59 y=0 west -> ramp east
route c1 x=59 y=0 west -> ramp
",
    );
    agree(&p, &cs2()).unwrap();
}

/// Two waves down the same column: the lower one starts at once, and what the upper one brings
/// comes later and does not concern it.
#[test]
fn a_second_gap_with_a_wave_of_its_own() {
    let p = program(
        "grid 1x140
image source {
  out q0 c0
  task main local active {
    vec mov 300: f32@0[300] <- f32@2048[300]
    vec mov 4: fab c0 f32 <- f32@0[4]
  }
}
image row {
  in q0 c0
  task main local active {
    vec mov 4: f32@0[4] <- fab c0 f32
  }
}
image middle {
  in q0 c0
  out q0 c1
  task main local active {
    vec mov 4: fab c1 f32 <- f32@0[4]
    vec mov 4: f32@0[4] <- fab c0 f32
  }
}
image below {
  in q0 c1
  task main local active {
    vec mov 4: f32@0[4] <- fab c1 f32
  }
}
place source x=0 y=0
place row x=0 y=1..70
place middle x=0 y=70
place below x=0 y=71..140
route c0 x=0 y=0 ramp -> south
route c0 x=0 y=1..70 north -> ramp south
route c0 x=0 y=70 north -> ramp
route c1 x=0 y=70 ramp -> south
route c1 x=0 y=71..139 north -> ramp south
route c1 x=0 y=139 north -> ramp
",
    );
    agree(&p, &cs2()).unwrap();
}

/// M3: the limit holds for the run, not for the part of it that was executed.
#[test]
fn a_folded_run_has_the_limit_of_the_whole_one() {
    let p = program(
        "grid 1x200
image source {
  out q0 c0
  task main local active {
    vec mov 4: fab c0 f32 <- f32@0[4]
  }
}
image row {
  in q0 c0
  task main local active {
    vec mov 4: f32@0[4] <- fab c0 f32
  }
}
place source x=0 y=0
place row x=0 y=1..200
route c0 x=0 y=0 ramp -> south
route c0 x=0 y=1..199 north -> ramp south
route c0 x=0 y=199 north -> ramp
",
    );
    let whole = run(&p, &cs2(), Fold::NONE).unwrap();
    let limited = |limit| {
        let options = fabric::RunOptions { cycle_limit: limit, ..fabric::RunOptions::default() };
        fabric::run(&p, &cs2(), &options, None)
    };
    assert!(limited(whole.cycles.0).unwrap().folds.iter().any(|f| f.kind == "rows"));
    assert!(limited(whole.cycles.0 - 1).is_err());
}

/// F2: a register reaches another one's value, or a bound, in the middle of a loop whose state else
/// recurs every repetition.
#[test]
fn a_loop_that_meets_another_address_on_its_way() {
    let one_and_the_same = "vec mul 16: f32@16384[16] <- f32@a0+0[16], f32@a1+0[16]\na0 = a0 + 8";
    let bound = "vec mul 16: f32@16384[16] <- f32@a0+0[16], f32@a1+0[8:2,2]\na0 = a0 + 8\na0 = clamp a0 0 4004";
    for body in [one_and_the_same, bound] {
        let p = program(&format!(
            "grid 1x1
image a {{
  task main local active {{
    a1 = 8000
    loop 2000 {{
      {body}
    }}
  }}
}}
place a x=0 y=0
"
        ));
        agree(&p, &cs2()).unwrap();
    }
}
