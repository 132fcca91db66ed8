//! Settings of a cache, and how its parts are put together.

use std::{
    fmt,
    sync::{Arc, atomic::AtomicU64},
    time::Duration,
};

use tokio::{sync::oneshot, time::timeout};

use crate::{
    TieredCache,
    bypass::Bypass,
    clock::{Clock, SystemClock},
    error::BuildError,
    flight::Flights,
    l1::L1,
    l2::L2,
    observer::Observer,
    state::{Context, Core},
    stats::Counters,
    subscribe,
    upkeep::{self, Tasks},
};

/// 64 MiB: some ten thousand answers of a few kilobytes.
const DEFAULT_L1_CAPACITY_BYTES: u64 = 64 << 20;
const MAX_NAMESPACE_BYTES: usize = 64;

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
}

impl CacheBuilder {
    pub(crate) fn new(namespace: String) -> Self {
        Self {
            namespace,
            l1_capacity_bytes: DEFAULT_L1_CAPACITY_BYTES,
            redis: None,
            observer: None,
            clock: Arc::new(SystemClock::new()),
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

    /// Builds the cache and starts its background tasks; must be called inside a tokio runtime. Waits up to the connect
    /// time-out for Redis; a Redis that does not answer is no error: the cache goes on without it and tries again.
    pub async fn build(self) -> Result<TieredCache, BuildError> {
        check_namespace(&self.namespace)?;
        let wait_for_redis = self.redis.as_ref().map(|settings| settings.connect_timeout);
        let core = Arc::new(self.into_core()?);
        let (first, opened) = oneshot::channel();
        let mut tasks = vec![tokio::spawn(upkeep::keep_house(Arc::clone(&core)))];
        if let Some(limit) = wait_for_redis {
            tasks.push(tokio::spawn(upkeep::repeat_failed(Arc::clone(&core))));
            tasks.push(tokio::spawn(subscribe::run(Arc::clone(&core), first)));
            // Late is no error: L1 opens when the subscriber gets through.
            let _ = timeout(limit, opened).await;
        }
        Ok(TieredCache {
            core,
            tasks: Arc::new(Tasks::new(tasks)),
        })
    }

    fn into_core(self) -> Result<Core, BuildError> {
        let context = Arc::new(Context {
            clock: self.clock,
            observer: self.observer,
            counters: Counters::default(),
        });
        let l2 = match &self.redis {
            Some(settings) => {
                Some(L2::new(&self.namespace, settings, Arc::clone(&context)).map_err(BuildError::Redis)?)
            }
            None => None,
        };
        Ok(Core {
            // With other replicas about, L1 opens when their invalidations arrive here.
            l1: L1::new(self.l1_capacity_bytes, l2.is_none()),
            flights: Arc::new(Flights::default()),
            l2,
            bypass: Bypass::default(),
            last_seq: AtomicU64::new(0),
            context,
        })
    }
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
