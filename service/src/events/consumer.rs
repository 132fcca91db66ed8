//! The Kafka consumer: takes messages in batches, hands over each batch's drivers once, then commits.
//!
//! At least once: offsets are committed after the handler has succeeded, and exactly as far as it has. A message that
//! cannot be read is counted, logged and passed over, because waiting would not make it readable.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use chrono::Utc;
use futures_util::FutureExt;
use rdkafka::ClientConfig;
use rdkafka::client::ClientContext;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _, ConsumerContext, Rebalance, StreamConsumer};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::message::{BorrowedMessage, Message};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use tokio_util::sync::CancellationToken;

use super::{DriverEventHandler, KafkaSetupError, codec};
use crate::config::KafkaConfig;
use crate::domain::ids::DriverId;
use crate::errors::Cause;
use crate::metrics::EventMetrics;

/// Messages of one batch: enough to find a busy driver several times, few enough that the first of them need not wait
/// long for the last to be scored.
const BATCH: usize = 500;
/// Pauses before the first attempts to work off a batch again: most failures are a short outage of the database.
const RETRY: [Duration; 3] = [
    Duration::from_millis(50),
    Duration::from_millis(200),
    Duration::from_secs(1),
];
/// The pause before every later attempt. Far below `max.poll.interval.ms` (5 min), after which the group would give
/// this replica's partitions to another.
const LONGEST_RETRY: Duration = Duration::from_secs(2);

/// Whether this replica takes part in its group.
#[derive(Default)]
pub struct ConsumerState {
    /// Partitions assigned, plus one; 0 = the group has not answered yet. One more, because a replica may rightly be
    /// assigned none when there are more replicas than partitions.
    assigned: AtomicUsize,
}

impl ConsumerState {
    /// The number of partitions assigned, or `None` before the group has answered.
    pub fn partitions(&self) -> Option<usize> {
        self.assigned.load(Ordering::Relaxed).checked_sub(1)
    }

    fn set(&self, assigned: usize) {
        self.assigned.store(assigned, Ordering::Relaxed);
    }
}

/// Follows the group's rebalances.
struct GroupContext(Arc<ConsumerState>);

impl ClientContext for GroupContext {}

impl ConsumerContext for GroupContext {
    // The consumer must not be asked here: at a close its last revocation may have ended the thread that would answer,
    // and librdkafka waits for that answer without a bound. Under the eager protocol each assignment is the whole of
    // it.
    fn post_rebalance(&self, _: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        match rebalance {
            Rebalance::Assign(partitions) => self.0.set(partitions.count() + 1),
            Rebalance::Revoke(_) | Rebalance::Error(_) => self.0.set(0),
        }
        tracing::info!(?rebalance, "Kafka partitions");
    }

    fn commit_callback(&self, result: KafkaResult<()>, _offsets: &TopicPartitionList) {
        if let Err(error) = result {
            tracing::warn!(%error, "offsets were not committed: these events may come again");
        }
    }
}

/// Messages taken from Kafka in one round.
#[derive(Default)]
struct Batch {
    drivers: BTreeSet<DriverId>,
    /// The next offset of each partition once this batch is worked off.
    next: BTreeMap<(String, i32), i64>,
    messages: usize,
    /// When the messages were made, in milliseconds since 1970, as far as they tell.
    made_ms: Vec<i64>,
}

/// Consumes trip events.
pub struct Consumer {
    client: StreamConsumer<GroupContext>,
    handler: Arc<dyn DriverEventHandler>,
    metrics: EventMetrics,
}

impl Consumer {
    /// Joins the group in the background; `state` follows it.
    pub fn new(
        config: &KafkaConfig,
        state: Arc<ConsumerState>,
        handler: Arc<dyn DriverEventHandler>,
        metrics: EventMetrics,
    ) -> Result<Self, KafkaSetupError> {
        let failed = |source| KafkaSetupError {
            role: "consumer",
            source,
        };
        let client: StreamConsumer<_> = client_config(config)
            .create_with_context(GroupContext(state))
            .map_err(failed)?;
        client.subscribe(&[&config.topic]).map_err(failed)?;
        Ok(Self {
            client,
            handler,
            metrics,
        })
    }

