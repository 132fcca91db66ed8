//! What the tests are built from: a Redis server, replicas with a clock that is moved by hand, a source of data with
//! doors, and an observer to wait on. Nothing here sleeps.

use std::{
    convert::Infallible,
    future::Future,
    num::NonZeroUsize,
    path::Path,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tiered_cache::{
    CacheBuilder, Entry, InvalidateError, Invalidated, Key, LoadError, Observer, Policy, RedisSettings, Served, Tag,
    Tier, TieredCache,
};
use tokio::{sync::watch, time::timeout};

use crate::clock::ManualClock;
use crate::redis_server::Redis;

/// How long a test waits for what must happen; reached only when it fails.
pub(crate) const DEADLINE: Duration = Duration::from_secs(20);

pub(crate) const TTL: Duration = Duration::from_mins(1);
pub(crate) const MOMENT: Duration = Duration::from_millis(1);

/// A Redis server of the test's own, with a plain client beside the caches.
pub(crate) struct Server {
    redis: Redis,
    pub(crate) client: redis::aio::MultiplexedConnection,
}

impl Server {
    pub(crate) async fn start() -> Self {
        Self::start_with(&[]).await
    }

    /// With more options, as on the command line of `redis-server`.
    pub(crate) async fn start_with(options: &[&str]) -> Self {
        let redis = Redis::start(options);
        let client = connect(&redis.url()).await;
        Self { redis, client }
    }

    /// A replica in namespace `test`.
    pub(crate) async fn replica(&self, clock: &Arc<ManualClock>) -> Replica {
        self.replica_in("test", clock).await
    }

    pub(crate) async fn replica_in(&self, namespace: &str, clock: &Arc<ManualClock>) -> Replica {
        Replica::build(self.builder(namespace), clock).await
    }

    /// A replica that loads only so much side by side while Redis is away.
    pub(crate) async fn replica_with_bulkhead(&self, clock: &Arc<ManualClock>, loads: usize) -> Replica {
        let loads = NonZeroUsize::new(loads).expect("not zero");
        Replica::build(self.builder("test").loads_without_redis(loads), clock).await
    }

    pub(crate) fn builder(&self, namespace: &str) -> CacheBuilder {
        TieredCache::builder(namespace).redis(patient(self.redis.url()))
    }

    /// Where it listens on this machine.
    pub(crate) fn port(&self) -> u16 {
        self.redis.port()
    }

    pub(crate) fn pid(&self) -> i32 {
        self.redis.pid()
    }

    /// Where it would save its data.
    pub(crate) fn directory(&self) -> &Path {
        self.redis.directory()
    }

    /// A replica that gives Redis up after 50 ms.
    pub(crate) async fn impatient_replica(&self, clock: &Arc<ManualClock>) -> Replica {
        let mut settings = RedisSettings::new(self.redis.url());
        settings.command_timeout = Duration::from_millis(50);
        settings.connect_timeout = DEADLINE;
        Replica::build(TieredCache::builder("test").redis(settings), clock).await
    }

    /// Runs one command, words separated by blanks.
    pub(crate) async fn command<T: redis::FromRedisValue>(&self, words: &str) -> T {
        let mut words = words.split(' ');
        let mut command = redis::cmd(words.next().expect("a command"));
        command.arg(words.collect::<Vec<_>>());
        command
            .query_async(&mut self.client.clone())
            .await
            .expect("Redis runs the command")
    }

    /// Runs one command that answers `OK`, words separated by blanks.
    pub(crate) async fn order(&self, words: &str) {
        let answer: String = self.command(words).await;
        assert_eq!(answer, "OK", "{words}");
    }

    /// Sets values of the configuration, which may have blanks in them.
    pub(crate) async fn configure(&self, values: &[(&str, &str)]) {
        for (name, value) in values {
            let set = redis::cmd("CONFIG").arg("SET").arg(name).arg(value).to_owned();
            let done = set.exec_async(&mut self.client.clone()).await;
            done.unwrap_or_else(|error| panic!("{name} {value}: {error}"));
        }
    }

    /// A connection beside the others, for a command that takes long.
    pub(crate) async fn another_client(&self) -> redis::aio::MultiplexedConnection {
        connect(&self.redis.url()).await
    }

    /// Ends the server, as a crash would.
    pub(crate) fn stop(self) {
        drop(self.redis);
    }
}

async fn connect(url: &str) -> redis::aio::MultiplexedConnection {
    let client = redis::Client::open(url).expect("the URL is valid");
    // The client's default of 500 ms is short for a machine that runs many tests.
    let config = redis::AsyncConnectionConfig::new().set_response_timeout(Some(DEADLINE));
    client
        .get_multiplexed_async_connection_with_config(&config)
        .await
        .expect("Redis answers")
}

/// Settings with limits that are long beside a loaded machine's pauses; tests of time-outs set their own.
pub(crate) fn patient(url: String) -> RedisSettings {
    let mut settings = RedisSettings::new(url);
    settings.command_timeout = Duration::from_secs(5);
    settings.connect_timeout = DEADLINE;
    settings
}

/// One cache, as one process of the service would have it.
pub(crate) struct Replica {
    pub(crate) cache: TieredCache,
    pub(crate) seen: Arc<Recorder>,
}

impl Replica {
    pub(crate) async fn build(builder: CacheBuilder, clock: &Arc<ManualClock>) -> Self {
        let seen = Arc::new(Recorder::default());
        let clock: Arc<ManualClock> = Arc::clone(clock);
        let cache = builder
            .clock(clock)
            .observer(seen.clone())
            .build()
            .await
            .expect("the settings are valid");
        Self { cache, seen }
    }

    /// Reads the answer of `source`: its body, and where it came from.
    pub(crate) async fn read(&self, source: &Arc<Source>) -> (String, Tier) {
        self.read_with(&policy(), source).await
    }

    pub(crate) async fn read_with(&self, policy: &Policy, source: &Arc<Source>) -> (String, Tier) {
        let read = self
            .cache
            .get_or_load(&source.key(), &source.tags(), policy, source.loader())
            .await;
        let Served { entry, tier } = read.expect("the loader does not fail");
        let entry = entry.expect("the source has a row");
        assert_eq!(
            entry.version,
            source.version_of(&entry),
            "body and version belong together"
        );
        (String::from_utf8(entry.body.to_vec()).expect("text"), tier)
    }

    pub(crate) async fn invalidate(&self, tag: &str) -> Result<Invalidated, InvalidateError> {
        self.cache.invalidate(&[Tag::new(tag)]).await
    }
}

/// `text` from `tier`, as [`Replica::read`] returns it.
pub(crate) fn from(tier: Tier, text: &str) -> (String, Tier) {
    (text.to_owned(), tier)
}

pub(crate) fn policy() -> Policy {
    Policy::ttl(TTL).with_jitter(0.0).with_early_refresh(0.0)
}

/// Moves the clock, and waits until the replicas' leases, which the jump ended, are renewed.
pub(crate) async fn advance(clock: &ManualClock, step: Duration, replicas: &[&Replica]) {
    clock.advance(step);
    for replica in replicas {
        eventually("the lease is renewed", || replica.cache.stats().l1_open).await;
    }
}

pub(crate) async fn read(cache: &TieredCache, source: &Arc<Source>) -> Result<Served, LoadError<Infallible>> {
    cache
        .get_or_load(&source.key(), &source.tags(), &policy(), source.loader())
        .await
}

/// A running load of a [`Source`].
pub(crate) type Load = Pin<Box<dyn Future<Output = Result<Option<Entry>, Infallible>> + Send>>;

/// One row of a database: `v1`, `v2`, ... Loads read it at once and then wait at the door while that is shut.
pub(crate) struct Source {
    id: u32,
    version: AtomicUsize,
    /// How many loads have read the row.
    begun: watch::Sender<usize>,
    shut: watch::Sender<bool>,
}

impl Source {
    pub(crate) fn new(id: u32) -> Arc<Self> {
        Arc::new(Self {
            id,
            version: AtomicUsize::new(1),
            begun: watch::Sender::new(0),
            shut: watch::Sender::new(false),
        })
    }

    pub(crate) fn key(&self) -> Key {
        Key::new("rows").part(self.id)
    }

    /// The row and its table.
    pub(crate) fn tags(&self) -> [Tag; 2] {
        [Tag::new(format!("row:{}", self.id)), Tag::new("table")]
    }

    /// Commits the next version.
    pub(crate) fn write(&self) {
        self.version.fetch_add(1, Ordering::SeqCst);
    }

    /// The newest version.
    pub(crate) fn committed(&self) -> i64 {
        i64::try_from(self.version.load(Ordering::SeqCst)).expect("small")
    }

    pub(crate) fn shut_door(&self) {
        self.shut.send_replace(true);
    }

    pub(crate) fn open_door(&self) {
        self.shut.send_replace(false);
    }

    pub(crate) fn loads(&self) -> usize {
        *self.begun.borrow()
    }

    pub(crate) async fn loads_reach(&self, count: usize) {
        wait_for(&self.begun, |&begun| begun >= count).await;
    }

    fn version_of(&self, entry: &Entry) -> i64 {
        let text = std::str::from_utf8(&entry.body).expect("text");
        let (_, version) = text.split_once('v').expect("rows look like `1:v2`");
        assert!(
            text.starts_with(&format!("{}:", self.id)),
            "a row of another source: {text}"
        );
        version.parse().expect("a number")
    }

    pub(crate) fn loader(self: &Arc<Self>) -> impl FnOnce() -> Load + Send + use<> {
        let source = Arc::clone(self);
        move || {
            let load: Load = Box::pin(async move {
                let version = source.version.load(Ordering::SeqCst);
                // Whoever shuts the door before a load sees that load wait.
                let mut door = source.shut.subscribe();
                source.begun.send_modify(|begun| *begun += 1);
                door.wait_for(|shut| !shut)
                    .await
                    .expect("the source outlives its loads");
                let body = format!("{}:v{version}", source.id);
                Ok(Some(Entry::new(body, i64::try_from(version).expect("small"))))
            });
            load
        }
    }
}

/// What the cache told its observer.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    pub(crate) lookups: Vec<(&'static str, Tier)>,
    pub(crate) invalidated: Vec<bool>,
    pub(crate) received: usize,
    pub(crate) gate: Vec<bool>,
    pub(crate) fills_rejected: usize,
    pub(crate) failed_operations: Vec<&'static str>,
}

