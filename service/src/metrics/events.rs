//! Events on their way: outbox, Kafka, consumer.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use super::registered;
use crate::store::Waiting;

/// Upper bounds in seconds, around the goals of 250 ms and a second.
const LAG_BUCKETS_S: [f64; 14] = [
    0.005, 0.01, 0.025, 0.05, 0.1, 0.15, 0.2, 0.25, 0.35, 0.5, 1.0, 2.0, 5.0, 30.0,
];

/// Held handles; cheap to clone.
#[derive(Clone)]
pub struct EventMetrics {
    /// Events that Kafka has acknowledged.
    pub published: Counter,
    /// Attempts to publish a batch that failed and will be repeated.
    pub publish_failures: Counter,
    /// Messages taken from Kafka and worked off.
    pub consumed: Counter,
    /// Messages that could not be decoded and were put aside.
    pub undecodable: Counter,
    /// Messages that were put aside, because they cannot be decoded or fail again and again.
    pub dead_letters: Counter,
    /// Times that a partition was paused, because too many of its messages waited.
    pub pauses: Counter,
    /// Writes that were refused, because too many events wait for Kafka.
    pub refused_writes: Counter,
    /// Events that had been taken in before and changed nothing.
    pub repeated: Counter,
    /// Drivers scored anew (several messages of one batch may be one).
    pub rescored: Counter,
    /// Attempts to work off a batch that failed and will be repeated.
    pub retries: Counter,
    /// Since when the batches in work are in work; kept by [`EventMetrics::begin_batch`].
    began: Arc<Mutex<BatchesInWork>>,
    batch_age_s: Gauge<f64, AtomicU64>,
    partitions: Gauge,
    waiting: Gauge,
    oldest_waiting_s: Gauge<f64, AtomicU64>,
    /// From the time that a message carries until it is worked off, in seconds.
    pub lag: Histogram,
}

impl EventMetrics {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let metrics = Self::counting(registry);
        registry.register(
            "trip_event_batch_age_seconds",
            "How long the consumer has been at work on its oldest batch; 0 between batches",
            metrics.batch_age_s.clone(),
        );
        registry.register(
            "trip_event_partitions",
            "Partitions assigned to this replica; -1 without a place in the group",
            metrics.partitions.clone(),
        );
        registry.register(
            "event_outbox_rows",
            "Events that are not published yet, of all replicas; counted to 10000",
            metrics.waiting.clone(),
        );
        registry.register(
            "event_outbox_oldest_seconds",
            "Age of the oldest event that is not published yet",
            metrics.oldest_waiting_s.clone(),
        );
        metrics
    }

    /// A batch is in work from now on, until the answer is dropped.
    pub fn begin_batch(&self) -> BatchInWork {
        let mut began = self.began.lock().unwrap_or_else(PoisonError::into_inner);
        began.last += 1;
        let number = began.last;
        began.open.insert(number, Instant::now());
        BatchInWork {
            number,
            began: Arc::clone(&self.began),
        }
    }

    /// Sets the gauges of the consumer; called when metrics are rendered.
    pub fn set_consumer(&self, partitions: Option<usize>) {
        let began = self.began.lock().unwrap_or_else(PoisonError::into_inner);
        let began = began.open.values().next().copied();
        self.batch_age_s
            .set(began.map_or(0.0, |began| began.elapsed().as_secs_f64()));
        let partitions = partitions.and_then(|partitions| i64::try_from(partitions).ok());
        self.partitions.set(partitions.unwrap_or(-1));
    }

    /// Sets the gauges of the outbox; called when metrics are rendered.
    pub fn set_waiting(&self, waiting: &Waiting) {
        self.waiting.set(waiting.events);
        self.oldest_waiting_s.set(waiting.oldest_event_s);
    }

    fn counting(registry: &mut Registry) -> Self {
        let mut counter = |name, help| registered(registry, name, help, Counter::default());
        Self {
            published: counter("trip_events_published", "Trip events that Kafka acknowledged"),
            publish_failures: counter("trip_event_publish_failures", "Batches that will be published again"),
            consumed: counter("trip_events_consumed", "Trip events worked off"),
            undecodable: counter("trip_events_undecodable", "Events put aside because unreadable"),
            dead_letters: counter("events_dead_lettered", "Events put aside as dead letters"),
            pauses: counter(
                "event_partition_pauses",
                "Times that a partition had to wait for the consumer",
            ),
            refused_writes: counter(
                "event_outbox_refused_writes",
                "Writes refused because the outbox is full",
            ),
            repeated: counter("events_repeated", "Events that came again and changed nothing"),
            retries: counter("trip_event_batch_retries", "Batches that will be worked off again"),
            began: Arc::default(),
            batch_age_s: Gauge::default(),
            partitions: Gauge::default(),
            waiting: Gauge::default(),
            oldest_waiting_s: Gauge::default(),
            rescored: counter("drivers_rescored", "Drivers scored anew after events"),
            lag: registered(
                registry,
                "trip_event_lag_seconds",
                "From the time that a message carries until it is worked off",
                Histogram::new(LAG_BUCKETS_S),
            ),
        }
    }
}

/// A batch in work.
#[must_use = "the batch is in work until this is dropped"]
pub struct BatchInWork {
    number: u64,
    began: Arc<Mutex<BatchesInWork>>,
}

/// Batches in work by number: the first is the oldest. As many as the consumer has lanes.
#[derive(Default)]
struct BatchesInWork {
    last: u64,
    open: BTreeMap<u64, Instant>,
}

impl Drop for BatchInWork {
    fn drop(&mut self) {
        let mut began = self.began.lock().unwrap_or_else(PoisonError::into_inner);
        began.open.remove(&self.number);
    }
}
