//! Reporting and changing claims: one transaction each.
//!
//! Rows are locked in the order of all writers (see [`record`](super::record)): driver, exposure, shard, claims of the shard.

use sqlx::{FromRow, PgConnection, PgPool};

use super::error::Doing;
use super::outbox::Notes;
use super::record::{next_version, shard};
use super::views::{Claim, ClaimOfDriver};
use super::{ClaimOutcome, Committed, StoreError};
use crate::domain::claims::{ClaimChange, ClaimChanged, ClaimState, ClaimStatus, NewClaim};
use crate::domain::ids::{ClaimId, DriverId};
use crate::domain::money::Cents;

/// See [`Writer::file_claim`](super::Writer::file_claim).
pub(super) async fn file(
    pool: &PgPool,
    notes: Notes,
    id: DriverId,
    new: &NewClaim,
) -> Result<Option<Committed<ClaimOfDriver>>, StoreError> {
    let mut tx = pool.begin().await.doing("begin reporting a claim")?;
    let Some(version) = next_version(&mut tx, id).await? else {
        return Ok(None);
    };
    let claim = insert(&mut tx, id, new).await?;
    settle_totals(&mut tx, id, None, &claim).await?;
    let invalidation = announce(&mut tx, notes, id, version, &claim).await?;
    tx.commit().await.doing("commit a claim")?;
    Ok(Some(Committed {
        value: ClaimOfDriver { driver_id: id, claim },
        version,
        invalidation,
    }))
}

/// See [`Writer::change_claim`](super::Writer::change_claim).
pub(super) async fn change(
    pool: &PgPool,
    notes: Notes,
    id: ClaimId,
    change: ClaimChange,
) -> Result<ClaimOutcome, StoreError> {
    let mut tx = pool.begin().await.doing("begin changing a claim")?;
    let Some(driver_id) = owner(&mut tx, id).await? else {
        return Ok(ClaimOutcome::NoSuchClaim);
    };
    // The driver's row is what all writers of this driver queue at; the claim is read after it.
    let Some(version) = next_version(&mut tx, driver_id).await? else {
        return Ok(ClaimOutcome::NoSuchClaim);
    };
    let before = state(&mut tx, id).await?;
    let after = match before.after(change) {
        Ok(after) => after,
        // Dropping the transaction takes the version back.
        Err(refused) => return Ok(ClaimOutcome::Refused(refused)),
    };
    let claim = update(&mut tx, id, after).await?;
    settle_totals(&mut tx, driver_id, Some(before), &claim).await?;
    let invalidation = announce(&mut tx, notes, driver_id, version, &claim).await?;
    tx.commit().await.doing("commit the change of a claim")?;
    Ok(ClaimOutcome::Changed(Committed {
        value: ClaimOfDriver { driver_id, claim },
        version,
        invalidation,
    }))
}

async fn insert(conn: &mut PgConnection, id: DriverId, new: &NewClaim) -> Result<Claim, StoreError> {
    sqlx::query_as(
        "INSERT INTO claims (driver_id, amount_cents, status, occurred_on) VALUES ($1, $2, $3, $4)
         RETURNING id, amount_cents, status, occurred_on",
    )
    .bind(id.0)
    .bind(new.amount.0)
    .bind(ClaimStatus::Open.as_str())
    .bind(new.occurred_on)
    .fetch_one(conn)
    .await
    .doing("insert a claim")
}

async fn owner(conn: &mut PgConnection, id: ClaimId) -> Result<Option<DriverId>, StoreError> {
    let driver: Option<i64> = sqlx::query_scalar("SELECT driver_id FROM claims WHERE id = $1")
        .bind(id.0)
        .fetch_optional(conn)
        .await
        .doing("find whose claim it is")?;
    Ok(driver.map(DriverId))
}

#[derive(FromRow)]
struct StateRow {
    #[sqlx(try_from = "String")]
    status: ClaimStatus,
    #[sqlx(try_from = "i64")]
    amount_cents: Cents,
}

