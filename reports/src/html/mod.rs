//! The HTML page: what each section shows, as text ready to be placed. The markup is in `templates/`.
//!
//! askama escapes every text; only plots, which `charts` escapes itself, are placed as they are.

pub(crate) mod ablation;
mod banner;
pub(crate) mod baseline;
pub(crate) mod capacity;
pub(crate) mod connections;
mod consistency;
mod endpoints;
mod environment;
pub(crate) mod failures;
pub(crate) mod gate;
mod open_model;
mod probes;
mod resources;
pub(crate) mod streams;
mod targets;
pub(crate) mod topics;
pub(crate) mod trend;

use askama::Template;
use measure::record::{Check, Record};

use crate::ReportError;
use crate::charts::{self, Marker, Width};
use crate::document::Kind::{Name, Prose, Words};
use crate::document::Table;
use crate::view::View;
use crate::words;

/// Everything on the page.
#[derive(Template)]
#[template(path = "page.html")]
struct Page<'a> {
    record: &'a Record,
    banner: banner::Banner,
    /// Absent where no gate was run.
    gate: Option<gate::GateSection<'a>>,
    /// Absent where no baseline was given.
    baseline: Option<baseline::BaselineSection<'a>>,
    /// Absent where nobody asked how much load it takes.
    capacity: Option<capacity::CapacitySection>,
    /// Empty where nothing was switched off.
    ablation: Vec<ablation::Row<'a>>,
    keys: Vec<Key>,
    bars: Vec<String>,
    endpoints: Vec<endpoints::Group<'a>>,
    /// Whether the table of endpoints has columns for a comparison.
    has_comparison: bool,
    /// Absent where nothing failed.
    failures: Option<failures::Failures>,
    targets: Vec<targets::Group<'a>>,
    curves: Vec<String>,
    timeline: Vec<String>,
    /// Absent in the closed model.
    open_model: Option<open_model::OpenModel>,
    /// Absent where nothing counted connections.
    connections: Option<connections::ConnectionSection>,
    /// Absent where no version was followed.
    consistency: Option<consistency::Consistency>,
    /// Absent where no live stream was watched.
    streams: Option<Table>,
    /// Absent where no topic was watched.
    topics: Option<Table>,
    /// Absent where no probe was kept over time.
    probes: Option<probes::Probes>,
    resources: resources::Resources<'a>,
    checks: Table,
    environment: environment::Environment,
}

/// One subject in a legend.
struct Key {
    name: String,
    role: &'static str,
    series: usize,
    dashes: &'static str,
    shape: &'static str,
}

/// The whole page.
pub(crate) fn page(record: &Record) -> Result<String, ReportError> {
    let view = View { record };
    let page = Page {
        record,
        banner: banner::banner(view),
        gate: gate::gate(view),
        baseline: baseline::baseline(record),
        capacity: capacity::capacity(record)?,
        ablation: ablation::rows(view),
        keys: keys(view),
        bars: both_widths(view, charts::p95_bars)?,
        endpoints: endpoints::groups(view),
        has_comparison: record.subjects.len() != 1,
        failures: failures::failures(view),
        targets: targets::groups(view),
        curves: curves(view)?,
        timeline: both_widths(view, charts::latency_over_time)?,
        open_model: open_model::open_model(view)?,
        connections: connections::section(view),
        consistency: consistency::consistency(view)?,
        streams: streams::table(view),
        topics: topics::table(view),
        probes: probes::probes(view)?,
        resources: resources::resources(view),
        checks: checks(record),
        environment: environment::environment(record),
    };
    Ok(page.render()?)
}

/// A plot for wide screens and one for phones; the style sheet shows one of them.
fn both_widths(
    view: View<'_>,
    plot: impl Fn(View<'_>, Width) -> Result<Option<String>, ReportError>,
) -> Result<Vec<String>, ReportError> {
    let wide = plot(view, Width::Wide)?;
    let narrow = plot(view, Width::Narrow)?;
    Ok(wide.into_iter().chain(narrow).collect())
}

fn curves(view: View<'_>) -> Result<Vec<String>, ReportError> {
    let endpoints = view.endpoints();
    let plots = endpoints
        .iter()
        .enumerate()
        .map(|(index, name)| charts::percentile_curves(view, name, index));
    Ok(plots.collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect())
}

fn keys(view: View<'_>) -> Vec<Key> {
    let keys = view.numbered().map(|(index, subject)| Key {
        name: subject.name.clone(),
        role: view.role(index),
        series: charts::series(index),
        dashes: charts::dashes(index),
        shape: match Marker::of(index) {
            Marker::Circle => "circle",
            Marker::Square => "square",
            Marker::Triangle => "triangle",
        },
    });
    keys.collect()
}

/// Failed ones first.
fn checks(record: &Record) -> Table {
    let mut checks: Vec<&Check> = record.checks.iter().collect();
    checks.sort_by_key(|check| check.ok);
    let table = Table::of(
        checks,
        &[
            (Words, "State", |check| words::check(check.ok).into()),
            (Name, "Check", |check| check.name.as_str().into()),
            (Prose, "Figures", |check| check.detail.as_str().into()),
        ],
    );
    table.captioned(
        "Table of self-checks",
        "Checks of the harness and the machine; a failed one makes the run invalid",
    )
}
