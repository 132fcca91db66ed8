//! Probes: what the servers, the subject, the machine and the harness itself did while load was driven.
//!
//! What belongs here: reading counters that others keep (Postgres, Redis, Prometheus, /proc). What does not: times of
//! requests (`load`), and judging (`measure`). Every probe is read once a second from the start of a round and at
//! both ends of its measured phase; how long each reading took is kept, so that a report can say what looking cost.
//!
//! A probe exists where there is access: a subject that is only an address has neither a process nor a database here,
//! and what its probes would have measured stays absent from the record.
//!
//! To add one: its metrics in [`measure::metrics`], a file here that implements [`Probe`], and a line in
//! [`Probes::connect`]. How its values end up in a round follows from the kinds of those metrics (`observation`).

mod gauge;
mod machine;
mod observation;
mod postgres;
mod process;
mod prometheus;
mod redis;
mod sample;

use std::{collections::BTreeMap, time::Instant};

use measure::record::ProbeCost;

use crate::error::HarnessError;

use self::{postgres::Database, process::Processes, prometheus::Page, redis::Redis, sample::Sample};

pub(crate) use gauge::{Gauge, GaugeReading};
pub(crate) use observation::{Observation, Observed};
pub(crate) use prometheus::MetricsPage;

/// Addresses of everything that can be read.
#[derive(Debug, Default)]
pub(crate) struct Access {
    /// A database that is not under load, and the name of the one that is.
    pub(crate) postgres: Option<(String, String)>,
    pub(crate) redis: Option<String>,
    pub(crate) prometheus: Option<MetricsPage>,
    /// Process of the subject.
    pub(crate) pid: Option<u32>,
    /// Whether every server of the stack was started by this process, so that the rest of the machine's work is not
    /// ours.
    pub(crate) all_ours: bool,
}

/// Something that keeps counters.
#[async_trait::async_trait]
trait Probe: Send {
    /// Its name in the table of what reading cost.
    fn name(&self) -> &'static str;

    /// Puts all of its metrics into `sample`: levels as they are, everything else as counted so far.
    async fn read(&mut self, sample: &mut Sample) -> Result<(), HarnessError>;
}

/// Connections to everything that is read.
pub(crate) struct Probes {
    list: Vec<Box<dyn Probe>>,
    costs: BTreeMap<&'static str, ProbeCost>,
}

impl Probes {
    /// Connects to what there is access to.
    pub(crate) async fn connect(access: Access) -> Result<Self, HarnessError> {
        let mut list: Vec<Box<dyn Probe>> = vec![Box::new(Processes::new(access.pid, access.all_ours))];
        if let Some((admin_url, database)) = &access.postgres {
            list.push(Box::new(Database::connect(admin_url, database).await?));
        }
        if let Some(url) = &access.redis {
            list.push(Box::new(Redis::connect(url).await?));
        }
        if let Some(page) = access.prometheus {
            list.push(Box::new(Page::new(page)));
        }
        Ok(Self {
            list,
            costs: BTreeMap::new(),
        })
    }

    /// Reads everything; called once a second.
    pub(crate) async fn sample(&mut self, observation: &mut Observation, at_ms: u64) -> Result<(), HarnessError> {
        let mut sample = Sample::default();
        for probe in &mut self.list {
            let began = Instant::now();
            probe.read(&mut sample).await?;
            add_cost(&mut self.costs, probe.name(), began);
        }
        observation.add(at_ms, sample);
        Ok(())
    }

    /// The reading at the start of the measured phase; the last one is that at its end.
    pub(crate) async fn start(&mut self, observation: &mut Observation, at_ms: u64) -> Result<(), HarnessError> {
        self.sample(observation, at_ms).await?;
        observation.measure_from_last();
        Ok(())
    }

    fn costs(&self) -> Vec<ProbeCost> {
        self.costs.values().cloned().collect()
    }
}

fn add_cost(costs: &mut BTreeMap<&'static str, ProbeCost>, probe: &'static str, began: Instant) {
    let took_us = u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX);
    let cost = costs.entry(probe).or_insert_with(|| ProbeCost {
        probe: probe.to_owned(),
        ..ProbeCost::default()
    });
    cost.readings += 1;
    cost.total_us += took_us;
    cost.longest_us = cost.longest_us.max(took_us);
}
