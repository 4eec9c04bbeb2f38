//! Diagnostics: what is wrong with a user's input, where, and what to do about it.
//!
//! **Invariant.** A check returns all of its diagnostics at once; every code is listed in
//! `docs/diagnostics.md`.

use serde::{Deserialize, Serialize};
use std::fmt;

/// A mistake in a user's input: what is wrong, where, and what to do about it.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Diagnostic {
    /// Stable code, such as `R003`.
    pub code: String,
    /// Where: a file position, a key, a PE, a color.
    pub at: String,
    /// What is wrong, with the numbers.
    pub message: String,
    /// What to do about it; may be empty.
    pub help: String,
    /// The line of the text that it is about, and the place in it marked; empty where there is no text.
    #[serde(default, skip_serializing_if = "is_empty")]
    pub excerpt: Box<str>,
    /// The part of a program that it is about.
    #[serde(skip)]
    pub part: Option<Box<Part>>,
}

fn is_empty(text: &str) -> bool {
    text.is_empty()
}

/// A part of a program, by its place in the program's lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Part {
    /// The size of the mesh.
    Grid,
    /// An image.
    Image(usize),
    /// A buffer of an image.
    Buffer(usize, usize),
    /// A task of an image.
    Task(usize, usize),
    /// An instruction of an image's task: how many stand before it, those in loops included.
    Instr(usize, usize, usize),
    /// A placement.
    Placement(usize),
    /// A route.
    Route(usize),
    /// A switch.
    Switch(usize),
    /// A filter.
    Filter(usize),
    /// An edge stream.
    Edge(usize),
}

impl Part {
    /// What the part belongs to.
    #[must_use]
    pub fn around(self) -> Option<Part> {
        match self {
            Part::Instr(image, task, _) => Some(Part::Task(image, task)),
            Part::Task(image, _) | Part::Buffer(image, _) => Some(Part::Image(image)),
            _ => None,
        }
    }
}

impl Diagnostic {
    /// A diagnostic without advice.
    #[must_use]
    pub fn new(code: &str, at: impl fmt::Display, message: impl Into<String>) -> Diagnostic {
        Diagnostic { code: code.to_owned(), at: at.to_string(), message: message.into(), ..Diagnostic::default() }
    }

    /// Adds the line of the text that it is about.
    #[must_use]
    pub fn excerpt(mut self, excerpt: String) -> Diagnostic {
        self.excerpt = excerpt.into();
        self
    }

    /// Says which part of a program it is about.
    #[must_use]
    pub fn about(mut self, part: Option<Part>) -> Diagnostic {
        self.part = part.map(Box::new);
        self
    }

    /// Whether it is about something that is executed as it is.
    #[must_use]
    pub fn is_warning(&self) -> bool {
        self.code.starts_with('W')
    }

    /// Adds advice to the diagnostic: what the user can do about it.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Diagnostic {
        self.help = help.into();
        self
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = if self.is_warning() { "warning" } else { "error" };
        write!(f, "{kind}[{}]", self.code)?;
        if !self.at.is_empty() {
            write!(f, " {}", self.at)?;
        }
        write!(f, ": {}", self.message)?;
        for line in self.excerpt.lines() {
            write!(f, "\n  {line}")?;
        }
        if !self.help.is_empty() {
            write!(f, "\n  help: {}", self.help)?;
        }
        Ok(())
    }
}

impl std::error::Error for Diagnostic {}

/// `docs/diagnostics.md`: a section per code.
const BOOK: &str = include_str!("../../docs/diagnostics.md");

/// What a code means, with an example and a remedy; None if there is no such code.
///
/// ```
/// let text = sim_core::diag::explain("R003").expect("a code of the verifier");
/// assert!(text.starts_with("R003 two images on one PE"));
/// ```
#[must_use]
pub fn explain(code: &str) -> Option<&'static str> {
    sections().find(|s| s.split(' ').next() == Some(code))
}

/// The first sentence of what to do about a code of a letter and digits; empty if there is none.
#[must_use]
pub fn remedy(code: &str) -> &'static str {
    let text = explain(code).and_then(|text| text.split_once("**Remedy.** ")).map_or("", |(_, text)| text);
    let line = text.lines().next().unwrap_or_default();
    line.split_once(". ").map_or(line, |(first, _)| first).trim_end_matches('.')
}

/// All sections, from the code on.
fn sections() -> impl Iterator<Item = &'static str> {
    BOOK.split("\n## ").skip(1).map(str::trim_end)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{arch, program};

    #[test]
    fn every_code_is_documented_and_every_document_has_a_code() {
        let own = [("E001", "expectation that is not met")];
        let rules =
            [&program::verify::RULES[..], &program::verify::WARNINGS, &program::parse::RULES, &own, &arch::RULES]
                .concat();
        for (code, title) in &rules {
            let text = explain(code).unwrap_or_else(|| panic!("{code} is not documented"));
            assert_eq!(text.lines().next().unwrap(), format!("{code} {title}"));
            assert!(text.contains("```text") && text.contains("**Remedy.**"), "{code}");
        }
        // Other crates document their codes here as well; none is documented twice.
        let mut codes: Vec<&str> = sections().map(|s| s.split(' ').next().unwrap()).collect();
        let all = codes.len();
        codes.sort_unstable();
        codes.dedup();
        assert_eq!(codes.len(), all);
        let ours = codes.iter().filter(|c| c.starts_with(['R', 'P', 'A', 'W', 'E'])).count();
        assert_eq!(ours, rules.len());
        assert_eq!(explain("R999"), None);
        assert_eq!(explain(""), None);
    }

    #[test]
    fn a_diagnostic_says_code_place_and_advice() {
        let d = Diagnostic::new("R001", "p", "no grid").help("add one");
        assert_eq!(d.to_string(), "error[R001] p: no grid\n  help: add one");
    }
}
