//! Changing a driver's own data: one transaction.

use sqlx::{FromRow, PgConnection, PgPool};

use super::error::Doing;
use super::outbox::Notes;
use super::record::shard;
use super::views::Driver;
use super::{Committed, StoreError};
use crate::domain::drivers::{DriverChange, DriverStatus, DriverUpdated};
use crate::domain::ids::DriverId;

#[derive(FromRow)]
struct UpdatedRow {
    version: i64,
    #[sqlx(flatten)]
    driver: Driver,
}

/// See [`Writer::update_driver`](super::Writer::update_driver).
pub(super) async fn update(
    pool: &PgPool,
    notes: Notes,
    id: DriverId,
    change: &DriverChange,
) -> Result<Option<Committed<Driver>>, StoreError> {
    let mut tx = pool.begin().await.doing("begin changing a driver")?;
    let Some(before) = lock(&mut tx, id).await? else {
        return Ok(None);
    };
    let UpdatedRow { version, driver } = apply(&mut tx, id, change).await?;
    let event = DriverUpdated {
        driver_id: id,
        version,
        status: driver.status,
    };
    let invalidation = notes.put(&mut tx, id, &event).await?;
    count_active(&mut tx, id, before, driver.status).await?;
    tx.commit().await.doing("commit the change of a driver")?;
    Ok(Some(Committed {
        value: driver,
        version,
        invalidation,
    }))
}

/// Locks the driver's row and gives the status, which the totals count.
async fn lock(conn: &mut PgConnection, id: DriverId) -> Result<Option<DriverStatus>, StoreError> {
    #[derive(FromRow)]
    struct StatusRow {
        #[sqlx(try_from = "String")]
        status: DriverStatus,
    }
    let row: Option<StatusRow> = sqlx::query_as("SELECT status FROM drivers WHERE id = $1 FOR NO KEY UPDATE")
        .bind(id.0)
        .fetch_optional(conn)
        .await
        .doing("lock the driver")?;
    Ok(row.map(|row| row.status))
}

async fn apply(conn: &mut PgConnection, id: DriverId, change: &DriverChange) -> Result<UpdatedRow, StoreError> {
    sqlx::query_as(
        "UPDATE drivers
            SET name = coalesce($2, name), email = coalesce($3, email), status = coalesce($4, status),
                version = version + 1
          WHERE id = $1
         RETURNING id, name, email, licence, born_on, joined_on, status, version",
    )
    .bind(id.0)
    .bind(change.name.as_deref())
    .bind(change.email.as_deref())
    .bind(change.status.map(DriverStatus::as_str))
    .fetch_one(conn)
    .await
    .doing("change a driver")
}

async fn count_active(
    conn: &mut PgConnection,
    id: DriverId,
    before: DriverStatus,
    after: DriverStatus,
) -> Result<(), StoreError> {
    let active = |status: DriverStatus| i64::from(status == DriverStatus::Active);
    if active(before) == active(after) {
        return Ok(());
    }
    sqlx::query("UPDATE portfolio_shards SET active_drivers = active_drivers + $2 WHERE shard = $1")
        .bind(shard(id))
        .bind(active(after) - active(before))
        .execute(conn)
        .await
        .doing("count the active drivers")?;
    Ok(())
}
