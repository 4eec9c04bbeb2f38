//! How the fast engine cuts a mesh into bands and tiles, and how far these run ahead of each other,
//! changes no counter: a mesh that is larger than those of random programs, with back-pressure, is
//! compared with the reference engine.
#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use common::in_full;
use fabric::{EngineKind, Fold, RunOptions};
use sim_core::arch::cs2::cs2;
use sim_core::program::{parse, verify};

/// Every PE takes a stream that comes from the north; those of even columns add it up and pass
/// their sums to the east, faster than it is taken there. Others cross the mesh without stopping.
const PROGRAM: &str = "program tiles
grid 22x19
image even {
in q0 c0
out q2 c1
task m local active {
loop 6 {
vec add 8: f32@0[8] <- f32@0[8], fab c0 f32
vec mov 8: fab c1 f32 <- f32@0[8]
}
}
}
image odd {
in q0 c0
in q1 c1
task m local active {
loop 6 {
async t0 high vec mov 8: f32@64[8] <- fab c1 f32
vec mov 8: f32@0[8] <- fab c0 f32
vec mul 24: f32@128[24] <- f32@128[24], #2
join t0
}
}
}
place even x=0..22/2 y=0..19
place odd x=1..22/2 y=0..19
route c0 x=0..22 y=0..18 north -> south ramp
route c0 x=0..22 y=18 north -> ramp
route c1 x=0..22/2 y=0..19 ramp -> east
route c1 x=1..22/2 y=0..19 west -> ramp
route c2 x=0..22 y=0..19 west -> east
route c3 x=0..22 y=0..19 south -> north
edge in a north x=0..22 c0 wavelets 48 every 2 fanout 1
edge in b west y=0..19 c2 wavelets 40 every 3 fanout 1
edge out b2 east y=0..19 c2 wavelets 40 every 4 fanout 1
edge in c south x=0..22 c3 wavelets 40 every 1 fanout 1
edge out c2 north x=0..22 c3 wavelets 40 every 1 fanout 1
";

#[test]
fn bands_and_tiles_change_nothing() {
    let mut arch = cs2();
    for (buffer, hop) in [(1, 1), (2, 1), (3, 2)] {
        (arch.router.buffer.value, arch.router.hop.value) = (buffer, hop);
        let program = parse(PROGRAM, "tiles").unwrap();
        assert_eq!(verify(&program, &arch), Vec::new());
        let run = |engine, bands| in_full(&program, &arch, engine, bands);
        let want = run(EngineKind::Reference, None);
        for bands in [None, Some(1), Some(2), Some(3), Some(5), Some(19)] {
            assert_eq!(run(EngineKind::Fast, bands), want, "{bands:?} bands, buffers of {buffer}, hops of {hop}");
        }
    }
}

#[test]
fn a_limit_holds_in_the_middle_of_a_block() {
    let program = parse(PROGRAM, "tiles").unwrap();
    let run = |engine, bands, cycle_limit| {
        let options = RunOptions { engine, fold: Fold::NONE, bands, cycle_limit, ..RunOptions::default() };
        fabric::run(&program, &cs2(), &options, None).map(|o| o.cycles)
    };
    let end = run(EngineKind::Reference, None, 1 << 40).unwrap().0;
    for limit in end - 6..end + 2 {
        let want = run(EngineKind::Reference, None, limit);
        for bands in [None, Some(1), Some(2)] {
            assert_eq!(run(EngineKind::Fast, bands, limit), want, "{limit} of {end} cycles");
        }
    }
}
