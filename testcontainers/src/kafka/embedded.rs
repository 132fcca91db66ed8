//! librdkafka's mock broker inside this process: the last resort where there is no Kafka. Other processes on this
//! machine can produce, consume, join groups and commit. It keeps 5 MiB or 100,000 batches per partition and drops the
//! oldest beyond that, knows no administrative requests, and lets a group's first member wait three seconds (the switch
//! for that is out of reach of rdkafka's safe interface). Its figures say nothing about Kafka's throughput.

use rdkafka::ClientConfig;
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::producer::{BaseProducer, Producer};

use super::admin::librdkafka_version;
use crate::error::StackError;
use crate::info::Server;
use crate::kind::Facts;

/// One is enough to be talked to, and no replica makes it safer: it lives and dies with this process.
const BROKERS: &str = "1";
const NOTE: &str = "librdkafka's mock broker, for functional checks only: it says nothing about Kafka's throughput, \
                    and keeps no more than 5 MiB per partition";

/// The broker, which lives as long as this value.
pub(super) struct EmbeddedKafka {
    // The cluster belongs to this client, which is otherwise idle; unlike a free-standing `MockCluster` it is `Send`.
    owner: BaseProducer,
}

impl EmbeddedKafka {
    /// Opens the listener on a free port of 127.0.0.1 and tells its address; there is nothing to wait for.
    pub(super) fn start() -> Result<(Self, String, Facts), StackError> {
        let failed = |problem: String| StackError::not_started(Server::Kafka, problem);
        let owner: BaseProducer = ClientConfig::new()
            .set("test.mock.num.brokers", BROKERS)
            .create()
            .map_err(|error| failed(format!("the embedded broker: {error}")))?;
        let brokers = owner.client().mock_cluster().map(|cluster| cluster.bootstrap_servers());
        let brokers = brokers.ok_or_else(|| failed("librdkafka made no embedded broker".to_owned()))?;
        Ok((Self { owner }, brokers, facts()))
    }

    /// Whether the topic was made by this call.
    pub(super) fn create_topic(&self, name: &str, partitions: i32) -> KafkaResult<bool> {
        let cluster = self.owner.client().mock_cluster();
        let cluster = cluster.ok_or(KafkaError::MockCluster(RDKafkaErrorCode::BrokerNotAvailable))?;
        match cluster.create_topic(name, partitions, 1) {
            Err(KafkaError::MockCluster(RDKafkaErrorCode::TopicAlreadyExists)) => Ok(false),
            created => created.map(|()| true),
        }
    }
}

fn facts() -> Facts {
    let version = librdkafka_version();
    let settings = [
        ("broker", "librdkafka mock"),
        ("librdkafka", version.as_str()),
        ("brokers", BROKERS),
    ];
    let settings = settings.map(|(name, value)| (name.to_owned(), value.to_owned()));
    Facts {
        version: format!("mock of librdkafka {version}"),
        settings: settings.into(),
        note: Some(NOTE.to_owned()),
    }
}
