//! What stands beside a message: the name of its schema, and, on a dead letter, where it came from and why it is one,
//! by the names of Spring Kafka (`org.springframework.kafka.support.KafkaHeaders`), so that its tools read them.

use rdkafka::Message;
use rdkafka::message::{Header, Headers, OwnedHeaders, OwnedMessage, Timestamp};

/// Name of the header that names the schema.
const SCHEMA: &str = "schema";
/// What the names of all headers of dead letters begin with.
const DEAD_LETTER: &str = "kafka_dlt-";

/// Why a message is put aside.
#[derive(Debug, Clone)]
pub(super) struct Why {
    /// Name of the error, stable.
    pub(super) class: &'static str,
    /// Its text.
    pub(super) message: String,
}

/// The headers of an event.
pub(super) fn of_event(schema: &str) -> OwnedHeaders {
    OwnedHeaders::new_with_capacity(1).insert(Header {
        key: SCHEMA,
        value: Some(schema),
    })
}

/// The schema that a message's headers name; empty when they name none.
pub(crate) fn schema<H: Headers>(headers: Option<&H>) -> String {
    let named = headers.and_then(|headers| headers.iter().find(|header| header.key == SCHEMA)?.value);
    named
        .map(|name| String::from_utf8_lossy(name).into_owned())
        .unwrap_or_default()
}

/// The headers of `message` as a dead letter: its own, and where it came from. Numbers are big-endian, as Spring writes
/// them.
pub(super) fn of_dead_letter(message: &OwnedMessage, group: &str, why: &Why) -> OwnedHeaders {
    let (kind, made_ms) = match message.timestamp() {
        Timestamp::CreateTime(ms) => ("CreateTime", ms),
        Timestamp::LogAppendTime(ms) => ("LogAppendTime", ms),
        Timestamp::NotAvailable => ("NoTimestampType", -1),
    };
    let origin: [(&str, &[u8]); 8] = [
        ("original-topic", message.topic().as_bytes()),
        ("original-partition", &message.partition().to_be_bytes()),
        ("original-offset", &message.offset().to_be_bytes()),
        ("original-timestamp", &made_ms.to_be_bytes()),
        ("original-timestamp-type", kind.as_bytes()),
        ("original-consumer-group", group.as_bytes()),
        ("exception-fqcn", why.class.as_bytes()),
        ("exception-message", why.message.as_bytes()),
    ];
    origin.into_iter().fold(original(message), |headers, (name, value)| {
        headers.insert(Header {
            key: &format!("{DEAD_LETTER}{name}"),
            value: Some(value),
        })
    })
}

/// The headers of a message without those of a dead letter.
pub(super) fn original(message: &OwnedMessage) -> OwnedHeaders {
    let own = message.headers().into_iter().flat_map(Headers::iter);
    own.filter(|header| !header.key.starts_with(DEAD_LETTER))
        .fold(OwnedHeaders::new(), OwnedHeaders::insert)
}

/// The topic that a dead letter came from, if it says so.
pub(super) fn original_topic(letter: &OwnedMessage) -> Option<String> {
    told(letter, "original-topic")
}

/// Why a dead letter is one, in words.
pub(super) fn why(letter: &OwnedMessage) -> String {
    let told = |name| told(letter, name).unwrap_or_default();
    format!("{}: {}", told("exception-fqcn"), told("exception-message"))
}

fn told(letter: &OwnedMessage, name: &str) -> Option<String> {
    let named = |key: &str| key.strip_prefix(DEAD_LETTER) == Some(name);
    let value = letter.headers()?.iter().find(|header| named(header.key))?.value?;
    Some(String::from_utf8_lossy(value).into_owned())
}
