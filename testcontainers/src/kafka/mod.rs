//! A Kafka broker, or what stands in for one. Messages and consumer groups belong to whoever uses it.

use crate::error::StackError;
use crate::info::Server;
use crate::options::StackOptions;
use crate::server::{self, Running};

mod admin;
mod assembly;
mod client;
mod embedded;
mod kind;

use client::Client;
pub(crate) use kind::KafkaKind;

/// A broker that answers. Dropping it ends what was started here, or deletes the topics that were made through it on an
/// external one.
pub type Kafka = Running<Client>;

impl Running<Client> {
    /// Takes the provider that the options lead to and waits until the broker answers. The first native start on a
    /// machine may download Kafka.
    pub async fn start(options: &StackOptions) -> Result<Self, StackError> {
        server::start::<KafkaKind>(options, &mut |_: &str| ()).await
    }

    /// The value for `bootstrap.servers`: `host:port`, separated by commas.
    pub fn brokers(&self) -> String {
        self.client.brokers.clone()
    }

    /// Creates a topic. One that is there already is left as it is.
    pub async fn create_topic(&self, name: &str, partitions: i32) -> Result<(), StackError> {
        let action = format!("create topic `{name}` with {partitions} partitions");
        let created = self.client.create_topic(name, partitions).await;
        let is_new = created.map_err(StackError::request(Server::Kafka, action))?;
        if let Some(made) = self.made().filter(|_| is_new) {
            made.remember(name);
        }
        Ok(())
    }
    /// Deletes a topic. It is no error if there is none of that name; the embedded broker cannot delete any, and keeps
    /// it for as long as this process lives.
    pub async fn delete_topic(&self, name: &str) -> Result<(), StackError> {
        let deleted = self.client.delete_topics(&[name]).await;
        deleted.map_err(StackError::request(Server::Kafka, format!("delete topic `{name}`")))?;
        if let Some(made) = self.made() {
            made.forget(name);
        }
        Ok(())
    }
}
