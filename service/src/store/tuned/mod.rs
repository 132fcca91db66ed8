//! The queries as they should be: one statement per read, whatever the size of the answer, over covering indexes and
//! the totals that writers keep.

mod details;
mod driver;
mod lists;
mod portfolio;
mod risk;
mod summary;

use async_trait::async_trait;
use sqlx::PgPool;

use super::ask::Ask as _;
use super::error::Doing as _;
use super::{
    ClaimsOverview, CurrentRisk, DashboardSummary, DriverDetails, DriverKey, DriverListItem, DriverStatistics, Page,
    PageRequest, Premium, ResourceMetrics, RiskDistribution, SafetyEvents, Store, StoreError, Today, Trip,
    TripActivity, TripKey, Versioned, scores,
};
use crate::domain::ids::DriverId;

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

    /// Takes the day from `today` instead.
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

    async fn trip_activity(&self) -> Result<TripActivity, StoreError> {
        portfolio::trip_activity(&self.pool, self.today.date()).await
    }

    async fn risk_distribution(&self) -> Result<RiskDistribution, StoreError> {
        portfolio::risk_distribution(&self.pool).await
    }

    async fn safety_events(&self) -> Result<SafetyEvents, StoreError> {
        portfolio::safety_events(&self.pool, self.today.date()).await
    }

    async fn claims_overview(&self) -> Result<ClaimsOverview, StoreError> {
        portfolio::claims_overview(&self.pool).await
    }

    async fn resource_metrics(&self) -> Result<ResourceMetrics, StoreError> {
        portfolio::resource_metrics(&self.pool).await
    }

    async fn driver_list(&self, page: &PageRequest<DriverKey>) -> Result<Page<DriverListItem, DriverKey>, StoreError> {
        lists::drivers(&self.pool, page).await
    }

    async fn premium(&self, id: DriverId) -> Result<Option<Versioned<Premium>>, StoreError> {
        driver::premium(&self.pool, id).await
    }

    async fn driver_statistics(&self, id: DriverId) -> Result<Option<Versioned<DriverStatistics>>, StoreError> {
        driver::statistics(&self.pool, id).await
    }

    async fn driver_trips(
        &self,
        id: DriverId,
        page: &PageRequest<TripKey>,
    ) -> Result<Option<Versioned<Page<Trip, TripKey>>>, StoreError> {
        lists::trips(&self.pool, id, page).await
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
        let ids = sqlx::query(
            "SELECT driver_id FROM driver_exposure WHERE trips > 0 ORDER BY trips DESC, driver_id LIMIT $1",
        )
        .bind(limit)
        .all(&self.pool, "find the busiest drivers")
        .await?;
        Ok(ids.into_iter().map(|(id,)| id).collect())
    }

    async fn ping(&self) -> Result<(), StoreError> {
        super::ping(&self.pool).await
    }
}
