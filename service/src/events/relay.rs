//! The outbox relay: takes committed events from the outbox and publishes them. What it has published is marked done in
//! the transaction that claimed it, so that a crash in between publishes twice and never loses.

use std::sync::Arc;
use std::time::Duration;

use sqlx::PgPool;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::Publisher;
use crate::errors::Cause;
use crate::metrics::EventMetrics;
use crate::store::outbox;

/// Events of one claim: what a few milliseconds of full write load leave behind, and small enough to publish twice.
const BATCH: u16 = 500;
/// The fallback for a wake-up that never came, because the writer crashed between commit and wake-up or was another
/// replica that stopped. Rare, so slow: each look costs the database three statements.
const POLL: Duration = Duration::from_secs(5);
/// Pause after a failure: Kafka or Postgres is away, and asking in a loop would only add to it.
const BACK_OFF: Duration = Duration::from_millis(500);

/// Moves events from the outbox to Kafka.
pub struct Relay {
    pool: PgPool,
    publisher: Publisher,
    wake: Arc<Notify>,
    metrics: EventMetrics,
}

impl Relay {
    /// Publishes what stands in the outbox of `pool`, at once whenever `wake` is notified.
    pub fn new(pool: PgPool, publisher: Publisher, wake: Arc<Notify>, metrics: EventMetrics) -> Self {
        Self {
            pool,
            publisher,
            wake,
            metrics,
        }
    }

    /// Runs until `stop`. An unfinished batch is given back to the outbox by its transaction's end.
    pub async fn run(self, stop: CancellationToken) {
        // Boxed: a claimed batch and its transaction are large, and only one of these runs.
        stop.run_until_cancelled(Box::pin(self.relay_for_ever())).await;
        super::close("producer", self.publisher).await;
    }

    async fn relay_for_ever(&self) {
        loop {
            if let Err(cause) = self.drain().await {
                self.metrics.publish_failures.inc();
                tracing::warn!(%cause, "events stay in the outbox for now");
                tokio::time::sleep(BACK_OFF).await;
            } else {
                // An elapsed time-out is the slow poll: both ends mean "look again".
                let _woken_or_elapsed = tokio::time::timeout(POLL, self.wake.notified()).await;
            }
        }
    }

    /// Publishes until a batch is not full. What is committed after its claim has its own wake-up, so asking once more
    /// for nothing would only cost the database.
    async fn drain(&self) -> Result<(), Cause> {
        while self.relay_batch().await? >= usize::from(BATCH) {}
        Ok(())
    }

    async fn relay_batch(&self) -> Result<usize, Cause> {
        let batch = outbox::claim(&self.pool, i64::from(BATCH)).await.map_err(Cause::new)?;
        let events = batch.events().len();
        if events > 0 {
            self.publisher.publish(batch.events()).await.map_err(Cause::new)?;
            batch.done().await.map_err(Cause::new)?;
            self.metrics.published.inc_by(events as u64);
        }
        Ok(events)
    }
}
