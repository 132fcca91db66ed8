//! The binary format of COPY (PostgreSQL manual, "COPY", "Binary Format"): half the work of the text format on both
//! sides, because nothing is printed and parsed again.

use std::marker::PhantomData;

use chrono::{DateTime, NaiveDate, Utc};
use uuid::Uuid;

/// Signature, no flags, no header extension.
const HEADER: &[u8; 19] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
/// Field count that ends the rows.
const TRAILER: [u8; 2] = (-1_i16).to_be_bytes();
/// Length that stands for NULL.
const NULL: [u8; 4] = (-1_i32).to_be_bytes();
/// Postgres counts time from 2000-01-01, in microseconds and in days; this is that day in Unix microseconds and as a
/// number of days since 0001-01-01 (which is day 1).
const EPOCH_UNIX_US: i64 = 946_684_800_000_000;
const EPOCH_DAY: i32 = 730_120;

/// A row that COPY can append to its table.
pub(crate) trait CopyRow {
    /// `COPY table (columns) FROM STDIN WITH (FORMAT binary, FREEZE)`.
    const COPY: &'static str;
    /// For the error message.
    const DOING: &'static str;
    /// Number of columns in [`COPY`](Self::COPY); [`encode`](Self::encode) MUST put as many fields, in their order.
    const COLUMNS: i16;

    /// Puts the fields.
    fn encode(&self, fields: &mut Fields<'_>);
}

/// Rows of one table, encoded.
#[derive(Debug)]
pub(crate) struct CopyBuffer<R> {
    bytes: Vec<u8>,
    rows: u64,
    of: PhantomData<fn(R)>,
}

impl<R: CopyRow> CopyBuffer<R> {
    pub(crate) fn new() -> Self {
        Self {
            bytes: HEADER.to_vec(),
            rows: 0,
            of: PhantomData,
        }
    }

    pub(crate) fn push(&mut self, row: &R) {
        self.bytes.extend(R::COLUMNS.to_be_bytes());
        row.encode(&mut Fields { bytes: &mut self.bytes });
        self.rows += 1;
    }

    /// Rows pushed so far.
    pub(crate) fn rows(&self) -> u64 {
        self.rows
    }

    pub(super) fn finish(mut self) -> Vec<u8> {
        self.bytes.extend(TRAILER);
        self.bytes
    }
}

impl<'r, R: CopyRow + 'r> FromIterator<&'r R> for CopyBuffer<R> {
    fn from_iter<I: IntoIterator<Item = &'r R>>(rows: I) -> Self {
        let mut buffer = Self::new();
        for row in rows {
            buffer.push(row);
        }
        buffer
    }
}

/// The fields of one row, put one after the other.
pub(crate) struct Fields<'b> {
    bytes: &'b mut Vec<u8>,
}

impl Fields<'_> {
    pub(super) fn bigint(&mut self, value: i64) {
        self.field(&value.to_be_bytes());
    }

    pub(super) fn integer(&mut self, value: i32) {
        self.field(&value.to_be_bytes());
    }

    pub(super) fn smallint(&mut self, value: i16) {
        self.field(&value.to_be_bytes());
    }

    pub(super) fn text(&mut self, value: &str) {
        self.field(value.as_bytes());
    }

    pub(super) fn uuid(&mut self, value: Uuid) {
        self.field(value.as_bytes());
    }

    pub(super) fn date(&mut self, value: NaiveDate) {
        use chrono::Datelike as _;
        self.integer(value.num_days_from_ce() - EPOCH_DAY);
    }

    pub(super) fn timestamptz(&mut self, value: DateTime<Utc>) {
        self.bigint(value.timestamp_micros() - EPOCH_UNIX_US);
    }

    pub(super) fn bigint_or_null(&mut self, value: Option<i64>) {
        match value {
            Some(value) => self.bigint(value),
            None => self.bytes.extend(NULL),
        }
    }

    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_possible_wrap,
        reason = "a field is far below 2 GiB"
    )]
    fn field(&mut self, bytes: &[u8]) {
        self.bytes.extend((bytes.len() as i32).to_be_bytes());
        self.bytes.extend(bytes);
    }
}
