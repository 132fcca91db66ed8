//! Recording a trip: one transaction.
//!
//! Rows are locked in one order by all writers: driver, exposure, shard, day. The last two are shared with other
//! drivers (one in [`SHARDS`]), so they come last and are held for the shortest time.

use std::time::Duration;

use sqlx::{FromRow, PgConnection, PgPool, Postgres, Transaction};
use uuid::Uuid;

use super::ask::Ask as _;
use super::cache_outbox::interval;
use super::error::Doing as _;
use super::outbox::Noted;
use super::{Committed, SHARDS, StoreError, Writer};
use crate::domain::events::Event;
use crate::domain::ids::{DriverId, TripId};
use crate::domain::trips::{NewTrip, SEVERITY_UNKNOWN, TripRecorded};

impl Writer {
    /// Records a trip and its events. `None`: there is no such driver, and nothing was written. The caller guarantees
    /// that the trip [validates](NewTrip::validate).
    pub async fn record_trip(&self, id: DriverId, trip: &NewTrip) -> Result<Option<Committed<TripId>>, StoreError> {
        let mut tx = self.pool.begin().await.doing("begin recording a trip")?;
        match next_version(&mut tx, id).await? {
            Some(version) => self.commit_trip(tx, id, version, trip, None).await.map(Some),
            None => Ok(None),
        }
    }

    /// As [`record_trip`](Self::record_trip), but once for each key of `request`.
    pub async fn record_trip_once(
        &self,
        id: DriverId,
        trip: &NewTrip,
        request: &TripRequest,
    ) -> Result<TripOutcome, StoreError> {
        let mut tx = self.pool.begin().await.doing("begin recording a trip")?;
        // Retries queue at the driver's row, so that each finds what the one before it has recorded.
        let Some(version) = next_version(&mut tx, id).await? else {
            return Ok(TripOutcome::NoSuchDriver);
        };
        let Some(known) = find_request(&mut tx, id, &request.key).await? else {
            let recorded = self.commit_trip(tx, id, version, trip, Some(request)).await?;
            return Ok(TripOutcome::Recorded(recorded));
        };
        // Dropping the transaction takes the version back.
        if known.fingerprint != request.fingerprint {
            return Ok(TripOutcome::KeyOfAnother);
        }
        Ok(TripOutcome::Recorded(Committed {
            value: known.trip_id,
            version: known.version,
            noted: Noted::default(),
        }))
    }

    async fn commit_trip(
        &self,
        mut tx: Transaction<'_, Postgres>,
        id: DriverId,
        version: i64,
        trip: &NewTrip,
        request: Option<&TripRequest>,
    ) -> Result<Committed<TripId>, StoreError> {
        let recorded = TripRecorded {
            driver_id: id,
            trip_id: TripId(Uuid::now_v7()),
            version,
            trip: trip.clone(),
        };
        insert_trip(&mut tx, &recorded).await?;
        if let Some(request) = request {
            note_request(&mut tx, &recorded, request).await?;
        }
        insert_events(&mut tx, &recorded).await?;
        add_to_exposure(&mut tx, &recorded).await?;
        let noted = self.notes().put(&mut tx, &Event::of_trip(&recorded)).await?;
        add_to_shard(&mut tx, &recorded).await?;
        add_to_day(&mut tx, &recorded).await?;
        tx.commit().await.doing("commit a trip")?;
        Ok(Committed {
            value: recorded.trip_id,
            version,
            noted,
        })
    }
}

/// What a client calls a request, so that its retries are not taken for others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TripRequest {
    /// Name, one of its driver's.
    pub key: String,
    /// SHA-256 of what was sent.
    pub fingerprint: Vec<u8>,
}

/// Outcome of a request that may be a retry.
#[derive(Debug, Clone, PartialEq)]
pub enum TripOutcome {
    /// The trip is on record, by this request or by the one that it repeats.
    Recorded(Committed<TripId>),
    /// Another trip was sent under this key; nothing was written.
    KeyOfAnother,
    /// There is no such driver.
    NoSuchDriver,
}

#[derive(FromRow)]
struct KnownRequest {
    fingerprint: Vec<u8>,
    trip_id: TripId,
    version: i64,
}

async fn find_request(conn: &mut PgConnection, id: DriverId, key: &str) -> Result<Option<KnownRequest>, StoreError> {
    sqlx::query("SELECT fingerprint, trip_id, version FROM trip_requests WHERE driver_id = $1 AND key = $2")
        .bind(id)
        .bind(key)
        .find(conn, "look for an earlier request")
        .await
}

async fn note_request(
    conn: &mut PgConnection,
    recorded: &TripRecorded,
    request: &TripRequest,
) -> Result<(), StoreError> {
    sqlx::query("INSERT INTO trip_requests (driver_id, key, fingerprint, trip_id, version) VALUES ($1, $2, $3, $4, $5)")
        .bind(recorded.driver_id)
        .bind(&request.key)
        .bind(&request.fingerprint)
        .bind(recorded.trip_id)
        .bind(recorded.version)
        .run(conn, "note the request of a trip")
        .await
}

/// Forgets requests that were made longer than `age` ago.
pub async fn forget_requests(pool: &PgPool, age: Duration) -> Result<(), StoreError> {
    sqlx::query("DELETE FROM trip_requests WHERE created_at < now() - $1")
        .bind(interval(age))
        .run(pool, "forget old requests")
        .await
}

