//! How the tuned store's statements are carried out: large tables are reached by an index, by the word of the server's
//! own counters and by EXPLAIN's reason for them.
//!
//! The portfolio of a test is small, and the planner rightly scans small tables. So sequential scans are made
//! unattractive here: one that is still counted is one that no index could have answered, and that is what would hurt
//! on a large portfolio.

use std::collections::BTreeMap;

use insurance_service::domain::ids::DriverId;
use insurance_service::store::page::{PageLimit, Position};
use insurance_service::store::{PageRequest, Store, Today, TripKey, TunedStore};
use sqlx::PgPool;

use crate::support::{Fixture, as_of};

/// Tables that grow with the portfolio.
const LARGE: [&str; 8] = [
    "drivers",
    "vehicles",
    "policies",
    "trips",
    "safety_events",
    "claims",
    "risk_scores",
    "driver_exposure",
];

/// Sequential scans of the large tables so far. The pool has one session, whose counts are written out first.
async fn scans(session: &PgPool) -> BTreeMap<String, i64> {
    sqlx::query("SELECT pg_stat_force_next_flush()")
        .execute(session)
        .await
        .expect("a flush");
    let rows: Vec<(String, i64)> =
        sqlx::query_as("SELECT relname::text, seq_scan FROM pg_stat_user_tables WHERE relname = ANY($1)")
            .bind(LARGE.to_vec())
            .fetch_all(session)
            .await
            .expect("the counters");
    assert_eq!(
        rows.len(),
        LARGE.len(),
        "a large table is missing from the counters: {rows:?}"
    );
    rows.into_iter().collect()
}

async fn read_everything(store: &dyn Store) {
    let id = DriverId(7);
    let limit = PageLimit::new(20).expect("a limit");
    store.dashboard_summary().await.unwrap();
    store.trip_activity().await.unwrap();
    store.risk_distribution().await.unwrap();
    store.safety_events().await.unwrap();
    store.claims_overview().await.unwrap();
    store.resource_metrics().await.unwrap();
    store.driver_details(id).await.unwrap().expect("a driver");
    store.current_risk(id).await.unwrap().expect("a driver");
    store.premium(id).await.unwrap().expect("a driver");
    store.driver_statistics(id).await.unwrap().expect("a driver");
    let list = store.driver_list(&PageRequest::first(limit)).await.unwrap();
    store
        .driver_list(&PageRequest { limit, from: list.next })
        .await
        .unwrap();
    let first: PageRequest<TripKey> = PageRequest::first(PageLimit::new(2).expect("a limit"));
    let trips = store.driver_trips(id, &first).await.unwrap().expect("a driver").value;
    let from: Option<Position<TripKey>> = trips.next;
    assert!(from.is_some(), "driver {id} is no good example");
    store.driver_trips(id, &PageRequest { limit, from }).await.unwrap();
}

#[tokio::test]
async fn no_read_of_the_tuned_store_scans_a_large_table() {
    let fixture = Fixture::seeded().await;
    let session = fixture.pool_of_one().await;
    sqlx::query("SET enable_seqscan = off").execute(&session).await.unwrap();
    let store = TunedStore::new(session.clone()).with_today(Today::Fixed(as_of()));
    let before = scans(&session).await;
    read_everything(&store).await;
    assert_eq!(scans(&session).await, before);
    // The counters do count: a question that no index answers.
    sqlx::query("SELECT FROM drivers WHERE name = 'nobody'")
        .execute(&session)
        .await
        .unwrap();
    assert_eq!(scans(&session).await["drivers"], before["drivers"] + 1);
}

/// The largest tables are large enough for the planner to choose for itself.
#[tokio::test]
async fn the_planner_itself_takes_the_indexes_of_the_largest_tables() {
    let fixture = Fixture::seeded().await;
    let statements = [
        (
            "trips_driver_recent_idx",
            "SELECT started_at FROM trips WHERE driver_id = 7 ORDER BY started_at DESC, id DESC LIMIT 10",
        ),
        (
            "trips_driver_recent_idx",
            "SELECT id FROM trips
              WHERE driver_id = 7 AND (started_at, id) < ('2026-06-01', '00000000-0000-0000-0000-000000000000')
              ORDER BY started_at DESC, id DESC LIMIT 51",
        ),
        (
            "safety_events_trip_idx",
            "SELECT kind FROM safety_events WHERE trip_id = '00000000-0000-0000-0000-000000000000'",
        ),
        (
            "portfolio_daily_pkey",
            "SELECT sum(trips) FROM portfolio_daily WHERE day BETWEEN '2026-06-30' AND '2026-07-01'",
        ),
    ];
    for (index, statement) in statements {
        let plan: Vec<String> = sqlx::query_scalar(sqlx::AssertSqlSafe(format!("EXPLAIN {statement}")))
            .fetch_all(&fixture.pool)
            .await
            .unwrap();
        let plan = plan.join("\n");
        assert!(
            plan.contains(index) && !plan.contains("Seq Scan"),
            "{statement}:\n{plan}"
        );
    }
}
