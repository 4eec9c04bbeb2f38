//! The text form of a program: the parser. The form is described with the printer (`text.rs`).
//!
//! | code | what is wrong |
//! |---|---|
//! | P001 | something else was expected here |
//! | P002 | a number is out of range |
//! | P003 | the text is too large, or blocks are nested too deep |
//! | P004 | a placement names an image that does not exist, or several |
//!
//! **Invariant.** Any text gives a program or diagnostics, never a panic, in time and memory linear in
//! its size. After a mistake, parsing goes on at the next line, so all diagnostics come at once.
//! **Not here.** Whether the program makes sense ([`super::verify()`]).

mod code;
mod lex;
mod route;
#[cfg(test)]
mod tests;

use super::{Buffer, DType, Fifo, Image, Param, Placement, Program, Task, Trigger};
use crate::coord::{Color, Grid, Region, Span};
use crate::diag::Diagnostic;
use lex::{Tok, Token, lex, unescape};

/// Largest text, in bytes.
pub const MAX_TEXT: usize = 16 << 20;
/// Most blocks inside one another.
pub const MAX_DEPTH: usize = 32;
/// Most diagnostics that are listed.
const LISTED: usize = 100;

/// Codes of this parser with their titles, as in `docs/diagnostics.md`.
pub const RULES: [(&str, &str); 4] = [
    ("P001", "something else was expected"),
    ("P002", "number out of range"),
    ("P003", "text too large"),
    ("P004", "image name"),
];

/// Reads the text form. `origin` names the text in diagnostics, such as its path.
///
/// # Errors
/// All diagnostics, each with line and column.
pub fn parse(text: &str, origin: &str) -> Result<Program, Vec<Diagnostic>> {
    if text.len() > MAX_TEXT {
        let message = format!("the text has {} bytes; at most {MAX_TEXT} are read", text.len());
        return Err(vec![Diagnostic::new("P003", origin, message)]);
    }
    let mut p = Parser { text, origin, tokens: lex(text), next: 0, diagnostics: Vec::new(), lines: Vec::new() };
    let mut program = Program::default();
    let mut places = Vec::new();
    while p.next < p.tokens.len() {
        let start = p.next;
        if p.statement(&mut program, &mut places).is_err() {
            p.recover(start);
        }
    }
    p.resolve(&mut program, places);
    if p.diagnostics.is_empty() { Ok(program) } else { Err(p.diagnostics) }
}

/// The marker of a statement that could not be read; its diagnostic was recorded.
struct Failed;

type Parsed<T> = Result<T, Failed>;

/// An image as a placement names it, and where.
enum ImageName {
    Number(u32),
    Name(String, usize),
}

struct Parser<'a> {
    text: &'a str,
    origin: &'a str,
    tokens: Vec<Token<'a>>,
    /// Index of the next token.
    next: usize,
    diagnostics: Vec<Diagnostic>,
    /// Byte offsets of line starts; made for the first diagnostic.
    lines: Vec<usize>,
}

