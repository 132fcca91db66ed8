//! A driver's page, parent by parent: the driver, the vehicles, the policy of each vehicle, the last trips, the events
//! of each trip, the claims, and the score from aggregates over all of the driver's raw rows.

use sqlx::{FromRow, PgConnection};

use crate::domain::claims::ClaimStatus;
use crate::domain::ids::{DriverId, TripId};
use crate::domain::risk::{EventCounts64, Exposure, score};
use crate::domain::trips::EventKind;
use crate::store::error::Doing;
use crate::store::views::{Claim, Driver, Policy, SafetyEvent, Trip, Vehicle};
use crate::store::{DriverDetails, RECENT_TRIPS, StoreError, Versioned};

#[derive(FromRow)]
struct DriverRow {
    version: i64,
    #[sqlx(flatten)]
    driver: Driver,
}

#[derive(FromRow)]
struct TripTotals {
    trips: i64,
    distance_m: i64,
    night_distance_m: i64,
}

#[derive(FromRow)]
struct KindTotal {
    #[sqlx(try_from = "String")]
    kind: EventKind,
    events: i64,
}

pub(super) async fn read(
    conn: &mut PgConnection,
    id: DriverId,
) -> Result<Option<Versioned<DriverDetails>>, StoreError> {
    let Some(DriverRow { version, driver }) = driver(conn, id).await? else {
        return Ok(None);
    };
    let vehicles = vehicles(conn, id).await?;
    let recent_trips = recent_trips(conn, id).await?;
    let claims = claims(conn, id).await?;
    let risk = score(&exposure(conn, id, &claims).await?);
    Ok(Some(Versioned {
        value: DriverDetails {
            driver,
            risk,
            vehicles,
            recent_trips,
            claims,
        },
        version,
    }))
}

async fn driver(conn: &mut PgConnection, id: DriverId) -> Result<Option<DriverRow>, StoreError> {
    sqlx::query_as("SELECT id, name, email, licence, born_on, joined_on, status, version FROM drivers WHERE id = $1")
        .bind(id.0)
        .fetch_optional(conn)
        .await
        .doing("read a driver")
}

pub(super) async fn vehicles(conn: &mut PgConnection, id: DriverId) -> Result<Vec<Vehicle>, StoreError> {
    let mut vehicles: Vec<Vehicle> =
        sqlx::query_as("SELECT id, plate, make, model, model_year FROM vehicles WHERE driver_id = $1 ORDER BY id")
            .bind(id.0)
            .fetch_all(&mut *conn)
            .await
            .doing("read a driver's vehicles")?;
    for vehicle in &mut vehicles {
        vehicle.policy = policy(conn, vehicle.id).await?;
    }
    Ok(vehicles)
}

async fn policy(conn: &mut PgConnection, vehicle_id: i64) -> Result<Option<Policy>, StoreError> {
    sqlx::query_as(
        "SELECT id, coverage, annual_premium_cents, no_claims_class, starts_on, ends_on
           FROM policies WHERE vehicle_id = $1",
    )
    .bind(vehicle_id)
    .fetch_optional(conn)
    .await
    .doing("read a vehicle's policy")
}

async fn recent_trips(conn: &mut PgConnection, id: DriverId) -> Result<Vec<Trip>, StoreError> {
    let mut trips: Vec<Trip> = sqlx::query_as(
        "SELECT id, started_at, duration_s, distance_m, night_share_pct
           FROM trips WHERE driver_id = $1 ORDER BY started_at DESC, id DESC LIMIT $2",
    )
    .bind(id.0)
    .bind(RECENT_TRIPS)
    .fetch_all(&mut *conn)
    .await
    .doing("read a driver's last trips")?;
    for trip in &mut trips {
        trip.events = events(conn, trip.id).await?;
    }
    Ok(trips)
}

pub(super) async fn events(conn: &mut PgConnection, trip: TripId) -> Result<Vec<SafetyEvent>, StoreError> {
    sqlx::query_as("SELECT kind, severity, occurred_at FROM safety_events WHERE trip_id = $1 ORDER BY occurred_at, id")
        .bind(trip.0)
        .fetch_all(conn)
        .await
        .doing("read the events of a trip")
}

async fn claims(conn: &mut PgConnection, id: DriverId) -> Result<Vec<Claim>, StoreError> {
    sqlx::query_as(
        "SELECT id, amount_cents, status, occurred_on
           FROM claims WHERE driver_id = $1 ORDER BY occurred_on DESC, id DESC",
    )
    .bind(id.0)
    .fetch_all(conn)
    .await
    .doing("read a driver's claims")
}

async fn exposure(conn: &mut PgConnection, id: DriverId, claims: &[Claim]) -> Result<Exposure, StoreError> {
    let trips = trip_totals(conn, id).await?;
    let events = event_totals(conn, id).await?;
    let claims = claims
        .iter()
        .map(|claim| i64::from(ClaimStatus::counts(claim.status)))
        .sum();
    let TripTotals {
        trips,
        distance_m,
        night_distance_m,
    } = trips;
    Ok(Exposure {
        trips,
        distance_m,
        night_distance_m,
        events,
        claims,
    })
}

async fn trip_totals(conn: &mut PgConnection, id: DriverId) -> Result<TripTotals, StoreError> {
    sqlx::query_as(
        "SELECT count(*) AS trips,
                coalesce(sum(distance_m), 0)::bigint AS distance_m,
                coalesce(sum(distance_m::bigint * night_share_pct / 100), 0)::bigint AS night_distance_m
           FROM trips WHERE driver_id = $1",
    )
    .bind(id.0)
    .fetch_one(conn)
    .await
    .doing("add up a driver's trips")
}

async fn event_totals(conn: &mut PgConnection, id: DriverId) -> Result<EventCounts64, StoreError> {
    let rows: Vec<KindTotal> =
        sqlx::query_as("SELECT kind, count(*) AS events FROM safety_events WHERE driver_id = $1 GROUP BY kind")
            .bind(id.0)
            .fetch_all(conn)
            .await
            .doing("count a driver's safety events")?;
    let mut totals = EventCounts64::default();
    for KindTotal { kind, events } in rows {
        *totals.of_mut(kind) = events;
    }
    Ok(totals)
}
