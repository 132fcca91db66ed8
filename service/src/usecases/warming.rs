//! Warming: the busiest drivers' answers are loaded in the background before a fresh replica takes traffic.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use futures_util::{StreamExt, stream};
use tokio_util::sync::CancellationToken;

use super::{Question, Reads};
use crate::metrics::uncounted;
use crate::store::{Store, StoreError};

/// Answers loaded at the same time: less than half of the default pool, so that warming does not starve the consumer and
/// the requests of a replica that other traffic has found already.
const CONCURRENCY: usize = 8;
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

    fn finish(&self) {
        self.finished.store(true, Ordering::Relaxed);
    }
}

/// Warms the cache.
pub struct Warming {
    store: Arc<dyn Store>,
    reads: Reads,
    drivers: u32,
    progress: Arc<WarmProgress>,
}

impl Warming {
    /// Warms the answers about the `drivers` busiest drivers; none when that is 0.
    pub fn new(store: Arc<dyn Store>, reads: Reads, drivers: u32, progress: Arc<WarmProgress>) -> Self {
        Self {
            store,
            reads,
            drivers,
            progress,
        }
    }

    /// Runs until everything has been tried or `stop` is called. What fails is left to the requests.
    pub async fn run(self, stop: CancellationToken) {
        match self.questions().await {
            Ok(questions) if questions.is_empty() => {}
            Ok(questions) => {
                stop.run_until_cancelled(self.ask_all(questions)).await;
            }
            Err(error) => tracing::warn!(%error, "the cache is not warmed: the busiest drivers could not be read"),
        }
        self.progress.finish();
    }

    /// Busiest first: if traffic comes early, it finds what it most likely asks for.
    async fn questions(&self) -> Result<Vec<Question>, StoreError> {
        if self.drivers == 0 {
            return Ok(Vec::new());
        }
        let drivers = self.store.busiest_drivers(i64::from(self.drivers)).await?;
        let about_drivers = drivers
            .into_iter()
            .flat_map(|id| [Question::DriverDetails(id), Question::CurrentRisk(id)]);
        Ok(Question::ABOUT_ALL.into_iter().chain(about_drivers).collect())
    }

    async fn ask_all(&self, questions: Vec<Question>) {
        let started = Instant::now();
        self.progress.total.store(questions.len() as u64, Ordering::Relaxed);
        stream::iter(questions)
            .for_each_concurrent(CONCURRENCY, |question| self.ask(question))
            .await;
        let (answers, elapsed_ms) = (self.progress.done(), started.elapsed().as_millis());
        tracing::info!(answers, elapsed_ms, "the cache is warm");
    }

    async fn ask(&self, question: Question) {
        if let Err(error) = uncounted(self.reads.ask(question)).await {
            tracing::debug!(?question, %error, "an answer could not be warmed");
        }
        self.progress.done.fetch_add(1, Ordering::Relaxed);
    }
}
