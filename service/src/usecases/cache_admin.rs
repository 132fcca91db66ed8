//! What operators do with the cache: look at it, empty it, warm it, and compare it with the database.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use serde::Serialize;
use tiered_cache::{Place, TieredCache};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use utoipa::ToSchema;

use super::cascade::Ended;
use super::invalidation::Invalidator;
use super::warming::{WarmProgress, Warming};

/// Drivers that one order may warm: their answers fit into the default L1, and loading them takes seconds.
pub const WARM_DRIVERS_MAX: u32 = 10_000;
/// Answers that one order may verify: they are loaded one after the other while the client waits.
pub const VERIFY_ANSWERS_MAX: u32 = 100;

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
    /// Whether Redis is used: not while it is away, or answers and refuses what invalidations need.
    pub l2_open: bool,
    /// Redis operations, and attempts to connect, that failed.
    pub redis_failures: u64,
    /// How many of these Redis refused: it is read-only, full, without its replicas, or the user lacks a right.
    pub redis_refusals: u64,
    /// Committed invalidations that were found unconfirmed in the outbox, and applied here.
    pub outbox_applied: u64,
    /// The number of the newest invalidation that this replica has applied, counted from when Redis was emptied last.
    pub last_seq: u64,
    /// Tags for which Redis is not trusted for now.
    pub bypassed_tags: u64,
    /// Warming at the start of this replica: answers tried, and answers to try.
    pub warmed: u64,
    /// See `warmed`.
    pub to_warm: u64,
    /// Hits that were compared with the database (`CACHE_VERIFY_ONE_IN`).
    pub sampled: u64,
    /// Answers that differed from the database at every look, sampled or verified on order; they were removed.
    pub inconsistent: u64,
}

/// How cache and database compare.
#[derive(Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct VerifyReport {
    /// Answers compared.
    pub checked: u64,
    /// Of those, how many differed, and still did a second later; they have been removed.
    pub different: u64,
    /// Of those, how many differed for a moment: an invalidation was under way.
    pub settled: u64,
    /// Answers that the database did not give for comparison.
    pub failed: u64,
    /// Those that were removed, by endpoint; only endpoints with any.
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
}

/// Carries the orders out.
pub struct CacheAdmin {
    /// What warms, and the cache, if it is on.
    pub warming: Warming,
    /// What flushes.
    pub invalidator: Invalidator,
    /// How far the warming at the start of this replica has come.
    pub warm: Arc<WarmProgress>,
    /// One permit: a second warming would load the same answers.
    pub permit: Arc<Semaphore>,
    /// Where warmings run.
    pub tasks: TaskTracker,
    /// What ends them.
    pub stop: CancellationToken,
}

impl CacheAdmin {
    /// The cache now.
    pub fn report(&self) -> CacheReport {
        let warming = CacheReport {
            warmed: self.warm.done(),
            to_warm: self.warm.total(),
            ..CacheReport::default()
        };
        let Ok(cache) = self.cache() else { return warming };
        let stats = cache.stats();
        CacheReport {
            enabled: true,
            l1_entries: stats.l1_entries,
            l1_bytes: stats.l1_bytes,
            l1_open: stats.l1_open,
            flights: stats.flights,
            loads: stats.loads,
            joined: stats.joined,
            fills_rejected: stats.fills_rejected,
            l2_open: stats.l2_open,
            redis_failures: stats.redis_failures,
            redis_refusals: stats.redis_refusals,
            outbox_applied: stats.outbox_applied,
            last_seq: stats.last_seq,
            bypassed_tags: stats.bypassed_tags,
            sampled: stats.sampled,
            inconsistent: stats.inconsistent,
            ..warming
        }
    }

    /// Ends all answers of `target`, on all replicas. The result is the invalidation's place among all.
    pub async fn flush(&self, target: Ended) -> Result<Option<Place>, CacheAdminError> {
        self.cache()?;
        tracing::info!(?target, "the cache is flushed on order");
        Ok(self.invalidator.end_on_order(target).await.place)
    }

    /// Begins to warm the answers about the `drivers` busiest drivers, in the background.
    pub fn warm(&self, drivers: u32) -> Result<(), CacheAdminError> {
        self.cache()?;
        let permit = Arc::clone(&self.permit)
            .try_acquire_owned()
            .map_err(|_| CacheAdminError::AlreadyWarming)?;
        let warming = self.warming.clone().run(drivers, Arc::default(), self.stop.clone());
        self.tasks.spawn(async move {
            warming.await;
            drop(permit);
        });
        Ok(())
    }

    /// Compares up to `answers` cached answers, picked at random out of memory and Redis, with the database. What
    /// differs and still does a second later is removed.
    pub async fn verify(&self, answers: u32) -> Result<VerifyReport, CacheAdminError> {
        let started = Instant::now();
        let verified = self.cache()?.verify(answers as usize).await;
        let mut report = VerifyReport {
            checked: verified.checked,
            different: verified.removed.len() as u64,
            settled: verified.settled,
            failed: verified.failed,
            by_endpoint: BTreeMap::new(),
        };
        for key in &verified.removed {
            *report.by_endpoint.entry(key.endpoint()).or_default() += 1;
        }
        let elapsed_ms = started.elapsed().as_millis();
        tracing::info!(?report, elapsed_ms, "the cache was verified");
        Ok(report)
    }

    fn cache(&self) -> Result<&TieredCache, CacheAdminError> {
        self.warming.cache.as_ref().ok_or(CacheAdminError::Off)
    }
}
