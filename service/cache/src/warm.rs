//! Loading in advance: named keys at the start, popular ones all the time. Goes through the same flights as clients' reads, in
//! the background and with a bound; it counts no lookups.

use std::{convert::Infallible, num::NonZeroUsize, sync::Arc, time::Duration};

use futures_util::{StreamExt as _, stream};
use tokio::time::{MissedTickBehavior, interval};

use crate::{
    key::Key,
    read::{Prefetched, Request},
    state::Core,
    verify::Source,
};

/// How often popular keys are looked through.
const PERIOD: Duration = Duration::from_secs(1);

/// Rounds after which popularity is halved: what is popular is what was asked for in the last ten seconds or so.
const DECAY_ROUNDS: u32 = 10;

/// How it warms what it expects to be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Prediction {
    /// Loads in one round (a second) at most: the bound of what a wrong prediction costs the database. Default: 64.
    pub budget: usize,
    /// Reads of late from which on a key counts as popular. Default: 8.
    pub min_score: u32,
    /// Loads at the same time. Default: 4.
    pub concurrency: NonZeroUsize,
}

impl Default for Prediction {
    fn default() -> Self {
        Self {
            budget: 64,
            min_score: 8,
            concurrency: NonZeroUsize::new(4).unwrap_or(NonZeroUsize::MIN),
        }
    }
}

/// What warming did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Warmed {
    /// Answers that were loaded (or found in Redis).
    pub loaded: u64,
    /// Answers that were there, or being loaded for a client.
    pub present: u64,
    /// Loads that failed.
    pub failed: u64,
}

impl Core {
    /// Loads what is not there out of `keys`.
    pub(crate) async fn warm(
        self: &Arc<Self>,
        source: &Arc<dyn Source>,
        keys: Vec<Key>,
        concurrency: NonZeroUsize,
    ) -> Warmed {
        let loads = stream::iter(keys).map(|key| self.warm_one(source, key));
        let results = loads.buffer_unordered(concurrency.get());
        results
            .fold(Warmed::default(), async |mut warmed, result| {
                match result {
                    Prefetched::Present => warmed.present += 1,
                    Prefetched::Loaded => warmed.loaded += 1,
                    Prefetched::Failed => warmed.failed += 1,
                }
                warmed
            })
            .await
    }

    async fn warm_one(self: &Arc<Self>, source: &Arc<dyn Source>, key: Key) -> Prefetched {
        let (tags, policy) = (source.tags(&key), source.policy(&key));
        let request = Request {
            core: self,
            key: &key,
            tags: &tags,
            policy: &policy,
            after_seq: None,
            started: self.context.now(),
        };
        let (source, wanted) = (Arc::clone(source), key.clone());
        request.prefetch(move || source.load(wanted)).await
    }

    /// Loads popular keys whose answers ended, before somebody asks for them.
    pub(crate) async fn warm_popular(self: &Arc<Self>, source: &Arc<dyn Source>, prediction: Prediction) -> Warmed {
        let popular = self.popularity.top(usize::MAX, prediction.min_score);
        let missing = popular.into_iter().filter(|key| self.is_missing(source, key));
        let keys: Vec<Key> = missing.take(prediction.budget).collect();
        self.warm(source, keys, prediction.concurrency).await
    }

    fn is_missing(&self, source: &Arc<dyn Source>, key: &Key) -> bool {
        let now = self.context.now();
        // Without a lease L1 is not served, and filling it would help nobody.
        self.l1.is_open(now)
            && !self
                .l1
                .get(key, &source.tags(key), now)
                .is_ok_and(|kept| kept.is_fresh(now))
    }
}

/// Warms what is popular, until the future is dropped.
pub(crate) async fn predict(core: Arc<Core>, source: Arc<dyn Source>, prediction: Prediction) -> Infallible {
    let mut timer = interval(PERIOD);
    timer.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut rounds: u32 = 0;
    loop {
        timer.tick().await;
        core.warm_popular(&source, prediction).await;
        rounds = rounds.wrapping_add(1);
        if rounds.is_multiple_of(DECAY_ROUNDS) {
            core.popularity.decay();
        }
    }
}
