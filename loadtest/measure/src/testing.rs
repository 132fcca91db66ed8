//! Builders for the tests of this package.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};

use crate::histogram::LatencyHistogram;
use crate::record::{
    Check, EndpointCounts, Machine, Model, PHASE_MEASURE, Phase, Ratio, Record, Round, SCHEMA_VERSION, Slice, Subject,
    Tool, Verdict, WorkloadId,
};

/// The golden case of STATISTICS section 1: differences of 8 blocks for 3 endpoints.
pub(crate) fn golden_series() -> [Vec<f64>; 3] {
    [
        vec![0.10, 0.07, 0.12, 0.03, 0.09, 0.11, 0.05, 0.08],
        vec![0.02, -0.01, 0.05, -0.04, 0.03, -0.02, 0.01, 0.04],
        vec![-0.03, 0.04, -0.02, 0.01, 0.05, -0.06, 0.02, -0.01],
    ]
}

#[track_caller]
pub(crate) fn assert_close(actual: f64, expected: f64, tolerance: f64) {
    assert!(
        (actual - expected).abs() <= tolerance,
        "{actual} is not {expected} +- {tolerance}"
    );
}

pub(crate) fn histogram_of(times_us: impl IntoIterator<Item = u64>) -> LatencyHistogram {
    let mut histogram = LatencyHistogram::new();
    times_us.into_iter().for_each(|us| histogram.record_us(us));
    histogram
}

/// The histogram of a second, as a slice keeps it.
pub(crate) fn seconds_of(times_us: &[u64]) -> String {
    let mut counts = crate::histogram::coarse();
    for us in times_us {
        counts.saturating_record(*us);
    }
    crate::histogram::SliceHistogram::from_counts(&counts).encode()
}

/// A round whose measured phase of 10 s answered `endpoints` in the given times, without errors.
pub(crate) fn round(block: u32, subject: &str, endpoints: &[(&str, Vec<u64>)]) -> Round {
    let counts: BTreeMap<_, _> = endpoints
        .iter()
        .map(|(name, times)| ((*name).to_owned(), counts_of(times)))
        .collect();
    let answers = counts.values().map(|endpoint| endpoint.count).sum();
    Round {
        block,
        order: block * 2,
        subject: subject.to_owned(),
        started_at: some_time(),
        phases: vec![Phase {
            name: PHASE_MEASURE.to_owned(),
            start_ms: 2000,
            end_ms: 12_000,
            endpoints: counts,
            ..Phase::default()
        }],
        slices: vec![Slice {
            start_ms: 0,
            count: answers,
            errors: 0,
            ..Slice::default()
        }],
        ..Round::default()
    }
}

fn counts_of(times_us: &[u64]) -> EndpointCounts {
    let histogram = histogram_of(times_us.iter().copied());
    EndpointCounts {
        count: histogram.len(),
        hdr: histogram.encode(),
        ..EndpointCounts::default()
    }
}

impl Round {
    pub(crate) fn with_probe(mut self, metric: &str, value: f64) -> Self {
        self.probes.insert(metric.to_owned(), value);
        self
    }

    pub(crate) fn with_ratio(mut self, metric: &str, numerator: u64, denominator: u64) -> Self {
        self.ratios.insert(metric.to_owned(), Ratio { numerator, denominator });
        self
    }

    /// Adds errors to an endpoint, to the phase and to its slice.
    pub(crate) fn with_errors(mut self, endpoint: &str, errors: u64) -> Self {
        self.phases[0].endpoints.get_mut(endpoint).unwrap().errors += errors;
        self.slices[0].errors += errors;
        self
    }
}

pub(crate) fn some_time() -> DateTime<Utc> {
    DateTime::parse_from_rfc3339("2026-11-23T10:15:00Z").unwrap().to_utc()
}

/// A small record that may be saved.
pub(crate) fn record() -> Record {
    Record {
        schema_version: SCHEMA_VERSION,
        id: "20261123T101500-7f3a".to_owned(),
        created_at: some_time(),
        command: "loadtest compare --seed 0".to_owned(),
        tool: Tool {
            version: "0.1.0".to_owned(),
            git: "4b5edd4".to_owned(),
            build: "release".to_owned(),
        },
        machine: Machine {
            cpu: "Example CPU".to_owned(),
            cores: 2,
            memory_mb: 7936,
            kernel: "6.1.0".to_owned(),
            virtualisation: "kvm".to_owned(),
        },
        workload: workload(),
        subjects: vec![subject("phase2")],
        checks: vec![Check {
            name: "fsync is on".to_owned(),
            ok: true,
            detail: "fsync = on".to_owned(),
            ..Check::default()
        }],
        verdict: Verdict::Pass,
        exit_code: 0,
        verdict_reason: "every measured target holds".to_owned(),
        ..Record::default()
    }
}

fn workload() -> WorkloadId {
    WorkloadId {
        name: "phase2-mix".to_owned(),
        sha256: "ab12".to_owned(),
        seed: 0,
        model: Model::Closed,
        users: Some(100),
        rate_per_s: None,
        think_time_mean_ms: Some(250.0),
        warm_up_s: 5.0,
        measure_s: 20.0,
        blocks: 3,
        ..WorkloadId::default()
    }
}

pub(crate) fn subject(name: &str) -> Subject {
    Subject {
        name: name.to_owned(),
        kind: "profile".to_owned(),
        profile: Some(name.to_owned()),
        git: None,
        binary_sha256: Some("cd34".to_owned()),
        env: BTreeMap::from([("PROFILE".to_owned(), name.to_owned())]),
    }
}
