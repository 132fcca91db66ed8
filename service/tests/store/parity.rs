//! Both stores give the same answers to the byte.

use insurance_service::domain::claims::{ClaimChange, ClaimStatus, NewClaim};
use insurance_service::domain::drivers::{DriverChange, DriverStatus};
use insurance_service::domain::ids::DriverId;
use insurance_service::domain::money::Cents;
use insurance_service::store::page::PageLimit;
use insurance_service::store::{ClaimOutcome, DriverKey, PageRequest, Store, TripKey};
use rand::seq::IteratorRandom as _;
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use serde::Serialize;

use crate::support::{DRIVERS, Fixture, NOBODY, as_of, rescore, trip};

const COMPARED: usize = 150;
const WRITTEN: usize = 40;
/// Pages of one walk through a list, at most.
const PAGES: usize = 400;

fn json<T: Serialize>(answer: &T) -> String {
    serde_json::to_string(answer).expect("JSON")
}

/// Asks both stores the same and compares the bytes.
macro_rules! assert_alike {
    ($fixture:expr, $store:ident => $ask:expr) => {{
        let $store = &$fixture.phase1;
        let phase1 = json(&$ask.await.expect("an answer"));
        let $store = &$fixture.tuned;
        let tuned = json(&$ask.await.expect("an answer"));
        assert_eq!(phase1, tuned, "{}", stringify!($ask));
    }};
}

fn some_drivers(rng: &mut ChaCha8Rng, count: usize) -> Vec<DriverId> {
    (1..=i64::from(DRIVERS))
        .sample(rng, count)
        .into_iter()
        .map(DriverId)
        .collect()
}

async fn assert_equal_answers(fixture: &Fixture, drivers: &[DriverId]) {
    assert_alike!(fixture, store => store.dashboard_summary());
    assert_alike!(fixture, store => store.trip_activity());
    assert_alike!(fixture, store => store.risk_distribution());
    assert_alike!(fixture, store => store.safety_events());
    assert_alike!(fixture, store => store.claims_overview());
    assert_alike!(fixture, store => store.resource_metrics());
    for id in drivers.iter().copied() {
        assert_alike!(fixture, store => store.driver_details(id));
        assert_alike!(fixture, store => store.current_risk(id));
        assert_alike!(fixture, store => store.premium(id));
        assert_alike!(fixture, store => store.driver_statistics(id));
    }
}

/// Walks both stores' list of drivers from the beginning, with pages of random size.
async fn assert_equal_driver_lists(fixture: &Fixture, rng: &mut ChaCha8Rng) -> usize {
    let (mut from, mut seen) = (None, 0);
    for _ in 0..PAGES {
        let limit = PageLimit::new(rng.random_range(1..=40)).expect("a limit");
        let request: PageRequest<DriverKey> = PageRequest { limit, from };
        let phase1 = fixture.phase1.driver_list(&request).await.expect("an answer");
        let tuned = fixture.tuned.driver_list(&request).await.expect("an answer");
        assert_eq!((json(&phase1.items), phase1.next), (json(&tuned.items), tuned.next));
        seen += tuned.items.len();
        match tuned.next {
            Some(next) => from = Some(next),
            None => return seen,
        }
    }
    panic!("the list does not end");
}

/// The same for one driver's trips.
async fn assert_equal_trip_lists(fixture: &Fixture, id: DriverId, rng: &mut ChaCha8Rng) -> usize {
    let (mut from, mut seen) = (None, 0);
    for _ in 0..PAGES {
        let limit = PageLimit::new(rng.random_range(1..=30)).expect("a limit");
        let request: PageRequest<TripKey> = PageRequest { limit, from };
        let ask = async |store: &dyn Store| {
            store
                .driver_trips(id, &request)
                .await
                .expect("an answer")
                .expect("a driver")
        };
        let (phase1, tuned) = (ask(&fixture.phase1).await, ask(&fixture.tuned).await);
        assert_eq!(phase1.version, tuned.version);
        let (phase1, tuned) = (phase1.value, tuned.value);
        assert_eq!((json(&phase1.items), phase1.next), (json(&tuned.items), tuned.next));
        seen += tuned.items.len();
        match tuned.next {
            Some(next) => from = Some(next),
            None => return seen,
        }
    }
    panic!("the list does not end");
}

/// Every kind of write, and a rescoring by either store in turn: each must leave what both read.
async fn write(fixture: &Fixture, turn: usize, id: DriverId, rng: &mut ChaCha8Rng) {
    let store: &dyn Store = if turn.is_multiple_of(2) {
        &fixture.phase1
    } else {
        &fixture.tuned
    };
    let mut trip = trip();
    trip.started_at -= chrono::TimeDelta::hours(rng.random_range(0..24 * 60));
    trip.events.harsh_braking = rng.random_range(0..40);
    let writer = &fixture.writer;
    writer.record_trip(id, &trip).await.unwrap().expect("a driver");
    let claim = NewClaim {
        amount: Cents(rng.random_range(1..500_000)),
        occurred_on: as_of(),
    };
    let filed = writer
        .file_claim(id, &claim)
        .await
        .unwrap()
        .expect("a driver")
        .value
        .claim;
    let status = [None, Some(ClaimStatus::Paid), Some(ClaimStatus::Rejected)][turn % 3];
    let amount = turn.is_multiple_of(4).then(|| Cents(rng.random_range(1..500_000)));
    if status.is_some() || amount.is_some() {
        let outcome = writer
            .change_claim(filed.id, ClaimChange { status, amount })
            .await
            .unwrap();
        assert!(matches!(outcome, ClaimOutcome::Changed(_)), "{outcome:?}");
    }
    let change = DriverChange {
        name: Some(format!("Renamed {turn}")),
        status: DriverStatus::ALL.get(turn % 5).copied(),
        ..DriverChange::default()
    };
    writer.update_driver(id, &change).await.unwrap().expect("a driver");
    rescore(store, id).await.expect("a driver");
}

