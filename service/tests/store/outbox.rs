//! Claiming events: each is given to one relay at a time, and to another if that one fails.

use insurance_service::domain::ids::DriverId;
use insurance_service::store::outbox::{self, ClaimedBatch};

use crate::support::{Fixture, trip};

async fn with_events(count: i64) -> Fixture {
    let fixture = Fixture::seeded().await;
    for id in 1..=count {
        fixture
            .writer
            .record_trip(DriverId(id), &trip())
            .await
            .expect("a trip")
            .expect("a driver");
    }
    fixture
}

fn drivers(batch: &ClaimedBatch) -> Vec<i64> {
    batch.events().iter().map(|event| event.driver_id.0).collect()
}

#[tokio::test]
async fn two_relays_share_the_events_and_done_removes_them() {
    let fixture = with_events(5).await;
    let first = outbox::claim(&fixture.pool, 3).await.unwrap();
    let second = outbox::claim(&fixture.pool, 3).await.unwrap();
    assert_eq!(drivers(&first), [1, 2, 3]);
    assert_eq!(drivers(&second), [4, 5]);
    assert!(outbox::claim(&fixture.pool, 3).await.unwrap().events().is_empty());
    first.done().await.unwrap();
    second.done().await.unwrap();
    assert_eq!(fixture.number("SELECT count(*) FROM event_outbox").await, 0);
}

#[tokio::test]
async fn an_abandoned_batch_is_claimed_again() {
    let fixture = with_events(2).await;
    // One connection: the second claim gets it when the first one's rollback is through, and no earlier.
    let pool = fixture.pool_of_one().await;
    drop(outbox::claim(&pool, 10).await.unwrap());
    let again = outbox::claim(&pool, 10).await.unwrap();
    assert_eq!(drivers(&again), [1, 2]);
    again.done().await.unwrap();
}

#[tokio::test]
async fn an_empty_outbox_gives_an_empty_batch() {
    let fixture = with_events(0).await;
    let batch = outbox::claim(&fixture.pool, 10).await.unwrap();
    assert!(batch.events().is_empty());
    batch.done().await.unwrap();
}
