//! Loss and gradients of a step as text and as a table.

use crate::row;
use crate::table::{Cell, Table};
use crate::values::{StepValues, TensorValues};
use std::fmt::Write as _;

/// The loss, then a row per gradient.
#[must_use]
pub fn table(values: &StepValues) -> Table {
    let mut table = Table::new(&["name", "shape", "norm", "max_error", "rms_error"]);
    let off = loss_error(values);
    table.row(row!["loss", "", values.loss, off, off]);
    for t in &values.tensors {
        table.row(row![t.name.as_str(), dimensions(t, "x"), t.norm, t.max_error, t.rms_error]);
    }
    table
}

/// The section of the report.
#[must_use]
pub fn text(values: &StepValues) -> String {
    let mut out = format!(
        "\nValues (seed {}): every kernel took the cycles with values that it takes without\n  loss {:.6}, in f64 {:.6}: relative difference {:.2e}\n",
        values.seed,
        values.loss,
        values.loss_f64,
        loss_error(values)
    );
    let mut table = Table::new(&["  gradient of", "shape", "norm", "largest error", "RMS error"]);
    for t in &values.tensors {
        let [max, rms] = [t.max_error, t.rms_error].map(|e| format!("{e:.2e}"));
        table.row(row![format!("  {}", t.name), dimensions(t, " × "), Cell::fixed(t.norm, 6), max, rms]);
    }
    let _ = write!(out, "{}", table.text());
    out += "  errors are relative to the largest element of a gradient in f64, and to its root mean square\n";
    out
}

/// The difference of the losses, relative to that in f64.
fn loss_error(values: &StepValues) -> f64 {
    (values.loss - values.loss_f64).abs() / values.loss_f64
}

fn dimensions(tensor: &TensorValues, by: &str) -> String {
    let sizes: Vec<String> = tensor.shape.iter().map(ToString::to_string).collect();
    sizes.join(by)
}
