//! Storing one driver's score, as the system did before the plan; the tuned store takes many at once.
//!
//! The order is: lock the driver, read the exposure, [`store`] the score, commit. The lock makes two rescorings of one
//! driver, or a rescoring and a trip, happen one after the other; without it the slower of two could store the older
//! score last.

use std::collections::BTreeMap;

use sqlx::{FromRow, PgConnection};

use super::ask::Ask as _;
use super::outbox::Notes;
use super::record::{next_version, shard};
use super::{StoreError, TakenIn};
use crate::domain::events::{Event, EventBody, EventId, RiskChanged};
use crate::domain::ids::DriverId;
use crate::domain::risk::{Exposure, RiskBand, RiskScore, score};

/// A score as stored, with its exposure.
#[derive(Debug, Clone, Copy, FromRow)]
struct StoredScore {
    points_x100: RiskScore,
    #[sqlx(flatten)]
    exposure: Exposure,
}

/// Events by driver, both in order: everybody locks in that order.
pub(super) fn by_driver(events: &[(EventId, DriverId)]) -> BTreeMap<DriverId, Vec<EventId>> {
    let mut sorted = events.to_vec();
    sorted.sort_unstable();
    let mut by_driver: BTreeMap<DriverId, Vec<EventId>> = BTreeMap::new();
    for (event, driver) in sorted {
        by_driver.entry(driver).or_default().push(event);
    }
    by_driver
}

/// Locks the rows of those drivers that there are, in one order. A statement of its own: one that waits for a lock
/// would read every other table as it was before the wait.
pub(super) async fn lock_drivers(conn: &mut PgConnection, ids: &[DriverId]) -> Result<Vec<DriverId>, StoreError> {
    let ids: Vec<i64> = ids.iter().map(|id| id.0).collect();
    let rows: Vec<(DriverId,)> = sqlx::query("SELECT id FROM drivers WHERE id = ANY($1) ORDER BY id FOR NO KEY UPDATE")
        .bind(ids)
        .all(conn, "lock drivers")
        .await?;
    Ok(rows.into_iter().map(|(id,)| id).collect())
}

/// Scores `exposure` and stores the score, unless both are what stands there already. The caller guarantees that
/// this transaction holds the driver's lock, and read `exposure` after it.
pub(super) async fn store(
    conn: &mut PgConnection,
    id: DriverId,
    exposure: Exposure,
    notes: Notes,
) -> Result<TakenIn, StoreError> {
    let new = score(&exposure);
    let old = stored(conn, id).await?;
    if old.is_some_and(|old| old.points_x100 == new && old.exposure == exposure) {
        return Ok(TakenIn::default());
    }
    let Some(version) = next_version(conn, id).await? else {
        return Ok(TakenIn::default());
    };
    upsert(conn, id, new, &exposure).await?;
    let before = old.map(|old| old.points_x100);
    let events = match before {
        Some(before) if before == new => Vec::new(),
        _ => {
            let put = notes.put(conn, &[changed(id, version, new, before)]).await?;
            move_in_shard(conn, id, before, new).await?;
            put.events
        }
    };
    Ok(TakenIn {
        fresh: 0,
        changed: vec![id],
        events,
    })
}

/// The event that tells that a driver's score is another one.
pub(super) fn changed(driver_id: DriverId, version: i64, score: RiskScore, before: Option<RiskScore>) -> Event {
    Event::of_now(EventBody::RiskChanged(RiskChanged {
        driver_id,
        version,
        score,
        before,
    }))
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
