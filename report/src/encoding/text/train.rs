//! A training run's report as text and as CSV.

use crate::common::ByConvention;
use crate::format::{Document, Tabular};
use crate::row;
use crate::table::{Cell, Table, grouped, si};
use crate::train::{PhaseReport, TrainReport};
use std::fmt::Write as _;

impl Tabular for TrainReport {
    /// The phases, one row each.
    fn table(&self) -> Table {
        let mut table = Table::with_units(&[
            ("phase", ""),
            ("systems", ""),
            ("batch", ""),
            ("micro-batch", ""),
            ("accumulation", ""),
            ("steps", ""),
            ("tokens", ""),
            ("step", "s"),
            ("days", ""),
            ("rate at start", ""),
            ("at end", ""),
            ("bound by", ""),
        ]);
        for (i, p) in self.phases.iter().enumerate() {
            table.row(cells(i, p));
        }
        table
    }
}

fn cells(i: usize, p: &PhaseReport) -> Vec<Cell> {
    let rate = |end: usize| p.learning_rate.map(|r| Cell::Shown(format!("{:.3e}", r[end])));
    row![
        i + 1,
        p.systems,
        p.batch,
        p.micro_batch,
        p.step.micro_batches,
        Cell::Count(p.steps),
        Cell::Count(p.tokens),
        Cell::fixed(p.step.step_seconds, 4),
        Cell::fixed(days(p.seconds), 3),
        rate(0),
        rate(1),
        super::run::bound(&p.step),
    ]
}

/// Seconds as days.
fn days(seconds: f64) -> f64 {
    seconds / 86_400.0
}

impl Document for TrainReport {
    /// The whole report.
    fn text(&self) -> String {
        let t = &self.total;
        let mut out = format!(
            "Training {} on {}, {}: {} parameters, {} steps, {} tokens of {} ({:.2} per parameter)\n\n",
            self.model.name,
            self.arch.name,
            self.plan,
            grouped(self.model.parameters),
            grouped(t.steps),
            grouped(t.tokens),
            self.model.seq_len,
            t.tokens_per_parameter
        );
        out += &Tabular::table(self).text();
        let _ = writeln!(out, "\nTime           {:.3} days, {:.1} system-hours", days(t.seconds), t.system_hours);
        out += &flops(&t.flops, &t.utilisation);
        let _ = writeln!(
            out,
            "Energy         at most {} kWh: {} W per system ({}); servers are not in it",
            grouped(t.energy_at_peak_kwh.ceil() as u64),
            grouped(u64::from(t.system_watts)),
            t.power_source
        );
        out += &loss(self);
        for p in &self.learning_rate {
            let [from, to] = p.tokens.map(grouped);
            let _ = writeln!(
                out,
                "Learning rate  {:.3e} to {:.3e}, {}, tokens {from} to {to}",
                p.rate[0], p.rate[1], p.shape
            );
        }
        let mut table = Table::new(&["  assumed", "value", "because"]);
        for a in &self.assumed {
            table.row(row![format!("  {}", a.parameter), a.value.clone(), a.because.clone()]);
        }
        let _ = write!(out, "\nNo public source\n{}", table.text());
        out
    }
}

fn flops(flops: &ByConvention, utilisation: &ByConvention) -> String {
    let one = |name: &str, f: f64, u: f64| format!("{} by {name} ({:.1} % of the peak)", si(f, "FLOP"), 100.0 * u);
    format!(
        "FLOPs          {}, {}, {}\n",
        one("Cerebras' count", flops.cerebras, utilisation.cerebras),
        one("PaLM's", flops.palm, utilisation.palm),
        one("6N", flops.six_n, utilisation.six_n)
    )
}

fn loss(r: &TrainReport) -> String {
    let l = &r.loss;
    let published = match (l.published, l.residual) {
        (Some(loss), Some(residual)) => format!("; published {loss:.3}, the law is off by {:+.2} %", 100.0 * residual),
        _ => String::new(),
    };
    format!("Loss           {:.4} expected by {}{published}\n               ({})\n", l.expected, l.law, l.source)
}
