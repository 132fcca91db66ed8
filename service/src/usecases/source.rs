//! The source of truth behind every cached answer: what it is, how long it lives, and how it is cached. Clients' reads
//! bring the question; the cache's own work (warming, prediction, verification) brings the key.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use tiered_cache::{Entry, Experiment, Key, Policy, SourceError, Strategy, Tag};

use super::cascade::{Endpoint, Question};
use super::cursors::CursorKey;
use super::loader::{LoadFailed, Loader};
use super::query_cache::QueryCache;
use crate::config::{CacheConfig, CacheExperiment};
use crate::store::Store;

/// Divides the keys between the arms of an experiment: the same on every replica and at every start, so that an arm
/// keeps its keys.
const EXPERIMENT_SALT: u64 = 1;

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

impl Answers {
    /// Answers from `store`, cached in the manner of `strategy`.
    pub fn new(store: Arc<dyn Store>, cursors: Arc<CursorKey>, strategy: Strategy, config: &CacheConfig) -> Self {
        let policy = |endpoint: Endpoint, strategy| Policy::ttl(endpoint.ttl(config)).with_strategy(strategy);
        let split = |endpoint, other: CacheExperiment| {
            let (a, b) = (policy(endpoint, strategy), policy(endpoint, other.strategy));
            Experiment::new(a, b, other.share, EXPERIMENT_SALT)
        };
        Self {
            loader: Loader::new(store, cursors),
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
    pub fn key(&self, question: Question) -> Key {
        question.key(self.loader.signer())
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
        Question::of(key, self.loader.signer())
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
