//! Taking in events: each has its effect once, whatever comes again, in either store.

use std::time::Duration;

use futures_util::future::join_all;
use insurance_service::codec;
use insurance_service::domain::events::{EventBody, EventId, RiskChanged};
use insurance_service::domain::ids::DriverId;
use insurance_service::store::outbox::{self, Which};
use insurance_service::store::{Store, TakenIn, inbox};

use crate::support::{Fixture, trip};

const DRIVER: DriverId = DriverId(3);

fn both(fixture: &Fixture) -> [&dyn Store; 2] {
    [&fixture.phase1, &fixture.tuned]
}

async fn record(fixture: &Fixture, driver: DriverId) -> i64 {
    let recorded = fixture.writer.record_trip(driver, &trip()).await;
    recorded.expect("a trip").expect("a driver").version
}

/// What the outbox tells of scores, oldest first.
async fn told(fixture: &Fixture) -> Vec<RiskChanged> {
    let (than, limit) = (Duration::ZERO, 1_000);
    let waiting = outbox::claim(&fixture.pool, Which::Older { than, limit })
        .await
        .unwrap();
    let events = waiting
        .events()
        .iter()
        .map(|event| codec::decode(&event.schema, &event.body).expect("readable"));
    let told = events.filter_map(|event| match event.body {
        EventBody::RiskChanged(told) => Some(told),
        _ => None,
    });
    told.collect()
}

#[tokio::test]
async fn an_event_that_comes_again_changes_nothing() {
    let fixture = Fixture::seeded().await;
    for store in both(&fixture) {
        record(&fixture, DRIVER).await;
        let event = (EventId::of_now(), DRIVER);
        let first = store.take_in(&[event]).await.unwrap();
        assert_eq!((first.fresh, &first.changed[..]), (1, &[DRIVER][..]));
        // Rows behind the consumer's back: an effect that was applied twice would show them.
        sqlx::query("UPDATE driver_exposure SET claims = claims + 1 WHERE driver_id = $1")
            .bind(DRIVER.0)
            .execute(&fixture.pool)
            .await
            .unwrap();
        let version = store.current_risk(DRIVER).await.unwrap().expect("a driver").version;
        assert_eq!(store.take_in(&[event, event]).await.unwrap(), TakenIn::default());
        assert_eq!(
            store.current_risk(DRIVER).await.unwrap().expect("a driver").version,
            version
        );
    }
}

#[tokio::test]
async fn another_score_is_told_with_the_one_before() {
    let fixture = Fixture::seeded().await;
    for (store, driver) in both(&fixture).into_iter().zip([DRIVER, DriverId(4)]) {
        let before = fixture
            .tuned
            .current_risk(driver)
            .await
            .unwrap()
            .expect("a driver")
            .value;
        let recorded = record(&fixture, driver).await;
        let taken_in = store.take_in(&[(EventId::of_now(), driver)]).await.unwrap();
        assert_eq!(taken_in.events.len(), 1);
        let after = store.current_risk(driver).await.unwrap().expect("a driver");
        let told = told(&fixture).await.pop().expect("told");
        assert_eq!((told.driver_id, told.version), (driver, recorded + 1));
        assert_eq!(told.version, after.version);
        assert_eq!(told.score.points.to_bits(), after.value.points.to_bits());
        let told_before = told.before.expect("there was one");
        assert_eq!(
            (told_before.points.to_bits(), told_before.band),
            (before.points.to_bits(), before.band)
        );
    }
}

/// A batch of many drivers, with events of some of them twice, of drivers that there are not, and of scores that stay.
#[tokio::test]
async fn a_batch_leaves_what_its_events_one_by_one_leave() {
    let (batch, single) = (Fixture::seeded().await, Fixture::seeded().await);
    let drivers: Vec<DriverId> = (1..=250).map(DriverId).collect();
    for driver in &drivers[..200] {
        for fixture in [&batch, &single] {
            record(fixture, *driver).await;
        }
    }
    let mut events: Vec<_> = drivers.iter().map(|driver| (EventId::of_now(), *driver)).collect();
    events.extend(drivers[..50].iter().map(|driver| (EventId::of_now(), *driver)));
    events.push((EventId::of_now(), DriverId(1_000_000_000)));
    let taken_in = batch.tuned.take_in(&events).await.unwrap();
    assert_eq!((taken_in.fresh, taken_in.changed.len()), (events.len(), 200));
    for event in &events {
        single.phase1.take_in(&[*event]).await.unwrap();
    }
    let (one, other) = (&batch.tuned, &single.tuned);
    assert_eq!(
        one.dashboard_summary().await.unwrap(),
        other.dashboard_summary().await.unwrap()
    );
    assert_eq!(
        one.risk_distribution().await.unwrap(),
        other.risk_distribution().await.unwrap()
    );
    assert_eq!(
        one.dashboard_summary().await.unwrap(),
        batch.phase1.dashboard_summary().await.unwrap()
    );
    for driver in drivers {
        assert_eq!(
            one.current_risk(driver).await.unwrap(),
            other.current_risk(driver).await.unwrap()
        );
    }
    assert_eq!(told(&batch).await.len(), told(&single).await.len());
}

/// Replicas that take in the same events at the same time, in any order, with writers in between: each event has its
/// effect once, nobody waits for ever.
#[tokio::test]
async fn the_same_events_at_the_same_time_have_one_effect() {
    let fixture = Fixture::seeded().await;
    let drivers: Vec<DriverId> = (1..=40).map(DriverId).collect();
    for driver in &drivers {
        record(&fixture, *driver).await;
    }
    let events: Vec<_> = drivers.iter().map(|driver| (EventId::of_now(), *driver)).collect();
    let backwards: Vec<_> = events.iter().rev().copied().collect();
    let takers = (0..6).map(|turn| {
        let store: &dyn Store = if turn == 0 { &fixture.phase1 } else { &fixture.tuned };
        let events = if turn % 2 == 0 { &events } else { &backwards };
        async move { store.take_in(events).await.expect("taken in").fresh }
    });
    let writers = drivers.iter().map(|driver| record(&fixture, *driver));
    let (fresh, _versions) = tokio::join!(join_all(takers), join_all(writers));
    assert_eq!(fresh.into_iter().sum::<usize>(), events.len());
    let again: Vec<_> = drivers.iter().map(|driver| (EventId::of_now(), *driver)).collect();
    fixture.tuned.take_in(&again).await.unwrap();
    assert_eq!(
        fixture.phase1.dashboard_summary().await.unwrap(),
        fixture.tuned.dashboard_summary().await.unwrap()
    );
}

#[tokio::test]
async fn the_inbox_forgets_what_is_old_enough() {
    let fixture = Fixture::seeded().await;
    let event = (EventId::of_now(), DRIVER);
    fixture.tuned.take_in(&[event]).await.unwrap();
    assert_eq!(
        inbox::forget_all(&fixture.pool, Duration::from_mins(10)).await.unwrap(),
        0
    );
    assert_eq!(inbox::forget_all(&fixture.pool, Duration::ZERO).await.unwrap(), 1);
    assert_eq!(fixture.tuned.take_in(&[event]).await.unwrap().fresh, 1);
}
