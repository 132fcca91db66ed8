//! Kafka: where it is, what the topic and the group are called, and the bounds of both ends. Batching, compression, the
//! form of events and the consumer's tuning are profile switches.

use std::time::Duration;

use super::reader::{Reader, one_of, whole_from_0, whole_from_1};

/// The relay hands over whole batches, and what comes while one is on its way shares the next: a wait would add itself
/// to the journey to a screen (5 ms), for 4 % fewer bytes at 50 events a second (docs/PHASE2-REPORT.md).
const DEFAULT_LINGER_MS: u64 = 0;
/// Twenty times the relay's batch, so that its queue is never what fails first.
const DEFAULT_QUEUE_MESSAGES: u64 = 10_000;
/// 1.6 KiB for each of those messages, ten times what an event has.
const DEFAULT_QUEUE_KIB: u64 = 16_384;
/// Some 50 MB of Postgres, and minutes of a full write load: a longer outage is told to writers.
const DEFAULT_OUTBOX_MAX_ROWS: u64 = 100_000;
/// Longer than an event can come again by itself: the outbox repeats after seconds, the group after an outage.
const DEFAULT_INBOX_KEEP_S: u64 = 6 * 60 * 60;
/// An event that no attempt can work off is put aside after the fifth, some three seconds after the first.
const DEFAULT_ATTEMPTS: u64 = 5;

/// How the members of a group agree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GroupProtocol {
    /// The members agree among themselves.
    Classic,
    /// The broker decides (KIP-848, Kafka 4.0 and later).
    Consumer,
}

const PROTOCOLS: &[(&str, GroupProtocol)] = &[
    ("classic", GroupProtocol::Classic),
    ("consumer", GroupProtocol::Consumer),
];

/// The Kafka side.
#[derive(Debug, Clone)]
pub struct KafkaConfig {
    /// `KAFKA_BROKERS`, `host:port[,host:port]`, no default.
    pub brokers: String,
    /// `KAFKA_TOPIC`, name, default `trip-events`: where recorded trips are announced.
    pub topic: String,
    /// `KAFKA_GROUP`, name, default `insurance-service`: the replicas of one group share the work.
    pub group: String,
    /// `KAFKA_GROUP_PROTOCOL`, `classic` or `consumer`, default `classic`: whether the members of the group agree among
    /// themselves or the broker decides (Kafka 4.0 and later).
    pub group_protocol: GroupProtocol,
    /// `KAFKA_LINGER_MS`, milliseconds, default 0: how long a message waits for company while `KAFKA_BATCHING` is on.
    /// 50 and more for most throughput, at that much latency.
    pub linger_ms: u64,
    /// `KAFKA_QUEUE_MESSAGES`, messages, default 10000: how many may wait in this process for Kafka. When the queue is
    /// full the relay waits, and events stay in the outbox.
    pub queue_messages: u64,
    /// `KAFKA_QUEUE_KIB`, KiB, default 16384: the same in bytes.
    pub queue_kib: u64,
    /// `EVENT_OUTBOX_MAX_ROWS`, events, default 100000: while so many wait for Kafka, writes are refused with 503.
    pub outbox_max_rows: u64,
    /// `EVENT_INBOX_KEEP_S`, seconds, default 21600: how long an event that comes again is known.
    pub inbox_keep: Duration,
    /// `EVENT_ATTEMPTS`, attempts, default 5: how often an event is worked off that fails by its own fault, before it
    /// is put aside as a dead letter. One that fails because something is away is tried until it is back.
    pub attempts: u64,
}

impl KafkaConfig {
    /// The topic of events that could not be worked off, by Spring's rule.
    pub fn dead_letters(&self) -> String {
        format!("{}.DLT", self.topic)
    }
}

impl KafkaConfig {
    pub(super) fn read(reader: &mut Reader<'_>) -> Self {
        Self {
            brokers: brokers(reader),
            topic: reader.or("KAFKA_TOPIC", "trip-events".to_owned(), name),
            group: reader.or("KAFKA_GROUP", "insurance-service".to_owned(), name),
            group_protocol: reader.or("KAFKA_GROUP_PROTOCOL", GroupProtocol::Classic, one_of(PROTOCOLS)),
            linger_ms: reader.or("KAFKA_LINGER_MS", DEFAULT_LINGER_MS, whole_from_0(10_000)),
            queue_messages: reader.or("KAFKA_QUEUE_MESSAGES", DEFAULT_QUEUE_MESSAGES, whole_from_1(10_000_000)),
            queue_kib: reader.or("KAFKA_QUEUE_KIB", DEFAULT_QUEUE_KIB, whole_from_1(2_097_151)),
            outbox_max_rows: reader.or(
                "EVENT_OUTBOX_MAX_ROWS",
                DEFAULT_OUTBOX_MAX_ROWS,
                whole_from_1(100_000_000),
            ),
            inbox_keep: Duration::from_secs(reader.or(
                "EVENT_INBOX_KEEP_S",
                DEFAULT_INBOX_KEEP_S,
                whole_from_1(30 * 24 * 60 * 60),
            )),
            attempts: reader.or("EVENT_ATTEMPTS", DEFAULT_ATTEMPTS, whole_from_1(100)),
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
