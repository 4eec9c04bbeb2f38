//! Time folding: skipping whole periods (rule F2).
//!
//! At chosen instants (the ends of a marker PE's loop repetitions, and now and then in between)
//! the whole control state is written down, exactly and without hashing: what the future depends
//! on in one list, counters in another, statistics in a third. If two such instants differ in
//! nothing but counters that moved by constants within one activation, the run is periodic.
//!
//! **Invariant.** After a skip every counter has at least one more whole period to go, and the run
//! stays periodic for at least the shift between the watched boundaries of a gap.

use super::band::Band;
use super::build::{Tables, ce_agent};
use super::state::{Main, Running};
use sim_core::report::FoldNote;
use std::collections::BTreeMap;

/// Snapshots kept per place; longer periods than this many repetitions are not found.
const KEPT: usize = 3;
/// How many cycles are compared after each poll.
const POLL: u32 = 6;
/// Key of the snapshots taken by polling.
const POLLED: u32 = u32::MAX;

/// One instant.
#[derive(Debug, Clone)]
struct Snapshot {
    /// Virtual time: stepped and skipped cycles.
    at: u64,
    state: Vec<u64>,
    /// Value and activation.
    counters: Vec<(u64, u32)>,
    stats: Vec<u64>,
}

/// The state of time folding in a run.
#[derive(Debug)]
pub(crate) struct TimeFold {
    /// The PE whose loops say when a snapshot is taken.
    marker: u32,
    due: Option<u32>,
    history: BTreeMap<u32, Vec<Snapshot>>,
    /// Per place: back edges seen, and unsuccessful comparisons in a row.
    seen: BTreeMap<u32, (u64, u32)>,
    /// What snapshots have cost so far, in evaluations of agents.
    spent: u64,
    next_poll: u64,
    polls: u32,
    /// Periods skipped: `(period, how often)`.
    pub(crate) skips: Vec<(u64, u64)>,
}

impl TimeFold {
    /// For a mesh; None if no PE has an image.
    pub(crate) fn new(t: &Tables) -> Option<TimeFold> {
        let trips = |pe: usize| t.images.get(usize::from(t.ces[pe].image)).map(|image| image.trips);
        let best = (0..t.ces.len()).filter_map(trips).max()?;
        let marker = (0..t.ces.len()).find(|&pe| trips(pe) == Some(best))?;
        Some(TimeFold {
            marker: marker as u32,
            due: None,
            history: BTreeMap::new(),
            seen: BTreeMap::new(),
            spent: 0,
            next_poll: 256,
            polls: 0,
            skips: Vec::new(),
        })
    }

    /// A PE finished a repetition of the loop that ends at `pc`.
    #[inline]
    pub(crate) fn back_edge(&mut self, pe: u32, pc: u32) {
        if pe == self.marker {
            self.due = Some(pc);
        }
    }
}

/// Notes for a report.
pub(crate) fn notes(skips: &[(u64, u64)]) -> Vec<FoldNote> {
    if skips.is_empty() {
        return Vec::new();
    }
    let cycles: u64 = skips.iter().map(|(p, k)| p * k).sum();
    let periods: u64 = skips.iter().map(|s| s.1).sum();
    let text = format!(
        "{periods} periods ({cycles} cycles) skipped in {} places: the control state recurred exactly, up to counters that moved by constants",
        skips.len()
    );
    vec![FoldNote { kind: "time".to_owned(), text }]
}

impl Band {
    /// After a commit: takes a snapshot if one is due, and skips periods if the run is periodic.
    pub(crate) fn try_fold(&mut self) {
        let Some(fold) = &mut self.fold else { return };
        let key = match fold.due.take() {
            Some(pc) => pc,
            None if self.now >= fold.next_poll => POLLED,
            None => return,
        };
        if key == POLLED {
            fold.polls += 1;
            if fold.polls > POLL {
                fold.polls = 0;
                fold.next_poll = (self.now + 1) * 2;
                fold.history.remove(&POLLED);
                return;
            }
        } else {
            let (seen, fails) = fold.seen.entry(key).or_default();
            *seen += 1;
            if *seen % (1 << (*fails / 8).min(12)) != 0 {
                return;
            }
        }
        let cost = 4 * self.t.ces.len() as u64;
        if fold.spent > 24 * cost && fold.spent * 8 > self.evaluations {
            return;
        }
        fold.spent += cost;
        self.compare(key);
    }

