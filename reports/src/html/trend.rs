//! The page of trends: every figure over the runs of a history, and since which commit it is what it is.

use askama::Template;
use measure::figures::{self, Unit};
use measure::history::Trend;
use measure::history::change::ChangePoint;
use measure::metrics;

use crate::ReportError;
use crate::charts;
use crate::document::Kind::{Name, Number, Words};
use crate::document::{Cell, Table};
use crate::words::endpoint_title;

/// Everything on the page.
#[derive(Template)]
#[template(path = "trend.html")]
struct Page {
    subject: String,
    runs: usize,
    figures: Vec<Figure>,
    skipped: Vec<String>,
}

/// One trend: the p95 of an endpoint, or a metric.
struct Figure {
    title: String,
    plot: Option<String>,
    /// None where the level never changed.
    changes: Option<Table>,
}

/// The whole page; `skipped` says which lines of the history could not be read.
pub(crate) fn page(subject: &str, trends: &[Trend], skipped: &[String]) -> Result<String, ReportError> {
    let figures = trends.iter().enumerate().map(figure).collect::<Result<Vec<_>, _>>()?;
    let page = Page {
        subject: subject.to_owned(),
        runs: trends.iter().map(|trend| trend.points.len()).max().unwrap_or(0),
        figures,
        skipped: skipped.to_vec(),
    };
    Ok(page.render()?)
}

fn figure((index, trend): (usize, &Trend)) -> Result<Figure, ReportError> {
    let (title, unit) = match metrics::find(&trend.name) {
        Some(metric) => (metric.title().to_owned(), metric.unit),
        None => (format!("p95 of {}", endpoint_title(&trend.name)), Unit::Milliseconds),
    };
    Ok(Figure {
        plot: charts::trend(&title, unit, trend, index)?,
        changes: (!trend.changes.is_empty()).then(|| changes(trend, unit)),
        title,
    })
}

fn changes(trend: &Trend, unit: Unit) -> Table {
    let columns = [
        (Name, "Since"),
        (Words, "Run at"),
        (Number, "From"),
        (Number, "To"),
        (Words, "Change"),
    ];
    let rows = trend.changes.iter().map(|change| cells(trend, change, unit));
    Table::new(&columns, rows).captioned("Changes of level", "Changes of level")
}

fn cells(trend: &Trend, change: &ChangePoint, unit: Unit) -> Vec<Cell> {
    let point = &trend.points[change.index];
    let quantity = |value| Cell::from(figures::quantity(value, unit));
    let ratio = change.after / change.before;
    vec![
        Cell::code(vec![point.git.clone().unwrap_or_else(|| point.id.clone())]),
        figures::moment(&point.at).into(),
        quantity(change.before),
        quantity(change.after),
        Cell::from(figures::speed(ratio).unwrap_or_default()).bad_if(ratio > 1.0),
    ]
}
