//! The other dashboards, from the totals that writers keep.

use chrono::NaiveDate;
use sqlx::{FromRow, PgConnection};

use crate::domain::claims::ClaimStatus;
use crate::domain::ids::DriverId;
use crate::domain::trips::EventCounts64;
use crate::store::ask::Ask as _;
use crate::store::views::{BandCounts, ClaimTotals, DayActivity, first_recent_day};
use crate::store::{ClaimsOverview, ResourceMetrics, RiskDistribution, SafetyEvents, StoreError, TripActivity};

pub(super) async fn trip_activity(conn: &mut PgConnection, as_of: NaiveDate) -> Result<TripActivity, StoreError> {
    let days: Vec<DayActivity> = sqlx::query(
        "SELECT day, sum(trips)::bigint AS trips, sum(distance_m)::bigint AS distance_m
           FROM portfolio_daily WHERE day BETWEEN $1 AND $2 GROUP BY day",
    )
    .bind(first_recent_day(as_of))
    .bind(as_of)
    .all(conn, "read the totals of each day")
    .await?;
    Ok(TripActivity::new(as_of, &days))
}

#[derive(FromRow)]
struct BandsRow {
    points_x100: i64,
    #[sqlx(flatten)]
    drivers: BandCounts,
}

pub(super) async fn risk_distribution(conn: &mut PgConnection) -> Result<RiskDistribution, StoreError> {
    let row: BandsRow = sqlx::query(
        "SELECT sum(points_x100)::bigint AS points_x100, sum(low_drivers)::bigint AS low,
                sum(moderate_drivers)::bigint AS moderate, sum(high_drivers)::bigint AS high,
                sum(severe_drivers)::bigint AS severe
           FROM portfolio_shards",
    )
    .one(conn, "read the totals of the risk scores")
    .await?;
    Ok(RiskDistribution::new(row.points_x100, row.drivers))
}

#[derive(FromRow)]
struct EventsRow {
    distance_m: i64,
    #[sqlx(flatten)]
    counts: EventCounts64,
}

pub(super) async fn safety_events(conn: &mut PgConnection, as_of: NaiveDate) -> Result<SafetyEvents, StoreError> {
    let row: EventsRow = sqlx::query(
        "SELECT coalesce(sum(distance_m), 0)::bigint AS distance_m, coalesce(sum(speeding), 0)::bigint AS speeding,
                coalesce(sum(harsh_braking), 0)::bigint AS harsh_braking,
                coalesce(sum(harsh_acceleration), 0)::bigint AS harsh_acceleration,
                coalesce(sum(harsh_cornering), 0)::bigint AS harsh_cornering
           FROM portfolio_daily WHERE day BETWEEN $1 AND $2",
    )
    .bind(first_recent_day(as_of))
    .bind(as_of)
    .one(conn, "read the totals of the safety events")
    .await?;
    Ok(SafetyEvents::new(as_of, row.distance_m, row.counts))
}

#[derive(FromRow)]
struct StatusRow {
    status: ClaimStatus,
    #[sqlx(flatten)]
    totals: ClaimTotals,
}

pub(super) async fn claims_overview(conn: &mut PgConnection) -> Result<ClaimsOverview, StoreError> {
    let rows: Vec<StatusRow> = sqlx::query(
        "SELECT status, sum(claims)::bigint AS claims, sum(amount_cents)::bigint AS amount_cents
           FROM portfolio_claims GROUP BY status",
    )
    .all(conn, "read the totals of the claims")
    .await?;
    let of = |status| {
        let row = rows.iter().find(|row| row.status == status);
        row.map_or_else(ClaimTotals::default, |row| row.totals)
    };
    Ok(ClaimsOverview::new(
        of(ClaimStatus::Open),
        of(ClaimStatus::Paid),
        of(ClaimStatus::Rejected),
    ))
}

pub(super) async fn resource_metrics(conn: &mut PgConnection) -> Result<ResourceMetrics, StoreError> {
    sqlx::query(
        "SELECT sum(drivers)::bigint AS drivers, sum(vehicles)::bigint AS vehicles, sum(policies)::bigint AS policies,
                sum(trips)::bigint AS trips, sum(safety_events)::bigint AS safety_events,
                (SELECT sum(claims)::bigint FROM portfolio_claims) AS claims
           FROM portfolio_shards",
    )
    .one(conn, "read how much there is of everything")
    .await
}

pub(super) async fn busiest_drivers(conn: &mut PgConnection, limit: i64) -> Result<Vec<DriverId>, StoreError> {
    let ids =
        sqlx::query("SELECT driver_id FROM driver_exposure WHERE trips > 0 ORDER BY trips DESC, driver_id LIMIT $1")
            .bind(limit)
            .all(conn, "find the busiest drivers")
            .await?;
    Ok(ids.into_iter().map(|(id,)| id).collect())
}
