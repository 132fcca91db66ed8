//! Changing a driver's own data: one transaction.

use sqlx::PgConnection;

use super::ask::Ask as _;
use super::error::Doing as _;
use super::record::shard;
use super::views::Driver;
use super::{Committed, StoreError, Versioned, Writer};
use crate::domain::drivers::{DriverChange, DriverStatus, DriverUpdated};
use crate::domain::events::{Event, EventBody};
use crate::domain::ids::DriverId;

impl Writer {
    /// Changes a driver's own data. `None`: there is no such driver. The caller guarantees that the change
    /// [validates](DriverChange::validate); an address that another driver has is refused by the constraint
    /// `drivers_email_key`.
    pub async fn update_driver(
        &self,
        id: DriverId,
        change: &DriverChange,
    ) -> Result<Option<Committed<Driver>>, StoreError> {
        let mut tx = self.pool.begin().await.doing("begin changing a driver")?;
        let Some(before) = lock(&mut tx, id).await? else {
            return Ok(None);
        };
        let Versioned { value: driver, version } = apply(&mut tx, id, change).await?;
        let event = DriverUpdated {
            driver_id: id,
            version,
            status: driver.status,
        };
        let event = Event::of_now(EventBody::DriverUpdated(event));
        let noted = self.notes().put(&mut tx, &[event]).await?;
        count_active(&mut tx, id, before, driver.status).await?;
        tx.commit().await.doing("commit the change of a driver")?;
        Ok(Some(Committed {
            value: driver,
            version,
            noted,
        }))
    }
}

/// Locks the driver's row and gives the status, which the totals count.
async fn lock(conn: &mut PgConnection, id: DriverId) -> Result<Option<DriverStatus>, StoreError> {
    sqlx::query("SELECT status FROM drivers WHERE id = $1 FOR NO KEY UPDATE")
        .bind(id)
        .find_value(conn, "lock the driver")
        .await
}

async fn apply(conn: &mut PgConnection, id: DriverId, change: &DriverChange) -> Result<Versioned<Driver>, StoreError> {
    sqlx::query(
        "UPDATE drivers
            SET name = coalesce($2, name), email = coalesce($3, email), status = coalesce($4, status),
                version = version + 1
          WHERE id = $1
         RETURNING id, name, email, licence, born_on, joined_on, status, version",
    )
    .bind(id)
    .bind(change.name.as_deref())
    .bind(change.email.as_deref())
    .bind(change.status)
    .one(conn, "change a driver")
    .await
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
        .run(conn, "count the active drivers")
        .await
}
