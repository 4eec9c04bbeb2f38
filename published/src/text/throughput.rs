//! Measured and executed throughputs, for people and as a table.

use crate::throughput::{ESTIMATED, Row, ThroughputReport};
use report::table::{Cell, Table, grouped};
use report::{Document, Tabular, row};

fn cells(r: &Row) -> Vec<Cell> {
    row![
        r.model,
        r.batch,
        r.micro_batch,
        Cell::Grouped(r.cycles),
        Cell::fixed(r.ours, 2),
        Cell::fixed(r.theirs, 2),
        Cell::signed(100.0 * r.error, 1),
        r.epoch.map(|e| Cell::signed(100.0 * e.error, 1)),
        Cell::fixed(100.0 * r.recompute, 1),
        Cell::fixed(100.0 * r.pes_in_use, 1),
    ]
}

impl Tabular for ThroughputReport {
    /// One row per measurement.
    fn table(&self) -> Table {
        let mut table = Table::with_units(&[
            ("model", ""),
            ("batch", ""),
            ("micro-batch", ""),
            ("cycles", ""),
            ("samples/s", ""),
            ("measured", ""),
            ("error", "%"),
            ("by epochs", "%"),
            ("recompute", "%"),
            ("PEs in use", "%"),
        ]);
        self.rows.iter().for_each(|r| table.row(cells(r)));
        table
    }
}

impl Document for ThroughputReport {
    /// The table, with what else was asked for, and the sources.
    fn text(&self) -> String {
        let mut out = Tabular::table(self).text();
        if !self.sensitivity.is_empty() {
            let mut moved = Table::new(&["model", "batch", "with", "samples/s", "change %"]);
            for m in &self.sensitivity {
                let (rate, change) = (Cell::fixed(m.samples_per_second, 2), Cell::signed(100.0 * m.change, 2));
                moved.row(row![m.model, m.batch, m.set.clone(), rate, change]);
            }
            out += "\nAssumed numbers, moved one at a time\n";
            out += &moved.text();
        }
        if !self.kernels.is_empty() {
            let (model, tokens) = ESTIMATED;
            let mut kernels = Table::new(&["operation", "MACs/PE/cycle", "estimated", "error %"]);
            for k in &self.kernels {
                let error = Cell::signed(100.0 * k.error, 1);
                kernels.row(row![k.operation, Cell::fixed(k.ours, 2), Cell::fixed(k.theirs, 2), error]);
            }
            out += &format!(
                "\nWhat the vendor's compiler estimates of kernels: {model} at {tokens} tokens, forward and backward\n"
            );
            out += &kernels.text();
        }
        for failed in &self.failed {
            out += &format!("\nnot executed: {failed}");
        }
        let mut sources: Vec<&str> = self.rows.iter().map(|r| r.source).collect();
        sources.extend(self.kernels.iter().map(|k| k.source));
        sources.dedup();
        if let Some(epoch) = self.rows.iter().find_map(|r| r.epoch) {
            out += &format!(
                "\nBy epochs: where the source gives the time of an epoch of {} samples, of which the last step is not full\n",
                grouped(epoch.samples)
            );
        }
        out += "\nSources\n";
        sources.iter().for_each(|s| out += &format!("  {s}\n"));
        out
    }
}
