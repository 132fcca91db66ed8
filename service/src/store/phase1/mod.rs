//! The queries as they were before: what an object-relational mapper does when nobody looks. Rows that belong together
//! are fetched one parent at a time (N+1), and every aggregate is computed from the raw rows at each request.
//!
//! Nothing here is slowed down on purpose: each statement is the plain one for its question, and uses the same indexes
//! as the tuned store. Do not improve it; it is what improvements are measured against.

mod details;
mod risk;
mod summary;

use async_trait::async_trait;
use sqlx::pool::PoolConnection;
use sqlx::{PgPool, Postgres};

use super::error::Doing;
use super::{
    CurrentRisk, DashboardSummary, DriverDetails, Store, StoreError, Today, TripReceipt, Versioned, record, scores,
};
use crate::domain::ids::DriverId;
use crate::domain::trips::NewTrip;

/// The store as the system was before.
#[derive(Debug, Clone)]
pub struct Phase1Store {
    pool: PgPool,
    today: Today,
}

impl Phase1Store {
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

    /// One connection for all statements of a request, as a session of an object-relational mapper holds.
    async fn session(&self) -> Result<PoolConnection<Postgres>, StoreError> {
        self.pool.acquire().await.doing("get a database connection")
    }
}

#[async_trait]
impl Store for Phase1Store {
    async fn dashboard_summary(&self) -> Result<DashboardSummary, StoreError> {
        summary::read(&mut *self.session().await?, self.today.date()).await
    }

    async fn driver_details(&self, id: DriverId) -> Result<Option<Versioned<DriverDetails>>, StoreError> {
        details::read(&mut *self.session().await?, id).await
    }

    async fn current_risk(&self, id: DriverId) -> Result<Option<Versioned<CurrentRisk>>, StoreError> {
        risk::read(&mut *self.session().await?, id).await
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
            "SELECT driver_id FROM trips GROUP BY driver_id ORDER BY count(*) DESC, driver_id LIMIT $1",
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
