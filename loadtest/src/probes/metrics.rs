//! From readings to metrics: differences over the measured phase by the names of the targets, and series over the round.

use std::collections::BTreeMap;

use measure::{
    names,
    record::{Phase, ProbeCost, Ratio, Series},
};

use super::{Observation, Probes, Reading, series::SeriesSet};

const MIB: f64 = 1024.0 * 1024.0;

/// What the probes add to a round.
#[derive(Debug, Default)]
pub(crate) struct Observed {
    pub(crate) probes: BTreeMap<String, f64>,
    pub(crate) ratios: BTreeMap<String, Ratio>,
    pub(crate) series: Vec<Series>,
    pub(crate) costs: Vec<ProbeCost>,
}

/// Two readings and the time between them.
struct Span<'a> {
    from: &'a Reading,
    to: &'a Reading,
    seconds: f64,
    cores: f64,
}

impl Observation {
    /// Metrics of the measured phase over its requests, and everything over time.
    pub(crate) fn observed(&self, probes: &Probes, measured: &Phase) -> Observed {
        let mut observed = Observed {
            series: self.series(),
            costs: probes.costs.to_record(),
            ..Observed::default()
        };
        let readings = &self.readings[self.measured_from.unwrap_or(self.readings.len())..];
        let [first, .., last] = readings else { return observed };
        let span = Span::new(first, last);
        observed.probes = span.metrics();
        observed.ratios = span.ratios(requests(measured));
        observed.probes.extend(largest(readings));
        if let Some(cpu_s) = span.service_cpu_s()
            && requests(measured) > 0
        {
            observed.probes.insert(
                names::SERVICE_CPU_US_PER_REQUEST.to_owned(),
                cpu_s * 1e6 / requests(measured) as f64,
            );
        }
        observed
    }

    fn series(&self) -> Vec<Series> {
        let mut set = SeriesSet::default();
        for reading in &self.readings {
            for (metric, value) in reading.levels() {
                set.add(&metric, reading.at_ms, value);
            }
        }
        for pair in self.readings.windows(2) {
            let span = Span::new(&pair[0], &pair[1]);
            for (metric, value) in span.metrics().into_iter().chain(span.shares()) {
                set.add(&metric, span.to.at_ms, value);
            }
        }
        set.into_record()
    }
}

/// Memory, waiting sessions and the like are what they were at most.
fn largest(readings: &[Reading]) -> BTreeMap<String, f64> {
    let mut largest: BTreeMap<String, f64> = BTreeMap::new();
    for (metric, value) in readings.iter().flat_map(Reading::levels) {
        let most = largest.entry(metric).or_insert(value);
        *most = most.max(value);
    }
    largest
}

/// Answered in the phase, as expected or not.
fn requests(measured: &Phase) -> u64 {
    let counts = measured.endpoints.values();
    counts.map(|counts| counts.count + counts.errors).sum()
}

impl Reading {
    /// What is as it is at a moment.
    fn levels(&self) -> Vec<(String, f64)> {
        let mut levels = Vec::new();
        let mut put = |name: &str, value: f64| levels.push((name.to_owned(), value));
        put("harness.rss_mb", self.harness.rss_bytes as f64 / MIB);
        if let Some(service) = &self.service {
            put("service.rss_mb", service.rss_bytes as f64 / MIB);
        }
        if let Some(redis) = &self.redis {
            put("redis.used_memory_mb", redis.used_bytes as f64 / MIB);
        }
        if let Some(database) = &self.postgres {
            put("db.lock_waits", database.lock_waits as f64);
            put("db.active_sessions", database.active as f64);
        }
        levels
    }

    /// The workload's own choice of metrics; nobody but its author knows whether they are levels or counters.
    fn kept(&self) -> impl Iterator<Item = (String, f64)> {
        let kept = self.prometheus.iter().flat_map(|page| &page.kept);
        kept.map(|(name, value)| (format!("prometheus.{name}"), *value))
    }
}

impl<'a> Span<'a> {
    fn new(from: &'a Reading, to: &'a Reading) -> Self {
        Self {
            from,
            to,
            seconds: to.at_ms.saturating_sub(from.at_ms).max(1) as f64 / 1000.0,
            cores: std::thread::available_parallelism().map_or(1.0, |cores| cores.get() as f64),
        }
    }

