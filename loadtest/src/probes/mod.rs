//! Probes: what the servers, the subject, the machine and the harness itself did while load was driven.
//!
//! What belongs here: reading counters that others keep (Postgres, Redis, Prometheus, /proc). What does not: times of
//! requests (`load`), and judging (`measure`). Every probe is read once a second from the start of a round and at both ends
//! of its measured phase; how long each reading took is kept, so that a report can say what looking cost.
//!
//! A probe exists where there is access: a subject that is only an address has neither a process nor a database here, and
//! what its probes would have measured stays absent from the record.

mod gauge;
mod machine;
mod metrics;
mod postgres;
mod process;
mod prometheus;
mod redis;
mod series;

use std::time::Instant;

use crate::error::HarnessError;

use self::{
    machine::{MachineReading, read_machine},
    postgres::{Database, DatabaseReading},
    process::{ProcessReading, read_process, read_tree},
    prometheus::{Page, PageReading},
    redis::{Redis, RedisReading},
    series::Costs,
};

pub(crate) use gauge::Gauge;
pub(crate) use metrics::Observed;

/// What there is to read.
#[derive(Debug, Default)]
pub(crate) struct Access {
    /// A database that is not under load, and the name of the one that is.
    pub(crate) postgres: Option<(String, String)>,
    pub(crate) redis: Option<String>,
    /// A page in Prometheus' form, and the metrics to keep.
    pub(crate) prometheus: Option<(String, Vec<String>)>,
    /// Process of the subject.
    pub(crate) pid: Option<u32>,
    /// Whether every server of the stack was started by this process, so that the rest of the machine's work is not ours.
    pub(crate) all_ours: bool,
}

/// Connections to everything that is read.
pub(crate) struct Probes {
    postgres: Option<Database>,
    redis: Option<Redis>,
    prometheus: Option<Page>,
    pid: Option<u32>,
    all_ours: bool,
    costs: Costs,
}

/// Everything at one moment; what there is no access to is absent.
#[derive(Debug, Clone)]
struct Reading {
    /// On the round's clock, milliseconds.
    at_ms: u64,
    postgres: Option<DatabaseReading>,
    redis: Option<RedisReading>,
    prometheus: Option<PageReading>,
    service: Option<ProcessReading>,
    harness: ProcessReading,
    /// CPU of the harness and everything below it, seconds; where the whole stack is below it.
    ours_cpu_s: Option<f64>,
    machine: MachineReading,
}

/// Readings of one round.
#[derive(Default)]
pub(crate) struct Observation {
    readings: Vec<Reading>,
    /// Position of the first reading of the measured phase; the last of all is its last.
    measured_from: Option<usize>,
}

impl Probes {
    /// Connects to what there is access to.
    pub(crate) async fn connect(access: Access) -> Result<Self, HarnessError> {
        let postgres = match &access.postgres {
            Some((admin_url, database)) => Some(Database::connect(admin_url, database).await?),
            None => None,
        };
        let redis = match &access.redis {
            Some(url) => Some(Redis::connect(url).await?),
            None => None,
        };
        Ok(Self {
            postgres,
            redis,
            prometheus: access.prometheus.map(|(url, keep)| Page::new(url, keep)),
            pid: access.pid,
            all_ours: access.all_ours,
            costs: Costs::default(),
        })
    }

    /// Reads everything; called once a second.
    pub(crate) async fn sample(&mut self, observation: &mut Observation, at_ms: u64) -> Result<(), HarnessError> {
        let reading = self.read(at_ms).await?;
        observation.readings.push(reading);
        Ok(())
    }

    /// The reading at the start of the measured phase; the last one is that at its end.
    pub(crate) async fn start(&mut self, observation: &mut Observation, at_ms: u64) -> Result<(), HarnessError> {
        self.sample(observation, at_ms).await?;
        observation.measured_from = Some(observation.readings.len() - 1);
        Ok(())
    }

    async fn read(&mut self, at_ms: u64) -> Result<Reading, HarnessError> {
        let costs = &mut self.costs;
        let began = Instant::now();
        let service = self.pid.map(read_process).transpose()?;
        let harness = read_process(std::process::id())?;
        let ours_cpu_s = self.all_ours.then(read_tree).transpose()?;
        let machine = read_machine()?;
        costs.add("process", began.elapsed());
        Ok(Reading {
            at_ms,
            postgres: match &mut self.postgres {
                Some(database) => Some(costs.timed("postgres", database.read()).await?),
                None => None,
            },
            redis: match &mut self.redis {
                Some(redis) => Some(costs.timed("redis", redis.read()).await?),
                None => None,
            },
            prometheus: match &self.prometheus {
                Some(page) => Some(costs.timed("prometheus", page.read()).await?),
                None => None,
            },
            service,
            harness,
            ours_cpu_s,
            machine,
        })
    }
}
