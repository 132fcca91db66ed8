//! The dashboard, one aggregate over the raw rows after the other.

use chrono::NaiveDate;
use sqlx::{FromRow, PgConnection};

use super::portfolio;
use crate::domain::money::Cents;
use crate::store::ask::Ask as _;
use crate::store::views::{BandCounts, average_points};
use crate::store::{DashboardSummary, StoreError};

/// How many trips, and the metres driven on them.
type TripTotals = (i64, i64);

#[derive(FromRow)]
struct RiskTotals {
    scored_drivers: i64,
    points_x100: i64,
    #[sqlx(flatten)]
    bands: BandCounts,
}

pub(super) async fn read(conn: &mut PgConnection, as_of: NaiveDate) -> Result<DashboardSummary, StoreError> {
    let (drivers, active_drivers) = drivers(conn).await?;
    let (trips, distance_m) = trips(conn).await?;
    let (trips_last_30_days, distance_m_last_30_days) = recent_trips(conn, as_of).await?;
    let safety_events = safety_events(conn).await?;
    let risk = risk(conn).await?;
    let (open_claims, incurred_cents) = claims(conn).await?;
    Ok(DashboardSummary {
        as_of,
        drivers,
        active_drivers,
        trips,
        distance_m,
        trips_last_30_days,
        distance_m_last_30_days,
        safety_events,
        average_risk_points: average_points(risk.points_x100, risk.scored_drivers),
        risk_bands: risk.bands,
        open_claims,
        incurred_cents,
    })
}

async fn drivers(conn: &mut PgConnection) -> Result<(i64, i64), StoreError> {
    sqlx::query("SELECT count(*) AS drivers, count(*) FILTER (WHERE status = 'active') AS active_drivers FROM drivers")
        .one(conn, "count the drivers")
        .await
}

async fn trips(conn: &mut PgConnection) -> Result<TripTotals, StoreError> {
    sqlx::query("SELECT count(*) AS trips, coalesce(sum(distance_m), 0)::bigint AS distance_m FROM trips")
        .one(conn, "add up all trips")
        .await
}

async fn recent_trips(conn: &mut PgConnection, as_of: NaiveDate) -> Result<TripTotals, StoreError> {
    let [from, to] = portfolio::recent(as_of);
    sqlx::query(
        "SELECT count(*) AS trips, coalesce(sum(distance_m), 0)::bigint AS distance_m
           FROM trips WHERE started_at >= $1 AND started_at < $2",
    )
    .bind(from)
    .bind(to)
    .one(conn, "add up the recent trips")
    .await
}

async fn safety_events(conn: &mut PgConnection) -> Result<i64, StoreError> {
    sqlx::query("SELECT count(*) FROM safety_events")
        .value(conn, "count the safety events")
        .await
}

async fn risk(conn: &mut PgConnection) -> Result<RiskTotals, StoreError> {
    sqlx::query(
        "SELECT count(*) AS scored_drivers,
                coalesce(sum(points_x100), 0)::bigint AS points_x100,
                count(*) FILTER (WHERE band = 'low') AS low,
                count(*) FILTER (WHERE band = 'moderate') AS moderate,
                count(*) FILTER (WHERE band = 'high') AS high,
                count(*) FILTER (WHERE band = 'severe') AS severe
           FROM risk_scores",
    )
    .one(conn, "add up the risk scores")
    .await
}

async fn claims(conn: &mut PgConnection) -> Result<(i64, Cents), StoreError> {
    sqlx::query(
        "SELECT count(*) FILTER (WHERE status = 'open') AS open_claims,
                coalesce(sum(amount_cents) FILTER (WHERE status <> 'rejected'), 0)::bigint AS incurred_cents
           FROM claims",
    )
    .one(conn, "add up the claims")
    .await
}
