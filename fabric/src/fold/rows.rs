//! Executing a block with some of its equal rows left out (rule F4).

use super::Executed;
use super::blocks::{Block, without_rows};
use crate::RunOptions;
use crate::fast::{self, Detail, Plan, Watch};
use sim_core::arch::ArchSpec;
use sim_core::coord::Dir;
use sim_core::error::RunError;
use sim_core::program::{Placement, Program};
use sim_core::report::PeCounters;
use std::collections::BTreeMap;

/// Longest period of rows that is looked for.
const PERIOD_MAX: u32 = 8;

/// Rows that repeat: the rows `start..start + length` have period `period`.
#[derive(Debug, Clone, Copy)]
struct Stretch {
    start: u32,
    length: u32,
    period: u32,
}

/// Executes a block, with as few rows as the checks allow.
pub(crate) fn execute(block: &Block, arch: &ArchSpec, options: &RunOptions) -> Result<Executed, RunError> {
    let program = &block.program;
    let mut gaps: Vec<Gap> = stretches(program).into_iter().map(|s| Gap::new(program, s)).collect();
    loop {
        gaps.retain(Gap::worth_it);
        if gaps.is_empty() {
            break;
        }
        match fold(program, &gaps, arch, options)? {
            Folded::Done(done) => return Ok(done),
            // More groups where a check failed.
            Folded::Failed(which) => which.into_iter().for_each(|i| gaps[i].groups *= 2),
        }
    }
    let plan = Plan { time_fold: options.fold.time, watches: Vec::new() };
    let detail = fast::run_detailed(program, arch, options, plan, None)?;
    Ok(Executed {
        cycles: detail.outcome.cycles.0,
        stepped_cycles: detail.outcome.stepped_cycles,
        stepped_pe_cycles: detail.outcome.stepped_pe_cycles,
        pes: detail.pes,
        skips: detail.skips,
        rows: Vec::new(),
    })
}

/// The stretches of periodic rows from the north, if the block's traffic can only start there.
fn stretches(program: &Program) -> Vec<Stretch> {
    use std::fmt::Write;
    let sideways = |side| matches!(side, Dir::East | Dir::West);
    if program.edges.iter().any(|e| sideways(e.side) || (e.side == Dir::South && e.flow == sim_core::program::Flow::In))
    {
        return Vec::new();
    }
    let height = program.grid().height;
    let mut texts = vec![String::new(); height as usize];
    for p in &program.placements {
        for y in p.region.y.iter() {
            write!(texts[y as usize], "p{:?}{}{:?}", p.region.x, p.image, p.params).expect("writing to a string");
        }
    }
    for r in &program.routes {
        for y in r.region.y.iter() {
            write!(texts[y as usize], "r{:?}{:?}{:?}{:?}", r.region.x, r.color, r.rx, r.tx)
                .expect("writing to a string");
        }
    }
    for e in &program.edges {
        let y = if e.side == Dir::North { 0 } else { height - 1 };
        texts[y as usize].push('e');
    }
    let mut kinds: BTreeMap<&str, u32> = BTreeMap::new();
    let rows: Vec<u32> = texts
        .iter()
        .map(|t| {
            let next = kinds.len() as u32;
            *kinds.entry(t).or_insert(next)
        })
        .collect();
    let mut found = Vec::new();
    search(&rows, 0, &mut found);
    found.sort_by_key(|s| s.start);
    found
}

/// Finds the longest stretch of `rows`, of which the first is row `first`, then others above and
/// below it.
fn search(rows: &[u32], first: u32, found: &mut Vec<Stretch>) {
    let Some(s) = longest(rows) else { return };
    let (start, end) = (s.start as usize, (s.start + s.length) as usize);
    search(&rows[..start], first, found);
    search(&rows[end..], first + s.start + s.length, found);
    found.push(Stretch { start: first + s.start, ..s });
}

/// The longest stretch of periodic rows.
fn longest(rows: &[u32]) -> Option<Stretch> {
    let height = rows.len() as u32;
    let mut best: Option<Stretch> = None;
    for period in 1..=PERIOD_MAX.min(height / 8) {
        let mut start = 0;
        for y in 0..=height {
            let goes_on = y >= start + period && y < height && rows[y as usize] == rows[(y - period) as usize];
            if goes_on || (y < height && y < start + period) {
                continue;
            }
            let length = y - start;
            // A longer period must be worth it.
            if best.is_none_or(|b| length > b.length + b.length / 4) && length >= 8 * period {
                best = Some(Stretch { start, length, period });
            }
            start = (y + 1).saturating_sub(period).max(start + 1);
        }
    }
    best
}

/// A stretch of which only some groups of rows are executed.
#[derive(Debug, Clone, Copy)]
struct Gap {
    s: Stretch,
    /// Groups that are executed above the place where rows are left out, and below; doubled on
    /// failure.
    groups: u32,
}

impl Gap {
    /// Rows that only pass wavelets on cost little, and have no queues that hide what happens at
    /// the edge: more of them are executed.
    fn new(program: &Program, s: Stretch) -> Gap {
        let passes = |p: &Placement| !p.region.y.iter().any(|y| (s.start..s.start + s.length).contains(&y));
        Gap { s, groups: if program.placements.iter().all(passes) { 8 } else { 2 } }
    }

    fn worth_it(&self) -> bool {
        (2 * self.groups + 4) * self.s.period < self.s.length
    }

    /// First row that is left out, in the whole block.
    fn cut(&self) -> u32 {
        self.s.start + self.groups * self.s.period
    }

    /// Groups that are left out.
    fn copies(&self) -> u32 {
        self.s.length / self.s.period - 2 * self.groups
    }

