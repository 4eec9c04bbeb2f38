//! Measured and executed throughputs, for people and as a table.

use crate::throughput::{ESTIMATED, Row, ThroughputReport};
use report::table::{Table, grouped};

fn percent(share: f64) -> String {
    format!("{:.1}", 100.0 * share)
}

fn row(r: &Row) -> Vec<String> {
    vec![
        r.model.to_owned(),
        r.batch.to_string(),
        r.micro_batch.to_string(),
        grouped(r.cycles),
        format!("{:.2}", r.ours),
        format!("{:.2}", r.theirs),
        format!("{:+.1}", 100.0 * r.error),
        r.epoch.map_or_else(String::new, |e| format!("{:+.1}", 100.0 * e.error)),
        percent(r.recompute),
        percent(r.pes_in_use),
    ]
}

fn table(report: &ThroughputReport) -> Table {
    let mut table = Table::new(&[
        "model",
        "batch",
        "micro-batch",
        "cycles",
        "samples/s",
        "measured",
        "error %",
        "by epochs %",
        "recompute %",
        "PEs in use %",
    ]);
    report.rows.iter().for_each(|r| table.row(row(r)));
    table
}

/// For people.
#[must_use]
pub fn text(report: &ThroughputReport) -> String {
    let mut out = table(report).text();
    if !report.sensitivity.is_empty() {
        let mut moved = Table::new(&["model", "batch", "with", "samples/s", "change %"]);
        for m in &report.sensitivity {
            moved.row(vec![
                m.model.to_owned(),
                m.batch.to_string(),
                m.set.clone(),
                format!("{:.2}", m.samples_per_second),
                format!("{:+.2}", 100.0 * m.change),
            ]);
        }
        out += "\nAssumed numbers, moved one at a time\n";
        out += &moved.text();
    }
    if !report.kernels.is_empty() {
        let (model, tokens) = ESTIMATED;
        let mut kernels = Table::new(&["operation", "MACs/PE/cycle", "estimated", "error %"]);
        for k in &report.kernels {
            let numbers = [format!("{:.2}", k.ours), format!("{:.2}", k.theirs), format!("{:+.1}", 100.0 * k.error)];
            kernels.row([vec![k.operation.to_owned()], numbers.to_vec()].concat());
        }
        out += &format!(
            "\nWhat the vendor's compiler estimates of kernels: {model} at {tokens} tokens, forward and backward\n"
        );
        out += &kernels.text();
    }
    for failed in &report.failed {
        out += &format!("\nnot executed: {failed}");
    }
    let mut sources: Vec<&str> = report.rows.iter().map(|r| r.source).collect();
    sources.extend(report.kernels.iter().map(|k| k.source));
    sources.dedup();
    if let Some(epoch) = report.rows.iter().find_map(|r| r.epoch) {
        out += &format!(
            "\nBy epochs: where the source gives the time of an epoch of {} samples, of which the last step is not full\n",
            grouped(epoch.samples)
        );
    }
    out += "\nSources\n";
    sources.iter().for_each(|s| out += &format!("  {s}\n"));
    out
}

/// One line per measurement.
#[must_use]
pub fn csv(report: &ThroughputReport) -> String {
    table(report).csv()
}
