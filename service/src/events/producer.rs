//! The Kafka producer: publishes batches and returns when all of each are acknowledged.
//!
//! When its queue is full, it waits for room: whoever publishes waits with it, and what is to be published stays where
//! it is kept (the outbox, or the topic that is consumed). Nothing is ever dropped.

use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rdkafka::client::ClientContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, OwnedHeaders};
use rdkafka::producer::{BaseRecord, Producer as _, ProducerContext, ThreadedProducer};
use rdkafka::{ClientConfig, Statistics};
use tokio::sync::Notify;
use tokio::time::timeout;

use super::{KafkaSetupError, client_of};
use crate::config::{KafkaConfig, Switches};
use crate::metrics::KafkaMetrics;

/// How long a message may try to be acknowledged, in milliseconds; then the batch is published again from where it is
/// kept.
const MESSAGE_TIMEOUT_MS: &str = "5000";
/// How long to wait for room in the queue: a queue that is full for longer than its messages may try has been emptied.
const ROOM_TIMEOUT: Duration = Duration::from_secs(6);
/// How often librdkafka tells what it has done.
pub(crate) const STATISTICS_MS: &str = "1000";
/// Bytes and messages of a batch: room for all that a full relay brings, whatever partitions it goes to.
const BATCH_BYTES: &str = "1000000";
const BATCH_MESSAGES: &str = "10000";

/// A message to be published.
#[derive(Debug)]
pub struct Outgoing<'a> {
    /// Where to.
    pub topic: &'a str,
    /// Which partition; `None` leaves it to the key.
    pub partition: Option<i32>,
    /// Keeps what belongs together in order.
    pub key: Option<&'a [u8]>,
    /// The message itself.
    pub payload: &'a [u8],
    /// What stands beside it.
    pub headers: OwnedHeaders,
    /// When it came about, in milliseconds since 1970; `None` = now.
    pub made_ms: Option<i64>,
}

/// Publishes messages.
pub struct Publisher {
    producer: ThreadedProducer<Watch>,
    metrics: KafkaMetrics,
}

impl Publisher {
    /// A producer for any topic. It connects in the background.
    pub fn new(config: &KafkaConfig, switches: Switches, metrics: KafkaMetrics) -> Result<Self, KafkaSetupError> {
        let watch = Watch {
            metrics: metrics.clone(),
            room: Notify::new(),
        };
        let producer = client_config(config, switches).create_with_context(watch);
        Ok(Self {
            producer: producer.map_err(KafkaSetupError::of("producer"))?,
            metrics,
        })
    }

    /// Publishes all messages. Returns when every one is acknowledged; after an error some may be, so that they will be
    /// published twice.
    pub async fn publish(&self, messages: Vec<Outgoing<'_>>) -> Result<(), KafkaError> {
        self.begin(messages).await?.acknowledged().await
    }

    /// Queues all messages, behind those of earlier calls. Errors: as of [`Publisher::publish`].
    pub async fn begin(&self, messages: Vec<Outgoing<'_>>) -> Result<Publishing, KafkaError> {
        let batch = Arc::new(Acknowledgements::default());
        for message in messages {
            self.enqueue(message, &batch).await?;
        }
        Ok(Publishing(batch))
    }

    async fn enqueue(&self, message: Outgoing<'_>, batch: &Arc<Acknowledgements>) -> Result<(), KafkaError> {
        let mut record = BaseRecord::with_opaque_to(message.topic, Arc::clone(batch))
            .payload(message.payload)
            .headers(message.headers);
        record.key = message.key;
        record.partition = message.partition;
        record.timestamp = message.made_ms;
        batch.expect_one();
        loop {
            // Before the attempt: room that is made meanwhile is heard of.
            let mut room = pin!(self.producer.client().context().room.notified());
            room.as_mut().enable();
            record = match self.producer.send(record) {
                Ok(()) => return Ok(()),
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), record)) => record,
                Err((error, _)) => return Err(error),
            };
            self.metrics.queue_full.inc();
            if timeout(ROOM_TIMEOUT, room).await.is_err() {
                return Err(KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull));
            }
        }
    }
}

/// Messages that are on their way.
#[must_use = "whether they arrive is told by `acknowledged`"]
pub struct Publishing(Arc<Acknowledgements>);

impl Publishing {
    /// Returns when every message is acknowledged. Errors: as of [`Publisher::publish`].
    pub async fn acknowledged(self) -> Result<(), KafkaError> {
        self.0.all().await
    }
}

/// What has become of the messages of one batch.
#[derive(Debug, Default)]
struct Acknowledgements {
    open: AtomicUsize,
    /// The first failure. Held for a look; never across an await.
    failed: Mutex<Option<KafkaError>>,
    changed: Notify,
}

impl Acknowledgements {
    fn expect_one(&self) {
        self.open.fetch_add(1, Ordering::Relaxed);
    }

    /// One message is acknowledged, or has failed. Release, so that whoever sees none open sees the failure.
    fn settle(&self, failure: Option<KafkaError>) {
        if let Some(failure) = failure {
            let mut failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
            failed.get_or_insert(failure);
        }
        if self.open.fetch_sub(1, Ordering::Release) == 1 {
            self.changed.notify_one();
        }
    }

    /// Waits until none is open.
    async fn all(&self) -> Result<(), KafkaError> {
        while self.open.load(Ordering::Acquire) > 0 {
            self.changed.notified().await;
        }
        let mut failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        failed.take().map_or(Ok(()), Err)
    }
}

/// Hears from librdkafka.
struct Watch {
    metrics: KafkaMetrics,
    /// Notified when a message has left the queue.
    room: Notify,
}

impl ClientContext for Watch {
    fn stats(&self, statistics: Statistics) {
        self.metrics.producer(&statistics);
    }
}

impl ProducerContext for Watch {
    type DeliveryOpaque = Arc<Acknowledgements>;

    fn delivery(&self, result: &DeliveryResult<'_>, batch: Self::DeliveryOpaque) {
        batch.settle(result.as_ref().err().map(|(error, _)| error.clone()));
        self.room.notify_waiters();
    }
}

/// With batching, messages wait for company and go out together; without, each goes out at once and alone, as before.
/// Idempotence keeps retries of one batch from doubling messages; `acks=all` is part of it.
fn client_config(config: &KafkaConfig, switches: Switches) -> ClientConfig {
    let mut client = client_of(config);
    client
        .set("acks", "all")
        .set("enable.idempotence", "true")
        .set("queue.buffering.max.messages", config.queue_messages.to_string())
        .set("queue.buffering.max.kbytes", config.queue_kib.to_string())
        .set("message.timeout.ms", MESSAGE_TIMEOUT_MS)
        .set("compression.type", switches.kafka_compression.as_str())
        .set("statistics.interval.ms", STATISTICS_MS);
    if switches.kafka_batching {
        client
            .set("linger.ms", config.linger_ms.to_string())
            .set("batch.size", BATCH_BYTES)
            .set("batch.num.messages", BATCH_MESSAGES);
    } else {
        client.set("linger.ms", "0").set("batch.num.messages", "1");
    }
    client
}
