//! Start values, streams, expectations and warnings of the language; integers; the layout of texts.

use super::language_tests::{Shelf, expands, faults, messages};
use super::*;

#[test]
fn start_values_are_computed() {
    let text = "grid 1x1
array m = \"m.npy\"
image p {
  mem a f32[2, 2] = each r, c: 10*r + c
  mem b f32[3] = each 0.5*i
  mem c f32[2] = 1.0/3, pi
  mem d f32[6] = each k: m[k] - m[0, 1]
}
";
    let mut shelf = Shelf(Vec::new());
    let unit = read(text, "t", Options { params: &[], machine: "", loader: &mut shelf }).unwrap();
    let printed = unit.program.to_string();
    let values: Vec<&str> = printed.lines().filter_map(|l| l.split_once(" = ").map(|(_, v)| v)).collect();
    assert_eq!(values, ["0, 1, 10, 11", "0, 0.5, 1", "0.33333334, 3.1415927", "-1, 0, 1, 2, 3, 4"]);
    assert!(!unit.data.has_values(), "they are the same on all PEs");
}

/// A run that left these numbers in the first bytes of all PEs.
struct Left<'a>(&'a [f32], &'a [u32]);

impl Observed for Left<'_> {
    fn memory(&self, _: crate::coord::PeCoord, from: u64, bytes: u64) -> Option<&[u8]> {
        let all: Vec<u8> = self.0.iter().flat_map(|v| v.to_le_bytes()).collect();
        Vec::leak(all).get(from as usize..(from + bytes) as usize)
    }

    fn words(&self, _: &str, _: u32) -> &[u32] {
        self.1
    }

    fn cycles(&self) -> u64 {
        77
    }
}

const PLACED: &str = "param n = 2
grid 2x2
image p {
  mem a f32[n] = x, 10*y + 1
  mem b f16[n] = each x + 2*y + 4*i
}
place p x=0..W y=0..H
edge in w west y=0..2 c0 wavelets 2 every 1 fanout 1 = f16 each 2*y + i
edge out o east y=0..2 c1 wavelets 2 every 1 fanout 1
";

#[test]
fn values_may_differ_by_place() {
    let unit = read(PLACED, "t", Options { params: &[], machine: "", loader: &mut NoFiles }).unwrap();
    let mut written = Vec::new();
    let write = |pe: crate::coord::PeCoord, from, bytes: &[u8]| written.push((pe.x, pe.y, from, bytes.to_vec()));
    unit.data.start(&unit.program, &unit.map, write).unwrap();
    assert_eq!(written.len(), 8);
    assert_eq!(written[3], (1, 1, 0, [1.0f32, 11.0].iter().flat_map(|v| v.to_le_bytes()).collect()));
    let half = |v: f32| half::f16::from_f32(v).to_le_bytes();
    assert_eq!(written[7], (1, 1, 8, [half(3.0), half(7.0)].concat()));
    let mut fed = Vec::new();
    unit.data.feed(&unit.program, &unit.map, |stream, port, words| fed.push((stream.to_owned(), port, words))).unwrap();
    let word = |a: f32, b: f32| u32::from_le_bytes([half(a)[0], half(a)[1], half(b)[0], half(b)[1]]);
    assert_eq!(fed[1], ("w".to_owned(), 1, vec![word(2.0, 3.0), word(4.0, 5.0)]));
}

