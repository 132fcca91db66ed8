//! What the subjects used: metrics of a subject as a whole, and comparisons that are not about latency.

use measure::record::{Comparison, MetricSummary};

use super::endpoints::{Compared, compared};
use crate::charts;
use crate::format::{self, Unit};
use crate::metrics::{self, Metric};
use crate::view::{View, endpoint_title};
use crate::words;

/// The section.
pub(super) struct Resources {
    pub(super) rows: Vec<Row>,
    pub(super) comparisons: Vec<ComparisonRow>,
}

/// One metric.
pub(super) struct Row {
    pub(super) title: String,
    pub(super) name: String,
    /// One per subject; none where it was not measured.
    pub(super) cells: Vec<Option<Cell>>,
}

/// One subject's value.
pub(super) struct Cell {
    pub(super) value: String,
    pub(super) interval: Option<String>,
    pub(super) series: usize,
    /// Length of the bar, per cent of the room.
    pub(super) bar: String,
}

/// A comparison outside the table of endpoints.
pub(super) struct ComparisonRow {
    pub(super) family: String,
    pub(super) endpoint: String,
    pub(super) subjects: String,
    pub(super) compared: Compared,
}

pub(super) fn resources(view: View<'_>) -> Resources {
    let others = view
        .record
        .comparisons
        .iter()
        .filter(|comparison| comparison.family != words::LATENCY);
    Resources {
        rows: view.metrics().into_iter().map(|metric| row(view, metric)).collect(),
        comparisons: others.map(comparison_row).collect(),
    }
}

fn row(view: View<'_>, name: &str) -> Row {
    let metric = metrics::describe(name);
    let summaries: Vec<_> = view
        .numbered()
        .map(|(number, subject)| (number, view.metric(&subject.name, name)))
        .collect();
    // A share is drawn against 100 %, everything else against the largest value of its row.
    let least = if metric.unit == Unit::Share { 1.0 } else { 0.0 };
    let values = summaries
        .iter()
        .filter_map(|(_, summary)| summary.map(|summary| summary.value));
    let longest = values.fold(least, f64::max);
    let cells = summaries
        .iter()
        .map(|(number, summary)| summary.map(|summary| cell(summary, &metric, longest, *number)));
    Row {
        cells: cells.collect(),
        title: metric.title.clone(),
        name: name.to_owned(),
    }
}

fn cell(summary: &MetricSummary, metric: &Metric, longest: f64, number: usize) -> Cell {
    let share = if longest > 0.0 {
        (summary.value / longest).clamp(0.0, 1.0)
    } else {
        0.0
    };
    Cell {
        value: format::quantity(summary.value, metric.unit),
        interval: summary.ci.map(|interval| format::interval(interval, metric.unit)),
        series: charts::series(number),
        bar: format!("{:.1}", share * 100.0),
    }
}

fn comparison_row(comparison: &Comparison) -> ComparisonRow {
    ComparisonRow {
        family: words::family(&comparison.family),
        endpoint: endpoint_title(&comparison.endpoint).to_owned(),
        subjects: format!("{} → {}", comparison.before, comparison.after),
        compared: compared(comparison),
    }
}
