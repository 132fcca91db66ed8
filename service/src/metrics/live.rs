//! Live clients: how many, what waits for them, what they got and missed.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use super::registered;

/// Upper bounds in seconds, around the goals of 10, 25 and 50 ms.
const LATENCY_BUCKETS_S: [f64; 12] = [
    0.002, 0.004, 0.006, 0.008, 0.01, 0.015, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0,
];

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReasonLabels {
    reason: &'static str,
}

type ByReason = Family<ReasonLabels, Counter>;

/// Held handles; cheap to clone.
#[derive(Debug, Clone)]
pub struct LiveMetrics {
    /// Connected clients.
    pub clients: Gauge,
    /// Bytes that wait for clients.
    pub queued_bytes: Gauge,
    /// Events that found no room in a client's queue.
    pub dropped: Counter,
    /// Frames that were sent.
    pub frames: Counter,
    /// Their bytes.
    pub bytes: Counter,
    /// Events in them.
    pub events: Counter,
    /// Events that Kafka has delivered twice and that were shown once.
    pub repeated: Counter,
    /// From an event to the socket of a client, in seconds.
    pub latency: Histogram,
    refused: ByReason,
    closed: ByReason,
    resumed: ByReason,
}

impl LiveMetrics {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let mut gauge = |name, help| registered(registry, name, help, Gauge::default());
        let clients = gauge("live_clients", "Connected live clients");
        let queued_bytes = gauge("live_queued_bytes", "Bytes that wait for live clients");
        let mut counter = |name, help| registered(registry, name, help, Counter::default());
        let dropped = counter("live_events_dropped", "Events that found no room in a client's queue");
        let frames = counter("live_frames", "Frames sent to live clients");
        let bytes = counter("live_bytes", "Bytes sent to live clients");
        let events = counter("live_events", "Events sent to live clients");
        let repeated = counter(
            "live_events_repeated",
            "Events that Kafka delivered twice and that were shown once",
        );
        let mut by_reason = |name, help, reasons: &[&'static str]| {
            let counts = registered(registry, name, help, ByReason::default());
            // From the start, so that a rule sees the first of them as an increase.
            for reason in reasons {
                let _zero = counts.get_or_create_owned(&ReasonLabels { reason });
            }
            counts
        };
        Self {
            clients,
            queued_bytes,
            dropped,
            frames,
            bytes,
            events,
            repeated,
            refused: by_reason(
                "live_refused",
                "Live clients that were not let in, by reason",
                &["full", "rate", "closed"],
            ),
            closed: by_reason(
                "live_closed",
                "Live clients that the service has disconnected, by reason",
                &["restart", "protocol", "token", "slow", "silent"],
            ),
            resumed: by_reason(
                "live_resumes",
                "Live clients that came back with a position, by outcome",
                &["replayed", "reload_epoch", "reload_too_old", "reload_too_much"],
            ),
            latency: registered(
                registry,
                "live_latency_seconds",
                "From an event to the socket of a live client",
                Histogram::new(LATENCY_BUCKETS_S),
            ),
        }
    }

    /// A client was not let in.
    pub fn refused(&self, reason: &'static str) {
        self.refused.get_or_create_owned(&ReasonLabels { reason }).inc();
    }

    /// A client was disconnected.
    pub fn closed(&self, reason: &'static str) {
        self.closed.get_or_create_owned(&ReasonLabels { reason }).inc();
    }

    /// A client came back.
    pub fn resumed(&self, reason: &'static str) {
        self.resumed.get_or_create_owned(&ReasonLabels { reason }).inc();
    }
}
