//! The registry of metrics: every metric there is, with its title, unit, kind and source, in one table.
//!
//! Probes give a metric by its entry here, targets and reports find it by its name, and docs/METRICS.md is made from
//! the table. What belongs here: what is true of a metric in every run. What does not: values, and how they are
//! judged.
//!
//! Metrics that a workload keeps from its subject's Prometheus page get their entry at run time ([`Metric::of_page`]).

use std::borrow::Cow;

use crate::figures::Unit;

/// One metric. Only this module makes them, so that a value cannot be recorded under a name that is not registered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Metric {
    name: Cow<'static, str>,
    title: Cow<'static, str>,
    /// Unit of the stored value.
    pub unit: Unit,
    /// How values of it come about.
    pub kind: Kind,
    /// Who measures it.
    pub source: Source,
    /// Which direction is an improvement.
    pub better: Better,
    /// Where reports show it.
    pub shown: Shown,
    /// One line about it.
    pub about: &'static str,
}

/// How values of a metric come about, and with it how those of several readings, rounds and generators become one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A percentile of times.
    Percentile,
    /// As it is at a moment. A round keeps the largest reading.
    Level,
    /// Something that is counted. A round keeps its growth over the measured phase.
    Counter,
    /// Growth per time, or the used part of a machine. A round keeps the mean of its measured phase.
    Rate,
    /// A part of a count. The counts of rounds are added before they are divided.
    Ratio,
    /// A count by the request. The counts of rounds are added before they are divided.
    CountPerRequest,
    /// A cost by the request, such as time. Rounds are averaged.
    CostPerRequest,
    /// Found out once per round.
    Constant,
}

/// Who measures a metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// The load path, for each endpoint and the whole mix.
    Load,
    /// The load path, where it follows versions (`[consistency]` of a workload).
    Versions,
    /// The load path, where clients watch live streams (`[websocket]` of a workload).
    Streams,
    /// The load path, where topics of Kafka are watched and written to (`[kafka]` of a workload).
    Topics,
    /// The probe of Postgres.
    Postgres,
    /// The probe of Redis.
    Redis,
    /// The probe of the subject's Prometheus page.
    Prometheus,
    /// The probe of the subject's process.
    Process,
    /// The generator itself.
    Generator,
    /// The probe of the machine.
    Machine,
    /// Nothing yet: a target on it is not measured.
    Nothing,
}

/// Which direction of a metric is an improvement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Better {
    /// Smaller values.
    Lower,
    /// Larger values.
    Higher,
    /// Neither: it describes.
    Neither,
}

/// When a metric has a row in the table of resources.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shown {
    /// In every report; where it was not measured, the row says so.
    Always,
    /// In reports of runs that measured it.
    IfMeasured,
}

impl Metric {
    /// As it stands in targets files and records; ends in its unit.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The name as a key of a record.
    pub fn key(&self) -> String {
        self.name.clone().into_owned()
    }

    /// Its name for people.
    pub fn title(&self) -> &str {
        &self.title
    }

    /// Whether it is measured for each endpoint, so that a target on it names one.
    pub fn is_per_endpoint(&self) -> bool {
        self.source == Source::Load
    }

    /// Whether limits on it lie between 0 and 1.
    pub fn is_share(&self) -> bool {
        self.unit == Unit::Share
    }

    /// Whether it was divided by the requests of one generator, so that those of several generators do not merge.
    pub fn is_per_request(&self) -> bool {
        matches!(self.kind, Kind::CountPerRequest | Kind::CostPerRequest)
    }

    /// Whether it speaks of a generator or its machine, so that of several generators the worst one counts.
    pub fn is_of_generator(&self) -> bool {
        matches!(self.source, Source::Generator | Source::Machine)
    }

    /// Whether its probe keeps it over time, which reports draw as lines.
    pub fn is_over_time(&self) -> bool {
        let changes = matches!(self.kind, Kind::Level | Kind::Counter | Kind::Rate | Kind::Ratio);
        changes
            && !matches!(
                self.source,
                Source::Load | Source::Versions | Source::Streams | Source::Topics
            )
    }