/// Counts a change of the driver, and locks the driver's row until the transaction ends.
pub(super) async fn next_version(conn: &mut PgConnection, id: DriverId) -> Result<Option<i64>, StoreError> {
    sqlx::query("UPDATE drivers SET version = version + 1 WHERE id = $1 RETURNING version")
        .bind(id)
        .find_value(conn, "count a change of the driver")
        .await
}

/// The shard of the totals that a driver counts in.
#[expect(
    clippy::cast_possible_truncation,
    reason = "the remainder is below SHARDS, which is an i16"
)]
pub(crate) fn shard(id: DriverId) -> i16 {
    id.0.rem_euclid(i64::from(SHARDS)) as i16
}

async fn insert_trip(conn: &mut PgConnection, recorded: &TripRecorded) -> Result<(), StoreError> {
    let trip = &recorded.trip;
    sqlx::query(
        "INSERT INTO trips (id, driver_id, started_at, duration_s, distance_m, night_share_pct)
         VALUES ($1, $2, $3, $4, $5, $6)",
    )
    .bind(recorded.trip_id)
    .bind(recorded.driver_id)
    .bind(trip.started_at)
    .bind(trip.duration_s)
    .bind(trip.distance_m)
    .bind(trip.night_share_pct)
    .run(conn, "insert a trip")
    .await
}

async fn insert_events(conn: &mut PgConnection, recorded: &TripRecorded) -> Result<(), StoreError> {
    let (kinds, times): (Vec<_>, Vec<_>) = recorded
        .trip
        .event_times()
        .map(|(kind, occurred_at)| (kind.as_str(), occurred_at))
        .unzip();
    if kinds.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "INSERT INTO safety_events (trip_id, driver_id, kind, severity, occurred_at)
         SELECT $1, $2, kind, $3, occurred_at FROM unnest($4::text[], $5::timestamptz[]) AS event (kind, occurred_at)",
    )
    .bind(recorded.trip_id)
    .bind(recorded.driver_id)
    .bind(SEVERITY_UNKNOWN)
    .bind(kinds)
    .bind(times)
    .run(conn, "insert the events of a trip")
    .await
}

async fn add_to_exposure(conn: &mut PgConnection, recorded: &TripRecorded) -> Result<(), StoreError> {
    let trip = &recorded.trip;
    sqlx::query(
        "INSERT INTO driver_exposure AS total (driver_id, trips, distance_m, night_distance_m, speeding, harsh_braking,
                                               harsh_acceleration, harsh_cornering)
         VALUES ($1, 1, $2, $3, $4, $5, $6, $7)
         ON CONFLICT (driver_id) DO UPDATE
            SET trips = total.trips + 1,
                distance_m = total.distance_m + excluded.distance_m,
                night_distance_m = total.night_distance_m + excluded.night_distance_m,
                speeding = total.speeding + excluded.speeding,
                harsh_braking = total.harsh_braking + excluded.harsh_braking,
                harsh_acceleration = total.harsh_acceleration + excluded.harsh_acceleration,
                harsh_cornering = total.harsh_cornering + excluded.harsh_cornering",
    )
    .bind(recorded.driver_id)
    .bind(i64::from(trip.distance_m))
    .bind(trip.night_distance_m())
    .bind(i64::from(trip.events.speeding))
    .bind(i64::from(trip.events.harsh_braking))
    .bind(i64::from(trip.events.harsh_acceleration))
    .bind(i64::from(trip.events.harsh_cornering))
    .run(conn, "add a trip to the driver's exposure")
    .await
}

async fn add_to_shard(conn: &mut PgConnection, recorded: &TripRecorded) -> Result<(), StoreError> {
    sqlx::query(
        "UPDATE portfolio_shards
            SET trips = trips + 1, distance_m = distance_m + $2, safety_events = safety_events + $3
          WHERE shard = $1",
    )
    .bind(shard(recorded.driver_id))
    .bind(i64::from(recorded.trip.distance_m))
    .bind(recorded.trip.events.total())
    .run(conn, "add a trip to the portfolio's totals")
    .await
}

async fn add_to_day(conn: &mut PgConnection, recorded: &TripRecorded) -> Result<(), StoreError> {
    let trip = &recorded.trip;
    sqlx::query(
        "INSERT INTO portfolio_daily AS total (day, shard, trips, distance_m, speeding, harsh_braking,
                                               harsh_acceleration, harsh_cornering)
         VALUES ($1, $2, 1, $3, $4, $5, $6, $7)
         ON CONFLICT (day, shard) DO UPDATE
            SET trips = total.trips + 1,
                distance_m = total.distance_m + excluded.distance_m,
                speeding = total.speeding + excluded.speeding,
                harsh_braking = total.harsh_braking + excluded.harsh_braking,
                harsh_acceleration = total.harsh_acceleration + excluded.harsh_acceleration,
                harsh_cornering = total.harsh_cornering + excluded.harsh_cornering",
    )
    .bind(trip.started_at.date_naive())
    .bind(shard(recorded.driver_id))
    .bind(i64::from(trip.distance_m))
    .bind(i64::from(trip.events.speeding))
    .bind(i64::from(trip.events.harsh_braking))
    .bind(i64::from(trip.events.harsh_acceleration))
    .bind(i64::from(trip.events.harsh_cornering))
    .run(conn, "add a trip to the totals of its day")
    .await
}
