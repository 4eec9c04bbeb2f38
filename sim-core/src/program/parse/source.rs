//! The texts that a program is read from, and where in them a part of the program stands.
//!
//! **Invariant.** All texts lie one behind the other: a byte's place among all of them says its file, line
//! and column.
//! **Not here.** Reading files: who calls gives a [`Loader`].

use super::lex::{Tok, lex};
use super::{MAX_TEXT, clipped};
use crate::diag::{Diagnostic, Part};
use std::collections::BTreeMap;

/// Most files of a program.
const MAX_FILES: usize = 64;

/// Where included files come from.
pub trait Loader {
    /// The text of the file that is written as `path` in the file `from`, and a name for it: the same name
    /// for the same file, however it is written.
    ///
    /// # Errors
    /// Why there is no text, in a sentence.
    fn text(&mut self, path: &str, from: &str) -> Result<(String, String), String>;
}

/// For texts that include nothing.
#[derive(Debug, Clone, Copy)]
pub struct NoFiles;

impl Loader for NoFiles {
    fn text(&mut self, _: &str, _: &str) -> Result<(String, String), String> {
        Err("no files can be read here".to_owned())
    }
}

/// One text.
#[derive(Debug, Clone)]
pub(super) struct File {
    pub(super) name: String,
    pub(super) text: String,
    /// Place of its first byte among all texts.
    pub(super) base: usize,
    /// What it includes: the path as it is written, and the file.
    pub(super) includes: Vec<(String, usize)>,
}

/// Reads a text and all that it includes, each file once.
pub(super) fn load(text: &str, origin: &str, loader: &mut dyn Loader) -> (Vec<File>, Vec<Diagnostic>) {
    let file = |name: String, text: String, base| File { name, text, base, includes: Vec::new() };
    let mut files = vec![file(origin.to_owned(), text.to_owned(), 0)];
    let mut faults = Vec::new();
    let mut next = 0;
    while next < files.len() && faults.is_empty() {
        let total: usize = files.iter().map(|f| f.text.len()).sum();
        if total > MAX_TEXT {
            let message = format!("the text has {total} bytes; at most {MAX_TEXT} are read");
            faults.push(Diagnostic::new("P003", &files[next].name, message));
            break;
        }
        for (path, at) in included(&files[next].text) {
            let index = match loader.text(&path, &files[next].name) {
                Ok((name, text)) => files.iter().position(|f| f.name == name).unwrap_or_else(|| {
                    let base = files.last().map_or(0, |f| f.base + f.text.len() + 1);
                    files.push(file(name, text, base));
                    files.len() - 1
                }),
                Err(why) => {
                    let map = SourceMap::of(&files);
                    let at = files[next].base + at;
                    let message = format!("\"{}\" cannot be included: {why}", clipped(&path));
                    let excerpt = map.excerpt(at, path.len() + 2);
                    faults.push(Diagnostic::new("P009", map.place(at), message).excerpt(excerpt));
                    continue;
                }
            };
            if files.len() > MAX_FILES {
                let message = format!("more than {MAX_FILES} files are included");
                faults.push(Diagnostic::new("P003", origin, message));
                break;
            }
            files[next].includes.push((path, index));
        }
        next += 1;
    }
    (files, faults)
}

/// The paths behind `include` at the start of lines, with their places in the text.
fn included(text: &str) -> Vec<(String, usize)> {
    if !text.contains("include") {
        return Vec::new();
    }
    let tokens = lex(text, 0);
    let statements = tokens.windows(2).enumerate().filter_map(|(i, pair)| {
        let first = i == 0 || matches!(tokens[i - 1].tok, Tok::Line | Tok::Punct(";" | "{"));
        match (pair[0].tok, pair[1].tok) {
            (Tok::Word("include"), Tok::Quoted(path)) if first => Some((path.to_owned(), pair[1].at)),
            _ => None,
        }
    });
    statements.collect()
}

