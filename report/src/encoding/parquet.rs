//! A table as a Parquet file.
//!
//! **Invariant.** The file says what the CSV says: a column is of whole numbers, of numbers or of
//! text, and an empty cell of a column of numbers is null.
//! **Not here.** Tables (`table`).

use crate::format::{Format, Presentable};
use crate::table::{Cell, Table};
use parquet::basic::{ConvertedType, Repetition, Type as Physical};
use parquet::column::writer::ColumnWriter;
use parquet::data_type::ByteArray;
use parquet::errors::{ParquetError, Result};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::{SerializedColumnWriter, SerializedFileWriter};
use parquet::schema::types::Type;
use runner::Error;
use sim_core::diag::Diagnostic;
use std::sync::Arc;

/// The format.
pub const FORMAT: Format = Format {
    name: "parquet",
    about: "The same as a Parquet file, with -o",
    ending: Some("parquet"),
    binary: Some("Parquet"),
    failures: false,
    encode,
};

fn encode(result: &dyn Presentable) -> std::result::Result<Vec<u8>, Error> {
    let diagnostic = |message: String| Error::internal(Diagnostic::new("cli-parquet", "--format", message));
    let table = result.table().ok_or_else(|| {
        let diagnostic = Diagnostic::new("cli-parquet", "--format", "the result has no table");
        Error::invalid(diagnostic.help("--format text or json"))
    })?;
    file(&table).map_err(|e| diagnostic(e.to_string()))
}

/// The cells of a column, which all have the type of the column.
enum Column {
    Whole(Vec<Option<i64>>),
    Number(Vec<Option<f64>>),
    Text(Vec<String>),
}

fn file(table: &Table) -> Result<Vec<u8>> {
    let cells = |at: usize| table.rows().iter().map(|row| &row[at]).collect();
    let columns: Vec<Column> = (0..table.columns().len()).map(|at| Column::of(cells(at))).collect();
    let named = table.columns().iter().zip(&columns);
    let fields = named.map(|(column, cells)| cells.field(&column.heading()).map(Arc::new));
    let schema = Type::group_type_builder("table").with_fields(fields.collect::<Result<_>>()?).build()?;
    let properties = WriterProperties::builder().set_created_by(format!("wafersim {}", crate::VERSION));
    let mut file = SerializedFileWriter::new(Vec::new(), Arc::new(schema), Arc::new(properties.build()))?;
    let mut group = file.next_row_group()?;
    for column in &columns {
        let Some(mut writer) = group.next_column()? else { break };
        column.write(&mut writer)?;
        writer.close()?;
    }
    group.close()?;
    file.into_inner()
}

/// The number that a cell holds.
fn number(cell: &Cell) -> Option<f64> {
    match cell {
        Cell::Number(x) => Some(*x),
        Cell::Shown(text) => text.parse().ok(),
        cell => whole(cell).map(|n| n as f64),
    }
}

fn whole(cell: &Cell) -> Option<i64> {
    match cell {
        Cell::Whole(n) | Cell::Count(n) | Cell::Grouped(n) => i64::try_from(*n).ok(),
        _ => None,
    }
}

impl Column {
    fn of(cells: Vec<&Cell>) -> Column {
        let some = cells.iter().any(|c| **c != Cell::Empty);
        let all = |fits: &dyn Fn(&Cell) -> bool| some && cells.iter().all(|c| **c == Cell::Empty || fits(c));
        if all(&|c| whole(c).is_some()) {
            Column::Whole(cells.into_iter().map(whole).collect())
        } else if all(&|c| number(c).is_some()) {
            Column::Number(cells.into_iter().map(number).collect())
        } else {
            Column::Text(cells.into_iter().map(Cell::plain).collect())
        }
    }

    fn field(&self, name: &str) -> Result<Type> {
        let (physical, repetition) = match self {
            Column::Whole(_) => (Physical::INT64, Repetition::OPTIONAL),
            Column::Number(_) => (Physical::DOUBLE, Repetition::OPTIONAL),
            Column::Text(_) => (Physical::BYTE_ARRAY, Repetition::REQUIRED),
        };
        let field = Type::primitive_type_builder(name, physical).with_repetition(repetition);
        match self {
            Column::Text(_) => field.with_converted_type(ConvertedType::UTF8).build(),
            _ => field.build(),
        }
    }

    fn write(&self, writer: &mut SerializedColumnWriter<'_>) -> Result<()> {
        match (self, writer.untyped()) {
            (Column::Whole(cells), ColumnWriter::Int64ColumnWriter(w)) => {
                let values: Vec<i64> = cells.iter().flatten().copied().collect();
                w.write_batch(&values, Some(&levels(cells)), None)?;
            }
            (Column::Number(cells), ColumnWriter::DoubleColumnWriter(w)) => {
                let values: Vec<f64> = cells.iter().flatten().copied().collect();
                w.write_batch(&values, Some(&levels(cells)), None)?;
            }
            (Column::Text(cells), ColumnWriter::ByteArrayColumnWriter(w)) => {
                let values: Vec<ByteArray> = cells.iter().map(|c| ByteArray::from(c.as_str())).collect();
                w.write_batch(&values, None, None)?;
            }
            _ => return Err(ParquetError::General("a column has another type than its field".to_owned())),
        }
        Ok(())
    }
}

/// 1 for a value, 0 for null.
fn levels<T>(cells: &[Option<T>]) -> Vec<i16> {
    cells.iter().map(|cell| i16::from(cell.is_some())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::row;
    use parquet::file::reader::{FileReader, SerializedFileReader};

    #[test]
    fn a_table_can_be_read_again() {
        let mut table = Table::new(&["name", "n", "x", "none"]);
        table.row(row!["=cmd()", 1u64, Cell::fixed(0.5, 1), Cell::Empty]);
        table.row(row!["'=b", Cell::Empty, Cell::Empty, Cell::Empty]);
        table.row(row!["c,\"d\"\n", Cell::Grouped(3000), 1000.5, Cell::Empty]);
        let bytes = file(&table).unwrap();
        let reader = SerializedFileReader::new(bytes::Bytes::from(bytes)).unwrap();
        let rows: Vec<String> = reader.get_row_iter(None).unwrap().map(|row| row.unwrap().to_string()).collect();
        assert_eq!(
            rows,
            [
                "{name: \"=cmd()\", n: 1, x: 0.5, none: \"\"}",
                "{name: \"'=b\", n: null, x: null, none: \"\"}",
                "{name: \"c,\"d\"\n\", n: 3000, x: 1000.5, none: \"\"}",
            ]
        );
        let empty = file(&Table::new(&["a"])).unwrap();
        assert_eq!(
            SerializedFileReader::new(bytes::Bytes::from(empty)).unwrap().metadata().file_metadata().num_rows(),
            0
        );
    }
}