    /// The metric under which the sample `name` of a Prometheus page is kept: [`PAGE_PREFIX`] and that name. Its kind
    /// and unit follow Prometheus' naming conventions: a name that ends in `_total` counts, every other one is a
    /// level, and the ending before that is the unit ([`ENDINGS`]).
    pub fn of_page(name: &str) -> Self {
        let full = format!("{PAGE_PREFIX}{name}");
        let counted = name.strip_suffix("_total");
        Self {
            title: full.clone().into(),
            name: full.into(),
            unit: unit_of(counted.unwrap_or(name)),
            kind: if counted.is_some() { Kind::Counter } else { Kind::Level },
            source: Source::Prometheus,
            better: Better::Neither,
            shown: Shown::IfMeasured,
            about: "Chosen by the workload from its subject's metrics page.",
        }
    }
}

/// Begins the names of metrics from a subject's Prometheus page.
pub const PAGE_PREFIX: &str = "prometheus.";

/// Endings of names and the units they stand for; the first that fits counts.
pub const ENDINGS: [(&str, Unit); 10] = [
    ("_per_s", Unit::PerSecond),
    ("_per_minute", Unit::PerMinute),
    ("_ms", Unit::Milliseconds),
    ("_us", Unit::Microseconds),
    ("_seconds", Unit::Seconds),
    ("_bytes", Unit::Bytes),
    ("_mb", Unit::Megabytes),
    ("_percent", Unit::Percent),
    ("_ratio", Unit::Share),
    ("_rate", Unit::Share),
];

fn unit_of(name: &str) -> Unit {
    let fits = |(ending, _): &&(&str, Unit)| name.ends_with(ending);
    ENDINGS.iter().find(fits).map_or(Unit::Plain, |(_, unit)| *unit)
}

/// The registered metric of this name, or the one of a metrics page; none for any other name.
pub fn find(name: &str) -> Option<Cow<'static, Metric>> {
    let registered = METRICS.iter().find(|metric| metric.name == name);
    registered.map(|metric| Cow::Borrowed(*metric)).or_else(|| {
        let sample = name.strip_prefix(PAGE_PREFIX).filter(|sample| !sample.is_empty())?;
        Some(Cow::Owned(Metric::of_page(sample)))
    })
}

/// How to show the metric of this name. One that is not registered, as another build of the harness may have recorded
/// it, is shown under its own name with the unit that its ending stands for.
pub fn describe(name: &str) -> Cow<'static, Metric> {
    find(name).unwrap_or_else(|| {
        Cow::Owned(Metric {
            name: name.to_owned().into(),
            title: name.to_owned().into(),
            unit: unit_of(name),
            kind: Kind::Level,
            source: Source::Nothing,
            better: Better::Neither,
            shown: Shown::IfMeasured,
            about: "Not registered in this build.",
        })
    })
}

