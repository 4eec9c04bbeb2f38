//! Wavelets that wait for any time: the fast engine keeps the low bits of cycles, and is compared
//! with the reference engine around all powers of two that these could wrap at.
#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use common::in_full;
use fabric::EngineKind;
use sim_core::arch::cs2::cs2;
use sim_core::program::{parse, verify};

/// The first PE sends at once; the second one takes after about `cycles` cycles in which nothing
/// happens, and then what comes meanwhile through a third one.
fn program(cycles: u32) -> String {
    format!(
        "program wait
grid 3x1
image first {{
out q0 c0
task m local active {{
vec mov 20: fab c0 f32 <- #1
}}
}}
image second {{
in q0 c0
in q1 c1
task m local active {{
vec mul {cycles}: f32@0[{cycles}:0] <- f32@0[{cycles}:0], #1
vec mov 20: f32@64[20] <- fab c0 f32
vec mov 4: f32@64[4] <- fab c1 f32
}}
}}
image third {{
out q0 c1
task m local active {{
vec mul {cycles}: f32@0[{cycles}:0] <- f32@0[{cycles}:0], #1
vec mov 4: fab c1 f32 <- #1
}}
}}
place first x=0 y=0
place second x=1 y=0
place third x=2 y=0
route c0 x=0 y=0 ramp -> east
route c0 x=1 y=0 west -> ramp
route c1 x=2 y=0 ramp -> west
route c1 x=1 y=0 east -> ramp
"
    )
}

#[test]
fn waiting_for_any_time_is_the_same() {
    let near = [13, 14, 15, 16, 17].into_iter().flat_map(|bits| (0..5).map(move |d| (1u32 << bits) - 20 + 5 * d));
    for cycles in near.chain([50_000, 100_000]) {
        for hop in [1, 10_000] {
            let mut arch = cs2();
            arch.router.hop.value = hop;
            let program = parse(&program(cycles), "wait").unwrap();
            assert_eq!(verify(&program, &arch), Vec::new());
            let run = |engine| in_full(&program, &arch, engine, None);
            assert_eq!(run(EngineKind::Fast), run(EngineKind::Reference), "{cycles} cycles, hops of {hop}");
        }
    }
}
