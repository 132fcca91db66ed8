//! Events that were committed together with their rows and wait to be published.
//!
//! A relay [claims](claim) a batch, publishes it and reports it [done](ClaimedBatch::done). Claimed rows stay locked
//! until then and others skip them, so several relays share the work; a relay that dies drops its lock, and its events
//! are claimed again. Delivery is therefore at least once, and only roughly in order: consumers must not mind either.

use serde::Serialize;
use sqlx::{FromRow, PgConnection, PgPool, Postgres, Transaction};

use super::StoreError;
use super::ask::Ask as _;
use super::cache_outbox::TagsOf;
use super::error::Doing as _;
use crate::domain::events::EventName;
use crate::domain::ids::DriverId;

/// An event to be published.
#[derive(Debug, Clone, PartialEq, FromRow)]
pub struct OutboxEvent {
    /// Number, growing with the time of insertion (not of commit).
    pub id: i64,
    /// Driver whose rows changed: the key that keeps one driver's events together.
    pub driver_id: DriverId,
    /// Kind of the event.
    pub kind: EventName,
    /// The details: [`TripRecorded`](crate::domain::trips::TripRecorded),
    /// [`ClaimChanged`](crate::domain::claims::ClaimChanged) or
    /// [`DriverUpdated`](crate::domain::drivers::DriverUpdated), as `kind` says.
    pub payload: serde_json::Value,
}

/// Notes that a write leaves in the outboxes beside its rows.
#[derive(Debug, Clone, Copy)]
pub(super) struct Notes {
    /// Kind of the event.
    pub(super) kind: EventName,
    /// Names the tags that end by it; `None` when there is no cache.
    pub(super) tags_of: Option<TagsOf>,
}

impl Notes {
    /// Puts the event into its outbox and the invalidation into the cache's, in the transaction of the rows that they
    /// tell of. Gives the number of the invalidation.
    pub(super) async fn put(
        self,
        conn: &mut PgConnection,
        driver: DriverId,
        event: &impl Serialize,
    ) -> Result<Option<i64>, StoreError> {
        let payload = serde_json::to_value(event).map_err(|cause| StoreError::Encode {
            what: "an event for the outbox",
            cause: cause.into(),
        })?;
        let tags = self.tags_of.map(|tags_of| tags_of(self.kind, driver));
        // One statement for both; without tags the second inserts nothing.
        sqlx::query(
            "WITH event AS (INSERT INTO event_outbox (driver_id, kind, payload) VALUES ($1, $2, $3))
             INSERT INTO cache_outbox (tags) SELECT $4::text[] WHERE $4 IS NOT NULL RETURNING id",
        )
        .bind(driver)
        .bind(self.kind)
        .bind(payload)
        .bind(tags)
        .find_value(conn, "put an event into the outbox")
        .await
    }
}

/// Events that nobody else will claim while this value lives. Dropping it gives them back.
#[derive(Debug)]
pub struct ClaimedBatch {
    tx: Transaction<'static, Postgres>,
    events: Vec<OutboxEvent>,
}

/// Claims up to `limit` of the oldest events that no other relay holds. The batch may be empty.
pub async fn claim(pool: &PgPool, limit: i64) -> Result<ClaimedBatch, StoreError> {
    let mut tx = pool.begin().await.doing("begin claiming events")?;
    let events = sqlx::query(
        "SELECT id, driver_id, kind, payload FROM event_outbox ORDER BY id LIMIT $1 FOR UPDATE SKIP LOCKED",
    )
    .bind(limit)
    .all(&mut *tx, "claim events of the outbox")
    .await?;
    Ok(ClaimedBatch { tx, events })
}

impl ClaimedBatch {
    /// The events, oldest first.
    pub fn events(&self) -> &[OutboxEvent] {
        &self.events
    }

    /// Removes the events from the outbox. The caller guarantees that all of them are published.
    pub async fn done(mut self) -> Result<(), StoreError> {
        let ids: Vec<i64> = self.events.iter().map(|event| event.id).collect();
        if !ids.is_empty() {
            sqlx::query("DELETE FROM event_outbox WHERE id = ANY($1)")
                .bind(ids)
                .run(&mut *self.tx, "remove published events from the outbox")
                .await?;
        }
        self.tx.commit().await.doing("commit published events")
    }
}
