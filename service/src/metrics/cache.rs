//! Cache lookups by endpoint and tier, as the cache's observer reports them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use tiered_cache::{Observer, Stats, Tier};

use super::LATENCY_BUCKETS_S;
use crate::store::Waiting;
use crate::usecases::Endpoint;

/// Names and values of `N` labels.
type Labels<const N: usize> = [(&'static str, &'static str); N];

/// Held handles; cheap to clone. No series exists before the first lookup, so with the cache off none is counted.
#[derive(Clone)]
pub struct CacheMetrics {
    hits: Family<Labels<2>, Counter>,
    misses: Family<Labels<1>, Counter>,
    latency: Family<Labels<2>, Histogram, fn() -> Histogram>,
    l1_bytes: Gauge,
    memory: Family<Labels<1>, Gauge>,
    redis_max_bytes: Gauge,
    l1_open: Gauge,
    l2_open: Gauge,
    bypassed_tags: Gauge,
    open_invalidations: Gauge,
    oldest_invalidation_s: Gauge<f64, AtomicU64>,
    /// By endpoint, in seconds.
    ages: Family<Labels<1>, Gauge<f64, AtomicU64>>,
    verified: Counter,
    redis_refusals: Counter,
    entries_too_large: Counter,
    outbox_applied: Counter,
    unconfirmed_invalidations: Counter,
    fills_rejected: Counter,
    redis_failures: Counter,
    inconsistent: Counter,
}

impl CacheMetrics {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let memory = Family::<Labels<1>, Gauge>::default();
        let metrics = Self {
            hits: Family::default(),
            misses: Family::default(),
            latency: Family::new_with_constructor(|| Histogram::new(LATENCY_BUCKETS_S)),
            l1_bytes: memory.get_or_create_owned(&[("tier", "l1")]),
            memory: memory.clone(),
            redis_max_bytes: Gauge::default(),
            l1_open: Gauge::default(),
            l2_open: Gauge::default(),
            bypassed_tags: Gauge::default(),
            open_invalidations: Gauge::default(),
            oldest_invalidation_s: Gauge::default(),
            ages: Family::default(),
            verified: Counter::default(),
            redis_refusals: Counter::default(),
            entries_too_large: Counter::default(),
            outbox_applied: Counter::default(),
            unconfirmed_invalidations: Counter::default(),
            fills_rejected: Counter::default(),
            redis_failures: Counter::default(),
            inconsistent: Counter::default(),
        };
        // Without a cache nothing is missed.
        metrics.l1_open.set(1);
        registry.register("cache_hits", "Requests answered by the cache", metrics.hits.clone());
        registry.register(
            "cache_misses",
            "Requests that the cache could not answer",
            metrics.misses.clone(),
        );
        registry.register(
            "cache_latency_seconds",
            "From the question to the cache until its answer, loads included",
            metrics.latency.clone(),
        );
        registry.register(
            "cache_memory_bytes",
            "Bytes held: l1 by this process, l2 by Redis (all of it)",
            memory,
        );
        registry.register(
            "redis_memory_max_bytes",
            "The most that Redis may hold; 0 without a limit",
            metrics.redis_max_bytes.clone(),
        );
        registry.register(
            "cache_aggregate_age_seconds",
            "Age of the answers about the portfolio that are served from memory",
            metrics.ages.clone(),
        );
        let mut gauge = |name, help, gauge: &Gauge| registry.register(name, help, gauge.clone());
        gauge(
            "cache_l1_open",
            "1 while answers are served from memory; 0 while invalidations of other replicas may be missed",
            &metrics.l1_open,
        );
        gauge(
            "cache_l2_open",
            "1 while Redis is used; 0 while it is away or refuses what invalidations need",
            &metrics.l2_open,
        );
        gauge(
            "cache_bypassed_tags",
            "Tags for which Redis is not trusted, because an invalidation of them did not get through",
            &metrics.bypassed_tags,
        );
        gauge(
            "cache_outbox_rows",
            "Invalidations that no replica has confirmed, of all replicas; counted to 10000",
            &metrics.open_invalidations,
        );
        registry.register(
            "cache_outbox_oldest_seconds",
            "Age of the oldest invalidation that no replica has confirmed; each applies it to itself in a second",
            metrics.oldest_invalidation_s.clone(),
        );
        metrics.register_counters(registry);
        metrics
    }

    fn register_counters(&self, registry: &mut Registry) {
        let mut counter = |name, help, counter: &Counter| registry.register(name, help, counter.clone());
        counter(
            "cache_unconfirmed_invalidations",
            "Invalidations that Redis did not confirm: other replicas do not know of them yet",
            &self.unconfirmed_invalidations,
        );
        counter(
            "cache_fills_rejected",
            "Loads that an invalidation overtook",
            &self.fills_rejected,
        );
        counter(
            "cache_redis_failures",
            "Redis operations that failed or timed out",
            &self.redis_failures,
        );
        counter(
            "cache_redis_refusals",
            "Redis operations that Redis answered with a refusal of its service",
            &self.redis_refusals,
        );
        counter(
            "cache_outbox_applied",
            "Committed invalidations that were found unconfirmed in the outbox, and applied here",
            &self.outbox_applied,
        );
        counter(
            "cache_entries_too_large",
            "Answers that were too large to be kept",
            &self.entries_too_large,
        );
        counter(
            "cache_verified_answers",
            "Cached answers that were compared with the database, on a timer or on order",
            &self.verified,
        );
        counter(
            "cache_inconsistent_answers",
            "Answers that differed from the database when they were verified or sampled",
            &self.inconsistent,
        );
    }

    /// Sets the gauge of the outbox; called when metrics are rendered.
    pub fn set_waiting(&self, waiting: &Waiting) {
        self.open_invalidations.set(waiting.invalidations);
        self.oldest_invalidation_s.set(waiting.oldest_invalidation_s);
    }

    /// Takes over what the cache says of itself; called when metrics are rendered, so that nothing has to run on a
    /// timer.
    pub fn look_at(&self, stats: &Stats, ages: &[(Endpoint, Duration)]) {
        // Anew each time: what is no longer served has no age.
        self.ages.clear();
        for (endpoint, age) in ages {
            let gauge = self.ages.get_or_create_owned(&[("endpoint", endpoint.name())]);
            gauge.set(age.as_secs_f64());
        }
        self.verified.inner().store(stats.verified, Ordering::Relaxed);
        self.redis_refusals
            .inner()
            .store(stats.redis_refusals, Ordering::Relaxed);
        self.entries_too_large
            .inner()
            .store(stats.entries_too_large, Ordering::Relaxed);
        self.outbox_applied
            .inner()
            .store(stats.outbox_applied, Ordering::Relaxed);
        let whole = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        self.l1_bytes.set(whole(stats.l1_bytes));
        self.l1_open.set(stats.l1_open.into());
        self.l2_open.set(stats.l2_open.into());
        self.bypassed_tags.set(whole(stats.bypassed_tags));
        // 0 before Redis was asked: a series that begins later is truer than a wrong value.
        if stats.redis_used_bytes > 0 {
            let used = self.memory.get_or_create_owned(&[("tier", "l2")]);
            used.set(whole(stats.redis_used_bytes));
            self.redis_max_bytes.set(whole(stats.redis_max_bytes));
        }
    }

    /// The observer to give to the cache. It resolves every endpoint's handles now.
    pub fn observer(&self) -> Arc<dyn Observer> {
        let endpoints = Endpoint::ALL.map(|known| EndpointHandles::resolve(self, known.name()));
        Arc::new(CacheObserver {
            endpoints,
            metrics: self.clone(),
        })
    }
}

