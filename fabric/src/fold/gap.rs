//! A gap: a stretch of equal lines of which only some groups are executed (rule F4).
//!
//! Where 900 rows do the same one after another, a few of them at the beginning and a few at the end
//! are executed. How many are needed at either side is not known beforehand: it starts small and grows
//! with every failed check, until leaving the rest out is no longer worth another run.
//!
//! **Invariant.** At least one group of lines is left out.
//! **Not here.** The checks (`execute`).

use crate::analysis::stretch::Stretch;
use sim_core::program::transform::Cut;
use sim_core::program::{Placement, Program};

/// Why a stretch is not folded at all.
const TOO_FEW: &str = "there are too few of them";

/// A stretch of which only some groups of lines are executed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Gap {
    pub(crate) s: Stretch,
    /// Groups that are executed before the place where lines are left out: what differs at a
    /// block's edge has to be over there.
    before: u32,
    /// Groups behind it: what comes back from the other edge must not reach the place.
    behind: u32,
    /// How often a check failed at this gap so far.
    tries: u32,
    /// Why more lines are executed than at first.
    pub(crate) failed: &'static str,
}

impl Gap {
    /// Lines that only pass wavelets on cost little, and have no queues that hide what happens at
    /// the edge: more of them are executed.
    pub(crate) fn new(program: &Program, s: Stretch) -> Gap {
        let inside = s.start..s.start + s.length;
        let passes = |p: &Placement| !s.axis.span(p.region).iter().any(|line| inside.contains(&line));
        let groups = if program.placements.iter().all(passes) { 8 } else { 2 };
        Gap { s, before: groups, behind: groups, tries: 0, failed: TOO_FEW }
    }

    /// Whether lines are left out; after a failure, whether so many that another one, which costs a
    /// run, may be risked.
    pub(crate) fn worth_it(&self) -> bool {
        let kept = (self.before + self.behind + 4) * self.s.period;
        // Another try costs another run of what is kept, so it has to save a third of the lines.
        if self.tries == 0 { kept < self.s.length } else { kept * 3 < self.s.length * 2 }
    }

    /// More groups after a failure: twice as many before the gap, and behind it every second time.
    pub(crate) fn grow(&mut self) {
        self.before *= 2;
        self.behind *= 1 + self.tries % 2;
        self.tries += 1;
    }

    /// First line that is left out, in the whole block.
    pub(crate) fn from(&self) -> u32 {
        self.s.start + self.before * self.s.period
    }

    /// Groups that are left out.
    pub(crate) fn copies(&self) -> u32 {
        let groups = self.s.length / self.s.period;
        assert!(self.before + self.behind <= groups, "more groups would be executed than the stretch has");
        groups - self.before - self.behind
    }

    pub(crate) fn left_out(&self) -> u32 {
        self.copies() * self.s.period
    }

    pub(crate) fn cut(&self) -> Cut {
        Cut { axis: self.s.axis, from: self.from(), count: self.left_out() }
    }
}
