//! Settings of a cache, and how its parts are put together.

use std::{num::NonZeroUsize, sync::Arc, time::Duration};

use tokio::{
    sync::{Semaphore, oneshot, watch},
    time::timeout,
};

use crate::{
    bypass::Bypass,
    cache::TieredCache,
    clock::{Clock, SystemClock},
    context::Context,
    endpoints::Endpoints,
    error::BuildError,
    flight::Flights,
    key::Key,
    l1::L1,
    l2::{L2, RedisSettings},
    observer::Observer,
    source::{NoSource, Sampler, Source},
    state::{Core, Cursor},
    stats::Counters,
    subscribe,
    upkeep::{self, Tasks},
    verify::{self, Rounds},
};

/// 64 MiB: some ten thousand answers of a few kilobytes.
const DEFAULT_L1_CAPACITY_BYTES: u64 = 64 << 20;
const MAX_NAMESPACE_BYTES: usize = 64;

/// Loads side by side while Redis is away: more than a pool of connections has, so that the pool stays the limit of a
/// healthy database, and few enough that their queue does not.
const DEFAULT_LOADS_WITHOUT_REDIS: NonZeroUsize = NonZeroUsize::MIN.saturating_add(63);

/// 1 MiB: some hundred times a usual answer. A larger one costs every replica that misses it milliseconds of
/// everybody's connection to Redis, where a time-out is 100 ms.
const DEFAULT_MAX_ENTRY_BYTES: usize = 1 << 20;

/// Refreshes side by side: they must not crowd out the loads that clients wait for.
const BACKGROUND_LOADS: usize = 16;

impl TieredCache {
    /// Begins a cache whose Redis keys and channel all start with `namespace` (1 to 64 characters out of
    /// `A-Z a-z 0-9 _ - .`). Replicas of one service share a namespace; everything else must have its own.
    pub fn builder(namespace: impl Into<String>) -> CacheBuilder {
        CacheBuilder {
            namespace: namespace.into(),
            l1_capacity_bytes: DEFAULT_L1_CAPACITY_BYTES,
            redis: None,
            observer: None,
            clock: Arc::new(SystemClock),
            loads_without_redis: DEFAULT_LOADS_WITHOUT_REDIS,
            max_entry_bytes: DEFAULT_MAX_ENTRY_BYTES,
            source: Arc::new(NoSource),
            sampler: None,
            rounds: None,
            #[cfg(test)]
            pauses: None,
        }
    }
}

/// Collects the settings of a [`TieredCache`]; made by [`TieredCache::builder`].
#[must_use = "a builder does nothing until `build` is called"]
pub struct CacheBuilder {
    namespace: String,
    l1_capacity_bytes: u64,
    redis: Option<RedisSettings>,
    observer: Option<Arc<dyn Observer>>,
    clock: Arc<dyn Clock>,
    loads_without_redis: NonZeroUsize,
    max_entry_bytes: usize,
    source: Arc<dyn Source>,
    sampler: Option<Sampler>,
    rounds: Option<Rounds>,
    #[cfg(test)]
    pub(crate) pauses: Option<Arc<crate::tests::Pauses>>,
}

impl CacheBuilder {
    /// How much L1 may hold: bodies, keys and bookkeeping. Default: 64 MiB.
    pub fn l1_capacity_bytes(mut self, bytes: u64) -> Self {
        self.l1_capacity_bytes = bytes;
        self
    }

    /// Adds Redis as second tier and as the way to the other replicas. Without it there is L1 only.
    pub fn redis(mut self, settings: RedisSettings) -> Self {
        self.redis = Some(settings);
        self
    }

    /// Who is told what the cache does.
    pub fn observer(mut self, observer: Arc<dyn Observer>) -> Self {
        self.observer = Some(observer);
        self
    }

    /// Where the time comes from. Default: [`SystemClock`].
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// How many loads may run side by side while Redis is away; further ones wait. Default: 64.
    pub fn loads_without_redis(mut self, loads: NonZeroUsize) -> Self {
        self.loads_without_redis = loads;
        self
    }

    /// How long a body may be that is kept; a longer one is answered and kept in neither tier, and counted
    /// ([`Stats::entries_too_large`](crate::Stats::entries_too_large)). Default: 1 MiB.
    pub fn max_entry_bytes(mut self, bytes: usize) -> Self {
        self.max_entry_bytes = bytes;
        self
    }

    /// Where answers come from when no client brings a loader: for [`TieredCache::warm`], [`TieredCache::verify`],
    /// [`verify_every`](Self::verify_every) and [`sampler`](Self::sampler). Without one, their loads fail.
    pub fn source(mut self, source: Arc<dyn Source>) -> Self {
        self.source = source;
        self
    }

