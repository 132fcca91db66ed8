//! Reading: cache, then store. The body is serialised once, when it is loaded; a hit hands out a pointer to it.

use std::sync::Arc;

use bytes::Bytes;
use serde::Serialize;
use tiered_cache::{Entry, Experiment, Key, LoadError, Policy, Strategy, Tier, TieredCache};
use utoipa::ToSchema;

use super::cursors::{self, CursorForm};
use super::{CursorKey, Endpoint, Question};
use crate::config::{CacheConfig, CacheExperiment};
use crate::store::{Page, Store, StoreError, Versioned};

/// The version of an answer that belongs to no single row.
const NO_VERSION: i64 = 0;

/// Divides the keys between the arms of an experiment: the same on every replica and at every start, so that an arm keeps its
/// keys.
const EXPERIMENT_SALT: u64 = 1;

/// An answer, ready to send.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The JSON body.
    pub body: Bytes,
    /// The version of the row behind it; `None` for answers made of many rows.
    pub version: Option<i64>,
    /// Where it came from.
    pub source: Source,
}

/// Where an answer came from: the value of the `x-cache` header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// The cache is on, and this tier answered.
    Cache(Tier),
    /// The cache is off: the store answered.
    Off,
}

impl Source {
    /// `l1`, `l2`, `db`, `stale` or `off`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Cache(tier) => tier.as_str(),
            Self::Off => "off",
        }
    }
}

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

/// Why a question has no answer. All waiters of one load share one error.
pub type ReadError = LoadError<LoadFailed>;

/// A page as it is answered.
#[derive(Debug, Serialize, ToSchema)]
pub struct PageBody<T> {
    /// The rows, in the order of the list.
    pub items: Vec<T>,
    /// What leads to the next page: give it as `cursor`. `null` on the last page.
    pub next_cursor: Option<String>,
}

/// Answers questions.
#[derive(Clone)]
pub struct Reads {
    source: Arc<Loader>,
    cache: Option<TieredCache>,
    /// By endpoint, in their order.
    policies: [Policy; Endpoint::ALL.len()],
    /// The same with a second strategy for a share of the keys, if there is an experiment.
    experiments: Option<[Experiment; Endpoint::ALL.len()]>,
}

/// Loads answers from the store and writes them as JSON.
struct Loader {
    store: Arc<dyn Store>,
    cursors: Arc<CursorKey>,
}

impl Reads {
    /// Reads from `store`, through `cache` if there is one, in the manner of `strategy`.
    pub fn new(
        store: Arc<dyn Store>,
        cache: Option<TieredCache>,
        strategy: Strategy,
        cursors: Arc<CursorKey>,
        config: &CacheConfig,
    ) -> Self {
        let policy = |endpoint: Endpoint, strategy| Policy::ttl(endpoint.ttl(config)).with_strategy(strategy);
        let split = |endpoint, other: CacheExperiment| {
            let arms = (policy(endpoint, strategy), policy(endpoint, other.strategy));
            Experiment::new(arms.0, arms.1, other.share, EXPERIMENT_SALT)
        };
        Self {
            source: Arc::new(Loader { store, cursors }),
            cache,
            policies: Endpoint::ALL.map(|endpoint| policy(endpoint, strategy)),
            experiments: config
                .experiment
                .map(|other| Endpoint::ALL.map(|endpoint| split(endpoint, other))),
        }
    }

    /// The answer, or `None` when there is no such thing. The caller has made sure that the asker may see it.
    pub async fn ask(&self, question: Question) -> Result<Option<Answer>, ReadError> {
        self.ask_after(None, question).await
    }

    /// The same for somebody who knows of the invalidation `seq`, made by a write on any replica: nothing older.
    pub async fn ask_after(&self, seq: Option<u64>, question: Question) -> Result<Option<Answer>, ReadError> {
        let (entry, source) = match &self.cache {
            Some(cache) => self.ask_cache(cache, seq, question).await?,
            None => (self.ask_store(question).await?, Source::Off),
        };
        Ok(entry.map(|Entry { body, version }| {
            let version = Some(version).filter(|version| *version != NO_VERSION);
            Answer { body, version, source }
        }))
    }

    /// The answer as the store has it now, past every cache.
    pub(super) async fn ask_store(&self, question: Question) -> Result<Option<Entry>, ReadError> {
        let loaded = self.source.load(question).await;
        loaded.map_err(|error| LoadError::Loader(Arc::new(error)))
    }

    /// Whether a share of the keys is cached by another strategy.
    pub(super) const fn has_experiment(&self) -> bool {
        self.experiments.is_some()
    }

    fn policy(&self, endpoint: Endpoint, key: &Key) -> &Policy {
        match &self.experiments {
            Some(experiments) => experiments[endpoint as usize].policy(key),
            None => &self.policies[endpoint as usize],
        }
    }

    async fn ask_cache(
        &self,
        cache: &TieredCache,
        seq: Option<u64>,
        question: Question,
    ) -> Result<(Option<Entry>, Source), ReadError> {
        let source = Arc::clone(&self.source);
        // The load is a task of its own inside the cache: it owns what it needs, and outlives a client that goes away.
        let loader = move || async move { source.load(question).await };
        let key = question.key(self.source.cursors.name());
        let policy = self.policy(question.endpoint(), &key);
        let served = cache
            .get_or_load_after(seq, &key, &question.tags(), policy, loader)
            .await?;
        Ok((served.entry, Source::Cache(served.tier)))
    }
}

impl Loader {
    async fn load(&self, question: Question) -> Result<Option<Entry>, LoadFailed> {
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
