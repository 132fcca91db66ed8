//! Loading in advance: named keys at the start, popular ones all the time, written ones after a write. Goes through the
//! same flights as clients' reads, with a bound; it counts no lookups.

use std::{convert::Infallible, num::NonZeroUsize, sync::Arc};

use futures_util::{StreamExt as _, stream};

use crate::{
    key::Key,
    popularity::Predictor,
    read::{Prefetched, Request, untyped},
    state::Core,
    upkeep::timer,
};

/// Rounds after which popularity is halved: what is popular is what was asked for in the last ten seconds or so.
const DECAY_ROUNDS: u32 = 10;

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

    /// Loads popular keys whose answers ended, before somebody asks for them.
    pub(crate) async fn warm_popular(self: &Arc<Self>) -> Warmed {
        let Some(Predictor { prediction, popularity }) = &self.predictor else {
            return Warmed::default();
        };
        let popular = popularity.top(usize::MAX, prediction.min_score);
        let missing = popular.into_iter().filter(|key| self.is_missing(key));
        let keys: Vec<Key> = missing.take(prediction.budget).collect();
        let warmed = self.warm(keys, prediction.concurrency, |_| {}).await;
        self.context.counters.predicted.add(warmed.loaded);
        warmed
    }

    fn is_missing(&self, key: &Key) -> bool {
        let (tags, now) = (self.source.tags(key), self.context.now());
        // Without a lease L1 is not served, and filling it would help nobody.
        self.l1.is_open(now) && !self.l1.get(key, &tags, now).is_ok_and(|kept| kept.is_fresh(now))
    }
}

/// Warms what is popular, until the future is dropped.
pub(crate) async fn predict(core: Arc<Core>) -> Infallible {
    let Some(Predictor { prediction, popularity }) = &core.predictor else {
        return std::future::pending().await;
    };
    let mut timer = timer(prediction.period);
    // The first tick comes at once, before anything is popular.
    timer.tick().await;
    let mut rounds: u32 = 0;
    loop {
        timer.tick().await;
        core.warm_popular().await;
        rounds = rounds.wrapping_add(1);
        if rounds.is_multiple_of(DECAY_ROUNDS) {
            popularity.decay();
        }
    }
}
