//! Pages by OFFSET: the database counts off the rows before the page, and each row of the page has its own queries.

use chrono::{DateTime, NaiveDate, Utc};
use sqlx::PgConnection;

use super::details;
use crate::domain::drivers::DriverStatus;
use crate::domain::ids::DriverId;
use crate::domain::risk::RiskScore;
use crate::store::ask::Ask as _;
use crate::store::views::VehicleName;
use crate::store::{DriverKey, DriverListItem, Page, PageRequest, StoreError, Trip, TripKey, Versioned};

type DriverRow = (DriverId, String, DriverStatus, NaiveDate);

pub(super) async fn drivers(
    conn: &mut PgConnection,
    request: &PageRequest<DriverKey>,
) -> Result<Page<DriverListItem, DriverKey>, StoreError> {
    let rows: Vec<DriverRow> =
        sqlx::query("SELECT id, name, status, joined_on FROM drivers ORDER BY id LIMIT $1 OFFSET $2")
            .bind(request.limit.with_one_more())
            .bind(request.offset())
            .all(&mut *conn, "read a page of drivers")
            .await?;
    let page = Page::cut(request, rows, |(id, ..)| *id);
    let mut items = Vec::with_capacity(page.items.len());
    for row in page.items {
        items.push(item(conn, row).await?);
    }
    Ok(Page { items, next: page.next })
}

async fn item(conn: &mut PgConnection, row: DriverRow) -> Result<DriverListItem, StoreError> {
    let (id, name, status, joined_on) = row;
    Ok(DriverListItem {
        id,
        name,
        status,
        joined_on,
        risk: score(conn, id).await?,
        vehicle: first_vehicle(conn, id).await?,
        last_trip_at: last_trip(conn, id).await?,
    })
}

async fn score(conn: &mut PgConnection, id: DriverId) -> Result<Option<RiskScore>, StoreError> {
    sqlx::query("SELECT points_x100 FROM risk_scores WHERE driver_id = $1")
        .bind(id)
        .find_value(conn, "read a driver's score")
        .await
}

async fn first_vehicle(conn: &mut PgConnection, id: DriverId) -> Result<Option<VehicleName>, StoreError> {
    sqlx::query("SELECT make, model, model_year FROM vehicles WHERE driver_id = $1 ORDER BY id LIMIT 1")
        .bind(id)
        .find(conn, "read a driver's first vehicle")
        .await
}

async fn last_trip(conn: &mut PgConnection, id: DriverId) -> Result<Option<DateTime<Utc>>, StoreError> {
    sqlx::query("SELECT max(started_at) FROM trips WHERE driver_id = $1")
        .bind(id)
        .value(conn, "find a driver's last trip")
        .await
}

pub(super) async fn trips(
    conn: &mut PgConnection,
    id: DriverId,
    request: &PageRequest<TripKey>,
) -> Result<Option<Versioned<Page<Trip, TripKey>>>, StoreError> {
    let version: Option<i64> = sqlx::query("SELECT version FROM drivers WHERE id = $1")
        .bind(id)
        .find_value(&mut *conn, "read a driver's version")
        .await?;
    let Some(version) = version else {
        return Ok(None);
    };
    let rows: Vec<Trip> = sqlx::query(
        "SELECT id, started_at, duration_s, distance_m, night_share_pct
           FROM trips WHERE driver_id = $1 ORDER BY started_at DESC, id DESC LIMIT $2 OFFSET $3",
    )
    .bind(id)
    .bind(request.limit.with_one_more())
    .bind(request.offset())
    .all(&mut *conn, "read a page of a driver's trips")
    .await?;
    let mut value = Page::cut(request, rows, Trip::key);
    for trip in &mut value.items {
        trip.events = details::events(conn, trip.id).await?;
    }
    let value = value.within_details(request, Trip::key, |trip| trip.events.len());
    Ok(Some(Versioned { value, version }))
}
