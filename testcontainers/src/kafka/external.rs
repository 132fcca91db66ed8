//! Brokers that somebody else runs. They are left as they were found: topics made through the handle are deleted at the
//! end, nothing else is touched.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::Facts;
use super::admin::Admin;
use crate::choose::address;
use crate::cleanup;
use crate::error::StackError;
use crate::info::Server;
use crate::options::External;

const SERVER: Server = Server::Kafka;

/// External brokers and the topics that must go again.
#[derive(Debug)]
pub(super) struct ExternalKafka {
    brokers: String,
    admin: Admin,
    // Never held across an await: only names go in and out.
    made: Mutex<BTreeSet<String>>,
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
    let admin = Admin::new(&brokers).map_err(|error| unusable(error.to_string()))?;
    let cluster = admin.cluster().await.map_err(unusable)?;
    let facts = Facts {
        version: "of unknown version".to_owned(),
        settings: admin.settings(&cluster).await,
        note: None,
    };
    let kafka = ExternalKafka {
        brokers,
        admin,
        made: Mutex::default(),
    };
    Ok((kafka, facts))
}

impl ExternalKafka {
    pub(super) fn brokers(&self) -> &str {
        &self.brokers
    }

    /// Only a topic that this call brought into being is remembered for deletion.
    pub(super) async fn create_topic(&self, name: &str, partitions: i32) -> Result<(), StackError> {
        let made = self.admin.create_topic(name, partitions).await;
        if made.map_err(super::topic_failed(name, partitions))? {
            self.made().insert(name.to_owned());
        }
        Ok(())
    }

    /// Deletes the topics made here and reports a failure.
    pub(super) async fn delete_made(self) -> Result<(), StackError> {
        let names = self.made().clone();
        delete(self.admin.clone(), names).await?;
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
        let deleting = delete(self.admin.clone(), names);
        if let Err(error) = cleanup::run_to_end(SERVER, deleting) {
            tracing::warn!(%error, "topics are left on an external broker");
        }
    }
}

async fn delete(admin: Admin, names: BTreeSet<String>) -> Result<(), StackError> {
    if names.is_empty() {
        return Ok(());
    }
    let topics: Vec<&str> = names.iter().map(String::as_str).collect();
    let deleted = admin.delete_topics(&topics).await;
    deleted.map_err(StackError::request(
        SERVER,
        format!("delete topics {}", topics.join(", ")),
    ))
}
