//! What a write leaves behind, and a rescoring by either store.

use std::collections::HashSet;

use futures_util::future::join_all;
use insurance_service::codec;
use insurance_service::domain::events::{Event, EventBody, EventId, EventName};
use insurance_service::domain::ids::DriverId;
use insurance_service::domain::risk::score;
use insurance_service::store::outbox::{self, Which};
use insurance_service::store::{CurrentRisk, Store};

use crate::support::{Fixture, NOBODY, rescore, trip};

const DRIVER: DriverId = DriverId(17);

#[tokio::test]
async fn a_trip_moves_the_version_the_totals_and_the_outbox_together() {
    let fixture = Fixture::seeded().await;
    for store in [&fixture.phase1 as &dyn Store, &fixture.tuned] {
        let before = store.current_risk(DRIVER).await.unwrap().expect("a driver");
        let summary = store.dashboard_summary().await.unwrap();
        let receipt = fixture
            .writer
            .record_trip(DRIVER, &trip())
            .await
            .unwrap()
            .expect("a driver");
        assert_eq!(receipt.version, before.version + 1);

        let details = store.driver_details(DRIVER).await.unwrap().expect("a driver");
        assert_eq!(details.version, receipt.version);
        let newest = details
            .value
            .recent_trips
            .iter()
            .find(|trip| trip.id == receipt.value)
            .expect("the trip");
        assert_eq!(newest.events.len(), 7);
        let after = store.dashboard_summary().await.unwrap();
        assert_eq!(after.trips, summary.trips + 1);
        assert_eq!(after.trips_last_30_days, summary.trips_last_30_days + 1);
        assert_eq!(after.distance_m, summary.distance_m + 20_123);
        assert_eq!(after.safety_events, summary.safety_events + 7);

        let batch = outbox::claim(&fixture.pool, Which::Rows(receipt.noted.events))
            .await
            .unwrap();
        let events: Vec<Event> = batch
            .events()
            .iter()
            .map(|event| codec::decode(&event.schema, &event.body).unwrap())
            .collect();
        let EventBody::TripRecorded(recorded) = &events[0].body else {
            panic!("the trip is told first: {events:?}");
        };
        assert_eq!(
            (recorded.driver_id, recorded.trip_id, recorded.version),
            (DRIVER, receipt.value, receipt.version)
        );
        assert_eq!(recorded.trip, trip());
        let noticed = events[1..].iter().map(|event| event.body.name());
        assert_eq!(
            noticed.collect::<Vec<_>>(),
            [EventName::SafetyEvent; 4],
            "one for each kind"
        );
        let names: HashSet<EventId> = events.iter().map(|event| event.id).collect();
        assert_eq!(names.len(), events.len(), "each has a name of its own");
        batch.done().await.unwrap();
    }
}

#[tokio::test]
async fn a_trip_of_nobody_writes_nothing() {
    let fixture = Fixture::seeded().await;
    let trips = fixture.number("SELECT count(*) FROM trips").await;
    assert_eq!(fixture.writer.record_trip(NOBODY, &trip()).await.unwrap(), None);
    for store in [&fixture.phase1 as &dyn Store, &fixture.tuned] {
        assert_eq!(rescore(store, NOBODY).await, None);
    }
    assert_eq!(fixture.number("SELECT count(*) FROM trips").await, trips);
    assert_eq!(fixture.number("SELECT count(*) FROM event_outbox").await, 0);
    assert_eq!(fixture.number("SELECT count(*) FROM cache_outbox").await, 0);
}

#[tokio::test]
async fn a_refused_trip_leaves_no_trace_and_names_the_constraint() {
    let fixture = Fixture::seeded().await;
    let before = fixture.tuned.driver_details(DRIVER).await.unwrap();
    let mut faulty = trip();
    faulty.night_share_pct = 101;
    let error = fixture.writer.record_trip(DRIVER, &faulty).await.unwrap_err();
    assert_eq!(error.constraint(), Some("trips_night_share_is_a_share"));
    assert!(!error.is_unavailable());
    assert_eq!(fixture.tuned.driver_details(DRIVER).await.unwrap(), before);
}

