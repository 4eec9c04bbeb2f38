//! Diagnostics: what is wrong with a user's input, where, and what to do about it.
//!
//! **Invariant.** A check returns all of its diagnostics at once; every code is listed in
//! `docs/diagnostics.md`.

use serde::{Deserialize, Serialize};
use std::fmt;

/// A mistake in a user's input: what is wrong, where, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Diagnostic {
    /// Stable code, such as `R003`.
    pub code: String,
    /// Where: a file position, a key, a PE, a color.
    pub at: String,
    /// What is wrong, with the numbers.
    pub message: String,
    /// What to do about it; may be empty.
    pub help: String,
}

impl Diagnostic {
    /// A diagnostic without advice.
    #[must_use]
    pub fn new(code: &str, at: impl fmt::Display, message: impl Into<String>) -> Diagnostic {
        Diagnostic { code: code.to_owned(), at: at.to_string(), message: message.into(), help: String::new() }
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
        write!(f, "error[{}]", self.code)?;
        if !self.at.is_empty() {
            write!(f, " {}", self.at)?;
        }
        write!(f, ": {}", self.message)?;
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
        let rules = [&program::verify::RULES[..], &program::parse::RULES, &arch::RULES].concat();
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
        let ours = codes.iter().filter(|c| c.starts_with(['R', 'P', 'A'])).count();
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
