//! Telling the cache what has changed, after the commit.

use std::sync::Arc;

use tiered_cache::{Strategy, Tag, TieredCache};

use super::cascade::Ended;
use crate::faults::EveryNth;

/// What became of an invalidation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Applied {
    /// Its place among all of them; `None` when the cache is off or Redis did not take it.
    pub seq: Option<u64>,
    /// Nothing is left to do for it.
    pub is_done: bool,
}

impl Applied {
    const NOTHING_TO_DO: Self = Self {
        seq: None,
        is_done: true,
    };
}

/// Applies changes to the cache; does nothing while the cache is off.
#[derive(Clone)]
pub struct Invalidator {
    cache: Option<TieredCache>,
    strategy: Strategy,
    /// Faults on purpose: invalidations that are not made. Usually none.
    skipped: Vec<Arc<EveryNth>>,
}

impl Invalidator {
    /// For this cache and its strategy; `skipped` decides which invalidations are not made, on purpose.
    pub fn new(cache: Option<TieredCache>, strategy: Strategy, skipped: Vec<Arc<EveryNth>>) -> Self {
        Self {
            cache,
            strategy,
            skipped,
        }
    }

    /// Invalidates everything that `changes` touch, in one call. When this returns, this replica serves nothing older,
    /// whatever Redis said. What Redis did not take, the cache repeats by itself, and after a crash out of the outbox.
    ///
    /// With the strategy as planned there is neither a place nor that promise: entries are deleted by pattern.
    pub async fn apply<C: Into<Ended>>(&self, changes: impl IntoIterator<Item = C>) -> Applied {
        if self.skipped.iter().any(|count| count.is_due()) {
            return Applied::NOTHING_TO_DO;
        }
        self.end(Ended::union(changes.into_iter().map(Into::into))).await
    }

    /// The same without faults, for what operators order.
    pub(super) async fn end(&self, ended: Ended) -> Applied {
        let Some(cache) = &self.cache else {
            return Applied::NOTHING_TO_DO;
        };
        if self.strategy == Strategy::Planned {
            delete(cache, &ended).await;
            return Applied::NOTHING_TO_DO;
        }
        let tags: Vec<Tag> = ended.tags.into_iter().collect();
        match cache.invalidate(&tags).await {
            Ok(invalidated) => Applied {
                seq: invalidated.seq,
                is_done: true,
            },
            Err(error) => {
                tracing::warn!(%error, cause = %error.cause, "an invalidation reached this replica only");
                Applied {
                    seq: None,
                    is_done: false,
                }
            }
        }
    }
}

/// One scan of all names per pattern, as the plan's `flush_pattern`.
async fn delete(cache: &TieredCache, ended: &Ended) {
    for pattern in &ended.patterns {
        if let Err(error) = cache.delete_planned(pattern).await {
            tracing::warn!(%error, pattern, "entries were not deleted: they are served until their time is over");
        }
    }
}