#[tokio::test]
async fn rescoring_follows_the_record_and_is_idempotent() {
    let fixture = Fixture::seeded().await;
    for store in [&fixture.phase1 as &dyn Store, &fixture.tuned] {
        let before = store.current_risk(DRIVER).await.unwrap().expect("a driver");
        let mut bad = trip();
        bad.events.harsh_braking = 900;
        let receipt = fixture
            .writer
            .record_trip(DRIVER, &bad)
            .await
            .unwrap()
            .expect("a driver");
        let rescored = rescore(store, DRIVER).await.expect("a driver");
        assert_eq!(rescored.version, receipt.version + 1);
        assert!(rescored.value.points > before.value.points);
        assert_eq!(rescored.value.exposure.trips, before.value.exposure.trips + 1);
        let score = score(&rescored.value.exposure);
        assert_eq!(CurrentRisk::new(DRIVER, score, rescored.value.exposure), rescored.value);

        assert_eq!(store.current_risk(DRIVER).await.unwrap().as_ref(), Some(&rescored));
        assert_eq!(rescore(store, DRIVER).await, Some(rescored));
    }
}

#[tokio::test]
async fn a_seeded_score_is_what_rescoring_gives() {
    let fixture = Fixture::seeded().await;
    for id in (1..=30).map(DriverId) {
        let seeded = fixture.tuned.current_risk(id).await.unwrap();
        assert_eq!(rescore(&fixture.phase1, id).await, seeded);
        assert_eq!(rescore(&fixture.tuned, id).await, seeded);
    }
}

/// Interleaving: trips and rescorings of the same and of different drivers overlap, from both stores. Versions must
/// come out as many as there were changes, and totals must equal a recount, which is what the other store answers.
#[tokio::test]
async fn concurrent_writers_lose_nothing() {
    let fixture = Fixture::seeded().await;
    let drivers = [DriverId(1), DriverId(17), DriverId(33), DriverId(2)];
    let one = async |turn: usize| {
        let store: &dyn Store = if turn.is_multiple_of(3) {
            &fixture.phase1
        } else {
            &fixture.tuned
        };
        let id = drivers[turn % drivers.len()];
        let receipt = fixture
            .writer
            .record_trip(id, &trip())
            .await
            .unwrap()
            .expect("a driver");
        rescore(store, id).await.expect("a driver");
        (id, receipt.version)
    };
    let mut versions = join_all((0..40).map(one)).await;
    versions.sort_unstable();
    versions.dedup();
    assert_eq!(
        versions.len(),
        40,
        "two trips of one driver were given the same version"
    );

    let phase1 = fixture.phase1.dashboard_summary().await.unwrap();
    assert_eq!(phase1, fixture.tuned.dashboard_summary().await.unwrap());
    for id in drivers {
        let tuned = fixture.tuned.current_risk(id).await.unwrap();
        assert_eq!(fixture.phase1.current_risk(id).await.unwrap(), tuned);
    }
    assert_eq!(
        fixture
            .number("SELECT count(*) FROM event_outbox WHERE kind = 'trip_recorded'")
            .await,
        40
    );
}

/// Interleaving:
/// 1. a writer holds the driver's row and has not yet changed the totals;
/// 2. a rescoring of the same driver starts and has to wait;
/// 3. the writer changes the totals and commits;
/// 4. the rescoring goes on.
///
/// Had it read the totals before it waited, it would now store a score that is older than the rows.
#[tokio::test]
async fn a_rescoring_that_waited_for_a_writer_sees_what_it_wrote() {
    let fixture = Fixture::seeded().await;
    let before = fixture.tuned.current_risk(DRIVER).await.unwrap().expect("a driver");
    let mut writer = fixture.pool.begin().await.unwrap();
    sqlx::query("UPDATE drivers SET version = version + 1 WHERE id = $1")
        .bind(DRIVER.0)
        .execute(&mut *writer)
        .await
        .unwrap();

    let store = fixture.tuned.clone();
    let rescoring = tokio::spawn(async move { rescore(&store, DRIVER).await });
    fixture.until_somebody_waits_for_a_lock().await;

    sqlx::query("UPDATE driver_exposure SET claims = claims + 3 WHERE driver_id = $1")
        .bind(DRIVER.0)
        .execute(&mut *writer)
        .await
        .unwrap();
    writer.commit().await.unwrap();
    let rescored = rescoring.await.unwrap().expect("a driver");
    assert_eq!(rescored.value.exposure.claims, before.value.exposure.claims + 3);
    assert!(rescored.value.points > before.value.points);
    assert_eq!(rescored.version, before.version + 2);
}
