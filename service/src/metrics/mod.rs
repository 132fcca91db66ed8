//! Prometheus metrics, by the plan's names.
//!
//! What belongs here: the families, their labels and buckets, and handles that are resolved once. A request never looks
//! a metric up by its labels: that costs more than some of the handlers.

mod cache;
mod database;
mod events;
mod faults;
mod http;
mod kafka;
mod live;
mod query_cache;
mod text;

pub use cache::CacheMetrics;
pub use database::DatabaseMetrics;
pub use events::EventMetrics;
pub use faults::FaultMetrics;
pub use http::{HttpMetrics, RouteMetrics};
pub use kafka::KafkaMetrics;
pub use live::LiveMetrics;
pub use query_cache::QueryCacheMetrics;
pub use text::Format;

use prometheus_client::registry::{Metric, Registry};

use crate::errors::Cause;

/// Upper bounds in seconds, from an L1 hit (some 20 us) to a request that waits for a pool (10 s): a 1-2-5 ladder, fine
/// where the plan's targets lie (1 to 15 ms).
const LATENCY_BUCKETS_S: [f64; 18] = [
    0.000_02, 0.000_05, 0.000_1, 0.000_2, 0.000_5, 0.001, 0.002, 0.003, 0.005, 0.008, 0.01, 0.015, 0.03, 0.05, 0.1,
    0.5, 2.0, 10.0,
];

/// Registers `metric` and gives the handle to keep.
fn registered<M: Metric + Clone>(registry: &mut Registry, name: &str, help: &str, metric: M) -> M {
    registry.register(name, help, metric.clone());
    metric
}

/// All metrics and the registry that renders them.
pub struct Metrics {
    registry: Registry,
    /// Requests by route.
    pub http: HttpMetrics,
    /// Cache lookups by endpoint.
    pub cache: CacheMetrics,
    /// Results of expensive queries.
    pub queries: QueryCacheMetrics,
    /// The consumer and the outbox.
    pub events: EventMetrics,
    /// The clients of Kafka.
    pub kafka: KafkaMetrics,
    /// Live clients.
    pub live: LiveMetrics,
    /// The database's pool.
    pub database: DatabaseMetrics,
    /// Faults on purpose.
    pub faults: FaultMetrics,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::default();
        let http = HttpMetrics::register(&mut registry);
        let cache = CacheMetrics::register(&mut registry);
        let queries = QueryCacheMetrics::register(&mut registry);
        let events = EventMetrics::register(&mut registry);
        let kafka = KafkaMetrics::register(&mut registry);
        let live = LiveMetrics::register(&mut registry);
        let database = DatabaseMetrics::register(&mut registry);
        let faults = FaultMetrics::register(&mut registry);
        Self {
            registry,
            http,
            cache,
            queries,
            events,
            kafka,
            live,
            database,
            faults,
        }
    }
}

impl Metrics {
    /// Everything in the `OpenMetrics` text format.
    pub fn render(&self) -> Result<String, Cause> {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &self.registry).map_err(Cause::new)?;
        Ok(text)
    }
}
