//! The open model: did the arrivals come as intended, and what part of the response time is waiting for the send?

use measure::figures::{count, number};

use crate::ReportError;
use crate::charts;
use crate::document::Kind::{Name, Number, Words};
use crate::document::{Cell, Table};
use crate::view::View;
use crate::words::endpoint_title;

/// The section.
pub(super) struct OpenModel {
    pub(super) arrivals: Option<Table>,
    pub(super) times: Option<Table>,
    pub(super) plots: Vec<String>,
}

/// None where nothing of an open model was measured.
pub(super) fn open_model(view: View<'_>) -> Result<Option<OpenModel>, ReportError> {
    let (arrivals, times) = (arrivals(view), times(view));
    if arrivals.is_none() && times.is_none() {
        return Ok(None);
    }
    let plots = view
        .numbered()
        .map(|(number, subject)| charts::response_and_service(view, number, subject))
        .collect::<Result<Vec<_>, _>>()?;
    Ok(Some(OpenModel {
        arrivals,
        times,
        plots: plots.into_iter().flatten().collect(),
    }))
}

/// Arrivals by subject; none in the closed model.
fn arrivals(view: View<'_>) -> Option<Table> {
    let rows = view.numbered().filter_map(|(number, subject)| {
        let arrivals = view.arrivals(&subject.name)?;
        Some((Cell::subject(&subject.name, charts::series(number)), arrivals))
    });
    let table = Table::of(
        rows,
        &[
            (Name, "Subject", |(subject, _)| subject.clone()),
            (Number, "Intended", |(_, of)| {
                format!("{}/s", number(of.intended_per_s)).into()
            }),
            (Number, "Answered", |(_, of)| {
                format!("{}/s", number(of.achieved_per_s)).into()
            }),
            (Number, "Late sends", |(_, of)| count(of.late).into()),
            (Number, "Dropped", |(_, of)| {
                Cell::from(count(of.dropped)).bad_if(of.dropped > 0)
            }),
            (Number, "Lateness p50", |(_, of)| number(of.lateness_p50_ms).into()),
            (Number, "p99", |(_, of)| number(of.lateness_p99_ms).into()),
            (Number, "largest", |(_, of)| number(of.lateness_max_ms).into()),
        ],
    );
    let about = "Arrivals of the measured phase, and how late they were sent against the schedule, milliseconds";
    table.captioned("Table of arrivals", about).if_any()
}

/// Response and service times by endpoint and subject; none in the closed model.
fn times(view: View<'_>) -> Option<Table> {
    let columns = [
        (Name, "Endpoint"),
        (Words, "Subject"),
        (Number, "p50"),
        (Number, "p95"),
        (Number, "p99"),
        (Number, "p99.9"),
        (Number, "mean"),
    ];
    let subjects = || view.subjects().iter().map(|subject| subject.name.as_str());
    let rows = view.endpoints().into_iter().flat_map(|endpoint| {
        let rows = subjects().filter_map(move |subject| time_cells(view, endpoint, subject));
        rows.collect::<Vec<_>>()
    });
    Table::new(&columns, rows)
        .captioned(
            "Table of response and service times",
            "Response time / service time, milliseconds",
        )
        .if_any()
}

fn time_cells(view: View<'_>, endpoint: &str, subject: &str) -> Option<Vec<Cell>> {
    let response = view.latency(subject, endpoint).filter(|latency| latency.count > 0)?;
    let service = response.service.as_ref()?;
    let times = [
        (response.p50_ms, service.p50_ms),
        (response.p95_ms, service.p95_ms),
        (response.p99_ms, service.p99_ms),
        (response.p999_ms, service.p999_ms),
        (response.mean_ms, service.mean_ms),
    ];
    let mut cells = vec![endpoint_title(endpoint).into(), subject.into()];
    let pair = |(response, service): (f64, f64)| Cell::from(number(response)).strong().with_small(number(service));
    cells.extend(times.map(pair));
    Some(cells)
}
