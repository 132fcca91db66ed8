//! The open model: did the arrivals come as intended, and what part of the response time is waiting for the send?

use measure::record::{ArrivalSummary, EndpointSummary};

use crate::ReportError;
use crate::charts;
use crate::format;
use crate::view::{View, endpoint_title};

/// The section.
pub(super) struct OpenModel {
    pub(super) arrivals: Vec<ArrivalRow>,
    pub(super) times: Vec<TimesRow>,
    pub(super) plots: Vec<String>,
}

/// Arrivals of one subject.
pub(super) struct ArrivalRow {
    pub(super) subject: String,
    pub(super) series: usize,
    pub(super) intended: String,
    pub(super) achieved: String,
    pub(super) late: String,
    pub(super) dropped: String,
    pub(super) failing: bool,
    /// p50, p99, largest, milliseconds.
    pub(super) lateness: [String; 3],
}

/// Response and service times of one endpoint of one subject, milliseconds: p50, p95, p99, p99.9, mean.
pub(super) struct TimesRow {
    pub(super) endpoint: String,
    pub(super) subject: String,
    pub(super) response: [String; 5],
    pub(super) service: [String; 5],
}

/// None where nothing of an open model was measured.
pub(super) fn open_model(view: View<'_>) -> Result<Option<OpenModel>, ReportError> {
    let arrivals: Vec<ArrivalRow> = view
        .numbered()
        .filter_map(|(number, subject)| {
            let arrivals = view.arrivals(&subject.name)?;
            Some(arrival_row(&subject.name, charts::series(number), arrivals))
        })
        .collect();
    let times = times(view);
    if arrivals.is_empty() && times.is_empty() {
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

fn arrival_row(subject: &str, series: usize, arrivals: &ArrivalSummary) -> ArrivalRow {
    ArrivalRow {
        subject: subject.to_owned(),
        series,
        intended: format!("{}/s", format::number(arrivals.intended_per_s)),
        achieved: format!("{}/s", format::number(arrivals.achieved_per_s)),
        late: format::count(arrivals.late),
        dropped: format::count(arrivals.dropped),
        failing: arrivals.dropped > 0,
        lateness: [
            arrivals.lateness_p50_ms,
            arrivals.lateness_p99_ms,
            arrivals.lateness_max_ms,
        ]
        .map(format::number),
    }
}

fn times(view: View<'_>) -> Vec<TimesRow> {
    let row = |endpoint: &str, subject: &str| {
        let latency = view.latency(subject, endpoint)?;
        Some(TimesRow {
            endpoint: endpoint_title(endpoint).to_owned(),
            subject: subject.to_owned(),
            service: service(latency)?,
            response: [
                latency.p50_ms,
                latency.p95_ms,
                latency.p99_ms,
                latency.p999_ms,
                latency.mean_ms,
            ]
            .map(format::number),
        })
    };
    view.endpoints()
        .into_iter()
        .flat_map(|endpoint| {
            view.subjects()
                .iter()
                .filter_map(move |subject| row(endpoint, &subject.name))
        })
        .collect()
}

fn service(latency: &EndpointSummary) -> Option<[String; 5]> {
    let service = latency.service.as_ref().filter(|_| latency.count > 0)?;
    let times = [
        service.p50_ms,
        service.p95_ms,
        service.p99_ms,
        service.p999_ms,
        service.mean_ms,
    ];
    Some(times.map(format::number))
}
