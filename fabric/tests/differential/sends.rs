//! What a PE sends to itself, and control wavelets that microthreads send, put into a random program.
//!
//! **Invariant.** Draws from a generator of its own, so the programs of a seed stay as they are without it.
//! **Not here.** The programs (`random.rs`).

use super::random::mem;
use sim_core::coord::{Color, Dir, PeCoord, Region};
use sim_core::program::*;
use sim_core::util::random::SplitMix64;

/// Changes some control wavelets into those of microthreads, and lets some PEs take what they send.
pub(crate) fn insert(rng: &mut SplitMix64, p: &mut Program) {
    for image in &mut p.images {
        let used = image.tasks.iter().map(|task| threads(&task.body)).max().unwrap_or(0);
        for task in &mut image.tasks {
            asynchronous(rng, &mut task.body, used);
        }
    }
    for route in 0..p.routes.len() {
        if p.routes[route].rx == Dir::Ramp && rng.chance(20) {
            to_itself(rng, p, route);
        }
    }
}

/// Microthreads that a body uses, counted from the first.
fn threads(body: &[Instr]) -> u8 {
    let of = |instr: &Instr| match instr {
        Instr::Async(Async { thread, .. }) => thread + 1,
        other => other.bodies().into_iter().map(threads).max().unwrap_or(0),
    };
    body.iter().map(of).max().unwrap_or(0)
}

fn asynchronous(rng: &mut SplitMix64, body: &mut [Instr], used: u8) {
    for instr in body {
        match instr {
            Instr::Control(color, control) if rng.chance(40) => {
                // One of those in use waits for it, or is waited for.
                let thread = rng.below(u32::from(used.min(7)) + 1) as u8;
                let priority = Priority::ALL[rng.below(3) as usize];
                let then = rng.chance(10).then_some(Then::Activate(TaskId(0)));
                let (color, control) = (*color, control.clone());
                *instr = Instr::AsyncControl(AsyncControl { thread, priority, color, control, then });
            }
            Instr::Loop { body, .. } | Instr::Repeat { body, .. } | Instr::While { body, .. } => {
                asynchronous(rng, body, used);
            }
            Instr::If { then, otherwise, .. } => {
                asynchronous(rng, then, used);
                asynchronous(rng, otherwise, used);
            }
            _ => {}
        }
    }
}

/// Lets the PE of a route take what it sends, before it ends its main task or in a microthread.
fn to_itself(rng: &mut SplitMix64, p: &mut Program, route: usize) {
    let Route { color, region, .. } = p.routes[route];
    let at = PeCoord { x: region.x.start, y: region.y.start };
    let Some(placed) = p.placements.iter().find(|q| q.region == Region::rect(at.x, at.y, 1, 1)) else { return };
    let image = &mut p.images[placed.image as usize];
    let Some((len, dtype)) = image.tasks.first().and_then(|main| sent(&main.body, color)) else { return };
    if image.inputs.len() >= 8 || image.inputs.iter().any(|q| q.1 == color) {
        return;
    }
    let queue = (0..8).find(|q| image.inputs.iter().all(|i| i.0 != *q)).unwrap();
    image.inputs.push((queue, color));
    let dst = mem(rng, dtype, len);
    let op = VecOp::new(Op::Mov, len, dst, vec![Operand::Fab(color, dtype)]);
    let body = &mut image.tasks[0].body;
    let used = threads(body);
    if used < 8 && rng.chance(60) {
        body.insert(0, Instr::Async(Async { thread: used, priority: Priority::Low, op, then: None }));
    } else {
        body.push(Instr::Vec(op));
    }
    p.routes[route].tx = p.routes[route].tx.with(Dir::Ramp);
}

/// How much a body sends on a color, if that is one instruction outside of loops.
fn sent(body: &[Instr], color: Color) -> Option<(u32, DType)> {
    let mut found = body.iter().filter_map(|instr| match instr {
        Instr::Vec(op) | Instr::Async(Async { op, .. }) => match op.dst {
            Operand::Fab(c, dtype) if c == color && op.count.is_none() => Some((op.len, dtype)),
            _ => None,
        },
        _ => None,
    });
    found.next().filter(|_| found.next().is_none())
}
