//! Everything judged as one table for a terminal: the verdict first, then what needs a look.

use measure::record::{Comparison, Outcome, Record, TargetVerdict};

use crate::document::Kind::{Number, Words};
use crate::document::{Cell, Table};
use crate::rows::{Compared, Target};
use crate::view::View;
use crate::words::{self, mark, printable};

/// In what order comparisons are shown.
const OUTCOME_ORDER: [Outcome; 6] = [
    Outcome::Regress,
    Outcome::Inconclusive,
    Outcome::InsufficientData,
    Outcome::SlowerWithinTolerance,
    Outcome::Improved,
    Outcome::Pass,
];

/// The whole text, for a terminal of `width` columns.
pub(crate) fn table(record: &Record, width: Option<u16>) -> String {
    let parts = [
        verdict(record),
        rows(record, width),
        undecided(record),
        notes(record),
        baseline(record),
        failed_checks(record),
    ];
    let parts: Vec<String> = parts.into_iter().filter(|part| !part.is_empty()).collect();
    parts.join("\n\n")
}

fn verdict(record: &Record) -> String {
    let heading = format!(
        "{}: {} (exit code {})",
        mark(words::verdict(record.verdict)),
        View { record }.compared(),
        record.exit_code
    );
    printable(&format!("{heading}\n{}", record.verdict_reason))
}

fn rows(record: &Record, width: Option<u16>) -> String {
    let targets = View { record }.targets_in_order().map(target);
    let own = in_order(&record.comparisons).map(|one| comparison("÷ before", one));
    let baseline = record
        .baseline
        .iter()
        .flat_map(|baseline| in_order(&baseline.comparisons));
    let rows = targets
        .chain(own)
        .chain(baseline.map(|one| comparison("÷ baseline", one)));
    let columns = [
        (Words, ""),
        (Words, "what"),
        (Number, "asked"),
        (Number, "seen"),
        (Number, "could see"),
    ];
    let table = Table::new(&columns, rows);
    if table.is_empty() {
        String::new()
    } else {
        table.text(width)
    }
}

fn in_order(comparisons: &[Comparison]) -> impl Iterator<Item = Compared<'_>> {
    let of = |outcome: Outcome| comparisons.iter().filter(move |one| one.outcome == outcome);
    OUTCOME_ORDER.into_iter().flat_map(of).map(Compared::new)
}

/// `✗ missed | P0 p95 latency of driver_details | < 10 ms | 12 ms (11 to 13 ms) |`
fn target(target: Target<'_>) -> Vec<Cell> {
    let (what, seen) = (format!("{} {}", target.priority, target.title), target.seen());
    vec![
        target.word.into(),
        what.into(),
        target.asked.into(),
        seen.into(),
        "".into(),
    ]
}

fn comparison(what: &str, compared: Compared<'_>) -> Vec<Cell> {
    let ratio = compared.if_compared();
    let what = format!("{} of {} {what}", compared.family, compared.endpoint);
    let mde = compared.mde.map_or_else(String::new, |mde| format!("+{mde}"));
    vec![compared.word.into(), what.into(), "".into(), ratio.into(), mde.into()]
}

/// Why a target could not be decided, or was not measured.
fn undecided(record: &Record) -> String {
    let open = record
        .targets
        .iter()
        .filter(|target| matches!(target.verdict, TargetVerdict::Inconclusive | TargetVerdict::NotMeasured));
    lines(open.map(|target| format!("{}: {}", target.id, target.detail)))
}

/// What a gate saw of machine, generator and residents.
fn notes(record: &Record) -> String {
    let notes = record.gate.iter().flat_map(|gate| &gate.notes);
    lines(notes.map(|note| format!("note: {note}")))
}

/// Reach and limits of the comparison with a baseline.
fn baseline(record: &Record) -> String {
    let Some(baseline) = &record.baseline else {
        return String::new();
    };
    let shows = [
        format!("The baseline shows {}.", baseline.shows),
        format!("It cannot show {}.", baseline.cannot_show),
    ];
    let notes = baseline.notes.iter().map(|note| format!("note: {note}"));
    lines(shows.into_iter().chain(notes))
}

fn failed_checks(record: &Record) -> String {
    let failed = record.checks.iter().filter(|check| !check.ok);
    lines(failed.map(|check| format!("self-check failed: {} ({})", check.name, check.detail)))
}

fn lines(lines: impl Iterator<Item = String>) -> String {
    lines.map(|line| printable(&line)).collect::<Vec<_>>().join("\n")
}
