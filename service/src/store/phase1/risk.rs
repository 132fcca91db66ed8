//! The score, recomputed at each request: all trips, then the events of each trip, then the claims.

use sqlx::PgConnection;

use crate::domain::claims::ClaimStatus;
use crate::domain::ids::{DriverId, TripId};
use crate::domain::risk::{Exposure, score};
use crate::domain::trips::EventCounts64;
use crate::store::ask::Ask as _;
use crate::store::{CurrentRisk, StoreError, Versioned};

/// Name, metres, and percent of them that were driven at night.
type TripRow = (TripId, i32, i16);

pub(super) async fn read(conn: &mut PgConnection, id: DriverId) -> Result<Option<Versioned<CurrentRisk>>, StoreError> {
    let version = sqlx::query("SELECT version FROM drivers WHERE id = $1")
        .bind(id)
        .find_value(&mut *conn, "read a driver's version")
        .await?;
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
    for (trip, distance_m, night_share_pct) in trips(conn, id).await? {
        exposure.trips += 1;
        exposure.distance_m += i64::from(distance_m);
        exposure.night_distance_m += i64::from(distance_m) * i64::from(night_share_pct) / 100;
        count_events(conn, trip, &mut exposure.events).await?;
    }
    exposure.claims = counting_claims(conn, id).await?;
    Ok(exposure)
}

async fn trips(conn: &mut PgConnection, id: DriverId) -> Result<Vec<TripRow>, StoreError> {
    sqlx::query("SELECT id, distance_m, night_share_pct FROM trips WHERE driver_id = $1")
        .bind(id)
        .all(conn, "read a driver's trips")
        .await
}

pub(super) async fn count_events(
    conn: &mut PgConnection,
    trip: TripId,
    counts: &mut EventCounts64,
) -> Result<(), StoreError> {
    let rows = sqlx::query("SELECT kind FROM safety_events WHERE trip_id = $1")
        .bind(trip)
        .all(conn, "read the events of a trip")
        .await?;
    for (kind,) in rows {
        *counts.of_mut(kind) += 1;
    }
    Ok(())
}

async fn counting_claims(conn: &mut PgConnection, id: DriverId) -> Result<i64, StoreError> {
    let rows: Vec<(ClaimStatus,)> = sqlx::query("SELECT status FROM claims WHERE driver_id = $1")
        .bind(id)
        .all(conn, "read a driver's claims")
        .await?;
    Ok(rows.iter().map(|(status,)| i64::from(status.counts())).sum())
}
