//! A driver's page, parent by parent: the driver, the vehicles, the policy of each vehicle, the last trips, the events
//! of each trip, the claims, and the score from aggregates over all of the driver's raw rows.

use sqlx::PgConnection;

use crate::domain::ids::{DriverId, TripId};
use crate::domain::risk::{Exposure, score};
use crate::domain::trips::EventCounts64;
use crate::store::ask::Ask as _;
use crate::store::views::{Claim, Driver, Policy, SafetyEvent, Trip, Vehicle};
use crate::store::{DriverDetails, RECENT_CLAIMS, RECENT_TRIPS, StoreError, Versioned};

pub(super) async fn read(
    conn: &mut PgConnection,
    id: DriverId,
) -> Result<Option<Versioned<DriverDetails>>, StoreError> {
    let Some(Versioned { value: driver, version }) = driver(conn, id).await? else {
        return Ok(None);
    };
    let vehicles = vehicles(conn, id).await?;
    let recent_trips = recent_trips(conn, id).await?;
    let mut claims = claims(conn, id).await?;
    let risk = score(&exposure(conn, id, &claims).await?);
    claims.truncate(RECENT_CLAIMS.into());
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

async fn driver(conn: &mut PgConnection, id: DriverId) -> Result<Option<Versioned<Driver>>, StoreError> {
    sqlx::query("SELECT id, name, email, licence, born_on, joined_on, status, version FROM drivers WHERE id = $1")
        .bind(id)
        .find(conn, "read a driver")
        .await
}

pub(super) async fn vehicles(conn: &mut PgConnection, id: DriverId) -> Result<Vec<Vehicle>, StoreError> {
    let mut vehicles: Vec<Vehicle> =
        sqlx::query("SELECT id, plate, make, model, model_year FROM vehicles WHERE driver_id = $1 ORDER BY id")
            .bind(id)
            .all(&mut *conn, "read a driver's vehicles")
            .await?;
    for vehicle in &mut vehicles {
        vehicle.policy = policy(conn, vehicle.id).await?;
    }
    Ok(vehicles)
}

async fn policy(conn: &mut PgConnection, vehicle_id: i64) -> Result<Option<Policy>, StoreError> {
    sqlx::query(
        "SELECT id, coverage, annual_premium_cents, no_claims_class, starts_on, ends_on
           FROM policies WHERE vehicle_id = $1",
    )
    .bind(vehicle_id)
    .find(conn, "read a vehicle's policy")
    .await
}

async fn recent_trips(conn: &mut PgConnection, id: DriverId) -> Result<Vec<Trip>, StoreError> {
    let mut trips: Vec<Trip> = sqlx::query(
        "SELECT id, started_at, duration_s, distance_m, night_share_pct
           FROM trips WHERE driver_id = $1 ORDER BY started_at DESC, id DESC LIMIT $2",
    )
    .bind(id)
    .bind(RECENT_TRIPS)
    .all(&mut *conn, "read a driver's last trips")
    .await?;
    for trip in &mut trips {
        trip.events = events(conn, trip.id).await?;
    }
    Ok(trips)
}

pub(super) async fn events(conn: &mut PgConnection, trip: TripId) -> Result<Vec<SafetyEvent>, StoreError> {
    sqlx::query("SELECT kind, severity, occurred_at FROM safety_events WHERE trip_id = $1 ORDER BY occurred_at, id")
        .bind(trip)
        .all(conn, "read the events of a trip")
        .await
}

async fn claims(conn: &mut PgConnection, id: DriverId) -> Result<Vec<Claim>, StoreError> {
    sqlx::query(
        "SELECT id, amount_cents, status, occurred_on
           FROM claims WHERE driver_id = $1 ORDER BY occurred_on DESC, id DESC",
    )
    .bind(id)
    .all(conn, "read a driver's claims")
    .await
}

async fn exposure(conn: &mut PgConnection, id: DriverId, claims: &[Claim]) -> Result<Exposure, StoreError> {
    let (trips, distance_m, night_distance_m) = sqlx::query(
        "SELECT count(*) AS trips,
                coalesce(sum(distance_m), 0)::bigint AS distance_m,
                coalesce(sum(distance_m::bigint * night_share_pct / 100), 0)::bigint AS night_distance_m
           FROM trips WHERE driver_id = $1",
    )
    .bind(id)
    .one(&mut *conn, "add up a driver's trips")
    .await?;
    Ok(Exposure {
        trips,
        distance_m,
        night_distance_m,
        events: event_totals(conn, id).await?,
        claims: claims.iter().map(|claim| i64::from(claim.status.counts())).sum(),
    })
}

async fn event_totals(conn: &mut PgConnection, id: DriverId) -> Result<EventCounts64, StoreError> {
    let rows = sqlx::query("SELECT kind, count(*) AS events FROM safety_events WHERE driver_id = $1 GROUP BY kind")
        .bind(id)
        .all(conn, "count a driver's safety events")
        .await?;
    let mut totals = EventCounts64::default();
    for (kind, events) in rows {
        *totals.of_mut(kind) = events;
    }
    Ok(totals)
}
