//! Reporting and changing claims: one transaction each.
//!
//! Rows are locked in the order of all writers (see [`record`](super::record)): driver, exposure, shard, claims of the
//! shard.

use sqlx::{PgConnection, Postgres, Transaction};

use super::ask::Ask as _;
use super::error::Doing as _;
use super::record::{next_version, shard};
use super::views::{Claim, ClaimOfDriver};
use super::{ClaimOutcome, Committed, StoreError, Writer};
use crate::domain::claims::{ClaimChange, ClaimChanged, ClaimState, ClaimStatus, NewClaim};
use crate::domain::events::{ClaimFiled, Event, EventBody};
use crate::domain::ids::{ClaimId, DriverId};

impl Writer {
    /// Puts a claim on record, open. `None`: there is no such driver. The caller guarantees that the claim
    /// [validates](NewClaim::validate_on).
    pub async fn file_claim(
        &self,
        id: DriverId,
        new: &NewClaim,
    ) -> Result<Option<Committed<ClaimOfDriver>>, StoreError> {
        let mut tx = self.pool.begin().await.doing("begin reporting a claim")?;
        let Some(version) = next_version(&mut tx, id).await? else {
            return Ok(None);
        };
        let claim = insert(&mut tx, id, new).await?;
        self.settle(tx, id, version, None, claim).await.map(Some)
    }

    /// Changes a claim. The caller guarantees that the change [validates](ClaimChange::validate).
    pub async fn change_claim(&self, id: ClaimId, change: ClaimChange) -> Result<ClaimOutcome, StoreError> {
        let mut tx = self.pool.begin().await.doing("begin changing a claim")?;
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
        let settled = self.settle(tx, driver_id, version, Some(before), claim).await?;
        Ok(ClaimOutcome::Changed(settled))
    }

    /// Brings the totals up to date with a claim that was `before`, notes what happened, and commits.
    async fn settle(
        &self,
        mut tx: Transaction<'_, Postgres>,
        driver_id: DriverId,
        version: i64,
        before: Option<ClaimState>,
        claim: Claim,
    ) -> Result<Committed<ClaimOfDriver>, StoreError> {
        settle_totals(&mut tx, driver_id, before, &claim).await?;
        let event = match before {
            None => filed(driver_id, version, &claim),
            Some(_) => changed(driver_id, version, &claim),
        };
        let noted = self.notes().put(&mut tx, &[Event::of_now(event)]).await?;
        tx.commit().await.doing("commit a claim")?;
        Ok(Committed {
            value: ClaimOfDriver { driver_id, claim },
            version,
            noted,
        })
    }
}

fn filed(driver_id: DriverId, version: i64, claim: &Claim) -> EventBody {
    EventBody::ClaimFiled(ClaimFiled {
        driver_id,
        claim_id: claim.id,
        version,
        amount_cents: claim.amount_cents,
        occurred_on: claim.occurred_on,
    })
}

fn changed(driver_id: DriverId, version: i64, claim: &Claim) -> EventBody {
    EventBody::ClaimChanged(ClaimChanged {
        driver_id,
        claim_id: claim.id,
        version,
        status: claim.status,
        amount_cents: claim.amount_cents,
    })
}

async fn insert(conn: &mut PgConnection, id: DriverId, new: &NewClaim) -> Result<Claim, StoreError> {
    sqlx::query(
        "INSERT INTO claims (driver_id, amount_cents, status, occurred_on) VALUES ($1, $2, $3, $4)
         RETURNING id, amount_cents, status, occurred_on",
    )
    .bind(id)
    .bind(new.amount)
    .bind(ClaimStatus::Open)
    .bind(new.occurred_on)
    .one(conn, "insert a claim")
    .await
}

async fn owner(conn: &mut PgConnection, id: ClaimId) -> Result<Option<DriverId>, StoreError> {
    sqlx::query("SELECT driver_id FROM claims WHERE id = $1")
        .bind(id)
        .find_value(conn, "find whose claim it is")
        .await
}

async fn state(conn: &mut PgConnection, id: ClaimId) -> Result<ClaimState, StoreError> {
    let (status, amount) = sqlx::query("SELECT status, amount_cents FROM claims WHERE id = $1")
        .bind(id)
        .one(conn, "read where a claim stands")
        .await?;
    Ok(ClaimState { status, amount })
}

async fn update(conn: &mut PgConnection, id: ClaimId, after: ClaimState) -> Result<Claim, StoreError> {
    sqlx::query(
        "UPDATE claims SET status = $2, amount_cents = $3 WHERE id = $1
         RETURNING id, amount_cents, status, occurred_on",
    )
    .bind(id)
    .bind(after.status)
    .bind(after.amount)
    .one(conn, "change a claim")
    .await
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
    .bind(id)
    .bind(claims)
    .run(conn, "count a claim in the driver's exposure")
    .await
}

async fn add_to_shard(conn: &mut PgConnection, id: DriverId, open: i64, incurred_cents: i64) -> Result<(), StoreError> {
    sqlx::query(
        "UPDATE portfolio_shards SET open_claims = open_claims + $2, incurred_cents = incurred_cents + $3
          WHERE shard = $1",
    )
    .bind(shard(id))
    .bind(open)
    .bind(incurred_cents)
    .run(conn, "count a claim in the portfolio's totals")
    .await
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
    .bind(status)
    .bind(claims)
    .bind(amount_cents)
    .run(conn, "count a claim in the totals of its status")
    .await
}
