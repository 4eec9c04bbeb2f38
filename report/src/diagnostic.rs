//! Codes of the diagnostics that writing a result can end with, with their meaning.
//!
//! **Invariant.** Every code is explained once in the workspace.

/// Every code of this crate, with its meaning.
pub const CODES: &[(&str, &str)] = &[
    ("cli-json", "The result cannot be written as JSON. This is a fault of wafersim: please report it."),
    (
        "cli-parquet",
        "A Parquet file needs a name (`-o FILE.parquet`); or the table cannot be written, which is a fault of wafersim.",
    ),
    ("cli-plot", "The picture cannot be drawn. This is a fault of wafersim: please report it."),
    (
        "cli-trace",
        "A trace cannot be written as asked for: it would be large (a shorter `--window`, a smaller `--region`, or `--force`), or its region has no PE, or its window no cycle.",
    ),
];

/// The meaning of `code`; None if this crate has no such code.
#[must_use]
pub fn explain(code: &str) -> Option<&'static str> {
    CODES.iter().find(|(known, _)| *known == code).map(|(_, meaning)| *meaning)
}