    fn compare(&mut self, key: u32) {
        let Some(shift) = self.shift() else { return };
        let new = self.snapshot();
        let mut fold = self.fold.take().expect("only called when folding");
        let old = fold.history.entry(key).or_default();
        let skip = old.iter().rev().find_map(|s| period(s, &new, shift).map(|(k, d)| (s.clone(), k, d)));
        match skip {
            Some((from, times, deltas)) if times > 0 => {
                let length = new.at - from.at;
                self.skip(&deltas, times, &from.stats, &new.stats);
                self.skipped += times * length;
                fold.skips.push((length, times));
                old.clear();
                fold.seen.insert(key, (0, 0));
            }
            other => {
                if other.is_none()
                    && let Some(s) = fold.seen.get_mut(&key)
                {
                    s.1 += 1;
                }
                if old.len() == KEPT && key != POLLED {
                    old.remove(0);
                }
                old.push(new);
            }
        }
        self.fold = Some(fold);
    }

    /// Greatest shift between the two watched boundaries of a gap; None while one of them has had
    /// its first event and the other has not: then nothing may be skipped.
    fn shift(&self) -> Option<u64> {
        let of_pair = |pair: &[super::Watch]| match (pair[0].first, pair[1].first) {
            (Some(a), Some(b)) => Some(a.abs_diff(b)),
            (None, None) => Some(0),
            _ => None,
        };
        self.watches.all.chunks(2).map(of_pair).try_fold(0, |most, shift| Some(most.max(shift?)))
    }

    /// Writes down the state at the start of the next cycle.
    fn snapshot(&mut self) -> Snapshot {
        let now = self.now + 1;
        let mut s = Snapshot {
            at: now + self.skipped,
            state: Vec::with_capacity(self.t.ces.len() * 24),
            counters: Vec::with_capacity(self.t.ces.len() * 4),
            stats: Vec::with_capacity(self.t.ces.len() * 10),
        };
        for pe in 0..self.t.ces.len() {
            if self.t.ces[pe].exists() {
                self.t.ces[pe].flush(now, self.skipped);
                s.ce(&self.t, pe, now);
            }
        }
        let switched = self.t.switched_colors.iter().flat_map(|x| &x.paths);
        s.stats.extend(self.t.paths.iter().chain(switched).map(|p| p.moved));
        s.stats.extend(self.t.switched_colors.iter().flat_map(|x| &x.kept));
        for id in 0..self.t.fifos.all.len() as u32 {
            s.state.push(u64::from(self.t.fifos.all[id as usize].len));
            s.state.extend(self.t.fifos.waits(id, now));
        }
        if !self.t.switched_colors.is_empty() {
            for id in 0..self.t.fifos.all.len() as u32 {
                s.state.extend(self.t.fifos.controls(id));
            }
            for x in &self.t.switched_colors {
                let counter = x.filter.map_or(0, |f| u64::from(f.at));
                s.state.push(u64::from(x.position) | u64::from(x.closed) << 8 | counter << 16);
            }
        }
        for r in &self.t.routers {
            s.state.extend(r.order[..usize::from(r.count)].iter().map(|&o| u64::from(o)));
        }
        for p in &self.t.ports {
            s.state.push(p.next.saturating_sub(now));
            s.counters.push((p.left, 0));
        }
        s
    }

