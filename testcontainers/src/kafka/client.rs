//! By what a broker is used and administered, a real one or the embedded one.

use std::sync::Arc;

use super::admin::Admin;
use super::embedded::EmbeddedKafka;

/// The way to a broker.
#[derive(Clone)]
pub struct Client {
    pub(super) brokers: String,
    pub(super) reach: Reach,
}

#[derive(Clone)]
pub(super) enum Reach {
    Broker(Admin),
    /// The broker itself, which lives as long as this.
    Embedded(Arc<EmbeddedKafka>),
}

impl Client {
    /// Whether the topic was made by this call; one that was there already is left as it is.
    pub(super) async fn create_topic(&self, name: &str, partitions: i32) -> Result<bool, String> {
        let created = match &self.reach {
            Reach::Broker(admin) => admin.create_topic(name, partitions).await,
            Reach::Embedded(broker) => broker.create_topic(name, partitions),
        };
        created.map_err(|error| error.to_string())
    }

    /// Deletes those that are there, which the embedded broker cannot.
    pub(super) async fn delete_topics(&self, names: &[&str]) -> Result<(), String> {
        match &self.reach {
            Reach::Broker(admin) => admin.delete_topics(names).await.map_err(|error| error.to_string()),
            Reach::Embedded(_) => Ok(()),
        }
    }
}
