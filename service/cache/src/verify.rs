//! Looking whether the cache tells the truth: a sample of hits in production, a check round after round, and one on an
//! operator's demand. All compare with a fresh load, and look again before they call anything inconsistent: between a
//! commit and its invalidation, a difference is nothing but the propagation window.

use std::{collections::HashSet, convert::Infallible, sync::Arc, time::Duration};

use rand::seq::IteratorRandom as _;
use tokio::time::sleep;

use crate::{
    entry::Entry, key::Key, l1::Kept, policy::Strategy, source::Sampler, state::Core, tag::Tag, upkeep::timer,
};

/// How long an operator's check waits before it looks at a difference again: many times the propagation window.
const SETTLE: Duration = Duration::from_secs(1);

/// What a check found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Verified {
    /// Answers that were compared.
    pub checked: u64,
    /// Differences that were gone a moment later.
    pub settled: u64,
    /// Answers that could not be loaded for comparison.
    pub failed: u64,
    /// Answers that differed and still did a moment later: they were removed everywhere.
    pub removed: Vec<Key>,
}

/// Answers that are compared again and again in the background: some picked at random, and some always.
#[derive(Clone, Debug)]
pub(crate) struct Rounds {
    pub(crate) period: Duration,
    pub(crate) random: usize,
    pub(crate) always: Vec<Key>,
}

/// Compares, round after round, until the future is dropped.
pub(crate) async fn run(core: Arc<Core>, rounds: Rounds) -> Infallible {
    let mut timer = timer(rounds.period);
    // The first tick comes at once, before anything is cached.
    timer.tick().await;
    loop {
        timer.tick().await;
        let mut keys = core.random_keys(rounds.random).await;
        keys.retain(|key| !rounds.always.contains(key));
        keys.extend(rounds.always.iter().cloned());
        let verified = core.verify_keys(keys).await;
        if verified.failed > 0 {
            tracing::warn!(
                failed = verified.failed,
                "cached answers could not be loaded to compare them"
            );
        }
    }
}

/// What a fresh load says about a cached answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Finding {
    Same,
    Different,
    Unknown,
}

impl Core {
    /// Compares a hit in the background, now and then.
    pub(crate) fn sample_hit(self: &Arc<Self>, key: &Key, kept: &Kept) {
        let Some(sampler) = &self.sampler else { return };
        if rand::random_range(0..sampler.one_in) != 0 {
            return;
        }
        if let Ok(place) = Arc::clone(&sampler.places).try_acquire_owned() {
            let (core, key, entry, sampler) = (Arc::clone(self), key.clone(), kept.entry.clone(), sampler.clone());
            tokio::spawn(async move {
                core.sample(key, entry, sampler).await;
                drop(place);
            });
        }
    }

    async fn sample(self: &Arc<Self>, key: Key, mut entry: Option<Entry>, sampler: Sampler) {
        self.context.counters.sampled.add_one();
        for &pause in &*sampler.look_again {
            if self.compare(&key, entry.as_ref()).await != Finding::Different {
                return;
            }
            sleep(pause).await;
            // What is cached now: if it is something else, or nothing, the difference ended as it should.
            match self.cached(&key).await {
                Some(now) if now == entry => entry = now,
                _ => return,
            }
        }
        if self.compare(&key, entry.as_ref()).await == Finding::Different {
            self.remove_inconsistent(&key).await;
        }
    }

    /// Compares up to `count` cached answers, picked at random out of L1 and Redis.
    pub(crate) async fn verify(self: &Arc<Self>, count: usize) -> Verified {
        let keys = self.random_keys(count).await;
        self.verify_keys(keys).await
    }

    /// Compares what is cached under these keys.
    async fn verify_keys(self: &Arc<Self>, keys: Vec<Key>) -> Verified {
        let mut verified = Verified::default();
        let mut suspects = Vec::new();
        for key in keys {
            let Some(cached) = self.cached(&key).await else {
                continue;
            };
            verified.checked += 1;
            match self.compare(&key, cached.as_ref()).await {
                Finding::Same => {}
                Finding::Unknown => verified.failed += 1,
                Finding::Different => suspects.push((key, cached)),
            }
        }
        if !suspects.is_empty() {
            sleep(SETTLE).await;
        }
        for (key, before) in suspects {
            let still_there = self.cached(&key).await == Some(before.clone());
            if still_there && self.compare(&key, before.as_ref()).await == Finding::Different {
                verified.removed.push(key);
            } else {
                verified.settled += 1;
            }
        }
        self.context.counters.verified.add(verified.checked);
        // Only now: removing the first may end others that differ, and they are to be counted too.
        for key in &verified.removed {
            self.remove_inconsistent(key).await;
        }
        verified
    }

    /// What a read of `key` would be answered with, without loading.
    async fn cached(&self, key: &Key) -> Option<Option<Entry>> {
        if self.is_planned(key) {
            return self.planned_entry(&key.readable()).await.map(Some);
        }
        let (tags, now) = (self.source.tags(key), self.context.now());
        if let Ok(kept) = self.l1.get(key, &tags, now)
            && kept.is_fresh(now)
        {
            return Some(kept.entry.clone());
        }
        let dependencies: Vec<Tag> = tags.into_iter().chain([key.endpoint_tag(), Tag::all()]).collect();
        let stored = self.l2.as_ref()?.read(key, &dependencies).await.ok()?.stored?;
        let age_ms = self.context.clock.wall_ms().saturating_sub(stored.created_ms);
        (age_ms < stored.lifetime.soft_ms).then_some(stored.entry)
    }

    async fn random_keys(&self, count: usize) -> Vec<Key> {
        let endpoints = self.endpoints.names();
        let in_l1 = self.l1.keys().filter_map(|text| Key::parse(&text, &endpoints));
        let mut keys: HashSet<Key> = in_l1.collect();
        if let Some(l2) = &self.l2 {
            keys.extend(l2.random_keys(count, &endpoints).await.unwrap_or_default());
        }
        keys.into_iter().sample(&mut rand::rng(), count)
    }

    async fn remove_inconsistent(self: &Arc<Self>, key: &Key) {
        self.context.counters.inconsistent.add_one();
        self.context.observe(|observer| observer.inconsistent(key.endpoint()));
        tracing::error!(%key, "a cached answer differs from the database; it is removed");
        if self.is_planned(key) {
            // A failure is logged where it happens; the entry ends by its TTL.
            let _ = self.delete_planned(&key.readable()).await;
            return;
        }
        // By its tags and not by its key: other replicas may have the same wrong answer in their L1.
        let mut tags = self.source.tags(key);
        if tags.is_empty() {
            tags.push(key.endpoint_tag());
        }
        // A failure is logged, and repeated, where it happens.
        let _ = self.invalidate(&tags).await;
    }

    fn is_planned(&self, key: &Key) -> bool {
        self.source.policy(key).strategy == Strategy::Planned
    }

    async fn compare(&self, key: &Key, cached: Option<&Entry>) -> Finding {
        match self.source.load(key.clone()).await {
            Ok(fresh) if fresh.as_ref() == cached => Finding::Same,
            Ok(_) => Finding::Different,
            Err(error) => {
                tracing::debug!(%key, error = %error, "a cached answer could not be loaded for comparison");
                Finding::Unknown
            }
        }
    }
}
