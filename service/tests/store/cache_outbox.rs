//! Invalidations that are committed with their rows, until they are made.

use std::time::Duration;

use insurance_service::codec::Format;
use insurance_service::domain::claims::NewClaim;
use insurance_service::domain::drivers::DriverChange;
use insurance_service::domain::ids::DriverId;
use insurance_service::domain::money::Cents;
use insurance_service::store::{Writer, cache_outbox};

use crate::support::{Fixture, as_of, trip};

const MINUTE: Duration = Duration::from_mins(1);

impl Fixture {
    /// Makes every row older than what is left to its writer, or than a claim lasts.
    async fn let_time_pass(&self) {
        sqlx::query(
            "UPDATE cache_outbox SET created_at = created_at - interval '1 minute',
                    claimed_until = claimed_until - interval '1 minute', done_at = done_at - interval '1 minute'",
        )
        .execute(&self.pool)
        .await
        .expect("time passes");
    }

    /// The tags of what can be claimed now, in any order of rows.
    async fn claimed(&self) -> Vec<String> {
        let rows = cache_outbox::claim(&self.pool, 10).await.expect("claims");
        let mut tags: Vec<String> = rows.into_iter().flat_map(|row| row.tags).collect();
        tags.sort();
        tags
    }
}

async fn record(fixture: &Fixture, driver: i64) -> i64 {
    let recorded = fixture.writer.record_trip(DriverId(driver), &trip()).await.unwrap();
    recorded.expect("a driver").noted.invalidation.expect("a row")
}

#[tokio::test]
async fn every_kind_of_write_notes_what_it_ends() {
    let fixture = Fixture::seeded().await;
    record(&fixture, 1).await;
    let claim = NewClaim {
        amount: Cents(100),
        occurred_on: as_of(),
    };
    fixture.writer.file_claim(DriverId(2), &claim).await.unwrap();
    let change = DriverChange {
        name: Some("Ada".to_owned()),
        ..DriverChange::default()
    };
    fixture.writer.update_driver(DriverId(3), &change).await.unwrap();
    fixture.let_time_pass().await;
    assert_eq!(
        fixture.claimed().await,
        ["claim_filed:2", "driver_updated:3", "trip_recorded:1"]
    );
}

#[tokio::test]
async fn without_a_cache_nothing_is_noted() {
    let fixture = Fixture::seeded().await;
    let writer = Writer::new(fixture.pool.clone(), Format::Json, None);
    let recorded = writer.record_trip(DriverId(1), &trip()).await.unwrap();
    assert_eq!(recorded.expect("a driver").noted.invalidation, None);
    assert_eq!(fixture.number("SELECT count(*) FROM cache_outbox").await, 0);
    assert_eq!(
        fixture
            .number("SELECT count(*) FROM event_outbox WHERE kind = 'trip_recorded'")
            .await,
        1
    );
}

#[tokio::test]
async fn a_row_is_left_to_its_writer_then_claimed_by_one_relay_and_by_another_if_that_fails() {
    let fixture = Fixture::seeded().await;
    record(&fixture, 1).await;
    assert_eq!(fixture.claimed().await, [""; 0], "its writer may still do it");
    fixture.let_time_pass().await;
    assert_eq!(fixture.claimed().await, ["trip_recorded:1"]);
    assert_eq!(fixture.claimed().await, [""; 0], "somebody is at it");
    fixture.let_time_pass().await;
    assert_eq!(
        fixture.claimed().await,
        ["trip_recorded:1"],
        "who claimed it has failed"
    );
}

#[tokio::test]
async fn what_is_done_is_done_until_it_is_opened_again_or_removed() {
    let fixture = Fixture::seeded().await;
    let rows = [record(&fixture, 1).await, record(&fixture, 2).await];
    cache_outbox::confirm(&fixture.pool, &rows[..1]).await.unwrap();
    fixture.let_time_pass().await;
    cache_outbox::confirm(&fixture.pool, &rows[1..]).await.unwrap();
    assert_eq!(fixture.claimed().await, [""; 0]);

    cache_outbox::reopen(&fixture.pool, MINUTE / 2).await.unwrap();
    assert_eq!(
        fixture.claimed().await,
        ["trip_recorded:2"],
        "the other was done too long ago"
    );
    cache_outbox::remove_old(&fixture.pool, MINUTE / 2).await.unwrap();
    assert_eq!(fixture.number("SELECT count(*) FROM cache_outbox").await, 1);
    assert_eq!(
        fixture
            .number("SELECT count(*) FROM cache_outbox WHERE done_at IS NULL")
            .await,
        1,
        "what is not done is never removed"
    );
}
