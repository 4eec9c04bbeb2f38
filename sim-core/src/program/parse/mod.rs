//! The language of programs: its parser. What it means is described in `docs/PROGRAMS.md`; the form that
//! a program is printed in, which is a part of it, with the printer (`text.rs`).
//!
//! | code | what is wrong |
//! |---|---|
//! | P001 | something else was expected here |
//! | P002 | a number is out of range |
//! | P003 | the text is too large, or blocks are nested too deep |
//! | P004 | a placement names an image that does not exist, or several |
//! | P005 | a name is not known |
//! | P006 | a name is taken |
//! | P007 | an expression has no value, or a wrong one |
//! | P008 | too much is generated |
//! | P009 | a file cannot be included |
//! | P010 | there are two `program` or `grid` lines |
//! | P011 | a buffer has no place, or something outside of it is named |
//!
//! A block that `for` repeats is read once per repetition; what is read goes directly into the
//! [`Program`], so there is no other form of a program in between.
//!
//! **Invariant.** Any text gives a program or diagnostics, never a panic, in time and memory linear in
//! its size and in the number of statements that it generates, which is bounded. After a mistake, parsing
//! goes on at the next line, so all diagnostics come at once, in the order of the text.
//! **Not here.** Whether the program makes sense ([`super::verify()`]); reading files ([`Loader`]).

mod array;
mod code;
mod cursor;
mod data;
#[cfg(test)]
mod data_tests;
mod expr;
mod fit;
#[cfg(test)]
mod forms_tests;
mod function;
#[cfg(test)]
mod function_tests;
mod generate;
mod image;
#[cfg(test)]
mod language_tests;
mod layout;
mod lex;
mod memory;
mod number;
mod numbers;
mod operand;
mod place;
mod range;
mod route;
mod scalar;
mod scope;
mod source;
mod sum;
#[cfg(test)]
mod tests;
mod value;
mod values;

pub use array::Array;
pub use data::{Data, Observed};
pub use layout::format;
pub use source::{Loader, NoFiles, SourceMap};

use super::Program;
use super::verify::lints;
use crate::coord::Grid;
use crate::diag::{Diagnostic, Part};
use image::Names;
use lex::{Tok, Token, lex};
use place::Pending;
use scope::Scope;
use source::File;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use value::Value;

/// Largest text, in bytes; with all that it includes.
pub const MAX_TEXT: usize = 16 << 20;
/// Most blocks, or parentheses, inside one another.
pub const MAX_DEPTH: usize = 32;
/// Most statements, each repetition of one counted.
pub const MAX_STEPS: u64 = 1 << 20;
/// Most diagnostics that are listed.
const LISTED: usize = 100;

/// Codes of this parser with their titles, as in `docs/diagnostics.md`.
pub const RULES: [(&str, &str); 11] = [
    ("P001", "something else was expected"),
    ("P002", "number out of range"),
    ("P003", "text too large"),
    ("P004", "image name"),
    ("P005", "unknown name"),
    ("P006", "name that is taken"),
    ("P007", "expression"),
    ("P008", "too much is generated"),
    ("P009", "included file"),
    ("P010", "second program or grid line"),
    ("P011", "buffer"),
];

/// What a text is read with.
pub struct Options<'o> {
    /// Values of parameters by their names, as text: `("n", "64")`.
    pub params: &'o [(String, String)],
    /// The name of the machine that it is read for, which `arch(NAME)` asks for; none for no machine.
    pub machine: &'o str,
    /// Where included files come from.
    pub loader: &'o mut dyn Loader,
}

/// What a text says.
#[derive(Debug)]
pub struct Unit {
    /// The program that it generates.
    pub program: Program,
    /// Where each part of the program stands in the text.
    pub map: SourceMap,
    /// Numbers of a run: start values, streams, expectations.
    pub data: Data,
    /// What nobody means, and is executed as it is.
    pub warnings: Vec<Diagnostic>,
}

/// Reads a program that is in one text and has no parameters to set. `origin` names the text in
/// diagnostics, such as its path.
///
/// # Errors
/// All diagnostics, each with line and column.
pub fn parse(text: &str, origin: &str) -> Result<Program, Vec<Diagnostic>> {
    read(text, origin, Options { params: &[], machine: "", loader: &mut NoFiles }).map(|unit| unit.program)
}

