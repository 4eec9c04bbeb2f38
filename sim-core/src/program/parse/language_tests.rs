//! What the language generates, and what it says of mistakes.

use super::*;

/// What a text expands to, without the lines of the head that are in all of them.
#[track_caller]
pub(super) fn expands(text: &str, want: &str) {
    let program = parse(text, "t").unwrap_or_else(|all| panic!("{}", messages(&all)));
    assert_eq!(program.to_string(), want);
    assert_eq!(parse(want, "t").unwrap(), program, "what is printed means the same");
}

pub(super) fn messages(all: &[Diagnostic]) -> String {
    all.iter().map(|d| format!("{d}\n")).collect()
}

#[track_caller]
pub(super) fn faults(text: &str, want: &str) {
    let found = parse(text, "t").map(|p| p.to_string()).expect_err("there are faults");
    assert_eq!(messages(&found), want);
}

#[test]
fn constants_loops_and_names_generate_a_program() {
    let text = r#"
program demo
param n = 4
const LEFT = 2 * n - 7   // color 1
grid n x 1
image node {
  in q0 LEFT; out q1 c(LEFT+1)
  mem A f32[n, 2] = 1, -2.5
  mem s f16[3] @100
  mem B f16[2*n] align 16 plus 4
  mem bits f32[1] over A[1]
  fifo f f16[8]
  reg own
  task main local active {
    for k in 0..2 { fmac: A[k, 0..2] <- A[2..4, 1], B[k:2:3], s[k] }
    mov 2*n: fab c2 f16 <- B
    mov A[1..3, ..] <- A[..]
    async t0 low mov: fab c2 <- B[0..8/2] then activate next$(n-3)
    mov 2: fifo f <- B@own[0..2] % B
    own = own + 2*n
    a1 = addr(A[2, 1]) + bytes(s)
    loop n - 1 { join t0; activate main }
    if n > 3 and not(n == 5) { block main } else { unblock main }
  }
  task next$1 local {}
}
for k in 0..n { place node x=k y=0 own=8*k }
if n > 9 { this is not read } else if n == 4 { route LEFT x=1..n y=0 west -> ramp } else { nor is this }
route c2 x=1..n-3 y=0 west -> ramp
"#;
    let want = "program demo
grid 4x1

image node {
  in q0 c1
  out q1 c2
  mem A f32[8] @0 = 1, -2.5
  mem s f16[3] @100
  mem B f16[8] @36
  mem bits f32[1] @4
  fifo f f16[8] @56
  task main local active {
    vec fmac 2: f32@0[2] <- f32@20[2:2], f16@36[2:3], f16@100
    vec fmac 2: f32@8[2] <- f32@20[2:2], f16@38[2:3], f16@102
    vec mov 8: fab c2 f16 <- f16@36[8]
    vec mov 4: f32@8[4] <- f32@0[8]
    async t0 low vec mov 4: fab c2 f16 <- f16@36[4:2] then activate 1
    vec mov 2: fifo 0 f16 <- f16@a0+36[2]%36+16
    a0 = a0 + 8
    a1 = 26
    loop 3 {
      join t0
      activate 0
    }
    block 0
  }
  task next1 local {
  }
}

place node x=0 y=0 a0=0
place node x=1 y=0 a0=8
place node x=2 y=0 a0=16
place node x=3 y=0 a0=24

route c1 x=1..4 y=0 west -> ramp
";
    expands(text, want);
}

/// The lines of placements, routes and filters that a text expands to.
#[track_caller]
fn places(text: &str, want: &[&str]) {
    let text = format!("program p\ngrid 8x4\nimage p {{\n  mem v f32[8] @16\n}}\n{text}\n");
    let program = parse(&text, "t").unwrap_or_else(|all| panic!("{}", messages(&all)));
    let printed = program.to_string();
    let lines: Vec<&str> =
        printed.lines().filter(|l| ["place", "route", "filter"].iter().any(|w| l.starts_with(w))).collect();
    assert_eq!(lines, want);
    assert_eq!(parse(&printed, "t").unwrap(), program);
}

