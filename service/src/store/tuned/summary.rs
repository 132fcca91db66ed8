//! The dashboard from the totals that writers keep: 16 shards, and 16 rows per day for the recent days.

use chrono::NaiveDate;
use sqlx::{FromRow, PgConnection};

use crate::store::ask::Ask as _;
use crate::store::views::{average_points, first_recent_day};
use crate::store::{DashboardSummary, StoreError};

#[derive(FromRow)]
struct SummaryRow {
    scored_drivers: i64,
    points_x100: i64,
    /// All but what follows from the two before, and the day.
    #[sqlx(flatten)]
    summary: DashboardSummary,
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
       (SELECT coalesce(sum(trips), 0)::bigint AS trips_last_30_days,
               coalesce(sum(distance_m), 0)::bigint AS distance_m_last_30_days
          FROM portfolio_daily WHERE day BETWEEN $1 AND $2) recent";

pub(super) async fn read(conn: &mut PgConnection, as_of: NaiveDate) -> Result<DashboardSummary, StoreError> {
    let row: SummaryRow = sqlx::query(SUMMARY)
        .bind(first_recent_day(as_of))
        .bind(as_of)
        .one(conn, "read the portfolio's totals")
        .await?;
    Ok(DashboardSummary {
        as_of,
        average_risk_points: average_points(row.points_x100, row.scored_drivers),
        ..row.summary
    })
}
