//! Results of expensive queries, kept where answers are loaded: beside the endpoint cache, which keeps what routes
//! answer, this one spares the database a query whatever route or task asks for it.
//!
//! Only for queries that take more than 50 ms on the measured portfolio: those of phase1 that add up all rows of a
//! large table (docs/SERVICE.md lists them with their times). The tuned store has none, so it is off there.
//!
//! Results end by the same tags as the answers made of them, because they are the same questions.

use std::time::Duration;

use tiered_cache::{Entry, Key, Policy, Tier, TieredCache};

use super::cascade::Question;
use super::loader::{LoadFailed, Loader};
use crate::metrics::QueryCacheMetrics;

/// Keeps results in the cache.
#[derive(Clone)]
pub struct QueryCache {
    cache: TieredCache,
    policy: Policy,
    metrics: QueryCacheMetrics,
}

impl QueryCache {
    /// Results live for `ttl` at most.
    pub fn new(cache: TieredCache, ttl: Duration, metrics: QueryCacheMetrics) -> Self {
        let policy = Policy::ttl(ttl);
        Self { cache, policy, metrics }
    }

    /// Whether the result behind `question` is kept.
    pub(super) const fn keeps(question: Question) -> bool {
        matches!(
            question,
            Question::DashboardSummary | Question::TripActivity | Question::SafetyEvents | Question::ResourceMetrics
        )
    }

    /// The result behind `question`: kept, or from `loader`. When that fails, it is asked once more past the cache, and
    /// its error is the answer.
    pub(super) async fn load(&self, question: Question, loader: Loader) -> Result<Option<Entry>, LoadFailed> {
        let key = Key::new("query").part(question.endpoint().name());
        let load = {
            let loader = loader.clone();
            move || async move { loader.load(question).await }
        };
        let kept = self.cache.get_or_load(&key, &question.tags(), &self.policy, load).await;
        let hit = kept.as_ref().is_ok_and(|served| served.tier != Tier::Db);
        self.metrics.count(question.endpoint(), hit);
        match kept {
            Ok(served) => Ok(served.entry),
            Err(_) => loader.load(question).await,
        }
    }
}