/// Reads a text and all that it includes.
///
/// # Errors
/// All diagnostics, each with line and column.
pub fn read(text: &str, origin: &str, options: Options<'_>) -> Result<Unit, Vec<Diagnostic>> {
    let Options { params, machine, loader } = options;
    let (files, faults) = source::load(text, origin, loader);
    if !faults.is_empty() {
        return Err(faults);
    }
    let mut p = Parser::new(&files, (params, machine));
    p.file();
    p.finish();
    let warnings = p.warnings();
    let Parser { mut found, program, map, data, .. } = p;
    found.sort_by_key(|(at, _)| *at);
    if !found.is_empty() {
        return Err(found.into_iter().map(|(_, diagnostic)| diagnostic).collect());
    }
    Ok(Unit { program, map, data, warnings })
}

/// Why a statement ends early.
enum Stop {
    /// It could not be read; its diagnostic was recorded.
    Failed,
    /// It says nothing, as a range of no positions in it.
    Nothing,
}

type Parsed<T> = Result<T, Stop>;

struct Parser<'a> {
    files: &'a [File],
    tokens: Vec<Token<'a>>,
    /// First and last token of each file.
    ranges: Vec<(usize, usize)>,
    /// Files that were included already.
    read: Vec<bool>,
    /// Index of the next token.
    next: usize,
    /// Index behind the last token of the file that is being read.
    end: usize,
    /// Values of parameters.
    given: &'a [(String, String)],
    /// The name of the machine.
    machine: &'a str,
    /// Diagnostics with their places.
    found: Vec<(usize, Diagnostic)>,
    /// Places that have a diagnostic.
    reported: BTreeSet<usize>,
    /// Names whose definition failed.
    failed: BTreeSet<String>,
    /// Whether nothing more is read.
    given_up: bool,
    /// Statements so far.
    steps: u64,
    /// Parentheses and signs around the operand that is being read.
    nested: usize,
    /// What an expression is, for the diagnostic that there is none.
    wanted: &'static str,
    /// Names of numbers.
    scope: Scope<'a>,
    /// The function whose expression is being read.
    defining: Option<&'a str>,
    /// Whether a placement is faulty, so that nothing follows from what is placed.
    misplaced: bool,
    /// Where an image ended although its `}` is missing: the token before the next statement.
    cut: Option<usize>,
    /// Names that stand for variables in the expression that is being read.
    free: Vec<&'a str>,
    /// Names of numbers that were used.
    used: BTreeSet<String>,
    /// Names of parameters.
    params: Vec<(&'a str, usize)>,
    /// Variables of the loops around the statement, with their values.
    repeats: Vec<(&'a str, i128)>,
    /// Whether there was a `program` line.
    titled: bool,
    /// The image that is being read or placed.
    current: usize,
    /// Names in it.
    names: Names,
    /// Names in each image.
    images: Vec<Names>,
    /// Placements, which are read last.
    pending: Vec<Pending<'a>>,
    /// Expectations, which are read behind the placements.
    expectations: Vec<Pending<'a>>,
    /// Operations of the expression that is being read.
    operators: usize,
    /// Buffers that are meant to lie on others, and images that are meant to have no PE.
    meant: BTreeSet<Part>,
    /// Steps that may be meant as quotients, by their places.
    suspicious: BTreeMap<usize, Diagnostic>,
    /// Start values so far.
    valued: u64,
    /// Arrays by their names.
    arrays: BTreeMap<String, Arc<Array>>,
    program: Program,
    data: Data,
    map: SourceMap,
}

impl<'a> Parser<'a> {
    fn new(files: &'a [File], (given, machine): (&'a [(String, String)], &'a str)) -> Parser<'a> {
        let mut tokens = Vec::new();
        let mut ranges = Vec::new();
        for file in files {
            let start = tokens.len();
            tokens.extend(lex(&file.text, file.base));
            ranges.push((start, tokens.len()));
        }
        Parser {
            next: 0,
            end: ranges[0].1,
            read: (0..files.len()).map(|index| index == 0).collect(),
            map: SourceMap::of(files),
            files,
            tokens,
            ranges,
            given,
            machine,
            found: Vec::new(),
            reported: BTreeSet::new(),
            failed: BTreeSet::new(),
            given_up: false,
            steps: 0,
            nested: 0,
            wanted: "a number",
            scope: Scope::default(),
            defining: None,
            misplaced: false,
            cut: None,
            free: Vec::new(),
            used: BTreeSet::new(),
            params: Vec::new(),
            repeats: Vec::new(),
            titled: false,
            current: 0,
            names: Names::default(),
            images: Vec::new(),
            pending: Vec::new(),
            expectations: Vec::new(),
            operators: 0,
            meant: BTreeSet::new(),
            suspicious: BTreeMap::new(),
            valued: 0,
            arrays: BTreeMap::new(),
            program: Program::default(),
            data: Data::default(),
        }
    }

    /// Reads the statements of a file.
    fn file(&mut self) {
        while self.next < self.end {
            if self.take(Tok::Line) || self.take(Tok::Punct(";")) {
                continue;
            }
            if self.peek() == Tok::Punct("}") {
                let _: Parsed<()> = self.fault("P001", self.at(), "a `}` that closes nothing".to_owned(), "");
                self.next += 1;
                continue;
            }
            self.entry(0, &mut |p, depth| p.statement(depth));
        }
    }

    /// After the last statement: what refers to what may stand anywhere in the text.
    fn finish(&mut self) {
        if self.given_up {
            return;
        }
        self.place_all();
        self.expect_all();
        for (name, _) in self.given {
            if self.params.iter().any(|(known, _)| known == name) || self.failed.contains(name) {
                continue;
            }
            let known: Vec<&str> = self.params.iter().map(|(known, _)| *known).collect();
            let help = match scope::nearest(name, known.iter().copied()) {
                Some(near) => near,
                None if known.is_empty() => "the program has no `param`".to_owned(),
                None => format!("it has {}", known.join(", ")),
            };
            let message = format!("the program has no parameter `{}`", clipped(name));
            self.found.push((0, Diagnostic::new("P005", format!("--param {name}"), message).help(help)));
        }
    }

    /// What is suspicious about the program and its parameters.
    fn warnings(&self) -> Vec<Diagnostic> {
        let unused = self.params.iter().filter(|(name, _)| !self.used.contains(*name)).map(|(name, at)| {
            let message = format!("the parameter `{name}` is used nowhere, so setting it does nothing");
            self.map.diagnostic("W006", *at, message).help("use it, or remove it")
        });
        // Of images that one line generates, the first is named.
        let mut seen = BTreeSet::new();
        let mut all = self.map.located(lints(&self.program, &self.meant));
        all.retain(|d| seen.insert((d.code.clone(), d.at.clone())));
        unused.chain(self.suspicious.values().cloned()).chain(all).collect()
    }

    fn statement(&mut self, depth: usize) -> Parsed<()> {
        const KNOWN: [&str; 16] = [
            "program", "grid", "image", "place", "route", "switch", "filter", "edge", "expect", "const", "def",
            "param", "array", "for", "if", "include",
        ];
        let at = self.at();
        let Tok::Word(word) = self.peek() else { return self.expected_word(&KNOWN, "") };
        match word {
            "param" => return self.define_param(),
            "include" => return self.include(),
            "array" => return self.define_array(),
            "program" | "expect" | "grid" | "image" | "place" | "route" | "switch" | "filter" | "edge" => {
                self.next += 1
            }
            "task" | "mem" | "in" | "out" | "fifo" => {
                let help = "it belongs inside `image NAME { … }`; is there a `}` too many above?";
                return self.fault("P001", at, format!("`{word}` outside of an image"), help);
            }
            _ => return self.expected_word(&KNOWN, ""),
        }
        match word {
            "program" => self.title(at),
            "grid" => self.grid(at),
            "image" => self.image(depth, at),
            "place" => self.placement(at),
            "route" => self.route(at),
            "switch" => self.switch(at),
            "filter" => self.filter(at),
            "expect" => self.expectation(at),
            _ => self.edge(at),
        }
    }

    fn title(&mut self, at: usize) -> Parsed<()> {
        let name = self.name()?;
        if std::mem::replace(&mut self.titled, true) {
            let message = format!("a second `program` line; the program is named `{}`", clipped(&self.program.name));
            return self.fault("P010", at, message, "a file has one program; remove one of the lines");
        }
        self.program.name = name;
        Ok(())
    }

    fn grid(&mut self, at: usize) -> Parsed<()> {
        let width = self.int()?;
        let height = if self.take(Tok::Word("x")) { self.int()? } else { self.numbered('x')? };
        if let Some(grid) = self.program.grid {
            let message = format!("a second `grid` line; the grid is {grid}");
            return self.fault("P010", at, message, "a program has one grid; remove one of the lines");
        }
        self.program.grid = Some(Grid { width, height });
        self.mark(Part::Grid, at);
        for (name, size) in [("W", width), ("H", height)] {
            self.scope = self.scope.with(name, Value::Int(size.into()));
        }
        Ok(())
    }

    /// Remembers where a part of the program stands.
    fn mark(&mut self, part: Part, at: usize) {
        self.map.mark(part, at);
    }
}

/// The first characters of a text.
fn clipped(text: &str) -> &str {
    text.char_indices().nth(40).map_or(text, |(i, _)| &text[..i])
}
