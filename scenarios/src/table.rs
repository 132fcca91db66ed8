//! Rows of a CSV file: values that belong together (a user and its password) and that come from elsewhere.
//!
//! What belongs here: reading the file whole, once. What does not: which row comes next (`feeder`).

use std::path::Path;

use serde_json::{Number, Value};

/// Most rows of a table: it is held in memory, about 100 bytes a field.
const MAX_ROWS: usize = 1_000_000;

/// A CSV file that has been read: RFC 4180, with a header line that names the columns.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Table {
    columns: Vec<String>,
    /// Row after row.
    values: Vec<Value>,
}

impl Table {
    /// Reads `file`. The columns `numbers` become JSON numbers, all others texts. Returns the bytes too: they are part
    /// of the workload's identity.
    ///
    /// # Errors
    /// In words, with the line in the file where it is about one.
    pub(crate) fn load(file: &Path, numbers: &[String]) -> Result<(Self, Vec<u8>), String> {
        let text =
            std::fs::read_to_string(file).map_err(|error| format!("{} cannot be read: {error}", file.display()))?;
        let table = Self::parse(&text, numbers).map_err(|fault| format!("{}:{fault}", file.display()))?;
        Ok((table, text.into_bytes()))
    }

    pub(crate) fn parse(text: &str, numbers: &[String]) -> Result<Self, String> {
        let mut reader = csv::ReaderBuilder::new()
            .trim(csv::Trim::All)
            .from_reader(text.as_bytes());
        let header = reader.headers().map_err(|error| said(&error))?.clone();
        let columns: Vec<String> = header.iter().map(str::to_owned).collect();
        if let Some(unknown) = numbers.iter().find(|name| !columns.contains(name)) {
            return Err(format!(
                "1: there is no column `{unknown}`; there are {}",
                columns.join(", ")
            ));
        }
        let as_number: Vec<bool> = columns.iter().map(|name| numbers.contains(name)).collect();
        let mut values = Vec::new();
        for record in reader.records() {
            let record = record.map_err(|error| said(&error))?;
            let line = record.position().map_or(0, csv::Position::line);
            for ((field, name), as_number) in record.iter().zip(&columns).zip(&as_number) {
                values.push(
                    value(field, *as_number)
                        .ok_or_else(|| format!("{line}: `{field}` in column `{name}` is no number"))?,
                );
            }
            if values.len() > MAX_ROWS * columns.len() {
                return Err(format!("{line}: more than {MAX_ROWS} rows"));
            }
        }
        if values.is_empty() {
            return Err("1: there are no rows after the header line".to_owned());
        }
        Ok(Self { columns, values })
    }

    /// Names of the columns, in their order.
    pub(crate) fn columns(&self) -> &[String] {
        &self.columns
    }

    /// Number of rows; at least one.
    pub(crate) fn len(&self) -> usize {
        self.values.len() / self.columns.len()
    }

    /// The values of a row, by column.
    pub(crate) fn row(&self, index: u64) -> &[Value] {
        let width = self.columns.len();
        let start = usize::try_from(index).map_or(0, |index| index * width);
        &self.values[start..start + width]
    }
}

fn value(field: &str, as_number: bool) -> Option<Value> {
    if !as_number {
        return Some(field.into());
    }
    field.parse::<Number>().ok().map(Value::Number)
}

fn said(error: &csv::Error) -> String {
    let line = error.position().map_or(1, csv::Position::line);
    match error.kind() {
        csv::ErrorKind::UnequalLengths { expected_len, len, .. } => {
            format!("{line}: {len} fields where the header line has {expected_len}")
        }
        _ => format!("{line}: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn fault(text: &str) -> String {
        Table::parse(text, &["id".to_owned()]).unwrap_err()
    }

    #[test]
    fn columns_are_texts_unless_they_are_said_to_be_numbers() {
        let table = Table::parse("id, name\n7,\"a, b\"\n2.5,c\n", &["id".to_owned()]).expect("valid");
        assert_eq!(table.columns(), ["id", "name"]);
        assert_eq!(
            (table.row(0), table.row(1)),
            (&[json!(7), json!("a, b")][..], &[json!(2.5), json!("c")][..])
        );
    }

    #[test]
    fn faults_name_their_line() {
        insta::assert_snapshot!(fault("id,name\n1,a\n2\n"), @"3: 1 fields where the header line has 2");
        insta::assert_snapshot!(fault("id,name\nx,a\n"), @"2: `x` in column `id` is no number");
        insta::assert_snapshot!(fault("name\na\n"), @"1: there is no column `id`; there are name");
        insta::assert_snapshot!(fault("id\n"), @"1: there are no rows after the header line");
    }
}
