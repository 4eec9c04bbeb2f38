//! A program with fewer of its lines that repeat: one that is quick to execute in full.
//!
//! **Not here.** What its run says of the larger one: nothing; folding it is checked on it.

use crate::analysis::stretch::stretches;
use sim_core::axis::Axis;
use sim_core::program::Program;
use sim_core::program::transform::{Cut, without};

/// The program with at most `groups` periods of every stretch of rows or columns that repeats.
#[must_use]
pub fn smaller(program: &Program, groups: u32) -> Program {
    let mut out = program.clone();
    for axis in Axis::ALL {
        for s in stretches(program, axis).into_iter().rev() {
            let more = (s.length / s.period).saturating_sub(groups);
            if more > 0 {
                let cut = Cut { axis, from: s.start + groups / 2 * s.period, count: more * s.period };
                out = without(&out, cut);
            }
        }
    }
    out
}