/// In the order of their numbers.
const TIERS: [Tier; 4] = [Tier::L1, Tier::L2, Tier::Db, Tier::Stale];

/// One endpoint's counter and latency by tier, resolved when the cache is built. The counter of the database's is the
/// misses.
struct EndpointHandles([(Counter, Histogram); TIERS.len()]);

impl EndpointHandles {
    fn resolve(metrics: &CacheMetrics, endpoint: &'static str) -> Self {
        Self(TIERS.map(|tier| {
            let labels = [("endpoint", endpoint), ("tier", tier.as_str())];
            let counter = match tier {
                Tier::Db => metrics.misses.get_or_create_owned(&[("endpoint", endpoint)]),
                _ => metrics.hits.get_or_create_owned(&labels),
            };
            (counter, metrics.latency.get_or_create_owned(&labels))
        }))
    }

    fn record(&self, tier: Tier, elapsed: Duration) {
        let (counter, latency) = &self.0[tier as usize];
        counter.inc();
        latency.observe(elapsed.as_secs_f64());
    }
}

struct CacheObserver {
    endpoints: [EndpointHandles; Endpoint::ALL.len()],
    metrics: CacheMetrics,
}

impl Observer for CacheObserver {
    fn lookup(&self, endpoint: &'static str, tier: Tier, elapsed: Duration) {
        let index = Endpoint::ALL.iter().position(|known| known.name() == endpoint);
        if let Some(handles) = index.and_then(|index| self.endpoints.get(index)) {
            handles.record(tier, elapsed);
        }
    }

    fn fill_rejected(&self, _endpoint: &'static str) {
        self.metrics.fills_rejected.inc();
    }

    fn invalidated(&self, _tags: usize, _elapsed: Duration, confirmed: bool) {
        if !confirmed {
            self.metrics.unconfirmed_invalidations.inc();
        }
    }

    fn inconsistent(&self, _endpoint: &'static str) {
        self.metrics.inconsistent.inc();
    }

    fn redis_failed(&self, _operation: &'static str) {
        self.metrics.redis_failures.inc();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Metrics;

    #[test]
    fn a_lookup_counts_one_hit_or_one_miss() {
        let metrics = Metrics::default();
        let observer = metrics.cache.observer();
        observer.lookup("driver_details", Tier::L1, Duration::from_micros(3));
        observer.lookup("driver_details", Tier::Db, Duration::from_millis(2));
        let text = metrics.render().expect("renders");
        assert!(
            text.contains("cache_hits_total{endpoint=\"driver_details\",tier=\"l1\"} 1\n"),
            "{text}"
        );
        assert!(
            text.contains("cache_hits_total{endpoint=\"driver_details\",tier=\"l2\"} 0\n"),
            "{text}"
        );
        assert!(
            text.contains("cache_misses_total{endpoint=\"driver_details\"} 1\n"),
            "{text}"
        );
    }

    #[test]
    fn without_a_cache_there_is_no_series_at_all() {
        let text = Metrics::default().render().expect("renders");
        assert!(
            !text.contains("cache_hits_total{") && !text.contains("cache_misses_total{"),
            "{text}"
        );
    }
}
