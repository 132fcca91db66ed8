//! Failures: how many of each class, at which endpoint, and examples of what came instead.

use measure::figures::count;
use measure::record::{ALL_ENDPOINTS, EndpointSummary, FailureGroup};

use crate::charts;
use crate::document::Kind::{Code, Name, Number, Prose, Words};
use crate::document::{Cell, Table};
use crate::view::View;
use crate::words::endpoint_title;

/// Kinds of failures that are shown; the record has all of them.
const SHOWN: usize = 20;

/// The section.
pub(super) struct Failures {
    pub(super) classes: Table,
    /// None in records of builds that kept no examples.
    pub(super) examples: Option<Table>,
}

/// None where everything was answered as expected, and nothing was sent twice.
pub(super) fn failures(view: View<'_>) -> Option<Failures> {
    Some(Failures {
        classes: classes(view)?,
        examples: examples(view),
    })
}

/// An endpoint of a subject of which some requests failed or were sent twice.
struct Failing<'a> {
    subject: Cell,
    endpoint: &'a str,
    summary: &'a EndpointSummary,
}

/// Requests of the measured phases by class, a row per endpoint and subject; the whole mix first.
pub(crate) fn classes(view: View<'_>) -> Option<Table> {
    let rows = view.numbered().flat_map(|(number, subject)| {
        let of_subject = view.endpoints().into_iter().filter_map(move |endpoint| {
            let summary = view.latency(&subject.name, endpoint)?;
            let is_shown = !summary.failures.is_empty() || summary.repeated > 0;
            is_shown.then(|| Failing {
                subject: Cell::subject(&subject.name, charts::series(number)),
                endpoint,
                summary,
            })
        });
        let mut of_subject: Vec<Failing<'_>> = of_subject.collect();
        of_subject.sort_by_key(|row| row.endpoint != ALL_ENDPOINTS);
        of_subject
    });
    let table = Table::of(
        rows,
        &[
            (Name, "Subject", |row| row.subject.clone()),
            (Words, "Endpoint", |row| endpoint_title(row.endpoint).into()),
            (Number, "Failed", |row| {
                let failed = row.summary.failures.total();
                Cell::from(count(failed)).bad_if(failed > 0)
            }),
            (Prose, "By class", |row| row.summary.failures.describe().into()),
            (Number, "Sent twice", |row| count(row.summary.repeated).into()),
        ],
    );
    table
        .captioned(
            "Table of failures by class",
            "Requests of the measured phases without an answer as expected",
        )
        .if_any()
}

/// A kind of failure with what came instead; most frequent first.
pub(crate) fn examples(view: View<'_>) -> Option<Table> {
    let groups: Vec<(&str, &FailureGroup)> = view
        .subjects()
        .iter()
        .flat_map(|subject| {
            let groups = view.record.summary.get(&subject.name).map(|summary| &summary.failures);
            let groups = groups.into_iter().flatten();
            groups.map(|group| (subject.name.as_str(), group))
        })
        .collect();
    let more = match groups.len().saturating_sub(SHOWN) {
        0 => String::new(),
        more => format!("; {more} more kinds are in the record"),
    };
    let table = Table::of(
        groups.into_iter().take(SHOWN),
        &[
            (Number, "Failures", |(_, group)| count(group.count).into()),
            (Words, "Kind", |(_, group)| group.kind().into()),
            (Words, "Endpoint", |(_, group)| group.endpoint.as_str().into()),
            (Words, "Subject", |(subject, _)| (*subject).into()),
            (Code, "Examples", |(_, group)| Cell::code(group.examples.clone())),
        ],
    );
    let caption = format!("Kinds of failures with examples, warm-up and drain included{more}");
    table.captioned("Table of kinds of failures", caption).if_any()
}