    /// Runs until `stop`. A batch in work is given up then: not being committed, it comes again.
    pub async fn run(self, stop: CancellationToken) {
        while let Some(batch) = stop.run_until_cancelled(self.next_batch()).await {
            if stop.run_until_cancelled(self.work_off(&batch)).await.is_none() {
                break;
            }
            self.commit(&batch);
        }
        self.leave().await;
    }

    /// Waits for a message, then takes what is there already.
    async fn next_batch(&self) -> Batch {
        let mut batch = Batch::default();
        self.take(&mut batch, self.client.recv().await);
        while batch.messages < BATCH {
            match self.client.recv().now_or_never() {
                Some(message) => self.take(&mut batch, message),
                None => break,
            }
        }
        batch
    }

    fn take(&self, batch: &mut Batch, message: Result<BorrowedMessage<'_>, KafkaError>) {
        match message {
            Ok(message) => self.add(batch, &message),
            // Transport errors and a topic that does not exist yet: librdkafka goes on trying by itself.
            Err(error) => tracing::warn!(%error, "Kafka reports an error to the consumer"),
        }
    }

    fn add(&self, batch: &mut Batch, message: &BorrowedMessage<'_>) {
        batch.messages += 1;
        batch.made_ms.extend(message.timestamp().to_millis());
        batch
            .next
            .insert((message.topic().to_owned(), message.partition()), message.offset() + 1);
        let schema = codec::schema(message.headers());
        match codec::decode(&schema, message.payload().unwrap_or_default()) {
            Ok(driver) => {
                batch.drivers.insert(driver);
            }
            Err(error) => {
                self.metrics.undecodable.inc();
                let (partition, offset) = (message.partition(), message.offset());
                tracing::error!(%error, partition, offset, "passed over an event");
            }
        }
    }

    /// Returns when the batch is worked off, however often that has to be tried.
    async fn work_off(&self, batch: &Batch) {
        let drivers: Vec<DriverId> = batch.drivers.iter().copied().collect();
        let mut pauses = RETRY.into_iter();
        let _in_work = self.metrics.begin_batch();
        while let Err(cause) = self.handle(&drivers).await {
            self.metrics.retries.inc();
            tracing::warn!(%cause, drivers = drivers.len(), "events will be worked off again");
            tokio::time::sleep(pauses.next().unwrap_or(LONGEST_RETRY)).await;
        }
        self.metrics.consumed.inc_by(batch.messages as u64);
        let now_ms = Utc::now().timestamp_millis();
        for made_ms in &batch.made_ms {
            // A clock that is behind the maker's sees no lag.
            self.metrics.lag.observe((now_ms - made_ms).max(0) as f64 / 1e3);
        }
    }

    async fn handle(&self, drivers: &[DriverId]) -> Result<(), Cause> {
        if drivers.is_empty() {
            Ok(())
        } else {
            self.handler.drivers_changed(drivers).await
        }
    }

    fn commit(&self, batch: &Batch) {
        if batch.next.is_empty() {
            return;
        }
        let mut offsets = TopicPartitionList::new();
        let added: KafkaResult<()> = batch.next.iter().try_for_each(|((topic, partition), next)| {
            offsets.add_partition_offset(topic, *partition, Offset::Offset(*next))
        });
        if let Err(error) = added.and_then(|()| self.client.commit(&offsets, CommitMode::Async)) {
            tracing::warn!(%error, "offsets were not committed: these events may come again");
        }
    }

    /// Leaves the group.
    async fn leave(self) {
        self.client.unsubscribe();
        super::close("consumer", self.client).await;
    }
}

/// Offsets are committed by hand, after the work. `fetch.wait.max.ms` is the latency of a lone event: with the default
/// of 500 ms a score would follow its trip after 130 to 380 ms, with 10 ms after 7 to 21 ms. The topic may be made
/// after this process has started, hence the short metadata refresh.
fn client_config(config: &KafkaConfig) -> ClientConfig {
    let mut client = ClientConfig::new();
    client
        .set("bootstrap.servers", &config.brokers)
        .set("client.id", "insurance-service")
        .set("group.id", &config.group)
        // Both are eager, which `GroupContext` counts on.
        .set("partition.assignment.strategy", "range,roundrobin")
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        .set("auto.offset.reset", "earliest")
        .set("fetch.wait.max.ms", "10")
        .set("session.timeout.ms", "10000")
        .set("topic.metadata.refresh.interval.ms", "2000");
    client
}