async fn state(conn: &mut PgConnection, id: ClaimId) -> Result<ClaimState, StoreError> {
    let row: StateRow = sqlx::query_as("SELECT status, amount_cents FROM claims WHERE id = $1")
        .bind(id.0)
        .fetch_one(conn)
        .await
        .doing("read where a claim stands")?;
    Ok(ClaimState {
        status: row.status,
        amount: row.amount_cents,
    })
}

async fn update(conn: &mut PgConnection, id: ClaimId, after: ClaimState) -> Result<Claim, StoreError> {
    sqlx::query_as(
        "UPDATE claims SET status = $2, amount_cents = $3 WHERE id = $1
         RETURNING id, amount_cents, status, occurred_on",
    )
    .bind(id.0)
    .bind(after.status.as_str())
    .bind(after.amount.0)
    .fetch_one(conn)
    .await
    .doing("change a claim")
}

/// Takes the claim as it was (if it was there) out of the totals and puts it in as it is.
async fn settle_totals(
    conn: &mut PgConnection,
    id: DriverId,
    before: Option<ClaimState>,
    claim: &Claim,
) -> Result<(), StoreError> {
    let after = ClaimState {
        status: claim.status,
        amount: claim.amount_cents,
    };
    let counted = |state: ClaimState| i64::from(state.status.counts());
    let open = |state: ClaimState| i64::from(state.status == ClaimStatus::Open);
    add_to_exposure(conn, id, counted(after) - before.map_or(0, counted)).await?;
    let incurred = after.incurred().0 - before.map_or(0, |before| before.incurred().0);
    add_to_shard(conn, id, open(after) - before.map_or(0, open), incurred).await?;
    if let Some(before) = before {
        add_to_status(conn, id, before.status, -1, -before.amount.0).await?;
    }
    add_to_status(conn, id, after.status, 1, after.amount.0).await
}

async fn add_to_exposure(conn: &mut PgConnection, id: DriverId, claims: i64) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO driver_exposure AS total (driver_id, claims) VALUES ($1, $2)
         ON CONFLICT (driver_id) DO UPDATE SET claims = total.claims + excluded.claims",
    )
    .bind(id.0)
    .bind(claims)
    .execute(conn)
    .await
    .doing("count a claim in the driver's exposure")?;
    Ok(())
}

async fn add_to_shard(conn: &mut PgConnection, id: DriverId, open: i64, incurred_cents: i64) -> Result<(), StoreError> {
    sqlx::query(
        "UPDATE portfolio_shards SET open_claims = open_claims + $2, incurred_cents = incurred_cents + $3
          WHERE shard = $1",
    )
    .bind(shard(id))
    .bind(open)
    .bind(incurred_cents)
    .execute(conn)
    .await
    .doing("count a claim in the portfolio's totals")?;
    Ok(())
}

async fn add_to_status(
    conn: &mut PgConnection,
    id: DriverId,
    status: ClaimStatus,
    claims: i64,
    amount_cents: i64,
) -> Result<(), StoreError> {
    sqlx::query(
        "UPDATE portfolio_claims SET claims = claims + $3, amount_cents = amount_cents + $4
          WHERE shard = $1 AND status = $2",
    )
    .bind(shard(id))
    .bind(status.as_str())
    .bind(claims)
    .bind(amount_cents)
    .execute(conn)
    .await
    .doing("count a claim in the totals of its status")?;
    Ok(())
}

async fn announce(
    conn: &mut PgConnection,
    notes: Notes,
    id: DriverId,
    version: i64,
    claim: &Claim,
) -> Result<Option<i64>, StoreError> {
    let event = ClaimChanged {
        driver_id: id,
        claim_id: claim.id,
        version,
        status: claim.status,
        amount_cents: claim.amount_cents,
    };
    notes.put(conn, id, &event).await
}