/// An observer that tests can wait on.
pub(crate) struct Recorder(watch::Sender<Seen>);

impl Default for Recorder {
    fn default() -> Self {
        Self(watch::Sender::new(Seen::default()))
    }
}

impl Recorder {
    pub(crate) async fn wait(&self, condition: impl FnMut(&Seen) -> bool) {
        wait_for(&self.0, condition).await;
    }

    pub(crate) fn failed_operations(&self) -> Vec<&'static str> {
        self.0.borrow().failed_operations.clone()
    }

    pub(crate) fn lookups(&self) -> Vec<(&'static str, Tier)> {
        self.0.borrow().lookups.clone()
    }

    pub(crate) fn fills_rejected(&self) -> usize {
        self.0.borrow().fills_rejected
    }
}

impl Observer for Recorder {
    fn lookup(&self, endpoint: &'static str, tier: Tier, _elapsed: Duration) {
        self.0.send_modify(|seen| seen.lookups.push((endpoint, tier)));
    }

    fn fill_rejected(&self, _endpoint: &'static str) {
        self.0.send_modify(|seen| seen.fills_rejected += 1);
    }

    fn invalidated(&self, _tags: usize, _elapsed: Duration, confirmed: bool) {
        self.0.send_modify(|seen| seen.invalidated.push(confirmed));
    }

