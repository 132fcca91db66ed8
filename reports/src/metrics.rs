//! What a metric is called for people and which unit it has.
//!
//! A metric that is not listed is shown under its own name, with a unit guessed from the ending of that name, so that a
//! new probe needs no change here to appear.

use crate::format::Unit;

/// A metric as reports show it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Metric {
    /// For people.
    pub(crate) title: String,
    /// Of the stored value.
    pub(crate) unit: Unit,
}

/// Metrics of a subject as a whole that reports always show, measured or not, in this order.
pub(crate) const RESOURCES: [&str; 6] = [
    "db.queries_per_request",
    "cache.hit_ratio",
    "redis.used_memory_mb",
    "service.rss_mb",
    "service.cpu_percent",
    "service.cpu_us_per_request",
];

/// The cache's hit ratio.
pub(crate) const HIT_RATIO: &str = "cache.hit_ratio";
/// Statements per request, as the database counts them.
pub(crate) const QUERIES_PER_REQUEST: &str = "db.queries_per_request";
/// 95th percentile of the latency.
pub(crate) const P95: &str = "http.p95_ms";

const TITLES: [(&str, &str, Unit); 16] = [
    (P95, "p95 latency", Unit::Milliseconds),
    ("http.error_rate", "error rate", Unit::Share),
    (HIT_RATIO, "cache hit ratio", Unit::Share),
    (
        "cache.invalidation_p99_ms",
        "cache invalidation, p99",
        Unit::Milliseconds,
    ),
    ("cache.stale_reads", "stale reads", Unit::Plain),
    (QUERIES_PER_REQUEST, "database queries per request", Unit::Plain),
    ("db.queries_per_minute", "database queries per minute", Unit::PerMinute),
    ("redis.used_memory_mb", "Redis memory", Unit::Megabytes),
    ("service.rss_mb", "service memory (RSS)", Unit::Megabytes),
    ("service.cpu_percent", "service CPU", Unit::Percent),
    ("service.cpu_us_per_request", "CPU time per request", Unit::Microseconds),
    ("ws.latency_p95_ms", "WebSocket latency, p95", Unit::Milliseconds),
    ("ws.bytes_per_message", "WebSocket message size", Unit::Bytes),
    (
        "kafka.throughput_msgs_per_s",
        "Kafka throughput",
        Unit::MessagesPerSecond,
    ),
    ("kafka.bytes_per_message", "Kafka message size", Unit::Bytes),
    ("kafka.lag_p99_ms", "Kafka consumer lag, p99", Unit::Milliseconds),
];

/// Endings of metric names and the units they stand for; the first that fits counts.
const ENDINGS: [(&str, Unit); 10] = [
    ("msgs_per_s", Unit::MessagesPerSecond),
    ("per_minute", Unit::PerMinute),
    ("us_per_request", Unit::Microseconds),
    ("bytes_per_message", Unit::Bytes),
    ("_ms", Unit::Milliseconds),
    ("_us", Unit::Microseconds),
    ("_mb", Unit::Megabytes),
    ("_percent", Unit::Percent),
    ("_ratio", Unit::Share),
    ("_rate", Unit::Share),
];

/// How to show the metric of this name.
pub(crate) fn describe(name: &str) -> Metric {
    if let Some((_, title, unit)) = TITLES.iter().find(|(known, _, _)| *known == name) {
        return Metric {
            title: (*title).to_owned(),
            unit: *unit,
        };
    }
    let unit = ENDINGS
        .iter()
        .find(|(ending, _)| name.ends_with(ending))
        .map_or(Unit::Plain, |(_, unit)| *unit);
    Metric {
        title: name.to_owned(),
        unit,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_known_metric_has_its_title() {
        assert_eq!(describe("cache.hit_ratio").title, "cache hit ratio");
        assert_eq!(describe("cache.hit_ratio").unit, Unit::Share);
    }

    #[test]
    fn an_unknown_metric_keeps_its_name_and_gets_a_unit() {
        let metric = describe("disk.flush_ms");
        assert_eq!(metric.title, "disk.flush_ms");
        assert_eq!(metric.unit, Unit::Milliseconds);
        assert_eq!(describe("disk.flushes").unit, Unit::Plain);
    }
}
