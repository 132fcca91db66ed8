//! Topics of Kafka: which records were owed, what of them did not come, came twice or out of order, what the consumer
//! group made of them, and backlogs.

use measure::figures::count;
use measure::record::TopicSummary;

use crate::charts;
use crate::document::Kind::{Name, Number, Words};
use crate::document::{Cell, Table};
use crate::view::View;

/// None where no topic was watched.
pub(crate) fn table(view: View<'_>) -> Option<Table> {
    let rows = view.numbered().flat_map(|(number, subject)| {
        let name = Cell::subject(&subject.name, charts::series(number));
        let found = view.topics(&subject.name);
        found.map(move |(topic, sums)| (name.clone(), topic.as_str(), sums))
    });
    let table = Table::of(
        rows,
        &[
            (Name, "Subject", |(subject, ..)| subject.clone()),
            (Words, "Topic", |(_, topic, _)| (*topic).into()),
            (Number, "Records owed", |(.., sums)| owed(sums)),
            (Number, "Missed", |(.., sums)| fault(sums.missed)),
            (Number, "Twice", |(.., sums)| fault(sums.doubled)),
            (Number, "Out of order", |(.., sums)| fault(sums.reordered)),
            (Number, "Never committed", |(.., sums)| {
                sums.missed_effects.map_or_else(none, fault)
            }),
            (Number, "Most not committed", |(.., sums)| {
                sums.offset_lag_max.map_or_else(none, |lag| count(lag).into())
            }),
            (Number, "Not sent", |(.., sums)| sums.not_sent.map_or_else(none, fault)),
            (Number, "Backlog worked off", |(.., sums)| backlog(sums)),
        ],
    );
    let table = table.captioned(
        "Table of topics",
        "Records that were owed by acknowledged writes, and what their consumer group had not committed, over whole \
         rounds; their times stand among the endpoints",
    );
    table.if_any()
}

fn none() -> Cell {
    "–".into()
}

fn fault(number: u64) -> Cell {
    Cell::from(count(number)).strong().bad_if(number > 0)
}

/// What went wrong most often stands beside it.
fn owed(sums: &TopicSummary) -> Cell {
    let cell = Cell::from(count(sums.owed));
    match sums.reasons.iter().max_by_key(|(_, times)| **times) {
        Some((why, times)) => cell.with_small(format!("{} × {}", count(*times), crate::words::printable(why))),
        None => cell,
    }
}

/// "20,000 of 20,000, 336/s", and the rate of the producer.
fn backlog(sums: &TopicSummary) -> Cell {
    let Some(backlog) = &sums.backlog else { return none() };
    let rate = |per_s: Option<f64>| per_s.map_or_else(|| "–".to_owned(), |per_s| format!("{per_s:.0}/s"));
    let (done, all) = (count(backlog.worked_off), count(backlog.messages));
    Cell::from(format!("{done} of {all}, {}", rate(backlog.worked_off_per_s())))
        .bad_if(!backlog.is_worked_off())
        .with_small(format!("produced at {}", rate(backlog.produced_per_s())))
}
