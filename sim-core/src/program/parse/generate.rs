//! What generates statements, and names for numbers: `const`, `param`, `for`, `if`, `include`.
//!
//! A block that is repeated is read once per repetition, each time with another value of its variable.
//!
//! **Invariant.** At most [`MAX_STEPS`] statements are read, repetitions counted, so no text runs without
//! an end.

use super::cursor::Each;
use super::expr::Ends;
use super::lex::{Tok, is_register};
use super::value::{Value, literal};
use super::{MAX_STEPS, Parsed, Parser, Stop};

/// Names with a meaning of their own, which no program can give another one.
const RESERVED: [&str; 9] = ["x", "y", "W", "H", "pi", "or", "and", "not", "in"];

impl<'a> Parser<'a> {
    /// Counts a statement.
    pub(super) fn step(&mut self) -> Parsed<()> {
        self.steps += 1;
        if self.steps > MAX_STEPS {
            let message = format!("more than {MAX_STEPS} statements, those of repetitions counted");
            let help = "generate fewer: one image for many PEs, with registers that differ by place";
            self.give_up("P008", message, help);
            return Err(Stop::Failed);
        }
        Ok(())
    }

    /// Records what is wrong, and reads nothing more.
    fn give_up(&mut self, code: &str, message: String, help: &str) {
        self.report(code, self.at(), message, help);
        self.given_up = true;
        self.next = self.tokens.len();
        self.end = self.tokens.len();
    }

    /// The word of a new name, which stands for nothing yet.
    pub(super) fn new_name(&mut self) -> Parsed<&'a str> {
        let at = self.at();
        let Tok::Word(word) = self.peek() else { return self.expected("a name") };
        self.next += 1;
        if is_register(word) {
            return self.fault(
                "P006",
                at,
                format!("`{word}` is a register, a color, a queue or a microthread"),
                "choose another name",
            );
        }
        if RESERVED.contains(&word) {
            let message = format!("`{word}` has a meaning of its own");
            return self.fault("P006", at, message, "x and y are always column and row of a PE; choose another name");
        }
        if self.scope.has(word) || self.arrays.contains_key(word) {
            return self.fault("P006", at, format!("`{word}` is defined already"), "choose another name");
        }
        Ok(word)
    }

    /// Gives a name its value; one whose value is faulty is remembered, and causes no further diagnostics.
    fn bind(&mut self, name: &'a str, value: Parsed<Value>) -> Parsed<()> {
        match value {
            Ok(value) => self.scope = self.scope.with(name, value),
            Err(stop) => {
                self.failed.insert(name.to_owned());
                return Err(stop);
            }
        }
        Ok(())
    }

    /// `const NAME = EXPRESSION`
    pub(super) fn define_const(&mut self) -> Parsed<()> {
        self.next += 1;
        let name = self.new_name()?;
        let value = self.defined();
        self.bind(name, value)
    }

    fn defined(&mut self) -> Parsed<Value> {
        self.punct("=")?;
        self.constant(Ends::default())
    }

    /// `param NAME = DEFAULT`
    pub(super) fn define_param(&mut self) -> Parsed<()> {
        self.next += 1;
        let at = self.at();
        let name = self.new_name()?;
        let value = self.defined().and_then(|default| self.chosen(name, default, at));
        self.params.push((name, at));
        self.bind(name, value)
    }

    /// The value of a parameter: what the caller gives, or the default.
    fn chosen(&mut self, name: &str, default: Value, at: usize) -> Parsed<Value> {
        let Some((_, text)) = self.given.iter().rev().find(|(given, _)| given == name) else {
            return Ok(default);
        };
        match (literal(text), default) {
            (Some(Value::Int(n)), Value::Float(_)) => Ok(Value::Float(n as f64)),
            (Some(Value::Float(_)) | None, Value::Int(_)) => {
                let message = format!("the parameter `{name}` is a whole number, and `{text}` was given");
                self.fault("P007", at, message, "")
            }
            (Some(value), _) => Ok(value),
            (None, _) => self.fault("P007", at, format!("`{text}`, given for `{name}`, is no number"), ""),
        }
    }

    /// `for NAME in FROM..END { … }` or `FROM..END step STEP`
    pub(super) fn repeat(&mut self, depth: usize, each: Each<'_, 'a>) -> Parsed<()> {
        self.next += 1;
        let name = self.new_name()?;
        self.keyword("in")?;
        let (from, end, step) = self.range()?;
        let body = self.next;
        let (scope, mut value) = (self.scope.clone(), from);
        if from >= end {
            return self.skip_block(depth);
        }
        while value < end && !self.given_up && self.cut.is_none() {
            self.step()?;
            self.next = body;
            self.scope = scope.with(name, Value::Int(value));
            self.repeats.push((name, value));
            let done = self.block(depth, each);
            self.repeats.pop();
            self.scope = scope.clone();
            done?;
            value += step;
        }
        Ok(())
    }

    /// `FROM..END` or `FROM..END step STEP`
    pub(super) fn range(&mut self) -> Parsed<(i128, i128, i128)> {
        let first = self.next;
        let from: i64 = self.int()?;
        self.punct("..")?;
        let at = self.at();
        let (end, step) = self.end_and_step(first)?;
        if step < 1 {
            return self.fault("P002", at, format!("a step of {step}; steps are at least 1"), "");
        }
        Ok((from.into(), end.into(), step.into()))
    }

    /// `if CONDITION { … } else if CONDITION { … } else { … }`
    pub(super) fn choose(&mut self, depth: usize, each: Each<'_, 'a>) -> Parsed<()> {
        let mut chosen = false;
        loop {
            self.next += 1;
            let holds = if chosen { self.skip_condition()? } else { self.constant(Ends::default())?.holds() };
            if holds {
                self.block(depth, each)?
            } else {
                self.skip_block(depth)?
            }
            chosen |= holds;
            if !self.take(Tok::Word("else")) {
                return Ok(());
            }
            if self.peek() != Tok::Word("if") {
                return if chosen { self.skip_block(depth) } else { self.block(depth, each) };
            }
        }
    }

    /// Goes on at the `{` behind a condition that does not matter any more, and which so does not hold.
    fn skip_condition(&mut self) -> Parsed<bool> {
        while self.peek() != Tok::Punct("{") {
            if self.ended() {
                return self.expected("`{`");
            }
            self.next += 1;
        }
        Ok(false)
    }

    /// `include "FILE"`: its statements, unless they were read before.
    pub(super) fn include(&mut self) -> Parsed<()> {
        self.next += 1;
        let at = self.at();
        let Tok::Quoted(path) = self.peek() else { return self.expected("the name of a file in quotes") };
        self.next += 1;
        let from = self.map.file_of(at);
        let Some(index) = self.files[from].includes.iter().find(|(written, _)| written == path).map(|f| f.1) else {
            return self.fault("P009", at, format!("\"{path}\" is not included"), "");
        };
        let (start, end) = self.ranges[index];
        if std::mem::replace(&mut self.read[index], true) {
            return Ok(());
        }
        let back = (self.next, self.end);
        (self.next, self.end) = (start, end);
        self.file();
        if !self.given_up {
            (self.next, self.end) = back;
        }
        Ok(())
    }
}
