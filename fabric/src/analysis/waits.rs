//! Who waits for whom when nothing can move any more: the circle in a deadlock.
//!
//! **Invariant.** A circle that is reported is one of units that do wait for each other; where the
//! program does not say who a unit waits for (a color whose route has a switch), none is found.
//! **Not here.** Which units are blocked: each engine finds that for itself.

use sim_core::coord::{Color, Dir, PeCoord};
use sim_core::error::{Blocked, RunError, WaitFor};
use sim_core::program::{Program, Route};
use std::collections::{BTreeMap, BTreeSet};

/// Most blocked units that an engine hands over.
pub(crate) const EXAMINED: usize = 4096;
/// Most that are listed for people.
const LISTED: usize = 16;

/// Adds to a deadlock its circle of waits and the queues; other errors stay as they are.
pub(crate) fn explain(error: RunError, program: &Program) -> RunError {
    let RunError::Deadlock { at, mut blocked, total, .. } = error else { return error };
    for b in &mut blocked {
        b.queue = queue(program, b);
    }
    let cycle = cycle(program, &blocked);
    blocked.truncate(LISTED);
    RunError::Deadlock { at, blocked, total, cycle }
}

/// The queue that a blocked unit is at.
fn queue(program: &Program, b: &Blocked) -> Option<u8> {
    let placement = program.placements.iter().find(|p| p.region.contains(b.pe))?;
    let image = program.images.get(placement.image as usize)?;
    let bound = |list: &[(u8, Color)], color: Color| list.iter().find(|q| q.1 == color).map(|q| q.0);
    match b.wait {
        WaitFor::Input(color) | WaitFor::Unread(color) => bound(&image.inputs, color),
        WaitFor::Output(color) => bound(&image.outputs, color),
        _ => None,
    }
}

/// The first circle, from the first blocked thread that is part of one.
fn cycle(program: &Program, blocked: &[Blocked]) -> Vec<Blocked> {
    let mut threads: BTreeMap<PeCoord, Vec<usize>> = BTreeMap::new();
    for (i, b) in blocked.iter().enumerate().filter(|(_, b)| b.thread.is_some()) {
        threads.entry(b.pe).or_default().push(i);
    }
    let waits = Waits { program, blocked, threads };
    let mut done = vec![false; blocked.len()];
    for start in 0..blocked.len() {
        if let Some(found) = waits.search(start, &mut done) {
            return found.into_iter().map(|i| blocked[i]).collect();
        }
    }
    Vec::new()
}

/// The graph of waits between blocked threads.
struct Waits<'a> {
    program: &'a Program,
    blocked: &'a [Blocked],
    threads: BTreeMap<PeCoord, Vec<usize>>,
}

impl Waits<'_> {
    /// A circle that can be reached from `start`, depth first.
    fn search(&self, start: usize, done: &mut [bool]) -> Option<Vec<usize>> {
        let mut path: Vec<(usize, Vec<usize>)> = Vec::new();
        let mut next = Some(start);
        loop {
            if let Some(at) = next.take() {
                if let Some(from) = path.iter().position(|p| p.0 == at) {
                    return Some(path[from..].iter().map(|p| p.0).collect());
                }
                if !done[at] {
                    path.push((at, self.after(at)));
                }
            }
            let (at, rest) = path.last_mut()?;
            match rest.pop() {
                Some(one) => next = Some(one),
                None => {
                    done[*at] = true;
                    path.pop();
                }
            }
        }
    }

    /// The blocked threads that a blocked unit waits for, the first one last.
    fn after(&self, at: usize) -> Vec<usize> {
        let b = self.blocked[at];
        let of = |pe: PeCoord| self.threads.get(&pe).cloned().unwrap_or_default();
        let mut after = match b.wait {
            WaitFor::Input(color) => self.senders(b.pe, color).into_iter().flat_map(of).collect(),
            WaitFor::Output(color) => self.receivers(b.pe, color).into_iter().flat_map(of).collect(),
            WaitFor::Microthread(t) => of(b.pe).into_iter().filter(|&i| self.blocked[i].thread == Some(t)).collect(),
            WaitFor::Elements(_) | WaitFor::Space(_) => of(b.pe).into_iter().filter(|&i| i != at).collect(),
            WaitFor::Router(_) | WaitFor::Unread(_) | WaitFor::Edge(_) => Vec::new(),
        };
        after.reverse();
        after
    }

    fn route(&self, at: PeCoord, color: Color) -> Option<&Route> {
        if self.program.switches.iter().any(|s| s.color == color) {
            return None;
        }
        self.program.routes.iter().find(|r| r.color == color && r.region.contains(at))
    }

    /// The PE whose output queue feeds the ramp of `color` at `pe`.
    fn senders(&self, pe: PeCoord, color: Color) -> Option<PeCoord> {
        let mut at = pe;
        let mut seen = BTreeSet::new();
        let first = self.route(at, color)?;
        if !first.tx.contains(Dir::Ramp) {
            return None;
        }
        while seen.insert(at) {
            let rx = self.route(at, color)?.rx;
            if rx == Dir::Ramp {
                return Some(at);
            }
            at = self.program.grid().neighbour(at, rx)?;
        }
        None
    }

    /// The PEs at whose ramps wavelets of `color` from `pe` lie unread.
    fn receivers(&self, pe: PeCoord, color: Color) -> Vec<PeCoord> {
        let mut found = BTreeSet::new();
        let mut seen = BTreeSet::new();
        let mut open = vec![pe];
        while let Some(at) = open.pop() {
            let Some(route) = self.route(at, color).filter(|_| seen.insert(at)) else { continue };
            let unread = |b: &Blocked| b.pe == at && b.wait == WaitFor::Unread(color);
            if route.tx.contains(Dir::Ramp) && self.blocked.iter().any(unread) {
                found.insert(at);
            }
            open.extend(route.tx.iter().filter_map(|dir| self.program.grid().neighbour(at, dir)));
        }
        found.into_iter().collect()
    }
}
