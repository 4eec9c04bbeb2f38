//! The end and the step of a range: `0..n step 2`.
//!
//! A step may be written as `/` as well, as in `0..8/2`. Behind an end that is computed, that is warned of:
//! `0..n/2` reads like the first half, and is every second number up to `n`.
//!
//! **Not here.** What a range is of: positions (`number.rs`), elements (`operand.rs`), repetitions
//! (`generate.rs`).

use super::expr::Ends;
use super::lex::Tok;
use super::{Parsed, Parser};
use crate::diag::Diagnostic;

/// Warnings about steps that are listed.
const LISTED: usize = 10;

impl Parser<'_> {
    /// What stands behind `..`, whose first number begins at token `first`: the end, and the step.
    pub(super) fn end_and_step(&mut self, first: usize) -> Parsed<(i64, i64)> {
        let start = self.next;
        let end = self.int_until(Ends { slash: true, percent: false })?;
        // A register may be named `step`.
        let word = self.peek() == Tok::Word("step") && self.second() != Tok::Punct("=");
        let slash = self.peek() == Tok::Punct("/");
        if !word && !slash {
            return Ok((end, 1));
        }
        let mark = self.next;
        self.next += 1;
        let step = self.int()?;
        if slash {
            self.warn_of_slash([first, start, mark, self.next]);
        }
        Ok((end, step))
    }

    /// Warns of `/` as a step unless a single number stands before it; given the tokens at which the
    /// range, its end, the mark, and what follows begin.
    fn warn_of_slash(&mut self, [first, start, mark, behind]: [usize; 4]) {
        let literal = mark == start + 1 && matches!(self.tokens[start].tok, Tok::Number(_));
        let at = self.tokens[mark].at;
        if literal || self.suspicious.contains_key(&at) || self.suspicious.len() == LISTED {
            return;
        }
        let text = |from: usize, to: usize| self.map.text(self.tokens[from].at, self.tokens[to].at).trim();
        let (from, end, step) = (text(first, start - 1), text(start, mark), text(mark + 1, behind));
        let message = format!("`/{step}` is a step here: `{from}..{end}/{step}` goes up to `{end}` in steps of {step}");
        let quotient = if mark == start + 1 { format!("({end}/{step})") } else { format!("(({end})/{step})") };
        let help = format!("write `{from}..{end} step {step}`; the end at a quotient is `{from}..{quotient}`");
        let width = self.tokens[behind - 1].at + 1 - at;
        let found = Diagnostic::new("W007", self.map.place(at), message).help(help);
        let found = found.excerpt(self.map.excerpt(at, width));
        self.suspicious.insert(at, found);
    }
}