    fn left_out(&self) -> u32 {
        self.copies() * self.s.period
    }
}

/// How folding ended.
enum Folded {
    Done(Executed),
    /// The gaps at which a check failed.
    Failed(Vec<usize>),
}

/// Executes without the rows of the gaps.
fn fold(program: &Program, gaps: &[Gap], arch: &ArchSpec, options: &RunOptions) -> Result<Folded, RunError> {
    let mut small = program.clone();
    for gap in gaps.iter().rev() {
        small = without_rows(&small, gap.cut(), gap.left_out());
    }
    let height = small.grid().height;
    let watch = |row, until| Watch { row, until, ..Watch::default() };
    let mut cuts = Vec::new();
    let mut watches = Vec::new();
    let mut gone = 0;
    for gap in gaps {
        let cut = gap.cut() - gone;
        gone += gap.left_out();
        // The boundaries above and below the last group above the gap.
        watches.extend([watch(cut - gap.s.period - 1, height), watch(cut - 1, height)]);
        cuts.push(cut);
    }
    let plan = Plan { time_fold: options.fold.time, watches };
    let detail = match fast::run_detailed(&small, arch, options, plan, None) {
        Ok(detail) => detail,
        // Fewer rows may block where all of them would not: let the caller try more.
        Err(RunError::Deadlock { .. }) => return Ok(Folded::Failed((0..gaps.len()).collect())),
        Err(e) => return Err(e),
    };
    let shifts: Vec<Option<u64>> = detail.watches.chunks(2).map(shift).collect();
    let failed: Vec<usize> = (0..gaps.len()).filter(|&i| shifts[i].is_none()).collect();
    if !failed.is_empty() {
        return Ok(Folded::Failed(failed));
    }
    let placed = gaps.iter().zip(cuts).zip(shifts.into_iter().flatten());
    let placed: Vec<Placed> = placed.map(|((&gap, cut), delta)| Placed { gap, cut, delta }).collect();
    Ok(Folded::Done(insert(&small, &placed, detail)))
}

/// The shift between the two boundaries of a gap, if all conditions of rule F4 hold.
fn shift(boundaries: &[Watch]) -> Option<u64> {
    let [a, b] = boundaries else { return None };
    let delta = b.first?.checked_sub(a.first?)?;
    let equal = a.trace == b.trace && a.skipped == b.skipped && a.quiet && b.quiet;
    equal.then_some(delta)
}

/// A gap whose checks hold.
struct Placed {
    gap: Gap,
    /// First row below it in the mesh that was executed.
    cut: u32,
    /// Shift from group to group.
    delta: u64,
}

/// Rows of the whole block, from those that were executed.
struct Assembly<'a> {
    detail: &'a Detail,
    width: usize,
    pes: Vec<PeCounters>,
    cycles: u64,
}

impl Assembly<'_> {
    /// Appends executed rows, with events `by` cycles later. The boundary `watch` lies above them.
    fn rows(&mut self, rows: std::ops::Range<u32>, watch: Option<&Watch>, by: u64) {
        let rows = rows.start as usize..rows.end as usize;
        self.cycles = self.detail.row_end[rows.clone()].iter().map(|end| end + by).fold(self.cycles, u64::max);
        let pes = rows.start * self.width..rows.end * self.width;
        for at in pes {
            let pe = self.detail.pes[at];
            self.pes.push(match watch {
                Some(w) => {
                    let class = w.classes[at - (w.row as usize + 1) * self.width];
                    delayed(pe, class, w.skipped + w.first.unwrap_or(0), by)
                }
                None => pe,
            });
        }
    }
}

/// Inserts the rows that were left out.
fn insert(small: &Program, placed: &[Placed], d: Detail) -> Executed {
    let height = small.grid().height;
    let mut all = Assembly { detail: &d, width: small.grid().width as usize, pes: Vec::new(), cycles: 0 };
    let mut notes = Vec::new();
    let (mut from, mut above, mut by) = (0, None, 0);
    for (p, boundaries) in placed.iter().zip(d.watches.chunks(2)) {
        let s = p.gap.s;
        all.rows(from..p.cut, above, by);
        for _ in 0..p.gap.copies() {
            by += p.delta;
            all.rows(p.cut - s.period..p.cut, Some(&boundaries[0]), by);
        }
        (from, above) = (p.cut, Some(&boundaries[1]));
        notes.push(format!(
            "{} of {} rows executed: rows {}.. repeat with period {}, their boundary traces ({} events) are equal after a shift of {} cycles, and they were quiescent before",
            s.length - p.gap.left_out(),
            s.length,
            s.start,
            s.period,
            boundaries[0].trace.2,
            p.delta,
        ));
    }
    all.rows(from..height, above, by);
    let (mut pes, cycles) = (all.pes, all.cycles);
    for pe in &mut pes {
        *pe = super::finished(*pe, cycles);
    }
    Executed {
        cycles,
        pes,
        stepped_cycles: d.outcome.stepped_cycles,
        stepped_pe_cycles: d.outcome.stepped_pe_cycles,
        skips: d.skips,
        rows: notes,
    }
}

/// A PE whose first event, at `first`, comes `by` cycles later.
fn delayed(mut pe: PeCounters, class: fast::Class, first: u64, by: u64) -> PeCounters {
    match class {
        fast::Class::Wait => pe.cycles.wait += by,
        fast::Class::BackPressure => pe.cycles.back_pressure += by,
        fast::Class::Compute | fast::Class::Idle => {}
    }
    if pe.finish > first {
        pe.finish += by;
    }
    pe
}
