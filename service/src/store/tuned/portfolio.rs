//! The other dashboards, from the totals that writers keep.

use chrono::NaiveDate;
use sqlx::{FromRow, PgPool};

use crate::domain::claims::ClaimStatus;
use crate::domain::money::Cents;
use crate::domain::risk::EventCounts64;
use crate::store::error::Doing;
use crate::store::views::{BandCounts, ClaimTotals, DayActivity, first_recent_day};
use crate::store::{ClaimsOverview, ResourceMetrics, RiskDistribution, SafetyEvents, StoreError, TripActivity};

pub(super) async fn trip_activity(pool: &PgPool, as_of: NaiveDate) -> Result<TripActivity, StoreError> {
    let days: Vec<DayActivity> = sqlx::query_as(
        "SELECT day, sum(trips)::bigint AS trips, sum(distance_m)::bigint AS distance_m
           FROM portfolio_daily WHERE day BETWEEN $1 AND $2 GROUP BY day",
    )
    .bind(first_recent_day(as_of))
    .bind(as_of)
    .fetch_all(pool)
    .await
    .doing("read the totals of each day")?;
    Ok(TripActivity::new(as_of, &days))
}

#[derive(FromRow)]
struct BandsRow {
    points_x100: i64,
    low: i64,
    moderate: i64,
    high: i64,
    severe: i64,
}

pub(super) async fn risk_distribution(pool: &PgPool) -> Result<RiskDistribution, StoreError> {
    let row: BandsRow = sqlx::query_as(
        "SELECT sum(points_x100)::bigint AS points_x100, sum(low_drivers)::bigint AS low,
                sum(moderate_drivers)::bigint AS moderate, sum(high_drivers)::bigint AS high,
                sum(severe_drivers)::bigint AS severe
           FROM portfolio_shards",
    )
    .fetch_one(pool)
    .await
    .doing("read the totals of the risk scores")?;
    let drivers = BandCounts {
        low: row.low,
        moderate: row.moderate,
        high: row.high,
        severe: row.severe,
    };
    Ok(RiskDistribution::new(row.points_x100, drivers))
}

#[derive(FromRow)]
struct EventsRow {
    distance_m: i64,
    speeding: i64,
    harsh_braking: i64,
    harsh_acceleration: i64,
    harsh_cornering: i64,
}

pub(super) async fn safety_events(pool: &PgPool, as_of: NaiveDate) -> Result<SafetyEvents, StoreError> {
    let row: EventsRow = sqlx::query_as(
        "SELECT coalesce(sum(distance_m), 0)::bigint AS distance_m, coalesce(sum(speeding), 0)::bigint AS speeding,
                coalesce(sum(harsh_braking), 0)::bigint AS harsh_braking,
                coalesce(sum(harsh_acceleration), 0)::bigint AS harsh_acceleration,
                coalesce(sum(harsh_cornering), 0)::bigint AS harsh_cornering
           FROM portfolio_daily WHERE day BETWEEN $1 AND $2",
    )
    .bind(first_recent_day(as_of))
    .bind(as_of)
    .fetch_one(pool)
    .await
    .doing("read the totals of the safety events")?;
    let counts = EventCounts64 {
        speeding: row.speeding,
        harsh_braking: row.harsh_braking,
        harsh_acceleration: row.harsh_acceleration,
        harsh_cornering: row.harsh_cornering,
    };
    Ok(SafetyEvents::new(as_of, row.distance_m, counts))
}

#[derive(FromRow)]
struct StatusRow {
    #[sqlx(try_from = "String")]
    status: ClaimStatus,
    claims: i64,
    amount_cents: i64,
}

pub(super) async fn claims_overview(pool: &PgPool) -> Result<ClaimsOverview, StoreError> {
    let rows: Vec<StatusRow> = sqlx::query_as(
        "SELECT status, sum(claims)::bigint AS claims, sum(amount_cents)::bigint AS amount_cents
           FROM portfolio_claims GROUP BY status",
    )
    .fetch_all(pool)
    .await
    .doing("read the totals of the claims")?;
    let of = |status| {
        let row = rows.iter().find(|row| row.status == status);
        row.map_or_else(ClaimTotals::default, |row| ClaimTotals {
            claims: row.claims,
            amount_cents: Cents(row.amount_cents),
        })
    };
    Ok(ClaimsOverview::new(of))
}

pub(super) async fn resource_metrics(pool: &PgPool) -> Result<ResourceMetrics, StoreError> {
    sqlx::query_as(
        "SELECT sum(drivers)::bigint AS drivers, sum(vehicles)::bigint AS vehicles, sum(policies)::bigint AS policies,
                sum(trips)::bigint AS trips, sum(safety_events)::bigint AS safety_events,
                (SELECT sum(claims)::bigint FROM portfolio_claims) AS claims
           FROM portfolio_shards",
    )
    .fetch_one(pool)
    .await
    .doing("read how much there is of everything")
}