/// Where each part of a program stands in the texts that it was read from.
#[derive(Debug, Clone, Default)]
pub struct SourceMap {
    files: Vec<Source>,
    parts: BTreeMap<Part, usize>,
}

#[derive(Debug, Clone)]
struct Source {
    name: String,
    text: String,
    base: usize,
    /// Bytes of the text at which lines begin.
    lines: Vec<usize>,
}

impl SourceMap {
    pub(super) fn of(files: &[File]) -> SourceMap {
        let source = |f: &File| Source {
            name: f.name.clone(),
            lines: std::iter::once(0).chain(f.text.match_indices('\n').map(|(i, _)| i + 1)).collect(),
            text: f.text.clone(),
            base: f.base,
        };
        SourceMap { files: files.iter().map(source).collect(), parts: BTreeMap::new() }
    }

    /// Remembers where a part stands.
    pub(super) fn mark(&mut self, part: Part, at: usize) {
        self.parts.insert(part, at);
    }

    /// Names of the files that were read, the first one included.
    pub fn files(&self) -> impl Iterator<Item = &str> {
        self.files.iter().map(|f| f.name.as_str())
    }

    /// Index of the file of a byte.
    pub(super) fn file_of(&self, at: usize) -> usize {
        self.files.partition_point(|f| f.base <= at).saturating_sub(1)
    }

    /// File, line (from 1) and byte of its start.
    fn line(&self, at: usize) -> (&Source, usize, usize) {
        let file = &self.files[self.file_of(at)];
        let byte = (at - file.base).min(file.text.len());
        let line = file.lines.partition_point(|&start| start <= byte);
        (file, line, byte)
    }

    /// `FILE:LINE:COLUMN` of a byte.
    pub(super) fn place(&self, at: usize) -> String {
        let (file, line, byte) = self.line(at);
        let column = file.text[file.lines[line - 1]..byte].chars().count() + 1;
        format!("{}:{line}:{column}", file.name)
    }

    /// The line of a byte, with a mark under the next `width` bytes.
    pub(super) fn excerpt(&self, at: usize, width: usize) -> String {
        const MOST: usize = 100;
        let (file, line, byte) = self.line(at);
        let start = file.lines[line - 1];
        let text = file.text[start..].lines().next().unwrap_or_default();
        let clean: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        let (before, from) = (file.text[start..byte].chars().count(), clean.chars().count());
        // A long line is shown from a little before the place on.
        let skip = if from > MOST { before.saturating_sub(MOST / 2) } else { 0 };
        let shown: String = clean.chars().skip(skip).take(MOST).collect();
        let marks = width.clamp(1, MOST.min(from.saturating_sub(before).max(1)));
        let number = line.to_string();
        let gap = " ".repeat(number.len());
        format!("{number} | {}\n{gap} | {}{}", shown.trim_end(), " ".repeat(before - skip), "^".repeat(marks))
    }

    /// Adds to diagnostics of the verifier where the part that they are about stands.
    #[must_use]
    pub fn located(&self, diagnostics: Vec<Diagnostic>) -> Vec<Diagnostic> {
        diagnostics.into_iter().map(|d| self.locate(d)).collect()
    }

    fn locate(&self, diagnostic: Diagnostic) -> Diagnostic {
        let Some(&at) = diagnostic.part.as_ref().and_then(|part| self.find(part)) else { return diagnostic };
        let place = match diagnostic.at.as_str() {
            "" => self.place(at),
            what => format!("{}: {what}", self.place(at)),
        };
        let excerpt = self.excerpt(at, usize::MAX);
        Diagnostic { at: place, ..diagnostic }.excerpt(excerpt)
    }

    /// Where a part, or else what it belongs to, stands.
    fn find(&self, part: &Part) -> Option<&usize> {
        self.parts.get(part).or_else(|| self.find(&part.around()?))
    }
}
