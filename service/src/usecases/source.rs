//! The source of truth behind every cached answer: what it is, how long it lives, and how it is cached. Clients' reads
//! bring the question; the cache's own work (warming, verification) brings the key.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use tiered_cache::{Entry, Key, Policy, SourceError, Strategy, Tag};

use super::cascade::{Endpoint, Question};
use super::cursors::CursorKey;
use super::loader::{LoadFailed, Loader};
use super::query_cache::QueryCache;
use crate::config::CacheConfig;
use crate::store::Store;

/// Loads answers from a store, and knows how each is cached.
pub struct Answers {
    loader: Loader,
    /// Keeps what expensive queries gave.
    results: Option<QueryCache>,
    /// By endpoint, in their order.
    policies: [Policy; Endpoint::ALL.len()],
}

impl Answers {
    /// Answers from `store`, cached in the manner of `strategy`.
    pub fn new(store: Arc<dyn Store>, cursors: Arc<CursorKey>, strategy: Strategy, config: &CacheConfig) -> Self {
        let policy = |endpoint: Endpoint| Policy::ttl(endpoint.ttl(config)).with_strategy(strategy);
        Self {
            loader: Loader::new(store, cursors),
            results: None,
            policies: Endpoint::ALL.map(policy),
        }
    }

    /// These answers, with the results of expensive queries kept in `results`.
    #[must_use]
    pub fn with_results(&self, results: QueryCache) -> Self {
        Self {
            loader: self.loader.clone(),
            results: Some(results),
            policies: self.policies,
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

    /// How the answers of an endpoint are cached.
    pub(super) fn policy_of(&self, endpoint: Endpoint) -> &Policy {
        &self.policies[endpoint as usize]
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
        let policy = Endpoint::named(key.endpoint()).map(|endpoint| self.policy_of(endpoint));
        policy.map_or_else(|| Policy::ttl(std::time::Duration::ZERO), |policy| *policy)
    }
}
