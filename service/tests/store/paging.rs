//! Pages while the list changes: rows that come or go must not make another row come twice or not at all.

use std::collections::BTreeSet;

use insurance_service::domain::ids::DriverId;
use insurance_service::store::page::PageLimit;
use insurance_service::store::{DriverKey, PageRequest, Store, TripKey};
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

use crate::support::{DRIVERS, Fixture, trip};

const DRIVER: DriverId = DriverId(3);
/// Walks with other page sizes and other insertions each.
const WALKS: u64 = 12;

fn limit(rng: &mut ChaCha8Rng) -> PageLimit {
    PageLimit::new(rng.random_range(1..=25)).expect("a limit")
}

/// Records some trips at random moments, so that they land before, on and after any page.
async fn insert_trips(fixture: &Fixture, rng: &mut ChaCha8Rng) {
    for _ in 0..rng.random_range(0..3) {
        let mut trip = trip();
        trip.started_at -= chrono::TimeDelta::hours(rng.random_range(0..24 * 360));
        fixture
            .writer
            .record_trip(DRIVER, &trip)
            .await
            .unwrap()
            .expect("a driver");
    }
}

async fn trip_names(fixture: &Fixture) -> BTreeSet<String> {
    let request = PageRequest::first(PageLimit::new(200).expect("a limit"));
    let page = fixture
        .tuned
        .driver_trips(DRIVER, &request)
        .await
        .unwrap()
        .expect("a driver")
        .value;
    assert_eq!(page.next, None, "more trips than one page holds");
    page.items.iter().map(|trip| trip.id.to_string()).collect()
}

#[tokio::test]
async fn a_walk_meets_every_trip_that_was_there_and_none_twice() {
    let fixture = Fixture::seeded().await;
    for seed in 0..WALKS {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let before = trip_names(&fixture).await;
        let (mut from, mut met) = (None, Vec::new());
        loop {
            let request: PageRequest<TripKey> = PageRequest {
                limit: limit(&mut rng),
                from,
            };
            let page = fixture
                .tuned
                .driver_trips(DRIVER, &request)
                .await
                .unwrap()
                .expect("a driver")
                .value;
            met.extend(page.items.iter().map(|trip| (trip.started_at, trip.id)));
            insert_trips(&fixture, &mut rng).await;
            match page.next {
                Some(next) => from = Some(next),
                None => break,
            }
        }
        assert!(
            met.is_sorted_by(|newer, older| newer > older),
            "seed {seed}: a trip came twice or out of order"
        );
        let met: BTreeSet<String> = met.iter().map(|(_, id)| id.to_string()).collect();
        assert!(met.is_superset(&before), "seed {seed}: a trip was passed over");
    }
}

#[tokio::test]
async fn a_walk_meets_every_driver_that_was_there_and_none_twice() {
    let fixture = Fixture::seeded().await;
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let (mut from, mut met) = (None, Vec::new());
    loop {
        let request: PageRequest<DriverKey> = PageRequest {
            limit: limit(&mut rng),
            from,
        };
        let page = fixture.tuned.driver_list(&request).await.unwrap();
        met.extend(page.items.iter().map(|item| item.id.0));
        if met.len() < 100 {
            // One who joins lands at the end; one who leaves from what was read already would move every later OFFSET.
            sqlx::query(
                "INSERT INTO drivers (name, email, licence, born_on, joined_on, status)
                 SELECT 'New', 'new' || count(*) || '@example.com', 'N' || count(*), '1990-01-01', '2026-06-30',
                        'active'
                   FROM drivers",
            )
            .execute(&fixture.pool)
            .await
            .unwrap();
        }
        match page.next {
            Some(next) => from = Some(next),
            None => break,
        }
    }
    assert!(met.is_sorted_by(|one, next| one < next), "a driver came twice");
    let all: Vec<i64> = (1..=i64::from(DRIVERS)).collect();
    assert_eq!(met[..DRIVERS as usize], all[..]);
    assert!(
        met.len() > DRIVERS as usize,
        "those who joined during the walk are met at its end"
    );
}
