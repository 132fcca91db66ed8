//! Consistency under load: stale reads with examples, and how long a write took to be seen.

use measure::figures::{count, number};
use measure::record::{ConsistencySummary, Round, StaleRead};

use crate::ReportError;
use crate::charts;
use crate::document::Kind::{Name, Number, Words};
use crate::document::{Cell, Table};
use crate::view::View;

/// Examples on the page; the record has more.
const SHOWN: usize = 10;

/// The section.
pub(super) struct Consistency {
    pub(super) table: Table,
    pub(super) examples: Option<Table>,
    pub(super) plot: Option<String>,
}

/// None where no version was followed.
pub(super) fn consistency(view: View<'_>) -> Result<Option<Consistency>, ReportError> {
    let rows = view.numbered().filter_map(|(number, subject)| {
        let found = view.consistency(&subject.name)?;
        Some((Cell::subject(&subject.name, charts::series(number)), found))
    });
    let table = Table::of(
        rows,
        &[
            (Name, "Subject", |(subject, _)| subject.clone()),
            (Number, "Stale reads", |(_, found)| stale_reads(found)),
            (Number, "Reads judged", |(_, found)| count(found.reads).into()),
            (Number, "Writes", |(_, found)| count(found.writes).into()),
            (Number, "Bound", |(_, found)| number(found.bound_ms).into()),
            (Number, "Seen everywhere after, p50", |(_, found)| {
                number(found.propagation_p50_ms).into()
            }),
            (Number, "p99", |(_, found)| number(found.propagation_p99_ms).into()),
            (Number, "longest", |(_, found)| number(found.propagation_max_ms).into()),
        ],
    );
    let table = table.captioned(
        "Table of stale reads",
        "Reads that began later than the bound after an acknowledged write and still returned an older version; \
         times in milliseconds",
    );
    if table.is_empty() {
        return Ok(None);
    }
    Ok(Some(Consistency {
        table,
        examples: examples(view),
        plot: charts::propagation(view)?,
    }))
}

fn stale_reads(found: &ConsistencySummary) -> Cell {
    let cell = Cell::from(count(found.stale_reads)).strong();
    cell.bad_if(found.stale_reads > 0)
}

/// None without any.
fn examples(view: View<'_>) -> Option<Table> {
    let rounds = view.record.rounds.iter();
    let mut rows: Vec<(&Round, &StaleRead)> = rounds
        .flat_map(|round| {
            let found = round.consistency.iter().flat_map(|consistency| &consistency.examples);
            found.map(move |read| (round, read))
        })
        .collect();
    let more = match rows.len().saturating_sub(SHOWN) {
        0 => String::new(),
        more => format!("; {more} more are in the record"),
    };
    rows.truncate(SHOWN);
    let table = Table::of(
        rows,
        &[
            (Name, "Entity", |(_, read)| read.entity.as_str().into()),
            (Words, "Endpoint", |(_, read)| read.endpoint.as_str().into()),
            (Words, "Subject", |(round, _)| round.subject.as_str().into()),
            (Number, "Block", |(round, _)| (round.block + 1).to_string().into()),
            (Number, "At, ms", |(_, read)| number(read.at_ms).into()),
            (Number, "After the write, ms", |(_, read)| number(read.behind_ms).into()),
            (Number, "Expected version", |(_, read)| {
                read.expected_version.to_string().into()
            }),
            (Number, "Seen version", |(_, read)| read.seen_version.to_string().into()),
        ],
    );
    table
        .captioned("Examples of stale reads", format!("Examples{more}"))
        .if_any()
}
