//! The writes of the service: the same rows, totals and notes whichever store reads them.
//!
//! Each is one transaction that leaves the raw rows and the totals derived from them in agreement, adds one to the
//! driver's version, and notes what happened in the outboxes. They stand with the rows that they are about: trips in
//! [`record`](super::record), claims in [`claims`](super::claims), drivers in [`drivers`](super::drivers).

use sqlx::PgPool;

use super::cache_outbox::TagsOf;
use super::outbox::{Noted, Notes};
use crate::codec::Format;

/// Result of a committed write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Committed<T> {
    /// The rows as they are now.
    pub value: T,
    /// The driver's version that the write made.
    pub version: i64,
    /// The rows that tell others.
    pub noted: Noted,
}

/// Writes to the database.
#[derive(Debug, Clone)]
pub struct Writer {
    pub(super) pool: PgPool,
    notes: Notes,
}

impl Writer {
    /// Over `pool`. Notes events in this form, and the invalidations that `tags_of` names; none without it, when there
    /// is no cache to invalidate.
    pub fn new(pool: PgPool, format: Format, tags_of: Option<TagsOf>) -> Self {
        Self {
            pool,
            notes: Notes { format, tags_of },
        }
    }

    pub(super) fn notes(&self) -> Notes {
        self.notes
    }
}
