//! Events that were committed together with their rows and wait to be published.
//!
//! A relay [claims](claim) a batch, publishes it and reports it [done](ClaimedBatch::done). Claimed rows stay locked
//! until then and others skip them, so several relays share the work; a relay that dies drops its lock, and its events
//! are claimed again. Delivery is therefore at least once, and only roughly in order: consumers must not mind either.

use std::time::Duration;

use sqlx::{FromRow, PgConnection, PgPool, Postgres, Transaction};
use uuid::Uuid;

use super::StoreError;
use super::ask::Ask as _;
use super::cache_outbox::{TagsOf, interval};
use super::error::Doing as _;
use crate::codec::{Encoded, Format, encode};
use crate::domain::events::{Event, EventId};
use crate::domain::ids::DriverId;

/// An event to be published.
#[derive(Debug, Clone, PartialEq, FromRow)]
pub struct OutboxEvent {
    /// Number, growing with the time of insertion (not of commit).
    pub id: i64,
    /// Name of the event.
    pub event_id: EventId,
    /// Driver whose rows changed: the key that keeps one driver's events together.
    pub driver_id: DriverId,
    /// Names the form of `body`.
    pub schema: String,
    /// The event as it is sent.
    pub body: Vec<u8>,
}

/// Rows that a write has left in the outboxes.
#[derive(Debug, Clone, Default, PartialEq, Eq, FromRow)]
pub struct Noted {
    /// The row of `cache_outbox` that holds the invalidation; `None` when none is noted.
    pub invalidation: Option<i64>,
    /// The rows of `event_outbox`.
    pub events: Vec<i64>,
}

/// How a write leaves notes in the outboxes beside its rows.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Notes {
    /// The form of events.
    pub(super) format: Format,
    /// Names the tags that end by the first event; `None` when there is no cache.
    pub(super) tags_of: Option<TagsOf>,
}

impl Notes {
    /// Puts the events into their outbox and the invalidation into the cache's, in the transaction of the rows that
    /// they tell of. The events are about one driver, the first of them is why the others are.
    pub(super) async fn put(self, conn: &mut PgConnection, events: &[Event]) -> Result<Noted, StoreError> {
        let first = events.first().map(|event| (event.body.name(), event.body.driver()));
        let tags = self
            .tags_of
            .zip(first)
            .map(|(tags_of, (name, driver))| tags_of(name, driver));
        let rows = Rows::of(events, self.format)?;
        // One statement for both; without tags the second inserts nothing.
        sqlx::query(
            "WITH event AS (
                 INSERT INTO event_outbox (event_id, driver_id, kind, schema, body)
                 SELECT * FROM unnest($1::uuid[], $2::bigint[], $3::text[], $4::text[], $5::bytea[])
                 RETURNING id),
             tags AS (INSERT INTO cache_outbox (tags) SELECT $6::text[] WHERE $6 IS NOT NULL RETURNING id)
             SELECT (SELECT id FROM tags) AS invalidation, array(SELECT id FROM event) AS events",
        )
        .bind(rows.ids)
        .bind(rows.drivers)
        .bind(rows.kinds)
        .bind(rows.schemas)
        .bind(rows.bodies)
        .bind(tags)
        .one(conn, "put events into the outbox")
        .await
    }
}

/// Events as columns.
#[derive(Default)]
struct Rows {
    ids: Vec<Uuid>,
    drivers: Vec<i64>,
    kinds: Vec<&'static str>,
    schemas: Vec<&'static str>,
    bodies: Vec<Vec<u8>>,
}

impl Rows {
    fn of(events: &[Event], format: Format) -> Result<Self, StoreError> {
        let mut rows = Self::default();
        for event in events {
            let Encoded { schema, bytes } = encode(event, format).map_err(|cause| StoreError::Encode {
                what: "an event for the outbox",
                cause: cause.into(),
            })?;
            rows.ids.push(event.id.0);
            rows.drivers.push(event.body.driver().0);
            rows.kinds.push(event.body.name().as_str());
            rows.schemas.push(schema);
            rows.bodies.push(bytes);
        }
        Ok(rows)
    }
}

/// Events that nobody else will claim while this value lives. Dropping it gives them back.
#[derive(Debug)]
pub struct ClaimedBatch {
    tx: Transaction<'static, Postgres>,
    events: Vec<OutboxEvent>,
}

/// Which events to claim.
#[derive(Debug, Clone)]
pub enum Which {
    /// These rows: they have just been committed, and what they invalidate is invalidated.
    Rows(Vec<i64>),
    /// So many of the oldest that have been waiting for so long: whoever committed them has not handed them over.
    Older {
        /// How long they must have waited.
        than: Duration,
        /// How many, at most.
        limit: i64,
    },
}

/// Claims events that no other relay holds, the oldest first. The batch may be empty.
pub async fn claim(pool: &PgPool, which: Which) -> Result<ClaimedBatch, StoreError> {
    let mut tx = pool.begin().await.doing("begin claiming events")?;
    let query = match which {
        Which::Rows(rows) => sqlx::query(
            "SELECT id, event_id, driver_id, schema, body FROM event_outbox WHERE id = ANY($1)
              ORDER BY id FOR UPDATE SKIP LOCKED",
        )
        .bind(rows),
        Which::Older { than, limit } => sqlx::query(
            "SELECT id, event_id, driver_id, schema, body FROM event_outbox WHERE created_at < now() - $1
              ORDER BY id LIMIT $2 FOR UPDATE SKIP LOCKED",
        )
        .bind(interval(than))
        .bind(limit),
    };
    let events = query.all(&mut *tx, "claim events of the outbox").await?;
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

/// How many events wait, counted up to `max`.
pub async fn waiting(pool: &PgPool, max: i64) -> Result<i64, StoreError> {
    sqlx::query("SELECT count(*) FROM (SELECT FROM event_outbox LIMIT $1) waiting")
        .bind(max)
        .value(pool, "count the events that wait")
        .await
}
