//! Resources that the subjects used: metrics of a subject as a whole, and comparisons that are not about latency.

use measure::figures;
use measure::metrics::{self, Metric};
use measure::record::{Family, MetricSummary};

use crate::charts;
use crate::rows::Compared;
use crate::view::View;

/// The section.
pub(super) struct Resources<'a> {
    pub(super) rows: Vec<Row>,
    pub(super) comparisons: Vec<Compared<'a>>,
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

pub(super) fn resources(view: View<'_>) -> Resources<'_> {
    let comparisons = view.record.comparisons.iter();
    let others = comparisons.filter(|comparison| comparison.family != Family::LatencyP95);
    Resources {
        rows: view.metrics().into_iter().map(|metric| row(view, metric)).collect(),
        comparisons: others.map(Compared::new).collect(),
    }
}

fn row(view: View<'_>, name: &str) -> Row {
    let metric = metrics::describe(name);
    let summaries: Vec<_> = view
        .numbered()
        .map(|(number, subject)| (number, view.metric(&subject.name, name)))
        .collect();
    // A share is drawn against 100 %, everything else against the largest value of its row.
    let least = if metric.is_share() { 1.0 } else { 0.0 };
    let values = summaries
        .iter()
        .filter_map(|(_, summary)| summary.map(|summary| summary.value));
    let longest = values.fold(least, f64::max);
    let cells = summaries
        .iter()
        .map(|(number, summary)| summary.map(|summary| cell(summary, &metric, longest, *number)));
    Row {
        cells: cells.collect(),
        title: metric.title().to_owned(),
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
        value: figures::quantity(summary.value, metric.unit),
        interval: summary.ci.map(|interval| figures::interval(interval, metric.unit)),
        series: charts::series(number),
        bar: format!("{:.1}", share * 100.0),
    }
}