    /// Compares one in `one_in` L1 hits with the source in the background, and again after 1, 10 and 60 s (or after
    /// `looks`, if given) before it calls it inconsistent: then it is counted, logged and removed.
    pub fn sampler(mut self, one_in: u32, looks: Option<Vec<Duration>>) -> Self {
        self.sampler = Some(Sampler::new(one_in, looks));
        self
    }

    /// Compares cached answers with the source in the background, once in each `period`: `random` of them, picked at
    /// random out of both tiers, and what is cached under `always` (answers that matter more than others, as those
    /// about everything). As with [`TieredCache::verify`], what differs and still does a second later is counted,
    /// logged and removed.
    pub fn verify_every(mut self, period: Duration, random: usize, always: Vec<Key>) -> Self {
        self.rounds = Some(Rounds {
            // A timer of no length would never wait.
            period: period.max(Duration::from_millis(1)),
            random,
            always,
        });
        self
    }

    /// Builds the cache and starts its background tasks; must be called inside a tokio runtime. Waits up to the connect
    /// time-out for Redis; a Redis that does not answer is no error: the cache goes on without it and tries again.
    pub async fn build(mut self) -> Result<TieredCache, BuildError> {
        check_namespace(&self.namespace)?;
        if self.redis.as_ref().is_some_and(RedisSettings::asks_for_tls) {
            return Err(BuildError::Tls);
        }
        let rounds = self.rounds.take();
        let wait_for_redis = self.redis.as_ref().map(|settings| settings.connect_timeout);
        let core = Arc::new(self.into_core()?);
        let tasks = Tasks::default();
        if let Some(rounds) = rounds {
            tasks.spawn(verify::run(Arc::clone(&core), rounds));
        }
        if let Some(limit) = wait_for_redis {
            start_redis(&core, &tasks, limit).await;
        }
        Ok(TieredCache {
            core,
            tasks: Arc::new(tasks),
        })
    }

    fn into_core(self) -> Result<Core, BuildError> {
        let context = Arc::new(Context {
            clock: self.clock,
            observer: self.observer,
            counters: Counters::default(),
            #[cfg(test)]
            pauses: self.pauses,
        });
        let l2 = self
            .redis
            .map(|settings| L2::new(&self.namespace, &settings, Arc::clone(&context)))
            .transpose()
            .map_err(BuildError::Redis)?;
        Ok(Core {
            // With other replicas about, L1 is leased when their invalidations arrive here.
            l1: L1::new(self.l1_capacity_bytes, l2.is_none()),
            flights: Arc::new(Flights::default()),
            l2,
            bypass: Bypass::default(),
            cursor: Cursor::default(),
            endpoints: Endpoints::default(),
            bulkhead: Semaphore::new(self.loads_without_redis.get()),
            background: Arc::new(Semaphore::new(BACKGROUND_LOADS)),
            max_entry_bytes: self.max_entry_bytes,
            renewals: watch::Sender::new(0),
            source: self.source,
            sampler: self.sampler,
            context,
        })
    }
}

/// Starts what needs Redis, and waits up to `limit` until L1 is leased. Late is no error.
async fn start_redis(core: &Arc<Core>, tasks: &Tasks, limit: Duration) {
    let (first, leased) = oneshot::channel();
    tasks.spawn(upkeep::keep_connected(Arc::clone(core)));
    tasks.spawn(upkeep::try_again(Arc::clone(core)));
    tasks.spawn(upkeep::repeat_failed(Arc::clone(core)));
    tasks.spawn(upkeep::watch_memory(Arc::clone(core)));
    tasks.spawn(subscribe::run(Arc::clone(core), first));
    let _ = timeout(limit, leased).await;
}

/// No colon: it would let the names of two namespaces meet.
fn check_namespace(namespace: &str) -> Result<(), BuildError> {
    let fits = (1..=MAX_NAMESPACE_BYTES).contains(&namespace.len())
        && namespace
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte));
    if fits {
        Ok(())
    } else {
        Err(BuildError::Namespace(namespace.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn namespaces_that_could_meet_are_refused() {
        assert!(check_namespace("ins").is_ok());
        assert!(check_namespace("ins-v2.test_1").is_ok());
        let too_long = "x".repeat(MAX_NAMESPACE_BYTES + 1);
        for bad in ["", "a:b", "a b", "ä", &too_long] {
            let error = check_namespace(bad).expect_err("refused");
            assert!(error.to_string().contains(bad), "{error}");
        }
    }
}