    /// Moves every counter by `times` periods, and adds as much work.
    fn skip(&mut self, deltas: &[u64], times: u64, old: &[u64], new: &[u64]) {
        let mut deltas = deltas.iter().map(|d| d * times);
        let mut growth = old.iter().zip(new).map(|(a, b)| (b - a) * times);
        let mut grow = |v: &mut u64| *v += growth.next().expect("same PEs as when it was written down");
        let pairs = self.t.ces.iter_mut().zip(&mut self.t.registers);
        for (ce, registers) in pairs.filter(|(ce, _)| ce.exists()) {
            let mut next = || deltas.next().expect("same counters as when it was written down");
            for f in &mut registers.frames[..usize::from(ce.depth)] {
                f.left -= next() as u32;
            }
            let image = &self.t.images[usize::from(ce.image)];
            let vectors = &image.vectors;
            let busy = ce.busy;
            let own = &mut self.t.micro[ce.own(image.threads)];
            let main = match &mut ce.main {
                Main::Vec(running) => Some(running),
                _ => None,
            };
            let micro =
                own.iter_mut().enumerate().filter(|(t, _)| busy & 1 << t != 0).map(|(_, micro)| &mut micro.running);
            for running in main.into_iter().chain(micro) {
                let beats = next() as u32;
                running.beats -= beats;
                let vector = &vectors[usize::from(running.vector)];
                if running.done < vector.op.len {
                    running.done += beats * vector.width;
                }
            }
            for v in [&mut ce.compute, &mut ce.wait, &mut ce.back_pressure, &mut ce.macs] {
                grow(v);
            }
        }
        let switched = self.t.switched_colors.iter_mut().flat_map(|x| &mut x.paths);
        self.t.paths.iter_mut().chain(switched).for_each(|p| grow(&mut p.moved));
        self.t.switched_colors.iter_mut().flat_map(|x| &mut x.kept).for_each(&mut grow);
        for p in &mut self.t.ports {
            p.left -= deltas.next().expect("same counters as when it was written down");
        }
        self.rewake();
    }

    /// Long instructions end at other cycles after their counters moved.
    fn rewake(&mut self) {
        for (pe, ce) in self.t.ces.iter().enumerate() {
            if ce.bulk {
                self.wheel.rewake(ce_agent(pe as u32), self.now + 1);
            }
        }
    }
}

/// If `new` follows `old` with nothing changed but counters: how many more periods may be skipped,
/// and how far each counter moves per period.
///
/// Enough whole periods are left to go that a trace shifted by `shift` cycles is still periodic
/// where this one is (rule F4).
fn period(old: &Snapshot, new: &Snapshot, shift: u64) -> Option<(u64, Vec<u64>)> {
    if old.state != new.state || old.counters.len() != new.counters.len() {
        return None;
    }
    let keep = 1 + shift.div_ceil((new.at - old.at).max(1));
    let mut times = u64::MAX;
    let mut deltas = Vec::with_capacity(new.counters.len());
    for (&(a, first), &(b, second)) in old.counters.iter().zip(&new.counters) {
        let d = a.checked_sub(b)?;
        if let Some(periods) = b.saturating_sub(1).checked_div(d) {
            if first != second {
                return None;
            }
            times = times.min(periods.saturating_sub(keep));
        }
        deltas.push(d);
    }
    (times < u64::MAX).then_some((times, deltas))
}

impl Snapshot {
    fn ce(&mut self, t: &Tables, pe: usize, now: u64) {
        let (ce, registers) = (&t.ces[pe], &t.registers[pe]);
        self.stats.extend([ce.compute, ce.wait, ce.back_pressure, ce.macs]);
        let deciding = t.images[usize::from(ce.image)].deciding;
        let (kind, value) = match ce.main {
            Main::Idle => (0, 0),
            Main::Dispatch(until) => (1, until.saturating_sub(now)),
            Main::At(used) => (2, u64::from(used)),
            Main::Vec(_) => (3, 0),
        };
        let busy = u64::from(ce.busy);
        self.state.push(kind | value << 2 | u64::from(ce.pc) << 32);
        self.state.push(u64::from(ce.depth) | u64::from(ce.turn) << 8 | busy << 16 | u64::from(ce.bulk) << 32);
        self.state.extend([registers.active, registers.blocked]);
        self.state.extend(registers.occupancies.iter().map(|s| u64::from(s.len)));
        for (r, v) in registers.regs.iter().enumerate() {
            if deciding.whole & (1 << r) != 0 {
                self.state.push(i64::from(*v) as u64);
            } else if deciding.modulo & (1 << r) != 0 {
                self.state.push(v.rem_euclid(8) as u64);
            }
        }
        for f in &registers.frames[..usize::from(ce.depth)] {
            self.counters.push((u64::from(f.left), f.activation));
        }
        if let Main::Vec(running) = &ce.main {
            self.running(running, now);
        }
        for (_, running) in ce.threads(t.micro_of(ce)) {
            self.running(running, now);
        }
    }

    fn running(&mut self, running: &Running, now: u64) {
        self.state.push(u64::from(running.vector) | u64::from(running.slots) << 16 | u64::from(running.rest) << 32);
        self.state.push(running.from.saturating_sub(now) << 1 | u64::from(running.done % 2));
        self.counters.push((u64::from(running.beats), running.activation));
    }
}