    /// Difference of a counter, where both ends have it.
    fn difference<T, N: Into<f64>>(
        &self,
        of: impl Fn(&'a Reading) -> Option<T>,
        counter: impl Fn(T) -> N,
    ) -> Option<f64> {
        let (from, to) = (of(self.from)?, of(self.to)?);
        Some(counter(to).into() - counter(from).into())
    }

    fn service_cpu_s(&self) -> Option<f64> {
        self.difference(|reading| reading.service, |service| service.cpu_s)
    }

    /// Percent of all cores.
    fn cpu_percent(&self, cpu_s: f64) -> f64 {
        100.0 * cpu_s / self.seconds / self.cores
    }

    /// Everything that grows with time, per second or as a share of the machine, and the workload's own choice.
    fn metrics(&self) -> BTreeMap<String, f64> {
        let mut metrics: BTreeMap<String, f64> = self.to.kept().collect();
        let mut put = |name: &str, value: Option<f64>| {
            metrics.extend(value.map(|value| (name.to_owned(), value)));
        };
        let per_s = |difference: Option<f64>| difference.map(|count| count / self.seconds);
        self.put_cpu(&mut put);
        put(
            "harness.switches_per_s",
            per_s(self.difference(|r| Some(r.harness), |p| p.switches as f64)),
        );
        put(
            "service.switches_per_s",
            per_s(self.difference(|r| r.service, |p| p.switches as f64)),
        );
        let statements = self.difference(|r| r.postgres, |d| d.statements as f64);
        put("db.queries_per_minute", per_s(statements).map(|rate| rate * 60.0));
        put(
            "db.transactions_per_s",
            per_s(self.difference(|r| r.postgres, |d| d.transactions as f64)),
        );
        put("db.deadlocks", self.difference(|r| r.postgres, |d| d.deadlocks as f64));
        put(
            "redis.commands_per_s",
            per_s(self.difference(|r| r.redis, |d| d.commands as f64)),
        );
        put("redis.evicted_keys", self.difference(|r| r.redis, |d| d.evicted as f64));
        metrics
    }

    fn put_cpu(&self, put: &mut impl FnMut(&str, Option<f64>)) {
        let percent = |cpu_s: f64| self.cpu_percent(cpu_s);
        let harness_s = self.to.harness.cpu_s - self.from.harness.cpu_s;
        let busy_s = self.to.machine.busy_s - self.from.machine.busy_s;
        let stolen_s = self.to.machine.stolen_s - self.from.machine.stolen_s;
        put(names::HARNESS_CPU_PERCENT, Some(percent(harness_s)));
        put(names::SERVICE_CPU_PERCENT, self.service_cpu_s().map(percent));
        put(names::STEAL_PERCENT, Some(percent(stolen_s)));
        let ours_s = self.difference(|reading| reading.ours_cpu_s, |cpu_s| cpu_s);
        // The two are read one after the other, a moment apart.
        put(
            names::OTHER_CPU_PERCENT,
            ours_s.map(|ours_s| percent((busy_s - ours_s).max(0.0))),
        );
    }

    /// Shares of the readings of this span, 0 to 1.
    fn shares(&self) -> BTreeMap<String, f64> {
        let ratios = self.ratios(0).into_iter();
        ratios
            .map(|(name, ratio)| (name, ratio.numerator as f64 / ratio.denominator as f64))
            .collect()
    }

    /// What counts something in something; `requests` were answered meanwhile (0: not known).
    fn ratios(&self, requests: u64) -> BTreeMap<String, Ratio> {
        let mut ratios = BTreeMap::new();
        let mut put = |name: &str, numerator: u64, denominator: u64| {
            if denominator > 0 {
                ratios.insert(name.to_owned(), Ratio { numerator, denominator });
            }
        };
        if let (Some(from), Some(to)) = (&self.from.prometheus, &self.to.prometheus) {
            let (hits, misses) = (to.hits.saturating_sub(from.hits), to.misses.saturating_sub(from.misses));
            put("cache.hit_ratio", hits, hits + misses);
        }
        if let (Some(from), Some(to)) = (self.from.redis, self.to.redis) {
            let (hits, misses) = (to.hits.saturating_sub(from.hits), to.misses.saturating_sub(from.misses));
            put("redis.hit_ratio", hits, hits + misses);
        }
        if let (Some(from), Some(to)) = (self.from.postgres, self.to.postgres) {
            let since = |to: i64, from: i64| (to - from).unsigned_abs();
            let (hit, read) = (since(to.blks_hit, from.blks_hit), since(to.blks_read, from.blks_read));
            put("db.block_hit_ratio", hit, hit + read);
            put(
                "db.queries_per_request",
                since(to.statements, from.statements),
                requests,
            );
        }
        ratios
    }
}
