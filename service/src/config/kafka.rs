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
            brokers: reader.required("KAFKA_BROKERS", "127.0.0.1:9092"),
            topic: reader.or("KAFKA_TOPIC", "trip-events".to_owned(), name),
            group: reader.or("KAFKA_GROUP", "insurance-service".to_owned(), name),
        }
    }
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
