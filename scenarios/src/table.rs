//! Rows of a CSV file: values that belong together (a user and its password) and that come from elsewhere.
//!
//! What belongs here: reading the file whole, once. What does not: which row comes next (`feeder`).

use std::path::Path;

use serde_json::{Number, Value};

use crate::number;

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
        let mut rows = Rows::of(text);
        let header = rows.next().ok_or("1: the file is empty")??;
        let columns = header.fields;
        check_columns(&columns, numbers)?;
        let as_number: Vec<bool> = columns.iter().map(|name| numbers.contains(name)).collect();
        let mut values = Vec::new();
        for row in rows {
            let Row { line, fields } = row?;
            if fields.len() != columns.len() {
                let (found, expected) = (fields.len(), columns.len());
                return Err(format!("{line}: {found} fields where the header line has {expected}"));
            }
            for ((field, name), as_number) in fields.into_iter().zip(&columns).zip(&as_number) {
                let value = value(&field, *as_number);
                values.push(value.map_err(|why| format!("{line}: `{field}` in column `{name}` {why}"))?);
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

/// Each column is a variable of its own, so none can be without a name or have that of another.
fn check_columns(columns: &[String], numbers: &[String]) -> Result<(), String> {
    if let Some(unknown) = numbers.iter().find(|name| !columns.contains(name)) {
        return Err(format!(
            "1: there is no column `{unknown}`; there are {}",
            columns.join(", ")
        ));
    }
    for (index, name) in columns.iter().enumerate() {
        if name.is_empty() || name.contains(['{', '}']) {
            let why = "a name is needed to write it as `{NAME.COLUMN}`, without braces";
            return Err(format!("1: column {} is called `{name}`: {why}", index + 1));
        }
        if columns[..index].contains(name) {
            return Err(format!("1: there are two columns `{name}`"));
        }
    }
    Ok(())
}

/// `Err` says what is wrong with the field.
fn value(field: &str, as_number: bool) -> Result<Value, &'static str> {
    if !as_number {
        return Ok(field.into());
    }
    let text = field.trim();
    match number::exact(text) {
        Some(number) => Ok(Value::Number(number)),
        None if text.parse::<Number>().is_ok() => Err(
            "has more digits than a number can keep: take the column out of `numbers`, so that it is sent as a text",
        ),
        None => Err("is no number"),
    }
}

/// One row, and the line that it begins in, from 1.
struct Row {
    line: usize,
    fields: Vec<String>,
}

/// The rows of a text (RFC 4180); empty lines are none.
///
/// The library that reads CSV elsewhere in this workspace says neither whether blanks stood in quotes nor that a quote
/// was never closed: both would change what is sent without a word.
struct Rows<'t> {
    rest: &'t str,
    line: usize,
}

impl<'t> Rows<'t> {
    fn of(text: &'t str) -> Self {
        Self {
            rest: text.strip_prefix('\u{feff}').unwrap_or(text),
            line: 1,
        }
    }

    fn row(&mut self) -> Result<Row, String> {
        let line = self.line;
        let mut fields = Vec::new();
        loop {
            fields.push(self.field()?);
            if let Some(rest) = self.rest.strip_prefix(',') {
                self.rest = rest;
            } else {
                self.end_of_line();
                return Ok(Row { line, fields });
            }
        }
    }

    /// A field in quotes is taken as it stands; one without them loses the blanks around it.
    fn field(&mut self) -> Result<String, String> {
        let begins = self.rest.trim_start_matches([' ', '\t']);
        if let Some(inside) = begins.strip_prefix('"') {
            self.rest = inside;
            return self.quoted();
        }
        let length = self.rest.find([',', '\n', '\r', '"']).unwrap_or(self.rest.len());
        let (field, rest) = self.rest.split_at(length);
        self.rest = rest;
        if rest.starts_with('"') {
            return Err(format!(
                "{}: a quote within `{}`: put the whole field in quotes, and write each quote inside it twice",
                self.line,
                field.trim()
            ));
        }
        Ok(field.trim().to_owned())
    }

