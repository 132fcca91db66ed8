//! Premium and statistics of a driver, from all of the raw rows at each request.

use std::collections::BTreeMap;

use chrono::{DateTime, Datelike as _, NaiveDate, Utc};
use sqlx::{FromRow, PgConnection};
use uuid::Uuid;

use super::{details, risk};
use crate::domain::ids::DriverId;
use crate::domain::risk::{Exposure, score};
use crate::store::error::Doing;
use crate::store::views::{MonthActivity, STATISTICS_MONTHS};
use crate::store::{DriverStatistics, Premium, StoreError, Versioned};

#[derive(FromRow)]
struct DriverRow {
    version: i64,
    born_on: NaiveDate,
}

async fn driver(conn: &mut PgConnection, id: DriverId) -> Result<Option<DriverRow>, StoreError> {
    sqlx::query_as("SELECT version, born_on FROM drivers WHERE id = $1")
        .bind(id.0)
        .fetch_optional(conn)
        .await
        .doing("read a driver")
}

pub(super) async fn premium(conn: &mut PgConnection, id: DriverId) -> Result<Option<Versioned<Premium>>, StoreError> {
    let Some(DriverRow { version, born_on }) = driver(conn, id).await? else {
        return Ok(None);
    };
    let score = score(&risk::exposure(conn, id).await?);
    let vehicles = details::vehicles(conn, id).await?;
    let value = Premium::new(id, born_on, score, &vehicles);
    Ok(Some(Versioned { value, version }))
}

#[derive(FromRow)]
struct TripRow {
    id: Uuid,
    started_at: DateTime<Utc>,
    duration_s: i32,
    distance_m: i32,
    night_share_pct: i16,
}

pub(super) async fn statistics(
    conn: &mut PgConnection,
    id: DriverId,
) -> Result<Option<Versioned<DriverStatistics>>, StoreError> {
    let Some(DriverRow { version, .. }) = driver(conn, id).await? else {
        return Ok(None);
    };
    let (mut driven, mut months) = (Exposure::default(), BTreeMap::new());
    for trip in trips(conn, id).await? {
        driven.trips += 1;
        driven.distance_m += i64::from(trip.distance_m);
        driven.night_distance_m += i64::from(trip.distance_m) * i64::from(trip.night_share_pct) / 100;
        risk::count_events(conn, trip.id, &mut driven.events).await?;
        add_to_month(&mut months, &trip);
    }
    let newest = months.into_values().rev().take(usize::from(STATISTICS_MONTHS));
    let value = DriverStatistics::new(id, &driven, newest.collect());
    Ok(Some(Versioned { value, version }))
}

async fn trips(conn: &mut PgConnection, id: DriverId) -> Result<Vec<TripRow>, StoreError> {
    sqlx::query_as("SELECT id, started_at, duration_s, distance_m, night_share_pct FROM trips WHERE driver_id = $1")
        .bind(id.0)
        .fetch_all(conn)
        .await
        .doing("read a driver's trips")
}

fn add_to_month(months: &mut BTreeMap<NaiveDate, MonthActivity>, trip: &TripRow) {
    let day = trip.started_at.date_naive();
    let month = day.with_day(1).unwrap_or(day);
    let total = months.entry(month).or_insert(MonthActivity {
        month,
        trips: 0,
        distance_m: 0,
        duration_s: 0,
    });
    total.trips += 1;
    total.distance_m += i64::from(trip.distance_m);
    total.duration_s += i64::from(trip.duration_s);
}