#[tokio::test]
async fn both_stores_answer_alike_before_and_after_writes() {
    let fixture = Fixture::seeded().await;
    let mut rng = ChaCha8Rng::seed_from_u64(7);
    assert_equal_answers(&fixture, &some_drivers(&mut rng, COMPARED)).await;

    let written = some_drivers(&mut rng, WRITTEN);
    for (turn, id) in written.iter().copied().enumerate() {
        write(&fixture, turn, id, &mut rng).await;
    }
    let mut compared = written;
    compared.extend(some_drivers(&mut rng, COMPARED));
    assert_equal_answers(&fixture, &compared).await;
}

#[tokio::test]
async fn both_stores_page_alike() {
    let fixture = Fixture::seeded().await;
    let mut rng = ChaCha8Rng::seed_from_u64(11);
    for _ in 0..10 {
        assert_eq!(assert_equal_driver_lists(&fixture, &mut rng).await, DRIVERS as usize);
    }
    for id in some_drivers(&mut rng, 60) {
        let trips = fixture
            .tuned
            .driver_statistics(id)
            .await
            .unwrap()
            .expect("a driver")
            .value
            .trips;
        let seen = assert_equal_trip_lists(&fixture, id, &mut rng).await;
        assert_eq!(i64::try_from(seen).unwrap(), trips, "{id}");
    }
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
async fn the_dashboards_agree_with_each_other() {
    let fixture = Fixture::seeded().await;
    let tuned = &fixture.tuned;
    let summary = tuned.dashboard_summary().await.unwrap();
    let activity = tuned.trip_activity().await.unwrap();
    assert_eq!((activity.days.len(), activity.trips), (30, summary.trips_last_30_days));
    assert_eq!(activity.distance_m, summary.distance_m_last_30_days);
    assert_eq!(activity.days.last().map(|day| day.day), Some(as_of()));
    assert!(activity.days.iter().any(|day| day.trips > 0));

    let risk = tuned.risk_distribution().await.unwrap();
    assert_eq!(
        (risk.scored_drivers, risk.average_risk_points),
        (summary.drivers, summary.average_risk_points)
    );
    let events = tuned.safety_events().await.unwrap();
    assert_eq!(events.distance_m, activity.distance_m);
    assert!(events.events > 0 && events.kinds.iter().all(|kind| kind.events > 0));
    let claims = tuned.claims_overview().await.unwrap();
    assert_eq!(
        (claims.open.claims, claims.incurred_cents),
        (summary.open_claims, summary.incurred_cents)
    );
    let all = tuned.resource_metrics().await.unwrap();
    assert_eq!(
        (all.drivers, all.trips, all.claims),
        (summary.drivers, summary.trips, claims.claims)
    );
    assert!(all.vehicles > all.drivers && all.policies == all.vehicles);
}

#[tokio::test]
async fn a_premium_is_the_sum_of_its_vehicles() {
    let fixture = Fixture::seeded().await;
    for id in (1..=i64::from(DRIVERS)).map(DriverId) {
        let premium = fixture.tuned.premium(id).await.unwrap().expect("a driver").value;
        let sum: Cents = premium
            .vehicles
            .iter()
            .map(|vehicle| vehicle.rating.annual_premium_cents)
            .sum();
        assert!(
            !premium.vehicles.is_empty() && premium.annual_premium_cents == sum && sum > Cents(0),
            "{premium:?}"
        );
    }
}

#[tokio::test]
async fn both_stores_know_who_is_not_there_and_who_drives_most() {
    let fixture = Fixture::seeded().await;
    for store in [&fixture.phase1 as &dyn Store, &fixture.tuned] {
        assert!(store.driver_details(NOBODY).await.unwrap().is_none());
        assert!(store.current_risk(NOBODY).await.unwrap().is_none());
        assert!(store.premium(NOBODY).await.unwrap().is_none());
        assert!(store.driver_statistics(NOBODY).await.unwrap().is_none());
        let page = PageRequest::first(PageLimit::DEFAULT);
        assert!(store.driver_trips(NOBODY, &page).await.unwrap().is_none());
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
    let mut rng = ChaCha8Rng::seed_from_u64(3);
    assert_equal_answers(&fixture, &[DriverId(1)]).await;
    assert_eq!(assert_equal_driver_lists(&fixture, &mut rng).await, 1);
    assert_eq!(assert_equal_trip_lists(&fixture, DriverId(1), &mut rng).await, 0);

    // The first claim and the first trip of a driver make the rows of the totals that are not there yet.
    write(&fixture, 0, DriverId(1), &mut rng).await;
    assert_equal_answers(&fixture, &[DriverId(1)]).await;
    assert_eq!(assert_equal_driver_lists(&fixture, &mut rng).await, 1);
    assert_eq!(assert_equal_trip_lists(&fixture, DriverId(1), &mut rng).await, 1);
}