#[test]
fn x_and_y_are_column_and_row_everywhere() {
    places("place p x=1..6/2 y=0 a0=16*x", &["place p x=1..6 step 2 y=0 a0=16+32*((x-1)/2)"]);
    places("place p x=2..W y=1..H a0=addr(v)+4*(x-2)-y", &["place p x=2..8 y=1..4 a0=15+4*(x-2)-1*(y-1)"]);
    places("place p x=0..W y=0 a0=x%2 a1=(W-1)*8", &["place p x=0..8 y=0 a0=0+1*(x%2) a1=56"]);
    places("place p x=4..W y=0 a0=x/2", &["place p x=4..6 y=0 a0=2", "place p x=6..8 y=0 a0=3"]);
    places(
        "place p x=0..W y=0 a0=min(x, 3) a1=x",
        &["place p x=0..4 y=0 a0=0+1*x a1=0+1*x", "place p x=4..8 y=0 a0=3 a1=4+1*(x-4)"],
    );
    places("place p x=0..2 y=0..2 a0=x*y", &["place p x=0 y=0..2 a0=0", "place p x=1 y=0..2 a0=0+1*y"]);
    places(
        "route c0 x=1..W y=0 west -> ramp\nfilter c0 x=1..W y=0 start -2*x pass 2 of 16",
        &["route c0 x=1..8 y=0 west -> ramp", "filter c0 x=1..8 y=0 start 14-2*(x-1) pass 2 of 16"],
    );
    places("place p x=8..W y=0\nplace p x=0 y=0", &["place p x=0 y=0"]);
}

#[test]
fn every_pe_gets_the_value_of_the_expression() {
    let expressions = ["x*x", "bitrev(x, 3)*8+y", "(x+y)%3", "select(x > 2 and y == 1, 7, x)", "max(x, y)-x/3"];
    let want: [fn(i32, i32) -> i32; 5] = [
        |x, _| x * x,
        |x, y| ((x & 1) << 2 | (x & 2) | x >> 2) * 8 + y,
        |x, y| (x + y) % 3,
        |x, y| if x > 2 && y == 1 { 7 } else { x },
        |x, y| x.max(y) - x / 3,
    ];
    for (expression, want) in expressions.iter().zip(want) {
        let text = format!("grid 8x4\nimage p {{\n}}\nplace p x=1..8/2 y=0..H a0={expression}\n");
        let program = parse(&text, "t").unwrap_or_else(|all| panic!("{}", messages(&all)));
        let mut seen = 0;
        for p in &program.placements {
            for (j, y) in p.region.y.iter().enumerate() {
                for (i, x) in p.region.x.iter().enumerate() {
                    let value = p.params[0].value(i as u32, j as u32);
                    assert_eq!(value, want(x as i32, y as i32), "{expression} at {x}, {y}");
                    seen += 1;
                }
            }
        }
        assert_eq!(seen, 16, "{expression}");
    }
}

#[test]
fn every_mistake_is_shown_with_its_text() {
    faults(
        "program a\nprogram b\nconst n = 4\nconst n = 5\nconst x = 1\ngrid 2*m x 1\nparam k = n / 0\n",
        "error[P010] t:2:1: a second `program` line; the program is named `a`
  2 | program b
    | ^^^^^^^
  help: a file has one program; remove one of the lines
error[P006] t:4:7: `n` is defined already
  4 | const n = 5
    |       ^
  help: choose another name
error[P006] t:5:7: `x` has a meaning of its own
  5 | const x = 1
    |       ^
  help: x and y are always column and row of a PE; choose another name
error[P005] t:6:8: there is no name `m` here
  6 | grid 2*m x 1
    |        ^
  help: did you mean `n`?
error[P007] t:7:13: division by zero
  7 | param k = n / 0
    |             ^
",
    );
}

