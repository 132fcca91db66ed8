//! The queries as they were before: what an object-relational mapper does when nobody looks. Rows that belong together
//! are fetched one parent at a time (N+1), and every aggregate is computed from the raw rows at each request.
//!
//! Nothing here is slowed down on purpose: each statement is the plain one for its question, and uses the same indexes
//! as the tuned store. Do not improve it; it is what improvements are measured against.

mod details;
mod driver;
mod lists;
mod portfolio;
mod risk;
mod summary;

use async_trait::async_trait;
use sqlx::pool::PoolConnection;
use sqlx::{PgPool, Postgres};

use super::ask::Ask as _;
use super::error::Doing as _;
use super::{
    ClaimsOverview, CurrentRisk, DashboardSummary, DriverDetails, DriverKey, DriverListItem, DriverStatistics, Page,
    PageRequest, Premium, ResourceMetrics, RiskDistribution, SafetyEvents, Store, StoreError, Today, Trip,
    TripActivity, TripKey, Versioned, scores,
};
use crate::domain::ids::DriverId;

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

    /// Takes the day from `today` instead.
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

    async fn trip_activity(&self) -> Result<TripActivity, StoreError> {
        portfolio::trip_activity(&mut *self.session().await?, self.today.date()).await
    }

    async fn risk_distribution(&self) -> Result<RiskDistribution, StoreError> {
        portfolio::risk_distribution(&mut *self.session().await?).await
    }

    async fn safety_events(&self) -> Result<SafetyEvents, StoreError> {
        portfolio::safety_events(&mut *self.session().await?, self.today.date()).await
    }

    async fn claims_overview(&self) -> Result<ClaimsOverview, StoreError> {
        portfolio::claims_overview(&mut *self.session().await?).await
    }

    async fn resource_metrics(&self) -> Result<ResourceMetrics, StoreError> {
        portfolio::resource_metrics(&mut *self.session().await?).await
    }

    async fn driver_list(&self, page: &PageRequest<DriverKey>) -> Result<Page<DriverListItem, DriverKey>, StoreError> {
        lists::drivers(&mut *self.session().await?, page).await
    }

    async fn premium(&self, id: DriverId) -> Result<Option<Versioned<Premium>>, StoreError> {
        driver::premium(&mut *self.session().await?, id).await
    }

    async fn driver_statistics(&self, id: DriverId) -> Result<Option<Versioned<DriverStatistics>>, StoreError> {
        driver::statistics(&mut *self.session().await?, id).await
    }

    async fn driver_trips(
        &self,
        id: DriverId,
        page: &PageRequest<TripKey>,
    ) -> Result<Option<Versioned<Page<Trip, TripKey>>>, StoreError> {
        lists::trips(&mut *self.session().await?, id, page).await
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
        let ids =
            sqlx::query("SELECT driver_id FROM trips GROUP BY driver_id ORDER BY count(*) DESC, driver_id LIMIT $1")
                .bind(limit)
                .all(&self.pool, "find the busiest drivers")
                .await?;
        Ok(ids.into_iter().map(|(id,)| id).collect())
    }

    async fn ping(&self) -> Result<(), StoreError> {
        super::ping(&self.pool).await
    }
}
