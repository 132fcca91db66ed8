//! Draws a record: one offline HTML file, Markdown for a pull request, `JUnit` XML for a build server.
//!
//! Here belongs what turns figures into words, tables and pictures. Here does not belong anything that derives a figure
//! from another one (invariant 6: `reports` computes no statistic): every number shown stands in the record, and only
//! its unit, its rounding and its place on an axis are decided here.
//!
//! | room | for |
//! |---|---|
//! | `view` | looking things up in a record in the order in which reports show them |
//! | `words`, `rows`, `findings` | verdicts, comparisons and targets as text; everything judged in one list |
//! | `charts` | the plots, as inline SVG |
//! | `document` | headings, paragraphs and tables as Markdown, HTML and text for a terminal |
//! | `sections`, `table`, `html`, `junit`, `github`, `verdict_json` | the outputs; the page is in `templates/` |
//!
//! Titles and units of metrics, and the number format, are `measure`'s (`metrics`, `figures`).
//!
//! A record may be partial, for example of a run that was interrupted: what is missing is shown as missing.

mod charts;
mod document;
mod findings;
mod github;
mod html;
mod junit;
mod rows;
mod sections;
mod table;
mod verdict_json;
mod view;
mod words;

use measure::history::Trend;
use measure::record::Record;

/// Why a report could not be written.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// A plot could not be drawn.
    #[error("the plot `{figure}` could not be drawn: {reason}; the record itself is not affected")]
    Plot {
        /// Which plot.
        figure: String,
        /// Message of the drawing library.
        reason: String,
    },
    /// The page could not be put together.
    #[error("the HTML page could not be put together: {0}; the record itself is not affected")]
    Page(#[from] askama::Error),
    /// The test suite could not be put together.
    #[error("the JUnit suite could not be put together: {0}; the record itself is not affected")]
    Suite(#[from] quick_junit::SerializeError),
}

/// The record as one self-contained HTML page: no script, and nothing is loaded from elsewhere.
pub fn html(record: &Record) -> Result<String, ReportError> {
    html::page(record)
}

/// The record as Markdown for a pull request: the verdict, the targets, the endpoints.
pub fn markdown(record: &Record) -> String {
    document::markdown(&sections::summary(record, None))
}

/// The record as Markdown with a link to `report` below the verdict: an address, or a path beside it.
pub fn pull_request(record: &Record, report: &str) -> String {
    document::markdown(&sections::summary(record, Some(report)))
}

/// Everything judged as one table for a terminal of `width` columns (as wide as it needs without one): the verdict
/// first, then what needs a look.
pub fn table(record: &Record, width: Option<u16>) -> String {
    table::table(record, width)
}

/// Annotations for GitHub Actions: workflow commands, one line each, for standard output. Empty for a run that passed.
/// The step summary is [`markdown`].
pub fn annotations(record: &Record) -> String {
    github::annotations(record)
}

/// The verdict for machines: JSON with verdict, exit code, failed checks, targets, comparisons and how the gate
/// decided.
pub fn verdict_json(record: &Record) -> String {
    verdict_json::document(record)
}

/// The history of a subject as one self-contained HTML page: a plot per trend, with its changes of level and the
/// revision since which they hold. `skipped` says which lines of the history could not be read.
pub fn trends(subject: &str, trends: &[Trend], skipped: &[String]) -> Result<String, ReportError> {
    html::trend::page(subject, trends, skipped)
}

/// The record in short for a terminal: the verdict, the targets and the endpoints, with tables as wide as they need.
pub fn text(record: &Record) -> String {
    document::text(&sections::summary(record, None), None)
}

/// The record as a `JUnit` test suite: the run, each self-check, each target and each comparison is a test case.
///
/// A missed target, a failed check and a regression are failures; what was not measured or could not be decided is
/// skipped with its reason; a run that did not come about is an error.
pub fn junit(record: &Record) -> Result<String, ReportError> {
    junit::suite(record)
}
