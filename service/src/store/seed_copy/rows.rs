//! Rows on their way to COPY, as CSV.

use csv::{Writer, WriterBuilder};
use serde::Serialize;

use super::tables::Table;
use crate::store::StoreError;

/// Rows of one table, written down.
#[derive(Debug)]
pub(crate) struct Rows {
    table: &'static Table,
    csv: Writer<Vec<u8>>,
    count: u64,
    /// The first row that could not be written: then none are loaded.
    failed: Option<csv::Error>,
}

impl Rows {
    /// No rows yet.
    pub(crate) fn of(table: &'static Table) -> Self {
        Self {
            table,
            csv: WriterBuilder::new().has_headers(false).from_writer(Vec::new()),
            count: 0,
            failed: None,
        }
    }

    /// All of these rows.
    pub(crate) fn collect(table: &'static Table, rows: impl IntoIterator<Item: Serialize>) -> Self {
        let mut collected = Self::of(table);
        for row in rows {
            collected.push(&row);
        }
        collected
    }

    /// Adds a row. Its fields, those of nested structs included, MUST be the table's columns in their order; `None` is
    /// NULL.
    pub(crate) fn push(&mut self, row: &impl Serialize) {
        if let Err(error) = self.csv.serialize(row) {
            self.failed.get_or_insert(error);
        }
        self.count += 1;
    }

    /// How many there are.
    pub(crate) fn count(&self) -> u64 {
        self.count
    }

    pub(super) fn table(&self) -> &'static Table {
        self.table
    }

    pub(super) fn into_bytes(self) -> Result<Vec<u8>, StoreError> {
        let written = match self.failed {
            Some(error) => Err(error.into()),
            None => self.csv.into_inner().map_err(|error| error.into_error().into()),
        };
        written.map_err(|cause| StoreError::Encode {
            what: "rows to be loaded",
            cause,
        })
    }
}
