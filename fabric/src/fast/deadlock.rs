//! Who is blocked when nothing can move any more (rule M3).

use super::Engine;
use super::code::Code;
use super::state::{Main, Port, Run};
use sim_core::coord::{Color, PeIdx};
use sim_core::error::{Blocked, MAIN_THREAD, RunError, WaitFor};
use sim_core::units::Cycle;

/// How many blocked units are listed.
const LISTED: usize = 16;

/// A deadlock, unless the run is over.
pub(super) fn find(engine: &Engine, now: u64) -> Option<RunError> {
    let mut blocked = Vec::new();
    let mut total = 0u64;
    let mut add = |b: Blocked| {
        total += 1;
        if blocked.len() < LISTED {
            blocked.push(b);
        }
    };
    let mut unfinished: Vec<&Port> = engine.t.ports.iter().filter(|p| p.left != 0).collect();
    unfinished.sort_by_key(|p| p.pe);
    let mut ports = unfinished.into_iter().peekable();
    for pe in 0..engine.t.grid.pes() as u32 {
        threads(engine, pe, &mut add);
        wavelets(engine, pe, &mut add);
        while let Some(p) = ports.next_if(|p| p.pe == pe) {
            let pe = engine.t.grid.coord(PeIdx(pe));
            let color = Color::new(p.color).expect("the port's color comes from a color");
            add(Blocked { pe, thread: None, wait: WaitFor::Edge(color) });
        }
    }
    (total > 0).then(|| RunError::Deadlock { at: Cycle(now + engine.skipped), blocked, total })
}

fn threads(engine: &Engine, pe: u32, add: &mut impl FnMut(Blocked)) {
    let Some(ce) = &engine.t.ces[pe as usize] else { return };
    let coord = engine.t.grid.coord(PeIdx(pe));
    let image = &engine.t.images[usize::from(ce.image)];
    let queues = &engine.t.queues[pe as usize];
    let waits = |run: &Run| {
        let plan = &image.plans[usize::from(run.plan)];
        let local = |o: &super::code::FabPort| usize::from(o.queue);
        let full = |o: &super::code::FabPort| {
            queues.get(image.inputs.len() + local(o)).is_none_or(|&f| !engine.t.fifos.room(f))
        };
        if let Some(out) = plan.output.filter(full) {
            let color = image.outputs.get(local(&out)).map(|q| q.1);
            return WaitFor::Output(color.unwrap_or(Color::new(0).expect("color 0 exists")));
        }
        let empty =
            |o: &&super::code::FabPort| queues.get(local(o)).is_none_or(|&f| !engine.t.fifos.ready(f, u64::MAX));
        let color = plan.inputs.iter().find(empty).and_then(|o| image.inputs.get(local(o))).map(|q| q.1);
        WaitFor::Input(color.unwrap_or(Color::new(0).expect("color 0 exists")))
    };
    for (t, run) in ce.micro.iter().enumerate() {
        if let Some(run) = run {
            add(Blocked { pe: coord, thread: Some(t as u8), wait: waits(run) });
        }
    }
    match &ce.main {
        Main::Vec(run) => add(Blocked { pe: coord, thread: Some(MAIN_THREAD), wait: waits(run) }),
        Main::At(_) => {
            if let Code::Join(t) | Code::Async { thread: t, .. } = &image.code[ce.pc as usize] {
                add(Blocked { pe: coord, thread: Some(MAIN_THREAD), wait: WaitFor::Microthread(*t) });
            }
        }
        Main::Idle | Main::Dispatch(_) => {}
    }
}

fn wavelets(engine: &Engine, pe: u32, add: &mut impl FnMut(Blocked)) {
    let coord = engine.t.grid.coord(PeIdx(pe));
    for at in engine.t.path_start[pe as usize]..engine.t.path_start[pe as usize + 1] {
        let path = &engine.t.paths[at as usize];
        if engine.t.fifos.all.get(path.from as usize).is_some_and(|f| f.len > 0) {
            let color = Color::new(path.color).expect("the path's color comes from a color");
            add(Blocked { pe: coord, thread: None, wait: WaitFor::Router(color) });
        }
    }
    let Some(ce) = &engine.t.ces[pe as usize] else { return };
    let image = &engine.t.images[usize::from(ce.image)];
    for (i, &(_, color)) in image.inputs.iter().enumerate() {
        let fifo = engine.t.queues[pe as usize][i];
        if engine.t.fifos.all[fifo as usize].len > 0 {
            add(Blocked { pe: coord, thread: None, wait: WaitFor::Unread(color) });
        }
    }
}
