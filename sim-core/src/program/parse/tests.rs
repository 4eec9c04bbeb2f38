//! The parser and the printer are each other's inverse, and every mistake is found.

use super::*;
use crate::arch::cs2::cs2;
use crate::program::arbitrary::program;
use crate::program::verify;
use proptest::prelude::*;

const EXAMPLE: &str = "program gemv
grid 4x2

image row {
  in q0 c1
  out q2 c0
  mem y f32[4] @1024 = 1, 2.5, -3, 0x7fc00000
  fifo f f16[16] @2048
  task main local active {
    vec mov 4: fab c0 f32 <- f32@1024[4]
    async t0 low vec mov 8: f16@a1+64[8] <- fab c1 f16 then activate 1
    vec mov 8: fifo 0 f16 <- f16@a1[8]%1024+64
    control c0 adv nop teardown -> 3
    control c0
    open c0
    join t0
    loop 10 {
      vec fmac 32: f32@2048[32] <- f32@2048[32], f16@a0+128[4:8,8], #0.5
      a0 = a0 + 64
      a1 = wrap a1 1024 512
    }
  }
  task recv data c1 r0 {
  }
  task told control 3 blocked {
  }
  task closed teardown c0 {
  }
}

place row x=0..4 y=0 a0=5+2*(x%4)+3*(y%2) a1=0-2*y

route c0 x=0..3 y=0..2 west -> east ramp
switch c0 x=1..3 y=0 pop advance ring | ramp -> east | -> north ramp | south
filter c0 x=1..4 y=0 start 3-1*(x-1)+2*y pass 1 of 4

edge in w north x=0..9 step 2 c3 wavelets 10 every 1 fanout 1
";

#[track_caller]
fn diagnostics(text: &str, want: &[&str]) {
    let got: Vec<String> = match parse(text, "t") {
        Ok(p) => panic!("no diagnostic: {p}"),
        Err(diagnostics) => diagnostics.iter().map(|d| format!("{} {} {}", d.code, d.at, d.message)).collect(),
    };
    assert_eq!(got, want);
}

#[test]
fn the_example_is_its_own_print() {
    let program = parse(EXAMPLE, "t").unwrap();
    assert_eq!(program.to_string(), EXAMPLE);
    assert_eq!(program.placements[0].params[0].value(5, 3), 5 + 2 + 3);
    assert_eq!(program.placements[0].params[1].value(5, 3), -6);
}

#[test]
fn spaces_comments_and_line_ends_are_free() {
    let loose = EXAMPLE.replace(": ", " :  ").replace('\n', " // c\r\n\n").replace(" = ", "=").replace('@', " @ ");
    assert_eq!(parse(&loose, "t").unwrap(), parse(EXAMPLE, "t").unwrap());
}

#[test]
fn p001_something_else_was_expected() {
    let text = "grid 4\nimage a {\n  in q1 d2\n  task t local {\n    vec mow 4: r0 <- r1\n    a0 = wrap a1 4 4\n    loop 2 {\n      join 5\n    }\n  }\n}\nrout c1\n\"x\n";
    let want = [
        "P001 t:1:7 expected `x` with a number, found the end of the line",
        "P001 t:3:9 expected `c` with a number, found `d2`",
        "P001 t:5:9 expected mov, add, sub, mul, max, fmac, scale, bitsub, found `mow`",
        "P001 t:6:15 expected a0, the register that is written, found `a1`",
        "P001 t:8:12 expected `t` with a number, found `5`",
        "P001 t:12:1 expected program, grid, image, place, route, switch, filter, edge, expect, const, def, param, array, for, if, include, found `rout`",
        "P001 t:13:1 expected program, grid, image, place, route, switch, filter, edge, expect, const, def, param, array, for, if, include, found a text without an end",
    ];
    diagnostics(text, &want);
    diagnostics("image a {\n", &["P001 t:2:1 expected `}`, found the end of the line"]);
}

#[test]
fn p002_number_out_of_range() {
    diagnostics("grid 1x4294967296", &["P002 t:1:7 4294967296 is out of range"]);
    diagnostics("route c24 x=0 y=0 west -> east", &["P002 t:1:7 there is no color 24; the last one is c23"]);
    diagnostics("place #0 x=4..4 y=0", &["P002 t:1:12 no positions, or too many: 4..4 step 1"]);
    diagnostics("place #0 x=0..4/0 y=0", &["P002 t:1:12 no positions, or too many: 0..4 step 0"]);
}

