//! A table as a Parquet file.
//!
//! **Invariant.** The file says what the CSV says: a column is of whole numbers, of numbers or of
//! text, and an empty cell of a column of numbers is null.
//! **Not here.** Tables (`table`).

use crate::table::formula;
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

/// A column of a table.
enum Column {
    Whole(Vec<Option<i64>>),
    Number(Vec<Option<f64>>),
    Text(Vec<String>),
}

/// The Parquet file of a CSV text that a table gave.
///
/// # Errors
/// `cli-parquet` if the table cannot be written: a fault of ours.
pub fn of_csv(csv: &[u8]) -> std::result::Result<Vec<u8>, Error> {
    written(csv).map_err(|e| Error::internal(Diagnostic::new("cli-parquet", "--format", e.to_string())))
}

fn written(csv: &[u8]) -> Result<Vec<u8>> {
    let outside = |e: csv::Error| ParquetError::External(Box::new(e));
    let mut reader = csv::Reader::from_reader(csv);
    let head: Vec<String> = reader.headers().map_err(outside)?.iter().map(str::to_owned).collect();
    let mut cells: Vec<Vec<String>> = vec![Vec::new(); head.len()];
    for row in reader.records() {
        for (column, cell) in cells.iter_mut().zip(&row.map_err(outside)?) {
            column.push(plain(cell).to_owned());
        }
    }
    let columns: Vec<Column> = cells.into_iter().map(Column::of).collect();
    let fields = head.iter().zip(&columns).map(|(name, column)| column.field(name).map(Arc::new));
    let schema = Type::group_type_builder("table").with_fields(fields.collect::<Result<_>>()?).build()?;
    let properties = WriterProperties::builder().set_created_by(format!("wafersim {}", env!("CARGO_PKG_VERSION")));
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

/// A cell as it was before it was made harmless for spreadsheets.
fn plain(cell: &str) -> &str {
    cell.strip_prefix('\'').filter(|rest| formula(rest)).unwrap_or(cell)
}

impl Column {
    fn of(cells: Vec<String>) -> Column {
        let some = cells.iter().any(|c| !c.is_empty());
        let all = |fits: &dyn Fn(&str) -> bool| some && cells.iter().all(|c| c.is_empty() || fits(c));
        if all(&|c| c.parse::<i64>().is_ok()) {
            Column::Whole(cells.iter().map(|c| c.parse().ok()).collect())
        } else if all(&|c| c.parse::<f64>().is_ok()) {
            Column::Number(cells.iter().map(|c| c.parse().ok()).collect())
        } else {
            Column::Text(cells)
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
    use crate::table::Table;
    use parquet::file::reader::{FileReader, SerializedFileReader};

    #[test]
    fn a_table_can_be_read_again() {
        let mut table = Table::new(&["name", "n", "x", "none"]);
        for (name, n, x) in [("=cmd()", "1", "0.5"), ("'=b", "", ""), ("c,\"d\"\n", "-3", "1000.5")] {
            table.row(vec![name.to_owned(), n.to_owned(), x.to_owned(), String::new()]);
        }
        let bytes = of_csv(table.csv().as_bytes()).unwrap();
        let reader = SerializedFileReader::new(bytes::Bytes::from(bytes)).unwrap();
        let rows: Vec<String> = reader.get_row_iter(None).unwrap().map(|row| row.unwrap().to_string()).collect();
        assert_eq!(
            rows,
            [
                "{name: \"=cmd()\", n: 1, x: 0.5, none: \"\"}",
                "{name: \"'=b\", n: null, x: null, none: \"\"}",
                "{name: \"c,\"d\"\n\", n: -3, x: 1000.5, none: \"\"}",
            ]
        );
        let empty = of_csv(Table::new(&["a"]).csv().as_bytes()).unwrap();
        assert_eq!(
            SerializedFileReader::new(bytes::Bytes::from(empty)).unwrap().metadata().file_metadata().num_rows(),
            0
        );
    }
}
