//! Results of expensive queries, kept at the store's boundary: a store that answers some questions out of the cache.
//!
//! Beside the endpoint cache, which keeps whole answers, this one keeps what the database gave. Only for queries that take more
//! than 50 ms on the measured portfolio: those of phase1 that add up all rows of a large table (docs/SERVICE.md lists them with
//! their times). The tuned store has none, so it is off there.
//!
//! Results end by the same tags as the answers made of them, because they are the same questions.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tiered_cache::{Entry, Key, Policy, Tier, TieredCache};

use super::Question;
use crate::domain::ids::DriverId;
use crate::metrics::QueryCacheMetrics;
use crate::store::{
    ClaimsOverview, CurrentRisk, DashboardSummary, DriverDetails, DriverKey, DriverListItem, DriverStatistics, Page,
    PageRequest, Premium, ResourceMetrics, RiskDistribution, SafetyEvents, Store, StoreError, Trip, TripActivity,
    TripKey, Versioned,
};

/// Results belong to no single row.
const NO_VERSION: i64 = 0;

/// A store whose expensive questions are answered out of the cache.
pub struct QueryCache {
    store: Arc<dyn Store>,
    cache: TieredCache,
    ttl: Duration,
    metrics: QueryCacheMetrics,
}

/// Why a result could not be loaded.
#[derive(Debug, thiserror::Error)]
enum ResultFailed {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Encode(#[from] serde_json::Error),
}

impl QueryCache {
    /// Over `store`; results live for `ttl` at most.
    pub fn new(store: Arc<dyn Store>, cache: TieredCache, ttl: Duration, metrics: QueryCacheMetrics) -> Self {
        Self {
            store,
            cache,
            ttl,
            metrics,
        }
    }

    /// The result of the query behind `question`: kept, or from `load`. When that fails, or what was kept cannot be read back
    /// (another release wrote it), the store is asked past the cache, and its error is the answer.
    async fn result<T, F, Fut>(&self, question: Question, load: F) -> Result<T, StoreError>
    where
        T: Serialize + DeserializeOwned + Send,
        F: Fn(Arc<dyn Store>) -> Fut + Send + Sync + Clone + 'static,
        Fut: Future<Output = Result<T, StoreError>> + Send,
    {
        let (store, load_kept) = (Arc::clone(&self.store), load.clone());
        let loader = move || async move {
            let result = load_kept(store).await?;
            Ok::<_, ResultFailed>(Some(Entry::new(serde_json::to_vec(&result)?, NO_VERSION)))
        };
        let (key, policy) = (
            Key::new("query").part(question.endpoint().name()),
            Policy::ttl(self.ttl),
        );
        let kept = self.cache.get_or_load(&key, &question.tags(), &policy, loader).await;
        let hit = kept.as_ref().is_ok_and(|served| served.tier != Tier::Db);
        self.metrics.count(question.endpoint(), hit);
        let entry = kept.ok().and_then(|served| served.entry);
        match entry.and_then(|entry| serde_json::from_slice(&entry.body).ok()) {
            Some(result) => Ok(result),
            None => load(Arc::clone(&self.store)).await,
        }
    }
}

#[async_trait]
impl Store for QueryCache {
    async fn dashboard_summary(&self) -> Result<DashboardSummary, StoreError> {
        self.result(Question::DashboardSummary, |store| async move {
            store.dashboard_summary().await
        })
        .await
    }

    async fn trip_activity(&self) -> Result<TripActivity, StoreError> {
        self.result(
            Question::TripActivity,
            |store| async move { store.trip_activity().await },
        )
        .await
    }

    async fn safety_events(&self) -> Result<SafetyEvents, StoreError> {
        self.result(
            Question::SafetyEvents,
            |store| async move { store.safety_events().await },
        )
        .await
    }

    async fn resource_metrics(&self) -> Result<ResourceMetrics, StoreError> {
        self.result(Question::ResourceMetrics, |store| async move {
            store.resource_metrics().await
        })
        .await
    }

    async fn risk_distribution(&self) -> Result<RiskDistribution, StoreError> {
        self.store.risk_distribution().await
    }

    async fn claims_overview(&self) -> Result<ClaimsOverview, StoreError> {
        self.store.claims_overview().await
    }

    async fn driver_list(&self, page: &PageRequest<DriverKey>) -> Result<Page<DriverListItem, DriverKey>, StoreError> {
        self.store.driver_list(page).await
    }

    async fn driver_details(&self, id: DriverId) -> Result<Option<Versioned<DriverDetails>>, StoreError> {
        self.store.driver_details(id).await
    }

    async fn current_risk(&self, id: DriverId) -> Result<Option<Versioned<CurrentRisk>>, StoreError> {
        self.store.current_risk(id).await
    }

    async fn premium(&self, id: DriverId) -> Result<Option<Versioned<Premium>>, StoreError> {
        self.store.premium(id).await
    }

    async fn driver_statistics(&self, id: DriverId) -> Result<Option<Versioned<DriverStatistics>>, StoreError> {
        self.store.driver_statistics(id).await
    }

    async fn driver_trips(
        &self,
        id: DriverId,
        page: &PageRequest<TripKey>,
    ) -> Result<Option<Versioned<Page<Trip, TripKey>>>, StoreError> {
        self.store.driver_trips(id, page).await
    }

    async fn rescore(&self, id: DriverId) -> Result<Option<Versioned<CurrentRisk>>, StoreError> {
        self.store.rescore(id).await
    }

    async fn busiest_drivers(&self, limit: i64) -> Result<Vec<DriverId>, StoreError> {
        self.store.busiest_drivers(limit).await
    }

    async fn ping(&self) -> Result<(), StoreError> {
        self.store.ping().await
    }
}
