//! Forms that spare parentheses: expressions up to the end of a condition, colors and queues as expressions,
//! `not`, steps, names with `$`, statements without positions; and what is said of mistakes in them.
//!
//! **Not here.** Functions and sums (`function_tests.rs`).

use super::language_tests::{expands, faults};
use super::*;

/// Warnings of a text: code, place, message, help.
fn warnings(text: &str) -> Vec<String> {
    let unit = read(text, "t", Options { params: &[], machine: "", loader: &mut NoFiles });
    let unit = unit.unwrap_or_else(|all| panic!("{all:#?}"));
    unit.warnings.iter().map(|d| format!("{} {} {}; {}", d.code, d.at, d.message, d.help)).collect()
}

#[test]
fn expressions_go_without_parentheses() {
    let text = "program p
param n = 3
const EAST = 2
grid 1x1
image p {
  in q0 c1
  in q1 + (n - 2) EAST + n
  out q0 EAST + 2*n
  out q1 min(n, 9)
  out 1 + n - 2 (n)*2 - 5
  mem v f32[8]
  task main local active {
    while a1 < 4 * n { a1 = a1 + n - 1 }
    if a1 >= 2*n - 1 { a2 = mul a1 4*n + 1 } else if lt 2*n a1 { a2 = sub 3*n -n }
    if eq n -n { a2 = a1 - n - 1 }
    a3 = a1 * 2*n
    a3 = clamp a3 2*n 4*n - 1
    turn EAST + 1 n - 1
    open c0 + n
    async t0 + n low mov fab EAST + 2*n <- v then activate other
    mov fab n <- v
    join t(n)
    filter c1 start n + 1 pass n of 2*n
    while r1 < #0.5*n { r1 = add r1 #1/4.0 }
  }
  task other data EAST + n r0 { }
}
route EAST + 1 x=0 y=0 ramp -> east
";
    let want = "program p
grid 1x1

image p {
  in q0 c1
  in q2 c5
  out q0 c8
  out q1 c3
  out q2 c1
  mem v f32[8] @0
  task main local active {
    while lt a1 12 {
      a1 = a1 + 2
    }
    if ge a1 5 {
      a2 = mul a1 13
    } else {
      if lt 6 a1 {
        a2 = sub 9 -3
      }
    }
    if eq 3 -3 {
      a2 = sub a1 4
    }
    a3 = mul a1 6
    a3 = clamp a3 6 11
    turn c3 2
    open c3
    async t3 low vec mov 8: fab c8 f32 <- f32@0[8] then activate 1
    vec mov 8: fab c3 f32 <- f32@0[8]
    join t3
    filter c1 start 4 pass 3 of 6
    while lt r1 #1.5 {
      r1 = add r1 #0.25
    }
  }
  task other data c5 r0 {
  }
}

route c3 x=0 y=0 ramp -> east
";
    expands(text, want);
}

#[test]
fn where_a_sum_is_ambiguous_the_parentheses_are_named() {
    faults(
        "const n = 2
image p {
  out q0 2
  in q0 EAST + 1
  task t local {
    a1 = sub n - 1 a2
    a1 = add n + 1 a2
    a1 = a2 * 3 + 1
    a1 = a2 + a3 + 1
    if a1 < 3 and a2 < 4 { return }
    if n < a1 { return }
    if r1 < 0.5 { return }
    loop c0 { return }
  }
}
",
        "error[P001] t:3:10: expected `c` with a number, found `2`
  3 |   out q0 2
    |          ^
  help: write `c2`
error[P001] t:4:9: expected `c` with a number, found `EAST`
  4 |   in q0 EAST + 1
    |         ^^^^
  help: a color has a name if it is defined: `const EAST = 0`
error[P001] t:6:20: expected the end of the line, found `a2`
  6 |     a1 = sub n - 1 a2
    |                    ^^
  help: put a sum that another operand follows in parentheses, as in `(n - 1)`
error[P001] t:7:16: expected an operand, found `+`
  7 |     a1 = add n + 1 a2
    |                ^
  help: put a sum that another operand follows in parentheses, as in `(n + 1)`
error[P001] t:8:17: expected the end of the line, found `+`
  8 |     a1 = a2 * 3 + 1
    |                 ^
  help: an instruction is one operation; put a sum that is a factor in parentheses
error[P001] t:9:18: expected the end of the line, found `+`
  9 |     a1 = a2 + a3 + 1
    |                  ^
  help: an instruction is one operation; write another one for the rest
error[P001] t:10:15: expected `{`, found `and`
  10 |     if a1 < 3 and a2 < 4 { return }
     |               ^^^
  help: a branch of the wafer compares two operands; put one `if` into another
error[P005] t:11:12: `a1` has a value on the wafer only, not while the text expands
  11 |     if n < a1 { return }
     |            ^^
  help: an instruction is one operation; in a comparison a register stands first: `if a1 < n`
error[P001] t:12:13: expected a data register, or a constant with #, found `0.5`
  12 |     if r1 < 0.5 { return }
     |             ^^^
  help: write `#0.5` for a constant
error[P005] t:13:10: `c0` is no number
  13 |     loop c0 { return }
     |          ^^
  help: a number can stand for a color, queue or microthread
",
    );
}

