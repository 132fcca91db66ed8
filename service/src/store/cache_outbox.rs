//! Invalidations that were committed together with their rows, until the cache has taken them.
//!
//! The writer [confirms](confirm) its own rows. Those of a writer that crashed, or could not reach Redis, are
//! [claimed](claim) by a relay; a claim that is not confirmed runs out, and another relay takes the rows. Invalidating
//! is idempotent, so that a row may be worked off twice, and in any order.

use std::time::Duration;

use sqlx::postgres::types::PgInterval;
use sqlx::{FromRow, PgPool};

use super::StoreError;
use super::ask::Ask as _;
use crate::domain::events::EventName;
use crate::domain::ids::DriverId;

/// Names the tags of the answers that a change of a driver's rows ends.
pub type TagsOf = fn(EventName, DriverId) -> Vec<String>;

/// An invalidation that is not confirmed.
#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub struct OpenInvalidation {
    /// Number of the row.
    pub id: i64,
    /// Tags of the answers that the transaction ends.
    pub tags: Vec<String>,
}

/// Up to `limit` rows that are not confirmed, whoever claimed them, oldest first. Those of the last half second are
/// left to their writers.
pub async fn unconfirmed(pool: &PgPool, limit: i64) -> Result<Vec<OpenInvalidation>, StoreError> {
    sqlx::query(
        "SELECT id, tags FROM cache_outbox
          WHERE done_at IS NULL AND created_at < now() - interval '0.5 seconds'
          ORDER BY id LIMIT $1",
    )
    .bind(limit)
    .all(pool, "look for unconfirmed invalidations")
    .await
}

/// Claims up to `limit` rows that nobody holds, oldest first. Those of the last second are left to their writers.
pub async fn claim(pool: &PgPool, limit: i64) -> Result<Vec<OpenInvalidation>, StoreError> {
    sqlx::query(
        "UPDATE cache_outbox SET claimed_until = now() + interval '5 seconds'
          WHERE id IN (SELECT id FROM cache_outbox
                        WHERE done_at IS NULL AND created_at < now() - interval '1 second'
                          AND (claimed_until IS NULL OR claimed_until < now())
                        ORDER BY id LIMIT $1 FOR UPDATE SKIP LOCKED)
         RETURNING id, tags",
    )
    .bind(limit)
    .all(pool, "claim invalidations")
    .await
}

/// Marks rows as done.
pub async fn confirm(pool: &PgPool, ids: &[i64]) -> Result<(), StoreError> {
    sqlx::query("UPDATE cache_outbox SET done_at = now() WHERE id = ANY($1) AND done_at IS NULL")
        .bind(ids)
        .run(pool, "confirm invalidations")
        .await
}

/// Opens the invalidations again that were done within the last `window`.
pub async fn reopen(pool: &PgPool, window: Duration) -> Result<(), StoreError> {
    sqlx::query("UPDATE cache_outbox SET done_at = NULL, claimed_until = NULL WHERE done_at > now() - $1")
        .bind(interval(window))
        .run(pool, "open invalidations again")
        .await
}

/// Removes invalidations that were done longer than `age` ago.
pub async fn remove_old(pool: &PgPool, age: Duration) -> Result<(), StoreError> {
    sqlx::query("DELETE FROM cache_outbox WHERE done_at < now() - $1")
        .bind(interval(age))
        .run(pool, "remove old invalidations")
        .await
}

pub(super) fn interval(duration: Duration) -> PgInterval {
    PgInterval {
        months: 0,
        days: 0,
        microseconds: i64::try_from(duration.as_micros()).unwrap_or(i64::MAX),
    }
}
