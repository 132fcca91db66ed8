//! The dashboard, one aggregate over the raw rows after the other.

use chrono::{Days, NaiveDate, NaiveTime};
use sqlx::{FromRow, PgConnection};

use crate::domain::money::Cents;
use crate::store::error::Doing;
use crate::store::views::{BandCounts, RECENT_DAYS, average_points};
use crate::store::{DashboardSummary, StoreError};

#[derive(FromRow)]
struct DriverTotals {
    drivers: i64,
    active_drivers: i64,
}

#[derive(FromRow)]
struct TripTotals {
    trips: i64,
    distance_m: i64,
}

#[derive(FromRow)]
struct RiskTotals {
    scored_drivers: i64,
    points_x100: i64,
    low: i64,
    moderate: i64,
    high: i64,
    severe: i64,
}

#[derive(FromRow)]
struct ClaimTotals {
    open_claims: i64,
    incurred_cents: i64,
}

pub(super) async fn read(conn: &mut PgConnection, as_of: NaiveDate) -> Result<DashboardSummary, StoreError> {
    let DriverTotals {
        drivers,
        active_drivers,
    } = drivers(conn).await?;
    let trips = trips(conn).await?;
    let recent = recent_trips(conn, as_of).await?;
    let safety_events = safety_events(conn).await?;
    let risk = risk(conn).await?;
    let claims = claims(conn).await?;
    Ok(DashboardSummary {
        as_of,
        drivers,
        active_drivers,
        trips: trips.trips,
        distance_m: trips.distance_m,
        trips_last_30_days: recent.trips,
        distance_m_last_30_days: recent.distance_m,
        safety_events,
        average_risk_points: average_points(risk.points_x100, risk.scored_drivers),
        risk_bands: BandCounts {
            low: risk.low,
            moderate: risk.moderate,
            high: risk.high,
            severe: risk.severe,
        },
        open_claims: claims.open_claims,
        incurred_cents: Cents(claims.incurred_cents),
    })
}

async fn drivers(conn: &mut PgConnection) -> Result<DriverTotals, StoreError> {
    sqlx::query_as(
        "SELECT count(*) AS drivers, count(*) FILTER (WHERE status = 'active') AS active_drivers FROM drivers",
    )
    .fetch_one(conn)
    .await
    .doing("count the drivers")
}

async fn trips(conn: &mut PgConnection) -> Result<TripTotals, StoreError> {
    sqlx::query_as("SELECT count(*) AS trips, coalesce(sum(distance_m), 0)::bigint AS distance_m FROM trips")
        .fetch_one(conn)
        .await
        .doing("add up all trips")
}

async fn recent_trips(conn: &mut PgConnection, as_of: NaiveDate) -> Result<TripTotals, StoreError> {
    let midnight = |day: NaiveDate| day.and_time(NaiveTime::MIN).and_utc();
    sqlx::query_as(
        "SELECT count(*) AS trips, coalesce(sum(distance_m), 0)::bigint AS distance_m
           FROM trips WHERE started_at >= $1 AND started_at < $2",
    )
    .bind(midnight(as_of - Days::new(u64::from(RECENT_DAYS) - 1)))
    .bind(midnight(as_of + Days::new(1)))
    .fetch_one(conn)
    .await
    .doing("add up the recent trips")
}

async fn safety_events(conn: &mut PgConnection) -> Result<i64, StoreError> {
    sqlx::query_scalar("SELECT count(*) FROM safety_events")
        .fetch_one(conn)
        .await
        .doing("count the safety events")
}

async fn risk(conn: &mut PgConnection) -> Result<RiskTotals, StoreError> {
    sqlx::query_as(
        "SELECT count(*) AS scored_drivers,
                coalesce(sum(points_x100), 0)::bigint AS points_x100,
                count(*) FILTER (WHERE band = 'low') AS low,
                count(*) FILTER (WHERE band = 'moderate') AS moderate,
                count(*) FILTER (WHERE band = 'high') AS high,
                count(*) FILTER (WHERE band = 'severe') AS severe
           FROM risk_scores",
    )
    .fetch_one(conn)
    .await
    .doing("add up the risk scores")
}

async fn claims(conn: &mut PgConnection) -> Result<ClaimTotals, StoreError> {
    sqlx::query_as(
        "SELECT count(*) FILTER (WHERE status = 'open') AS open_claims,
                coalesce(sum(amount_cents) FILTER (WHERE status <> 'rejected'), 0)::bigint AS incurred_cents
           FROM claims",
    )
    .fetch_one(conn)
    .await
    .doing("add up the claims")
}
