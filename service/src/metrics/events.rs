//! Events on their way: outbox, Kafka, consumer.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use super::registered;

/// Upper bounds in seconds, around the goal of a second.
const LAG_BUCKETS_S: [f64; 10] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0];

/// Held handles; cheap to clone.
#[derive(Clone)]
pub struct EventMetrics {
    /// Events that Kafka has acknowledged.
    pub published: Counter,
    /// Attempts to publish a batch that failed and will be repeated.
    pub publish_failures: Counter,
    /// Messages taken from Kafka and worked off.
    pub consumed: Counter,
    /// Messages that could not be decoded and were passed over.
    pub undecodable: Counter,
    /// Drivers scored anew (several messages of one batch may be one).
    pub rescored: Counter,
    /// From the time that a message carries until it is worked off, in seconds.
    pub lag: Histogram,
}

impl EventMetrics {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let mut counter = |name, help| registered(registry, name, help, Counter::default());
        Self {
            published: counter("trip_events_published", "Trip events that Kafka acknowledged"),
            publish_failures: counter("trip_event_publish_failures", "Batches that will be published again"),
            consumed: counter("trip_events_consumed", "Trip events worked off"),
            undecodable: counter("trip_events_undecodable", "Trip events passed over because unreadable"),
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
