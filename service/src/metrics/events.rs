//! Events on their way: outbox, Kafka, consumer.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::registry::Registry;

/// Held handles; cheap to clone.
#[derive(Clone, Default)]
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
}

impl EventMetrics {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        let mut counter = |name, help, counter: &Counter| registry.register(name, help, counter.clone());
        counter(
            "trip_events_published",
            "Trip events that Kafka acknowledged",
            &metrics.published,
        );
        counter(
            "trip_event_publish_failures",
            "Batches that will be published again",
            &metrics.publish_failures,
        );
        counter("trip_events_consumed", "Trip events worked off", &metrics.consumed);
        counter(
            "trip_events_undecodable",
            "Trip events passed over because unreadable",
            &metrics.undecodable,
        );
        counter("drivers_rescored", "Drivers scored anew after trips", &metrics.rescored);
        metrics
    }
}
