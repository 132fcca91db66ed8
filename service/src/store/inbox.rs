//! Events whose effects are committed. Noted in the transaction of the effects, so that an event that comes again,
//! after a crash or because it was published twice, changes nothing.

use std::time::Duration;

use sqlx::{PgConnection, PgPool};

use super::StoreError;
use super::ask::Ask as _;
use super::cache_outbox::interval;
use crate::domain::events::EventId;

/// Rows that one statement removes: some milliseconds of work.
const FORGOTTEN_AT_ONCE: i64 = 10_000;

/// Notes the events and gives those that are new. The caller guarantees that `events` are sorted, so that two batches
/// with the same events wait for each other in one order.
pub(super) async fn note(conn: &mut PgConnection, events: &[EventId]) -> Result<Vec<EventId>, StoreError> {
    let ids: Vec<_> = events.iter().map(|event| event.0).collect();
    let rows: Vec<(uuid::Uuid,)> = sqlx::query(
        "INSERT INTO event_inbox (event_id) SELECT * FROM unnest($1::uuid[]) ON CONFLICT DO NOTHING
         RETURNING event_id",
    )
    .bind(ids)
    .all(conn, "note events in the inbox")
    .await?;
    Ok(rows.into_iter().map(|(id,)| EventId(id)).collect())
}

/// Forgets events that were noted longer than `age` ago, a part of them. Gives how many.
async fn forget(pool: &PgPool, age: Duration) -> Result<i64, StoreError> {
    sqlx::query(
        "WITH forgotten AS (
             DELETE FROM event_inbox WHERE event_id IN (
                 SELECT event_id FROM event_inbox WHERE received_at < now() - $1 LIMIT $2)
             RETURNING 1)
         SELECT count(*) FROM forgotten",
    )
    .bind(interval(age))
    .bind(FORGOTTEN_AT_ONCE)
    .value(pool, "forget old events")
    .await
}

/// Forgets all such events. Gives how many.
pub async fn forget_all(pool: &PgPool, age: Duration) -> Result<i64, StoreError> {
    let mut total = 0;
    loop {
        let forgotten = forget(pool, age).await?;
        total += forgotten;
        if forgotten < FORGOTTEN_AT_ONCE {
            return Ok(total);
        }
    }
}
