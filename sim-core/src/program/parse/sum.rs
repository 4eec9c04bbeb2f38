//! `sum(k in 0..n, EXPRESSION)`: the sum of an expression over a range, for what reductions and products of
//! matrices are expected to give.
//!
//! The variable of a sum has the number of variables around it as its own number, so sums may stand in sums,
//! and in functions.
//!
//! **Invariant.** A sum whose value is known while the text expands is computed once, and what that costs counts
//! as statements; so sums do not make the time that a text takes longer than loops do.

use super::expr::{Expr, Terms};
use super::lex::Tok;
use super::{MAX_STEPS, Parsed, Parser, Stop, clipped};

/// Most evaluations of an operator for one value of an expression.
const MAX_COST: u64 = 1 << 24;
/// Evaluations of an operator that count as a statement.
const PER_STEP: u64 = 128;

impl<'a> Parser<'a> {
    /// What stands behind `sum(`.
    pub(super) fn sum(&mut self, at: usize) -> Parsed<Expr> {
        let place = self.at();
        let Tok::Word(name) = self.peek() else {
            return self.expected_help("the name of an index", "write `sum(k in 0..n, …)`");
        };
        if self.free.contains(&name) || matches!(name, "x" | "y") {
            let message = format!("`{}` is an index or a parameter already", clipped(name));
            return self.fault("P006", place, message, "choose another name");
        }
        self.next += 1;
        self.keyword("in")?;
        self.known_range()?;
        let (from, end, step) = self.range()?;
        self.punct(",")?;
        let terms = Terms {
            variable: self.free.len(),
            from: from as i64,
            step: step as i64,
            count: if end > from { (end - from).unsigned_abs().div_ceil(step.unsigned_abs()) as u64 } else { 0 },
        };
        self.free.push(name);
        let body = self.expr();
        self.free.truncate(terms.variable);
        let body = body?;
        self.punct(")")?;
        self.settled(Expr::Sum(Box::new(body), terms, at), at)
    }

    /// Refuses a range in which indices or parameters are.
    fn known_range(&mut self) -> Parsed<()> {
        let range =
            self.tokens[self.next..self.end].iter().take_while(|t| !matches!(t.tok, Tok::Punct(",") | Tok::Line));
        let name = range.filter_map(|t| if let Tok::Word(word) = t.tok { Some((word, t.at)) } else { None });
        let Some((word, at)) = name.into_iter().find(|(word, _)| self.free.contains(word)) else { return Ok(()) };
        let message = format!("the range of a sum depends on `{}`, which has no value yet", clipped(word));
        let help = "sum over a range that is known while the text expands, with `select(k < n, …, 0)` in it";
        self.fault("P007", at, message, help)
    }

    /// An expression in which sums may be: its value, where no variables are around it.
    pub(super) fn settled(&mut self, expr: Expr, at: usize) -> Parsed<Expr> {
        let cost = expr.cost();
        if cost > MAX_COST {
            let message = format!("a value takes {cost} operations; at most {MAX_COST} are possible");
            return self.fault("P008", at, message, "sum over less, or find a closed form");
        }
        if !self.free.is_empty() {
            return Ok(expr);
        }
        self.charge(1, cost)?;
        match expr.value(&[]) {
            Ok(value) => Ok(Expr::Const(value)),
            Err((place, message)) => self.fault("P007", place, message, ""),
        }
    }

    /// Counts evaluations of an expression, if it is one with sums.
    pub(super) fn charge(&mut self, times: u64, cost: u64) -> Parsed<()> {
        self.steps = self.steps.saturating_add(times.saturating_mul(cost) / PER_STEP);
        if self.steps <= MAX_STEPS {
            return Ok(());
        }
        self.step()?;
        Err(Stop::Failed)
    }
}
