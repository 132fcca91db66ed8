//! Taking in events as the system did before the plan: driver by driver, each in a transaction of its own.

use sqlx::PgPool;

use super::risk;
use crate::domain::events::EventId;
use crate::domain::ids::DriverId;
use crate::store::error::Doing as _;
use crate::store::outbox::Notes;
use crate::store::{StoreError, TakenIn, inbox, scores};

pub(super) async fn take_in(
    pool: &PgPool,
    events: &[(EventId, DriverId)],
    notes: Notes,
) -> Result<TakenIn, StoreError> {
    let mut taken_in = TakenIn::default();
    for (driver, events) in scores::by_driver(events) {
        taken_in.add(take_in_one(pool, driver, &events, notes).await?);
    }
    Ok(taken_in)
}

async fn take_in_one(pool: &PgPool, driver: DriverId, events: &[EventId], notes: Notes) -> Result<TakenIn, StoreError> {
    let mut tx = pool.begin().await.doing("begin rescoring a driver")?;
    let fresh = inbox::note(&mut tx, events).await?;
    let there = !fresh.is_empty() && !scores::lock_drivers(&mut tx, &[driver]).await?.is_empty();
    let mut taken_in = TakenIn::default();
    if there {
        let exposure = risk::exposure(&mut tx, driver).await?;
        taken_in = scores::store(&mut tx, driver, exposure, notes).await?;
    }
    tx.commit().await.doing("commit a risk score")?;
    taken_in.fresh = fresh.len();
    Ok(taken_in)
}
