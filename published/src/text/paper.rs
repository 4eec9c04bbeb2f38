//! The published runs beside what is simulated, as text and as CSV.

use super::scaling::failed;
use crate::paper::{Comparison, PaperReport};
use report::table::Table;
use std::fmt::Write as _;

/// All rows.
#[must_use]
pub fn csv(report: &PaperReport) -> String {
    let mut table = Table::new(&["model", "quantity", "paper", "simulated", "error", "kind", "ours", "source"]);
    let plain = |v: Option<f64>| v.map(|v| v.to_string()).unwrap_or_default();
    for run in &report.runs {
        for c in &run.rows {
            let mut row = vec![run.model.clone(), c.quantity.to_owned()];
            row.extend([plain(c.paper), plain(c.simulated), plain(c.error)]);
            row.extend([c.kind, c.ours, c.source].map(str::to_owned));
            table.row(row);
        }
    }
    table.csv()
}

/// The whole report.
#[must_use]
pub fn text(report: &PaperReport) -> String {
    let mut out = format!("The published runs of Cerebras-GPT on {}\n", report.arch);
    for run in &report.runs {
        let phases: Vec<String> = run
            .train
            .phases
            .iter()
            .map(|p| {
                format!(
                    "{} steps of {:.4} s at batch {} on {} systems",
                    p.steps, p.step.step_seconds, p.batch, p.systems
                )
            })
            .collect();
        let mut table = Table::new(&["  quantity", "paper", "simulated", "error %", "theirs", "ours"]);
        for c in &run.rows {
            table.row(row(c));
        }
        let _ = write!(out, "\n{}: {}\n{}", run.model, phases.join(", then "), table.text());
    }
    let mut sources: Vec<&str> =
        report.runs.iter().flat_map(|r| &r.rows).map(|c| c.source).filter(|s| !s.is_empty()).collect();
    sources.sort_unstable();
    sources.dedup();
    out.push_str("\nSources\n");
    for source in sources {
        let _ = writeln!(out, "  {source}");
    }
    out + &failed(&report.failed)
}

fn row(c: &Comparison) -> Vec<String> {
    let shown = |v: Option<f64>| v.map_or_else(|| "-".to_owned(), number);
    vec![
        format!("  {}", c.quantity),
        shown(c.paper),
        shown(c.simulated),
        c.error.map_or_else(|| "-".to_owned(), |e| format!("{:+.3}", 100.0 * e)),
        c.kind.to_owned(),
        c.ours.to_owned(),
    ]
}

/// A number as people read it: whole ones in full, small ones with three digits behind the point.
fn number(v: f64) -> String {
    if v >= 1e15 {
        format!("{v:.4e}")
    } else if v.fract() == 0.0 {
        report::table::grouped(v as u64)
    } else if v >= 1e6 {
        report::table::grouped(v.round() as u64)
    } else {
        format!("{v:.3}")
    }
}
