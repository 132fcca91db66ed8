//! Brokers that somebody else runs. They are left as they were found: topics made through the handle are deleted at the
//! end, nothing else is touched.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};

use super::{Facts, librdkafka_version};
use crate::choose::address;
use crate::cleanup;
use crate::error::StackError;
use crate::info::Server;
use crate::options::External;

const SERVER: Server = Server::Kafka;
/// Brokers answer at once or are not there.
const METADATA_LIMIT: Duration = Duration::from_secs(5);
/// Creating a topic elects leaders, which takes a moment on a busy cluster.
const ADMIN_LIMIT: Duration = Duration::from_secs(10);
/// The broker's own default (Kafka 2.4 and later).
const DEFAULT_REPLICATION: i32 = -1;

type Admin = AdminClient<DefaultClientContext>;

/// External brokers and the topics that must go again.
pub(super) struct ExternalKafka {
    brokers: String,
    admin: Arc<Admin>,
    // Never held across an await: only names go in and out.
    made: Mutex<BTreeSet<String>>,
}

// By hand, because `AdminClient` has no `Debug`.
impl fmt::Debug for ExternalKafka {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ExternalKafka")
            .field("brokers", &self.brokers)
            .field("made", &self.made)
            .finish_non_exhaustive()
    }
}

/// Asks for the cluster's metadata once. The protocol does not tell the broker's version.
pub(super) async fn connect(external: &External) -> Result<(ExternalKafka, Facts), StackError> {
    let brokers = address(SERVER, external)
        .ok_or(StackError::MissingUrl { server: SERVER })?
        .to_owned();
    let unusable = |problem: String| StackError::External {
        server: SERVER,
        place: brokers.clone(),
        problem,
        advice: "check that a broker runs there and that KAFKA_BROKERS has its host and port (host:port,host:port)",
    };
    let config = ClientConfig::new().set("bootstrap.servers", &brokers).clone();
    let admin: Admin = config.create().map_err(|error| unusable(error.to_string()))?;
    let admin = Arc::new(admin);
    let asking = Arc::clone(&admin);
    let asked = tokio::task::spawn_blocking(move || count_brokers(&asking)).await;
    let count = asked
        .map_err(|error| unusable(error.to_string()))?
        .map_err(|error| unusable(error.to_string()))?;
    let facts = facts(count);
    Ok((
        ExternalKafka {
            brokers,
            admin,
            made: Mutex::default(),
        },
        facts,
    ))
}

/// Blocks until a broker answers or the time is up.
fn count_brokers(admin: &Admin) -> KafkaResult<usize> {
    Ok(admin.inner().fetch_metadata(None, METADATA_LIMIT)?.brokers().len())
}

fn facts(brokers: usize) -> Facts {
    let settings = [("brokers", brokers.to_string()), ("librdkafka", librdkafka_version())];
    let settings: BTreeMap<_, _> = settings.map(|(name, value)| (name.to_owned(), value)).into();
    Facts {
        version: "of unknown version".to_owned(),
        settings,
        note: None,
    }
}

impl ExternalKafka {
    pub(super) fn brokers(&self) -> &str {
        &self.brokers
    }

    /// Only a topic that this call brought into being is remembered for deletion.
    pub(super) async fn create_topic(&self, name: &str, partitions: i32) -> Result<(), StackError> {
        let topic = NewTopic::new(name, partitions, TopicReplication::Fixed(DEFAULT_REPLICATION));
        let answer = self.admin.create_topics(&[topic], &limits()).await;
        match first_failure(answer) {
            None => {
                self.made().insert(name.to_owned());
                Ok(())
            }
            Some(KafkaError::AdminOp(RDKafkaErrorCode::TopicAlreadyExists)) => Ok(()),
            Some(error) => Err(StackError::request(
                SERVER,
                format!("create topic `{name}` with {partitions} partitions"),
            )(error)),
        }
    }

    /// Deletes the topics made here and reports a failure.
    pub(super) async fn delete_made(self) -> Result<(), StackError> {
        let names = self.made().clone();
        delete(Arc::clone(&self.admin), names).await?;
        self.made().clear();
        Ok(())
    }

    /// A panic elsewhere leaves the set whole: each change is one call.
    fn made(&self) -> MutexGuard<'_, BTreeSet<String>> {
        self.made.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for ExternalKafka {
    fn drop(&mut self) {
        let names = std::mem::take(&mut *self.made());
        if names.is_empty() {
            return;
        }
        let deleting = delete(Arc::clone(&self.admin), names);
        if let Err(error) = cleanup::run_to_end(SERVER, deleting) {
            tracing::warn!(%error, "topics are left on an external broker");
        }
    }
}

async fn delete(admin: Arc<Admin>, names: BTreeSet<String>) -> Result<(), StackError> {
    if names.is_empty() {
        return Ok(());
    }
    let topics: Vec<&str> = names.iter().map(String::as_str).collect();
    let answer = admin.delete_topics(&topics, &limits()).await;
    let action = || format!("delete topics {}", topics.join(", "));
    first_failure(answer).map_or(Ok(()), |error| Err(StackError::request(SERVER, action())(error)))
}

fn limits() -> AdminOptions {
    AdminOptions::new()
        .request_timeout(Some(ADMIN_LIMIT))
        .operation_timeout(Some(ADMIN_LIMIT))
}

/// An administrative answer fails as a whole or topic by topic.
fn first_failure(answer: KafkaResult<Vec<Result<String, (String, RDKafkaErrorCode)>>>) -> Option<KafkaError> {
    match answer {
        Err(error) => Some(error),
        Ok(topics) => topics
            .into_iter()
            .find_map(|topic| topic.err().map(|(_, code)| KafkaError::AdminOp(code))),
    }
}
