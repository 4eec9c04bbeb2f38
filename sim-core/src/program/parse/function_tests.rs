//! Functions of one's own and sums, and what is said of mistakes in them.

use super::language_tests::{expands, faults};
use super::*;

#[test]
fn functions_are_names_for_expressions() {
    let text = "program p
param n = 4
def square(a) = a * a
def at(r, c) = square(r) + 10*c + n
def of_pe(k) = 100*x + k
def safe(k) = select(k > 0, 12/k, 0)
grid 4x1
image p {
  mem v f32[2, 2] = each r, c: at(r, c) + safe(r)
  mem w f32[2] = each of_pe(i)
  mem s f32[1] = safe(0)
  task main local { loop square(3) { def half(k) = k/2; a1 = half(9) } }
}
place p x=0..at(0, 0) y=0 a0=of_pe(8) a2=square(x)
";
    let want = "program p
grid 4x1

image p {
  mem v f32[4] @0 = 4, 14, 17, 27
  mem w f32[2] @16
  mem s f32[1] @24 = 0
  task main local {
    loop 9 {
      a1 = 4
    }
  }
}

place p x=0..2 y=0 a0=8+100*x a2=0+1*x
place p x=2..4 y=0 a0=208+100*(x-2) a2=4+5*(x-2)
";
    expands(text, want);
}

/// Of a sum in a function in a sum, each index keeps its own value.
#[test]
fn sums_are_computed() {
    let text = "program p
param n = 3
def row(r) = sum(k in 0..n, 10*r + k)
def all(s) = sum(r in 0..2, s*row(r))
const odd = sum(k in 1..8 step 2, k)
const none = sum(k in 4..4, 1/0.5)
grid 4x1
image p {
  mem v f32[3] = each r: row(r + 1) + sum(k in 0..2, row(k)*r)
  mem w f32[2] = each sum(j in 0..2, row(j)*i) + all(2)
  mem s f32[4] = odd, none, sum(a in 0..3, sum(b in 0..2, a*b)), sum(k in 0..4, 3)
}
place p x=0..W y=0 a0=sum(k in 0..9, k) a1=row(x) + all(2)
";
    let want = "program p
grid 4x1

image p {
  mem v f32[3] @0 = 33, 99, 165
  mem w f32[2] @16 = 72, 108
  mem s f32[4] @24 = 16, 0, 3, 12
}

place p x=0..4 y=0 a0=36 a1=75+30*x
";
    expands(text, want);
    faults(
        "def row(r, n) = sum(k in 0..n, 10*r + k)\n",
        "error[P007] t:1:29: the range of a sum depends on `n`, which has no value yet
  1 | def row(r, n) = sum(k in 0..n, 10*r + k)
    |                             ^
  help: sum over a range that is known while the text expands, with `select(k < n, …, 0)` in it
",
    );
}

#[test]
fn sums_end() {
    let found = |text: &str| parse(text, "t").expect_err("a fault")[0].to_string();
    let huge = found("const a = sum(i in 0..100000, sum(k in 0..100000, i*k))");
    assert!(huge.starts_with("error[P008] t:1:11: a value takes 40000100000 operations"), "{huge}");
    assert!(found("for i in 0..1000000 { const a = sum(k in 0..1000000, k) }").starts_with("error[P008]"));
    let each = "image p {\n  mem v f32[10000] = each sum(k in 0..1000000, k*i)\n}\n";
    assert!(found(each).starts_with("error[P008]"));
    let place = "grid 1000x100\nimage p {\n}\nplace p x=0..W y=0..H a0=sum(k in 0..1000000, k*x)\n";
    assert!(found(place).starts_with("error[P008]"));
    let mut text = "def f0(a) = sum(k in 0..64, a + k)\n".to_owned();
    for k in 1..40 {
        text += &format!("def f{k}(a) = sum(k in 0..64, f{}(k + a))\n", k - 1);
    }
    assert!(found(&text).starts_with("error[P008]"));
    assert!(found("const a = sum(k in 0..4, sum(k in 0..4, k))").starts_with("error[P006] t:1:30: `k` is an index"));
    assert!(found("const a = sum(0..4, k)").ends_with("help: write `sum(k in 0..n, …)`"));
    assert!(found("const a = sum(k in 0..4, 1/k)").starts_with("error[P007] t:1:27: division by zero"));
}

#[test]
fn mistakes_in_functions_are_told_once() {
    faults(
        "def f(a) = f(a - 1)
def g(a, a) = 1
def min(a) = a
def h(a) = a + b
def of_pe(k) = x + k
def half(a) = 12/a
const c = half(0)
const d = half(1, 2)
const e = half + 1
const u = of_pe(1)
const w = h(1)
const v = haff(1)
def half(a) = a
def i() = 3
",
        "error[P007] t:1:12: `f` calls itself
  1 | def f(a) = f(a - 1)
    |            ^
  help: a function is a name for an expression, and cannot be in it
error[P006] t:2:10: a parameter cannot be named `a`
  2 | def g(a, a) = 1
    |          ^
  help: x and y are column and row; others need names of their own
error[P006] t:3:5: `min` is a function of the language
  3 | def min(a) = a
    |     ^^^
  help: choose another name
error[P005] t:4:16: there is no name `b` here
  4 | def h(a) = a + b
    |                ^
  help: did you mean `a`?
error[P007] t:7:11: division by zero, in `half`
  7 | const c = half(0)
    |           ^^^^
error[P007] t:8:11: `half` takes 1 value and has 2
  8 | const d = half(1, 2)
    |           ^^^^
error[P007] t:9:11: `half` is a function, and its operands are missing
  9 | const e = half + 1
    |           ^^^^
  help: write `half(…)`
error[P005] t:10:11: `of_pe` depends on `x`, which has a value in placements, filters and values of PEs only
  10 | const u = of_pe(1)
     |           ^^^^^
  help: give it as a parameter
error[P005] t:12:11: there is no function `haff`
  12 | const v = haff(1)
     |           ^^^^
  help: did you mean `half`?
error[P006] t:13:5: `half` is defined already
  13 | def half(a) = a
     |     ^^^^
  help: choose another name
error[P001] t:14:7: expected the name of a parameter, found `)`
  14 | def i() = 3
     |       ^
  help: without parameters it is a `const`
",
    );
}

/// Functions of functions double in size with each; so does their value, which is refused alike.
#[test]
fn functions_do_not_grow_without_end() {
    let mut text = "def f0(a) = a + a\n".to_owned();
    for k in 1..40 {
        text += &format!("def f{k}(a) = f{}(a) + f{}(a)\n", k - 1, k - 1);
    }
    text += "grid 4x1\nimage p {\n}\nplace p x=0..4 y=0 a0=f39(x)\n";
    let found = parse(&text, "t").expect_err("too large");
    assert_eq!(found[0].code, "P003", "{found:#?}");
    assert_eq!(found.len(), 1, "{found:#?}");
    let deep = format!("def s(a) = sqrt(sqrt(a + 1.5))\nconst k = {}1{}", "s(".repeat(40), ")".repeat(40));
    assert_eq!(parse(&deep, "t").expect_err("too deep")[0].code, "P003");
    let negated = format!("const k = {}1", "not ".repeat(100_000));
    assert_eq!(parse(&negated, "t").expect_err("too deep")[0].code, "P003");
}