    fn received(&self, _tags: usize, _lag_ms: u64) {
        self.0.send_modify(|seen| seen.received += 1);
    }

    fn redis_failed(&self, operation: &'static str) {
        self.0.send_modify(|seen| seen.failed_operations.push(operation));
    }

    fn l1_gate(&self, open: bool) {
        self.0.send_modify(|seen| seen.gate.push(open));
    }
}

async fn wait_for<T: std::fmt::Debug>(sender: &watch::Sender<T>, condition: impl FnMut(&T) -> bool) {
    let mut receiver = sender.subscribe();
    let waited = timeout(DEADLINE, receiver.wait_for(condition))
        .await
        .map(|changed| changed.is_ok());
    assert_eq!(
        waited,
        Ok(true),
        "did not happen in time; last state: {:?}",
        sender.borrow()
    );
}

/// Waits, without sleeping, for a condition that takes asking.
pub(crate) async fn wait_until(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let poll = async {
        while !condition().await {
            tokio::task::yield_now().await;
        }
    };
    timeout(DEADLINE, poll)
        .await
        .unwrap_or_else(|_| panic!("did not happen in time: {what}"));
}

/// Waits, without sleeping, for a condition that nothing announces.
pub(crate) async fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let poll = async {
        while !condition() {
            tokio::task::yield_now().await;
        }
    };
    timeout(DEADLINE, poll)
        .await
        .unwrap_or_else(|_| panic!("did not happen in time: {what}"));
}
