//! The dashboard from the totals that writers keep: 16 shards, and 16 rows per day for the recent days.

use chrono::{Days, NaiveDate};
use sqlx::{FromRow, PgPool};

use crate::domain::money::Cents;
use crate::store::error::Doing;
use crate::store::views::{BandCounts, RECENT_DAYS, average_points};
use crate::store::{DashboardSummary, StoreError};

#[derive(FromRow)]
struct SummaryRow {
    drivers: i64,
    active_drivers: i64,
    trips: i64,
    distance_m: i64,
    recent_trips: i64,
    recent_distance_m: i64,
    safety_events: i64,
    scored_drivers: i64,
    points_x100: i64,
    low: i64,
    moderate: i64,
    high: i64,
    severe: i64,
    open_claims: i64,
    incurred_cents: i64,
}

const SUMMARY: &str = "
SELECT total.*, recent.*
  FROM (SELECT sum(drivers)::bigint AS drivers, sum(active_drivers)::bigint AS active_drivers,
               sum(trips)::bigint AS trips, sum(distance_m)::bigint AS distance_m,
               sum(safety_events)::bigint AS safety_events, sum(scored_drivers)::bigint AS scored_drivers,
               sum(points_x100)::bigint AS points_x100, sum(low_drivers)::bigint AS low,
               sum(moderate_drivers)::bigint AS moderate, sum(high_drivers)::bigint AS high,
               sum(severe_drivers)::bigint AS severe, sum(open_claims)::bigint AS open_claims,
               sum(incurred_cents)::bigint AS incurred_cents
          FROM portfolio_shards) total,
       (SELECT coalesce(sum(trips), 0)::bigint AS recent_trips,
               coalesce(sum(distance_m), 0)::bigint AS recent_distance_m
          FROM portfolio_daily WHERE day BETWEEN $1 AND $2) recent";

pub(super) async fn read(pool: &PgPool, as_of: NaiveDate) -> Result<DashboardSummary, StoreError> {
    let row: SummaryRow = sqlx::query_as(SUMMARY)
        .bind(as_of - Days::new(u64::from(RECENT_DAYS) - 1))
        .bind(as_of)
        .fetch_one(pool)
        .await
        .doing("read the portfolio's totals")?;
    Ok(summary(as_of, &row))
}

fn summary(as_of: NaiveDate, row: &SummaryRow) -> DashboardSummary {
    DashboardSummary {
        as_of,
        drivers: row.drivers,
        active_drivers: row.active_drivers,
        trips: row.trips,
        distance_m: row.distance_m,
        trips_last_30_days: row.recent_trips,
        distance_m_last_30_days: row.recent_distance_m,
        safety_events: row.safety_events,
        average_risk_points: average_points(row.points_x100, row.scored_drivers),
        risk_bands: BandCounts {
            low: row.low,
            moderate: row.moderate,
            high: row.high,
            severe: row.severe,
        },
        open_claims: row.open_claims,
        incurred_cents: Cents(row.incurred_cents),
    }
}