#[test]
fn expectations_say_what_differs() {
    let check = |expectations: &str| {
        let text = format!("{PLACED}{expectations}");
        let unit = match read(&text, "t", Options { params: &[], machine: "", loader: &mut NoFiles }) {
            Ok(unit) => unit,
            Err(all) => return messages(&all),
        };
        let left = Left(&[0.5, 11.0, 0.0], &[0x3f80_0000, 0x4000_0000]);
        messages(&unit.data.check(&unit.program, &unit.map, true, &left))
    };
    assert_eq!(check("expect a == 0.5, 11\nexpect a[1] x=0..W y=0..H == 11\nexpect cycles == 77\n"), "");
    assert_eq!(check("expect a[0..1] == 0.4 within 0.11\nexpect edge o == each 1 + i\nexpect cycles < 80\n"), "");
    // Indices are those of the buffer; a list is of the elements that are named.
    assert_eq!(check("expect a[1] == each i: 10 + i\nexpect a[1..2] == 11\nexpect a[0..n step 2] == 0.5, 7\n"), "");
    assert_eq!(
        check("expect a[0..3] == 1\nexpect a[0:2:0] == 0.5\nexpect a[0:3:0] == 0.5\n"),
        "error[P011] t:10:8: elements 0 to 2 of `a`, which has 2
  10 | expect a[0..3] == 1
     |        ^
  help: elements count from 0, and the end of a range is not part of it
error[P011] t:12:8: 3 elements of `a`, which has 2
  12 | expect a[0:3:0] == 0.5
     |        ^
"
    );
    assert_eq!(
        check("expect a x=1 y=0..H == each 0.5 + y\nexpect edge o == 1\nexpect cycles <= 76"),
        "error[E001] t:10:1: `a`: 3 of 4 numbers are not as expected
    PE (1,0): element 1 is 11, expected 0.5
    PE (1,1): element 0 is 0.5, expected 1.5
    PE (1,1): element 1 is 11, expected 1.5
  10 | expect a x=1 y=0..H == each 0.5 + y
     | ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
error[E001] t:11:1: edge `o`: 2 of 4 numbers are not as expected
    port 0: element 1 is 2, expected 1
    port 1: element 1 is 2, expected 1
  11 | expect edge o == 1
     | ^^^^^^^^^^^^^^^^^^
error[E001] t:12:1: the run took 77 cycles; expected: at most 76
  12 | expect cycles <= 76
     | ^^^^^^^^^^^^^^^^^^^
"
    );
    assert_eq!(
        check("expect c == 1\nexpect a x=5 y=0 == 1\nexpect a == each r, c, d: 1"),
        "error[P005] t:10:8: no image has a buffer `c`
  10 | expect c == 1
     |        ^
  help: did you mean `a`?
error[P011] t:11:8: no PE of x=5 y=0 has a buffer `a`
  11 | expect a x=5 y=0 == 1
     |        ^
error[P011] t:12:18: 3 indices for 1 dimensions
  12 | expect a == each r, c, d: 1
     |                  ^
  help: one for each dimension, or one that counts all elements
"
    );
}

#[test]
fn blocks_are_expected_by_as_many_indices_as_operands_have() {
    let text = "grid 1x1\nimage p {\n  mem t f32[4, 3]\n}\nplace p x=0 y=0\n";
    let numbers: Vec<f32> = (0..4u8).flat_map(|r| (0..3u8).map(move |c| f32::from(10 * r + c))).collect();
    let check = |expectations: &str| {
        let text = format!("{text}{expectations}");
        match read(&text, "t", Options { params: &[], machine: "", loader: &mut NoFiles }) {
            Ok(unit) => messages(&unit.data.check(&unit.program, &unit.map, true, &Left(&numbers, &[]))),
            Err(all) => messages(&all),
        }
    };
    assert_eq!(
        check(
            "expect t[1..3, 1..3] == each r, c: 10*r + c
expect t[.., 2] == each r, c: 10*r + 2
expect t[1..4 step 2, ..] == 10, 11, 12, 30, 31, 32
expect t[3, 0] == 30
expect t[1:2:3] == each k: 10*(k/3) + k%3
"
        ),
        ""
    );
    assert_eq!(
        check("expect t[1..3, 0..2] == each r, c: 10*r\nexpect t[0, 0, 0] == 0\nexpect t[2..5, 0] == 0\n"),
        "error[P011] t:7:8: 3 indices for `t`, which has 2
  7 | expect t[0, 0, 0] == 0
    |        ^
  help: as many as it has dimensions, or one that counts all elements
error[P011] t:8:8: elements 6 to 12 of `t`, which has 12
  8 | expect t[2..5, 0] == 0
    |        ^
  help: elements count from 0, and the end of a range is not part of it
"
    );
    assert_eq!(
        check("expect t[1..3, 0..2] == each r, c: 10*r\n"),
        "error[E001] t:6:1: `t`: 2 of 4 numbers are not as expected
    PE (0,0): element 4 is 11, expected 10
    PE (0,0): element 7 is 21, expected 20
  6 | expect t[1..3, 0..2] == each r, c: 10*r
    | ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
"
    );
}

