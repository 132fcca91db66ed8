//! What librdkafka tells of its clients, and how far the group is behind.

use std::collections::HashMap;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, PoisonError};

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use rdkafka::Statistics;

use super::registered;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ClientLabels {
    client: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PartitionLabels {
    partition: i32,
}

type Counts = Family<ClientLabels, Counter>;
type Seconds = Family<ClientLabels, Gauge<f64, AtomicU64>>;

/// Totals that a client has told, by name.
type Told = HashMap<(&'static str, &'static str), u64>;

/// Held handles; cheap to clone.
#[derive(Clone)]
pub struct KafkaMetrics {
    bytes_sent: Counts,
    bytes_received: Counts,
    messages: Counts,
    message_bytes: Counts,
    round_trip_s: Seconds,
    queue_messages: Gauge,
    queue_bytes: Gauge,
    batch_messages: Gauge<f64, AtomicU64>,
    batch_bytes: Gauge<f64, AtomicU64>,
    /// Attempts to publish that had to wait, because the producer's queue was full.
    pub queue_full: Counter,
    /// Changes of this replica's place in its group.
    pub rebalances: Counter,
    offset_lag: Family<PartitionLabels, Gauge>,
    /// What was told last, so that totals become counters. Held for a look; never across an await.
    told: Arc<Mutex<Told>>,
}

impl KafkaMetrics {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let mut counts = |name, help| registered(registry, name, help, Counts::default());
        let bytes_sent = counts("kafka_bytes_sent", "Bytes sent to brokers, as on the wire");
        let bytes_received = counts("kafka_bytes_received", "Bytes received from brokers, as on the wire");
        let messages = counts(
            "kafka_messages",
            "Messages that a producer has sent, or a consumer has received",
        );
        let message_bytes = counts("kafka_message_bytes", "The same in bytes, before compression");
        let mut gauge = |name, help| registered(registry, name, help, Gauge::<f64, AtomicU64>::default());
        let batch_messages = gauge(
            "kafka_producer_batch_messages",
            "Messages of a batch, mean of the last second that had any",
        );
        let batch_bytes = gauge(
            "kafka_producer_batch_bytes",
            "Bytes of a batch, mean of the last second that had any",
        );
        let mut gauge = |name, help| registered(registry, name, help, Gauge::default());
        Self {
            bytes_sent,
            bytes_received,
            messages,
            message_bytes,
            batch_messages,
            batch_bytes,
            queue_messages: gauge(
                "kafka_producer_queue_messages",
                "Messages that wait for Kafka in this process",
            ),
            queue_bytes: gauge("kafka_producer_queue_bytes", "The same in bytes"),
            queue_full: registered(
                registry,
                "kafka_producer_queue_full",
                "Messages that had to wait, because the producer's queue was full",
                Counter::default(),
            ),
            rebalances: registered(
                registry,
                "kafka_consumer_rebalances",
                "Changes of this replica's place in its group",
                Counter::default(),
            ),
            offset_lag: registered(
                registry,
                "kafka_consumer_offset_lag",
                "Messages of a partition that the group has not committed",
                Family::default(),
            ),
            round_trip_s: registered(
                registry,
                "kafka_round_trip_seconds",
                "Round trip to the slowest broker, p99 of the last second that had any",
                Seconds::default(),
            ),
            told: Arc::default(),
        }
    }

    /// The producer tells.
    pub fn producer(&self, statistics: &Statistics) {
        const CLIENT: &str = "producer";
        self.client(CLIENT, statistics);
        self.count(&self.messages, CLIENT, "messages", statistics.txmsgs);
        self.count(&self.message_bytes, CLIENT, "message bytes", statistics.txmsg_bytes);
        self.queue_messages.set(whole(statistics.msg_cnt));
        self.queue_bytes.set(whole(statistics.msg_size));
        // A second without batches has no mean: the one before stays.
        let batches = statistics.topics.values().max_by_key(|topic| topic.batchcnt.cnt);
        if let Some(busiest) = batches.filter(|topic| topic.batchcnt.cnt > 0) {
            self.batch_messages.set(busiest.batchcnt.avg as f64);
            self.batch_bytes.set(busiest.batchsize.avg as f64);
        }
    }

    /// A consumer tells.
    pub fn consumer(&self, client: &'static str, statistics: &Statistics) {
        self.client(client, statistics);
        self.count(&self.messages, client, "messages", statistics.rxmsgs);
        self.count(&self.message_bytes, client, "message bytes", statistics.rxmsg_bytes);
    }

    /// So many messages of a partition are left.
    pub fn offset_lag(&self, partition: i32, lag: i64) {
        self.offset_lag
            .get_or_create_owned(&PartitionLabels { partition })
            .set(lag);
    }

    fn client(&self, client: &'static str, statistics: &Statistics) {
        self.count(&self.bytes_sent, client, "bytes sent", statistics.tx_bytes);
        self.count(&self.bytes_received, client, "bytes received", statistics.rx_bytes);
        let asked = statistics
            .brokers
            .values()
            .filter_map(|broker| broker.rtt.as_ref())
            .filter(|rtt| rtt.cnt > 0);
        if let Some(slowest_us) = asked.map(|rtt| rtt.p99).max() {
            let round_trip = self.round_trip_s.get_or_create_owned(&ClientLabels { client });
            round_trip.set(slowest_us as f64 / 1e6);
        }
    }

    /// A total of librdkafka's is a counter here: what it has grown by is added.
    fn count(&self, counts: &Counts, client: &'static str, name: &'static str, total: i64) {
        let total = u64::try_from(total).unwrap_or_default();
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let before = told.insert((client, name), total).unwrap_or_default();
        drop(told);
        let counter = counts.get_or_create_owned(&ClientLabels { client });
        counter.inc_by(total.saturating_sub(before));
    }
}

fn whole(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
