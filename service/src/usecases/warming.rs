//! Warming: the busiest drivers' answers are loaded in the background before a fresh replica takes traffic, or on
//! order.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tiered_cache::{Key, TieredCache};
use tokio_util::sync::CancellationToken;

use super::cascade::Question;
use super::source::Answers;
use crate::store::{Store, StoreError};

/// Answers loaded at the same time: less than half of the default pool, so that warming does not starve the consumer
/// and the requests of a replica that other traffic has found already.
const CONCURRENCY: NonZeroUsize = NonZeroUsize::MIN.saturating_add(7);
/// A replica that is not warm after this long takes traffic all the same: slow is better than absent.
const PATIENCE: Duration = Duration::from_secs(30);

/// How far warming has come. The orderings are relaxed: nothing else is read by its leave.
pub struct WarmProgress {
    started: Instant,
    done: AtomicU64,
    total: AtomicU64,
    finished: AtomicBool,
}

impl Default for WarmProgress {
    fn default() -> Self {
        Self {
            started: Instant::now(),
            done: AtomicU64::new(0),
            total: AtomicU64::new(0),
            finished: AtomicBool::new(false),
        }
    }
}

impl WarmProgress {
    /// Answers that have been tried.
    pub fn done(&self) -> u64 {
        self.done.load(Ordering::Relaxed)
    }

    /// Answers to try; 0 until the busiest drivers are known.
    pub fn total(&self) -> u64 {
        self.total.load(Ordering::Relaxed)
    }

    /// Whether this replica need not be kept from traffic any longer: warming has ended, or has had its time.
    pub fn is_over(&self) -> bool {
        self.finished.load(Ordering::Relaxed) || self.started.elapsed() > PATIENCE
    }
}

/// Warms the cache.
#[derive(Clone)]
pub struct Warming {
    /// What is warmed; nothing while it is off.
    pub cache: Option<TieredCache>,
    /// Knows the busiest drivers.
    pub store: Arc<dyn Store>,
    /// Knows where their answers are kept.
    pub answers: Arc<Answers>,
}

impl Warming {
    /// Warms the answers about the `drivers` busiest drivers (none when that is 0), until everything has been tried or
    /// `stop` is called. What fails is left to the requests.
    pub async fn run(self, drivers: u32, progress: Arc<WarmProgress>, stop: CancellationToken) {
        if let Some(cache) = self.cache.as_ref().filter(|_| drivers > 0) {
            match self.keys(drivers).await {
                Ok(keys) => {
                    stop.run_until_cancelled(load(cache, keys, &progress)).await;
                }
                Err(error) => tracing::warn!(%error, "the cache is not warmed: the busiest drivers could not be read"),
            }
        }
        progress.finished.store(true, Ordering::Relaxed);
    }

    /// Busiest first: if traffic comes early, it finds what it most likely asks for.
    async fn keys(&self, drivers: u32) -> Result<Vec<Key>, StoreError> {
        let drivers = self.store.busiest_drivers(i64::from(drivers)).await?;
        let about_drivers = drivers
            .into_iter()
            .flat_map(|id| [Question::DriverDetails(id), Question::CurrentRisk(id)]);
        let questions = Question::ABOUT_ALL.into_iter().chain(about_drivers);
        Ok(questions.map(|question| self.answers.key(question)).collect())
    }
}

async fn load(cache: &TieredCache, keys: Vec<Key>, progress: &WarmProgress) {
    let started = Instant::now();
    progress.total.store(keys.len() as u64, Ordering::Relaxed);
    let count = |warmed: tiered_cache::Warmed| progress.done.store(warmed.tried(), Ordering::Relaxed);
    let warmed = cache.warm(keys, CONCURRENCY, count).await;
    let elapsed_ms = started.elapsed().as_millis();
    tracing::info!(
        answers = warmed.tried(),
        failed = warmed.failed,
        elapsed_ms,
        "the cache is warm"
    );
}
