//! Kafka: where it is, what the topic and the group are called. Batching is a profile switch.

use super::reader::Reader;

/// The Kafka side.
#[derive(Debug, Clone)]
pub struct KafkaConfig {
    /// `KAFKA_BROKERS`, `host:port[,host:port]`, no default.
    pub brokers: String,
    /// `KAFKA_TOPIC`, name, default `trip-events`: where recorded trips are announced.
    pub topic: String,
    /// `KAFKA_GROUP`, name, default `insurance-service`: the replicas of one group share the work.
    pub group: String,
}

impl KafkaConfig {
    pub(super) fn read(reader: &mut Reader<'_>) -> Self {
        Self {
            brokers: brokers(reader),
            topic: reader.or("KAFKA_TOPIC", "trip-events".to_owned(), name),
            group: reader.or("KAFKA_GROUP", "insurance-service".to_owned(), name),
        }
    }
}

fn brokers(reader: &mut Reader<'_>) -> String {
    let brokers = reader.required("KAFKA_BROKERS", "127.0.0.1:9092");
    for broker in brokers.split(',') {
        let (protocol, address) = broker.trim().split_once("://").unwrap_or(("PLAINTEXT", broker));
        if !protocol.eq_ignore_ascii_case("PLAINTEXT") {
            reader.refuse(
                "KAFKA_BROKERS",
                format!(
                    "asks for {protocol}, but this build speaks PLAINTEXT alone, without TLS and SASL; give a \
                     PLAINTEXT listener of a private network, or a local proxy"
                ),
            );
        } else if address.contains(['@', '/']) {
            reader.refuse("KAFKA_BROKERS", "is not host:port[,host:port]".to_owned());
        }
    }
    brokers
}

/// Reads a name that Kafka accepts (`org.apache.kafka.common.internals.Topic`): at most 249 of `[a-zA-Z0-9._-]`.
fn name(text: &str) -> Result<String, String> {
    let legal = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    if text.len() <= 249 && text.chars().all(legal) {
        Ok(text.to_owned())
    } else {
        Err(format!(
            "`{text}` is not a Kafka name: at most 249 letters, digits, `.`, `_` and `-`"
        ))
    }
}
