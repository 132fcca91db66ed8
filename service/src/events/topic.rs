//! Makes the topic, if it is not there: a consumer of a topic that nobody has written to yet has no place in its group,
//! and a replica without a place gets no traffic that could write to it.

use std::sync::Arc;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::metadata::Metadata;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use super::KafkaSetupError;
use crate::config::KafkaConfig;

/// The broker's own default, of partitions as of replicas (Kafka 2.4 and later).
const BROKERS_DEFAULT: i32 = -1;
/// How long a broker may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// Pause after a failure: the broker is away, or does not allow it.
const BACK_OFF: Duration = Duration::from_secs(2);

/// The role that makes the topic.
pub struct TopicMaker {
    client: Arc<AdminClient<DefaultClientContext>>,
    topic: String,
}

impl TopicMaker {
    /// For the configured topic. It connects in the background.
    pub fn new(config: &KafkaConfig) -> Result<Self, KafkaSetupError> {
        let client = ClientConfig::new()
            .set("bootstrap.servers", &config.brokers)
            .set("client.id", "insurance-service")
            .create()
            .map_err(|source| KafkaSetupError {
                role: "administrator",
                source,
            })?;
        Ok(Self {
            client: Arc::new(client),
            topic: config.topic.clone(),
        })
    }

    /// Runs until the topic is there, or until `stop`.
    pub async fn run(self, stop: CancellationToken) {
        stop.run_until_cancelled(self.make_sure()).await;
        super::close("administrator", self.client).await;
    }

    async fn make_sure(&self) {
        while let Err(error) = self.create_if_missing().await {
            tracing::warn!(%error, topic = self.topic, "the Kafka topic is not made for now: create it, or allow it");
            tokio::time::sleep(BACK_OFF).await;
        }
    }

    async fn create_if_missing(&self) -> Result<(), KafkaError> {
        if self.is_there().await? {
            Ok(())
        } else {
            self.create().await
        }
    }

    /// librdkafka answers this to a thread that waits: one of its own, which the end of the runtime does not wait for.
    async fn is_there(&self) -> Result<bool, KafkaError> {
        let (client, topic) = (Arc::clone(&self.client), self.topic.clone());
        let (told, answer) = oneshot::channel();
        std::thread::spawn(move || {
            let metadata = client.inner().fetch_metadata(None, PATIENCE);
            let named = |metadata: Metadata| metadata.topics().iter().any(|known| known.name() == topic);
            // Nobody waits any more after a stop.
            let _ = told.send(metadata.map(named));
        });
        answer.await.unwrap_or(Err(KafkaError::Canceled))
    }

    async fn create(&self) -> Result<(), KafkaError> {
        let topic = NewTopic::new(&self.topic, BROKERS_DEFAULT, TopicReplication::Fixed(BROKERS_DEFAULT));
        let options = AdminOptions::new()
            .request_timeout(Some(PATIENCE))
            .operation_timeout(Some(PATIENCE));
        let created = self.client.create_topics(&[topic], &options).await?;
        match created.into_iter().find_map(Result::err) {
            None => tracing::info!(
                topic = self.topic,
                "the Kafka topic is made, as the broker's defaults say"
            ),
            Some((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
            Some((_, code)) => return Err(KafkaError::AdminOp(code)),
        }
        Ok(())
    }
}
