//! How many statements each read sends, by the word of the server (`pg_stat_statements`).

use insurance_service::domain::ids::DriverId;
use insurance_service::store::page::PageLimit;
use insurance_service::store::{PageRequest, Store};
use sqlx::PgPool;

use crate::support::Fixture;

/// Statements that the server counts for one database.
struct Counter {
    admin: PgPool,
    database: String,
}

impl Counter {
    async fn of(fixture: &Fixture) -> Self {
        Self {
            admin: fixture.admin().await,
            database: fixture.database.clone(),
        }
    }

    async fn total(&self) -> i64 {
        sqlx::query_scalar(
            "SELECT coalesce(sum(calls), 0)::bigint FROM pg_stat_statements
              WHERE dbid = (SELECT oid FROM pg_database WHERE datname = $1)",
        )
        .bind(&self.database)
        .fetch_one(&self.admin)
        .await
        .expect("the count of statements")
    }

    async fn during<T>(&self, read: impl Future<Output = T>) -> i64 {
        let before = self.total().await;
        read.await;
        self.total().await - before
    }
}

/// The sizes of page that are tried: what a read costs must not follow them in the tuned store.
const LIMITS: [u16; 3] = [1, 50, 200];

fn first<K: Copy>(limit: u16) -> PageRequest<K> {
    PageRequest::first(PageLimit::new(limit).expect("a limit"))
}

#[tokio::test]
async fn the_tuned_store_sends_one_statement_per_read() {
    let fixture = Fixture::seeded().await;
    let counter = Counter::of(&fixture).await;
    let tuned = &fixture.tuned;
    for id in [1, 150, 300].map(DriverId) {
        assert_eq!(counter.during(tuned.current_risk(id)).await, 1);
        assert_eq!(counter.during(tuned.driver_details(id)).await, 1);
        assert_eq!(counter.during(tuned.premium(id)).await, 1);
        assert_eq!(counter.during(tuned.driver_statistics(id)).await, 1);
        for limit in LIMITS {
            assert_eq!(counter.during(tuned.driver_trips(id, &first(limit))).await, 1);
        }
    }
    for limit in LIMITS {
        assert_eq!(counter.during(tuned.driver_list(&first(limit))).await, 1);
    }
    assert_eq!(counter.during(tuned.dashboard_summary()).await, 1);
    assert_eq!(counter.during(tuned.trip_activity()).await, 1);
    assert_eq!(counter.during(tuned.risk_distribution()).await, 1);
    assert_eq!(counter.during(tuned.safety_events()).await, 1);
    assert_eq!(counter.during(tuned.claims_overview()).await, 1);
    assert_eq!(counter.during(tuned.resource_metrics()).await, 1);
}

/// How many trips, vehicles and last trips a driver's answers are made of.
async fn rows(fixture: &Fixture, id: DriverId) -> (i64, i64, i64) {
    let details = fixture.tuned.driver_details(id).await.unwrap().expect("a driver").value;
    let risk = fixture.tuned.current_risk(id).await.unwrap().expect("a driver").value;
    assert!(risk.exposure.trips > 0, "driver {id} is no good example");
    let count = |rows: usize| i64::try_from(rows).unwrap();
    (
        risk.exposure.trips,
        count(details.vehicles.len()),
        count(details.recent_trips.len()),
    )
}

#[tokio::test]
async fn phase1_sends_one_statement_per_row() {
    let fixture = Fixture::seeded().await;
    let counter = Counter::of(&fixture).await;
    let phase1 = &fixture.phase1;
    for id in [1, 150, 290].map(DriverId) {
        let (trips, vehicles, last_trips) = rows(&fixture, id).await;
        // Driver, trips, the events of each trip, claims.
        assert_eq!(counter.during(phase1.current_risk(id)).await, 3 + trips);
        // Driver, vehicles, each policy, last trips, the events of each, claims, two aggregates.
        assert_eq!(
            counter.during(phase1.driver_details(id)).await,
            6 + vehicles + last_trips
        );
        // Driver, the score's trips, events and claims, vehicles, each policy.
        assert_eq!(counter.during(phase1.premium(id)).await, 4 + trips + vehicles);
        // Driver, trips, the events of each.
        assert_eq!(counter.during(phase1.driver_statistics(id)).await, 2 + trips);
        // Driver, the page, the events of each of its trips.
        assert_eq!(
            counter.during(phase1.driver_trips(id, &first(50))).await,
            2 + trips.min(50)
        );
    }
    for limit in LIMITS {
        // The page, and vehicle, last trip and score of each driver.
        let statements = counter.during(phase1.driver_list(&first(limit))).await;
        assert_eq!(statements, 1 + 3 * i64::from(limit));
    }
}

#[tokio::test]
async fn phase1_sends_one_statement_per_figure() {
    let fixture = Fixture::seeded().await;
    let counter = Counter::of(&fixture).await;
    let phase1 = &fixture.phase1;
    assert_eq!(counter.during(phase1.dashboard_summary()).await, 6);
    assert_eq!(counter.during(phase1.trip_activity()).await, 1);
    assert_eq!(counter.during(phase1.risk_distribution()).await, 5);
    assert_eq!(counter.during(phase1.safety_events()).await, 2);
    assert_eq!(counter.during(phase1.claims_overview()).await, 3);
    assert_eq!(counter.during(phase1.resource_metrics()).await, 6);
}
