//! What can be wrong with a model description, as data.
//!
//! Invariant: every fault carries a code listed in [`CODES`], the key it concerns, the numbers, and
//! a way out. Functions of this crate return all faults they find, not the first.
//! Deliberately not here: file names and lines; whoever read the file adds them.

use std::error::Error;
use std::fmt;

/// Every code that this crate reports, with its meaning in one or two sentences.
pub const CODES: &[(&str, &str)] = &[
    ("model-zero", "A size of the model is zero; every size must be at least 1."),
    (
        "model-heads",
        "The attention heads do not divide the hidden size, so no head size exists; or the heads of keys and values do not divide the heads of queries.",
    ),
    ("model-scale", "A factor of the logits is given for a model whose logits are not those of a language model."),
    (
        "model-rotary",
        "The features of a head that rotary positions rotate are not an even number of those that it has.",
    ),
    (
        "model-size-limit",
        "A size of the model, or the parameter count that follows from the sizes, is beyond what any real model has; it is refused before anything is allocated.",
    ),
    ("model-unknown", "No preset has this name, and it is not the path of a config.json."),
    ("hf-size-limit", "The config.json is larger than 1 MiB; real ones have a few kilobytes."),
    ("hf-json", "The text is not a JSON object."),
    ("hf-missing", "A key that the import needs is absent."),
    ("hf-value", "A key has a value of the wrong type or outside its range."),
    (
        "hf-unsupported",
        "The config.json describes an operation or a model family that the simulator does not have; it is refused rather than replaced by a similar one.",
    ),
    ("step-zero", "The batch or the sequence length of a step is zero."),
    ("step-positions", "The sequence is longer than the model's table of position embeddings."),
    ("step-size-limit", "The step is too large to be built as a graph."),
    ("graph-shape", "A tensor of a layer graph does not fit the operation that makes or uses it."),
];

/// One fault in a model description.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelFault {
    /// Which rule is broken; one of [`CODES`].
    pub code: &'static str,
    /// The field or JSON key it concerns, such as `heads` or `n_embd`; empty for the whole text.
    pub key: String,
    /// What is wrong, with the numbers.
    pub message: String,
    /// What would be right; may be empty.
    pub help: String,
}

impl ModelFault {
    pub(crate) fn new(
        code: &'static str,
        key: impl Into<String>,
        message: impl Into<String>,
        help: impl Into<String>,
    ) -> Self {
        assert!(explain(code).is_some(), "fault code {code} is not listed in CODES");
        Self { code, key: key.into(), message: message.into(), help: help.into() }
    }

    /// Whether the input was refused by a resource limit rather than for being wrong.
    #[must_use]
    pub fn is_limit(&self) -> bool {
        self.code.ends_with("-limit")
    }
}

/// The meaning of `code`, or `None` if this crate has no such code.
#[must_use]
pub fn explain(code: &str) -> Option<&'static str> {
    CODES.iter().find(|(known, _)| *known == code).map(|(_, meaning)| *meaning)
}

impl fmt::Display for ModelFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{}] ", self.code)?;
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        f.write_str(&self.message)?;
        if !self.help.is_empty() {
            write!(f, " (help: {})", self.help)?;
        }
        Ok(())
    }
}

impl Error for ModelFault {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_prints_code_key_message_and_help() {
        let fault = ModelFault::new("model-zero", "layers", "is 0", "at least 1");
        assert_eq!(fault.to_string(), "[model-zero] layers: is 0 (help: at least 1)");
        assert!(!fault.is_limit());
        assert!(ModelFault::new("hf-size-limit", "", "x", "").is_limit());
        assert_eq!(explain("no-such-code"), None);
    }
}
