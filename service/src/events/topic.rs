//! Makes the topic and that of its dead letters, if they are not there: a consumer of a topic that nobody has written
//! to yet has no place in its group, and a replica without a place gets no traffic that could write to it.

use std::sync::Arc;
use std::time::Duration;

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use tokio_util::sync::CancellationToken;

use super::KafkaSetupError;
use crate::config::KafkaConfig;

/// The broker's own default, of partitions as of replicas (Kafka 2.4 and later).
const BROKERS_DEFAULT: i32 = -1;
/// How long a broker may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// Pause after a failure: the broker is away, or does not allow it.
const BACK_OFF: Duration = Duration::from_secs(2);

/// The role that makes the topics.
pub struct TopicMaker {
    client: Arc<AdminClient<DefaultClientContext>>,
    topic: String,
    dead_letters: String,
}

impl TopicMaker {
    /// For the configured topic. It connects in the background.
    pub fn new(config: &KafkaConfig) -> Result<Self, KafkaSetupError> {
        let client = super::client_of(config)
            .create()
            .map_err(KafkaSetupError::of("administrator"))?;
        Ok(Self {
            client: Arc::new(client),
            topic: config.topic.clone(),
            dead_letters: config.dead_letters(),
        })
    }

    /// Runs until the topics are there, or until `stop`.
    pub async fn run(self, stop: CancellationToken) {
        stop.run_until_cancelled(self.make_sure()).await;
        super::close("administrator", self.client).await;
    }

    async fn make_sure(&self) {
        while let Err(error) = self.create_if_missing().await {
            tracing::warn!(%error, topic = self.topic, "Kafka topics are not made for now: create them, or allow it");
            tokio::time::sleep(BACK_OFF).await;
        }
    }

    /// The topic as the broker's defaults say, then that of its dead letters with as many partitions: a dead letter
    /// goes into the partition of its number.
    async fn create_if_missing(&self) -> Result<(), KafkaError> {
        if self.partitions(&self.topic).await? == 0 {
            self.create(&self.topic, BROKERS_DEFAULT).await?;
        }
        if self.partitions(&self.dead_letters).await? > 0 {
            return Ok(());
        }
        let partitions = self.partitions(&self.topic).await?;
        // A topic that was made just now may not be known everywhere.
        let partitions = i32::try_from(partitions).unwrap_or(BROKERS_DEFAULT);
        let partitions = if partitions == 0 { BROKERS_DEFAULT } else { partitions };
        self.create(&self.dead_letters, partitions).await
    }

    /// 0: there is no such topic.
    async fn partitions(&self, topic: &str) -> Result<usize, KafkaError> {
        let (client, topic) = (Arc::clone(&self.client), topic.to_owned());
        super::on_thread(move || {
            // All topics: to ask about one by name would make it on some brokers.
            let metadata = client.inner().fetch_metadata(None, PATIENCE)?;
            let named = metadata.topics().iter().find(|known| known.name() == topic);
            Ok(named.map_or(0, |topic| topic.partitions().len()))
        })
        .await
    }

    async fn create(&self, topic: &str, partitions: i32) -> Result<(), KafkaError> {
        let new = NewTopic::new(topic, partitions, TopicReplication::Fixed(BROKERS_DEFAULT));
        let options = AdminOptions::new()
            .request_timeout(Some(PATIENCE))
            .operation_timeout(Some(PATIENCE));
        let created = self.client.create_topics(&[new], &options).await?;
        match created.into_iter().find_map(Result::err) {
            None => tracing::info!(topic, "the Kafka topic is made, as the broker's defaults say"),
            Some((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
            Some((_, code)) => return Err(KafkaError::AdminOp(code)),
        }
        Ok(())
    }
}
