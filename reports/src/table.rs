//! What was judged, as a table for a terminal: the verdict first, then what needs a look.

use comfy_table::{CellAlignment, ContentArrangement, Table, presets};
use measure::record::{Comparison, Outcome, Record, TargetResult, TargetVerdict};

use crate::format;
use crate::metrics;
use crate::view::{TARGET_ORDER, View, endpoint_title};
use crate::words::{self, mark};

/// In what order comparisons are shown.
const OUTCOME_ORDER: [Outcome; 6] = [
    Outcome::Regress,
    Outcome::Inconclusive,
    Outcome::InsufficientData,
    Outcome::SlowerWithinTolerance,
    Outcome::Improved,
    Outcome::Pass,
];

/// The whole text.
pub(crate) fn table(record: &Record, width: Option<u16>) -> String {
    let parts = [
        verdict(record),
        rows(record, width),
        undecided(record),
        baseline(record),
        failed_checks(record),
    ];
    parts
        .into_iter()
        .filter(|part| !part.is_empty())
        .collect::<Vec<_>>()
        .join("\n\n")
}

fn verdict(record: &Record) -> String {
    let word = words::verdict(record.verdict);
    let heading = format!(
        "{}: {} (exit code {})",
        mark(word),
        View { record }.compared(),
        record.exit_code
    );
    words::printable(&format!("{heading}\n{}", record.verdict_reason))
}

fn rows(record: &Record, width: Option<u16>) -> String {
    let view = View { record };
    let targets = TARGET_ORDER
        .iter()
        .flat_map(|verdict| view.targets(*verdict))
        .map(target);
    let own = in_order(&record.comparisons).map(|one| comparison("÷ before", one));
    let baseline = record
        .baseline
        .iter()
        .flat_map(|baseline| in_order(&baseline.comparisons));
    let rows: Vec<[String; 5]> = targets
        .chain(own)
        .chain(baseline.map(|one| comparison("÷ baseline", one)))
        .collect();
    if rows.is_empty() {
        return String::new();
    }
    let mut table = Table::new();
    table
        .load_style(presets::NOTHING)
        .set_header(["", "what", "asked", "seen", "could see"]);
    if let Some(width) = width {
        table
            .set_content_arrangement(ContentArrangement::Dynamic)
            .set_width(width);
    }
    for row in rows {
        table.add_row(row.map(|cell| words::printable(&cell)));
    }
    for index in 2..5 {
        if let Some(column) = table.column_mut(index) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    let lines: Vec<String> = table.lines().map(|line| line.trim_end().to_owned()).collect();
    lines.join("\n")
}

fn in_order(comparisons: &[Comparison]) -> impl Iterator<Item = &Comparison> {
    let of = |outcome: Outcome| comparisons.iter().filter(move |one| one.outcome == outcome);
    OUTCOME_ORDER.into_iter().flat_map(of)
}

/// `✗ missed | P0 p95 latency of driver_details | < 10 ms | 12 ms (11 to 13 ms) |`
fn target(target: &TargetResult) -> [String; 5] {
    let unit = metrics::describe(&target.metric).unit;
    let interval = words::observed_interval(target).map_or(String::new(), |interval| format!(" ({interval})"));
    [
        mark(words::target(target.verdict)),
        format!("{} {}", words::priority(target.priority), words::target_title(target)),
        words::limit(target.limit, unit),
        words::observed(target).map_or_else(|| "–".to_owned(), |observed| observed + &interval),
        String::new(),
    ]
}

fn comparison(what: &str, comparison: &Comparison) -> [String; 5] {
    [
        mark(words::outcome(comparison.outcome)),
        format!(
            "{} of {} {what}",
            words::family(&comparison.family),
            endpoint_title(&comparison.endpoint)
        ),
        String::new(),
        words::ratio(comparison).unwrap_or_else(|| "–".to_owned()),
        comparison
            .mde
            .map_or_else(String::new, |mde| format!("+{}", format::percent(mde))),
    ]
}

/// Why a target could not be decided, or was not measured.
fn undecided(record: &Record) -> String {
    let open = record
        .targets
        .iter()
        .filter(|target| matches!(target.verdict, TargetVerdict::Inconclusive | TargetVerdict::NotMeasured));
    let lines: Vec<String> = open
        .map(|target| words::printable(&format!("{}: {}", target.id, target.detail)))
        .collect();
    lines.join("\n")
}

/// What the comparison with a baseline can and cannot show.
fn baseline(record: &Record) -> String {
    let Some(baseline) = &record.baseline else {
        return String::new();
    };
    let mut lines = vec![
        format!("The baseline shows {}.", baseline.shows),
        format!("It cannot show {}.", baseline.cannot_show),
    ];
    lines.extend(baseline.notes.iter().map(|note| format!("note: {note}")));
    words::printable(&lines.join("\n"))
}

fn failed_checks(record: &Record) -> String {
    let failed = record.checks.iter().filter(|check| !check.ok);
    let lines: Vec<String> = failed
        .map(|check| words::printable(&format!("self-check failed: {} ({})", check.name, check.detail)))
        .collect();
    lines.join("\n")
}
