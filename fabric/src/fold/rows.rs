//! Executing a block with some of its equal rows left out (rule F4).

use super::Executed;
use super::blocks::{Block, without_rows};
use crate::RunOptions;
use crate::fast::{self, Detail, Plan, Watch};
use sim_core::arch::ArchSpec;
use sim_core::coord::Dir;
use sim_core::error::RunError;
use sim_core::program::Program;
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
    if let Some(stretch) = stretch(program) {
        let mut groups = 2;
        // Groups that are executed above the place where rows are left out; doubled on failure.
        while (groups + 4) * stretch.period < stretch.length {
            if let Some(done) = fold(program, stretch, groups, arch, options)? {
                return Ok(done);
            }
            groups *= 2;
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
        rows: None,
    })
}

/// The longest stretch of periodic rows, if the block's traffic can only start from the north.
fn stretch(program: &Program) -> Option<Stretch> {
    use std::fmt::Write;
    let sideways = |side| matches!(side, Dir::East | Dir::West);
    if program.edges.iter().any(|e| sideways(e.side) || (e.side == Dir::South && e.flow == sim_core::program::Flow::In))
    {
        return None;
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

/// Executes with `groups` groups of rows above the gap and one below; None if a check fails.
fn fold(
    program: &Program,
    s: Stretch,
    groups: u32,
    arch: &ArchSpec,
    options: &RunOptions,
) -> Result<Option<Executed>, RunError> {
    let cut = s.start + groups * s.period;
    let left_out = (s.length / s.period - groups - 1) * s.period;
    let small = without_rows(program, cut, left_out);
    let height = small.grid().height;
    if cut < s.period + 1 || left_out == 0 {
        return Ok(None);
    }
    let watch = |row, until| Watch { row, until, ..Watch::default() };
    let upper = cut - s.period - 1;
    let plan = Plan { time_fold: options.fold.time, watches: vec![watch(upper, cut), watch(cut - 1, height)] };
    let detail = match fast::run_detailed(&small, arch, options, plan, None) {
        Ok(detail) => detail,
        // Fewer rows may block where all of them would not: let the caller try more.
        Err(RunError::Deadlock { .. }) => return Ok(None),
        Err(e) => return Err(e),
    };
    Ok(shift(&detail).map(|delta| insert(&small, s, cut, left_out, delta, detail)))
}

/// The shift between the two boundaries, if all conditions of rule F4 hold.
fn shift(detail: &Detail) -> Option<u64> {
    let [a, b] = &detail.watches[..] else { return None };
    let delta = b.first?.checked_sub(a.first?)?;
    let equal = a.trace == b.trace && a.skipped == b.skipped && a.quiet && b.quiet;
    equal.then_some(delta)
}

/// Inserts the rows that were left out.
fn insert(small: &Program, s: Stretch, cut: u32, left_out: u32, delta: u64, d: Detail) -> Executed {
    let width = small.grid().width as usize;
    let copies = u64::from(left_out / s.period);
    let group = (cut - s.period) as usize * width..cut as usize * width;
    let [a, b] = &d.watches[..] else { unreachable!("two boundaries are watched") };
    let mut pes = d.pes[..cut as usize * width].to_vec();
    for copy in 1..=copies {
        for (i, pe) in d.pes[group.clone()].iter().enumerate() {
            pes.push(delayed(*pe, a.classes[i], a.skipped + a.first.unwrap_or(0), copy * delta));
        }
    }
    for (i, pe) in d.pes[cut as usize * width..].iter().enumerate() {
        pes.push(delayed(*pe, b.classes[i], b.skipped + b.first.unwrap_or(0), copies * delta));
    }
    let above = d.row_end[..cut as usize].iter().copied().max().unwrap_or(0);
    let last_group = d.row_end[(cut - s.period) as usize..cut as usize].iter().copied().max().unwrap_or(0);
    let below = d.row_end[cut as usize..].iter().copied().max().unwrap_or(0);
    let cycles = above.max(last_group + copies * delta).max(below + copies * delta);
    for pe in &mut pes {
        *pe = super::finished(*pe, cycles);
    }
    let rows = format!(
        "{} of {} rows executed: rows {}.. repeat with period {}, their boundary traces ({} events) are equal after a shift of {delta} cycles, and they were quiescent before",
        small.grid().height,
        small.grid().height + left_out,
        s.start,
        s.period,
        a.trace.2,
    );
    Executed {
        cycles,
        pes,
        stepped_cycles: d.outcome.stepped_cycles,
        stepped_pe_cycles: d.outcome.stepped_pe_cycles,
        skips: d.skips,
        rows: Some(rows),
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
