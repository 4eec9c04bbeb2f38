//! A program with fewer of its lines that repeat: one that is quick to execute in full.
//!
//! `--verify-fold` compares folded runs with full ones. A full run of a large mesh would take hours; so the
//! mesh is made smaller first, and both runs are of the smaller program.
//!
//! **Not here.** What its run says of the larger program: nothing; it is the folding that is checked on it.

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
