//! Probes: what the servers, the subject and the harness itself did during the measured phase.
//!
//! What belongs here: reading counters that others keep (Postgres, Redis, Prometheus, /proc). What does not: times of
//! requests (`load`), and judging (`measure`). Every probe is read at the two ends of the measured phase, memory also
//! once a second between; one reading costs a few milliseconds.

mod postgres;
mod process;
mod prometheus;
mod redis;

use std::{collections::BTreeMap, net::SocketAddr, time::Duration};

use measure::record::{Phase, Ratio};

use crate::error::HarnessError;

use self::{
    postgres::Statements,
    process::{ProcessReading, read_process},
    prometheus::CacheCounters,
    redis::Memory,
};

const MIB: f64 = 1024.0 * 1024.0;

/// What to read.
pub(crate) struct Probes {
    statements: Statements,
    memory: Memory,
    metrics_url: String,
    http: reqwest::Client,
    pid: u32,
}

/// Counters at one moment.
#[derive(Debug, Clone)]
struct Reading {
    statements: u64,
    cache: CacheCounters,
    service: ProcessReading,
    harness: ProcessReading,
}

/// Counters at the start of the measured phase, and the largest memory seen since.
pub(crate) struct Observation {
    start: Reading,
    rss_bytes: u64,
    redis_bytes: u64,
}

/// What the probes add to a round.
#[derive(Debug, Default)]
pub(crate) struct Observed {
    pub(crate) probes: BTreeMap<String, f64>,
    pub(crate) ratios: BTreeMap<String, Ratio>,
}

impl Probes {
    /// Connects to the servers. `database` is the subject's, `admin_url` one that is not under load.
    pub(crate) async fn connect(
        admin_url: &str,
        database: &str,
        redis_url: &str,
        address: SocketAddr,
        pid: u32,
    ) -> Result<Self, HarnessError> {
        Ok(Self {
            statements: Statements::connect(admin_url, database).await?,
            memory: Memory::connect(redis_url).await?,
            metrics_url: format!("http://{address}/metrics"),
            http: reqwest::Client::new(),
            pid,
        })
    }

    /// Reads everything at the start of the measured phase.
    pub(crate) async fn start(&mut self) -> Result<Observation, HarnessError> {
        let start = self.read().await?;
        let mut observation = Observation {
            rss_bytes: start.service.rss_bytes,
            redis_bytes: 0,
            start,
        };
        self.sample(&mut observation).await?;
        Ok(observation)
    }

    /// Keeps the largest memory; called once a second.
    pub(crate) async fn sample(&mut self, observation: &mut Observation) -> Result<(), HarnessError> {
        observation.rss_bytes = observation.rss_bytes.max(read_process(self.pid)?.rss_bytes);
        observation.redis_bytes = observation.redis_bytes.max(self.memory.used_bytes().await?);
        Ok(())
    }

    /// Reads everything at the end of the measured phase, `elapsed` after the start.
    pub(crate) async fn end(
        &mut self,
        mut observation: Observation,
        elapsed: Duration,
    ) -> Result<MeasuredSpan, HarnessError> {
        self.sample(&mut observation).await?;
        Ok(MeasuredSpan {
            end: self.read().await?,
            observation,
            elapsed,
        })
    }

    async fn read(&mut self) -> Result<Reading, HarnessError> {
        Ok(Reading {
            statements: self.statements.calls().await?,
            cache: prometheus::scrape(&self.http, &self.metrics_url).await?,
            service: read_process(self.pid)?,
            harness: read_process(std::process::id())?,
        })
    }
}

/// Counters at both ends of the measured phase.
pub(crate) struct MeasuredSpan {
    observation: Observation,
    end: Reading,
    elapsed: Duration,
}

impl MeasuredSpan {
    /// Metrics of the span over the requests of `measured`, by the names of the targets.
    pub(crate) fn observed(&self, measured: &Phase) -> Observed {
        let (start, end, seconds) = (&self.observation.start, &self.end, self.elapsed.as_secs_f64());
        let requests: u64 = measured
            .endpoints
            .values()
            .map(|counts| counts.count + counts.errors)
            .sum();
        let statements = end.statements.saturating_sub(start.statements);
        let service_cpu_s = end.service.cpu_s - start.service.cpu_s;
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let mut observed = Observed::default();
        let mut put = |name: &str, value: f64| observed.probes.insert(name.to_owned(), value);
        put("service.rss_mb", self.observation.rss_bytes as f64 / MIB);
        put("redis.used_memory_mb", self.observation.redis_bytes as f64 / MIB);
        put("service.cpu_percent", 100.0 * service_cpu_s / seconds / cores as f64);
        put(
            "harness.cpu_percent",
            100.0 * (end.harness.cpu_s - start.harness.cpu_s) / seconds / cores as f64,
        );
        put("db.queries_per_minute", statements as f64 * 60.0 / seconds);
        if requests > 0 {
            put("service.cpu_us_per_request", service_cpu_s * 1e6 / requests as f64);
            observed.ratio("db.queries_per_request", statements, requests);
        }
        let cache = end.cache.since(start.cache);
        if cache.lookups() > 0 {
            observed.ratio("cache.hit_ratio", cache.hits, cache.lookups());
        }
        observed
    }
}

impl Observed {
    fn ratio(&mut self, name: &str, numerator: u64, denominator: u64) {
        self.ratios.insert(name.to_owned(), Ratio { numerator, denominator });
    }
}