#[test]
fn what_nobody_means_is_warned_of() {
    let text = "param unused = 1
grid 2x1
image forgotten {
  task main local active { mov f32@0[4] <- #0 }
}
image p {
  mem a f32[4] @0
  mem a f32[4] @8
  mem c f32[2] over f
  mem f f32[2] @64
  task main local { }
  task told control 3 { }
  task held data c0 r0 blocked { }
}
place p x=0..W y=0
";
    let unit = read(text, "t", Options { params: &[], machine: "", loader: &mut NoFiles }).unwrap();
    let found: Vec<String> = unit.warnings.iter().map(|d| format!("{} {} {}", d.code, d.at, d.message)).collect();
    let want = [
        "W006 t:1:7 the parameter `unused` is used nowhere, so setting it does nothing",
        "W002 t:3:1 image `forgotten` is placed nowhere, so no PE runs it",
        "W001 t:8:3 `a` and `a` share bytes 8 to 15 of a PE's memory",
        "W003 t:11:3 task `main` of image `p` never runs: nothing activates it",
        "W003 t:12:3 task `told` of image `p` never runs: no control wavelet has its number",
        "W003 t:13:3 task `held` of image `p` never runs: it is blocked, and nothing unblocks it",
        "W005 t:8:3 two buffers of image `p` are named `a`",
        "W004 t:2:1 no PE has a task that is active at the start, and nothing enters at the edges",
    ];
    assert_eq!(found, want);
}

#[test]
fn a_text_is_laid_out() {
    let text = "program   p // name
grid 4   x 1


image  p{
mem a f32 [4]@16=1,2 ,3   // three
    task main local active{
// a comment of its own
loop 3{ vec  add 4:a [0..4]<-a ,#1.5;join t0 }
  if n>3{ x }else { y }
   a0 = a0 + 4*(n -1)
} }
place p x=0..4/2 y=0 a0=5+2*(x%4)
switch c0 x=0 y=0 pop never|west->ramp";
    let want = "program p   // name
grid 4 x 1

image p {
  mem a f32[4]@16=1, 2, 3  // three
  task main local active {
    // a comment of its own
    loop 3 { vec add 4: a[0..4] <- a, #1.5; join t0 }
    if n>3 { x } else { y }
    a0 = a0 + 4*(n -1)
} }
place p x=0..4 step 2 y=0 a0=5+2*(x%4)
switch c0 x=0 y=0 pop never | west -> ramp
";
    assert_eq!(format(text), want);
    assert_eq!(format(&format(text)), format(text));
    assert_eq!(format(""), "");
    assert_eq!(format("\n\n// c\n\n"), "// c\n");
}

#[test]
fn integers_are_held_as_they_are() {
    let text = "program p
grid 1x1
image p {
  mem a u16[4] = 1, 65535, 2+1
  mem b i16[2, 2] = each r, c: -r-c
  mem c i32[2] = each i: 100000*i
  mem v f32[4]
  reg k
  task main local active {
    k = load a[1]
    a1 = load b@k[1, 0]
    r0 = load v@a1
    store c[1] k
    store v[3] r0
    a2 = load i16 a1+2
    mov v <- c
    if k < 4 { k = k * k } else { timestamp c[0] }
    loop k { add k: v <- v, #1 }
  }
}
";
    let want = "program p
grid 1x1

image p {
  mem a u16[4] @0 = 1, 65535, 3
  mem b i16[4] @8 = 0, -1, -1, -2
  mem c i32[2] @16 = 0, 100000
  mem v f32[4] @24
  task main local active {
    a0 = load u16 2
    a1 = load i16 a0+12
    r0 = load f32 a1+24
    store i32 20 a0
    store f32 36 r0
    a2 = load i16 a1+2
    vec mov 4: f32@24[4] <- f32@16[2]
    if lt a0 4 {
      a0 = mul a0 a0
    } else {
      timestamp 16
    }
    loop a0 {
      vec add a0: f32@24[..] <- f32@24[..], #1
    }
  }
}
";
    expands(text, want);
    let program = parse(text, "t").unwrap();
    assert_eq!(program.images[0].buffers[1].read(&[0xff, 0xff, 0x01, 0x80]), [-1.0, -32767.0]);
    faults(
        "image p {\n  mem a u16[2] = 1, -1\n  mem v f32[2]\n  task t local { a1 = load v[0]; store v[0..2] r0 }\n}\n",
        "error[P007] t:2:18: -1 is no u16
  2 |   mem a u16[2] = 1, -1
    |                  ^
error[P001] t:4:28: expected a buffer of integers; numbers are loaded into data registers, found `v`
  4 |   task t local { a1 = load v[0]; store v[0..2] r0 }
    |                            ^
error[P011] t:4:40: several elements of `v`
  4 |   task t local { a1 = load v[0]; store v[0..2] r0 }
    |                                        ^
  help: name one, as in `A[3]`
",
    );
}