#[test]
fn p003_text_too_large() {
    let deep = format!("image a {{\ntask t local {{\n{}", "loop 2 {\n".repeat(100_000));
    let found = parse(&deep, "t").unwrap_err();
    assert_eq!(found[0].code, "P003", "{found:#?}");
    assert_eq!(parse(&" ".repeat(MAX_TEXT + 1), "t").unwrap_err()[0].code, "P003");
}

#[test]
fn p004_image_name() {
    diagnostics("place a x=0 y=0", &["P004 t:1:7 there are 0 images with the name \"a\""]);
    diagnostics("image a {\n}\nimage a {\n}\nplace a x=0 y=0", &["P004 t:5:7 there are 2 images with the name \"a\""]);
}

fn mutated() -> impl Strategy<Value = String> {
    let pieces =
        prop::sample::select(vec!["{", "}", "\n", "\"", "0x", "..", "é", "-", "99999999999999999999", "", "a", "\\"]);
    prop::collection::vec((0..EXAMPLE.len(), 0usize..4, pieces), 1..8).prop_map(|edits| {
        let mut text = EXAMPLE.to_owned();
        for (at, cut, piece) in edits {
            let from = (0..=at.min(text.len())).rev().find(|&i| text.is_char_boundary(i)).unwrap();
            let to = (from + cut..=text.len()).find(|&i| text.is_char_boundary(i)).unwrap_or(text.len());
            text.replace_range(from..to.max(from), piece);
        }
        text
    })
}

proptest! {
    #[test]
    fn what_is_printed_is_read_back(program in program()) {
        let text = program.to_string();
        let back = parse(&text, "t");
        prop_assert_eq!(back.as_ref(), Ok(&program), "{}", text);
        prop_assert_eq!(back.unwrap().to_string(), text);
    }

    #[test]
    fn what_is_printed_is_laid_out(program in program()) {
        let text = program.to_string();
        prop_assert_eq!(format(&text), text.clone());
        let ragged = text.replace("  ", "\t").replace(" <- ", "<-").replace(" {", "{");
        prop_assert_eq!(parse(&format(&ragged), "t").ok(), parse(&ragged, "t").ok(), "{}", format(&ragged));
    }

    #[test]
    fn laid_out_texts_mean_the_same_and_stay(text in mutated()) {
        let laid = format(&text);
        prop_assert_eq!(format(&laid), laid.clone());
        prop_assert_eq!(parse(&laid, "t").ok(), parse(&text, "t").ok());
    }

    #[test]
    fn no_program_makes_the_verifier_panic(program in program()) {
        let _ = verify(&program, &cs2());
    }

    #[test]
    fn no_text_makes_the_parser_panic(text in mutated()) {
        if let Ok(program) = parse(&text, "t") {
            let printed = program.to_string();
            prop_assert_eq!(parse(&printed, "t"), Ok(program));
        }
    }

    #[test]
    fn no_bytes_make_the_parser_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = parse(&String::from_utf8_lossy(&bytes), "t");
    }
}

/// What decides at run time is told apart from what generates; each form is printed in one way.
#[test]
fn control_code() {
    let text = "const lt = 3\nimage a {\nmem v f32[8] @64\nreg n = a4\ntask t local {\nif lt == 3 {\na1 = a2 * 4\n}\nif a1 <= 5 {\na1 = a1 - a2\n} else if lt a1 -2 {\na3 = a1 - 5\n} else {\nopen c0 1\n}\nwhile r1 < #0.5 {\nr1 = add r1 #-1\n}\nloop n {\nvec mov n load: v@a2[..]+ <- #1\nmov load: v <- #2\n}\na1 = load u16 a2+addr(v)\nstore f32 addr(v)+4 r1\n}\n}\n";
    let printed = "    a1 = mul a2 4
    if le a1 5 {
      a1 = sub a1 a2
    } else {
      if lt a1 -2 {
        a3 = sub a1 5
      } else {
        open c0 1
      }
    }
    while lt r1 #0.5 {
      r1 = add r1 #-1
    }
    loop a4 {
      vec mov a4 load: f32@a2+64[..]+ <- #1
      vec mov 8 load: f32@64[8] <- #2
    }
    a1 = load u16 a2+64
    store f32 68 r1
";
    let program = parse(text, "t").unwrap_or_else(|found| panic!("{found:#?}"));
    let out = program.to_string();
    assert!(out.contains(printed), "{out}");
    assert_eq!(parse(&out, "t").unwrap(), program);
}
