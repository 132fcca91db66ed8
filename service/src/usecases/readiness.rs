//! Whether this replica should get traffic: the database asked now, the cache's and the consumer's own findings, and
//! the warming looked at.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde::Serialize;
use tiered_cache::TieredCache;
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;
use utoipa::ToSchema;

use super::WarmProgress;
use crate::config::{Profile, Switches};
use crate::errors::Cause;
use crate::events::Membership;
use crate::store::DatabaseProbe;

/// How long a dependency may take to answer: a balancer asks every few seconds, and gives up after about two.
const PATIENCE: Duration = Duration::from_secs(1);

/// How long a report is handed out again: whoever asks more often gets the same, and costs the dependencies nothing.
const FRESH: Duration = Duration::from_millis(100);
/// A replica without its place in the Kafka group takes traffic after this long all the same: scores wait then, and
/// without traffic they would wait for ever.
const GROUP_PATIENCE: Duration = Duration::from_secs(30);

/// Answer of the readiness route.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct ReadyReport {
    /// Whether to send traffic, and whether something is missing.
    pub status: ReadyStatus,
    /// The profile of this replica.
    pub profile: &'static str,
    /// The database.
    pub postgres: Dependency,
    /// The cache's second tier; absent while the cache is off.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub redis: Option<RedisReport>,
    /// The consumer's place in its group.
    pub kafka_consumer: ConsumerReport,
    /// How far warming has come.
    pub warm: WarmReport,
    /// Faults on purpose, as FAULTS spells them; absent when there are none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub faults: Vec<String>,
}

/// Verdict on a replica.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ReadyStatus {
    /// Everything is there.
    Ready,
    /// It answers, but without Redis or with one that refuses its service (slower), or without its place in the Kafka
    /// group (scores wait). Taking the traffic away would only make that worse.
    Degraded,
    /// It cannot answer (no database), or has not come up yet.
    NotReady,
    /// It was told to stop: it still answers what comes, and asks for nothing more.
    Stopping,
}

impl ReadyReport {
    /// Whether to send traffic.
    pub fn is_ready(&self) -> bool {
        matches!(self.status, ReadyStatus::Ready | ReadyStatus::Degraded)
    }
}

/// One dependency, as it answered just now.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Dependency {
    /// Whether the dependency answered.
    pub ok: bool,
    /// How long the answer took, in milliseconds.
    pub latency_ms: f64,
}

/// What the cache can do with Redis, as its heartbeats found out of late: four in a second, each of which writes what
/// an invalidation writes and waits to be told of it. A PING would say less: a Redis that is full or read-only answers
/// it.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct RedisReport {
    /// Whether the cache can store, invalidate, and be told of invalidations.
    pub ok: bool,
    /// Whether Redis takes what the cache stores, invalidations included.
    pub stores: bool,
    /// Whether invalidations of other replicas arrive here.
    pub told: bool,
    /// How long the newest heartbeat took, in milliseconds; 0 before the first.
    pub latency_ms: f64,
}

impl RedisReport {
    fn of(cache: &TieredCache) -> Self {
        let stats = cache.stats();
        Self {
            ok: stats.l2_open && stats.l1_open,
            stores: stats.l2_open,
            told: stats.l1_open,
            latency_ms: stats.redis_heartbeat_us as f64 / 1e3,
        }
    }
}

/// The consumer's place in its group.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct ConsumerReport {
    /// Whether the group has assigned partitions to this replica (none of them is an assignment too).
    pub ok: bool,
    /// Number of partitions.
    pub partitions: usize,
}

/// How far warming has come.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct WarmReport {
    /// Answers tried.
    pub done: u64,
    /// Answers to try.
    pub total: u64,
}

/// Looks at the dependencies.
pub struct Readiness {
    profile: Profile,
    faults: Vec<String>,
    dependencies: Dependencies,
    /// Whether this replica has come up: from then on, what goes away degrades it.
    came_up: AtomicBool,
    started: Instant,
    /// Cancelled when the service is told to stop.
    told_to_stop: CancellationToken,
    /// The last report. Held while the dependencies are asked: whoever comes meanwhile gets that answer.
    last: Mutex<Option<(Instant, ReadyReport)>>,
}

