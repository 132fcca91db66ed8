//! Requests to a real broker: its identity and settings, topics made and deleted.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};

/// Brokers answer at once or are not there.
const METADATA_LIMIT: Duration = Duration::from_secs(5);
/// Creating a topic elects leaders, which takes a moment on a busy cluster.
const ADMIN_LIMIT: Duration = Duration::from_secs(10);
/// The broker's own default (Kafka 2.4 and later).
const DEFAULT_REPLICATION: i32 = -1;
/// A broker that is starting should be noticed when it is up, not seconds later (the library's default is 10 s).
const LONGEST_RECONNECT_PAUSE_MS: &str = "100";
/// The settings that a reader of the record needs to know.
const RECORDED_SETTINGS: [&str; 6] = [
    "auto.create.topics.enable",
    "compression.type",
    "log.flush.interval.messages",
    "message.max.bytes",
    "num.io.threads",
    "offsets.topic.replication.factor",
];

/// A connection for administration.
#[derive(Clone)]
pub(super) struct Admin(Arc<AdminClient<DefaultClientContext>>);

/// Who answers.
#[derive(Debug)]
pub(super) struct Cluster {
    /// `None` when the broker does not tell, as mock brokers do not.
    pub(super) id: Option<String>,
    /// At least one.
    pub(super) broker_ids: Vec<i32>,
}

impl Admin {
    /// Connects in the background; nothing is known to answer yet.
    pub(super) fn new(brokers: &str) -> KafkaResult<Self> {
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", brokers)
            .set("reconnect.backoff.max.ms", LONGEST_RECONNECT_PAUSE_MS);
        config.create().map(|client| Self(Arc::new(client)))
    }

    /// Asks for the cluster's metadata, waiting for the first broker that answers.
    pub(super) async fn cluster(&self) -> Result<Cluster, String> {
        let client = Arc::clone(&self.0);
        let asked = tokio::task::spawn_blocking(move || {
            let metadata = client.inner().fetch_metadata(None, METADATA_LIMIT)?;
            let broker_ids = metadata.brokers().iter().map(rdkafka::metadata::MetadataBroker::id);
            Ok(Cluster {
                broker_ids: broker_ids.collect(),
                id: client.inner().fetch_cluster_id(METADATA_LIMIT),
            })
        });
        let cluster = asked.await.map_err(|error| error.to_string())?;
        let cluster = cluster.map_err(|error: KafkaError| error.to_string())?;
        if cluster.broker_ids.is_empty() {
            return Err("it has no broker that is ready".to_owned());
        }
        Ok(cluster)
    }

    /// The identity of the cluster, as the first connection tells it.
    pub(super) async fn cluster_id(&self) -> Result<Option<String>, String> {
        let client = Arc::clone(&self.0);
        let asked = tokio::task::spawn_blocking(move || client.inner().fetch_cluster_id(METADATA_LIMIT));
        asked.await.map_err(|error| error.to_string())
    }

    /// The recorded settings, as the first broker reports them; without those that it does not tell.
    pub(super) async fn settings(&self, cluster: &Cluster) -> BTreeMap<String, String> {
        let mut settings = BTreeMap::from([
            ("brokers".to_owned(), cluster.broker_ids.len().to_string()),
            ("librdkafka".to_owned(), librdkafka_version()),
        ]);
        let Some(&broker) = cluster.broker_ids.first() else {
            return settings;
        };
        let answer = self
            .0
            .describe_configs(&[ResourceSpecifier::Broker(broker)], &limits())
            .await;
        let described = answer
            .into_iter()
            .flatten()
            .flatten()
            .flat_map(|resource| resource.entries);
        let recorded = described.filter(|entry| RECORDED_SETTINGS.contains(&entry.name.as_str()));
        settings.extend(recorded.filter_map(|entry| Some((entry.name, entry.value?))));
        settings
    }

    /// Whether the topic was made by this call; one that was there already is left as it is.
    pub(super) async fn create_topic(&self, name: &str, partitions: i32) -> KafkaResult<bool> {
        let topic = NewTopic::new(name, partitions, TopicReplication::Fixed(DEFAULT_REPLICATION));
        let created = self.0.create_topics(&[topic], &limits()).await;
        done_unless(RDKafkaErrorCode::TopicAlreadyExists, created)
    }

    /// Topics that are not there need not be deleted.
    pub(super) async fn delete_topics(&self, names: &[&str]) -> KafkaResult<()> {
        let deleted = self.0.delete_topics(names, &limits()).await;
        done_unless(RDKafkaErrorCode::UnknownTopicOrPartition, deleted).map(drop)
    }
}

/// The version of the client library, which is also that of the embedded broker.
pub(super) fn librdkafka_version() -> String {
    rdkafka::util::get_rdkafka_version().1
}

fn limits() -> AdminOptions {
    AdminOptions::new()
        .request_timeout(Some(ADMIN_LIMIT))
        .operation_timeout(Some(ADMIN_LIMIT))
}

/// Whether everything that was asked was done: not when `harmless` is the answer for a topic. An administrative answer
/// fails as a whole or topic by topic.
fn done_unless(
    harmless: RDKafkaErrorCode,
    answer: KafkaResult<Vec<Result<String, (String, RDKafkaErrorCode)>>>,
) -> KafkaResult<bool> {
    let mut failures = answer?
        .into_iter()
        .filter_map(Result::err)
        .map(|(_, code)| code)
        .peekable();
    let done = failures.peek().is_none();
    match failures.find(|code| *code != harmless) {
        Some(code) => Err(KafkaError::AdminOp(code)),
        None => Ok(done),
    }
}
