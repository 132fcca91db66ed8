//! Premium and statistics of a driver, from all of the raw rows at each request.

use std::collections::BTreeMap;

use chrono::{Datelike as _, NaiveDate};
use sqlx::PgConnection;

use super::{details, risk};
use crate::domain::ids::DriverId;
use crate::domain::risk::{Exposure, score};
use crate::store::ask::Ask as _;
use crate::store::views::{MonthActivity, STATISTICS_MONTHS, Trip};
use crate::store::{DriverStatistics, Premium, StoreError, Versioned};

async fn driver(conn: &mut PgConnection, id: DriverId) -> Result<Option<(i64, NaiveDate)>, StoreError> {
    sqlx::query("SELECT version, born_on FROM drivers WHERE id = $1")
        .bind(id)
        .find(conn, "read a driver")
        .await
}

pub(super) async fn premium(conn: &mut PgConnection, id: DriverId) -> Result<Option<Versioned<Premium>>, StoreError> {
    let Some((version, born_on)) = driver(conn, id).await? else {
        return Ok(None);
    };
    let score = score(&risk::exposure(conn, id).await?);
    let vehicles = details::vehicles(conn, id).await?;
    let value = Premium::new(id, born_on, score, &vehicles);
    Ok(Some(Versioned { value, version }))
}

pub(super) async fn statistics(
    conn: &mut PgConnection,
    id: DriverId,
) -> Result<Option<Versioned<DriverStatistics>>, StoreError> {
    let Some((version, _)) = driver(conn, id).await? else {
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

async fn trips(conn: &mut PgConnection, id: DriverId) -> Result<Vec<Trip>, StoreError> {
    sqlx::query("SELECT id, started_at, duration_s, distance_m, night_share_pct FROM trips WHERE driver_id = $1")
        .bind(id)
        .all(conn, "read a driver's trips")
        .await
}

fn add_to_month(months: &mut BTreeMap<NaiveDate, MonthActivity>, trip: &Trip) {
    let day = trip.started_at.date_naive();
    let month = day.with_day(1).unwrap_or(day);
    let total = months.entry(month).or_insert(MonthActivity {
        month,
        ..MonthActivity::default()
    });
    total.trips += 1;
    total.distance_m += i64::from(trip.distance_m);
    total.duration_s += i64::from(trip.duration_s);
}
