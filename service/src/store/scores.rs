//! Storing a driver's score: shared by both stores, which differ in how they find the exposure.
//!
//! The order is: lock the driver, read the exposure, [`store`] the score, commit. The lock makes two rescorings of one
//! driver, or a rescoring and a trip, happen one after the other; without it the slower of two could store the older
//! score last.

use sqlx::{FromRow, PgConnection, Postgres, Transaction};

use super::ask::Ask as _;
use super::error::Doing as _;
use super::record::{next_version, shard};
use super::{CurrentRisk, StoreError, Versioned};
use crate::domain::ids::DriverId;
use crate::domain::risk::{Exposure, RiskBand, RiskScore, score};

/// A score as stored, with its exposure.
#[derive(Debug, Clone, Copy, FromRow)]
struct StoredScore {
    points_x100: RiskScore,
    #[sqlx(flatten)]
    exposure: Exposure,
}

/// Locks the driver's row and gives its version. A statement of its own: one that waits for the lock would read every
/// other table as it was before the wait.
pub(super) async fn lock_driver(conn: &mut PgConnection, id: DriverId) -> Result<Option<i64>, StoreError> {
    sqlx::query("SELECT version FROM drivers WHERE id = $1 FOR NO KEY UPDATE")
        .bind(id)
        .find_value(conn, "lock the driver")
        .await
}

/// Scores `exposure`, stores the score unless it is what stands there already, and commits. The caller guarantees that
/// this transaction holds the driver's lock, got `version` with it, and read `exposure` after it.
pub(super) async fn store(
    mut tx: Transaction<'_, Postgres>,
    id: DriverId,
    version: i64,
    exposure: Exposure,
) -> Result<Versioned<CurrentRisk>, StoreError> {
    let new = score(&exposure);
    let old = stored(&mut tx, id).await?;
    let unchanged = old.is_some_and(|old| old.points_x100 == new && old.exposure == exposure);
    let version = if unchanged {
        version
    } else {
        replace(&mut tx, id, old, new, &exposure).await?.unwrap_or(version)
    };
    tx.commit().await.doing("commit a risk score")?;
    Ok(Versioned {
        value: CurrentRisk::new(id, new, exposure),
        version,
    })
}

async fn stored(conn: &mut PgConnection, id: DriverId) -> Result<Option<StoredScore>, StoreError> {
    sqlx::query(
        "SELECT points_x100, trips, distance_m, night_distance_m, speeding, harsh_braking, harsh_acceleration,
                harsh_cornering, claims
           FROM risk_scores WHERE driver_id = $1",
    )
    .bind(id)
    .find(conn, "read the stored risk score")
    .await
}

async fn replace(
    conn: &mut PgConnection,
    id: DriverId,
    old: Option<StoredScore>,
    new: RiskScore,
    exposure: &Exposure,
) -> Result<Option<i64>, StoreError> {
    let version = next_version(conn, id).await?;
    upsert(conn, id, new, exposure).await?;
    let old = old.map(|old| old.points_x100);
    if old != Some(new) {
        move_in_shard(conn, id, old, new).await?;
    }
    Ok(version)
}

async fn upsert(conn: &mut PgConnection, id: DriverId, new: RiskScore, exposure: &Exposure) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO risk_scores (driver_id, points_x100, band, trips, distance_m, night_distance_m, speeding,
                                  harsh_braking, harsh_acceleration, harsh_cornering, claims, version, scored_at)
         SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, version, now() FROM drivers WHERE id = $1
         ON CONFLICT (driver_id) DO UPDATE
            SET points_x100 = excluded.points_x100, band = excluded.band, trips = excluded.trips,
                distance_m = excluded.distance_m, night_distance_m = excluded.night_distance_m,
                speeding = excluded.speeding, harsh_braking = excluded.harsh_braking,
                harsh_acceleration = excluded.harsh_acceleration, harsh_cornering = excluded.harsh_cornering,
                claims = excluded.claims, version = excluded.version, scored_at = excluded.scored_at",
    )
    .bind(id)
    .bind(new)
    .bind(new.band)
    .bind(exposure.trips)
    .bind(exposure.distance_m)
    .bind(exposure.night_distance_m)
    .bind(exposure.events.speeding)
    .bind(exposure.events.harsh_braking)
    .bind(exposure.events.harsh_acceleration)
    .bind(exposure.events.harsh_cornering)
    .bind(exposure.claims)
    .run(conn, "store a risk score")
    .await
}

/// Takes the old score out of the portfolio's totals and puts the new one in.
async fn move_in_shard(
    conn: &mut PgConnection,
    id: DriverId,
    old: Option<RiskScore>,
    new: RiskScore,
) -> Result<(), StoreError> {
    let change = |band| i64::from(new.band == band) - i64::from(old.is_some_and(|old| old.band == band));
    sqlx::query(
        "UPDATE portfolio_shards
            SET scored_drivers = scored_drivers + $2, points_x100 = points_x100 + $3, low_drivers = low_drivers + $4,
                moderate_drivers = moderate_drivers + $5, high_drivers = high_drivers + $6,
                severe_drivers = severe_drivers + $7
          WHERE shard = $1",
    )
    .bind(shard(id))
    .bind(i64::from(old.is_none()))
    .bind(i64::from(new.hundredths() - old.map_or(0, |old| old.hundredths())))
    .bind(change(RiskBand::Low))
    .bind(change(RiskBand::Moderate))
    .bind(change(RiskBand::High))
    .bind(change(RiskBand::Severe))
    .run(conn, "move a risk score in the portfolio's totals")
    .await
}
