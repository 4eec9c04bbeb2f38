//! Scaling over systems as text and as CSV.

use crate::scaling::{Bend, Curve, Failed, ModelScaling, ScalingReport};
use report::table::{Cell, Table};
use report::{Document, Tabular, row};
use std::fmt::Write as _;

impl Tabular for ScalingReport {
    /// All rows of all curves.
    fn table(&self) -> Table {
        let mut table = table(true);
        for m in &self.models {
            for (kind, curve) in [("weak", &m.weak), ("strong", &m.strong)] {
                curve.iter().for_each(|curve| rows(&mut table, &m.model, kind, curve));
            }
        }
        table
    }
}

/// A table of curves; `kind`: with a column for the kind of scaling.
fn table(kind: bool) -> Table {
    let mut columns = vec![("model", "")];
    if kind {
        columns.push(("scaling", ""));
    }
    columns.extend([("systems", ""), ("batch", ""), ("micro-batch", ""), ("step", "s"), ("samples/s", "")]);
    columns.extend([("speedup", ""), ("efficiency", "%"), ("bound by", "")]);
    Table::with_units(&columns)
}

fn rows(table: &mut Table, model: &str, kind: &str, curve: &Curve) {
    for r in &curve.rows {
        let mut cells = row![model];
        if !kind.is_empty() {
            cells.push(kind.into());
        }
        cells.extend(row![
            r.systems,
            r.batch,
            r.micro_batch,
            Cell::fixed(r.step.step_seconds, 6),
            Cell::fixed(r.samples_per_second, 2),
            Cell::fixed(r.speedup, 4),
            Cell::fixed(100.0 * r.efficiency, 3),
            report::encoding::text::run::bound(&r.step),
        ]);
        table.row(cells);
    }
}

/// One of a model's curves.
type Pick = fn(&ModelScaling) -> Option<&Curve>;

impl Document for ScalingReport {
    /// The whole report.
    fn text(&self) -> String {
        let mut out = String::new();
        let weak: Pick = |m| m.weak.as_ref();
        let strong: Pick = |m| m.strong.as_ref();
        for (title, pick) in [
            ("Weak scaling: every system has the same share of the batch", weak),
            ("Strong scaling: the batch of the published run is shared by more systems", strong),
        ] {
            if self.models.iter().all(|m| pick(m).is_none()) {
                continue;
            }
            let mut table = table(false);
            let mut bends = String::new();
            for m in &self.models {
                let Some(curve) = pick(m) else { continue };
                rows(&mut table, &m.model, "", curve);
                let _ = writeln!(bends, "  {:<20} {}", m.model, bend(&curve.bend));
            }
            let _ = write!(out, "{title} ({})\n{}\nWhere and why it bends\n{bends}\n", self.arch, table.text());
        }
        let _ = writeln!(out, "Published: {}", self.claim);
        out + &failed(&self.failed)
    }
}

/// A model's largest numbers of systems in a line, for somebody who waits.
#[must_use]
pub fn line(m: &ModelScaling) -> String {
    let curve = |(name, curve): (&str, &Option<Curve>)| {
        let last = curve.as_ref()?.rows.last()?;
        Some(format!(
            "{name} scaling {:.2} samples/s on {} systems, {:.2} % of ideal",
            last.samples_per_second,
            last.systems,
            100.0 * last.efficiency
        ))
    };
    let curves: Vec<String> = [("weak", &m.weak), ("strong", &m.strong)].into_iter().filter_map(curve).collect();
    format!("  {}: {}", m.model, curves.join("; "))
}

/// Models that could not be executed.
pub(super) fn failed(failed: &[Failed]) -> String {
    let mut out = String::new();
    for f in failed {
        let _ = writeln!(out, "Not executed: {}: {}", f.model, f.faults.join("; "));
    }
    out
}

fn bend(b: &Bend) -> String {
    let lost = format!("{:.2} % lost, most to {}", 100.0 * b.lost, reason(b));
    match b.systems {
        Some(n) => format!("from {n} systems on: {lost}"),
        None => format!("by less than a hundredth; at {} systems {lost}", b.at),
    }
}

fn reason(b: &Bend) -> String {
    let what = match b.cause {
        cluster::Cause::Compute => "kernels, which lose efficiency with smaller shares",
        cluster::Cause::Weights => "weights on their way",
        cluster::Cause::Gradients => "gradients on their way",
        cluster::Cause::Optimizer => "the optimizer",
        cluster::Cause::Activations => "what every system has alone",
    };
    let (scale, unit) = if b.seconds < 1e-3 { (1e6, "µs") } else { (1e3, "ms") };
    format!("{what} ({:.3} {unit} a step)", scale * b.seconds)
}
