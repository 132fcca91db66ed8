//! Results of expensive queries, kept at the store's boundary. Apart from the endpoint cache: one request may look into
//! both.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

use crate::usecases::Endpoint;

/// Held handles; cheap to clone. The queries are slow and their lookups rare, so series are found by label.
#[derive(Clone)]
pub struct QueryCacheMetrics(Family<[(&'static str, &'static str); 2], Counter>);

impl QueryCacheMetrics {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let lookups = Family::default();
        registry.register(
            "query_cache_lookups",
            "Results of expensive queries that were kept (hit) or not (miss)",
            lookups.clone(),
        );
        Self(lookups)
    }

    /// Counts a lookup of the query behind an endpoint.
    pub fn count(&self, endpoint: Endpoint, hit: bool) {
        let result = if hit { "hit" } else { "miss" };
        let labels = [("query", endpoint.name()), ("result", result)];
        self.0.get_or_create_owned(&labels).inc();
    }
}
