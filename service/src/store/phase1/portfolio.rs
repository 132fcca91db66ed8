//! The other dashboards: one aggregate over the raw rows for each figure, at each request.

use chrono::{Days, NaiveDate, NaiveTime};
use sqlx::PgConnection;

use crate::domain::claims::ClaimStatus;
use crate::domain::ids::DriverId;
use crate::domain::risk::RiskBand;
use crate::domain::trips::EventCounts64;
use crate::store::ask::Ask as _;
use crate::store::views::{BandCounts, ClaimTotals, DayActivity, first_recent_day};
use crate::store::{ClaimsOverview, ResourceMetrics, RiskDistribution, SafetyEvents, StoreError, TripActivity};

/// The beginning of the recent days, and the end of the last.
pub(super) fn recent(as_of: NaiveDate) -> [chrono::DateTime<chrono::Utc>; 2] {
    [first_recent_day(as_of), as_of + Days::new(1)].map(|day| day.and_time(NaiveTime::MIN).and_utc())
}

pub(super) async fn trip_activity(conn: &mut PgConnection, as_of: NaiveDate) -> Result<TripActivity, StoreError> {
    let [from, to] = recent(as_of);
    let days: Vec<DayActivity> = sqlx::query(
        "SELECT (started_at AT TIME ZONE 'UTC')::date AS day, count(*) AS trips,
                sum(distance_m)::bigint AS distance_m
           FROM trips WHERE started_at >= $1 AND started_at < $2 GROUP BY 1",
    )
    .bind(from)
    .bind(to)
    .all(conn, "add up the trips of each day")
    .await?;
    Ok(TripActivity::new(as_of, &days))
}

pub(super) async fn risk_distribution(conn: &mut PgConnection) -> Result<RiskDistribution, StoreError> {
    let mut drivers = BandCounts::default();
    for band in RiskBand::ALL {
        *drivers.of_mut(*band) = in_band(conn, *band).await?;
    }
    let points_x100 = sqlx::query("SELECT coalesce(sum(points_x100), 0)::bigint FROM risk_scores")
        .value(conn, "add up the risk scores")
        .await?;
    Ok(RiskDistribution::new(points_x100, drivers))
}

async fn in_band(conn: &mut PgConnection, band: RiskBand) -> Result<i64, StoreError> {
    sqlx::query("SELECT count(*) FROM risk_scores WHERE band = $1")
        .bind(band)
        .value(conn, "count the drivers of a risk band")
        .await
}

pub(super) async fn safety_events(conn: &mut PgConnection, as_of: NaiveDate) -> Result<SafetyEvents, StoreError> {
    let [from, to] = recent(as_of);
    let distance_m = sqlx::query(
        "SELECT coalesce(sum(distance_m), 0)::bigint FROM trips WHERE started_at >= $1 AND started_at < $2",
    )
    .bind(from)
    .bind(to)
    .value(&mut *conn, "add up the recent distance")
    .await?;
    let rows = sqlx::query(
        "SELECT e.kind, count(*) AS events FROM safety_events e JOIN trips t ON t.id = e.trip_id
          WHERE t.started_at >= $1 AND t.started_at < $2 GROUP BY e.kind",
    )
    .bind(from)
    .bind(to)
    .all(conn, "count the recent safety events")
    .await?;
    let mut counts = EventCounts64::default();
    for (kind, events) in rows {
        *counts.of_mut(kind) = events;
    }
    Ok(SafetyEvents::new(as_of, distance_m, counts))
}

pub(super) async fn claims_overview(conn: &mut PgConnection) -> Result<ClaimsOverview, StoreError> {
    let open = of_status(conn, ClaimStatus::Open).await?;
    let paid = of_status(conn, ClaimStatus::Paid).await?;
    let rejected = of_status(conn, ClaimStatus::Rejected).await?;
    Ok(ClaimsOverview::new(open, paid, rejected))
}

async fn of_status(conn: &mut PgConnection, status: ClaimStatus) -> Result<ClaimTotals, StoreError> {
    sqlx::query(
        "SELECT count(*) AS claims, coalesce(sum(amount_cents), 0)::bigint AS amount_cents
           FROM claims WHERE status = $1",
    )
    .bind(status)
    .one(conn, "add up the claims of a status")
    .await
}

pub(super) async fn resource_metrics(conn: &mut PgConnection) -> Result<ResourceMetrics, StoreError> {
    Ok(ResourceMetrics {
        drivers: count(conn, "SELECT count(*) FROM drivers").await?,
        vehicles: count(conn, "SELECT count(*) FROM vehicles").await?,
        policies: count(conn, "SELECT count(*) FROM policies").await?,
        trips: count(conn, "SELECT count(*) FROM trips").await?,
        safety_events: count(conn, "SELECT count(*) FROM safety_events").await?,
        claims: count(conn, "SELECT count(*) FROM claims").await?,
    })
}

async fn count(conn: &mut PgConnection, sql: &'static str) -> Result<i64, StoreError> {
    sqlx::query(sql).value(conn, "count the rows of a table").await
}

pub(super) async fn busiest_drivers(conn: &mut PgConnection, limit: i64) -> Result<Vec<DriverId>, StoreError> {
    let ids = sqlx::query("SELECT driver_id FROM trips GROUP BY driver_id ORDER BY count(*) DESC, driver_id LIMIT $1")
        .bind(limit)
        .all(conn, "find the busiest drivers")
        .await?;
    Ok(ids.into_iter().map(|(id,)| id).collect())
}
