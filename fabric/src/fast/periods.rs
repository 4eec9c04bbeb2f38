//! Skipping whole periods of a run (rule F2): when a snapshot is taken, and how counters are moved.
//!
//! A run of a million repetitions of one loop repeats itself after the first few. Where two snapshots
//! of the control state (`snapshot`) show that a period of *d* cycles recurs, all counters are moved as
//! if it had passed as often as every one of them allows, and the run goes on from there. Example: a
//! loop with 1,000 repetitions left, of which each period does one, is moved on by 998.
//!
//! **Invariant.** After a skip every counter has at least one more whole period to go, and the run
//! stays periodic for at least the shift between the watched boundaries of a gap.
//! **Not here.** What a snapshot holds, and when two of them show a period (`snapshot`).

use super::agent::ce_agent;
use super::band::Band;
use super::snapshot::{KEPT, POLL, POLLED, Snapshot, period};
use super::state::Main;
use super::watch::Watch;

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
            // A place where nothing recurred eight times in a row is tried half as often.
            if *seen % (1 << (*fails / 8).min(12)) != 0 {
                return;
            }
        }
        // Snapshots may cost an eighth of the run: where no period is found, no more time is lost.
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
        let of_pair = |pair: &[Watch]| match (pair[0].first, pair[1].first) {
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
                s.state.push(x.filter.map_or(0, |f| u64::from(f.pass) << 32 | u64::from(f.period)));
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
                if running.done < running.len {
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
        assert!(deltas.next().is_none(), "a counter of the snapshot was not moved: the state would be of two cycles");
        assert!(growth.next().is_none(), "work of the skipped periods was not counted");
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
