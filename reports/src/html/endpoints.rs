//! The table of endpoints: one row per endpoint and subject.

use measure::figures::{self, Unit};
use measure::record::{EndpointSummary, Family};

use crate::charts;
use crate::rows::{Compared, share};
use crate::view::View;
use crate::words::endpoint_title;

/// One endpoint.
pub(super) struct Group<'a> {
    pub(super) title: String,
    pub(super) rows: Vec<Row<'a>>,
}

/// One subject's figures of an endpoint.
pub(super) struct Row<'a> {
    pub(super) subject: String,
    pub(super) role: &'static str,
    pub(super) series: usize,
    /// None when nothing was measured.
    pub(super) latency: Option<Latency>,
    pub(super) comparison: Option<Compared<'a>>,
}

/// Figures of a subject, as text; times without their unit, which stands in the head of the table.
pub(super) struct Latency {
    pub(super) requests: String,
    pub(super) rps: String,
    pub(super) errors: String,
    pub(super) failing: bool,
    pub(super) censored: Option<String>,
    pub(super) times: Option<Times>,
}

/// Percentiles, milliseconds; absent without answers.
pub(super) struct Times {
    pub(super) p50: String,
    pub(super) p95: String,
    pub(super) p95_interval: Option<String>,
    pub(super) p99: String,
    /// p50, p95 and p99 of the answers alone, where requests failed and count as slower.
    pub(super) answers: Option<String>,
}

pub(super) fn groups(view: View<'_>) -> Vec<Group<'_>> {
    let group = |endpoint: &'_ str| Group {
        title: endpoint_title(endpoint).to_owned(),
        rows: rows(view, endpoint),
    };
    view.endpoints().into_iter().map(group).collect()
}

fn rows<'a>(view: View<'a>, endpoint: &str) -> Vec<Row<'a>> {
    let rows = view.numbered().map(|(index, subject)| Row {
        subject: subject.name.clone(),
        role: view.role(index),
        series: charts::series(index),
        latency: view.latency(&subject.name, endpoint).map(latency),
        comparison: view
            .comparison(Family::LatencyP95, endpoint, &subject.name)
            .map(Compared::new),
    });
    rows.collect()
}

fn latency(summary: &EndpointSummary) -> Latency {
    Latency {
        requests: figures::count(summary.count),
        rps: figures::number(summary.rps),
        errors: share(summary.error_rate),
        failing: summary.error_rate > 0.0,
        censored: (summary.censored > 0).then(|| figures::count(summary.censored)),
        times: (summary.count > 0).then(|| times(summary)),
    }
}

fn times(summary: &EndpointSummary) -> Times {
    Times {
        p50: figures::milliseconds(summary.p50_ms),
        p95: figures::milliseconds(summary.p95_ms),
        p95_interval: summary
            .p95_ci_ms
            .map(|interval| figures::interval(interval, Unit::Plain)),
        p99: figures::milliseconds(summary.p99_ms),
        answers: summary.answers.as_ref().map(|answers| {
            let alone = [answers.p50_ms, answers.p95_ms, answers.p99_ms];
            alone.map(figures::milliseconds).join(" / ")
        }),
    }
}
