//! A Kafka broker, or what stands in for one. Messages and consumer groups belong to whoever uses it.

use std::path::Path;

use crate::choose::{Way, choose};
use crate::error::StackError;
use crate::info::{Provider, Server, ServerInfo};
use crate::options::{Choice, StackOptions};

mod admin;
mod assembly;
mod broker;
mod container;
mod embedded;
mod external;
mod native;

use assembly::Origin;
use container::ContainerKafka;
use embedded::EmbeddedKafka;
use external::ExternalKafka;
use native::NativeKafka;

const SERVER: Server = Server::Kafka;

/// A broker that answers. Dropping it ends what was started here, or deletes the topics that were made through it on an
/// external one.
#[derive(Debug)]
pub struct Kafka {
    info: ServerInfo,
    backend: Backend,
}

#[derive(Debug)]
enum Backend {
    External(ExternalKafka),
    Container(ContainerKafka),
    Native(NativeKafka),
    Embedded(EmbeddedKafka),
}

impl Backend {
    fn provider(&self) -> Provider {
        match self {
            Self::External(_) => Provider::External,
            Self::Container(_) => Provider::Containers,
            Self::Native(_) => Provider::Native,
            Self::Embedded(_) => Provider::Embedded,
        }
    }
}

impl Kafka {
    /// Takes the provider that the options lead to and waits until the broker answers. The first native start on a machine
    /// may download Kafka.
    pub async fn start(options: &StackOptions) -> Result<Self, StackError> {
        Self::start_announced(options, &mut |_: &str| ()).await
    }

    pub(crate) async fn start_announced(
        options: &StackOptions,
        announce: &mut impl FnMut(&str),
    ) -> Result<Self, StackError> {
        let taken = choose(SERVER, options, announce).await?;
        let mut reason = taken.reason;
        let (backend, facts) = match taken.way {
            Way::External => {
                let (kafka, facts) = external::connect(&options.external).await?;
                (Backend::External(kafka), facts)
            }
            Way::Container(image) => {
                let (kafka, facts) = container::start(&image, options).await?;
                (Backend::Container(kafka), facts)
            }
            Way::Own => own(options, &mut reason, announce).await?,
        };
        let info = ServerInfo {
            provider: backend.provider(),
            reason,
            version: facts.version,
            settings: facts.settings,
            note: facts.note,
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
            Backend::Container(kafka) => kafka.brokers.clone(),
            Backend::Native(kafka) => kafka.brokers.clone(),
            Backend::Embedded(kafka) => kafka.brokers().to_owned(),
        }
    }

    /// The broker's process id, if it is a process of its own that was started here.
    pub fn pid(&self) -> Option<u32> {
        match &self.backend {
            Backend::Native(kafka) => Some(kafka.native.process.pid()),
            Backend::External(_) | Backend::Container(_) | Backend::Embedded(_) => None,
        }
    }

    /// Where its data and log are, if it was started here natively.
    pub fn directory(&self) -> Option<&Path> {
        match &self.backend {
            Backend::Native(kafka) => Some(kafka.native.dir.path()),
            Backend::External(_) | Backend::Container(_) | Backend::Embedded(_) => None,
        }
    }

    /// Creates a topic. One that is there already is left as it is.
    pub async fn create_topic(&self, name: &str, partitions: i32) -> Result<(), StackError> {
        let admin = match &self.backend {
            Backend::External(kafka) => return kafka.create_topic(name, partitions).await,
            Backend::Embedded(kafka) => return kafka.create_topic(name, partitions),
            Backend::Container(kafka) => &kafka.admin,
            Backend::Native(kafka) => &kafka.admin,
        };
        let created = admin.create_topic(name, partitions).await;
        created.map(drop).map_err(topic_failed(name, partitions))
    }

    /// Ends what was started here, or deletes what was made on an external broker, and reports failures.
    pub async fn stop(self) -> Result<(), StackError> {
        match self.backend {
            Backend::External(kafka) => kafka.delete_made().await,
            Backend::Container(kafka) => kafka.container.stop().await,
            Backend::Native(kafka) => kafka.native.stop().await,
            Backend::Embedded(kafka) => kafka.stop().await,
        }
    }
}

/// A broker on the local Java, or the embedded one: when it was asked for, or as the last resort of `auto`.
async fn own(
    options: &StackOptions,
    reason: &mut String,
    announce: &mut impl FnMut(&str),
) -> Result<(Backend, Facts), StackError> {
    let installation = match options.choice {
        Choice::Embedded => None,
        Choice::Auto => match assembly::provide(options, announce).await {
            Ok(installation) => Some(installation),
            Err(lack) => {
                *reason = format!("{reason}, and there is no native one ({lack})");
                None
            }
        },
        Choice::External | Choice::Containers | Choice::Native => Some(assembly::provide(options, announce).await?),
    };
    let Some(installation) = installation else {
        let (kafka, facts) = embedded::start()?;
        return Ok((Backend::Embedded(kafka), facts));
    };
    let (kafka, facts) = native::start(&installation, options).await?;
    Ok((Backend::Native(kafka), facts))
}

fn topic_failed<E: ToString>(name: &str, partitions: i32) -> impl FnOnce(E) -> StackError {
    StackError::request(SERVER, format!("create topic `{name}` with {partitions} partitions"))
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

/// Where the native provider would take Kafka from.
pub(crate) fn native_source(options: &StackOptions) -> Result<String, StackError> {
    Ok(match assembly::find(options)? {
        Origin::Ready(installed) => format!("Kafka {} in {}", installed.version, installed.libs.display()),
        Origin::Assemble { cache, .. } => format!(
            "Kafka {}, to be assembled from Maven Central into {} at the first start",
            assembly::version(),
            cache.display()
        ),
    })
}