    /// What stands behind an opening quote, up to the closing one; two quotes are one of the text.
    fn quoted(&mut self) -> Result<String, String> {
        let opened = self.line;
        let mut field = String::new();
        loop {
            let Some((text, rest)) = self.rest.split_once('"') else {
                return Err(format!("{opened}: the quote that is opened here is never closed"));
            };
            self.line += text.matches('\n').count();
            field.push_str(text);
            self.rest = rest;
            match rest.strip_prefix('"') {
                Some(after) => {
                    field.push('"');
                    self.rest = after;
                }
                None => break,
            }
        }
        self.rest = self.rest.trim_start_matches([' ', '\t']);
        if self.rest.is_empty() || self.rest.starts_with([',', '\n', '\r']) {
            Ok(field)
        } else {
            Err(format!(
                "{}: text follows a closing quote: write a quote inside a field twice",
                self.line
            ))
        }
    }

    fn end_of_line(&mut self) {
        let rest = self.rest.strip_prefix('\r').unwrap_or(self.rest);
        self.rest = rest.strip_prefix('\n').unwrap_or(rest);
        self.line += 1;
    }
}

impl Iterator for Rows<'_> {
    type Item = Result<Row, String>;

    fn next(&mut self) -> Option<Self::Item> {
        while self.rest.starts_with(['\n', '\r']) {
            self.end_of_line();
        }
        if self.rest.is_empty() {
            return None;
        }
        let row = self.row();
        if row.is_err() {
            self.rest = "";
        }
        Some(row)
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
    /// Three rows would become one, and one user would log in with the text of two others.
    #[test]
    fn a_quote_that_is_never_closed_is_refused_where_it_was_opened() {
        insta::assert_snapshot!(
            fault("id,name\n1,ada\n2,\"grace\n3,barbara\n4,mary\n"),
            @"3: the quote that is opened here is never closed"
        );
        insta::assert_snapshot!(
            fault("id,name\n1,6'2\"\n"),
            @"2: a quote within `6'2`: put the whole field in quotes, and write each quote inside it twice"
        );
        insta::assert_snapshot!(
            fault("id,name\n1,\"a\" b\n"),
            @"2: text follows a closing quote: write a quote inside a field twice"
        );
    }

    #[test]
    fn what_stands_in_quotes_is_kept_to_the_last_blank() {
        let text = "id, name ,first name\r\n1,\"  \", a b \r\n\r\n2, \" x\ny\" ,\"say \"\"hi\"\", ok\"\r\n";
        let table = Table::parse(text, &["id".to_owned()]).expect("valid");
        assert_eq!(table.columns(), ["id", "name", "first name"]);
        assert_eq!(table.row(0), [json!(1), json!("  "), json!("a b")]);
        assert_eq!(table.row(1), [json!(2), json!(" x\ny"), json!("say \"hi\", ok")]);
        assert_eq!(Table::parse("\u{feff}a\n\"\"", &[]).expect("valid").row(0), [json!("")]);
    }

    #[test]
    fn numbers_that_cannot_be_kept_exactly_are_refused() {
        insta::assert_snapshot!(
            fault("id\n27333820000000000490001\n"),
            @"2: `27333820000000000490001` in column `id` has more digits than a number can keep: take the column out \
              of `numbers`, so that it is sent as a text"
        );
        let table = Table::parse("id\n 18446744073709551615 \n", &["id".to_owned()]).expect("valid");
        assert_eq!(table.row(0), [json!(u64::MAX)]);
    }

    #[test]
    fn columns_without_a_name_of_their_own_are_refused() {
        insta::assert_snapshot!(fault("id,id\n1,2\n"), @"1: there are two columns `id`");
        insta::assert_snapshot!(
            fault("id,\n1,2\n"),
            @"1: column 2 is called ``: a name is needed to write it as `{NAME.COLUMN}`, without braces"
        );
    }
}
