//! Walking over tokens, and recording what is wrong.
//!
//! **Invariant.** Of several diagnostics at one place the first is kept, so a line that a `for` repeats
//! is reported once; names whose definition failed cause no further diagnostics.
//! **Not here.** What any statement looks like.

use super::lex::{Tok, is_register, unescape};
use super::scope::nearest;
use super::{LISTED, MAX_DEPTH, Parsed, Parser, Stop, clipped};
use crate::diag::Diagnostic;

/// What reads an entry of a block, given how deep the block is.
pub(super) type Each<'e, 'a> = &'e mut dyn FnMut(&mut Parser<'a>, usize) -> Parsed<()>;

impl<'a> Parser<'a> {
    pub(super) fn peek(&self) -> Tok<'a> {
        self.tokens[..self.end].get(self.next).map_or(Tok::Line, |t| t.tok)
    }

    /// The token behind the next one.
    pub(super) fn second(&self) -> Tok<'a> {
        self.tokens[..self.end].get(self.next + 1).map_or(Tok::Line, |t| t.tok)
    }

    pub(super) fn at(&self) -> usize {
        let last = self.tokens[..self.end].last();
        self.tokens[..self.end].get(self.next).or(last).map_or(0, |t| t.at)
    }

    /// Records what is wrong at a place, unless something was recorded there or the text was given up.
    pub(super) fn report(&mut self, code: &str, at: usize, message: String, help: &str) {
        if self.given_up || self.found.len() >= LISTED || !self.reported.insert(at) {
            return;
        }
        let mut message = message;
        if !self.repeats.is_empty() {
            let values: Vec<String> = self.repeats.iter().map(|(name, value)| format!("{name} = {value}")).collect();
            message += &format!(" (with {})", values.join(", "));
        }
        let diagnostic = Diagnostic::new(code, self.map.place(at), message).help(help);
        self.found.push((at, diagnostic.excerpt(self.map.excerpt(at, self.width(at)))));
    }

    /// Bytes of the token at a place.
    fn width(&self, at: usize) -> usize {
        let token = self.tokens.binary_search_by_key(&at, |t| t.at);
        match token.map(|i| self.tokens[i].tok) {
            Ok(Tok::Word(s) | Tok::Number(s) | Tok::Punct(s) | Tok::Bad(s)) => s.chars().count(),
            Ok(Tok::Quoted(s)) => s.chars().count() + 2,
            _ => 1,
        }
    }

    /// Records what is wrong, and ends the statement.
    pub(super) fn fault<T>(&mut self, code: &str, at: usize, message: String, help: &str) -> Parsed<T> {
        self.report(code, at, message, help);
        Err(Stop::Failed)
    }

    /// Records that something else was expected at the next token.
    pub(super) fn expected<T>(&mut self, what: &str) -> Parsed<T> {
        self.expected_help(what, "")
    }

    pub(super) fn expected_help<T>(&mut self, what: &str, help: &str) -> Parsed<T> {
        let found = match self.peek() {
            Tok::Line => "the end of the line".to_owned(),
            Tok::Word(s) | Tok::Number(s) | Tok::Punct(s) => format!("`{}`", clipped(s)),
            Tok::Quoted(s) => format!("\"{}\"", clipped(s)),
            Tok::Bad(s) if s.starts_with('"') => "a text without an end".to_owned(),
            Tok::Bad(s) => format!("{s:?}"),
        };
        let help = match self.peek() {
            Tok::Bad("&") if help.is_empty() => "conditions have `and`, `or` and `not`",
            Tok::Bad("|" | "!" | "?") | Tok::Punct("|" | "!") if help.is_empty() => {
                "conditions have `and`, `or` and `not`, and numbers are chosen by `select(condition, then, else)`"
            }
            _ => help,
        };
        self.fault("P001", self.at(), format!("expected {what}, found {found}"), help)
    }

    /// Something else than one of the words that can stand here: the nearest of them is advice.
    pub(super) fn expected_word<T>(&mut self, words: &[&str], others: &str) -> Parsed<T> {
        let help = match self.peek() {
            Tok::Word(word) => nearest(word, words.iter().copied()).unwrap_or_default(),
            _ => String::new(),
        };
        self.expected_help(&format!("{}{others}", words.join(", ")), &help)
    }

    /// A name that is not known here.
    pub(super) fn unknown<T>(&mut self, word: &str, at: usize) -> Parsed<T> {
        if self.failed.contains(word) {
            return Err(Stop::Failed);
        }
        let message = match word {
            "x" | "y" => format!("`{word}` has a value in placements, filters and values of PEs only"),
            "W" | "H" => format!("`{word}` is known behind the `grid` line"),
            _ => format!("there is no name `{}` here", clipped(word)),
        };
        let by_letter = is_register(word);
        if by_letter && word.starts_with(['c', 'q', 't']) {
            let message = format!("`{}` is no number", clipped(word));
            return self.fault("P005", at, message, "a number can stand for a color, queue or microthread");
        }
        if by_letter || self.names.registers.iter().any(|r| r.0 == word) {
            let message = format!("`{}` has a value on the wafer only, not while the text expands", clipped(word));
            let help = "an instruction is one operation; in a comparison a register stands first: `if a1 < n`";
            return self.fault("P005", at, message, help);
        }
        if self.names.memory.iter().any(|m| m.name == word) {
            let message = format!("what the buffer `{}` holds is known on the wafer only", clipped(word));
            return self.fault("P005", at, message, "`load` gets an element into a register: `a1 = load A[3]`");
        }
        let names: Vec<&str> = self.scope.names().chain(self.free.iter().copied()).collect();
        let help = nearest(word, names).unwrap_or_default();
        self.fault("P005", at, message, &help)
    }

    /// `did you mean …?` for a name that does not exist, if a known one is like it.
    pub(super) fn nearest<'n>(name: &str, known: impl IntoIterator<Item = &'n str>) -> Option<String> {
        nearest(name, known)
    }

    pub(super) fn take(&mut self, tok: Tok<'_>) -> bool {
        let found = self.peek() == tok;
        self.next = (self.next + usize::from(found)).min(self.end);
        found
    }

    pub(super) fn punct(&mut self, punct: &str) -> Parsed<()> {
        if self.take(Tok::Punct(punct)) { Ok(()) } else { self.expected(&format!("`{punct}`")) }
    }

    pub(super) fn keyword(&mut self, word: &str) -> Parsed<()> {
        if self.take(Tok::Word(word)) { Ok(()) } else { self.expected(&format!("`{word}`")) }
    }

    /// Whether nothing more of a statement can follow.
    pub(super) fn ended(&self) -> bool {
        matches!(self.peek(), Tok::Line | Tok::Punct(";" | "}"))
    }

    pub(super) fn line_end(&mut self) -> Parsed<()> {
        if self.ended() { Ok(()) } else { self.expected("the end of the line") }
    }

    /// One of the words that stand for values.
    pub(super) fn one_of<T: Copy>(&mut self, all: &[T], name: impl Fn(T) -> &'static str) -> Parsed<T> {
        if let Tok::Word(word) = self.peek()
            && let Some(&value) = all.iter().find(|&&v| name(v) == word)
        {
            self.next += 1;
            return Ok(value);
        }
        let names: Vec<&str> = all.iter().map(|&v| name(v)).collect();
        self.expected_word(&names, "")
    }

    /// A name; `$` and a number, a name or an expression in parentheses append to it.
    pub(super) fn name(&mut self) -> Parsed<String> {
        let name = match self.peek() {
            Tok::Word(word) => Some(word.to_owned()),
            Tok::Quoted(text) => unescape(text),
            _ => None,
        };
        let Some(mut name) = name else { return self.expected("a name") };
        self.next += 1;
        while self.take(Tok::Punct("$")) {
            let part: i64 = self.atom()?;
            name += &part.to_string();
        }
        Ok(name)
    }

    /// Goes on behind the block that the next `{` opens.
    pub(super) fn skip_block(&mut self, depth: usize) -> Parsed<()> {
        if self.peek() != Tok::Punct("{") {
            return self.expected("`{`");
        }
        let mut open = 0usize;
        while self.next < self.end {
            match self.peek() {
                Tok::Punct("{") => open += 1,
                Tok::Punct("}") => open -= 1,
                // Used for other values of parameters.
                Tok::Word(word) if self.scope.find(word).is_some() => {
                    self.used.insert(word.to_owned());
                }
                _ => {}
            }
            if depth + open > MAX_DEPTH {
                return self.too_deep();
            }
            self.next += 1;
            if open == 0 {
                return Ok(());
            }
        }
        self.expected("`}`")
    }

    fn too_deep<T>(&mut self) -> Parsed<T> {
        self.fault("P003", self.at(), format!("blocks are nested more than {MAX_DEPTH} deep"), "")
    }

    /// After a mistake in the statement that began at `start`: goes on behind its line, or behind
    /// the block that the line opens.
    pub(super) fn recover(&mut self, start: usize) {
        let mut depth = 0usize;
        let read = self.next.max(start).min(self.end);
        for token in &self.tokens[start..read] {
            match token.tok {
                Tok::Punct("{") => depth += 1,
                Tok::Punct("}") => depth = depth.saturating_sub(1),
                _ => {}
            }
        }
        while self.next < self.end {
            match self.peek() {
                Tok::Punct("{") => depth += 1,
                // That of the block around it.
                Tok::Punct("}") if depth == 0 => return,
                Tok::Punct("}") => depth -= 1,
                Tok::Line | Tok::Punct(";") if depth == 0 => return,
                _ => {}
            }
            self.next += 1;
        }
    }

    /// `{`, entries that `each` reads, `}`. A mistake in an entry does not end the block, and names that
    /// are defined in the block are forgotten behind it.
    pub(super) fn block(&mut self, depth: usize, each: Each<'_, 'a>) -> Parsed<()> {
        if depth == MAX_DEPTH {
            return self.too_deep();
        }
        self.punct("{")?;
        let scope = self.scope.clone();
        let done = self.entries(depth + 1, each);
        self.scope = scope;
        done
    }

    fn entries(&mut self, depth: usize, each: Each<'_, 'a>) -> Parsed<()> {
        loop {
            if self.cut.is_some() {
                return Ok(());
            }
            if self.next >= self.end {
                return self.expected("`}`");
            }
            if self.take(Tok::Line) || self.take(Tok::Punct(";")) {
                continue;
            }
            if self.take(Tok::Punct("}")) {
                return Ok(());
            }
            self.entry(depth, each);
        }
    }

    /// One entry of a block or of a file, or what generates entries.
    pub(super) fn entry(&mut self, depth: usize, each: Each<'_, 'a>) {
        let start = self.next;
        if self.step().is_err() {
            return;
        }
        let done = match self.peek() {
            Tok::Word("for") => self.repeat(depth, each),
            Tok::Word("if") if !self.at_branch() => self.choose(depth, each),
            Tok::Word("const") => self.define_const(),
            Tok::Word("def") => self.define_function(),
            _ => each(self, depth),
        };
        if done.and_then(|()| self.line_end()).is_err() {
            self.recover(start);
        }
    }
}
