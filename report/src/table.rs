//! A table, as aligned text or as CSV.

/// Rows under a heading. Columns that hold numbers only are aligned to the right.
#[derive(Debug, Clone, Default)]
pub struct Table {
    head: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with these columns.
    #[must_use]
    pub fn new(head: &[&str]) -> Table {
        Table { head: head.iter().map(|&h| h.to_owned()).collect(), rows: Vec::new() }
    }

    /// Adds a row with one cell per column.
    ///
    /// # Panics
    /// If the number of cells is another one.
    pub fn row(&mut self, cells: Vec<String>) {
        assert_eq!(cells.len(), self.head.len(), "a row has a cell for every column");
        self.rows.push(cells);
    }

    /// As text, columns two spaces apart.
    #[must_use]
    pub fn text(&self) -> String {
        let columns = self.head.len();
        let width = |c: usize| self.all().map(|row| row[c].chars().count()).max().unwrap_or(0);
        let widths: Vec<usize> = (0..columns).map(width).collect();
        let right: Vec<bool> = (0..columns).map(|c| self.rows.iter().all(|row| is_number(&row[c]))).collect();
        let mut out = String::new();
        for row in self.all() {
            let mut line = String::new();
            for (c, cell) in row.iter().enumerate() {
                let pad = " ".repeat(widths[c] - cell.chars().count());
                let gap = if c == 0 { "" } else { "  " };
                line += &if right[c] { format!("{gap}{pad}{cell}") } else { format!("{gap}{cell}{pad}") };
            }
            out += line.trim_end();
            out.push('\n');
        }
        out
    }

    fn all(&self) -> impl Iterator<Item = &Vec<String>> {
        std::iter::once(&self.head).chain(&self.rows)
    }

    /// As comma-separated values. Cells that a spreadsheet would take for a formula are quoted
    /// with an apostrophe.
    #[must_use]
    pub fn csv(&self) -> String {
        let mut writer = csv::Writer::from_writer(Vec::new());
        for row in self.all() {
            let written = writer.write_record(row.iter().map(|cell| harmless(cell)));
            written.expect("a record of a table in memory is written");
        }
        let bytes = writer.into_inner().expect("a buffer in memory is flushed");
        String::from_utf8(bytes).expect("cells are text")
    }
}

fn is_number(cell: &str) -> bool {
    cell.is_empty() || cell.chars().all(|c| c.is_ascii_digit() || " .,%-".contains(c))
}

fn harmless(cell: &str) -> String {
    if formula(cell) { format!("'{cell}") } else { cell.to_owned() }
}

/// Whether a spreadsheet would take a cell for a formula. Apostrophes before one count too, so that
/// a further one can be taken away again.
pub(crate) fn formula(cell: &str) -> bool {
    let rest = cell.trim_start_matches('\'');
    rest.starts_with(['=', '+', '-', '@', '\t', '\r']) && cell.parse::<f64>().is_err()
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
        let mut t = Table::new(&["name", "n"]);
        t.row(vec!["a, b".into(), "5".into()]);
        t.row(vec!["=c".into(), "1 000".into()]);
        assert_eq!(t.text(), "name      n\na, b      5\n=c    1 000\n");
        assert_eq!(t.csv(), "name,n\n\"a, b\",5\n'=c,1 000\n");
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
