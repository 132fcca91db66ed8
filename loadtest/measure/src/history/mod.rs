//! History: one line per run in an append-only file, and since when a figure is what it is.
//!
//! What belongs here: the file ([`file`]), what a line holds, and change points of a series ([`change`]). What does
//! not: verdicts; a trend is for the trend page only (on unchanged series of 100 points a change point is raised by
//! chance in a few of 100, far more where they drift).

pub mod change;
pub mod file;

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::record::{Record, Subject, Transport, Verdict, WorkloadId};
use change::{ChangePoint, change_points};

/// Version of the lines. A reader passes over newer ones and says so.
pub const LINE_VERSION: u32 = 1;

/// One line of the history: one subject of one run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// Always [`LINE_VERSION`] in what this build writes.
    pub version: u32,
    /// Id of the record.
    pub id: String,
    /// When it ran.
    pub at: DateTime<Utc>,
    /// Subject name.
    pub subject: String,
    /// Git revision of the subject, when known.
    pub git: Option<String>,
    /// Hash of the workload: only entries of one workload make a series.
    pub workload_sha256: String,
    /// Machine, stack, load, length of a launch and settings of the subject: only entries that share them make a
    /// series.
    pub place: String,
    /// By endpoint name.
    pub endpoints: BTreeMap<String, EndpointEntry>,
    /// By metric name.
    pub metrics: BTreeMap<String, f64>,
    /// Verdict of the run. Of one that is not valid, interrupted or not available the figures say nothing.
    pub verdict: Verdict,
}

/// Figures of one endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct EndpointEntry {
    /// Answers as expected.
    pub count: u64,
    /// Errors over everything sent, 0 to 1.
    pub error_rate: f64,
    /// Median, milliseconds.
    pub p50_ms: f64,
    /// 95th percentile.
    pub p95_ms: f64,
    /// 99th percentile.
    pub p99_ms: f64,
}

/// A figure over runs, oldest first, with the points at which it changed.
#[derive(Debug, Clone, PartialEq)]
pub struct Trend {
    /// Endpoint, or metric.
    pub name: String,
    /// Id, revision and value of each run.
    pub points: Vec<TrendPoint>,
    /// Where it changed; `index` counts in `points`.
    pub changes: Vec<ChangePoint>,
}

/// One run of a trend.
#[derive(Debug, Clone, PartialEq)]
pub struct TrendPoint {
    /// Id of the record.
    pub id: String,
    /// When it ran.
    pub at: DateTime<Utc>,
    /// Git revision of the subject, when known.
    pub git: Option<String>,
    /// The figure.
    pub value: f64,
}

impl Entry {
    /// One entry per subject of a record; a subject without figures has none.
    pub fn of_record(record: &Record) -> Vec<Self> {
        record
            .subjects
            .iter()
            .filter_map(|subject| {
                let summary = record.summary.get(&subject.name)?;
                let endpoints = summary
                    .endpoints
                    .iter()
                    .filter(|(_, figures)| figures.count > 0 || figures.error_rate > 0.0);
                Some(Self {
                    version: LINE_VERSION,
                    id: record.id.clone(),
                    at: record.created_at,
                    subject: subject.name.clone(),
                    git: subject.git.clone(),
                    workload_sha256: record.workload.sha256.clone(),
                    place: place(record, subject),
                    endpoints: endpoints.map(|(name, one)| (name.clone(), figures(one))).collect(),
                    metrics: summary
                        .metrics
                        .iter()
                        .map(|(name, one)| (name.clone(), one.value))
                        .collect(),
                    verdict: record.verdict,
                })
            })
            .collect()
    }

    /// Whether two entries may stand in one series.
    pub fn is_like(&self, other: &Self) -> bool {
        (&self.subject, &self.workload_sha256, &self.place) == (&other.subject, &other.workload_sha256, &other.place)
    }

    /// Whether its figures say something about its subject.
    pub fn is_trusted(&self) -> bool {
        !matches!(
            self.verdict,
            Verdict::Invalid | Verdict::Interrupted | Verdict::Unavailable
        )
    }
}

fn place(record: &Record, subject: &Subject) -> String {
    let (machine, workload) = (&record.machine, &record.workload);
    let model = format!("{:?} model", workload.model).to_lowercase();
    let load = match (workload.users, workload.rate_per_s) {
        (Some(users), _) => format!(", {users} users"),
        (None, Some(rate)) => format!(", {rate}/s"),
        (None, None) => String::new(),
    };
    let arrivals = workload
        .arrivals
        .as_ref()
        .map_or_else(String::new, |how| format!(", {how}"));
    let WorkloadId {
        warm_up_s, measure_s, ..
    } = workload;
    let stack = record.stack.iter().map(|(name, server)| {
        let settings = server.settings.iter().map(|(key, value)| format!(" {key}={value}"));
        format!(
            ", {name} {} {}{}",
            server.provider,
            server.version,
            settings.collect::<String>()
        )
    });
    let transport = record.transport_of(&subject.name);
    // Series of before are of the ordinary way, which they do not name.
    let way = if transport == Transport::default() {
        String::new()
    } else {
        format!(
            ", {} on {} streams, encryption: {}",
            transport.protocol,
            transport.streams,
            transport.encryption()
        )
    };
    let env = subject.env.iter().map(|(key, value)| format!(", {key}={value}"));
    format!(
        "{}, {} cores, {model}{load}{arrivals}, {warm_up_s} s + {measure_s} s a launch{way}{}{}",
        machine.cpu,
        machine.cores,
        stack.collect::<String>(),
        env.collect::<String>()
    )
}

fn figures(endpoint: &crate::record::EndpointSummary) -> EndpointEntry {
    EndpointEntry {
        count: endpoint.count,
        error_rate: endpoint.error_rate,
        p50_ms: endpoint.p50_ms,
        p95_ms: endpoint.p95_ms,
        p99_ms: endpoint.p99_ms,
    }
}

/// The p95 of every endpoint over the entries that are like the last one, in the order of their time. Runs that were
/// not valid, and those that did not come to their end, are left out: their figures say nothing about the subject.
pub fn p95_trends(entries: &[Entry]) -> Vec<Trend> {
    let own = comparable(entries);
    let names: std::collections::BTreeSet<&String> = own.iter().flat_map(|entry| entry.endpoints.keys()).collect();
    names
        .into_iter()
        .map(|name| trend(name, &own, |entry| Some(entry.endpoints.get(name)?.p95_ms)))
        .collect()
}

/// A metric over the same entries.
pub fn metric_trend(entries: &[Entry], metric: &str) -> Trend {
    trend(metric, &comparable(entries), |entry| entry.metrics.get(metric).copied())
}

fn comparable(entries: &[Entry]) -> Vec<&Entry> {
    let Some(last) = entries.last() else { return vec![] };
    let mut own: Vec<&Entry> = entries
        .iter()
        .filter(|entry| entry.is_like(last) && entry.is_trusted())
        .collect();
    own.sort_by_key(|entry| entry.at);
    own
}

fn trend(name: &str, entries: &[&Entry], value: impl Fn(&Entry) -> Option<f64>) -> Trend {
    let points: Vec<TrendPoint> = entries
        .iter()
        .filter_map(|entry| {
            Some(TrendPoint {
                id: entry.id.clone(),
                at: entry.at,
                git: entry.git.clone(),
                value: value(entry)?,
            })
        })
        .collect();
    let values: Vec<f64> = points.iter().map(|point| point.value).collect();
    Trend {
        name: name.to_owned(),
        changes: change_points(&values),
        points,
    }
}

#[cfg(test)]
mod tests;
