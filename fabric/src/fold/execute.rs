//! Executing a block with some of its equal rows and columns left out (rule F4).
//!
//! The block is executed with a few of its equal lines, while the traffic over two boundaries is recorded.
//! If the two traces are equal after a shift, all other lines would have done the same again and again. If
//! they are not, more lines are executed.
//!
//! **Invariant.** A block is assembled from fewer lines only if the traces on the boundaries of
//! every gap allow it; else more lines are executed, and at last all of them.
//! **Not here.** Counters of the whole block (`assembly`); how many lines are left out (`gap`).

use super::assembly::{Assembly, Placed};
use super::gap::Gap;
use crate::analysis::control::sends_control;
use crate::analysis::stretch::{Stretch, stretches};
use crate::fast::{self, Instruments, Watch};
use crate::options::RunOptions;
use sim_core::arch::ArchSpec;
use sim_core::axis::Axis;
use sim_core::error::RunError;
use sim_core::program::transform::{port_lines, without};
use sim_core::program::{Flow, Program};

/// Executes a block, with as few lines as the checks allow.
pub(crate) fn execute(program: &Program, arch: &ArchSpec, options: &RunOptions) -> Result<Assembly, RunError> {
    let found: Vec<Stretch> = Axis::ALL.into_iter().flat_map(|axis| stretches(program, axis)).collect();
    let mut whole = Vec::new();
    // A trace does not say what control wavelets carry.
    let mut gaps: Vec<Gap> = match sends_control(program) {
        true => {
            whole.extend(found.iter().map(|s| format!("{s}, but PEs send control wavelets")));
            Vec::new()
        }
        false => found.into_iter().map(|s| Gap::new(program, s)).collect(),
    };
    loop {
        gaps.retain(|gap| {
            whole.extend((!gap.worth_it()).then(|| format!("{}, but {}", gap.s, gap.failed)));
            gap.worth_it()
        });
        match fold(program, &gaps, arch, options)? {
            Folded::Done(mut done) => {
                done.whole = whole;
                return Ok(*done);
            }
            // More groups where a check failed.
            Folded::Failed(which) => which.into_iter().for_each(|(i, why)| {
                gaps[i].grow();
                gaps[i].failed = why;
            }),
        }
    }
}

/// How an execution with fewer lines ended.
enum Folded {
    Done(Box<Assembly>),
    /// The gaps at which a check failed, and which one.
    Failed(Vec<(usize, &'static str)>),
}

/// Executes without the lines of the gaps.
fn fold(program: &Program, gaps: &[Gap], arch: &ArchSpec, options: &RunOptions) -> Result<Folded, RunError> {
    let mut small = program.clone();
    for gap in gaps.iter().rev() {
        small = without(&small, gap.cut());
    }
    let mut cuts = Vec::new();
    let mut watches = Vec::new();
    let mut gone = [0; 2];
    for gap in gaps {
        let axis = gap.s.axis;
        let gone = &mut gone[axis as usize];
        let cut = gap.from() - *gone;
        *gone += gap.left_out();
        // The boundaries before and behind the last group before the gap.
        watches.extend([cut - gap.s.period - 1, cut - 1].map(|line| Watch::new(axis, line)));
        cuts.push(cut);
    }
    let instruments = Instruments { time_fold: options.fold.time, watches };
    let detail = match fast::run_detailed(&small, arch, options, instruments, None) {
        Ok(detail) => detail,
        // Fewer lines may block, or take longer, where all of them would not: more are tried.
        Err(RunError::Deadlock { .. } | RunError::CycleLimit { .. }) if !gaps.is_empty() => {
            let fewer = "a mesh with fewer of them does not end";
            return Ok(Folded::Failed((0..gaps.len()).map(|i| (i, fewer)).collect()));
        }
        Err(e) => return Err(e),
    };
    assert_eq!(detail.watches.len(), 2 * gaps.len(), "each gap has a boundary before and behind its last group");
    if detail.given_up {
        let differs = |i: &usize| Watch::differs(&detail.watches[2 * i..2 * i + 2]);
        return Ok(Folded::Failed((0..gaps.len()).filter(differs).map(|i| (i, DIFFER)).collect()));
    }
    let shifts: Vec<Result<u64, &'static str>> =
        detail.watches.chunks(2).map(|pair| shift(&small, &pair[0], &pair[1])).collect();
    let fails = |i: usize| match shifts[i] {
        Err(why) => Some((i, why)),
        Ok(_) if !alone(i, &detail.watches, &shifts) => Some((i, "waves through them begin at several times")),
        Ok(_) => None,
    };
    let failed: Vec<_> = (0..gaps.len()).filter_map(fails).collect();
    if !failed.is_empty() {
        return Ok(Folded::Failed(failed));
    }
    let placed = gaps.iter().zip(cuts).zip(shifts.into_iter().flatten());
    let placed = placed.map(|((&gap, cut), delta)| Placed { gap, cut, delta }).collect();
    Ok(Folded::Done(Box::new(Assembly::new(small.grid(), placed, detail))))
}

/// What is said of boundaries that do not agree.
const DIFFER: &str = "what crosses the boundaries between them differs";

/// The shift between the two boundaries of a gap, if all conditions of rule F4 hold; else which one
/// does not.
fn shift(small: &Program, a: &Watch, b: &Watch) -> Result<u64, &'static str> {
    let (first, second) = match (a.first, b.first) {
        _ if a.trace != b.trace => return Err(DIFFER),
        (None, None) => return Ok(0),
        (Some(first), Some(second)) => (first, second),
        _ => return Err(DIFFER),
    };
    if first == second {
        Ok(0)
    } else if second < first {
        Err("what crosses them begins at the last one")
    } else if !(a.quiet && b.quiet) {
        Err("they are at work when the first wavelet comes")
    } else if fed_behind(small, a) {
        Err("wavelets come in from the edge behind them")
    } else if a.skipped != b.skipped {
        Err("cycles were skipped between their first wavelets")
    } else {
        Ok(second - first)
    }
}

/// Whether the delay of a gap is the same for all that crosses another gap with a delay: everything
/// that crosses the boundaries of one happens behind the first event of the other, where both delay.
fn alone(gap: usize, watches: &[Watch], shifts: &[Result<u64, &str>]) -> bool {
    let delays = |i: usize| shifts[i].is_ok_and(|delta| delta > 0);
    let start = |w: &Watch| w.skipped + w.first.unwrap_or(0);
    let pair = |i: usize| &watches[2 * i..2 * i + 2];
    let agree = |other: usize| {
        if pair(gap)[0].axis == pair(other)[0].axis {
            // Both are in the order of their lines.
            other >= gap || start(&pair(gap)[0]) >= start(&pair(other)[1])
        } else {
            pair(gap).iter().all(|w| w.untouched)
        }
    };
    !delays(gap) || (0..shifts.len()).filter(|&other| delays(other)).all(agree)
}

/// Whether wavelets come onto the wafer behind a boundary: at cycles that do not shift.
fn fed_behind(program: &Program, boundary: &Watch) -> bool {
    let fed = |e: &sim_core::program::EdgeStream| {
        e.flow == Flow::In && port_lines(e, boundary.axis, program.grid()).last() > u64::from(boundary.line)
    };
    program.edges.iter().any(fed)
}
