//! Settings of a cache, and how its parts are put together.

use std::{fmt, num::NonZeroUsize, sync::Arc, time::Duration};

use tokio::{
    sync::{Semaphore, oneshot, watch},
    time::timeout,
};

use crate::{
    TieredCache,
    bypass::Bypass,
    clock::{Clock, SystemClock},
    endpoints::Endpoints,
    error::BuildError,
    flight::Flights,
    l1::L1,
    l2::L2,
    observer::Observer,
    popularity::Popularity,
    state::{Context, Core, Cursor},
    stats::Counters,
    subscribe,
    tuning::{self, Tuning, TuningLog},
    upkeep::{self, Tasks},
    verify::{Sampler, Source},
    warm::{self, Prediction},
};

/// 64 MiB: some ten thousand answers of a few kilobytes.
const DEFAULT_L1_CAPACITY_BYTES: u64 = 64 << 20;
const MAX_NAMESPACE_BYTES: usize = 64;

/// Loads side by side while Redis is away: more than a pool of connections has, so that the pool stays the limit of a healthy
/// database, and few enough that their queue does not.
const DEFAULT_LOADS_WITHOUT_REDIS: usize = 64;

/// Refreshes side by side: they must not crowd out the loads that clients wait for.
const BACKGROUND_LOADS: usize = 16;

/// Where Redis is and how long it may take. Needs Redis 6 or later.
#[derive(Clone)]
#[non_exhaustive]
pub struct RedisSettings {
    /// `redis://[user:password@]host:port[/database]`.
    pub url: String,
    /// Takes precedence over a password in the URL.
    pub password: Option<String>,
    /// How long one operation may take before the cache goes on without Redis. Default: 100 ms.
    pub command_timeout: Duration,
    /// How long connecting may take, and how long [`CacheBuilder::build`] waits for Redis. Default: 1 s.
    pub connect_timeout: Duration,
}

impl RedisSettings {
    /// Settings for the server at `url`, with the defaults for the rest.
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            password: None,
            command_timeout: Duration::from_millis(100),
            connect_timeout: Duration::from_secs(1),
        }
    }
}

// The URL may hold a password.
impl fmt::Debug for RedisSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisSettings")
            .field("command_timeout", &self.command_timeout)
            .field("connect_timeout", &self.connect_timeout)
            .finish_non_exhaustive()
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
    sampler: Option<Sampler>,
    prediction: Option<(Arc<dyn Source>, Prediction)>,
    tuning: Option<Tuning>,
    #[cfg(test)]
    pub(crate) pauses: Option<Arc<crate::interleaving::Pauses>>,
}

impl CacheBuilder {
    pub(crate) fn new(namespace: String) -> Self {
        Self {
            namespace,
            l1_capacity_bytes: DEFAULT_L1_CAPACITY_BYTES,
            redis: None,
            observer: None,
            clock: Arc::new(SystemClock::new()),
            loads_without_redis: NonZeroUsize::new(DEFAULT_LOADS_WITHOUT_REDIS).unwrap_or(NonZeroUsize::MIN),
            sampler: None,
            prediction: None,
            tuning: None,
            #[cfg(test)]
            pauses: None,
        }
    }

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

    /// Compares one in `one_in` L1 hits with a fresh load in the background, and again after 1, 10 and 60 s before it calls it
    /// inconsistent: then it is counted, logged and removed.
    pub fn sampler(mut self, source: Arc<dyn Source>, one_in: u32) -> Self {
        self.sampler = Some(Sampler::new(source, one_in, None));
        self
    }

    /// As [`CacheBuilder::sampler`], with other pauses between the looks.
    pub fn sampler_that_looks_again(mut self, source: Arc<dyn Source>, one_in: u32, pauses: Vec<Duration>) -> Self {
        self.sampler = Some(Sampler::new(source, one_in, Some(pauses)));
        self
    }

    /// Loads popular keys again when their answers end, before somebody asks.
    pub fn predictive_warming(mut self, source: Arc<dyn Source>, prediction: Prediction) -> Self {
        self.prediction = Some((source, prediction));
        self
    }

    /// Lets TTLs and the size of L1 follow what is observed.
    pub fn tuning(mut self, tuning: Tuning) -> Self {
        self.tuning = Some(tuning);
        self
    }

    /// Builds the cache and starts its background tasks; must be called inside a tokio runtime. Waits up to the connect
    /// time-out for Redis; a Redis that does not answer is no error: the cache goes on without it and tries again.
    pub async fn build(mut self) -> Result<TieredCache, BuildError> {
        check_namespace(&self.namespace)?;
        let (prediction, tuning) = (self.prediction.take(), self.tuning.take());
        let wait_for_redis = self.redis.as_ref().map(|settings| settings.connect_timeout);
        let core = Arc::new(self.into_core()?);
        let tasks = Tasks::default();
        if let Some((source, prediction)) = prediction {
            tasks.add(spawn(warm::predict(Arc::clone(&core), source, prediction)));
        }
        let tuning_log = Arc::new(TuningLog::default());
        if let Some(tuning) = tuning {
            tasks.add(spawn(tuning::run(Arc::clone(&core), tuning, Arc::clone(&tuning_log))));
        }
        if let Some(limit) = wait_for_redis {
            start_redis(&core, &tasks, limit).await;
        }
        Ok(TieredCache {
            core,
            tasks: Arc::new(tasks),
            tuning_log,
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
        let l2 = match &self.redis {
            Some(settings) => {
                Some(L2::new(&self.namespace, settings, Arc::clone(&context)).map_err(BuildError::Redis)?)
            }
            None => None,
        };
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
            renewals: watch::Sender::new(0),
            popularity: Popularity::default(),
            sampler: self.sampler,
            context,
        })
    }
}

/// Starts what needs Redis, and waits up to `limit` until L1 is leased. Late is no error.
async fn start_redis(core: &Arc<Core>, tasks: &Tasks, limit: Duration) {
    let (first, leased) = oneshot::channel();
    tasks.add(tokio::spawn(upkeep::keep_connected(Arc::clone(core))));
    tasks.add(tokio::spawn(upkeep::try_again(Arc::clone(core))));
    tasks.add(tokio::spawn(upkeep::repeat_failed(Arc::clone(core))));
    tasks.add(tokio::spawn(upkeep::watch_memory(Arc::clone(core))));
    tasks.add(tokio::spawn(subscribe::run(Arc::clone(core), first)));
    let _ = timeout(limit, leased).await;
}

/// A task that runs until it is aborted.
pub(crate) fn spawn(
    endless: impl Future<Output = std::convert::Infallible> + Send + 'static,
) -> tokio::task::JoinHandle<()> {
    tokio::spawn(async move {
        endless.await;
    })
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

    #[test]
    fn settings_do_not_print_the_password() {
        let settings = RedisSettings::new("redis://:secret@127.0.0.1:6379");
        assert!(!format!("{settings:?}").contains("secret"));
    }
}
