//! What can be wrong with a model description: the codes of this crate's diagnostics.
//!
//! A function of this crate that checks a description returns every diagnostic that it finds, not the first one. A
//! diagnostic's place ([`Diagnostic::at`]) is the field or JSON key that it concerns, such as `heads` or `n_embd`, and
//! empty where it concerns the whole text.
//!
//! **Invariant.** Every diagnostic of this crate has a code that [`CODES`] lists.
//! **Not here.** File names and lines: whoever read the file adds them.

use sim_core::diag::Diagnostic;

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

/// A diagnostic: its code (one of [`CODES`]), the field or JSON key that it concerns, what is wrong, with the numbers, and
/// what would be right (may be empty).
pub(crate) fn of(
    code: &str,
    key: impl Into<String>,
    message: impl Into<String>,
    help: impl Into<String>,
) -> Diagnostic {
    assert!(explain(code).is_some(), "diagnostic code {code} is not listed in CODES");
    Diagnostic {
        code: code.to_owned(),
        at: key.into(),
        message: message.into(),
        help: help.into(),
        ..Diagnostic::default()
    }
}

/// Whether the input was refused by a limit of resources, rather than for being wrong.
#[must_use]
pub fn is_limit(diagnostic: &Diagnostic) -> bool {
    diagnostic.code.ends_with("-limit")
}

/// The meaning of `code` in one or two sentences; `None` if this crate has no such code.
#[must_use]
pub fn explain(code: &str) -> Option<&'static str> {
    CODES.iter().find(|(known, _)| *known == code).map(|(_, meaning)| *meaning)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_diagnostic_prints_code_key_message_and_help() {
        let zero = of("model-zero", "layers", "is 0", "at least 1");
        assert_eq!(zero.to_string(), "error[model-zero] layers: is 0\n  help: at least 1");
        assert!(!is_limit(&zero));
        assert!(is_limit(&of("hf-size-limit", "", "x", "")));
        assert_eq!(explain("no-such-code"), None);
    }
}
