//! Snapshots of the control state, and when two of them show a period (rule F2).
//!
//! At chosen instants (the ends of a marker PE's loop repetitions, and now and then in between)
//! the whole control state is written down, exactly and without hashing: what the future depends
//! on in one list, counters in another, statistics in a third. If two such instants differ in
//! nothing but counters that moved by constants within one activation, the run is periodic.
//!
//! **Invariant.** Two snapshots of a run list the same things in the same order, so they may be compared
//! number by number.
//! **Not here.** When snapshots are taken, and how periods are skipped (`periods`).

use super::lowered::LoweredImage;
use super::state::{Main, Running};
use super::tables::Tables;
use sim_core::report::FoldNote;
use std::collections::BTreeMap;

/// Snapshots kept per place; longer periods than this many repetitions are not found.
pub(super) const KEPT: usize = 3;
/// How many cycles are compared after each poll: a period that is longer is found at the ends of loops,
/// or not at all.
pub(super) const POLL: u32 = 6;
/// Key of the snapshots taken by polling.
pub(super) const POLLED: u32 = u32::MAX;

/// The control state at one instant.
#[derive(Debug, Clone)]
pub(super) struct Snapshot {
    /// Virtual time: stepped and skipped cycles.
    pub(super) at: u64,
    pub(super) state: Vec<u64>,
    /// Counters: the value, and the activation of the loop or instruction that it belongs to.
    pub(super) counters: Vec<(u64, u32)>,
    pub(super) stats: Vec<u64>,
}

/// The state of time folding in a run.
#[derive(Debug)]
pub(crate) struct TimeFold {
    /// The PE whose loops say when a snapshot is taken.
    marker: u32,
    pub(super) due: Option<u32>,
    pub(super) history: BTreeMap<u32, Vec<Snapshot>>,
    /// Per place: back edges seen, and unsuccessful comparisons in a row.
    pub(super) seen: BTreeMap<u32, (u64, u32)>,
    /// What snapshots have cost so far, in evaluations of agents.
    pub(super) spent: u64,
    pub(super) next_poll: u64,
    pub(super) polls: u32,
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

/// What a report says of skipped periods: one note, or none if nothing was skipped.
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

/// If `new` follows `old` with nothing changed but counters: how many more periods may be skipped,
/// and how far each counter moves per period.
///
/// Enough whole periods are left to go that a trace shifted by `shift` cycles is still periodic
/// where this one is (rule F4).
pub(super) fn period(old: &Snapshot, new: &Snapshot, shift: u64) -> Option<(u64, Vec<u64>)> {
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
    pub(super) fn ce(&mut self, t: &Tables, pe: usize, now: u64) {
        let (ce, registers) = (&t.ces[pe], &t.registers[pe]);
        self.stats.extend([ce.compute, ce.wait, ce.back_pressure, ce.macs]);
        let LoweredImage { deciding, bank_period, .. } = &t.images[usize::from(ce.image)];
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
        self.state.extend(registers.ready.iter().map(|ready| ready.saturating_sub(now)));
        for (r, v) in registers.regs.iter().enumerate() {
            if deciding.whole & (1 << r) != 0 {
                self.state.push(i64::from(*v) as u64);
            } else if deciding.modulo & (1 << r) != 0 {
                self.state.push(v.rem_euclid(*bank_period) as u64);
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
        self.state.push(u64::from(running.len));
        self.counters.push((u64::from(running.beats), running.activation));
    }
}
