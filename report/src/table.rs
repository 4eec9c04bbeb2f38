//! A table: what a result says in rows and columns, before any form is chosen for it.
//!
//! **Invariant.** A row has a cell for every column. What a cell shows is the same in every form that is
//! text, but for spaces between digits.
//! **Not here.** Files (`encoding::csv`, `encoding::parquet`).

/// A column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// What it is of.
    pub name: String,
    /// The unit of its numbers; empty where they have none.
    pub unit: &'static str,
}

impl Column {
    /// Its heading: the name, and the unit behind it.
    #[must_use]
    pub fn heading(&self) -> String {
        let gap = if self.unit.is_empty() { "" } else { " " };
        format!("{}{gap}{}", self.name, self.unit)
    }
}

/// A cell.
#[derive(Debug, Clone, PartialEq)]
pub enum Cell {
    /// There is no value.
    Empty,
    /// A cell of words.
    Text(String),
    /// A whole number.
    Whole(u64),
    /// A whole number whose digits are grouped for people, and plain in files.
    Count(u64),
    /// A whole number whose digits are grouped wherever it is text.
    Grouped(u64),
    /// A number in its shortest form.
    Number(f64),
    /// A number that is shown with fewer digits than it has: what is shown.
    Shown(String),
}

impl Cell {
    /// A number with so many digits behind the point.
    #[must_use]
    pub fn fixed(value: f64, digits: usize) -> Cell {
        Cell::Shown(format!("{value:.digits$}"))
    }

    /// A cell with a number that always shows its sign.
    #[must_use]
    pub fn signed(value: f64, digits: usize) -> Cell {
        Cell::Shown(format!("{value:+.digits$}"))
    }

    /// As people read it.
    #[must_use]
    pub fn for_people(&self) -> String {
        match self {
            Cell::Count(n) => grouped(*n),
            cell => cell.plain(),
        }
    }

    /// As a file of text has it.
    #[must_use]
    pub fn plain(&self) -> String {
        match self {
            Cell::Empty => String::new(),
            Cell::Text(text) | Cell::Shown(text) => text.clone(),
            Cell::Whole(n) | Cell::Count(n) => n.to_string(),
            Cell::Grouped(n) => grouped(*n),
            Cell::Number(x) => x.to_string(),
        }
    }
}

impl From<&str> for Cell {
    fn from(text: &str) -> Cell {
        Cell::Text(text.to_owned())
    }
}

impl From<String> for Cell {
    fn from(text: String) -> Cell {
        Cell::Text(text)
    }
}

impl From<u64> for Cell {
    fn from(n: u64) -> Cell {
        Cell::Whole(n)
    }
}

impl From<u32> for Cell {
    fn from(n: u32) -> Cell {
        Cell::Whole(n.into())
    }
}

impl From<usize> for Cell {
    fn from(n: usize) -> Cell {
        Cell::Whole(n as u64)
    }
}

impl From<f64> for Cell {
    fn from(x: f64) -> Cell {
        Cell::Number(x)
    }
}

impl<T: Into<Cell>> From<Option<T>> for Cell {
    fn from(cell: Option<T>) -> Cell {
        cell.map_or(Cell::Empty, Into::into)
    }
}

/// The cells of a row: words, numbers, or [`Cell`]s.
#[macro_export]
macro_rules! row {
    ($($cell:expr),* $(,)?) => { vec![$($crate::table::Cell::from($cell)),*] };
}

/// Rows under a heading.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Table {
    columns: Vec<Column>,
    rows: Vec<Vec<Cell>>,
}

impl Table {
    /// A table with these columns, none of which has a unit.
    #[must_use]
    pub fn new(names: &[&str]) -> Table {
        let columns = names.iter().map(|&name| Column { name: name.to_owned(), unit: "" });
        Table { columns: columns.collect(), rows: Vec::new() }
    }

