//! The report of one program as text and as CSV.

use super::run::verified;
use crate::format::{Document, Tabular};
use crate::profile;
use crate::row;
use crate::simulate::SimulateReport;
use crate::table::{Table, grouped, percent};
use std::fmt::Write as _;

impl Tabular for SimulateReport {
    /// When each PE finished, if that is listed; the profile, if there is one; or the counters in one row.
    fn table(&self) -> Table {
        if let Some(finish) = &self.finish {
            let mut table = Table::new(&["x", "y", "finish"]);
            finish.iter().for_each(|(x, y, cycle)| table.row(row![*x, *y, *cycle]));
            return table;
        }
        if let Some(rows) = &self.profile {
            return profile::table(rows);
        }
        let mut table = Table::new(&["cycles", "compute", "wait", "back_pressure", "idle", "macs", "wavelet_hops"]);
        let p = self.pe_cycles;
        table.row(row![self.cycles, p.compute, p.wait, p.back_pressure, p.idle, self.macs, self.wavelet_hops]);
        table
    }
}

impl Document for SimulateReport {
    /// The whole report.
    fn text(&self) -> String {
        let (p, total) = (self.pe_cycles, self.pe_cycles.total());
        let mut out = format!("{}: {} cycles on {}\n", self.program, grouped(self.cycles), self.arch.name);
        self.stopped.iter().for_each(|why| out += &format!("  stopped        {why}\n"));
        let _ = writeln!(
            out,
            "  PE-cycles      {} % compute, {} % wait, {} % back-pressure, {} % idle",
            percent(p.compute, total),
            percent(p.wait, total),
            percent(p.back_pressure, total),
            percent(p.idle, total)
        );
        let _ = writeln!(out, "  multiply-adds  {}", grouped(self.macs));
        let _ = writeln!(out, "  link crossings {}", grouped(self.wavelet_hops));
        for fold in &self.folds {
            let _ = match fold.kind.as_str() {
                fabric::fold::NONE | fabric::VALUES => writeln!(out, "  {}", fold.text),
                kind => writeln!(out, "  folded, {kind}: {}", fold.text),
            };
        }
        self.fold_verification.iter().for_each(|v| out += &verified(v));
        for (x, y, cycle) in self.finish.iter().flatten() {
            let _ = writeln!(out, "  PE ({x}, {y}) finished at {cycle}");
        }
        if let Some(rows) = &self.profile {
            out += &indented(&profile::summary(rows).text());
        }
        if let Some(values) = &self.values {
            for b in &values.buffers {
                let _ = writeln!(out, "  PE ({}, {}) {} = {:?}", b.x, b.y, b.name, b.values);
            }
            for e in &values.edges {
                let words: Vec<String> = e.words.iter().map(|w| format!("{w:#010x}")).collect();
                let _ = writeln!(out, "  edge {} port {}: {}", e.stream, e.port, words.join(" "));
            }
        }
        out
    }
}

/// Lines, two spaces in.
fn indented(text: &str) -> String {
    text.lines().map(|line| format!("  {line}\n")).collect()
}
