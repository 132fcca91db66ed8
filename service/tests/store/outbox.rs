//! Claiming events: each is given to one relay at a time, and to another if that one fails.

use std::time::Duration;

use insurance_service::domain::ids::DriverId;
use insurance_service::domain::trips::{EventCounts, NewTrip};
use insurance_service::store::outbox::{self, ClaimedBatch, Which};
use sqlx::PgPool;

use crate::support::{Fixture, trip};

/// A trip on which nothing was noticed: one event.
fn calm_trip() -> NewTrip {
    NewTrip {
        events: EventCounts::default(),
        ..trip()
    }
}

/// A fixture with the events of `count` trips, and their rows.
async fn with_events(count: i64) -> (Fixture, Vec<i64>) {
    let fixture = Fixture::seeded().await;
    let mut rows = Vec::new();
    for id in 1..=count {
        let recorded = fixture.writer.record_trip(DriverId(id), &calm_trip()).await;
        rows.extend(recorded.expect("a trip").expect("a driver").noted.events);
    }
    (fixture, rows)
}

async fn claim_oldest(pool: &PgPool, limit: i64) -> ClaimedBatch {
    let than = Duration::ZERO;
    outbox::claim(pool, Which::Older { than, limit }).await.unwrap()
}

fn drivers(batch: &ClaimedBatch) -> Vec<i64> {
    batch.events().iter().map(|event| event.driver_id.0).collect()
}

#[tokio::test]
async fn two_relays_share_the_events_and_done_removes_them() {
    let (fixture, _) = with_events(5).await;
    let first = claim_oldest(&fixture.pool, 3).await;
    let second = claim_oldest(&fixture.pool, 3).await;
    assert_eq!(drivers(&first), [1, 2, 3]);
    assert_eq!(drivers(&second), [4, 5]);
    assert!(claim_oldest(&fixture.pool, 3).await.events().is_empty());
    first.done().await.unwrap();
    second.done().await.unwrap();
    assert_eq!(fixture.number("SELECT count(*) FROM event_outbox").await, 0);
}

#[tokio::test]
async fn an_abandoned_batch_is_claimed_again() {
    let (fixture, _) = with_events(2).await;
    // One connection: the second claim gets it when the first one's rollback is through, and no earlier.
    let pool = fixture.pool_of_one().await;
    drop(claim_oldest(&pool, 10).await);
    let again = claim_oldest(&pool, 10).await;
    assert_eq!(drivers(&again), [1, 2]);
    again.done().await.unwrap();
}

#[tokio::test]
async fn rows_that_were_handed_over_are_claimed_by_number_and_others_when_they_have_waited() {
    let (fixture, rows) = with_events(3).await;
    let handed_over = outbox::claim(&fixture.pool, Which::Rows(vec![rows[2], rows[0]]))
        .await
        .unwrap();
    assert_eq!(drivers(&handed_over), [1, 3], "the oldest first");
    let than = Duration::from_mins(10);
    let overdue = outbox::claim(&fixture.pool, Which::Older { than, limit: 10 })
        .await
        .unwrap();
    assert!(overdue.events().is_empty(), "their writers may still hand them over");
    handed_over.done().await.unwrap();
    assert_eq!(outbox::waiting(&fixture.pool, 10).await.unwrap(), 1);
}

#[tokio::test]
async fn an_empty_outbox_gives_an_empty_batch() {
    let (fixture, _) = with_events(0).await;
    let batch = claim_oldest(&fixture.pool, 10).await;
    assert!(batch.events().is_empty());
    batch.done().await.unwrap();
}
