//! Who is blocked when nothing can move any more (rule M3): every thread with what it waits for, every
//! color whose wavelets lie in a router or in a queue, and every port with wavelets left.
//!
//! **Invariant.** Nothing is listed at the end of a run, and something is in a deadlock.
//! **Not here.** The circle among those that are blocked (`analysis::waits`).

use super::band::Band;
use super::lowered::{FabPort, LoweredInstr};
use super::state::{Main, Port, Running};
use sim_core::coord::Color;
use sim_core::error::{Blocked, MAIN_THREAD, RunError, WaitFor};
use sim_core::program::Operand;
use sim_core::units::Cycle;

/// How many blocked units are examined.
const LISTED: usize = crate::analysis::waits::EXAMINED;

/// A deadlock, unless the run is over; cycle `now`, without those that were folded away, is one in which
/// nothing happens any more.
pub(super) fn find(bands: &[Band], now: u64) -> Option<RunError> {
    let mut blocked = Vec::new();
    let mut total = 0u64;
    let mut add = |b: Blocked| {
        total += 1;
        if blocked.len() < LISTED {
            blocked.push(b);
        }
    };
    for band in bands {
        let mut unfinished: Vec<&Port> = band.t.ports.iter().filter(|p| p.left != 0).collect();
        unfinished.sort_by_key(|p| p.pe);
        let mut ports = unfinished.into_iter().peekable();
        for pe in 0..band.t.pes() {
            threads(band, pe, now, &mut add);
            wavelets(band, pe, &mut add);
            while let Some(p) = ports.next_if(|p| p.pe == pe) {
                let color = Color::new(p.color).expect("the port's color comes from a color");
                add(Blocked::new(band.t.coord(pe), None, WaitFor::Edge(color)));
            }
        }
    }
    (total > 0).then(|| RunError::Deadlock { at: Cycle(quiet(bands)), blocked, total, cycle: Vec::new() })
}

/// The first cycle from which on nothing happened: an evaluation that found nothing to do may be later.
fn quiet(bands: &[Band]) -> u64 {
    let of = |band: &Band| {
        let routers = band.t.routers.iter().map(|router| router.last_event);
        routers.chain(band.t.ces.iter().map(|ce| ce.active)).max().unwrap_or(0)
    };
    bands.iter().map(of).max().unwrap_or(0)
}

fn threads(band: &Band, pe: u32, now: u64, add: &mut impl FnMut(Blocked)) {
    let ce = &band.t.ces[pe as usize];
    let Some(image) = band.t.images.get(usize::from(ce.image)) else { return };
    let coord = band.t.coord(pe);
    let waits = |running: &Running| {
        let vector = &image.vectors[usize::from(running.vector)];
        let local = |o: &FabPort| usize::from(o.queue);
        let full = |o: &FabPort| {
            let fifo = ce.queues + (image.inputs.len() + local(o)) as u32;
            local(o) >= image.outputs.len() || !band.t.fifos.room(fifo, now)
        };
        let occupancy = |id: u8| band.t.registers[pe as usize].occupancies[usize::from(id)].len;
        let n = vector.width.min(running.len - running.done.min(running.len));
        let completes = |o: &FabPort| (running.done + n).is_multiple_of(o.per) || running.done + n == running.len;
        if let Some(out) = vector.output.filter(|o| completes(o) && full(o)) {
            let color = image.outputs.get(local(&out)).map(|q| q.1);
            return WaitFor::Output(color.unwrap_or(Color::new(0).expect("color 0 exists")));
        }
        if let Some(id) = vector.fills.filter(|&id| occupancy(id) + n > image.memory_fifos[usize::from(id)].1) {
            return WaitFor::Space(id);
        }
        let lacks = |source: &Operand| match source {
            Operand::Fifo(id, _) => (occupancy(id.0) < n).then_some(WaitFor::Elements(id.0)),
            Operand::Fab(color, dtype) => {
                let local = image.inputs.iter().position(|&(_, c)| c == *color);
                let there = local.is_some_and(|l| band.t.fifos.holds_data(ce.queues + l as u32));
                (running.done.is_multiple_of(dtype.per_wavelet()) && !there).then_some(WaitFor::Input(*color))
            }
            Operand::Mem(_) | Operand::Reg(_) | Operand::Imm(_) => None,
        };
        vector.op.src.iter().find_map(lacks).expect("a thread that nothing holds does not block")
    };
    for (t, running) in ce.threads(band.t.micro_of(ce)) {
        add(Blocked::new(coord, Some(t as u8), waits(running)));
    }
    match &ce.main {
        Main::Vec(running) => add(Blocked::new(coord, Some(MAIN_THREAD), waits(running))),
        Main::At(_) => {
            if let LoweredInstr::Join(t) | LoweredInstr::Async { thread: t, .. } = &image.code[ce.pc as usize] {
                add(Blocked::new(coord, Some(MAIN_THREAD), WaitFor::Microthread(*t)));
            }
            if let LoweredInstr::Control { queue, .. } = &image.code[ce.pc as usize] {
                let color = image.outputs.get(usize::from(*queue)).map(|q| q.1);
                let wait = WaitFor::Output(color.unwrap_or(Color::new(0).expect("color 0 exists")));
                add(Blocked::new(coord, Some(MAIN_THREAD), wait));
            }
        }
        Main::Idle | Main::Dispatch(_) => {}
    }
}

fn wavelets(band: &Band, pe: u32, add: &mut impl FnMut(Blocked)) {
    let coord = band.t.coord(pe);
    let held = |fifo: &u32| band.t.fifos.all.get(*fifo as usize).is_some_and(|f| f.len > 0);
    let ce = &band.t.ces[pe as usize];
    let (inputs, outputs): (&[_], &[_]) =
        band.t.images.get(usize::from(ce.image)).map_or((&[], &[]), |image| (&image.inputs, &image.outputs));
    let queues: Vec<u32> = (ce.queues..).take(inputs.len() + outputs.len()).collect();
    let (read, sent) = queues.split_at(inputs.len());
    let mut colors: Vec<Color> = sent.iter().zip(outputs).filter(|(f, _)| held(f)).map(|(_, q)| q.1).collect();
    let router = band.t.routers[pe as usize];
    for at in router.start..router.start + u32::from(router.count) {
        let path = &band.t.paths[at as usize];
        let mut from: Vec<u32> = match band.t.switched_colors.get(path.switched as usize) {
            Some(switched) => switched.paths.iter().map(|p| p.from).collect(),
            None => vec![path.from],
        };
        from.sort_unstable();
        from.dedup();
        let color = Color::new(path.color).expect("the path's color comes from a color");
        colors.extend(from.iter().filter(|f| held(f) && !sent.contains(f)).map(|_| color));
    }
    colors.sort_unstable();
    for color in colors {
        add(Blocked::new(coord, None, WaitFor::Router(color)));
    }
    let mut unread: Vec<Color> = read.iter().zip(inputs).filter(|(f, _)| held(f)).map(|(_, q)| q.1).collect();
    unread.sort_unstable();
    for color in unread {
        add(Blocked::new(coord, None, WaitFor::Unread(color)));
    }
}
