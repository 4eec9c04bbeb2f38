//! Stretches of lines that repeat: rows or columns with equal contents at a period.
//!
//! **Invariant.** What a line holds is compared as the program says it, routes, switches, filters
//! and ports included; so equal lines start in equal states.
//! **Not here.** Whether they also behave alike (`fold::execute`).

use sim_core::axis::Axis;
use sim_core::program::Program;
use sim_core::program::transform::line_kinds;
use std::fmt;

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
    let mut found = Vec::new();
    search(&line_kinds(program, axis), axis, 0, &mut found);
    found.sort_by_key(|s| s.start);
    found
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
