//! The texts that a program is read from, and where in them a part of the program stands.
//!
//! **Invariant.** All texts lie one behind the other: a byte's place among all of them says its file, line
//! and column.
//! **Not here.** Reading files: who calls gives a [`Loader`].

use super::array::Array;
use super::lex::{Tok, lex};
use super::{MAX_TEXT, clipped};
use crate::diag::{Diagnostic, Part};
use std::collections::BTreeMap;
use std::sync::Arc;

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

    /// The array in the file that is written as `path` in the file `from`.
    ///
    /// # Errors
    /// Why there is no array, in a sentence.
    fn array(&mut self, path: &str, from: &str) -> Result<Array, String>;
}

/// For texts that include nothing.
#[derive(Debug, Clone, Copy)]
pub struct NoFiles;

impl Loader for NoFiles {
    fn text(&mut self, _: &str, _: &str) -> Result<(String, String), String> {
        Err("no files can be read here".to_owned())
    }

    fn array(&mut self, _: &str, _: &str) -> Result<Array, String> {
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
    /// Arrays that it names, with their paths as they are written.
    pub(super) arrays: Vec<(String, Arc<Array>)>,
}

impl File {
    fn new(name: String, text: String, base: usize) -> File {
        File { name, text, base, includes: Vec::new(), arrays: Vec::new() }
    }
}

/// Reads a text and all that it includes, each file once, and the arrays that they name.
pub(super) fn load(text: &str, origin: &str, loader: &mut dyn Loader) -> (Vec<File>, Vec<Diagnostic>) {
    let mut files = vec![File::new(origin.to_owned(), text.to_owned(), 0)];
    let mut faults = Vec::new();
    let mut next = 0;
    while next < files.len() && faults.is_empty() {
        let total: usize = files.iter().map(|f| f.text.len()).sum();
        if total > MAX_TEXT || files.len() > MAX_FILES {
            let message = format!(
                "the text has {total} bytes in {} files; at most {MAX_TEXT} bytes in {MAX_FILES} files are read",
                files.len()
            );
            faults.push(Diagnostic::new("P003", &files[next].name, message));
            break;
        }
        for (named, path, at) in named(&files[next].text) {
            let read = match named {
                Named::Text => include(&mut files, next, &path, loader),
                Named::Array => loader.array(&path, &files[next].name).map(|array| {
                    files[next].arrays.push((path.clone(), Arc::new(array)));
                }),
            };
            if let Err(why) = read {
                let (map, at) = (SourceMap::of(&files), files[next].base + at);
                let message = format!("\"{}\" cannot be read: {why}", clipped(&path));
                let excerpt = map.excerpt(at, path.chars().count() + 2);
                faults.push(Diagnostic::new("P009", map.place(at), message).excerpt(excerpt));
            }
        }
        next += 1;
    }
    (files, faults)
}

/// Reads a file that another one includes, unless it was read before.
fn include(files: &mut Vec<File>, from: usize, path: &str, loader: &mut dyn Loader) -> Result<(), String> {
    let (name, text) = loader.text(path, &files[from].name)?;
    let index = files.iter().position(|f| f.name == name).unwrap_or_else(|| {
        let base = files.last().map_or(0, |f| f.base + f.text.len() + 1);
        files.push(File::new(name, text, base));
        files.len() - 1
    });
    files[from].includes.push((path.to_owned(), index));
    Ok(())
}

/// What a file is named for.
enum Named {
    Text,
    Array,
}

/// The paths behind `include` and `array NAME =` at the start of statements, with their places in the text.
fn named(text: &str) -> Vec<(Named, String, usize)> {
    if !text.contains("include") && !text.contains("array") {
        return Vec::new();
    }
    let tokens = lex(text, 0);
    let first = |i: usize| i == 0 || matches!(tokens[i - 1].tok, Tok::Line | Tok::Punct(";" | "{"));
    let statements = (0..tokens.len()).filter(|&i| first(i)).filter_map(|i| {
        let tok = |n: usize| tokens.get(i + n).map_or(Tok::Line, |t| t.tok);
        let (named, path) = match (tok(0), tok(1), tok(2), tok(3)) {
            (Tok::Word("include"), Tok::Quoted(path), ..) => ((Named::Text, 1), path),
            (Tok::Word("array"), Tok::Word(_), Tok::Punct("="), Tok::Quoted(path)) => ((Named::Array, 3), path),
            _ => return None,
        };
        Some((named.0, path.to_owned(), tokens[i + named.1].at))
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

    /// What stands between two bytes of a file.
    pub(super) fn text(&self, from: usize, to: usize) -> &str {
        let file = &self.files[self.file_of(from)];
        file.text.get(from - file.base..to - file.base).unwrap_or_default()
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

    /// A diagnostic about what stands at a byte.
    pub(super) fn diagnostic(&self, code: &str, at: usize, message: String) -> Diagnostic {
        Diagnostic::new(code, self.place(at), message).excerpt(self.excerpt(at, usize::MAX))
    }

    /// Adds to diagnostics of the verifier where the part that they are about stands.
    #[must_use]
    pub fn located(&self, diagnostics: Vec<Diagnostic>) -> Vec<Diagnostic> {
        diagnostics.into_iter().map(|d| self.locate(d)).collect()
    }

    fn locate(&self, diagnostic: Diagnostic) -> Diagnostic {
        let Some(&at) = diagnostic.part.as_deref().and_then(|part| self.find(part)) else { return diagnostic };
        let place = match diagnostic.at.as_str() {
            "" => self.place(at),
            what => format!("{}: {what}", self.place(at)),
        };
        let excerpt = self.excerpt(at, usize::MAX);
        Diagnostic { at: place, ..diagnostic }.excerpt(excerpt)
    }

    /// File and line (from 1) of a part, or else of what it belongs to.
    #[must_use]
    pub fn line_of(&self, part: &Part) -> Option<(&str, usize)> {
        let (file, line, _) = self.line(*self.find(part)?);
        Some((&file.name, line))
    }

    /// Where a part, or else what it belongs to, stands.
    fn find(&self, part: &Part) -> Option<&usize> {
        self.parts.get(part).or_else(|| self.find(&part.around()?))
    }
}
