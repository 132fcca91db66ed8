//! The queries as they should be: one statement per read, whatever the size of the answer, over covering indexes and
//! the totals that writers keep.

mod details;
mod risk;
mod summary;

use async_trait::async_trait;
use sqlx::PgPool;

use super::error::Doing;
use super::{
    CurrentRisk, DashboardSummary, DriverDetails, Store, StoreError, Today, TripReceipt, Versioned, record, scores,
};
use crate::domain::ids::DriverId;
use crate::domain::trips::NewTrip;

/// The store as it should be.
#[derive(Debug, Clone)]
pub struct TunedStore {
    pool: PgPool,
    today: Today,
}

impl TunedStore {
    /// A store over `pool` that takes the day from the machine's clock.
    pub fn new(pool: PgPool) -> Self {
        Self {
            pool,
            today: Today::System,
        }
    }

    /// The same with another idea of today.
    #[must_use]
    pub fn with_today(self, today: Today) -> Self {
        Self { today, ..self }
    }
}

#[async_trait]
impl Store for TunedStore {
    async fn dashboard_summary(&self) -> Result<DashboardSummary, StoreError> {
        summary::read(&self.pool, self.today.date()).await
    }

    async fn driver_details(&self, id: DriverId) -> Result<Option<Versioned<DriverDetails>>, StoreError> {
        details::read(&self.pool, id).await
    }

    async fn current_risk(&self, id: DriverId) -> Result<Option<Versioned<CurrentRisk>>, StoreError> {
        risk::read(&self.pool, id).await
    }

    async fn record_trip(&self, id: DriverId, trip: &NewTrip) -> Result<Option<TripReceipt>, StoreError> {
        record::record_trip(&self.pool, id, trip).await
    }

    async fn rescore(&self, id: DriverId) -> Result<Option<Versioned<CurrentRisk>>, StoreError> {
        let mut tx = self.pool.begin().await.doing("begin rescoring a driver")?;
        let Some(version) = scores::lock_driver(&mut tx, id).await? else {
            return Ok(None);
        };
        let exposure = risk::exposure(&mut tx, id).await?;
        scores::store(tx, id, version, exposure).await.map(Some)
    }

    async fn busiest_drivers(&self, limit: i64) -> Result<Vec<DriverId>, StoreError> {
        let ids: Vec<i64> = sqlx::query_scalar(
            "SELECT driver_id FROM driver_exposure WHERE trips > 0 ORDER BY trips DESC, driver_id LIMIT $1",
        )
        .bind(limit)
        .fetch_all(&self.pool)
        .await
        .doing("find the busiest drivers")?;
        Ok(ids.into_iter().map(DriverId).collect())
    }

    async fn ping(&self) -> Result<(), StoreError> {
        super::ping(&self.pool).await
    }
}
