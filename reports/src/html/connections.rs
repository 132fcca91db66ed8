//! How requests travelled: protocol and encryption, connections and handshakes, waits for a stream.

use measure::figures::{count, number};
use measure::record::{ConnectionSummary, StepTimes};

use crate::charts;
use crate::document::Kind::{Name, Number, Words};
use crate::document::{Cell, Table};
use crate::view::View;

/// None where nothing counted connections.
pub(crate) fn table(view: View<'_>) -> Option<Table> {
    let rows = view.numbered().filter_map(|(number, subject)| {
        let found = view.connections(&subject.name)?;
        Some((Cell::subject(&subject.name, charts::series(number)), found))
    });
    let table = Table::of(
        rows,
        &[
            (Name, "Subject", |(subject, _)| subject.clone()),
            (Words, "Protocol", |(_, found)| protocol(found)),
            (Words, "Encryption", |(_, found)| encryption(found)),
            (Number, "Connections made", |(_, found)| count(found.opened).into()),
            (Number, "Requests on each", |(_, found)| {
                found.requests_per_connection.map(number).into()
            }),
            (Number, "Connecting, p50 / p95", |(_, found)| {
                step(found.connect.as_ref())
            }),
            (Number, "Full handshakes", |(_, found)| {
                step(found.full_handshakes.as_ref())
            }),
            (Number, "Resumed handshakes", |(_, found)| {
                step(found.resumed_handshakes.as_ref())
            }),
            (Number, "Waits for a stream", |(_, found)| {
                step(found.stream_waits.as_ref())
            }),
        ],
    );
    let table = table.captioned(
        "Table of connections",
        "Connections made in the measured phase; p50 / p95 in milliseconds and how often, warm-up included. A request \
         that needs a connection waits for it, and its response time contains that",
    );
    table.if_any()
}

/// The section.
pub(super) struct ConnectionSection {
    pub(super) table: Table,
    /// Absent where no redirect was followed.
    pub(super) hops: Option<Table>,
    /// Absent where no answer came compressed.
    pub(super) compressed: Option<Table>,
}

/// None where nothing counted connections.
pub(super) fn section(view: View<'_>) -> Option<ConnectionSection> {
    Some(ConnectionSection {
        table: table(view)?,
        hops: hops(view),
        compressed: compressed(view),
    })
}

fn hops(view: View<'_>) -> Option<Table> {
    let subjects = view.subjects().iter();
    let rows = subjects.flat_map(|subject| {
        let found = view
            .connections(&subject.name)
            .into_iter()
            .flat_map(|found| &found.hops);
        found.map(move |(endpoint, times)| (subject.name.as_str(), endpoint.as_str(), times))
    });
    let table = Table::of(
        rows,
        &[
            (Name, "Endpoint", |(_, endpoint, _)| (*endpoint).into()),
            (Words, "Subject", |(subject, ..)| (*subject).into()),
            (Number, "Requests on the way", |(.., times)| count(times.count).into()),
            (Number, "p50, ms", |(.., times)| number(times.p50_ms).into()),
            (Number, "p95, ms", |(.., times)| number(times.p95_ms).into()),
            (Number, "longest, ms", |(.., times)| number(times.max_ms).into()),
        ],
    );
    let caption = "Endpoints that follow redirects: each request on the way; their own figures are of the whole way";
    table.captioned("Table of redirects", caption).if_any()
}

fn compressed(view: View<'_>) -> Option<Table> {
    let subjects = view.subjects().iter();
    let rows = subjects.flat_map(|subject| {
        let found = view
            .connections(&subject.name)
            .into_iter()
            .flat_map(|found| &found.compressed);
        found.map(move |(endpoint, sizes)| (subject.name.as_str(), endpoint.as_str(), sizes))
    });
    let table = Table::of(
        rows,
        &[
            (Name, "Endpoint", |(_, endpoint, _)| (*endpoint).into()),
            (Words, "Subject", |(subject, ..)| (*subject).into()),
            (Number, "Bytes as they came", |(.., sizes)| count(sizes.bytes).into()),
            (Number, "Bytes of content", |(.., sizes)| {
                count(sizes.content_bytes).into()
            }),
        ],
    );
    table
        .captioned("Table of compressed answers", "Answers that came compressed")
        .if_any()
}

fn protocol(found: &ConnectionSummary) -> Cell {
    let transport = &found.transport;
    let cell = Cell::from(transport.protocol.as_str());
    if transport.streams > 1 {
        cell.with_small(format!("{} streams on a connection", transport.streams))
    } else {
        cell
    }
}

fn encryption(found: &ConnectionSummary) -> Cell {
    let transport = &found.transport;
    let Some(tls) = &transport.tls else {
        return "none".into();
    };
    let cell = Cell::from(tls.as_str());
    match (transport.is_insecure, transport.has_client_certificate) {
        (true, _) => cell.with_small("the server's certificate was not verified"),
        (false, true) => cell.with_small("with a certificate of our own"),
        (false, false) => cell,
    }
}

fn step(times: Option<&StepTimes>) -> Cell {
    let shown = times.map(|times| {
        let cell = Cell::from(format!("{} / {}", number(times.p50_ms), number(times.p95_ms)));
        cell.with_small(format!("{} times", count(times.count)))
    });
    shown.into()
}