#[test]
fn a_mistake_has_no_consequences() {
    // A task on one line, a faulty task and buffer that are used, a loop over a faulty line.
    let text = "image p {
  mem v f32[q] @0
  task a lokal { activate b }
  task b local { mov v[0..2] <- #1; activate a; actvate a; activate c }
  for i in 0..9 { mem w$i f33[2] }
}
place q x=0 y=0
";
    faults(
        text,
        "error[P005] t:2:13: there is no name `q` here
  2 |   mem v f32[q] @0
    |             ^
error[P001] t:3:10: expected local, data, control, teardown, found `lokal`
  3 |   task a lokal { activate b }
    |          ^^^^^
  help: did you mean `local`?
error[P001] t:4:49: expected vec, async, join, loop, if, while, activate, block, unblock, control, open, turn, filter, store, timestamp, return, mov, add, sub, mul, max, fmac, scale, bitsub, a register or `}`, found `actvate`
  4 |   task b local { mov v[0..2] <- #1; activate a; actvate a; activate c }
    |                                                 ^^^^^^^
  help: did you mean `activate`?
error[P005] t:4:69: there is no task `c` in this image
  4 |   task b local { mov v[0..2] <- #1; activate a; actvate a; activate c }
    |                                                                     ^
  help: did you mean `a`?
error[P001] t:5:27: expected f16, bf16, f32, u16, i16, i32, found `f33` (with i = 0)
  5 |   for i in 0..9 { mem w$i f33[2] }
    |                           ^^^
  help: did you mean `f32`?
error[P004] t:7:7: there are 0 images with the name \"q\"
  7 | place q x=0 y=0
    |       ^
  help: did you mean `p`?
",
    );
}

#[test]
fn outside_of_a_buffer_is_nothing() {
    faults(
        "image p {\n  mem v f32[8]\n  task t local { mov v[4..12] <- #0; mov w <- v }\n}\n",
        "error[P011] t:3:22: elements 4 to 11 of `v`, which has 8
  3 |   task t local { mov v[4..12] <- #0; mov w <- v }
    |                      ^
  help: elements count from 0, and the end of a range is not part of it
error[P005] t:3:42: there is no buffer or register `w` in this image
  3 |   task t local { mov v[4..12] <- #0; mov w <- v }
    |                                          ^
  help: did you mean `v`?
",
    );
}

#[test]
fn hostile_texts_end() {
    let found = |text: &str| parse(text, "t").expect_err("a fault")[0].code.clone();
    assert_eq!(found("for i in 0..1000000000000 { route c0 x=0 y=0 west -> east }"), "P008");
    assert_eq!(found("for i in 0..1000000 { for j in 0..1000000 { } }"), "P008");
    assert_eq!(found(&format!("const a = {}1{}", "(".repeat(100_000), ")".repeat(100_000))), "P003");
    assert_eq!(found(&format!("const a = {}1", "-".repeat(100_000))), "P003");
    assert_eq!(found("const a = pow(10, 100)"), "P007");
    assert_eq!(found("image p {\n}\nplace p x=0..4294967295 y=0..4294967295 a0=x*x"), "P008");
    assert!(parse(&"if 0 { } else ".repeat(100_000), "t").is_err());
    let mut names = String::new();
    for i in 0..10_000 {
        names += &format!("const n{i} = {i}\n");
    }
    assert!(parse(&names, "t").is_ok());
}

#[test]
fn parameters_are_set_by_name() {
    let text = "param n = 4\nparam f = 0.5\nprogram p\ngrid n x 1\n";
    let with = |params: &[(&str, &str)]| {
        let params: Vec<_> = params.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        read(text, "t", Options { params: &params, machine: "", loader: &mut NoFiles })
            .map(|unit| unit.program.grid().width)
    };
    assert_eq!(with(&[]), Ok(4));
    assert_eq!(with(&[("n", "9"), ("f", "2")]), Ok(9));
    let text = |found: Result<u32, Vec<Diagnostic>>| messages(&found.unwrap_err());
    assert_eq!(
        text(with(&[("m", "9")])),
        "error[P005] --param m: the program has no parameter `m`\n  help: did you mean `n`?\n"
    );
    assert_eq!(
        text(with(&[("n", "1.5")])),
        "error[P007] t:1:7: the parameter `n` is a whole number, and `1.5` was given\n  1 | param n = 4\n    |       ^\n"
    );
}

pub(super) struct Shelf(pub(super) Vec<(&'static str, &'static str)>);

impl Loader for Shelf {
    fn array(&mut self, path: &str, _: &str) -> Result<Array, String> {
        if path != "m.npy" {
            return Err("no such array".to_owned());
        }
        Ok(Array { shape: vec![2, 3], elements: vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0], whole: true })
    }

    fn text(&mut self, path: &str, _: &str) -> Result<(String, String), String> {
        let found = self.0.iter().find(|(name, _)| *name == path);
        found.map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).ok_or_else(|| "no such file".to_owned())
    }
}

#[test]
fn files_are_included_once() {
    let mut shelf = Shelf(vec![
        ("a", "include \"b\"\nconst two = one + 1\n"),
        ("b", "include \"a\"\nconst one = 1\n"),
        ("bad", "const one = = 1"),
    ]);
    let mut read_with = |text: &str| read(text, "t", Options { params: &[], machine: "", loader: &mut shelf });
    let unit = read_with("include \"a\"\ninclude \"b\"\ngrid two x 1\n").unwrap();
    assert_eq!(unit.program.grid().width, 2);
    assert_eq!(unit.map.files().collect::<Vec<_>>(), ["t", "a", "b"]);
    let bad = read_with("include \"bad\"\n").unwrap_err();
    assert_eq!(
        messages(&bad),
        "error[P001] bad:1:13: expected a number, found `=`\n  1 | const one = = 1\n    |             ^\n"
    );
    let none = read_with("\ninclude \"c\"\n").unwrap_err();
    assert_eq!(
        messages(&none),
        "error[P009] t:2:9: \"c\" cannot be read: no such file\n  2 | include \"c\"\n    |         ^^^\n"
    );
}

/// A program can ask for which machine it is read.
#[test]
fn the_machine_is_known_by_its_name() {
    let width = |machine: &str| {
        let options = Options { params: &[], machine, loader: &mut NoFiles };
        read("program p\ngrid 1+arch(cs3) x 1\n", "t", options).map(|unit| unit.program.grid().width).unwrap()
    };
    assert_eq!([width("cs3"), width("cs2"), width("")], [2, 1, 1]);
}
