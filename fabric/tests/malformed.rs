//! A library caller who has not asked the verifier gets an error, never a panic.
#![allow(clippy::unwrap_used, reason = "tests")]

use fabric::{Fold, HostStreams, RunOptions, Values, WaferMemory};
use sim_core::arch::cs2::cs2;
use sim_core::coord::{Dir, Grid, Region, Span};
use sim_core::error::RunError;
use sim_core::program::{
    AddrOp, AddrReg, Async, DType, Dim, FifoId, Instr, Operand, Program, TaskId, Then, VecOp, parse,
};

/// Two PEs that send and receive, with a switch, a filter, a FIFO in memory, a loop, a microthread.
const WHOLE: &str = "program p
grid 3x2
image a {
in q1 c1
out q0 c0
mem y f32[4] @0 = 1, 2
task m local active {
loop 2 {
vec mov 2: fab c0 f32 <- f32@0[2]
}
async t0 low vec mov 2: f32@8[2] <- fab c1 f32 then activate 1
join t0
}
task n local {
a0 = 5
}
}
image b {
in q0 c0
task m local active {
vec mov 4: f32@0[4] <- fab c0 f32
}
}
place a x=0 y=0
place b x=1 y=0
route c0 x=0 y=0 ramp -> east
route c0 x=1 y=0 west -> ramp
route c1 x=0 y=0 west -> ramp
edge in w west y=0 c1 wavelets 2 every 1 fanout 1
";

fn whole() -> Program {
    parse(WHOLE, "t").unwrap_or_else(|diagnostics| panic!("{diagnostics:?}"))
}

/// Changes all vector instructions of image `a`, which another change may have moved.
fn vectors(p: &mut Program, change: fn(&mut VecOp)) {
    fn all(body: &mut [Instr], change: fn(&mut VecOp)) {
        for instr in body {
            match instr {
                Instr::Vec(op) => change(op),
                Instr::Loop { body, .. } => all(body, change),
                _ => {}
            }
        }
    }
    all(&mut p.images[0].tasks[0].body, change);
}

/// The same for instructions on microthreads.
fn microthreads(p: &mut Program, change: fn(&mut Async)) {
    fn all(body: &mut [Instr], change: fn(&mut Async)) {
        for instr in body {
            match instr {
                Instr::Async(op) => change(op),
                Instr::Loop { body, .. } => all(body, change),
                _ => {}
            }
        }
    }
    all(&mut p.images[0].tasks[0].body, change);
}

