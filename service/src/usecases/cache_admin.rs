//! What operators do with the cache: look at it, empty it, warm it, and compare it with the database.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use rand::seq::IteratorRandom as _;
use serde::Serialize;
use tiered_cache::{ArmStats, TieredCache};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use utoipa::ToSchema;

use super::cascade::Ended;
use super::{Endpoint, Invalidator, Question, ReadError, Reads, WarmProgress, Warming};
use crate::domain::ids::DriverId;
use crate::metrics::{CacheMetrics, uncounted};
use crate::store::{Store, StoreError};

/// Drivers that one order may warm: their answers fit into the default L1, and loading them takes seconds.
pub const WARM_DRIVERS_MAX: u32 = 10_000;
/// Drivers that one order may verify: four answers each, loaded while the client waits.
pub const VERIFY_DRIVERS_MAX: u32 = 20;
/// Answers compared at the same time: a fifth of the default pool, so that requests keep the rest.
const VERIFY_CONCURRENCY: usize = 4;
/// Looks at an answer before it is called different: a write between two looks at cache and database explains one.
const LOOKS: u32 = 3;

/// The cache at one moment, as `GET /admin/cache/stats` tells it.
#[derive(Debug, Default, Serialize, ToSchema)]
pub struct CacheReport {
    /// Whether there is a cache; the other figures are 0 without one.
    pub enabled: bool,
    /// Answers in memory.
    pub l1_entries: u64,
    /// Bytes that they take.
    pub l1_bytes: u64,
    /// Whether answers are served from memory: not while invalidations of other replicas may be missed.
    pub l1_open: bool,
    /// Loads that are running.
    pub flights: u64,
    /// Loads since the start.
    pub loads: u64,
    /// Reads that shared another's load.
    pub joined: u64,
    /// Loads that an invalidation overtook.
    pub fills_rejected: u64,
    /// Redis operations that failed.
    pub redis_failures: u64,
    /// The number of the newest invalidation that this replica has applied.
    pub last_seq: u64,
    /// Tags for which Redis is not trusted for now.
    pub bypassed_tags: u64,
    /// Warming at the start of this replica: answers tried, and answers to try.
    pub warmed: u64,
    /// See `warmed`.
    pub to_warm: u64,
    /// Both arms of the experiment (`CACHE_EXPERIMENT`); absent without one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub experiment: Option<ExperimentReport>,
}

/// How the arms of an experiment do.
#[derive(Debug, Serialize, ToSchema)]
pub struct ExperimentReport {
    /// What there was: `CACHE_STRATEGY`.
    pub a: ArmReport,
    /// What is tried.
    pub b: ArmReport,
}

/// What one arm did since the start.
#[derive(Debug, Serialize, ToSchema)]
pub struct ArmReport {
    /// Reads that a tier answered.
    pub hits: u64,
    /// Reads that needed the database.
    pub misses: u64,
    /// How long clients waited for all of these reads, in microseconds.
    pub waited_us: u64,
}

impl From<ArmStats> for ArmReport {
    fn from(arm: ArmStats) -> Self {
        Self {
            hits: arm.hits,
            misses: arm.misses,
            waited_us: arm.waited_us,
        }
    }
}

/// What to flush.
#[derive(Debug, Clone, Copy)]
pub enum FlushTarget {
    /// Everything.
    All,
    /// All answers of one endpoint.
    Endpoint(Endpoint),
    /// All answers about one driver.
    Driver(DriverId),
}

impl From<FlushTarget> for Ended {
    fn from(target: FlushTarget) -> Self {
        match target {
            FlushTarget::All => Self::all(),
            FlushTarget::Endpoint(endpoint) => Self::endpoint(endpoint),
            FlushTarget::Driver(id) => Self::driver(id),
        }
    }
}

/// How cache and database compare.
#[derive(Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct VerifyReport {
    /// Answers compared.
    pub checked: u64,
    /// Of those, how many differed at every look; they have been removed.
    pub different: u64,
    /// The same by endpoint; only those with any.
    pub by_endpoint: BTreeMap<&'static str, u64>,
}

/// Why an order was not carried out.
#[derive(Debug, thiserror::Error)]
pub enum CacheAdminError {
    /// There is no cache.
    #[error("the cache is off (CACHE_ENABLED)")]
    Off,
    /// One warming at a time.
    #[error("the cache is being warmed already")]
    AlreadyWarming,
    /// The drivers could not be listed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// An answer could not be loaded.
    #[error(transparent)]
    Read(#[from] ReadError),
}

/// Carries the orders out.
pub struct CacheAdmin {
    cache: Option<TieredCache>,
    store: Arc<dyn Store>,
    reads: Reads,
    invalidator: Invalidator,
    metrics: CacheMetrics,
    /// The warming at the start of this replica.
    warm: Arc<WarmProgress>,
    /// One permit: a second warming would load the same answers.
    warming: Arc<Semaphore>,
    tasks: TaskTracker,
    stop: CancellationToken,
}

/// What [`CacheAdmin`] works with.
pub struct CacheAdminParts {
    /// The cache, if it is on.
    pub cache: Option<TieredCache>,
    /// What answers are compared with.
    pub store: Arc<dyn Store>,
    /// What warms.
    pub reads: Reads,
    /// What flushes.
    pub invalidator: Invalidator,
    /// Where differences are counted.
    pub metrics: CacheMetrics,
    /// The warming at the start.
    pub warm: Arc<WarmProgress>,
    /// Where warmings run.
    pub tasks: TaskTracker,
    /// What ends them.
    pub stop: CancellationToken,
}

impl CacheAdmin {
    /// Over these parts.
    pub fn new(parts: CacheAdminParts) -> Self {
        let CacheAdminParts {
            cache,
            store,
            reads,
            invalidator,
            metrics,
            warm,
            tasks,
            stop,
        } = parts;
        Self {
            cache,
            store,
            reads,
            invalidator,
            metrics,
            warm,
            warming: Arc::new(Semaphore::new(1)),
            tasks,
            stop,
        }
    }

