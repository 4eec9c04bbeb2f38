//! The table of published cases, for people and as a page of the documentation.

use crate::validate::{Case, Cases};
use report::table::{Table, grouped};
use report::{Document, Tabular, row};
use std::fmt::Write as _;

impl Tabular for Cases {
    /// One row per case.
    fn table(&self) -> Table {
        let mut table = Table::new(&["case", "kind", "ours", "theirs", "error", "source"]);
        for c in &self.0 {
            table.row(row![c.name.as_str(), c.kind, c.ours, c.theirs, c.error, c.source]);
        }
        table
    }
}

impl Document for Cases {
    /// The table, with means of the errors, and the sources.
    fn text(&self) -> String {
        let cases = &self.0;
        let width = cases.iter().map(|c| c.name.chars().count()).max().unwrap_or(0);
        let mut out =
            format!("{:<width$} {:>9} {:>9} {:>10} {:>10}  kind\n", "case", "ours", "theirs", "error", "running");
        for c in cases {
            let (ours, theirs) = (grouped(c.ours), grouped(c.theirs));
            let _ = writeln!(
                out,
                "{:<width$} {ours:>9} {theirs:>9} {:>10} {:>10}  {}",
                c.name,
                percent(c.error),
                running(c),
                c.kind
            );
        }
        out.push_str("\nMean absolute error of each closed form\n");
        for m in means(cases) {
            let _ = writeln!(out, "  {:<20} {:>10} {:>10}", m.what, percent(m.error), percent(m.running));
        }
        out.push_str("\n`running` leaves out the cycles before the first beat, which closed forms do not count.\n");
        let mut sources: Vec<&str> = cases.iter().map(|c| c.source).collect();
        sources.dedup();
        out.push_str("\nSources\n");
        for source in sources {
            let _ = writeln!(out, "  {source}");
        }
        out
    }
}

/// The page `docs/VALIDATION.md`.
#[must_use]
pub fn page(cases: &Cases) -> String {
    let cases = &cases.0;
    // That of all cases that have one: it is the machine's.
    let start = cases.iter().map(|case| case.startup).max().unwrap_or(0);
    let mut out = format!(
        "# Validation

Published cases, executed on the preset `cs2`: cycles here, cycles there. `wafersim validate` prints this table, and `wafersim validate --page -o docs/VALIDATION.md` writes this page; a test fails when it is stale. No parameter is fitted to a case.

Every run begins with the selection of a task and the setup of its first instruction (`pe.task_dispatch` + `pe.vector_setup`, {start} cycles); the closed forms begin with the first wavelet. So there are two errors: of the whole run, and, as *running*, without these cycles, whose number is that of an executed program with one beat. The authors of the closed forms state errors of their forms against a CS-2 below 4 % for the best reduction and of 8 to 21 % for broadcasts. Broadcast and chain differ from theirs by the start alone.

Stencils and reductions with their start are programs of [examples/programs](../examples/programs/README.md), which says what is known about what is left. On `cs3` the stencils stand beside cycles of a WSE-3: `wafersim validate --arch cs3`.

In the star, every PE sends a control wavelet behind its vector that turns its router's switch to the next PE; the closed form counts none. Its error is this one wavelet per PE.

The ring all-reduce takes twice as long as its closed form: a PE has one issue slot per cycle, and every wavelet that it passes on needs two, one to take it (and add) and one to send it. The closed form counts only what crosses the links.

| closed form | mean error | running |
|---|---:|---:|
"
    );
    for m in means(cases) {
        let _ = writeln!(out, "| {} | {} | {} |", m.what, percent(m.error), percent(m.running));
    }
    out.push_str("\n| case | ours | theirs | error | running | kind | source |\n|---|---:|---:|---:|---:|---|---|\n");
    for c in cases {
        let (error, running) = (percent(c.error), running(c));
        let _ = writeln!(
            out,
            "| {} | {} | {} | {error} | {running} | {} | {} |",
            c.name, c.ours, c.theirs, c.kind, c.source
        );
    }
    out
}

/// Absolute errors of the cases of one closed form, in the mean.
struct Mean<'a> {
    what: &'a str,
    error: f64,
    running: f64,
}

/// One for each closed form, in the order of the cases.
fn means(cases: &[Case]) -> Vec<Mean<'_>> {
    let form = |c: &Case| c.name.split(" of ").next().unwrap_or("").len();
    let closed: Vec<&Case> = cases.iter().filter(|c| c.startup > 0).collect();
    let groups = closed.chunk_by(|a, b| a.name[..form(a)] == b.name[..form(b)]);
    let mean = |of: &[&Case], error: fn(&Case) -> f64| of.iter().map(|c| error(c).abs()).sum::<f64>() / of.len() as f64;
    groups
        .map(|g| Mean {
            what: &g[0].name[..form(g[0])],
            error: mean(g, |c| c.error),
            running: mean(g, |c| c.error_running),
        })
        .collect()
}

/// The error without the start, where that is another one.
fn running(c: &Case) -> String {
    if c.startup == 0 { String::new() } else { percent(c.error_running) }
}

fn percent(error: f64) -> String {
    format!("{:+.2} %", 100.0 * error)
}
