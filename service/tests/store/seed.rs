//! The seeded portfolio: the same for the same options, skewed, and complete.

use chrono::NaiveDate;
use insurance_service::seed::{self, SeedError, SeedOptions};
use insurance_service::store::Store;
use sqlx::PgPool;

use crate::support::{DRIVERS, Fixture, options};

const FEW: u32 = 40;

/// Every row of every table, as one number per table.
async fn digest(pool: &PgPool) -> Vec<(String, String)> {
    let tables: Vec<String> = sqlx::query_scalar(
        "SELECT relname::text FROM pg_class WHERE relkind = 'r' AND relnamespace = current_schema()::regnamespace
            AND relname <> '_sqlx_migrations' ORDER BY relname",
    )
    .fetch_all(pool)
    .await
    .expect("an answer");
    let mut digests = Vec::new();
    for table in tables {
        let sql =
            format!("SELECT md5(coalesce(string_agg(row::text, chr(10) ORDER BY row::text), '')) FROM {table} row");
        let digest = sqlx::query_scalar(sqlx::AssertSqlSafe(sql))
            .fetch_one(pool)
            .await
            .expect("an answer");
        digests.push((table, digest));
    }
    digests
}

async fn seeded(options: SeedOptions) -> Vec<(String, String)> {
    let fixture = Fixture::migrated().await;
    seed::run(&fixture.pool, &options, |_| {}).await.expect("an answer");
    digest(&fixture.pool).await
}

#[tokio::test]
async fn the_same_options_give_the_same_bytes_and_others_do_not() {
    let first = seeded(options(FEW)).await;
    assert_eq!(
        first.len(),
        18,
        "a table is missing from the comparison, or new: {first:?}"
    );
    assert_eq!(first, seeded(options(FEW)).await);

    let other_seed = seeded(SeedOptions {
        seed: 43,
        ..options(FEW)
    })
    .await;
    let other_day = seeded(SeedOptions {
        as_of: NaiveDate::from_ymd_opt(2026, 7, 2).unwrap(),
        ..options(FEW)
    })
    .await;
    let trips = |digests: &[(String, String)]| digests.iter().find(|(table, _)| table == "trips").cloned();
    assert_ne!(trips(&first), trips(&other_seed));
    assert_ne!(trips(&first), trips(&other_day));
}

#[tokio::test]
async fn the_report_counts_what_is_there_and_progress_is_told() {
    let fixture = Fixture::migrated().await;
    let mut lines = Vec::new();
    let report = seed::run(&fixture.pool, &options(FEW), |line| lines.push(line.to_owned()))
        .await
        .unwrap();
    let rows = [
        ("SELECT count(*) FROM drivers", report.drivers),
        ("SELECT count(*) FROM vehicles", report.vehicles),
        ("SELECT count(*) FROM policies", report.vehicles),
        ("SELECT count(*) FROM trips", report.trips),
        ("SELECT count(*) FROM safety_events", report.safety_events),
        ("SELECT count(*) FROM claims", report.claims),
    ];
    for (sql, reported) in rows {
        assert_eq!(fixture.number(sql).await, i64::try_from(reported).unwrap(), "{sql}");
    }
    assert_eq!(lines[0], "seeding 40 drivers (seed 42, as of 2026-07-01)");
    assert!(
        lines.iter().any(|line| line.starts_with("40/40 drivers: ")),
        "{lines:?}"
    );
    assert!(lines.last().unwrap().starts_with("done in "), "{lines:?}");
}

#[tokio::test]
async fn a_database_with_drivers_is_refused_and_left_alone() {
    let fixture = Fixture::seeded().await;
    let before = digest(&fixture.pool).await;
    let error = seed::run(&fixture.pool, &options(FEW), |_| {}).await.unwrap_err();
    assert!(matches!(error, SeedError::NotEmpty { drivers } if drivers == i64::from(DRIVERS)));
    assert_eq!(
        error.to_string(),
        "the database already holds 300 drivers; seed an empty, migrated database instead"
    );
    assert_eq!(digest(&fixture.pool).await, before);
    let none = seed::run(&fixture.pool, &options(0), |_| {}).await.unwrap_err();
    assert!(matches!(none, SeedError::NoDrivers));
}

#[tokio::test]
async fn indexes_foreign_keys_and_numbering_are_as_the_migrations_made_them() {
    const DEFINITIONS: &str = "
        SELECT coalesce(string_agg(definition, chr(10) ORDER BY definition), '') FROM (
            SELECT pg_get_indexdef(indexrelid) AS definition FROM pg_index JOIN pg_class ON pg_class.oid = indrelid
             WHERE relnamespace = current_schema()::regnamespace
            UNION ALL
            SELECT conrelid::regclass || conname || pg_get_constraintdef(oid) FROM pg_constraint
             WHERE connamespace = current_schema()::regnamespace) all_of_them";
    let (empty, seeded) = (Fixture::migrated().await, Fixture::seeded().await);
    let of = async |pool: &PgPool| {
        sqlx::query_scalar::<_, String>(DEFINITIONS)
            .fetch_one(pool)
            .await
            .unwrap()
    };
    let definitions = of(&empty.pool).await;
    assert!(definitions.contains("trips_driver_recent_idx") && definitions.contains("trips_driver_fkey"));
    assert_eq!(of(&seeded.pool).await, definitions);

    for table in ["drivers", "vehicles", "safety_events", "claims", "policies"] {
        let sql = format!("SELECT nextval(pg_get_serial_sequence('{table}', 'id')) - max(id) FROM {table}");
        let ahead: i64 = sqlx::query_scalar(sqlx::AssertSqlSafe(sql))
            .fetch_one(&seeded.pool)
            .await
            .unwrap();
        assert_eq!(ahead, 1, "the next number of {table}");
    }
}

#[tokio::test]
async fn loaded_pages_are_known_to_be_visible() {
    let fixture = Fixture::seeded().await;
    let not_visible = fixture
        .number(
            "SELECT count(*) FROM pg_class WHERE relname IN ('trips', 'safety_events', 'drivers')
                AND relallvisible < relpages",
        )
        .await;
    assert_eq!(not_visible, 0, "readers would have to tidy up after the load");
}

#[tokio::test]
async fn volumes_and_skew_are_those_of_the_portfolio() {
    let fixture = Fixture::seeded().await;
    let summary = fixture.tuned.dashboard_summary().await.unwrap();
    let drivers = i64::from(DRIVERS);
    let vehicles = fixture.number("SELECT count(*) FROM vehicles").await;
    assert!((105..135).contains(&(vehicles * 100 / drivers)), "{vehicles} vehicles");
    assert!((34..46).contains(&(summary.trips / drivers)), "{} trips", summary.trips);
    assert!(
        (20..30).contains(&(summary.safety_events * 10 / summary.trips)),
        "{} events",
        summary.safety_events
    );

    let early = fixture
        .number("SELECT sum(trips)::bigint FROM driver_exposure WHERE driver_id <= 60")
        .await;
    let late = fixture
        .number("SELECT sum(trips)::bigint FROM driver_exposure WHERE driver_id > 240")
        .await;
    assert!(early > late, "early drivers made {early} trips, late ones {late}");
    let busiest_tenth = fixture
        .number("SELECT sum(trips)::bigint FROM (SELECT trips FROM driver_exposure ORDER BY trips DESC LIMIT 30) t")
        .await;
    assert!(
        busiest_tenth * 5 > summary.trips,
        "the busiest tenth made {busiest_tenth} of {}",
        summary.trips
    );
}
