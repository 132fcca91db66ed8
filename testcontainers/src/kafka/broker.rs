//! What every broker started here has in common, natively or in a container: its settings and the questions by which it is
//! known to be up.
//!
//! Besides the listener for clients it has one for administration: what clients are told to connect to may be a proxy that
//! does not let anything pass, and our own requests must get through all the same.

use super::Facts;
use super::admin::Admin;

/// One broker that is its own controller (`KRaft`). Topics are made by whoever needs them, so that a misspelt name is an
/// error; producers choose the compression; a consumer group does not wait for members that nobody announced. What is
/// replicated by default is not, because there is one broker.
pub(super) const SETTINGS: [(&str, &str); 17] = [
    ("process.roles", "broker,controller"),
    ("node.id", "1"),
    ("controller.listener.names", "CONTROLLER"),
    ("inter.broker.listener.name", "INTERNAL"),
    (
        "listener.security.protocol.map",
        "PLAINTEXT:PLAINTEXT,ADMIN:PLAINTEXT,INTERNAL:PLAINTEXT,CONTROLLER:PLAINTEXT",
    ),
    ("auto.create.topics.enable", "false"),
    ("compression.type", "producer"),
    ("num.partitions", "1"),
    ("default.replication.factor", "1"),
    ("offsets.topic.num.partitions", "4"),
    ("offsets.topic.replication.factor", "1"),
    ("transaction.state.log.num.partitions", "4"),
    ("transaction.state.log.replication.factor", "1"),
    ("transaction.state.log.min.isr", "1"),
    ("share.coordinator.state.topic.replication.factor", "1"),
    ("share.coordinator.state.topic.min.isr", "1"),
    ("group.initial.rebalance.delay.ms", "0"),
];
/// Enough for one broker under test load; unbounded, the JVM would take a quarter of the machine.
pub(super) const HEAP: &str = "-Xms256m -Xmx512m";

/// An identity that only this start knows, by which its broker is told from another on the same port: 22 characters of
/// base64, as Kafka wants them. Hexadecimal digits are such characters, and so are the zeros at the end.
pub(super) fn random_cluster_id() -> String {
    format!("{:016x}AAAAAA", rand::random::<u64>())
}

/// Asks once whether the broker of this cluster is up: the one that `admin` leads to, and that clients find at `brokers`.
/// Both, because it opens its listeners one after the other, and gives up if the port of one is taken.
pub(super) async fn ask(admin: &Admin, brokers: &str, cluster_id: &str) -> Result<Facts, String> {
    let cluster = admin.cluster().await?;
    is_ours(cluster.id.as_deref(), cluster_id)?;
    // A connection of its own, used once: it must not follow the address that the broker tells its clients.
    let as_client = Admin::new(brokers).map_err(|error| error.to_string())?;
    is_ours(as_client.cluster_id().await?.as_deref(), cluster_id)?;
    let mut settings = admin.settings(&cluster).await;
    settings.insert("heap".to_owned(), HEAP.to_owned());
    Ok(Facts {
        version: String::new(),
        settings,
        note: None,
    })
}

fn is_ours(found: Option<&str>, cluster_id: &str) -> Result<(), String> {
    let ours = found == Some(cluster_id);
    ours.then_some(())
        .ok_or_else(|| "another broker answers on its port, or none".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cluster_ids_are_of_kafkas_form_and_differ() {
        let (one, other) = (random_cluster_id(), random_cluster_id());
        assert_eq!(one.len(), 22);
        assert!(one.chars().all(|c| c.is_ascii_alphanumeric()), "{one}");
        assert_ne!(one, other);
    }
}
