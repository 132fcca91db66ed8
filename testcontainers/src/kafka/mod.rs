//! A Kafka broker, or what stands in for one. Messages and consumer groups belong to whoever uses it.

use crate::choose::choose;
use crate::error::StackError;
use crate::info::{Provider, Server, ServerInfo};
use crate::options::StackOptions;

mod embedded;
mod external;

use embedded::EmbeddedKafka;
use external::ExternalKafka;

/// A broker that answers. Dropping it ends an embedded one, or deletes the topics that were made through it on an external
/// one.
#[derive(Debug)]
pub struct Kafka {
    info: ServerInfo,
    backend: Backend,
}

#[derive(Debug)]
enum Backend {
    External(ExternalKafka),
    Embedded(EmbeddedKafka),
}

impl Kafka {
    /// Takes the provider that the options lead to and waits until the broker answers.
    pub async fn start(options: &StackOptions) -> Result<Self, StackError> {
        let taken = choose(Server::Kafka, options)?;
        let (backend, facts) = match taken.provider {
            Provider::External => {
                let (kafka, facts) = external::connect(&options.external).await?;
                (Backend::External(kafka), facts)
            }
            Provider::Native | Provider::Embedded => {
                let (kafka, facts) = embedded::start()?;
                (Backend::Embedded(kafka), facts)
            }
        };
        let Facts {
            version,
            settings,
            note,
        } = facts;
        let info = ServerInfo {
            provider: taken.provider,
            reason: taken.reason,
            version,
            settings,
            note,
        };
        Ok(Self { info, backend })
    }

    /// Provider, version and settings.
    pub fn info(&self) -> &ServerInfo {
        &self.info
    }

    /// The value for `bootstrap.servers`: `host:port`, separated by commas.
    pub fn brokers(&self) -> String {
        match &self.backend {
            Backend::External(kafka) => kafka.brokers().to_owned(),
            Backend::Embedded(kafka) => kafka.brokers().to_owned(),
        }
    }

    /// Creates a topic. One that is there already is left as it is.
    pub async fn create_topic(&self, name: &str, partitions: i32) -> Result<(), StackError> {
        match &self.backend {
            Backend::External(kafka) => kafka.create_topic(name, partitions).await,
            Backend::Embedded(kafka) => kafka.create_topic(name, partitions),
        }
    }

    /// Ends an embedded broker, or deletes what was made on an external one, and reports failures.
    pub async fn stop(self) -> Result<(), StackError> {
        match self.backend {
            Backend::External(kafka) => kafka.delete_made().await,
            Backend::Embedded(kafka) => kafka.stop().await,
        }
    }
}

/// What is known about the broker.
#[derive(Debug)]
struct Facts {
    version: String,
    settings: std::collections::BTreeMap<String, String>,
    note: Option<String>,
}

/// The version of the client library, which is also that of the embedded broker.
fn librdkafka_version() -> String {
    rdkafka::util::get_rdkafka_version().1
}