    /// The cache now.
    pub fn report(&self) -> CacheReport {
        let warming = CacheReport {
            warmed: self.warm.done(),
            to_warm: self.warm.total(),
            ..CacheReport::default()
        };
        let Some(stats) = self.cache.as_ref().map(TieredCache::stats) else {
            return warming;
        };
        CacheReport {
            enabled: true,
            l1_entries: stats.l1_entries,
            l1_bytes: stats.l1_bytes,
            l1_open: stats.l1_open,
            flights: stats.flights,
            loads: stats.loads,
            joined: stats.joined,
            fills_rejected: stats.fills_rejected,
            redis_failures: stats.redis_failures,
            last_seq: stats.last_seq,
            bypassed_tags: stats.bypassed_tags,
            experiment: self.reads.has_experiment().then(|| ExperimentReport {
                a: stats.arm_a.into(),
                b: stats.arm_b.into(),
            }),
            ..warming
        }
    }

    /// Ends all answers of `target`, on all replicas. The result is the invalidation's place among all.
    pub async fn flush(&self, target: FlushTarget) -> Result<Option<u64>, CacheAdminError> {
        self.needs_cache()?;
        tracing::info!(?target, "the cache is flushed on order");
        Ok(self.invalidator.end(target.into()).await.seq)
    }

    /// Begins to warm the answers about the `drivers` busiest drivers, in the background.
    pub fn warm(&self, drivers: u32) -> Result<(), CacheAdminError> {
        self.needs_cache()?;
        let permit = Arc::clone(&self.warming)
            .try_acquire_owned()
            .map_err(|_| CacheAdminError::AlreadyWarming)?;
        let progress = Arc::default();
        let warming = Warming::new(Arc::clone(&self.store), self.reads.clone(), drivers, progress);
        let stop = self.stop.clone();
        self.tasks.spawn(async move {
            warming.run(stop).await;
            drop(permit);
        });
        Ok(())
    }

    /// Compares the answers about some of the busiest drivers, and those about the portfolio, with the database. What differs
    /// is removed.
    pub async fn verify(&self, drivers: u32) -> Result<VerifyReport, CacheAdminError> {
        self.needs_cache()?;
        let started = Instant::now();
        let looks = stream::iter(self.sample(drivers).await?)
            .map(|question| async move { Ok::<_, CacheAdminError>((question, self.differs(question).await?)) });
        let looks: Vec<(Question, bool)> = looks.buffer_unordered(VERIFY_CONCURRENCY).try_collect().await?;
        let mut report = VerifyReport::default();
        for (question, differs) in looks {
            report.checked += 1;
            if differs {
                self.remove(question, &mut report).await;
            }
        }
        tracing::info!(
            ?report,
            elapsed_ms = started.elapsed().as_millis(),
            "the cache was verified"
        );
        Ok(report)
    }

    async fn remove(&self, question: Question, report: &mut VerifyReport) {
        report.different += 1;
        *report.by_endpoint.entry(question.endpoint().name()).or_default() += 1;
        self.metrics.inconsistent.inc();
        self.invalidator.end(question.into()).await;
        tracing::warn!(?question, "cache and database differ: the answer was removed");
    }

    fn needs_cache(&self) -> Result<(), CacheAdminError> {
        self.cache.as_ref().map(|_| ()).ok_or(CacheAdminError::Off)
    }

    /// Ten times as many drivers to choose from as are looked at: busy ones are cached, and not always the same are verified.
    async fn sample(&self, drivers: u32) -> Result<Vec<Question>, StoreError> {
        let busiest = self.store.busiest_drivers(i64::from(drivers) * 10).await?;
        let chosen = busiest.into_iter().sample(&mut rand::rng(), drivers as usize);
        let about_drivers = chosen.into_iter().flat_map(|id| {
            [
                Question::DriverDetails(id),
                Question::CurrentRisk(id),
                Question::Premium(id),
                Question::DriverStatistics(id),
            ]
        });
        Ok(Question::ABOUT_ALL.into_iter().chain(about_drivers).collect())
    }

    async fn differs(&self, question: Question) -> Result<bool, ReadError> {
        for _ in 0..LOOKS {
            let cached = uncounted(self.reads.ask(question)).await?;
            let fresh = self.reads.ask_store(question).await?;
            if cached.map(|answer| answer.body) == fresh.map(|entry| entry.body) {
                return Ok(false);
            }
        }
        Ok(true)
    }
}
