//! The score, recomputed at each request: all trips, then the events of each trip, then the claims.

use sqlx::{FromRow, PgConnection};
use uuid::Uuid;

use crate::domain::claims::ClaimStatus;
use crate::domain::ids::DriverId;
use crate::domain::risk::{EventCounts64, Exposure, score};
use crate::domain::trips::EventKind;
use crate::store::error::Doing;
use crate::store::{CurrentRisk, StoreError, Versioned};

#[derive(FromRow)]
struct TripRow {
    id: Uuid,
    distance_m: i32,
    night_share_pct: i16,
}

#[derive(FromRow)]
struct KindRow {
    #[sqlx(try_from = "String")]
    kind: EventKind,
}

#[derive(FromRow)]
struct StatusRow {
    #[sqlx(try_from = "String")]
    status: ClaimStatus,
}

pub(super) async fn read(conn: &mut PgConnection, id: DriverId) -> Result<Option<Versioned<CurrentRisk>>, StoreError> {
    let version = sqlx::query_scalar("SELECT version FROM drivers WHERE id = $1")
        .bind(id.0)
        .fetch_optional(&mut *conn)
        .await
        .doing("read a driver's version")?;
    let Some(version) = version else {
        return Ok(None);
    };
    let exposure = exposure(conn, id).await?;
    Ok(Some(Versioned {
        value: CurrentRisk::new(id, score(&exposure), exposure),
        version,
    }))
}

/// The exposure from the raw rows: one statement for the trips, one per trip, one for the claims.
pub(super) async fn exposure(conn: &mut PgConnection, id: DriverId) -> Result<Exposure, StoreError> {
    let mut exposure = Exposure::default();
    for trip in trips(conn, id).await? {
        exposure.trips += 1;
        exposure.distance_m += i64::from(trip.distance_m);
        exposure.night_distance_m += i64::from(trip.distance_m) * i64::from(trip.night_share_pct) / 100;
        count_events(conn, trip.id, &mut exposure.events).await?;
    }
    exposure.claims = counting_claims(conn, id).await?;
    Ok(exposure)
}

async fn trips(conn: &mut PgConnection, id: DriverId) -> Result<Vec<TripRow>, StoreError> {
    sqlx::query_as("SELECT id, distance_m, night_share_pct FROM trips WHERE driver_id = $1")
        .bind(id.0)
        .fetch_all(conn)
        .await
        .doing("read a driver's trips")
}

pub(super) async fn count_events(
    conn: &mut PgConnection,
    trip: Uuid,
    counts: &mut EventCounts64,
) -> Result<(), StoreError> {
    let rows: Vec<KindRow> = sqlx::query_as("SELECT kind FROM safety_events WHERE trip_id = $1")
        .bind(trip)
        .fetch_all(conn)
        .await
        .doing("read the events of a trip")?;
    for row in rows {
        *counts.of_mut(row.kind) += 1;
    }
    Ok(())
}

async fn counting_claims(conn: &mut PgConnection, id: DriverId) -> Result<i64, StoreError> {
    let rows: Vec<StatusRow> = sqlx::query_as("SELECT status FROM claims WHERE driver_id = $1")
        .bind(id.0)
        .fetch_all(conn)
        .await
        .doing("read a driver's claims")?;
    Ok(rows.iter().map(|row| i64::from(row.status.counts())).sum())
}
