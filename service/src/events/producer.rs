//! The Kafka producer: publishes a batch of outbox events and returns when all are acknowledged.

use std::time::Duration;

use futures_util::future::try_join_all;
use rdkafka::ClientConfig;
use rdkafka::error::KafkaError;
use rdkafka::producer::{FutureProducer, FutureRecord};

use super::{KafkaSetupError, codec};
use crate::config::{KafkaConfig, Switches};
use crate::store::outbox::OutboxEvent;

/// Messages that librdkafka may hold: twenty times the relay's batch, so that its queue is never what fails first.
const QUEUE_MESSAGES: &str = "10000";
/// How long a message may try to be acknowledged, in milliseconds; then the batch is published again from the outbox.
const MESSAGE_TIMEOUT_MS: &str = "5000";
/// How long to wait for a place in librdkafka's queue.
const QUEUE_TIMEOUT: Duration = Duration::from_secs(1);

/// Publishes events.
pub struct Publisher {
    producer: FutureProducer,
    topic: String,
}

impl Publisher {
    /// A producer for the configured topic. It connects in the background.
    pub fn new(config: &KafkaConfig, switches: Switches) -> Result<Self, KafkaSetupError> {
        let producer = client_config(config, switches.kafka_batching)
            .create()
            .map_err(|source| KafkaSetupError {
                role: "producer",
                source,
            })?;
        Ok(Self {
            producer,
            topic: config.topic.clone(),
        })
    }

    /// Publishes all events, keyed by driver, so that one driver's events stay in order. Returns when every one is
    /// acknowledged; after an error some may be, so that they will be published twice.
    pub async fn publish(&self, events: &[OutboxEvent]) -> Result<(), KafkaError> {
        try_join_all(events.iter().map(|event| self.publish_one(event))).await?;
        Ok(())
    }

    async fn publish_one(&self, event: &OutboxEvent) -> Result<(), KafkaError> {
        let key = event.driver_id.to_string();
        let payload = codec::encode_v1(&event.payload);
        let record = FutureRecord::to(&self.topic)
            .key(&key)
            .payload(&payload)
            .headers(codec::headers_v1(event.kind));
        self.producer
            .send(record, QUEUE_TIMEOUT)
            .await
            .map(|_| ())
            .map_err(|(error, _)| error)
    }
}

/// With batching, messages wait 5 ms for company and are compressed together; without, each goes out at once and alone,
/// as before. Idempotence keeps retries of one batch from doubling messages; `acks=all` is part of it.
fn client_config(config: &KafkaConfig, batching: bool) -> ClientConfig {
    let mut client = ClientConfig::new();
    client
        .set("bootstrap.servers", &config.brokers)
        .set("client.id", "insurance-service")
        .set("acks", "all")
        .set("enable.idempotence", "true")
        .set("queue.buffering.max.messages", QUEUE_MESSAGES)
        .set("message.timeout.ms", MESSAGE_TIMEOUT_MS)
        .set("linger.ms", if batching { "5" } else { "0" })
        .set("compression.type", if batching { "lz4" } else { "none" });
    if !batching {
        client.set("batch.num.messages", "1");
    }
    client
}
