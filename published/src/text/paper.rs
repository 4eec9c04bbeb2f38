//! The published runs beside what is simulated, as text and as CSV.

use super::scaling::failed;
use crate::paper::{Comparison, PaperReport};
use report::table::{Cell, Table, grouped};
use report::{Document, Tabular, row};
use std::fmt::Write as _;

impl Tabular for PaperReport {
    /// All rows of all runs.
    fn table(&self) -> Table {
        let mut table = Table::new(&["model", "quantity", "paper", "simulated", "error", "kind", "ours", "source"]);
        for run in &self.runs {
            for c in &run.rows {
                let model = run.model.as_str();
                table.row(row![model, c.quantity, c.paper, c.simulated, c.error, c.kind, c.ours, c.source]);
            }
        }
        table
    }
}

impl Document for PaperReport {
    /// The whole report.
    fn text(&self) -> String {
        let mut out = format!("The published runs of Cerebras-GPT on {}\n", self.arch);
        for run in &self.runs {
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
                table.row(cells(c));
            }
            let _ = write!(out, "\n{}: {}\n{}", run.model, phases.join(", then "), table.text());
        }
        let mut sources: Vec<&str> =
            self.runs.iter().flat_map(|r| &r.rows).map(|c| c.source).filter(|s| !s.is_empty()).collect();
        sources.sort_unstable();
        sources.dedup();
        out.push_str("\nSources\n");
        for source in sources {
            let _ = writeln!(out, "  {source}");
        }
        out + &failed(&self.failed)
    }
}

fn cells(c: &Comparison) -> Vec<Cell> {
    let shown = |v: Option<f64>| v.map_or_else(|| "-".to_owned(), number);
    let error = c.error.map_or(Cell::from("-"), |e| Cell::signed(100.0 * e, 3));
    row![format!("  {}", c.quantity), shown(c.paper), shown(c.simulated), error, c.kind, c.ours]
}

/// A number as people read it: whole ones in full, small ones with three digits behind the point.
fn number(v: f64) -> String {
    if v >= 1e15 {
        format!("{v:.4e}")
    } else if v.fract() == 0.0 {
        grouped(v as u64)
    } else if v >= 1e6 {
        grouped(v.round() as u64)
    } else {
        format!("{v:.3}")
    }
}
