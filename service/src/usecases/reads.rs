//! Reading: cache, then store. The body is serialised once, when it is loaded; a hit hands out a pointer to it.

use std::sync::Arc;

use bytes::Bytes;
use serde::Serialize;
use tiered_cache::{Entry, LoadError, Policy, Tier, TieredCache};

use super::{Endpoint, Question};
use crate::config::CacheConfig;
use crate::store::{Store, StoreError, Versioned};

/// The version of an answer that belongs to no single row.
const NO_VERSION: i64 = 0;

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

/// Answers questions.
#[derive(Clone)]
pub struct Reads {
    store: Arc<dyn Store>,
    cache: Option<TieredCache>,
    policies: Policies,
}

/// How long each endpoint's answers live.
#[derive(Clone, Copy)]
struct Policies {
    dashboard: Policy,
    driver: Policy,
    risk: Policy,
}

impl Policies {
    fn of(&self, endpoint: Endpoint) -> &Policy {
        match endpoint {
            Endpoint::DashboardSummary => &self.dashboard,
            Endpoint::DriverDetails => &self.driver,
            Endpoint::CurrentRisk => &self.risk,
        }
    }
}

impl Reads {
    /// Reads from `store`, through `cache` if there is one.
    pub fn new(store: Arc<dyn Store>, cache: Option<TieredCache>, config: &CacheConfig) -> Self {
        let policies = Policies {
            dashboard: Policy::ttl(config.ttl_dashboard),
            driver: Policy::ttl(config.ttl_default),
            risk: Policy::ttl(config.ttl_risk),
        };
        Self { store, cache, policies }
    }

    /// The answer, or `None` when there is no such thing. The caller has made sure that the asker may see it.
    pub async fn ask(&self, question: Question) -> Result<Option<Answer>, ReadError> {
        let (entry, source) = match &self.cache {
            Some(cache) => self.ask_cache(cache, question).await?,
            None => (
                load(&*self.store, question)
                    .await
                    .map_err(|error| LoadError::Loader(Arc::new(error)))?,
                Source::Off,
            ),
        };
        Ok(entry.map(|Entry { body, version }| {
            let version = Some(version).filter(|version| *version != NO_VERSION);
            Answer { body, version, source }
        }))
    }

    async fn ask_cache(&self, cache: &TieredCache, question: Question) -> Result<(Option<Entry>, Source), ReadError> {
        let store = Arc::clone(&self.store);
        // The load is a task of its own inside the cache: it owns what it needs, and outlives a client that goes away.
        let loader = move || async move { load(&*store, question).await };
        let policy = self.policies.of(question.endpoint());
        let served = cache
            .get_or_load(&question.key(), &question.tags(), policy, loader)
            .await?;
        Ok((served.entry, Source::Cache(served.tier)))
    }
}

async fn load(store: &dyn Store, question: Question) -> Result<Option<Entry>, LoadFailed> {
    match question {
        Question::DashboardSummary => encode(Some(Versioned {
            value: store.dashboard_summary().await?,
            version: NO_VERSION,
        })),
        Question::DriverDetails(id) => encode(store.driver_details(id).await?),
        Question::CurrentRisk(id) => encode(store.current_risk(id).await?),
    }
}

fn encode<T: Serialize>(row: Option<Versioned<T>>) -> Result<Option<Entry>, LoadFailed> {
    row.map(|Versioned { value, version }| Ok(Entry::new(serde_json::to_vec(&value)?, version)))
        .transpose()
}
