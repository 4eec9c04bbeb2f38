//! The table of published cases, for people and as a page of the documentation.

use super::table::grouped;
use crate::validate::Case;
use std::fmt::Write as _;

/// For people.
#[must_use]
pub fn text(cases: &[Case]) -> String {
    let width = cases.iter().map(|c| c.name.chars().count()).max().unwrap_or(0);
    let mut out = format!("{:<width$} {:>9} {:>9} {:>8}  kind\n", "case", "ours", "theirs", "error");
    for c in cases {
        let (ours, theirs) = (grouped(c.ours), grouped(c.theirs));
        let _ = writeln!(out, "{:<width$} {ours:>9} {theirs:>9} {:>8}  {}", c.name, error(c), c.kind);
    }
    let mut sources: Vec<&str> = cases.iter().map(|c| c.source).collect();
    sources.dedup();
    out.push_str("\nSources\n");
    for source in sources {
        let _ = writeln!(out, "  {source}");
    }
    out
}

/// The page `docs/VALIDATION.md`.
#[must_use]
pub fn page(cases: &[Case]) -> String {
    let mut out = "# Validation

Published cases, executed on the preset `cs2`: cycles here, cycles there. `wafersim validate` prints this table, and `wafersim validate --page -o docs/VALIDATION.md` writes this page; a test fails when it is stale. No parameter is fitted to a case.

Every run begins with the selection of a task and the setup of its first instruction (`pe.task_dispatch` + `pe.vector_setup`, 9 cycles); the closed forms begin with the first wavelet. So the errors of short collectives are large. The authors of the closed forms state errors below 4 % for reductions and of 8 to 21 % for broadcasts against a CS-2.

The ring all-reduce takes twice as long as its closed form: a PE has one issue slot per cycle, and every wavelet that it passes on needs two, one to take it (and add) and one to send it. The closed form counts only what crosses the links.

| case | ours | theirs | error | kind | source |
|---|---:|---:|---:|---|---|
"
    .to_owned();
    for c in cases {
        let _ = writeln!(out, "| {} | {} | {} | {} | {} | {} |", c.name, c.ours, c.theirs, error(c), c.kind, c.source);
    }
    out
}

fn error(c: &Case) -> String {
    format!("{:+.2} %", 100.0 * c.error)
}