/// A way to break a program: what is wrong then, and the change.
type Break = (&'static str, fn(&mut Program));

/// Ways to break a program, each of which an engine would index or divide by.
fn breaks() -> Vec<Break> {
    vec![
        ("no grid", |p| p.grid = None),
        ("an empty grid", |p| p.grid = Some(Grid { width: 0, height: 2 })),
        ("a huge grid", |p| p.grid = Some(Grid { width: u32::MAX, height: u32::MAX })),
        ("a smaller grid", |p| p.grid = Some(Grid { width: 1, height: 1 })),
        ("no such image", |p| p.placements[1].image = 7),
        ("two images on a PE", |p| p.placements[1].region = p.placements[0].region),
        ("a placement off the grid", |p| p.placements[1].region = Region::rect(2, 0, 9, 9)),
        ("no positions", |p| p.placements[1].region.x = Span { start: 1, count: 0, step: 1 }),
        ("no distance", |p| p.placements[1].region.x = Span { start: 1, count: 1, step: 0 }),
        ("positions that overflow", |p| p.routes[0].region.x = Span { start: 9, count: u32::MAX, step: u32::MAX }),
        ("routes off the grid", |p| p.routes[0].region = Region::rect(7, 7, 1, 1)),
        ("many routes of a color", |p| {
            let route = p.routes[0];
            p.routes.extend([route; 300]);
        }),
        ("ports off the grid", |p| p.edges[0].ports = Span::run(1, 9)),
        ("ports on the ramp", |p| p.edges[0].side = Dir::Ramp),
        ("no interval", |p| p.edges[0].interval = 0),
        ("a deep nest of loops", |p| {
            for _ in 0..20 {
                let body = std::mem::take(&mut p.images[0].tasks[0].body);
                p.images[0].tasks[0].body = vec![Instr::Loop { count: 1, body }];
            }
        }),
        ("a loop without repetitions", |p| {
            p.images[0].tasks[0].body.iter_mut().for_each(|instr| {
                if let Instr::Loop { count, .. } = instr {
                    *count = 0;
                }
            });
        }),
        ("many tasks", |p| {
            let task = p.images[0].tasks[1].clone();
            p.images[0].tasks.extend(vec![task; 100]);
        }),
        ("a task that does not exist", |p| p.images[0].tasks[0].body.push(Instr::Activate(TaskId(200)))),
        ("a task to unblock", |p| p.images[0].tasks[0].body.push(Instr::Unblock(TaskId(65)))),
        ("a follower that does not exist", |p| microthreads(p, |a| a.then = Some(Then::Unblock(TaskId(99))))),
        ("a microthread that does not exist", |p| microthreads(p, |a| a.thread = 200)),
        ("to wait for a microthread that does not exist", |p| p.images[0].tasks[0].body.push(Instr::Join(9))),
        ("a register that does not exist", |p| {
            p.images[0].tasks[0].body.push(Instr::Addr(AddrOp::Copy(AddrReg(16), AddrReg(99))));
        }),
        ("no sources", |p| vectors(p, |op| op.src.clear())),
        ("many sources", |p| vectors(p, |op| op.src = vec![op.dst.clone(); 9].into())),
        ("no elements", |p| vectors(p, |op| op.len = 0)),
        ("a dimension without elements", |p| {
            vectors(p, |op| {
                op.src.iter_mut().for_each(|source| {
                    if let Operand::Mem(m) = source {
                        m.dims = vec![Dim { len: 0, stride: 1 }; 2].into();
                    }
                });
            });
        }),
        ("a FIFO that does not exist", |p| {
            vectors(p, |op| op.src = vec![Operand::Fifo(FifoId(3), DType::F32)].into());
        }),
        ("a constant as destination", |p| vectors(p, |op| op.dst = Operand::Imm(1))),
    ]
}

/// Runs it with both foldings, with none, and with values.
fn run(p: &Program) -> [Result<(), RunError>; 3] {
    let arch = cs2();
    let limited = RunOptions { cycle_limit: 10_000, memory_limit: 1 << 28, ..RunOptions::default() };
    let plain = RunOptions { fold: Fold::NONE, ..limited };
    let mut memory = WaferMemory::new(Grid { width: 3, height: 2 }, arch.pe.sram.value);
    let (inputs, mut outputs) = (HostStreams::default(), HostStreams::default());
    let mut values = Values { memory: &mut memory, inputs: &inputs, outputs: &mut outputs };
    [
        fabric::run(p, &arch, &limited, None).map(|_| ()),
        fabric::run(p, &arch, &plain, None).map(|_| ()),
        fabric::run(p, &arch, &limited, Some(&mut values)).map(|_| ()),
    ]
}

#[test]
fn a_broken_program_is_an_error() {
    assert_eq!(run(&whole()), [Ok(()), Ok(()), Ok(())]);
    for (what, change) in breaks() {
        let mut p = whole();
        change(&mut p);
        let all = run(&p);
        assert!(all.iter().all(|r| matches!(r, Err(RunError::Invalid(_)))), "{what}: {all:?}");
    }
}

#[test]
fn pairs_of_breaks_are_errors_too() {
    let all = breaks();
    for (first, a) in &all {
        for (second, b) in all.iter().filter(|(name, _)| name != first) {
            let mut p = whole();
            b(&mut p);
            a(&mut p);
            assert!(run(&p).iter().all(Result::is_err), "{first} and {second}");
        }
    }
}

#[test]
fn values_of_another_mesh_are_refused() {
    let arch = cs2();
    let mut memory = WaferMemory::new(Grid { width: 1, height: 1 }, arch.pe.sram.value);
    let (inputs, mut outputs) = (HostStreams::default(), HostStreams::default());
    let mut values = Values { memory: &mut memory, inputs: &inputs, outputs: &mut outputs };
    let refused = fabric::run(&whole(), &arch, &RunOptions::default(), Some(&mut values));
    let Err(RunError::Invalid(diagnostics)) = refused else { panic!("{refused:?}") };
    assert_eq!(diagnostics[0].code, "X002");
}
