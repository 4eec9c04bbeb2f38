//! Stretches of lines that repeat: rows or columns with equal contents at a period.
//!
//! **Invariant.** What a line holds is compared as the program says it, routes, switches, filters
//! and ports included; so equal lines start in equal states.
//! **Not here.** Whether they also behave alike (`gap`).

use super::lines::Axis;
use sim_core::coord::Region;
use sim_core::program::Program;
use std::collections::BTreeMap;
use std::fmt::{self, Write};

/// Longest period that is looked for.
const PERIOD_MAX: u32 = 8;

/// Lines that repeat: the lines `start..start + length` have period `period`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stretch {
    pub(crate) axis: Axis,
    pub(crate) start: u32,
    pub(crate) length: u32,
    pub(crate) period: u32,
}

impl fmt::Display for Stretch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Stretch { axis, start, length, period } = self;
        write!(f, "{} {start}..{} repeat with period {period}", axis.name(), start + length)
    }
}

/// All stretches of an axis, in order.
pub(crate) fn stretches(program: &Program, axis: Axis) -> Vec<Stretch> {
    let texts = contents(program, axis);
    let mut kinds: BTreeMap<&str, u32> = BTreeMap::new();
    let lines: Vec<u32> = texts
        .iter()
        .map(|t| {
            let next = kinds.len() as u32;
            *kinds.entry(t).or_insert(next)
        })
        .collect();
    let mut found = Vec::new();
    search(&lines, axis, 0, &mut found);
    found.sort_by_key(|s| s.start);
    found
}

/// What each line holds, as text.
fn contents(program: &Program, axis: Axis) -> Vec<String> {
    let grid = program.grid();
    let mut texts = vec![String::new(); axis.length(grid) as usize];
    let mut add = |span: sim_core::coord::Span, what: &str| {
        span.iter().for_each(|line| texts[line as usize].push_str(what));
    };
    let across = |region: Region| match axis {
        Axis::Rows => region.x,
        Axis::Columns => region.y,
    };
    let mut text = String::new();
    let mut say = |what: std::fmt::Arguments<'_>| {
        text.clear();
        text.write_fmt(what).expect("writing to a string");
        text.clone()
    };
    for p in &program.placements {
        add(axis.span(p.region), &say(format_args!("p{:?}{}{:?}", across(p.region), p.image, p.params)));
    }
    for r in &program.routes {
        add(axis.span(r.region), &say(format_args!("r{:?}{:?}{:?}{:?}", across(r.region), r.color, r.rx, r.tx)));
    }
    for s in &program.switches {
        let rest = (s.color, &s.positions, s.ring, s.pop);
        add(axis.span(s.region), &say(format_args!("s{:?}{rest:?}", across(s.region))));
    }
    for f in &program.filters {
        for (k, line) in axis.span(f.region).iter().enumerate() {
            let k = k as u32;
            let (i, j) = if axis == Axis::Rows { (0, k) } else { (k, 0) };
            let step = if axis == Axis::Rows { f.dx } else { f.dy };
            let rest = (f.color, f.period, f.pass, f.start_at(i, j), step);
            add(sim_core::coord::Span::one(line), &say(format_args!("f{:?}{rest:?}", across(f.region))));
        }
    }
    for (k, e) in program.edges.iter().enumerate() {
        add(axis.ports(e, grid), &format!("e{k}"));
    }
    texts
}

/// Finds the longest stretch of `lines`, of which the first is line `first`, then others before and
/// behind it.
fn search(lines: &[u32], axis: Axis, first: u32, found: &mut Vec<Stretch>) {
    let Some(s) = longest(lines, axis) else { return };
    let (start, end) = (s.start as usize, (s.start + s.length) as usize);
    search(&lines[..start], axis, first, found);
    search(&lines[end..], axis, first + s.start + s.length, found);
    found.push(Stretch { start: first + s.start, ..s });
}

/// The longest stretch of periodic lines.
fn longest(lines: &[u32], axis: Axis) -> Option<Stretch> {
    let count = lines.len() as u32;
    let mut best: Option<Stretch> = None;
    for period in 1..=PERIOD_MAX.min(count / 8) {
        let mut start = 0;
        for at in 0..=count {
            let goes_on = at >= start + period && at < count && lines[at as usize] == lines[(at - period) as usize];
            if goes_on || (at < count && at < start + period) {
                continue;
            }
            let length = at - start;
            // A longer period must be worth it.
            if best.is_none_or(|b| length > b.length + b.length / 4) && length >= 8 * period {
                best = Some(Stretch { axis, start, length, period });
            }
            start = (at + 1).saturating_sub(period).max(start + 1);
        }
    }
    best
}
