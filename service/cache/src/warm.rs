//! Loading named keys in advance. Goes through the same flights as clients' reads, with a bound; it counts no lookups.

use std::{num::NonZeroUsize, sync::Arc};

use futures_util::{StreamExt as _, stream};

use crate::{
    key::Key,
    read::{Prefetched, Request, untyped},
    state::Core,
};

/// What warming did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Warmed {
    /// Answers that were loaded (or found in Redis).
    pub loaded: u64,
    /// Answers that were there, were being loaded for a client, or are not cached at all.
    pub present: u64,
    /// Loads that failed.
    pub failed: u64,
}

impl Warmed {
    /// Answers that were tried.
    pub fn tried(self) -> u64 {
        self.loaded + self.present + self.failed
    }
}

impl Core {
    /// Loads what is not there out of `keys`, and says after each how far it has come.
    pub(crate) async fn warm(
        self: &Arc<Self>,
        keys: Vec<Key>,
        concurrency: NonZeroUsize,
        progress: impl Fn(Warmed),
    ) -> Warmed {
        let mut loads = stream::iter(keys)
            .map(|key| self.warm_one(key))
            .buffer_unordered(concurrency.get());
        let mut warmed = Warmed::default();
        while let Some(result) = loads.next().await {
            match result {
                Prefetched::Present => warmed.present += 1,
                Prefetched::Loaded => warmed.loaded += 1,
                Prefetched::Failed => warmed.failed += 1,
            }
            progress(warmed);
        }
        warmed
    }

    async fn warm_one(self: &Arc<Self>, key: Key) -> Prefetched {
        let (tags, policy) = (self.source.tags(&key), self.source.policy(&key));
        let request = Request {
            core: self,
            key: &key,
            tags: &tags,
            policy: &policy,
            after: None,
            started: self.context.now(),
            renews: false,
        };
        let (source, wanted) = (Arc::clone(&self.source), key.clone());
        request.prefetch(untyped(move || source.load(wanted))).await
    }
}
