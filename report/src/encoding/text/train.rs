//! A training run's report as text and as CSV.

use crate::common::ByConvention;
use crate::table::{Table, grouped, si};
use crate::train::{PhaseReport, TrainReport};
use std::fmt::Write as _;

/// The phases, one row each.
#[must_use]
pub fn csv(report: &TrainReport) -> String {
    phases(report, |n| n.to_string()).csv()
}

fn phases(report: &TrainReport, number: impl Fn(u64) -> String) -> Table {
    let mut table = Table::new(&[
        "phase",
        "systems",
        "batch",
        "micro-batch",
        "accumulation",
        "steps",
        "tokens",
        "step s",
        "days",
        "rate at start",
        "at end",
        "bound by",
    ]);
    for (i, p) in report.phases.iter().enumerate() {
        table.row(row(i, p, &number));
    }
    table
}

fn row(i: usize, p: &PhaseReport, number: &impl Fn(u64) -> String) -> Vec<String> {
    let rate = |end: usize| p.learning_rate.map(|r| format!("{:.3e}", r[end])).unwrap_or_default();
    vec![
        (i + 1).to_string(),
        p.systems.to_string(),
        p.batch.to_string(),
        p.micro_batch.to_string(),
        p.step.micro_batches.to_string(),
        number(p.steps),
        number(p.tokens),
        format!("{:.4}", p.step.step_seconds),
        format!("{:.3}", days(p.seconds)),
        rate(0),
        rate(1),
        super::run::bound(&p.step),
    ]
}

/// Seconds as days.
pub(super) fn days(seconds: f64) -> f64 {
    seconds / 86_400.0
}

/// The whole report.
#[must_use]
pub fn text(r: &TrainReport) -> String {
    let t = &r.total;
    let mut out = format!(
        "Training {} on {}, {}: {} parameters, {} steps, {} tokens of {} ({:.2} per parameter)\n\n",
        r.model.name,
        r.arch.name,
        r.plan,
        grouped(r.model.parameters),
        grouped(t.steps),
        grouped(t.tokens),
        r.model.seq_len,
        t.tokens_per_parameter
    );
    out += &phases(r, grouped).text();
    let _ = writeln!(out, "\nTime           {:.3} days, {:.1} system-hours", days(t.seconds), t.system_hours);
    out += &flops(&t.flops, &t.utilisation);
    let _ = writeln!(
        out,
        "Energy         at most {} kWh: {} W per system ({}); servers are not in it",
        grouped(t.energy_at_peak_kwh.ceil() as u64),
        grouped(u64::from(t.system_watts)),
        t.power_source
    );
    out += &loss(r);
    for p in &r.learning_rate {
        let [from, to] = p.tokens.map(grouped);
        let _ =
            writeln!(out, "Learning rate  {:.3e} to {:.3e}, {}, tokens {from} to {to}", p.rate[0], p.rate[1], p.shape);
    }
    let mut table = Table::new(&["  assumed", "value", "because"]);
    for a in &r.assumed {
        table.row(vec![format!("  {}", a.parameter), a.value.clone(), a.because.clone()]);
    }
    let _ = write!(out, "\nNo public source\n{}", table.text());
    out
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
