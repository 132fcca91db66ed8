//! The page of trends: every figure over the runs of a history, and since which commit it is what it is.

use askama::Template;
use measure::history::Trend;

use crate::ReportError;
use crate::charts;
use crate::format::{self, Unit};
use crate::view::endpoint_title;

/// Everything on the page.
#[derive(Template)]
#[template(path = "trend.html")]
struct Page {
    subject: String,
    runs: usize,
    figures: Vec<Figure>,
    skipped: Vec<String>,
}

/// One trend.
struct Figure {
    title: String,
    plot: Option<String>,
    changes: Vec<Change>,
}

/// One change of level.
struct Change {
    since: String,
    when: String,
    from: String,
    to: String,
    speed: String,
    tone: &'static str,
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
    let title = format!("p95 of {}", endpoint_title(&trend.name));
    Ok(Figure {
        plot: charts::trend(&title, trend, index)?,
        title,
        changes: trend.changes.iter().map(|change| described(trend, change)).collect(),
    })
}

fn described(trend: &Trend, change: &measure::history::change::ChangePoint) -> Change {
    let point = &trend.points[change.index];
    let ratio = change.after / change.before;
    Change {
        since: point.git.clone().unwrap_or_else(|| point.id.clone()),
        when: format::moment(&point.at),
        from: format::quantity(change.before, Unit::Milliseconds),
        to: format::quantity(change.after, Unit::Milliseconds),
        speed: format::speed(ratio).unwrap_or_default(),
        tone: if ratio > 1.0 { "bad" } else { "good" },
    }
}