/// Everything that readiness looks at.
pub struct Dependencies {
    /// The database.
    pub database: DatabaseProbe,
    /// The cache, which knows what Redis does; `None` while it is off.
    pub cache: Option<TieredCache>,
    /// The consumer's place in its group.
    pub consumer: Arc<Membership>,
    /// The warming at the start.
    pub warm: Arc<WarmProgress>,
}

impl Readiness {
    /// Of these dependencies, under these faults on purpose.
    pub fn new(
        switches: Switches,
        faults: Vec<String>,
        dependencies: Dependencies,
        told_to_stop: CancellationToken,
    ) -> Self {
        Self {
            profile: switches.profile,
            faults,
            dependencies,
            came_up: AtomicBool::new(false),
            started: Instant::now(),
            told_to_stop,
            last: Mutex::default(),
        }
    }

    /// What every dependency answers, now or just before.
    pub async fn report(&self) -> ReadyReport {
        let mut last = self.last.lock().await;
        if let Some((made, report)) = &*last
            && made.elapsed() < FRESH
        {
            return report.clone();
        }
        let report = self.ask().await;
        *last = Some((Instant::now(), report.clone()));
        report
    }

    /// Asks the database, and looks at the rest.
    async fn ask(&self) -> ReadyReport {
        let Dependencies {
            database, cache, warm, ..
        } = &self.dependencies;
        let postgres = ask("postgres", async { database.ping().await.map_err(Cause::new) }).await;
        let redis = cache.as_ref().map(RedisReport::of);
        let kafka_consumer = self.consumer_report();
        let redis_ok = redis.as_ref().is_none_or(|redis| redis.ok);
        ReadyReport {
            status: self.status(postgres.ok, redis_ok, kafka_consumer.ok),
            profile: self.profile.name(),
            postgres,
            redis,
            kafka_consumer,
            warm: WarmReport {
                done: warm.done(),
                total: warm.total(),
            },
            faults: self.faults.clone(),
        }
    }

    /// Redis is optional from the start: the cache goes on without it. The Kafka group is waited for once, and
    /// not for ever, so that a fresh replica is complete when traffic comes. Relaxed: the flag only ever goes up.
    fn status(&self, postgres: bool, redis: bool, consumer: bool) -> ReadyStatus {
        if self.told_to_stop.is_cancelled() {
            return ReadyStatus::Stopping;
        }
        if !postgres {
            return ReadyStatus::NotReady;
        }
        let warm = self.dependencies.warm.is_over();
        let complete = consumer && warm;
        if complete || warm && self.started.elapsed() > GROUP_PATIENCE {
            self.came_up.store(true, Ordering::Relaxed);
        }
        match (self.came_up.load(Ordering::Relaxed), complete && redis) {
            (false, _) => ReadyStatus::NotReady,
            (true, true) => ReadyStatus::Ready,
            (true, false) => ReadyStatus::Degraded,
        }
    }

    fn consumer_report(&self) -> ConsumerReport {
        let partitions = self.dependencies.consumer.partitions();
        ConsumerReport {
            ok: partitions.is_some(),
            partitions: partitions.unwrap_or_default(),
        }
    }
}

async fn ask(name: &'static str, question: impl Future<Output = Result<(), Cause>>) -> Dependency {
    let started = Instant::now();
    let answer = tokio::time::timeout(PATIENCE, question).await;
    let latency_ms = started.elapsed().as_secs_f64() * 1e3;
    match &answer {
        Ok(Ok(())) => {}
        Ok(Err(cause)) => tracing::warn!(dependency = name, %cause, "not ready"),
        Err(_) => tracing::warn!(dependency = name, latency_ms, "not ready: no answer in time"),
    }
    Dependency {
        ok: matches!(answer, Ok(Ok(()))),
        latency_ms,
    }
}
