//! The source of truth behind every cached answer: what it is, how long it lives, and how it is cached. Clients' reads
//! bring the question; the cache's own work (warming, prediction, verification) brings the key.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use serde::Serialize;
use tiered_cache::{Entry, Experiment, Key, Policy, SourceError, Strategy, Tag};
use utoipa::ToSchema;

use super::cascade::{Endpoint, Question};
use super::cursors::{self, CursorForm, CursorKey};
use super::query_cache::QueryCache;
use crate::config::{CacheConfig, CacheExperiment};
use crate::store::{Page, Store, StoreError, Versioned};

/// The version of an answer that belongs to no single row.
pub(super) const NO_VERSION: i64 = 0;

/// Divides the keys between the arms of an experiment: the same on every replica and at every start, so that an arm
/// keeps its keys.
const EXPERIMENT_SALT: u64 = 1;

/// Why an answer could not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadFailed {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The answer could not be written as JSON.
    #[error("the answer could not be written as JSON")]
    Encode(#[from] serde_json::Error),
}

/// A page as it is answered.
#[derive(Debug, Serialize, ToSchema)]
pub struct PageBody<T> {
    /// The rows, in the order of the list.
    pub items: Vec<T>,
    /// What leads to the next page: give it as `cursor`. `null` on the last page.
    pub next_cursor: Option<String>,
}

/// Loads answers from a store, and knows how each is cached.
pub struct Answers {
    loader: Loader,
    /// Keeps what expensive queries gave.
    results: Option<QueryCache>,
    /// By endpoint, in their order.
    policies: [Policy; Endpoint::ALL.len()],
    /// Policies with a second strategy for a share of the keys, if there is an experiment.
    experiments: Option<[Experiment; Endpoint::ALL.len()]>,
}

/// Loads answers from the store and writes them as JSON.
#[derive(Clone)]
pub(super) struct Loader {
    store: Arc<dyn Store>,
    cursors: Arc<CursorKey>,
}

impl Answers {
    /// Answers from `store`, cached in the manner of `strategy`.
    pub fn new(store: Arc<dyn Store>, cursors: Arc<CursorKey>, strategy: Strategy, config: &CacheConfig) -> Self {
        let policy = |endpoint: Endpoint, strategy| Policy::ttl(endpoint.ttl(config)).with_strategy(strategy);
        let split = |endpoint, other: CacheExperiment| {
            let (a, b) = (policy(endpoint, strategy), policy(endpoint, other.strategy));
            Experiment::new(a, b, other.share, EXPERIMENT_SALT)
        };
        Self {
            loader: Loader { store, cursors },
            results: None,
            policies: Endpoint::ALL.map(|endpoint| policy(endpoint, strategy)),
            experiments: config
                .experiment
                .map(|other| Endpoint::ALL.map(|endpoint| split(endpoint, other))),
        }
    }

    /// These answers, with the results of expensive queries kept in `results`.
    #[must_use]
    pub fn with_results(&self, results: QueryCache) -> Self {
        Self {
            loader: self.loader.clone(),
            results: Some(results),
            policies: self.policies,
            experiments: self.experiments,
        }
    }

    /// The answer, out of the store or of what is kept of its queries; `None` when there is no such thing.
    pub(super) fn load(
        &self,
        question: Question,
    ) -> impl Future<Output = Result<Option<Entry>, LoadFailed>> + Send + use<> {
        let results = self.results.clone().filter(|_| QueryCache::keeps(question));
        let loader = self.loader.clone();
        async move {
            match results {
                Some(results) => results.load(question, loader).await,
                None => loader.load(question).await,
            }
        }
    }

    /// Where the answer is kept.
    pub(super) fn key(&self, question: Question) -> Key {
        question.key(self.loader.cursors.name())
    }

    /// How the answer under `key` is cached.
    pub(super) fn policy_of(&self, endpoint: Endpoint, key: &Key) -> &Policy {
        match &self.experiments {
            Some(experiments) => experiments[endpoint as usize].policy(key),
            None => &self.policies[endpoint as usize],
        }
    }

    /// Whether a share of the keys is cached by another strategy.
    pub(super) const fn has_experiment(&self) -> bool {
        self.experiments.is_some()
    }

    fn question(&self, key: &Key) -> Option<Question> {
        Question::of(key, self.loader.cursors.name())
    }
}

impl tiered_cache::Source for Answers {
    fn load(&self, key: Key) -> BoxFuture<'static, Result<Option<Entry>, SourceError>> {
        let load = self.question(&key).map(|question| self.load(question));
        Box::pin(async move { Ok(load.ok_or("no question has this key")?.await?) })
    }

    fn tags(&self, key: &Key) -> Vec<Tag> {
        self.question(key).map_or_else(Vec::new, Question::tags)
    }

    fn policy(&self, key: &Key) -> Policy {
        // Keys of no endpoint are none of these answers: nothing is loaded for them.
        let policy = Endpoint::named(key.endpoint()).map(|endpoint| self.policy_of(endpoint, key));
        policy.map_or_else(|| Policy::ttl(std::time::Duration::ZERO), |policy| *policy)
    }
}

impl Loader {
    /// The answer as the store has it now; `None` when there is no such thing.
    pub(super) async fn load(&self, question: Question) -> Result<Option<Entry>, LoadFailed> {
        let store = &self.store;
        match question {
            Question::DashboardSummary => unversioned(&store.dashboard_summary().await?),
            Question::TripActivity => unversioned(&store.trip_activity().await?),
            Question::RiskDistribution => unversioned(&store.risk_distribution().await?),
            Question::SafetyEvents => unversioned(&store.safety_events().await?),
            Question::ClaimsOverview => unversioned(&store.claims_overview().await?),
            Question::ResourceMetrics => unversioned(&store.resource_metrics().await?),
            Question::DriverList(page) => {
                let page = store.driver_list(&page).await?;
                unversioned(&self.body(cursors::DRIVERS, page))
            }
            Question::DriverDetails(id) => versioned(store.driver_details(id).await?),
            Question::CurrentRisk(id) => versioned(store.current_risk(id).await?),
            Question::Premium(id) => versioned(store.premium(id).await?),
            Question::DriverStatistics(id) => versioned(store.driver_statistics(id).await?),
            Question::DriverTrips(id, page) => {
                let scope = cursors::trips_of(id);
                let page = store.driver_trips(id, &page).await?;
                versioned(page.map(|Versioned { value, version }| Versioned {
                    value: self.body(&scope, value),
                    version,
                }))
            }
        }
    }

    fn body<T, K: CursorForm>(&self, scope: &str, page: Page<T, K>) -> PageBody<T> {
        PageBody {
            items: page.items,
            next_cursor: page.next.map(|next| self.cursors.seal(scope, &next)),
        }
    }
}

/// An answer that belongs to no single row.
fn unversioned<T: Serialize>(value: &T) -> Result<Option<Entry>, LoadFailed> {
    Ok(Some(Entry::new(serde_json::to_vec(value)?, NO_VERSION)))
}

fn versioned<T: Serialize>(row: Option<Versioned<T>>) -> Result<Option<Entry>, LoadFailed> {
    row.map(|Versioned { value, version }| Ok(Entry::new(serde_json::to_vec(&value)?, version)))
        .transpose()
}
