//! librdkafka's mock broker inside this process: the last resort where there is no Kafka. Other processes on this machine
//! can produce, consume, join groups and commit. It keeps 5 MiB or 100,000 batches per partition and drops the oldest
//! beyond that, knows no administrative requests, and lets a group's first member wait three seconds (the switch for that
//! is out of reach of rdkafka's safe interface). Its figures say nothing about Kafka's throughput.

use std::collections::BTreeMap;
use std::fmt;

use rdkafka::ClientConfig;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::mocking::MockCluster;
use rdkafka::producer::{BaseProducer, DefaultProducerContext, Producer};

use super::{Facts, librdkafka_version};
use crate::error::StackError;
use crate::info::Server;

const SERVER: Server = Server::Kafka;
/// One is enough to be talked to, and no replica makes it safer: it lives and dies with this process.
const BROKERS: &str = "1";
const NOTE: &str = "librdkafka's mock broker, for functional checks only: it says nothing about Kafka's throughput, and \
                    keeps no more than 5 MiB per partition";

/// The broker, which lives as long as this value.
pub(super) struct EmbeddedKafka {
    // The cluster belongs to this client, which is otherwise idle; unlike a free-standing `MockCluster` it is `Send`.
    owner: BaseProducer,
    brokers: String,
}

// By hand, because `BaseProducer` has no `Debug`.
impl fmt::Debug for EmbeddedKafka {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EmbeddedKafka")
            .field("brokers", &self.brokers)
            .finish_non_exhaustive()
    }
}

/// Opens the listener on a free port of 127.0.0.1; there is nothing to wait for.
pub(super) fn start() -> Result<(EmbeddedKafka, Facts), StackError> {
    let failed = |problem: String| StackError::Start {
        server: SERVER,
        problem,
        log_tail: String::new(),
    };
    let owner: BaseProducer = ClientConfig::new()
        .set("test.mock.num.brokers", BROKERS)
        .create()
        .map_err(|error| failed(format!("the embedded broker: {error}")))?;
    let brokers = owner.client().mock_cluster().map(|cluster| cluster.bootstrap_servers());
    let brokers = brokers.ok_or_else(|| failed("librdkafka made no embedded broker".to_owned()))?;
    Ok((EmbeddedKafka { owner, brokers }, facts()))
}

fn facts() -> Facts {
    let version = librdkafka_version();
    let settings = [
        ("broker", "librdkafka mock"),
        ("librdkafka", version.as_str()),
        ("brokers", BROKERS),
    ];
    let settings: BTreeMap<_, _> = settings.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    Facts {
        version: format!("mock of librdkafka {version}"),
        settings,
        note: Some(NOTE.to_owned()),
    }
}

impl EmbeddedKafka {
    pub(super) fn brokers(&self) -> &str {
        &self.brokers
    }

    pub(super) fn create_topic(&self, name: &str, partitions: i32) -> Result<(), StackError> {
        let request = StackError::request(SERVER, format!("create topic `{name}` with {partitions} partitions"));
        match self.cluster().map(|cluster| cluster.create_topic(name, partitions, 1)) {
            None => Err(request("the embedded broker is gone")),
            Some(Err(KafkaError::MockCluster(RDKafkaErrorCode::TopicAlreadyExists)) | Ok(())) => Ok(()),
            Some(Err(error)) => Err(request(error.to_string().as_str())),
        }
    }

    /// Off the runtime's threads, because librdkafka joins its own.
    pub(super) async fn stop(self) -> Result<(), StackError> {
        let stopping = tokio::task::spawn_blocking(move || drop(self));
        stopping.await.map_err(|error| StackError::Stop {
            server: SERVER,
            problem: error.to_string(),
        })
    }

    fn cluster(&self) -> Option<MockCluster<'_, DefaultProducerContext>> {
        self.owner.client().mock_cluster()
    }
}
