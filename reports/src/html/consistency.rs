//! Consistency under load: stale reads with examples, and how long a write took to be seen.

use measure::record::{ConsistencySummary, StaleRead};

use crate::ReportError;
use crate::charts;
use crate::format;
use crate::view::View;

/// Examples on the page; the record has more.
const SHOWN: usize = 10;

/// The section.
pub(super) struct Consistency {
    pub(super) rows: Vec<Row>,
    pub(super) examples: Vec<Example>,
    /// Examples that are in the record only.
    pub(super) more: usize,
    pub(super) plot: Option<String>,
}

/// One subject.
pub(super) struct Row {
    pub(super) subject: String,
    pub(super) series: usize,
    pub(super) bound: String,
    pub(super) reads: String,
    pub(super) writes: String,
    pub(super) stale: String,
    pub(super) failing: bool,
    /// p50, p99, largest, milliseconds.
    pub(super) propagation: [String; 3],
}

/// One stale read.
pub(super) struct Example {
    pub(super) subject: String,
    pub(super) block: u32,
    pub(super) entity: String,
    pub(super) endpoint: String,
    pub(super) at: String,
    pub(super) behind: String,
    pub(super) expected: i64,
    pub(super) seen: i64,
}

/// None where no version was followed.
pub(super) fn consistency(view: View<'_>) -> Result<Option<Consistency>, ReportError> {
    let rows: Vec<Row> = view
        .numbered()
        .filter_map(|(number, subject)| {
            let found = view.consistency(&subject.name)?;
            Some(row(&subject.name, charts::series(number), found))
        })
        .collect();
    if rows.is_empty() {
        return Ok(None);
    }
    let mut examples = examples(view);
    let more = examples.len().saturating_sub(SHOWN);
    examples.truncate(SHOWN);
    Ok(Some(Consistency {
        rows,
        examples,
        more,
        plot: charts::propagation(view)?,
    }))
}

fn row(subject: &str, series: usize, found: &ConsistencySummary) -> Row {
    Row {
        subject: subject.to_owned(),
        series,
        bound: format::number(found.bound_ms),
        reads: format::count(found.reads),
        writes: format::count(found.writes),
        stale: format::count(found.stale_reads),
        failing: found.stale_reads > 0,
        propagation: [
            found.propagation_p50_ms,
            found.propagation_p99_ms,
            found.propagation_max_ms,
        ]
        .map(format::number),
    }
}

fn examples(view: View<'_>) -> Vec<Example> {
    let mut examples = Vec::new();
    for round in &view.record.rounds {
        let found = round.consistency.iter().flat_map(|consistency| &consistency.examples);
        examples.extend(found.map(|read| example(&round.subject, round.block + 1, read)));
    }
    examples
}

fn example(subject: &str, block: u32, read: &StaleRead) -> Example {
    Example {
        subject: subject.to_owned(),
        block,
        entity: read.entity.clone(),
        endpoint: read.endpoint.clone(),
        at: format::number(read.at_ms),
        behind: format::number(read.behind_ms),
        expected: read.expected_version,
        seen: read.seen_version,
    }
}
