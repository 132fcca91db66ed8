//! The outbox relay: takes committed events from the outbox and publishes them. What it has published is marked done in
//! the transaction that claimed it, so that a crash in between publishes twice and never loses.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use sqlx::PgPool;
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;

use super::backlog::Backlog;
use super::headers;
use super::producer::{Outgoing, Publisher, Publishing};
use super::ready::ReadyEvents;
use crate::errors::Cause;
use crate::metrics::EventMetrics;
use crate::store::outbox::{self, ClaimedBatch, OutboxEvent, Which};

/// Events of one claim: what a few milliseconds of full write load leave behind, and small enough to publish twice.
const BATCH: u16 = 500;
/// How often the outbox is looked through for events that nobody has handed over, because the writer crashed between
/// commit and invalidation or was another replica that stopped. Rare, so slow: each look costs the database three
/// statements.
const LOOK_PERIOD: Duration = Duration::from_secs(5);
/// From which age on an event counts as not handed over: the cache's relay has made its invalidation by then.
const OVERDUE: Duration = Duration::from_secs(2);
/// Pause after a failure: Kafka or Postgres is away, and asking in a loop would only add to it.
const BACK_OFF: Duration = Duration::from_millis(500);

/// A claimed batch whose messages are queued.
struct Begun {
    batch: ClaimedBatch,
    publishing: Publishing,
}

/// Moves events from the outbox to Kafka.
pub struct Relay {
    /// Where the outbox is.
    pub pool: PgPool,
    /// Who publishes.
    pub publisher: Arc<Publisher>,
    /// Where to.
    pub topic: String,
    /// The events that were handed over.
    pub ready: ReadyEvents,
    /// Who is told when too many wait.
    pub backlog: Backlog,
    /// Batches that wait for their acknowledgement or their commit at the same time, at most: each has a database
    /// connection.
    pub in_flight: usize,
    /// What is counted.
    pub metrics: EventMetrics,
}

impl Relay {
    /// Runs until `stop`. An unfinished batch is given back to the outbox by its transaction's end.
    pub async fn run(self, stop: CancellationToken) {
        // Boxed: a claimed batch and its transaction are large, and only one of these runs.
        stop.run_until_cancelled(Box::pin(self.relay_for_ever())).await;
        super::close("producer", self.publisher).await;
    }

    async fn relay_for_ever(&self) {
        let mut next_look = Instant::now();
        loop {
            let mut relayed = Ok(());
            if next_look <= Instant::now() {
                next_look = Instant::now() + LOOK_PERIOD;
                relayed = self.drain_overdue().await;
            }
            if relayed.is_ok() {
                relayed = self.drain_ready(next_look).await;
            }
            if let Err(cause) = relayed {
                self.metrics.publish_failures.inc();
                tracing::warn!(%cause, "events stay in the outbox for now");
                self.look_at_backlog().await;
                tokio::time::sleep(BACK_OFF).await;
            } else {
                // An elapsed time-out is the next look: both ends mean "go on".
                let _woken_or_elapsed = timeout_at(next_look, self.ready.woken()).await;
            }
        }
    }

    /// Publishes what is handed over, until nothing is left or it is time to look for more. Batches are queued one
    /// after the other, so that they stay in order, and acknowledged while the next are queued: an event does not wait
    /// for the commit of those before it.
    async fn drain_ready(&self, until: Instant) -> Result<(), Cause> {
        let (mut open, mut outcome) = (FuturesUnordered::new(), Ok(()));
        loop {
            let goes_on = outcome.is_ok() && Instant::now() < until && open.len() < self.in_flight;
            let rows = if goes_on {
                self.ready.take(usize::from(BATCH))
            } else {
                Vec::new()
            };
            if !rows.is_empty() {
                match self.begin(Which::Rows(rows.clone())).await {
                    Ok(begun) => open.push(async move { (self.finish(begun).await, rows) }),
                    Err(cause) => {
                        self.ready.push(rows);
                        outcome = Err(cause);
                    }
                }
                continue;
            }
            if open.is_empty() {
                return outcome;
            }
            tokio::select! {
                Some((finished, rows)) = open.next() => if let Err(cause) = finished {
                    // Still there, and tried again before the next look.
                    self.ready.push(rows);
                    outcome = Err(cause);
                },
                () = self.ready.woken(), if goes_on => {}
            }
        }
    }

    /// Publishes what nobody has handed over, until a batch is not full.
    async fn drain_overdue(&self) -> Result<(), Cause> {
        let (than, limit) = (OVERDUE, i64::from(BATCH));
        loop {
            let begun = self.begin(Which::Older { than, limit }).await?;
            if self.finish(begun).await? < usize::from(BATCH) {
                break;
            }
            self.look_at_backlog().await;
        }
        if self.backlog.is_full() {
            self.look_at_backlog().await;
        }
        Ok(())
    }

    async fn begin(&self, which: Which) -> Result<Begun, Cause> {
        let batch = outbox::claim(&self.pool, which).await.map_err(Cause::new)?;
        let keys: Vec<String> = batch.events().iter().map(|event| event.driver_id.to_string()).collect();
        let messages = batch.events().iter().zip(&keys);
        let messages = messages.map(|(event, key)| self.message(event, key)).collect();
        let publishing = self.publisher.begin(messages).await.map_err(Cause::new)?;
        Ok(Begun { batch, publishing })
    }

    /// Gives the number of events.
    async fn finish(&self, Begun { batch, publishing }: Begun) -> Result<usize, Cause> {
        let events = batch.events().len();
        publishing.acknowledged().await.map_err(Cause::new)?;
        batch.done().await.map_err(Cause::new)?;
        self.metrics.published.inc_by(events as u64);
        Ok(events)
    }

    /// Keyed by driver, so that one driver's events stay in order, and timed by the event itself, so that its age
    /// includes the time in the outbox.
    fn message<'e>(&'e self, event: &'e OutboxEvent, key: &'e str) -> Outgoing<'e> {
        Outgoing {
            topic: &self.topic,
            partition: None,
            key: Some(key.as_bytes()),
            payload: &event.body,
            headers: headers::of_event(&event.schema),
            made_ms: event.event_id.unix_ms(),
        }
    }

    async fn look_at_backlog(&self) {
        match outbox::waiting(&self.pool, self.backlog.max()).await {
            Ok(waiting) => self.backlog.found(waiting),
            Err(error) => tracing::warn!(%error, "how many events wait is not known for now"),
        }
    }
}
