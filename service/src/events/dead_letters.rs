//! Where events go that cannot be worked off, so that they neither hold up those behind them nor get lost.

use std::sync::Arc;
use std::time::Duration;

use rdkafka::Message as _;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::OwnedMessage;

use super::headers::{self, Why};
use super::producer::{Outgoing, Publisher};
use crate::config::KafkaConfig;
use crate::metrics::EventMetrics;

/// Pause after a failure: Kafka is away, and the letter must not be lost.
const BACK_OFF: Duration = Duration::from_millis(500);

/// The dead letter topic.
pub struct DeadLetters {
    publisher: Arc<Publisher>,
    topic: String,
    group: String,
    metrics: EventMetrics,
}

impl DeadLetters {
    /// Of the configured topic and group.
    pub fn new(publisher: Arc<Publisher>, config: &KafkaConfig, metrics: EventMetrics) -> Self {
        Self {
            publisher,
            topic: config.dead_letters(),
            group: config.group.clone(),
            metrics,
        }
    }

    /// Puts `message` aside. Returns when Kafka has it, however often that has to be tried.
    pub(super) async fn put_aside(&self, message: &OwnedMessage, why: &Why) {
        let (partition, offset) = (message.partition(), message.offset());
        tracing::error!(
            partition,
            offset,
            class = why.class,
            why = why.message,
            "an event is put aside"
        );
        let mut to = Some(partition);
        while let Err(error) = self.publish(message, to, why).await {
            if is_no_such_partition(&error) {
                // The topic was made by hand, with fewer partitions.
                to = None;
            }
            tracing::warn!(%error, topic = self.topic, "a dead letter waits for Kafka");
            tokio::time::sleep(BACK_OFF).await;
        }
        self.metrics.dead_letters.inc();
    }

    async fn publish(&self, message: &OwnedMessage, partition: Option<i32>, why: &Why) -> Result<(), KafkaError> {
        let letter = Outgoing {
            topic: &self.topic,
            partition,
            key: message.key(),
            payload: message.payload().unwrap_or_default(),
            headers: headers::of_dead_letter(message, &self.group, why),
            made_ms: None,
        };
        self.publisher.publish(vec![letter]).await
    }
}

fn is_no_such_partition(error: &KafkaError) -> bool {
    matches!(error, KafkaError::MessageProduction(RDKafkaErrorCode::UnknownPartition))
}
