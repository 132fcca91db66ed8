//! The writes of the service: the same rows, totals and notes whichever store reads them.
//!
//! Each is one transaction that leaves the raw rows and the totals derived from them in agreement, adds one to the
//! driver's version, and notes what happened in the outboxes. They stand with the rows that they are about: trips in
//! [`record`](super::record), claims in [`claims`](super::claims), drivers in [`drivers`](super::drivers).

use sqlx::PgPool;

use super::cache_outbox::TagsOf;
use super::outbox::Notes;
use crate::domain::events::EventName;

/// Result of a committed write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Committed<T> {
    /// The rows as they are now.
    pub value: T,
    /// The driver's version that the write made.
    pub version: i64,
    /// The row of `cache_outbox` that holds the invalidation; `None` when none is noted.
    pub invalidation: Option<i64>,
}

/// Writes to the database.
#[derive(Debug, Clone)]
pub struct Writer {
    pub(super) pool: PgPool,
    tags_of: Option<TagsOf>,
}

impl Writer {
    /// Over `pool`. Notes the invalidations that `tags_of` names; none without it, when there is no cache to
    /// invalidate.
    pub fn new(pool: PgPool, tags_of: Option<TagsOf>) -> Self {
        Self { pool, tags_of }
    }

    pub(super) fn notes(&self, kind: EventName) -> Notes {
        Notes {
            kind,
            tags_of: self.tags_of,
        }
    }
}
