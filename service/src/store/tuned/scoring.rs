//! Taking in events in batches: as many statements for a hundred drivers as for one.
//!
//! Rows are locked in the order of all writers (see [`record`](crate::store::record)): drivers by number, then shards
//! by number, which are held for the shortest time.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use sqlx::{FromRow, PgConnection, PgPool};

use crate::domain::events::EventId;
use crate::domain::ids::DriverId;
use crate::domain::risk::{Exposure, RiskBand, RiskScore, score};
use crate::store::ask::Ask as _;
use crate::store::error::Doing as _;
use crate::store::outbox::Notes;
use crate::store::record::shard;
use crate::store::{StoreError, TakenIn, inbox, scores};

/// Drivers of one transaction: their writers wait for it, some ten milliseconds at the most.
const AT_ONCE: usize = 100;

#[derive(FromRow)]
struct Known {
    driver_id: DriverId,
    points_x100: RiskScore,
    #[sqlx(flatten)]
    exposure: Exposure,
}

#[derive(FromRow)]
struct Kept {
    driver_id: DriverId,
    #[sqlx(flatten)]
    exposure: Exposure,
}

/// A driver whose score, or the exposure behind it, is another one.
struct Change {
    driver: DriverId,
    version: i64,
    before: Option<RiskScore>,
    score: RiskScore,
    exposure: Exposure,
}

impl Change {
    fn is_another_score(&self) -> bool {
        self.before != Some(self.score)
    }
}

pub(super) async fn take_in(
    pool: &PgPool,
    events: &[(EventId, DriverId)],
    notes: Notes,
) -> Result<TakenIn, StoreError> {
    let by_driver: Vec<_> = scores::by_driver(events).into_iter().collect();
    let mut taken_in = TakenIn::default();
    for some in by_driver.chunks(AT_ONCE) {
        taken_in.add(take_in_some(pool, some, notes).await?);
    }
    Ok(taken_in)
}

async fn take_in_some(pool: &PgPool, events: &[(DriverId, Vec<EventId>)], notes: Notes) -> Result<TakenIn, StoreError> {
    let mut ids: Vec<EventId> = events.iter().flat_map(|(_, events)| events).copied().collect();
    ids.sort_unstable();
    let mut tx = pool.begin().await.doing("begin rescoring drivers")?;
    let fresh: HashSet<EventId> = inbox::note(&mut tx, &ids).await?.into_iter().collect();
    let with_news = events
        .iter()
        .filter(|(_, events)| events.iter().any(|event| fresh.contains(event)));
    let drivers: Vec<DriverId> = with_news.map(|(driver, _)| *driver).collect();
    let mut taken_in = TakenIn::default();
    if !drivers.is_empty() {
        taken_in = rescore(&mut tx, &drivers, notes).await?;
    }
    tx.commit().await.doing("commit risk scores")?;
    taken_in.fresh = fresh.len();
    Ok(taken_in)
}

async fn rescore(conn: &mut PgConnection, drivers: &[DriverId], notes: Notes) -> Result<TakenIn, StoreError> {
    let drivers = scores::lock_drivers(conn, drivers).await?;
    let mut changes = changes(conn, &drivers).await?;
    if changes.is_empty() {
        return Ok(TakenIn::default());
    }
    count(conn, &mut changes).await?;
    upsert(conn, &changes).await?;
    let told: Vec<&Change> = changes.iter().filter(|change| change.is_another_score()).collect();
    let events = tell(conn, &told, notes).await?;
    move_in_shards(conn, &told).await?;
    Ok(TakenIn {
        fresh: 0,
        changed: changes.iter().map(|change| change.driver).collect(),
        events,
    })
}

/// The drivers whose scores or exposures are others than those that are stored.
async fn changes(conn: &mut PgConnection, drivers: &[DriverId]) -> Result<Vec<Change>, StoreError> {
    let ids: Vec<i64> = drivers.iter().map(|id| id.0).collect();
    let kept: Vec<Kept> = sqlx::query(
        "SELECT driver_id, trips, distance_m, night_distance_m, speeding, harsh_braking, harsh_acceleration,
                harsh_cornering, claims
           FROM driver_exposure WHERE driver_id = ANY($1)",
    )
    .bind(&ids)
    .all(&mut *conn, "read the exposures of drivers")
    .await?;
    let known: Vec<Known> = sqlx::query(
        "SELECT driver_id, points_x100, trips, distance_m, night_distance_m, speeding, harsh_braking,
                harsh_acceleration, harsh_cornering, claims
           FROM risk_scores WHERE driver_id = ANY($1)",
    )
    .bind(&ids)
    .all(conn, "read the stored risk scores of drivers")
    .await?;
    let kept: HashMap<DriverId, Exposure> = kept.into_iter().map(|row| (row.driver_id, row.exposure)).collect();
    let known: HashMap<DriverId, Known> = known.into_iter().map(|row| (row.driver_id, row)).collect();
    let changes = drivers.iter().filter_map(|driver| {
        let exposure = kept.get(driver).copied().unwrap_or_default();
        let (known, score) = (known.get(driver), score(&exposure));
        let is_known = known.is_some_and(|known| known.points_x100 == score && known.exposure == exposure);
        (!is_known).then(|| Change {
            driver: *driver,
            version: 0,
            before: known.map(|known| known.points_x100),
            score,
            exposure,
        })
    });
    Ok(changes.collect())
}

