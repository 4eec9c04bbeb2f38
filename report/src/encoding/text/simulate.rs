//! The report of one program as text and as CSV.

use super::run::verified;
use crate::simulate::SimulateReport;
use crate::table::{Table, grouped, percent};
use std::fmt::Write as _;

/// When each PE finished, if that is listed, or the counters in one row.
#[must_use]
pub fn csv(r: &SimulateReport) -> String {
    if let Some(finish) = &r.finish {
        let mut table = Table::new(&["x", "y", "finish"]);
        finish.iter().for_each(|(x, y, cycle)| table.row(vec![x.to_string(), y.to_string(), cycle.to_string()]));
        return table.csv();
    }
    let mut table = Table::new(&["cycles", "compute", "wait", "back_pressure", "idle", "macs", "wavelet_hops"]);
    let p = r.pe_cycles;
    let row = [r.cycles, p.compute, p.wait, p.back_pressure, p.idle, r.macs, r.wavelet_hops];
    table.row(row.map(|n| n.to_string()).to_vec());
    table.csv()
}

/// The whole report.
#[must_use]
pub fn text(r: &SimulateReport) -> String {
    let (p, total) = (r.pe_cycles, r.pe_cycles.total());
    let mut out = format!("{}: {} cycles on {}\n", r.program, grouped(r.cycles), r.arch.name);
    let _ = writeln!(
        out,
        "  PE-cycles      {} % compute, {} % wait, {} % back-pressure, {} % idle",
        percent(p.compute, total),
        percent(p.wait, total),
        percent(p.back_pressure, total),
        percent(p.idle, total)
    );
    let _ = writeln!(out, "  multiply-adds  {}", grouped(r.macs));
    let _ = writeln!(out, "  link crossings {}", grouped(r.wavelet_hops));
    for fold in &r.folds {
        let _ = match fold.kind.as_str() {
            fabric::fold::NONE => writeln!(out, "  {}", fold.text),
            kind => writeln!(out, "  folded, {kind}: {}", fold.text),
        };
    }
    r.fold_verification.iter().for_each(|v| out += &verified(v));
    for (x, y, cycle) in r.finish.iter().flatten() {
        let _ = writeln!(out, "  PE ({x}, {y}) finished at {cycle}");
    }
    if let Some(values) = &r.values {
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
