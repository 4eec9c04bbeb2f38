//! A table of a page.
//!
//! **Not here.** What is in it.

use super::rendered;
use crate::table::{Cell, Table};
use askama::Template;
use runner::Error;

#[derive(Template)]
#[template(path = "table.html")]
struct Shown {
    /// Headings, and whether numbers stand below.
    head: Vec<(String, bool)>,
    rows: Vec<Vec<(String, bool)>>,
}

/// The table; nothing if it has no rows. Columns that hold numbers only are aligned to the right.
pub(super) fn table(of: &Table) -> Result<String, Error> {
    if of.rows().is_empty() {
        return Ok(String::new());
    }
    let number = |cell: &Cell| !matches!(cell, Cell::Text(text) if !text.is_empty());
    let numbers: Vec<bool> = (0..of.columns().len()).map(|c| of.rows().iter().all(|row| number(&row[c]))).collect();
    let head = of.columns().iter().zip(&numbers).map(|(column, n)| (column.heading().replace('_', " "), *n));
    let cell = |(cell, n): (&Cell, &bool)| {
        let shown = cell.for_people();
        (if *n { shown.replace(' ', "\u{a0}") } else { shown }, *n)
    };
    let rows = of.rows().iter().map(|row| row.iter().zip(&numbers).map(cell).collect());
    rendered(&Shown { head: head.collect(), rows: rows.collect() })
}
