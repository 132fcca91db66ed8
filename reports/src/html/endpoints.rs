//! The table of endpoints: one row per endpoint and subject.

use measure::record::{Comparison, EndpointSummary};

use crate::charts;
use crate::format::{self, Unit};
use crate::view::{View, endpoint_title};
use crate::words::{self, Word};

/// One endpoint.
pub(super) struct Group {
    pub(super) title: String,
    pub(super) rows: Vec<Row>,
}

/// One subject's figures of an endpoint.
pub(super) struct Row {
    pub(super) subject: String,
    pub(super) role: &'static str,
    pub(super) series: usize,
    /// None when nothing was measured.
    pub(super) latency: Option<Latency>,
    pub(super) comparison: Option<Compared>,
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
}

/// A comparison, as text.
pub(super) struct Compared {
    pub(super) ratio: String,
    pub(super) bounds: Option<String>,
    pub(super) speed: Option<String>,
    pub(super) word: Word,
    pub(super) mde: Option<String>,
}

pub(super) fn groups(view: View<'_>) -> Vec<Group> {
    let group = |endpoint: &str| Group {
        title: endpoint_title(endpoint).to_owned(),
        rows: rows(view, endpoint),
    };
    view.endpoints().into_iter().map(group).collect()
}

fn rows(view: View<'_>, endpoint: &str) -> Vec<Row> {
    let rows = view.numbered().map(|(index, subject)| Row {
        subject: subject.name.clone(),
        role: view.role(index),
        series: charts::series(index),
        latency: view.latency(&subject.name, endpoint).map(latency),
        comparison: view.comparison(words::LATENCY, endpoint, &subject.name).map(compared),
    });
    rows.collect()
}

fn latency(summary: &EndpointSummary) -> Latency {
    Latency {
        requests: format::count(summary.count),
        rps: format::number(summary.rps),
        errors: format::percent(summary.error_rate),
        failing: summary.error_rate > 0.0,
        censored: (summary.censored > 0).then(|| format::count(summary.censored)),
        times: (summary.count > 0).then(|| times(summary)),
    }
}

fn times(summary: &EndpointSummary) -> Times {
    Times {
        p50: format::number(summary.p50_ms),
        p95: format::number(summary.p95_ms),
        p95_interval: summary
            .p95_ci_ms
            .map(|interval| format::interval(interval, Unit::Plain)),
        p99: format::number(summary.p99_ms),
    }
}

pub(super) fn compared(comparison: &Comparison) -> Compared {
    Compared {
        ratio: format::number(comparison.ratio),
        bounds: words::ratio_bounds(comparison),
        speed: format::speed(comparison.ratio),
        word: words::outcome(comparison.outcome),
        mde: comparison.mde.map(format::percent),
    }
}
