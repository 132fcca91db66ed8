//! Telling the cache what has changed, after the commit.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use tiered_cache::{InvalidateError, Place, Strategy, Tag, TieredCache};

use super::cascade::{Change, Ended};
use crate::faults::EveryNth;

/// What became of an invalidation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Applied {
    /// Its place among all of them; `None` when the cache is off or Redis did not take it.
    pub place: Option<Place>,
    /// Nothing is left to do for it.
    pub is_done: bool,
}

impl Applied {
    const NOTHING_TO_DO: Self = Self {
        place: None,
        is_done: true,
    };

    fn of(result: Result<Option<Place>, InvalidateError>) -> Self {
        if let Err(error) = &result {
            tracing::warn!(%error, cause = %error.cause, "an invalidation reached this replica only");
        }
        Self {
            is_done: result.is_ok(),
            place: result.unwrap_or_default(),
        }
    }
}

/// Applies changes to the cache; does nothing while the cache is off.
#[derive(Clone)]
pub struct Invalidator {
    /// What is told.
    pub cache: Option<TieredCache>,
    /// How it is told: by tag, or by name with the strategy as planned.
    pub strategy: Strategy,
    /// Faults on purpose: invalidations that are not made. Usually none.
    pub skipped: Vec<Arc<EveryNth>>,
}

impl Invalidator {
    /// Invalidates everything that `changes` touch, in one call. When this returns, this replica serves nothing older,
    /// whatever Redis said. What Redis did not take, the cache repeats by itself, and after a crash out of the outbox.
    ///
    /// With the strategy as planned there is neither a place nor that promise: entries are deleted by pattern.
    pub async fn apply(&self, changes: impl IntoIterator<Item = Change>) -> Applied {
        if self.skipped.iter().any(|count| count.is_due()) {
            return Applied::NOTHING_TO_DO;
        }
        self.end(changes.into_iter().map(Ended::By).collect()).await
    }

    /// Ends what an operator orders; faults on purpose do not hold here.
    pub(super) async fn end_on_order(&self, ended: Ended) -> Applied {
        self.end(vec![ended]).await
    }

    async fn end(&self, ended: Vec<Ended>) -> Applied {
        let Some(cache) = &self.cache else {
            return Applied::NOTHING_TO_DO;
        };
        if self.strategy == Strategy::Planned {
            delete(cache, ended.iter().flat_map(Ended::patterns).collect()).await;
            return Applied::NOTHING_TO_DO;
        }
        if let [Ended::Matching(pattern)] = &ended[..] {
            return Applied::of(cache.flush_matching(pattern).await.map(|flushed| flushed.place));
        }
        let tags: HashSet<Tag> = ended.iter().flat_map(Ended::tags).collect();
        let tags: Vec<Tag> = tags.into_iter().collect();
        let done = cache.invalidate(&tags).await;
        Applied::of(done.map(|invalidated| invalidated.place))
    }
}

/// One scan of all names per pattern, as the plan's `flush_pattern`.
async fn delete(cache: &TieredCache, patterns: BTreeSet<String>) {
    for pattern in patterns {
        if let Err(error) = cache.delete_planned(&pattern).await {
            tracing::warn!(%error, pattern, "entries were not deleted: they are served until their time is over");
        }
    }
}
