//! Live streams: what clients were owed, and what of it did not come, came twice or out of order.

use measure::figures::count;
use measure::record::StreamSummary;

use crate::charts;
use crate::document::Kind::{Name, Number, Words};
use crate::document::{Cell, Table};
use crate::view::View;

/// None where no stream was watched.
pub(crate) fn table(view: View<'_>) -> Option<Table> {
    let rows = view.numbered().flat_map(|(number, subject)| {
        let name = Cell::subject(&subject.name, charts::series(number));
        let found = view.streams(&subject.name);
        found.map(move |(stream, sums)| (name.clone(), stream.as_str(), sums))
    });
    let table = Table::of(
        rows,
        &[
            (Name, "Subject", |(subject, ..)| subject.clone()),
            (Words, "Stream", |(_, stream, _)| (*stream).into()),
            (Number, "Clients", |(.., sums)| count(sums.clients).into()),
            (Number, "Messages owed", |(.., sums)| count(sums.owed).into()),
            (Number, "Missed", |(.., sums)| fault(sums.missed)),
            (Number, "Twice", |(.., sums)| fault(sums.doubled)),
            (Number, "Out of order", |(.., sums)| fault(sums.reordered)),
            (Number, "Clients that came back", |(.., sums)| came_back(sums)),
        ],
    );
    let table = table.captioned(
        "Table of live streams",
        "Messages that clients were owed by acknowledged writes, over whole rounds; their times stand among the \
         endpoints",
    );
    table.if_any()
}

fn fault(number: u64) -> Cell {
    Cell::from(count(number)).strong().bad_if(number > 0)
}

fn came_back(sums: &StreamSummary) -> Cell {
    let cell = Cell::from(count(sums.came_back));
    match sums.reasons.iter().max_by_key(|(_, times)| **times) {
        Some((why, _)) => cell.with_small(crate::words::printable(why)),
        None => cell,
    }
}