impl<'a> Parser<'a> {
    fn peek(&self) -> Tok<'a> {
        self.tokens.get(self.next).map_or(Tok::Line, |t| t.tok)
    }

    fn at(&self) -> usize {
        self.tokens.get(self.next).map_or(self.text.len(), |t| t.at)
    }

    fn report(&mut self, code: &str, at: usize, message: String) {
        if self.lines.is_empty() {
            self.lines = std::iter::once(0).chain(self.text.match_indices('\n').map(|(i, _)| i + 1)).collect();
        }
        if self.diagnostics.len() < LISTED {
            let line = self.lines.partition_point(|&start| start <= at);
            let column = self.text[self.lines[line - 1]..at].chars().count() + 1;
            self.diagnostics.push(Diagnostic::new(code, format!("{}:{line}:{column}", self.origin), message));
        }
    }

    /// Records that something else was expected at the next token.
    fn expected<T>(&mut self, what: &str) -> Parsed<T> {
        let found = match self.peek() {
            Tok::Line => "the end of the line".to_owned(),
            Tok::Word(s) | Tok::Number(s) | Tok::Punct(s) => format!("`{}`", clipped(s)),
            Tok::Quoted(s) => format!("\"{}\"", clipped(s)),
            Tok::Bad(s) if s.starts_with('"') => "a text without an end".to_owned(),
            Tok::Bad(s) => format!("{s:?}"),
        };
        self.report("P001", self.at(), format!("expected {what}, found {found}"));
        Err(Failed)
    }

    fn take(&mut self, tok: Tok<'_>) -> bool {
        let found = self.peek() == tok;
        self.next = (self.next + usize::from(found)).min(self.tokens.len());
        found
    }

    fn punct(&mut self, punct: &str) -> Parsed<()> {
        if self.take(Tok::Punct(punct)) { Ok(()) } else { self.expected(&format!("`{punct}`")) }
    }

    fn keyword(&mut self, word: &str) -> Parsed<()> {
        if self.take(Tok::Word(word)) { Ok(()) } else { self.expected(&format!("`{word}`")) }
    }

    fn line_end(&mut self) -> Parsed<()> {
        if self.take(Tok::Line) { Ok(()) } else { self.expected("the end of the line") }
    }

    /// One of the words that stand for values.
    fn one_of<T: Copy>(&mut self, all: &[T], name: impl Fn(T) -> &'static str) -> Parsed<T> {
        if let Tok::Word(word) = self.peek()
            && let Some(&value) = all.iter().find(|&&v| name(v) == word)
        {
            self.next += 1;
            return Ok(value);
        }
        let names: Vec<&str> = all.iter().map(|&v| name(v)).collect();
        self.expected(&names.join(", "))
    }

    fn name(&mut self) -> Parsed<String> {
        let name = match self.peek() {
            Tok::Word(word) => Some(word.to_owned()),
            Tok::Quoted(text) => unescape(text),
            _ => None,
        };
        match name {
            Some(name) => {
                self.next += 1;
                Ok(name)
            }
            None => self.expected("a name"),
        }
    }

    /// A whole number, with a sign if the type has one.
    fn int<T: TryFrom<i128>>(&mut self) -> Parsed<T> {
        let at = self.at();
        let negative = self.take(Tok::Punct("-"));
        let Tok::Number(digits) = self.peek() else { return self.expected("a whole number") };
        if !digits.bytes().all(|b| b.is_ascii_digit()) {
            return self.expected("a whole number");
        }
        self.next += 1;
        self.fits(if negative { format!("-{digits}") } else { digits.to_owned() }, at)
    }

    fn fits<T: TryFrom<i128>>(&mut self, digits: String, at: usize) -> Parsed<T> {
        if let Some(value) = digits.parse::<i128>().ok().and_then(|v| T::try_from(v).ok()) {
            return Ok(value);
        }
        self.report("P002", at, format!("{} is out of range", clipped(&digits)));
        Err(Failed)
    }

    /// A word made of a letter and a number, such as `q3`.
    fn numbered<T: TryFrom<i128>>(&mut self, letter: char) -> Parsed<T> {
        if let Tok::Word(word) = self.peek()
            && let Some(digits) = word.strip_prefix(letter)
            && !digits.is_empty()
            && digits.bytes().all(|b| b.is_ascii_digit())
        {
            let at = self.at();
            self.next += 1;
            return self.fits(digits.to_owned(), at);
        }
        self.expected(&format!("`{letter}` with a number"))
    }

    fn color(&mut self) -> Parsed<Color> {
        let at = self.at();
        let n: u8 = self.numbered('c')?;
        if let Some(color) = Color::new(n) {
            return Ok(color);
        }
        self.report("P002", at, format!("there is no color {n}; the last one is c{}", Color::MAX - 1));
        Err(Failed)
    }

    fn float(&mut self) -> Parsed<u32> {
        let sign = if self.take(Tok::Punct("-")) { "-" } else { "" };
        let bits = match self.peek() {
            Tok::Number(n) if n.starts_with("0x") && sign.is_empty() => u32::from_str_radix(&n[2..], 16).ok(),
            Tok::Number(n) => format!("{sign}{n}").parse().ok().filter(|v: &f32| v.is_finite()).map(f32::to_bits),
            Tok::Word("inf") => Some(if sign.is_empty() { f32::INFINITY } else { f32::NEG_INFINITY }.to_bits()),
            _ => None,
        };
        match bits {
            Some(bits) => {
                self.next += 1;
                Ok(bits)
            }
            None => self.expected("a number in the range of binary32, or its bits as 0x…"),
        }
    }

    fn span(&mut self, axis: &str) -> Parsed<Span> {
        self.keyword(axis)?;
        self.punct("=")?;
        let at = self.at();
        let start: u32 = self.int()?;
        if !self.take(Tok::Punct("..")) {
            return Ok(Span::one(start));
        }
        let end: u64 = self.int()?;
        let step: u32 = if self.take(Tok::Punct("/")) { self.int()? } else { 1 };
        let count = end.checked_sub(u64::from(start)).filter(|&len| len > 0 && step > 0 && end <= 1 << 32);
        match count.map(|len| len.div_ceil(u64::from(step))).and_then(|n| u32::try_from(n).ok()) {
            Some(count) => Ok(Span { start, count, step }),
            None => {
                self.report("P002", at, format!("no positions, or too many: {start}..{end}/{step}"));
                Err(Failed)
            }
        }
    }

    fn region(&mut self) -> Parsed<Region> {
        Ok(Region { x: self.span("x")?, y: self.span("y")? })
    }

    fn statement(&mut self, program: &mut Program, places: &mut Vec<ImageName>) -> Parsed<()> {
        match self.peek() {
            Tok::Line => {}
            Tok::Word("program") => {
                self.next += 1;
                program.name = self.name()?;
            }
            Tok::Word("grid") => {
                self.next += 1;
                let width = self.int()?;
                let height = if self.take(Tok::Word("x")) { self.int()? } else { self.numbered('x')? };
                program.grid = Some(Grid { width, height });
            }
            Tok::Word("image") => {
                self.next += 1;
                let image = self.image()?;
                program.images.push(image);
            }
            Tok::Word("place") => {
                self.next += 1;
                let (name, placement) = self.placement()?;
                program.placements.push(placement);
                places.push(name);
            }
            Tok::Word("route") => {
                self.next += 1;
                let route = self.route()?;
                program.routes.push(route);
            }
            Tok::Word("switch") => {
                self.next += 1;
                let switch = self.switch()?;
                program.switches.push(switch);
            }
            Tok::Word("filter") => {
                self.next += 1;
                let filter = self.filter()?;
                program.filters.push(filter);
            }
            Tok::Word("edge") => {
                self.next += 1;
                let edge = self.edge()?;
                program.edges.push(edge);
            }
            _ => return self.expected("program, grid, image, place, route, switch, filter or edge"),
        }
        self.line_end()
    }

    /// After a mistake in the statement that began at `start`: goes on behind its line, or behind
    /// the block that the line opens.
    fn recover(&mut self, start: usize) {
        let mut depth = 0usize;
        for token in &self.tokens[start..self.next.max(start)] {
            match token.tok {
                Tok::Punct("{") => depth += 1,
                Tok::Punct("}") => depth = depth.saturating_sub(1),
                _ => {}
            }
        }
        while self.next < self.tokens.len() {
            let tok = self.peek();
            self.next += 1;
            match tok {
                Tok::Punct("{") => depth += 1,
                Tok::Punct("}") => depth = depth.saturating_sub(1),
                Tok::Line if depth == 0 => return,
                _ => {}
            }
        }
    }

    fn image(&mut self) -> Parsed<Image> {
        let mut image = Image { name: self.name()?, ..Image::default() };
        self.block(0, |p, depth| {
            match p.peek() {
                Tok::Word("in") => {
                    p.next += 1;
                    let bound = (p.numbered('q')?, p.color()?);
                    image.inputs.push(bound);
                }
                Tok::Word("out") => {
                    p.next += 1;
                    let bound = (p.numbered('q')?, p.color()?);
                    image.outputs.push(bound);
                }
                Tok::Word("mem") => {
                    p.next += 1;
                    let buffer = p.buffer()?;
                    image.buffers.push(buffer);
                }
                Tok::Word("fifo") => {
                    p.next += 1;
                    let fifo = p.fifo()?;
                    image.fifos.push(fifo);
                }
                Tok::Word("task") => {
                    p.next += 1;
                    let task = p.task(depth)?;
                    image.tasks.push(task);
                }
                _ => return p.expected("in, out, mem, fifo, task or `}`"),
            }
            Ok(())
        })?;
        Ok(image)
    }

    /// `{`, lines that `each` reads, `}`. A mistake in a line does not end the block.
    fn block(&mut self, depth: usize, mut each: impl FnMut(&mut Self, usize) -> Parsed<()>) -> Parsed<()> {
        if depth == MAX_DEPTH {
            self.report("P003", self.at(), format!("blocks are nested more than {MAX_DEPTH} deep"));
            return Err(Failed);
        }
        self.punct("{")?;
        loop {
            if self.take(Tok::Line) {
                if self.next >= self.tokens.len() {
                    return self.expected("`}`");
                }
                continue;
            }
            if self.take(Tok::Punct("}")) {
                return Ok(());
            }
            let start = self.next;
            if each(self, depth + 1).and_then(|()| self.line_end()).is_err() {
                self.recover(start);
                if self.next >= self.tokens.len() {
                    return self.expected("`}`");
                }
            }
        }
    }

    /// Name, type, elements and address of a piece of memory.
    fn piece(&mut self) -> Parsed<(String, DType, u32, u32)> {
        let name = self.name()?;
        let dtype = self.dtype()?;
        self.punct("[")?;
        let len = self.int()?;
        self.punct("]")?;
        self.punct("@")?;
        Ok((name, dtype, len, self.int()?))
    }

    fn fifo(&mut self) -> Parsed<Fifo> {
        let (name, dtype, len, addr) = self.piece()?;
        Ok(Fifo { name, addr, dtype, len })
    }

    fn buffer(&mut self) -> Parsed<Buffer> {
        let (name, dtype, len, addr) = self.piece()?;
        let mut init = Vec::new();
        if self.take(Tok::Punct("=")) {
            init.push(self.float()?);
            while self.take(Tok::Punct(",")) {
                init.push(self.float()?);
            }
        }
        Ok(Buffer { name, addr, dtype, len, init })
    }

    fn task(&mut self, depth: usize) -> Parsed<Task> {
        let name = self.name()?;
        let trigger = if self.take(Tok::Word("local")) {
            Trigger::Local
        } else if self.take(Tok::Word("data")) {
            Trigger::Data(self.color()?, self.data_reg()?)
        } else if self.take(Tok::Word("control")) {
            Trigger::Control(self.int()?)
        } else if self.take(Tok::Word("teardown")) {
            Trigger::Teardown(self.color()?)
        } else {
            return self.expected("local, data, control or teardown");
        };
        let active = self.take(Tok::Word("active"));
        let blocked = self.take(Tok::Word("blocked"));
        let body = self.body(depth)?;
        Ok(Task { name, trigger, active, blocked, body })
    }

    fn placement(&mut self) -> Parsed<(ImageName, Placement)> {
        let at = self.at();
        let image =
            if self.take(Tok::Punct("#")) { ImageName::Number(self.int()?) } else { ImageName::Name(self.name()?, at) };
        let region = self.region()?;
        let mut params = Vec::new();
        while self.peek() != Tok::Line {
            params.push(self.param()?);
        }
        Ok((image, Placement { region, image: 0, params }))
    }

    fn param(&mut self) -> Parsed<Param> {
        let reg = self.addr_reg()?;
        self.punct("=")?;
        let mut param = Param::constant(reg, self.int()?);
        for axis in ["x", "y"] {
            let start = self.next;
            let minus = self.peek() == Tok::Punct("-");
            if !minus && !self.take(Tok::Punct("+")) {
                break;
            }
            let change = self.int()?;
            self.punct("*")?;
            if !self.take(Tok::Word(axis)) {
                if axis == "x" && self.peek() == Tok::Word("y") {
                    self.next = start;
                    continue;
                }
                return self.expected(axis);
            }
            let period = if self.take(Tok::Punct("%")) { self.int()? } else { u32::MAX };
            match axis {
                "x" => (param.dx, param.mod_x) = (change, period),
                _ => (param.dy, param.mod_y) = (change, period),
            }
        }
        Ok(param)
    }

    /// Puts image numbers in place of names.
    fn resolve(&mut self, program: &mut Program, places: Vec<ImageName>) {
        let mut numbers = std::collections::BTreeMap::<&str, Vec<u32>>::new();
        for (i, image) in program.images.iter().enumerate() {
            numbers.entry(&image.name).or_default().push(i as u32);
        }
        for (placement, image) in program.placements.iter_mut().zip(places) {
            placement.image = match image {
                ImageName::Number(n) => n,
                ImageName::Name(name, at) => match numbers.get(name.as_str()).map(Vec::as_slice) {
                    Some(&[one]) => one,
                    found => {
                        let count = found.map_or(0, <[u32]>::len);
                        self.report("P004", at, format!("there are {count} images with the name {:?}", clipped(&name)));
                        continue;
                    }
                },
            };
        }
    }
}

/// The first characters of a text.
fn clipped(text: &str) -> &str {
    text.char_indices().nth(40).map_or(text, |(i, _)| &text[..i])
}
