//! How far the group is behind, by offsets: of each partition, where it ends less where the group has committed.
//!
//! The committed offsets are read first, then the ends: read the other way round, or by two clients, a busy partition
//! would show less than none. Offsets tell how much is left, not how old it is: that is the age of records, which the
//! consumer measures.

use std::sync::Arc;
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::KafkaError;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use tokio_util::sync::CancellationToken;

use super::KafkaSetupError;
use crate::config::KafkaConfig;
use crate::metrics::KafkaMetrics;

/// How often is looked: a few requests to the broker each time.
const PERIOD: Duration = Duration::from_secs(5);
/// How long a broker may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// The role that looks. It is no member of the group.
pub struct LagWatch {
    client: Arc<BaseConsumer>,
    topic: String,
    metrics: KafkaMetrics,
}

impl LagWatch {
    /// Of the configured topic and group. It connects in the background.
    pub fn new(config: &KafkaConfig, metrics: KafkaMetrics) -> Result<Self, KafkaSetupError> {
        let client = super::client_of(config)
            .set("group.id", &config.group)
            .set("enable.auto.commit", "false")
            .create()
            .map_err(KafkaSetupError::of("lag watch"))?;
        Ok(Self {
            client: Arc::new(client),
            topic: config.topic.clone(),
            metrics,
        })
    }

    /// Runs until `stop`.
    pub async fn run(self, stop: CancellationToken) {
        stop.run_until_cancelled(async {
            loop {
                self.look().await;
                tokio::time::sleep(PERIOD).await;
            }
        })
        .await;
        super::close("lag watch", self.client).await;
    }

    async fn look(&self) {
        let (client, topic) = (Arc::clone(&self.client), self.topic.clone());
        match super::on_thread(move || offset_lags(&client, &topic)).await {
            Ok(lags) => lags
                .into_iter()
                .for_each(|(partition, lag)| self.metrics.offset_lag(partition, lag)),
            Err(error) => tracing::debug!(%error, "the lag of the group is not known for now"),
        }
    }
}

/// Partitions with the number of messages that the group has not committed.
fn offset_lags(client: &BaseConsumer, topic: &str) -> Result<Vec<(i32, i64)>, KafkaError> {
    let committed = committed(client, topic)?;
    let mut lags = Vec::with_capacity(committed.len());
    for (partition, committed) in committed {
        let (begin, end) = client.fetch_watermarks(topic, partition, PATIENCE)?;
        let next = committed.map_or(begin, |committed| committed.max(begin));
        lags.push((partition, (end - next).max(0)));
    }
    Ok(lags)
}

/// Plain numbers, so that no list of librdkafka's outlives this: with one alive a consumer cannot be closed.
fn committed(client: &BaseConsumer, topic: &str) -> Result<Vec<(i32, Option<i64>)>, KafkaError> {
    let metadata = client.fetch_metadata(None, PATIENCE)?;
    let mut asked = TopicPartitionList::new();
    for known in metadata.topics().iter().filter(|known| known.name() == topic) {
        for partition in known.partitions() {
            asked.add_partition(topic, partition.id());
        }
    }
    if asked.count() == 0 {
        return Ok(Vec::new());
    }
    let answered = client.committed_offsets(asked, PATIENCE)?;
    let offsets = answered.elements().into_iter().map(|element| {
        let offset = match element.offset() {
            Offset::Offset(offset) => Some(offset),
            _ => None,
        };
        (element.partition(), offset)
    });
    Ok(offsets.collect())
}