#[test]
fn not_is_an_operator_and_a_function() {
    let text = "const a = 1\nconst b = 0\n";
    let value = |condition: &str| {
        let text = format!("{text}grid 1 + ({condition}) x 1");
        parse(&text, "t").unwrap_or_else(|all| panic!("{condition}: {all:#?}")).grid().width - 1
    };
    for (condition, want) in [
        ("not b", 1),
        ("a and not b", 1),
        ("not a == b", 1),
        ("not not a", 1),
        ("not(a) and b", 0),
        ("not a or a", 1),
        ("select(not b, 1, 0)", 1),
        ("not(b) == a", 1),
    ] {
        assert_eq!(value(condition), want, "{condition}");
    }
    faults(
        "const k = 2 + not 3\n",
        "error[P007] t:1:15: `not` behind an operator
  1 | const k = 2 + not 3
    |               ^^^
  help: put it in parentheses: `(not a)`
",
    );
}

#[test]
fn names_with_numbers_are_registers_too() {
    let text = "program p
grid 1x1
image p {
  for k in 0..2 {
    mem own$k f32[4]
    mem count$k i32[4]
    reg before$k = a(k + 4)
    reg sum$k = r(k)
  }
  task main local active {
    for k in 0..2 {
      before$k = sub 2*4 before$k
      before$k = before$k + 8
      mov own$k <- own$(1-k)@before$k[0..4]%own$k
      sum$k = add sum$k #1
      if before$k < 3 { store count$k[1] before$k }
      sum$k = load own$k@before$k
      before$k = load count$k[2]
      loop before$k { mov before$k: own$k <- #0 }
    }
  }
}
place p x=0 y=0 before$1=3
";
    let program = parse(text, "t").unwrap_or_else(|all| panic!("{all:#?}"));
    let printed = program.to_string();
    for line in [
        "    a5 = sub 8 a5",
        "    vec mov 4: f32@32[4] <- f32@a5[4]%32+16",
        "    r1 = add r1 #1",
        "      store i32 52 a5",
        "    r1 = load f32 a5+32",
        "    a5 = load i32 56",
        "      vec mov a5: f32@32[..] <- #0",
        "place p x=0 y=0 a5=3",
    ] {
        assert!(printed.lines().any(|l| l == line), "{line}\n{printed}");
    }
    assert_eq!(parse(&printed, "t").unwrap(), program);
}

#[test]
fn steps_are_written_as_a_word() {
    let text = "program p
param n = 8
grid n x 1
image p {
  mem v f32[n]
  reg step
  task main local active {
    for k in 0..n step n/4 { mov v[k] <- #0 }
    add v[1..n step 2] <- v[0..(n/2)], v[0..8/2]
    step = step + 1
  }
}
place p x=0..n step 2 y=0..H step=4
place p x=1..n/2 y=0
";
    let want = "program p
grid 8x1

image p {
  mem v f32[8] @0
  task main local active {
    vec mov 1: f32@0[1] <- #0
    vec mov 1: f32@8[1] <- #0
    vec mov 1: f32@16[1] <- #0
    vec mov 1: f32@24[1] <- #0
    vec add 4: f32@4[4:2] <- f32@0[4], f32@0[4:2]
    a0 = a0 + 1
  }
}

place p x=0..7 step 2 y=0 a0=4
place p x=1..8 step 2 y=0
";
    // A single element is a scalar, and a `mov` of it has no length.
    let (text, want) = (text.replace("v[k]", "v[k..k+1]"), want);
    expands(&text, want);
    assert_eq!(
        warnings(&text),
        ["W007 t:14:15 `/2` is a step here: `1..n/2` goes up to `n` in steps of 2; \
          write `1..n step 2`; the end at a quotient is `1..(n/2)`"]
    );
    faults(
        "for k in 0..8 step 0 { }\nroute c0 x=0..4 step 0 y=0 ramp -> east\n",
        "error[P002] t:1:13: a step of 0; steps are at least 1
  1 | for k in 0..8 step 0 { }
    |             ^
error[P002] t:2:12: no positions, or too many: 0..4 step 0
  2 | route c0 x=0..4 step 0 y=0 ramp -> east
    |            ^
",
    );
}

#[test]
fn the_layout_writes_steps_as_a_word() {
    let lines = [
        ("place p x=0..W/2 y=1..H-1 / 2 step=3", "place p x=0..W step 2 y=1..H-1 step 2 step=3"),
        ("add v[0..n/2] <- v[1..len(v)/2, ..], #4/2", "add v[0..n step 2] <- v[1..len(v) step 2, ..], #4/2"),
        ("for k in 0..2*(n/4)/(n/2) { }", "for k in 0..2*(n/4) step (n/2) { }"),
        ("mov v[0..(n/2)] <- w[k..k+n]", "mov v[0..(n/2)] <- w[k..k+n]"),
        ("place p x=0..W y=0 a0=x/2", "place p x=0..W y=0 a0=x/2"),
        ("expect v[0..n] == each i/2", "expect v[0..n] == each i/2"),
        (
            "edge in w west y=0..2 c0 wavelets n/2 every 1 fanout 1",
            "edge in w west y=0..2 c0 wavelets n/2 every 1 fanout 1",
        ),
    ];
    for (text, want) in lines {
        assert_eq!(format(text), format!("{want}\n"));
        assert_eq!(format(want), format!("{want}\n"));
    }
}

#[test]
fn what_has_no_place_needs_no_image() {
    let text = "param n = 1
grid n x 1
image first {
  task main local active { }
}
if n > 1 {
  image next { task main local active { } }
}
image last { task main local active { } }
place first x=0 y=0
place next x=1..n y=0
place last x=n-1..n-1 y=0
";
    assert_eq!(warnings(text), [""; 0]);
    faults(
        &text.replace("x=1..n", "x=0..n"),
        "error[P004] t:11:7: there are 0 images with the name \"next\"
  11 | place next x=0..n y=0
     |       ^^^^
",
    );
}

#[test]
fn a_brace_too_few_is_told_once_and_the_rest_is_read() {
    faults(
        "grid 2 x 1
image p {
  mem v f32[4] = each i j
  task main local active { add v <- w, #1
}
place p x=0..2 y=0 b=3
route c0 x=0 y=0 ramp -> eest
expect v == zz
expect w == 1
",
        "error[P001] t:3:25: expected the end of the line, found `j`
  3 |   mem v f32[4] = each i j
    |                         ^
error[P005] t:4:37: there is no buffer or register `w` in this image
  4 |   task main local active { add v <- w, #1
    |                                     ^
  help: did you mean `v`?
error[P001] t:6:1: `place` inside of an image
  6 | place p x=0..2 y=0 b=3
    | ^^^^^
  help: is there a `}` too few above?
error[P001] t:6:20: expected `a` with a number, or the name of a register of the image, found `b`
  6 | place p x=0..2 y=0 b=3
    |                    ^
error[P001] t:7:26: expected north, east, south, west, ramp, found `eest`
  7 | route c0 x=0 y=0 ramp -> eest
    |                          ^^^^
  help: did you mean `east`?
error[P005] t:8:13: there is no name `zz` here
  8 | expect v == zz
    |             ^^
error[P005] t:9:8: no image has a buffer `w`
  9 | expect w == 1
    |        ^
  help: did you mean `v`?
",
    );
}

#[test]
fn habits_of_other_languages_are_told_what_to_write() {
    let code = "
    async mov fab c0 <- v
    store v[0] 5
    r0 = v[0]
    v[0] = r0
    r1 = r0 + #1
    a0 = v[1]
    a0 = a1 / 2
    add v <- v, 1
    loop a0 < 4 { }
    a0 += 1
    a0--
    if 1 && 0 { }
    a1 = a0 - 4 - a2
";
    let text = format!("image p {{\n  mem v f32[4]\n  task t local {{{code}  }}\n}}\ndef k = 3\n");
    let found = parse(&text, "t").expect_err("faults");
    let helps: Vec<&str> = found.iter().map(|d| d.help.as_str()).collect();
    let want = [
        "a microthread is one of `t0` to `t7`, or the name of a number",
        "put the constant into a register: `r1 = mov #5`",
        "an element is read by `r1 = load A[3]`, a constant by `r1 = mov #0.5`",
        "an element is written by `store v[k] a1`, all by `mov v <- …`",
        "the operation stands first: `r1 = add r2 #0.5`, `r1 = mov r2`",
        "`load` gets an element into a register: `a1 = load A[3]`",
        "of integers there is no division; `sar a1 n` divides by the n-th power of two",
        "write `#1` for a constant",
        "a loop with a condition is a `while`",
        "write the register again: `a1 = a1 + 1`",
        "write the register again: `a1 = a1 + 1`",
        "conditions have `and`, `or` and `not`",
        "an instruction is one operation; in a comparison a register stands first: `if a1 < n`",
        "without parameters it is a `const`",
    ];
    assert_eq!(helps, want, "{found:#?}");
}