/// Defines a constant per metric, and [`METRICS`] with all of them.
macro_rules! registry {
    ($($(#[$doc:meta])* $constant:ident = $name:literal, $title:literal, $unit:ident, $kind:ident, $source:ident,
        $better:ident, $shown:ident, $about:literal;)*) => {
        $(
            #[doc = $about]
            pub static $constant: Metric = Metric {
                name: Cow::Borrowed($name),
                title: Cow::Borrowed($title),
                unit: Unit::$unit,
                kind: Kind::$kind,
                source: Source::$source,
                better: Better::$better,
                shown: Shown::$shown,
                about: $about,
            };
        )*

        /// Every registered metric. Those that reports always show come in the order of their rows.
        pub static METRICS: &[&Metric] = &[$(&$constant),*];
    };
}

registry! {
    HTTP_P50_MS = "http.p50_ms", "p50 latency", Milliseconds, Percentile, Load, Lower, IfMeasured,
        "Half of the answers came within this time.";
    HTTP_P90_MS = "http.p90_ms", "p90 latency", Milliseconds, Percentile, Load, Lower, IfMeasured,
        "90 of 100 answers came within this time.";
    HTTP_P95_MS = "http.p95_ms", "p95 latency", Milliseconds, Percentile, Load, Lower, IfMeasured,
        "95 of 100 answers came within this time.";
    HTTP_P99_MS = "http.p99_ms", "p99 latency", Milliseconds, Percentile, Load, Lower, IfMeasured,
        "99 of 100 answers came within this time.";
    HTTP_P999_MS = "http.p999_ms", "p99.9 latency", Milliseconds, Percentile, Load, Lower, IfMeasured,
        "999 of 1,000 answers came within this time.";
    HTTP_ERROR_RATE = "http.error_rate", "error rate", Share, Ratio, Load, Lower, IfMeasured,
        "Answers that were not as expected, as a share of everything sent.";

    DB_QUERIES_PER_REQUEST = "db.queries_per_request", "database queries per request", Plain, CountPerRequest, Postgres,
        Lower, Always, "Statements that Postgres counted, divided by the answers of the measured phase.";
    CACHE_HIT_RATIO = "cache.hit_ratio", "cache hit ratio", Share, Ratio, Prometheus, Higher, Always,
        "Lookups that the subject's cache answered, by its own counters, as a share of all lookups.";
    REDIS_USED_MEMORY_MB = "redis.used_memory_mb", "Redis memory", Megabytes, Level, Redis, Lower, Always,
        "Memory that Redis uses.";
    SERVICE_RSS_MB = "service.rss_mb", "service memory (RSS)", Megabytes, Level, Process, Lower, Always,
        "Resident memory of the subject.";
    SERVICE_CPU_PERCENT = "service.cpu_percent", "service CPU", Percent, Rate, Process, Lower, Always,
        "CPU time of the subject, percent of all cores.";
    SERVICE_CPU_US_PER_REQUEST = "service.cpu_us_per_request", "CPU time per request", Microseconds, CostPerRequest,
        Process, Lower, Always, "CPU time of the subject, divided by the requests of the measured phase.";

    CACHE_INVALIDATION_P99_MS = "cache.invalidation_p99_ms", "cache invalidation, p99", Milliseconds, Percentile,
        Versions, Lower, IfMeasured,
        "99 of 100 acknowledged writes were seen by every later read after this time; mean of the rounds.";
    CACHE_STALE_READS = "cache.stale_reads", "stale reads", Plain, Counter, Versions, Lower, IfMeasured,
        "Reads that returned an older version than a write acknowledged before, beyond the bound; summed over rounds.";
    CONSISTENCY_NOT_FOLLOWED = "consistency.not_followed", "answers whose version was not followed", Plain, Counter,
        Versions, Lower, IfMeasured, "Answers with a version for which the bounded table of entities had no room.";

    DB_QUERIES_PER_MINUTE = "db.queries_per_minute", "database queries per minute", PerMinute, Rate, Postgres, Lower,
        IfMeasured, "Statements that Postgres counted, without transaction control.";
    DB_TRANSACTIONS_PER_S = "db.transactions_per_s", "database transactions per second", PerSecond, Rate, Postgres,
        Neither, IfMeasured, "Transactions that ended, committed or rolled back.";
    DB_DEADLOCKS = "db.deadlocks", "database deadlocks", Plain, Counter, Postgres, Lower, IfMeasured,
        "Deadlocks that Postgres resolved.";
    DB_LOCK_WAITS = "db.lock_waits", "database sessions waiting for a lock", Plain, Level, Postgres, Lower, IfMeasured,
        "Sessions that wait for a lock.";
    DB_ACTIVE_SESSIONS = "db.active_sessions", "active database sessions", Plain, Level, Postgres, Neither, IfMeasured,
        "Sessions that run a statement.";
    DB_BLOCK_HIT_RATIO = "db.block_hit_ratio", "database block hit ratio", Share, Ratio, Postgres, Higher, IfMeasured,
        "Blocks that Postgres found in its buffers, as a share of all blocks it looked for.";
    REDIS_HIT_RATIO = "redis.hit_ratio", "Redis hit ratio", Share, Ratio, Redis, Higher, IfMeasured,
        "Lookups of keys that Redis had, as a share of all lookups.";
    REDIS_COMMANDS_PER_S = "redis.commands_per_s", "Redis commands per second", PerSecond, Rate, Redis, Neither,
        IfMeasured, "Commands that Redis processed.";
    REDIS_EVICTED_KEYS = "redis.evicted_keys", "keys evicted by Redis", Plain, Counter, Redis, Lower, IfMeasured,
        "Keys that Redis evicted for want of memory.";
    SERVICE_SWITCHES_PER_S = "service.switches_per_s", "service context switches per second", PerSecond, Rate, Process,
        Neither, IfMeasured, "Context switches of the subject's threads, forced and voluntary.";

    WS_LATENCY_P95_MS = "ws.latency_p95_ms", "WebSocket latency, p95", Milliseconds, Percentile, Streams, Lower,
        IfMeasured,
        "95 of 100 messages reached their clients within this time after the write was due; mean of the rounds.";
    WS_MISSED_MESSAGES = "ws.missed_messages", "messages that clients missed", Plain, Counter, Streams, Lower,
        IfMeasured, "Messages that clients of live streams were owed and not shown; summed over rounds.";
    WS_DOUBLED_MESSAGES = "ws.doubled_messages", "messages that came twice", Plain, Counter, Streams, Lower,
        IfMeasured, "Messages of live streams that came again to a client that had them; summed over rounds.";
    WS_REORDERED_MESSAGES = "ws.reordered_messages", "messages out of order", Plain, Counter, Streams, Lower,
        IfMeasured, "Messages of live streams that came behind a later one of their group; summed over rounds.";
    WS_BYTES_PER_MESSAGE = "ws.bytes_per_message", "WebSocket message size", Bytes, Rate, Nothing, Lower, IfMeasured,
        "Mean size of a message to a client.";
    KAFKA_THROUGHPUT_MSGS_PER_S = "kafka.throughput_msgs_per_s", "Kafka throughput", MessagesPerSecond, Rate, Topics,
        Higher, IfMeasured,
        "Messages of a backlog, from the first one sent to the last one committed by the group; mean of the rounds.";
    KAFKA_PRODUCED_MSGS_PER_S = "kafka.produced_msgs_per_s", "Kafka messages produced", MessagesPerSecond, Rate, Topics,
        Neither, IfMeasured,
        "Messages of a backlog, from the first one sent to the last one acknowledged; mean of the rounds.";
    KAFKA_BYTES_PER_MESSAGE = "kafka.bytes_per_message", "Kafka message size", Bytes, Ratio, Prometheus, Lower,
        IfMeasured, "Bytes that the subject sent to Kafka, requests and all, by the messages in them.";
    KAFKA_LAG_P99_MS = "kafka.lag_p99_ms", "Kafka consumer lag, p99", Milliseconds, Percentile, Topics, Lower,
        IfMeasured,
        "99 of 100 records were committed by the group within this time after the write was due; mean of the rounds.";
    KAFKA_OFFSET_LAG = "kafka.offset_lag", "Kafka records not committed, most", Plain, Level, Topics, Lower, IfMeasured,
        "Records of a topic that the group had not committed; the most that were seen at a time.";
    KAFKA_MISSED_RECORDS = "kafka.missed_records", "Kafka records missed", Plain, Counter, Topics, Lower, IfMeasured,
        "Records that were owed by writes and not found in the topic; summed over rounds.";
    KAFKA_DOUBLED_RECORDS = "kafka.doubled_records", "Kafka records that came twice", Plain, Counter, Topics, Lower,
        IfMeasured, "Records that were found in the topic again; summed over rounds.";
    KAFKA_REORDERED_RECORDS = "kafka.reordered_records", "Kafka records out of order", Plain, Counter, Topics, Lower,
        IfMeasured, "Records that came behind a later one of their group (mostly their key); summed over rounds.";
    KAFKA_MISSED_EFFECTS = "kafka.missed_effects", "Kafka records never committed", Plain, Counter, Topics, Lower,
        IfMeasured, "Records that were owed by writes and not committed by the group in time; summed over rounds.";

    HARNESS_CPU_PERCENT = "harness.cpu_percent", "generator CPU", Percent, Rate, Generator, Lower, IfMeasured,
        "CPU time of the generator, percent of all cores.";
    HARNESS_RSS_MB = "harness.rss_mb", "generator memory (RSS)", Megabytes, Level, Generator, Lower, IfMeasured,
        "Resident memory of the generator.";
    HARNESS_SWITCHES_PER_S = "harness.switches_per_s", "generator context switches per second", PerSecond, Rate,
        Generator, Neither, IfMeasured, "Context switches of the generator's threads, forced and voluntary.";
    HARNESS_LAG_P99_MS = "harness.scheduling_lag_p99_ms", "generator timer lag, p99", Milliseconds, Constant, Generator,
        Lower, IfMeasured, "99 of 100 timers of the generator fired within this time after they were due.";
    HARNESS_SENDER_PRIORITY = "harness.sender_priority", "priority of the sending threads", Plain, Constant, Generator,
        Neither, IfMeasured, "As the kernel shows it in /proc: -2 is real-time, 20 an ordinary thread.";
    CLOCK_STEP_US = "clock.step_us", "step of the clock", Microseconds, Constant, Generator, Lower, IfMeasured,
        "The smallest step that the generator's clock was seen to take.";
    STEAL_PERCENT = "machine.steal_percent", "time stolen by the hypervisor", Percent, Rate, Machine, Lower, IfMeasured,
        "Time that the hypervisor gave to others, percent of all cores.";
    OTHER_CPU_PERCENT = "machine.other_cpu_percent", "CPU of other jobs", Percent, Rate, Machine, Lower, IfMeasured,
        "CPU time of everything that is neither generator, subject nor stack, percent of all cores.";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_end_in_their_unit() {
        let names: std::collections::BTreeSet<&str> = METRICS.iter().map(|metric| metric.name()).collect();
        assert_eq!(names.len(), METRICS.len());
        for metric in METRICS {
            let by_ending = unit_of(metric.name());
            let is_finer = matches!(metric.unit, Unit::MessagesPerSecond | Unit::Bytes | Unit::Microseconds);
            assert!(
                by_ending == metric.unit || is_finer,
                "{metric:?} would be read as {by_ending:?}"
            );
        }
    }

    #[test]
    fn a_sample_of_a_metrics_page_is_described_by_its_name() {
        let described = |name: &str| {
            let metric = find(name).expect("a sample");
            (metric.title().to_owned(), metric.kind, metric.unit)
        };
        let title = |text: &str| text.to_owned();
        assert_eq!(
            described("prometheus.shop_requests_total"),
            (title("prometheus.shop_requests_total"), Kind::Counter, Unit::Plain)
        );
        assert_eq!(
            described("prometheus.sent_bytes_total"),
            (title("prometheus.sent_bytes_total"), Kind::Counter, Unit::Bytes)
        );
        assert_eq!(
            described("prometheus.queue_wait_seconds"),
            (title("prometheus.queue_wait_seconds"), Kind::Level, Unit::Seconds)
        );
        assert!(find("prometheus.").is_none() && find("prometheus").is_none());
    }

    #[test]
    fn a_metric_of_another_build_keeps_its_name_and_gets_a_unit() {
        assert!(find("disk.flush_ms").is_none());
        let metric = describe("disk.flush_ms");
        assert_eq!((metric.title(), metric.unit), ("disk.flush_ms", Unit::Milliseconds));
        assert_eq!(describe("disk.flushes").unit, Unit::Plain);
        assert_eq!(describe("cache.hit_ratio").title(), "cache hit ratio");
    }
}
