//! Telling the cache what has changed, after the commit.

use std::collections::HashSet;

use tiered_cache::{Tag, TieredCache};

use super::Change;

/// Applies changes to the cache; does nothing while the cache is off.
#[derive(Clone)]
pub struct Invalidator {
    cache: Option<TieredCache>,
}

impl Invalidator {
    /// For this cache.
    pub fn new(cache: Option<TieredCache>) -> Self {
        Self { cache }
    }

    /// Invalidates everything that `changes` touch, in one call. When this returns, this replica serves nothing older,
    /// whatever Redis said. The result is the invalidation's place among all of them, `None` when the cache is off or Redis
    /// did not take it; the cache then repeats it by itself, and the trip's event invalidates once more.
    pub async fn apply(&self, changes: impl IntoIterator<Item = Change>) -> Option<u64> {
        let cache = self.cache.as_ref()?;
        let tags: HashSet<Tag> = changes.into_iter().flat_map(Change::tags).collect();
        let tags: Vec<Tag> = tags.into_iter().collect();
        match cache.invalidate(&tags).await {
            Ok(invalidated) => invalidated.seq,
            Err(error) => {
                tracing::warn!(%error, cause = %error.cause, "an invalidation reached this replica only");
                None
            }
        }
    }
}
