//! How many statements each read sends, by the word of the server (`pg_stat_statements`).

use insurance_service::domain::ids::DriverId;
use insurance_service::store::Store;
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

#[tokio::test]
async fn the_tuned_store_sends_one_statement_per_read() {
    let fixture = Fixture::seeded().await;
    let counter = Counter::of(&fixture).await;
    let tuned = &fixture.tuned;
    for id in [1, 150, 300].map(DriverId) {
        assert_eq!(counter.during(tuned.current_risk(id)).await, 1);
        assert_eq!(counter.during(tuned.driver_details(id)).await, 1);
    }
    assert_eq!(counter.during(tuned.dashboard_summary()).await, 1);
}

#[tokio::test]
async fn phase1_sends_one_statement_per_row() {
    let fixture = Fixture::seeded().await;
    let counter = Counter::of(&fixture).await;
    let phase1 = &fixture.phase1;
    for id in [1, 150, 290].map(DriverId) {
        let details = fixture.tuned.driver_details(id).await.unwrap().expect("a driver").value;
        let trips = fixture
            .tuned
            .current_risk(id)
            .await
            .unwrap()
            .expect("a driver")
            .value
            .exposure
            .trips;
        assert!(trips > 0, "driver {id} is no good example");

        // Driver, trips, the events of each trip, claims.
        assert_eq!(counter.during(phase1.current_risk(id)).await, 3 + trips);
        // Driver, vehicles, each policy, last trips, the events of each, claims, two aggregates.
        let rows = details.vehicles.len() + details.recent_trips.len();
        assert_eq!(
            counter.during(phase1.driver_details(id)).await,
            6 + i64::try_from(rows).unwrap()
        );
    }
    assert_eq!(counter.during(phase1.dashboard_summary()).await, 6);
}
