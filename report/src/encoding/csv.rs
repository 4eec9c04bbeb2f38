//! A table as comma-separated values.
//!
//! **Invariant.** No cell is taken for a formula by a spreadsheet: one that would be is quoted with an
//! apostrophe.

use crate::format::{Format, Presentable};
use crate::table::{Cell, Column, Table};
use runner::Error;

/// The format.
pub const FORMAT: Format = Format {
    name: "csv",
    about: "The result's main table",
    ending: Some("csv"),
    binary: None,
    failures: false,
    encode,
};

/// The table of a result; or its text, if it has none.
fn encode(result: &dyn Presentable) -> Result<Vec<u8>, Error> {
    Ok(result.table().map_or_else(|| result.text(), |table| text(&table)).into_bytes())
}

/// A table as comma-separated values, its headings first.
#[must_use]
pub fn text(table: &Table) -> String {
    let mut writer = csv::Writer::from_writer(Vec::new());
    let head = table.columns().iter().map(Column::heading).collect();
    let rows = table.rows().iter().map(|row| row.iter().map(Cell::plain).collect());
    for row in std::iter::once(head).chain(rows) {
        let row: Vec<String> = row;
        let written = writer.write_record(row.iter().map(|cell| harmless(cell)));
        written.expect("a record of a table in memory is written");
    }
    let bytes = writer.into_inner().expect("a buffer in memory is flushed");
    String::from_utf8(bytes).expect("cells are text")
}

fn harmless(cell: &str) -> String {
    if formula(cell) { format!("'{cell}") } else { cell.to_owned() }
}

/// Whether a spreadsheet would take a cell for a formula. Apostrophes before one count too, so that
/// a further one can be taken away again.
fn formula(cell: &str) -> bool {
    let rest = cell.trim_start_matches('\'');
    rest.starts_with(['=', '+', '-', '@', '\t', '\r']) && cell.parse::<f64>().is_err()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::row;

    #[test]
    fn formulas_are_quoted_and_numbers_are_plain() {
        let mut t = Table::new(&["name", "n", "m"]);
        t.row(row!["a, b", 5u64, Cell::Grouped(1000)]);
        t.row(row!["=c", Cell::Count(1000), Cell::signed(0.5, 1)]);
        assert_eq!(text(&t), "name,n,m\n\"a, b\",5,1 000\n'=c,1000,+0.5\n");
    }
}