/// Counts the changes in the drivers' versions.
async fn count(conn: &mut PgConnection, changes: &mut [Change]) -> Result<(), StoreError> {
    let ids: Vec<i64> = changes.iter().map(|change| change.driver.0).collect();
    let versions: Vec<(DriverId, i64)> =
        sqlx::query("UPDATE drivers SET version = version + 1 WHERE id = ANY($1) RETURNING id, version")
            .bind(ids)
            .all(conn, "count changes of drivers")
            .await?;
    let versions: HashMap<DriverId, i64> = versions.into_iter().collect();
    for change in changes {
        change.version = versions.get(&change.driver).copied().unwrap_or_default();
    }
    Ok(())
}

async fn upsert(conn: &mut PgConnection, changes: &[Change]) -> Result<(), StoreError> {
    let column = |value: fn(&Change) -> i64| changes.iter().map(value).collect::<Vec<i64>>();
    let points: Vec<i32> = changes.iter().map(|change| change.score.hundredths()).collect();
    let bands: Vec<&str> = changes.iter().map(|change| change.score.band.as_str()).collect();
    sqlx::query(
        "INSERT INTO risk_scores (driver_id, points_x100, band, trips, distance_m, night_distance_m, speeding,
                                  harsh_braking, harsh_acceleration, harsh_cornering, claims, version, scored_at)
         SELECT new.*, now()
           FROM unnest($1::bigint[], $2::integer[], $3::text[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[],
                       $8::bigint[], $9::bigint[], $10::bigint[], $11::bigint[], $12::bigint[]) AS new
         ON CONFLICT (driver_id) DO UPDATE
            SET points_x100 = excluded.points_x100, band = excluded.band, trips = excluded.trips,
                distance_m = excluded.distance_m, night_distance_m = excluded.night_distance_m,
                speeding = excluded.speeding, harsh_braking = excluded.harsh_braking,
                harsh_acceleration = excluded.harsh_acceleration, harsh_cornering = excluded.harsh_cornering,
                claims = excluded.claims, version = excluded.version, scored_at = excluded.scored_at",
    )
    .bind(column(|change| change.driver.0))
    .bind(points)
    .bind(bands)
    .bind(column(|change| change.exposure.trips))
    .bind(column(|change| change.exposure.distance_m))
    .bind(column(|change| change.exposure.night_distance_m))
    .bind(column(|change| change.exposure.events.speeding))
    .bind(column(|change| change.exposure.events.harsh_braking))
    .bind(column(|change| change.exposure.events.harsh_acceleration))
    .bind(column(|change| change.exposure.events.harsh_cornering))
    .bind(column(|change| change.exposure.claims))
    .bind(column(|change| change.version))
    .run(conn, "store risk scores")
    .await
}

/// Puts an event for each into the outbox; gives their rows.
async fn tell(conn: &mut PgConnection, changes: &[&Change], notes: Notes) -> Result<Vec<i64>, StoreError> {
    let event = |change: &&Change| scores::changed(change.driver, change.version, change.score, change.before);
    let events: Vec<_> = changes.iter().map(event).collect();
    if events.is_empty() {
        return Ok(Vec::new());
    }
    Ok(notes.put(conn, &events).await?.events)
}

/// By how much the totals of a shard change.
#[derive(Default)]
struct Moved {
    scored: i64,
    points_x100: i64,
    bands: [i64; RiskBand::ALL.len()],
}

impl Moved {
    fn add(&mut self, change: &Change) {
        self.scored += i64::from(change.before.is_none());
        self.points_x100 += i64::from(change.score.hundredths());
        self.bands[change.score.band as usize] += 1;
        if let Some(before) = change.before {
            self.points_x100 -= i64::from(before.hundredths());
            self.bands[before.band as usize] -= 1;
        }
    }
}

/// Takes the old scores out of the portfolio's totals and puts the new ones in.
async fn move_in_shards(conn: &mut PgConnection, changes: &[&Change]) -> Result<(), StoreError> {
    let mut shards: BTreeMap<i16, Moved> = BTreeMap::new();
    for change in changes {
        shards.entry(shard(change.driver)).or_default().add(change);
    }
    lock_shards(conn, shards.keys().copied().collect()).await?;
    let column = |value: fn(&Moved) -> i64| shards.values().map(value).collect::<Vec<i64>>();
    sqlx::query(
        "UPDATE portfolio_shards total
            SET scored_drivers = scored_drivers + scored, points_x100 = total.points_x100 + moved.points_x100,
                low_drivers = low_drivers + low, moderate_drivers = moderate_drivers + moderate,
                high_drivers = high_drivers + high, severe_drivers = severe_drivers + severe
           FROM unnest($1::smallint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[],
                       $7::bigint[]) AS moved (shard, scored, points_x100, low, moderate, high, severe)
          WHERE total.shard = moved.shard",
    )
    .bind(shards.keys().copied().collect::<Vec<i16>>())
    .bind(column(|moved| moved.scored))
    .bind(column(|moved| moved.points_x100))
    .bind(column(|moved| moved.bands[RiskBand::Low as usize]))
    .bind(column(|moved| moved.bands[RiskBand::Moderate as usize]))
    .bind(column(|moved| moved.bands[RiskBand::High as usize]))
    .bind(column(|moved| moved.bands[RiskBand::Severe as usize]))
    .run(conn, "move risk scores in the portfolio's totals")
    .await
}

/// In one order, which an update of several rows does not promise.
async fn lock_shards(conn: &mut PgConnection, shards: BTreeSet<i16>) -> Result<(), StoreError> {
    let shards: Vec<i16> = shards.into_iter().collect();
    sqlx::query("SELECT FROM portfolio_shards WHERE shard = ANY($1) ORDER BY shard FOR NO KEY UPDATE")
        .bind(shards)
        .run(conn, "lock the portfolio's totals")
        .await
}
