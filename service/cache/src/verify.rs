//! Looking whether the cache tells the truth: a sample of hits in production, and a check on an operator's demand. Both
//! compare with a fresh load, and look again before they call anything inconsistent: between a commit and its
//! invalidation, a difference is nothing but the propagation window.

use std::{error::Error, sync::Arc, time::Duration};

use futures_util::future::BoxFuture;
use rand::seq::IndexedRandom as _;
use tokio::{sync::Semaphore, time::sleep};

use crate::{entry::Entry, key::Key, l1::Kept, policy::Policy, state::Core, tag::Tag};

/// Samples that run at the same time; further hits are not sampled meanwhile, so that a slow database is not asked more.
const MAX_SAMPLES: usize = 16;

/// When a difference is looked at again.
const LOOK_AGAIN: [Duration; 3] = [Duration::from_secs(1), Duration::from_secs(10), Duration::from_mins(1)];

/// How long an operator's check waits before it looks at a difference again: many times the propagation window.
const SETTLE: Duration = Duration::from_secs(1);

/// Anything that loading can fail with.
pub type SourceError = Box<dyn Error + Send + Sync>;

/// Where answers come from, by key: what background work needs that has no client with a loader.
pub trait Source: Send + Sync + 'static {
    /// The answer to `key`, from the primary of the database.
    fn load(&self, key: Key) -> BoxFuture<'static, Result<Option<Entry>, SourceError>>;

    /// What the answer to `key` depends on: the same tags as with every read of it.
    fn tags(&self, key: &Key) -> Vec<Tag>;

    /// How it is cached: the same policy as with every read of it.
    fn policy(&self, key: &Key) -> Policy;
}

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

/// Compares one in `one_in` hits with a fresh load.
pub(crate) struct Sampler {
    source: Arc<dyn Source>,
    one_in: u32,
    places: Arc<Semaphore>,
    look_again: Arc<[Duration]>,
}

impl Sampler {
    pub(crate) fn new(source: Arc<dyn Source>, one_in: u32, look_again: Option<Vec<Duration>>) -> Self {
        Self {
            source,
            one_in: one_in.max(1),
            places: Arc::new(Semaphore::new(MAX_SAMPLES)),
            look_again: look_again.map_or_else(|| LOOK_AGAIN.into(), Into::into),
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
    /// Now and then: compares a hit, in the background.
    pub(crate) fn sample_hit(self: &Arc<Self>, key: &Key, kept: &Kept) {
        let Some(sampler) = &self.sampler else { return };
        if rand::random_range(0..sampler.one_in) != 0 {
            return;
        }
        if let Ok(place) = Arc::clone(&sampler.places).try_acquire_owned() {
            let (core, key, entry) = (Arc::clone(self), key.clone(), kept.entry.clone());
            let (source, look_again) = (Arc::clone(&sampler.source), Arc::clone(&sampler.look_again));
            tokio::spawn(async move {
                core.sample(&source, key, entry, &look_again).await;
                drop(place);
            });
        }
    }

    async fn sample(
        self: &Arc<Self>,
        source: &Arc<dyn Source>,
        key: Key,
        mut entry: Option<Entry>,
        look_again: &[Duration],
    ) {
        self.context.counters.sampled.add_one();
        for &pause in look_again {
            if compare(source, &key, entry.as_ref()).await != Finding::Different {
                return;
            }
            sleep(pause).await;
            // What is cached now: if it is something else, or nothing, the difference ended as it should.
            match self.cached(source, &key).await {
                Some(now) if now == entry => entry = now,
                _ => return,
            }
        }
        if compare(source, &key, entry.as_ref()).await == Finding::Different {
            self.remove_inconsistent(source, &key).await;
        }
    }

    /// Compares up to `count` cached answers, picked at random out of L1 and Redis.
    pub(crate) async fn verify(self: &Arc<Self>, source: &Arc<dyn Source>, count: usize) -> Verified {
        let mut verified = Verified::default();
        let mut suspects = Vec::new();
        for key in self.sample_keys(count).await {
            let Some(cached) = self.cached(source, &key).await else {
                continue;
            };
            verified.checked += 1;
            match compare(source, &key, cached.as_ref()).await {
                Finding::Same => {}
                Finding::Unknown => verified.failed += 1,
                Finding::Different => suspects.push((key, cached)),
            }
        }
        if !suspects.is_empty() {
            sleep(SETTLE).await;
        }
        for (key, before) in suspects {
            let still_there = self.cached(source, &key).await == Some(before.clone());
            if still_there && compare(source, &key, before.as_ref()).await == Finding::Different {
                self.remove_inconsistent(source, &key).await;
                verified.removed.push(key);
            } else {
                verified.settled += 1;
            }
        }
        verified
    }

    /// What a read of `key` would be answered with, without loading.
    async fn cached(&self, source: &Arc<dyn Source>, key: &Key) -> Option<Option<Entry>> {
        let (tags, now) = (source.tags(key), self.context.now());
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

    async fn sample_keys(&self, count: usize) -> Vec<Key> {
        let endpoints = self.endpoints.names();
        let mut texts: Vec<String> = Vec::new();
        self.l1.for_each(|key, _| {
            texts.push(key.to_owned());
            true
        });
        if let Some(l2) = &self.l2 {
            texts.extend(l2.random_keys(count).await.unwrap_or_default());
        }
        texts.sort_unstable();
        texts.dedup();
        let chosen = texts.sample(&mut rand::rng(), count);
        chosen.filter_map(|text| Key::parse(text, &endpoints)).collect()
    }

    async fn remove_inconsistent(self: &Arc<Self>, source: &Arc<dyn Source>, key: &Key) {
        self.context.counters.inconsistent.add_one();
        self.context.observe(|observer| observer.inconsistent(key.endpoint()));
        tracing::error!(%key, "a cached answer differs from the database; it is removed");
        // By its tags and not by its key: other replicas may have the same wrong answer in their L1.
        let mut tags = source.tags(key);
        if tags.is_empty() {
            tags.push(key.endpoint_tag());
        }
        // A failure is logged, and repeated, where it happens.
        let _ = self.invalidate(&tags).await;
    }
}

async fn compare(source: &Arc<dyn Source>, key: &Key, cached: Option<&Entry>) -> Finding {
    match source.load(key.clone()).await {
        Ok(fresh) if fresh.as_ref() == cached => Finding::Same,
        Ok(_) => Finding::Different,
        Err(error) => {
            tracing::debug!(%key, error = %error, "a cached answer could not be loaded for comparison");
            Finding::Unknown
        }
    }
}
