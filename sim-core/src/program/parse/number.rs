//! Numbers, and what is made of a letter and a number: registers, colors, queues, microthreads.
//!
//! **Not here.** Expressions (`expr.rs`), registers by name (`operand.rs`).

use super::expr::Ends;
use super::lex::Tok;
use super::scope::nearest;
use super::value::{Value, is_function};
use super::{Parsed, Parser, Stop, clipped};
use crate::coord::{Color, Region, Span};

impl Parser<'_> {
    /// An expression that is a whole number.
    pub(super) fn int<T: TryFrom<i128>>(&mut self) -> Parsed<T> {
        self.int_until(Ends::default())
    }

    /// An expression that is a whole number, and that some operators end.
    pub(super) fn int_until<T: TryFrom<i128>>(&mut self, ends: Ends) -> Parsed<T> {
        let at = self.at();
        self.wanted = "a whole number";
        let value = self.constant_sum(ends)?;
        self.fits(value, at)
    }

    /// A number, a name, or an expression in parentheses; perhaps with a sign. Where two numbers follow
    /// each other.
    pub(super) fn atom<T: TryFrom<i128>>(&mut self) -> Parsed<T> {
        let at = self.at();
        self.wanted = "a whole number";
        let value = self.without_variables(Self::unary)?;
        self.fits(value, at)
    }

    /// A value as a whole number of a type.
    pub(super) fn fits<T: TryFrom<i128>>(&mut self, value: Value, at: usize) -> Parsed<T> {
        let Value::Int(n) = value else {
            let help = "`/` of whole numbers is whole; `int(…)` cuts a fraction off";
            return self.fault("P007", at, format!("{value} is no whole number"), help);
        };
        match T::try_from(n) {
            Ok(value) => Ok(value),
            Err(_) => self.fault("P002", at, format!("{n} is out of range"), ""),
        }
    }

    /// A color, queue or microthread by its letter: `q3`, `q(k+1)`, a sum that begins with one of these, or a
    /// sum that begins with a name.
    pub(super) fn resource<T: TryFrom<i128>>(&mut self, letter: char) -> Parsed<T> {
        let at = self.at();
        let Tok::Word(word) = self.peek() else {
            // A single number is hardly meant.
            let operator = matches!(self.second(), Tok::Punct("+" | "-" | "*" | "/" | "%"));
            let expression = matches!(self.peek(), Tok::Number(_)) && operator || self.peek() == Tok::Punct("(");
            return if expression { self.int() } else { self.no_resource(letter) };
        };
        let by_letter = word.strip_prefix(letter).is_some_and(|rest| match rest {
            "" => self.second() == Tok::Punct("("),
            digits => digits.bytes().all(|b| b.is_ascii_digit()),
        });
        if by_letter {
            let mut sum: i64 = self.numbered(letter)?;
            // No `-`: a signed number may follow a color.
            while self.take(Tok::Punct("+")) {
                let place = self.at();
                self.wanted = "a whole number";
                let value = self.constant_product()?;
                let term: i32 = self.fits(value, place)?;
                sum = sum.saturating_add(term.into());
            }
            return self.fits(Value::Int(sum.into()), at);
        }
        let named = self.scope.has(word) || self.arrays.contains_key(word) || self.failed.contains(word);
        if named || is_function(word) && self.second() == Tok::Punct("(") {
            self.int()
        } else {
            self.no_resource(letter)
        }
    }

    fn no_resource<T>(&mut self, letter: char) -> Parsed<T> {
        let what = if letter == 'c' { "a color" } else { "a queue" };
        let help = match self.peek() {
            Tok::Word(_) if letter == 't' => "a microthread is one of `t0` to `t7`, or the name of a number".to_owned(),
            Tok::Word(word) => nearest(word, self.scope.names())
                .unwrap_or_else(|| format!("{what} has a name if it is defined: `const {} = 0`", clipped(word))),
            Tok::Number(digits) => format!("write `{letter}{}`", clipped(digits)),
            _ => String::new(),
        };
        self.expected_help(&format!("`{letter}` with a number"), &help)
    }

    /// A word made of a letter and a number, such as `a3`; the letter with an expression in parentheses,
    /// such as `a(k+1)`; or the name of a number.
    pub(super) fn numbered<T: TryFrom<i128>>(&mut self, letter: char) -> Parsed<T> {
        let at = self.at();
        let wanted = format!("`{letter}` with a number");
        let Tok::Word(word) = self.peek() else { return self.expected(&wanted) };
        let rest = word.strip_prefix(letter);
        match rest {
            Some("") if self.second() == Tok::Punct("(") => {
                self.next += 2;
                let value = self.int()?;
                self.punct(")")?;
                Ok(value)
            }
            Some(digits) if !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()) => {
                self.next += 1;
                let Ok(n) = digits.parse() else {
                    return self.fault("P002", at, format!("{} is out of range", super::clipped(digits)), "");
                };
                self.fits(Value::Int(n), at)
            }
            _ if self.failed.contains(word) => Err(Stop::Failed),
            _ => match self.scope.find(word) {
                Some(value) => {
                    self.next += 1;
                    self.used.insert(word.to_owned());
                    self.fits(value, at)
                }
                None => self.expected(&wanted),
            },
        }
    }

    pub(super) fn color(&mut self) -> Parsed<Color> {
        let at = self.at();
        let n: u8 = self.resource('c')?;
        match Color::new(n) {
            Some(color) => Ok(color),
            None => {
                let message = format!("there is no color {n}; the last one is c{}", Color::MAX - 1);
                self.fault("P002", at, message, "")
            }
        }
    }

    /// The bits of a binary32 number.
    pub(super) fn float(&mut self) -> Parsed<u32> {
        let at = self.at();
        if let Some((bits, tokens)) = self.literal_bits() {
            self.next += tokens;
            return Ok(bits);
        }
        self.wanted = "a number in the range of binary32, or its bits as 0x…";
        let value = self.constant(Ends::default())?.float() as f32;
        if value.is_finite() {
            return Ok(value.to_bits());
        }
        self.fault("P002", at, format!("{value} is not in the range of binary32"), "")
    }

    /// A number that stands alone, read without a detour over wider numbers: its bits, and its tokens.
    pub(super) fn literal_bits(&self) -> Option<(u32, usize)> {
        let negative = self.peek() == Tok::Punct("-");
        let (sign, tok, behind) = match self.tokens.get(self.next..self.next + 3)? {
            [_, second, third] if negative => ("-", second.tok, third.tok),
            [first, second, _] => ("", first.tok, second.tok),
            _ => return None,
        };
        if matches!(behind, Tok::Punct("+" | "-" | "*" | "/" | "%" | "<" | ">" | "(" | "==" | "!=" | "<=" | ">=")) {
            return None;
        }
        let bits = match tok {
            Tok::Number(n) if n.starts_with("0x") && !negative => u32::from_str_radix(&n[2..], 16).ok(),
            Tok::Number(n) => format!("{sign}{n}").parse().ok().filter(|v: &f32| v.is_finite()).map(f32::to_bits),
            Tok::Word("inf") => Some(if negative { f32::NEG_INFINITY } else { f32::INFINITY }.to_bits()),
            _ => None,
        };
        Some((bits?, 1 + usize::from(negative)))
    }

    /// Positions on an axis. A range that is computed and has no position ends the statement without a
    /// diagnostic, so that a program for any size of mesh may have parts that a small one has not.
    pub(super) fn span(&mut self, axis: &str) -> Parsed<Span> {
        self.keyword(axis)?;
        self.punct("=")?;
        let (at, first) = (self.at(), self.next);
        let start: i64 = self.int()?;
        if !self.take(Tok::Punct("..")) {
            return Ok(Span::one(self.fits(Value::Int(start.into()), at)?));
        }
        let (end, step) = self.end_and_step(first)?;
        let computed = self.tokens[first..self.next].iter().any(|t| matches!(t.tok, Tok::Word(_)));
        if computed && start >= end && step > 0 {
            return Err(Stop::Nothing);
        }
        let sound = start >= 0 && start < end && step > 0 && end <= 1 << 32 && step < 1 << 32;
        let count = if sound { (end - start).unsigned_abs().div_ceil(step.unsigned_abs()) } else { 0 };
        match (u32::try_from(start), u32::try_from(count), u32::try_from(step)) {
            (Ok(start), Ok(count), Ok(step)) if sound => Ok(Span { start, count, step }),
            _ => self.fault("P002", at, format!("no positions, or too many: {start}..{end} step {step}"), ""),
        }
    }

    pub(super) fn region(&mut self) -> Parsed<Region> {
        Ok(Region { x: self.span("x")?, y: self.span("y")? })
    }
}