    /// A table with these columns, each a name with a unit, which may be empty.
    #[must_use]
    pub fn with_units(columns: &[(&str, &'static str)]) -> Table {
        let columns = columns.iter().map(|&(name, unit)| Column { name: name.to_owned(), unit });
        Table { columns: columns.collect(), rows: Vec::new() }
    }

    /// Adds a row, such as one of `row![name, 5u64]`.
    ///
    /// # Panics
    /// If it has another number of cells than the table has columns.
    pub fn row(&mut self, cells: Vec<Cell>) {
        assert_eq!(cells.len(), self.columns.len(), "a row has a cell for every column");
        self.rows.push(cells);
    }

    /// Puts a row in the place of the last one.
    ///
    /// # Panics
    /// As [`Table::row`].
    pub fn replace_last(&mut self, cells: Vec<Cell>) {
        self.rows.pop();
        self.row(cells);
    }

    /// The columns.
    #[must_use]
    pub fn columns(&self) -> &[Column] {
        &self.columns
    }

    /// The rows; each has a cell for every column.
    #[must_use]
    pub fn rows(&self) -> &[Vec<Cell>] {
        &self.rows
    }

    /// As text, columns two spaces apart; those that hold numbers only are aligned to the right.
    #[must_use]
    pub fn text(&self) -> String {
        let head = self.columns.iter().map(Column::heading).collect();
        let shown = |row: &Vec<Cell>| row.iter().map(Cell::for_people).collect();
        let lines: Vec<Vec<String>> = std::iter::once(head).chain(self.rows.iter().map(shown)).collect();
        let columns = self.columns.len();
        let width = |c: usize| lines.iter().map(|line| line[c].chars().count()).max().unwrap_or(0);
        let widths: Vec<usize> = (0..columns).map(width).collect();
        let right: Vec<bool> = (0..columns).map(|c| lines[1..].iter().all(|line| is_number(&line[c]))).collect();
        let mut out = String::new();
        for cells in &lines {
            let mut line = String::new();
            for (c, cell) in cells.iter().enumerate() {
                let pad = " ".repeat(widths[c] - cell.chars().count());
                let gap = if c == 0 { "" } else { "  " };
                line += &if right[c] { format!("{gap}{pad}{cell}") } else { format!("{gap}{cell}{pad}") };
            }
            out += line.trim_end();
            out.push('\n');
        }
        out
    }
}

/// The beginning of a table over cycles that may be too long to be shown.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Beginning {
    /// Its first rows.
    pub rows: Table,
    /// Rows that are missing, and the cycle of the first of them.
    pub missing: Option<(u64, u64)>,
}

fn is_number(cell: &str) -> bool {
    cell.is_empty() || cell.chars().all(|c| c.is_ascii_digit() || " .,%-".contains(c))
}

/// The name of a value that is serialized as one word.
#[must_use]
pub fn word<T: serde::Serialize>(value: &T) -> String {
    serde_json::to_value(value).ok().and_then(|v| v.as_str().map(str::to_owned)).unwrap_or_default()
}

/// A whole number with a space between groups of three digits.
#[must_use]
pub fn grouped(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(' ');
        }
        out.push(digit);
    }
    out
}

/// A quantity with an SI prefix and four significant digits.
#[must_use]
pub fn si(value: f64, unit: &str) -> String {
    const PREFIXES: [(f64, &str); 6] = [(1e18, "E"), (1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")];
    let (scale, prefix) = PREFIXES.iter().copied().find(|(s, _)| value.abs() >= *s).unwrap_or((1.0, ""));
    let scaled = value / scale;
    let digits = if scaled >= 100.0 { 1 } else { 2 };
    format!("{scaled:.digits$} {prefix}{unit}")
}

/// Bytes with a binary prefix.
#[must_use]
pub fn bytes(n: u64) -> String {
    const PREFIXES: [(u64, &str); 4] = [(1 << 40, "TiB"), (1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    match PREFIXES.iter().find(|(size, _)| n >= *size) {
        Some((size, prefix)) => format!("{:.2} {prefix}", n as f64 / *size as f64),
        None => format!("{n} B"),
    }
}

/// A share of a whole in percent.
#[must_use]
pub fn percent(part: u64, whole: u64) -> String {
    if whole == 0 {
        return "-".to_owned();
    }
    format!("{:.1}", 100.0 * part as f64 / whole as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_aligned_to_the_right() {
        let mut t = Table::with_units(&[("name", ""), ("n", "s")]);
        t.row(row!["a, b", 5u64]);
        t.row(row!["=c", Cell::Count(1000)]);
        assert_eq!(t.text(), "name    n s\na, b      5\n=c    1 000\n");
    }

    #[test]
    fn quantities_read_well() {
        assert_eq!(grouped(1_234_567), "1 234 567");
        assert_eq!(grouped(12), "12");
        assert_eq!(si(1.5e15, "FLOP/s"), "1.50 PFLOP/s");
        assert_eq!(bytes(49_152), "48.00 KiB");
        assert_eq!(percent(1, 8), "12.5");
    }
}
