//! Both stores give the same answers to the byte.

use insurance_service::domain::ids::DriverId;
use insurance_service::store::Store;
use rand::seq::IteratorRandom as _;
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use serde::Serialize;

use crate::support::{DRIVERS, Fixture, NOBODY, trip};

const COMPARED: usize = 100;
const WRITTEN: usize = 40;

fn json<T: Serialize>(answer: &T) -> String {
    serde_json::to_string(answer).expect("JSON")
}

fn some_drivers(rng: &mut ChaCha8Rng, count: usize) -> Vec<DriverId> {
    (1..=i64::from(DRIVERS))
        .sample(rng, count)
        .into_iter()
        .map(DriverId)
        .collect()
}

async fn assert_equal_answers(fixture: &Fixture, drivers: &[DriverId]) {
    let (phase1, tuned) = (&fixture.phase1, &fixture.tuned);
    assert_eq!(
        json(&phase1.dashboard_summary().await.expect("an answer")),
        json(&tuned.dashboard_summary().await.expect("an answer"))
    );
    for id in drivers.iter().copied() {
        let details = phase1.driver_details(id).await.expect("an answer").expect("a driver");
        assert_eq!(
            json(&details),
            json(&tuned.driver_details(id).await.expect("an answer").expect("a driver"))
        );
        let risk = phase1.current_risk(id).await.expect("an answer").expect("a driver");
        assert_eq!(
            json(&risk),
            json(&tuned.current_risk(id).await.expect("an answer").expect("a driver"))
        );
    }
}

#[tokio::test]
async fn both_stores_answer_alike_before_and_after_writes() {
    let fixture = Fixture::seeded().await;
    let mut rng = ChaCha8Rng::seed_from_u64(7);
    assert_equal_answers(&fixture, &some_drivers(&mut rng, COMPARED)).await;

    let written = some_drivers(&mut rng, WRITTEN);
    for (turn, id) in written.iter().copied().enumerate() {
        // Writes of either store must leave what both read.
        let store: &dyn Store = if turn.is_multiple_of(2) {
            &fixture.phase1
        } else {
            &fixture.tuned
        };
        let mut trip = trip();
        trip.started_at -= chrono::TimeDelta::hours(rng.random_range(0..24 * 60));
        trip.events.harsh_braking = rng.random_range(0..40);
        store.record_trip(id, &trip).await.unwrap().expect("a driver");
        store.rescore(id).await.unwrap().expect("a driver");
    }
    let mut compared = written;
    compared.extend(some_drivers(&mut rng, COMPARED));
    assert_equal_answers(&fixture, &compared).await;
}

#[tokio::test]
async fn the_answers_are_worth_comparing() {
    let fixture = Fixture::seeded().await;
    let summary = fixture.tuned.dashboard_summary().await.unwrap();
    assert_eq!(summary.drivers, i64::from(DRIVERS));
    assert!(summary.active_drivers < summary.drivers);
    assert!(0 < summary.trips_last_30_days && summary.trips_last_30_days < summary.trips);
    assert!(summary.open_claims > 0 && summary.incurred_cents.0 > 0);
    let bands = summary.risk_bands;
    assert_eq!(bands.low + bands.moderate + bands.high + bands.severe, summary.drivers);
    assert!(bands.low > 0 && bands.moderate > 0 && bands.high > 0, "{bands:?}");

    let details = fixture
        .tuned
        .driver_details(DriverId(1))
        .await
        .unwrap()
        .expect("a driver")
        .value;
    assert_eq!(details.recent_trips.len(), 10);
    assert!(
        details
            .recent_trips
            .is_sorted_by(|newer, older| newer.started_at >= older.started_at)
    );
    assert!(details.recent_trips.iter().any(|trip| !trip.events.is_empty()));
    assert!(details.vehicles.iter().all(|vehicle| vehicle.policy.is_some()) && !details.vehicles.is_empty());
}

#[tokio::test]
async fn both_stores_know_who_is_not_there_and_who_drives_most() {
    let fixture = Fixture::seeded().await;
    for store in [&fixture.phase1 as &dyn Store, &fixture.tuned] {
        assert!(store.driver_details(NOBODY).await.unwrap().is_none());
        assert!(store.current_risk(NOBODY).await.unwrap().is_none());
        store.ping().await.unwrap();
    }
    let busiest = fixture.phase1.busiest_drivers(20).await.unwrap();
    assert_eq!(busiest.len(), 20);
    assert_eq!(busiest, fixture.tuned.busiest_drivers(20).await.unwrap());
}

#[tokio::test]
async fn an_empty_portfolio_and_a_driver_without_a_record_are_answered_alike() {
    let fixture = Fixture::migrated().await;
    assert_equal_answers(&fixture, &[]).await;
    sqlx::query(
        "INSERT INTO drivers (name, email, licence, born_on, joined_on, status)
         VALUES ('New Driver', 'new@example.com', 'DL1', '1990-01-01', '2026-06-30', 'active')",
    )
    .execute(&fixture.pool)
    .await
    .unwrap();
    sqlx::query("UPDATE portfolio_shards SET drivers = 1, active_drivers = 1 WHERE shard = 1")
        .execute(&fixture.pool)
        .await
        .unwrap();
    assert_equal_answers(&fixture, &[DriverId(1)]).await;

    // The first trip of a driver makes the rows of the totals that are not there yet.
    fixture
        .tuned
        .record_trip(DriverId(1), &trip())
        .await
        .unwrap()
        .expect("a driver");
    fixture.tuned.rescore(DriverId(1)).await.unwrap().expect("a driver");
    assert_equal_answers(&fixture, &[DriverId(1)]).await;
}
