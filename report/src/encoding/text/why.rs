//! What bounds a step or a program, as text and as CSV.

use crate::format::{Document, Tabular};
use crate::row;
use crate::table::{Cell, Table, grouped};
use crate::why::{Answer, ProgramAnswer};

/// Most kernels in the text.
const KERNELS: usize = 24;

impl Tabular for Answer {
    /// All kernels.
    fn table(&self) -> Table {
        kernels(self, usize::MAX)
    }
}

impl Document for Answer {
    /// The limits, and the longest kernels.
    fn text(&self) -> String {
        let mut table = Table::new(&["  limit", "costs %", "step without it, s", "wait", "back-pressure", "lifted"]);
        for l in &self.limits {
            table.row(row![
                format!("  {}", l.limit),
                Cell::fixed(100.0 * l.saved, 2),
                Cell::fixed(l.step_seconds, 6),
                change(l.wait),
                change(l.back_pressure),
                l.text.clone(),
            ]);
        }
        format!(
            "{}\n\nThe step takes {:.6} s ({} cycles of a wafer). Lifting one limit at a time:\n{}\nWhat bounds the kernels: cycles that each limit costs, in % of the kernel\n{}\nEvery number is an execution of the same kernels on a machine without the limit. They do not add up:\nbehind a lifted limit stands the next one. A link carries one wavelet per cycle on any machine.\n",
            self.command,
            self.step_seconds,
            grouped(self.step_cycles),
            table.text(),
            kernels(self, KERNELS).text()
        )
    }
}

/// A number with a limit and without it, as a change.
fn change([with, without]: [u64; 2]) -> String {
    match with {
        0 => "-".to_owned(),
        with if without / with >= 10 => format!("x {}", grouped(without / with)),
        with => format!("{:+.1} %", 100.0 * (without as f64 / with as f64 - 1.0)),
    }
}

impl Tabular for ProgramAnswer {
    /// All limits.
    fn table(&self) -> Table {
        let mut table = Table::new(&["limit", "costs %", "cycles without it", "wait", "back-pressure", "lifted"]);
        for l in &self.limits {
            let changes = [l.wait, l.back_pressure].map(|pair| Cell::from(change(pair)));
            let first = row![l.limit.clone(), Cell::fixed(100.0 * l.saved, 2), Cell::Count(l.cycles)];
            table.row(first.into_iter().chain(changes).chain(row![l.text.clone()]).collect());
        }
        table
    }
}

impl Document for ProgramAnswer {
    fn text(&self) -> String {
        format!(
            "{}\n\nThe program takes {} cycles. Lifting one limit at a time:\n{}\nEvery number is an execution of the same program on a machine without the limit. They do not add up:\nbehind a lifted limit stands the next one. `simulate --profile` says which instructions wait.\n",
            self.command,
            grouped(self.cycles),
            self.table().text()
        )
    }
}

fn kernels(a: &Answer, most: usize) -> Table {
    let columns = [("kernel", ""), ("phase", ""), ("cycles", ""), ("share", "%"), ("bounds", "")];
    let mut table = Table::with_units(&columns);
    for k in a.kernels.iter().take(most) {
        let bound = |(limit, without): &(String, u64)| {
            let saved = 100.0 * (1.0 - *without as f64 / k.cycles.max(1) as f64);
            (saved >= 0.05).then(|| format!("{limit} {saved:.1}"))
        };
        let bounds: Vec<String> = k.limits.iter().filter_map(bound).take(5).collect();
        let bounds = if bounds.is_empty() { "none of them alone".to_owned() } else { bounds.join(", ") };
        let (phase, share) = (k.phase.replace('_', " "), Cell::fixed(100.0 * k.share, 1));
        table.row(row![k.name.clone(), phase, Cell::Grouped(k.cycles), share, bounds]);
    }
    table
}
