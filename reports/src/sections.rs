//! The record in short, for a pull request and for a terminal: verdict first, then targets, endpoints and failed
//! checks.

use measure::figures;
use measure::record::{EndpointSummary, Family, Record, Transport};

use crate::document::Kind::{Number, Prose, Words};
use crate::document::{Block, Cell, Table};
use crate::html::{
    ablation,
    baseline::limit_and_evidence,
    capacity::facts,
    connections, failures,
    gate::{families, how},
    streams, topics,
};
use crate::rows::Compared;
use crate::view::View;
use crate::words::{self, endpoint_title, mark};

/// The whole of it, with a link to the report where its address is known.
pub(crate) fn summary(record: &Record, report: Option<&str>) -> Vec<Block> {
    let view = View { record };
    let mut blocks = heading(view);
    blocks.extend(report.map(|address| Block::Link("Report", address.to_owned())));
    blocks.extend(failed_checks(record));
    blocks.extend(gate(record));
    blocks.extend(baseline(record));
    blocks.extend(capacity(record));
    blocks.extend(ablation(view));
    blocks.extend(targets(view));
    blocks.extend(endpoints(view));
    blocks.extend(failures(view));
    blocks.extend(connections(view));
    blocks.extend(streams(view));
    blocks.extend(topics(view));
    blocks.extend(footer(view));
    blocks
}

fn heading(view: View<'_>) -> Vec<Block> {
    let record = view.record;
    let headlines = view.headlines().into_iter();
    let figures = headlines.filter_map(|headline| Some((headline.label, headline.value?)));
    vec![
        Block::Title(format!("{}: {}", mark(words::verdict(record.verdict)), view.compared())),
        Block::Text(format!("{} (exit code {})", record.verdict_reason, record.exit_code)),
        Block::Figures(figures.collect()),
    ]
}

fn failed_checks(record: &Record) -> Vec<Block> {
    let failed = record.checks.iter().filter(|check| !check.ok);
    let failed: Vec<String> = failed
        .map(|check| format!("{}: {}", check.name, check.detail))
        .collect();
    if failed.is_empty() {
        return vec![];
    }
    vec![
        Block::Heading("Self-checks that failed".to_owned()),
        Block::List(failed),
    ]
}

/// Verdicts of the families of a gate; nothing for a run that is no gate.
fn gate(record: &Record) -> Vec<Block> {
    let Some(gate) = &record.gate else { return vec![] };
    let warning = gate.oversubscribed.as_ref();
    let mut blocks = vec![
        Block::Heading("Gate".to_owned()),
        Block::Table(families(gate, "Smallest change it could see")),
        Block::Text(how(gate)),
    ];
    blocks.extend(warning.map(|why| Block::Text(format!("Oversubscribed machine: {why}."))));
    blocks
}

/// The comparison with baselines; nothing where none was given.
fn baseline(record: &Record) -> Vec<Block> {
    let Some(baseline) = &record.baseline else {
        return vec![];
    };
    let table = Table::of(
        baseline.comparisons.iter().map(Compared::new),
        &[
            (Words, "State", |compared| compared.word.into()),
            (Words, "Figure", |compared| compared.family.into()),
            (Words, "Endpoint", |compared| compared.endpoint.into()),
            (Number, "After ÷ baseline", |compared| compared.if_compared().into()),
            (Number, "Smallest slowdown it would call", |compared| {
                compared.mde.clone().into()
            }),
        ],
    );
    vec![
        Block::Heading("Against the baseline".to_owned()),
        Block::Text(limit_and_evidence(baseline)),
        Block::Table(table),
        Block::Text(format!("It shows {}.", baseline.shows)),
        Block::Text(format!("It cannot show {}.", baseline.cannot_show)),
        Block::List(baseline.notes.clone()),
    ]
}

/// How much load it takes; nothing where nobody asked.
fn capacity(record: &Record) -> Vec<Block> {
    let Some(found) = &record.capacity else { return vec![] };
    let rows = facts(found)
        .into_iter()
        .map(|(name, value)| vec![name.into(), value.into()]);
    vec![
        Block::Heading("Capacity".to_owned()),
        Block::Table(Table::new(&[(Words, "Figure"), (Prose, "Value")], rows)),
    ]
}

/// Effect of each feature; nothing for a run that is no ablation.
fn ablation(view: View<'_>) -> Vec<Block> {
    let rows: Vec<Vec<Cell>> = ablation::rows(view).iter().map(ablation_row).collect();
    if rows.is_empty() {
        return vec![];
    }
    let columns = [
        (Words, "Feature"),
        (Number, "p95 of all requests"),
        (Words, "Without it"),
        (Number, "CPU time per request"),
        (Words, "Without it"),
        (Prose, "Most, p95"),
    ];
    vec![
        Block::Heading("What each feature buys: without it ÷ with it".to_owned()),
        Block::Table(Table::new(&columns, rows)),
    ]
}

fn ablation_row(row: &ablation::Row<'_>) -> Vec<Cell> {
    let bought = row.bought.iter().flat_map(|bought| {
        let bounds = bought.bounds.as_ref();
        let bounds = bounds.map_or_else(String::new, |bounds| format!(" ({bounds})"));
        [Cell::from(format!("{}{bounds}", bought.ratio)), bought.word.into()]
    });
    let mut cells = vec![row.of.feature.as_str().into()];
    cells.extend(bought);
    cells.push(row.most.clone().into());
    cells
}

fn targets(view: View<'_>) -> Vec<Block> {
    let table = Table::of(
        view.targets_in_order(),
        &[
            (Words, "State", |target| target.word.into()),
            (Words, "Priority", |target| target.priority.into()),
            (Words, "Target", |target| target.title.as_str().into()),
            (Number, "Asked", |target| target.asked.as_str().into()),
            (Number, "Observed", |target| target.seen().into()),
            (Prose, "Detail", |target| target.of.detail.as_str().into()),
        ],
    );
    if table.is_empty() {
        return vec![
            Block::Heading("Targets".to_owned()),
            Block::Text("No targets were judged.".to_owned()),
        ];
    }
    vec![
        Block::Heading(format!("Targets: {}", view.target_counts())),
        Block::Table(table),
    ]
}

fn endpoints(view: View<'_>) -> Vec<Block> {
    let endpoints = view.endpoints();
    if endpoints.is_empty() {
        return vec![
            Block::Heading("Endpoints".to_owned()),
            Block::Text("No latency was measured.".to_owned()),
        ];
    }
    let subjects = view.subjects().iter().map(|subject| (Number, subject.name.as_str()));
    let mut columns = vec![(Words, "Endpoint")];
    columns.extend(subjects);
    columns.extend([(Number, "After ÷ before, p95"), (Words, "Outcome")]);
    let rows = endpoints.into_iter().map(|endpoint| endpoint_row(view, endpoint));
    vec![
        Block::Heading("Endpoints: p50 / p95 / p99, milliseconds".to_owned()),
        Block::Table(Table::new(&columns, rows)),
    ]
}

/// Failures by class, and kinds of them with examples; nothing where everything was answered as expected.
fn failures(view: View<'_>) -> Vec<Block> {
    let tables: Vec<Table> = [failures::classes(view), failures::examples(view)]
        .into_iter()
        .flatten()
        .collect();
    if tables.is_empty() {
        return vec![];
    }
    let heading = Block::Heading("Failures".to_owned());
    std::iter::once(heading)
        .chain(tables.into_iter().map(Block::Table))
        .collect()
}

/// Requests on a connection from which on it counts as kept.
const KEPT: f64 = 10.0;

/// How requests travelled; nothing where all of it was HTTP/1.1 in plain text on connections that were kept.
fn connections(view: View<'_>) -> Vec<Block> {
    let is_ordinary = |name: &str| {
        view.connections(name).is_none_or(|found| {
            let is_kept = found.requests_per_connection.is_none_or(|requests| requests >= KEPT);
            is_kept && found.transport == Transport::default()
        })
    };
    if view.subjects().iter().all(|subject| is_ordinary(&subject.name)) {
        return vec![];
    }
    let table = connections::table(view).map(Block::Table);
    std::iter::once(Block::Heading("Connections: p50 / p95, milliseconds".to_owned()))
        .chain(table)
        .collect()
}

/// What clients of live streams were owed and shown; nothing without any.
fn streams(view: View<'_>) -> Vec<Block> {
    let table = streams::table(view).map(Block::Table);
    let heading = table.is_some().then(|| Block::Heading("Live streams".to_owned()));
    heading.into_iter().chain(table).collect()
}

/// What was owed in topics of Kafka, and worked off; nothing without any.
fn topics(view: View<'_>) -> Vec<Block> {
    let table = topics::table(view).map(Block::Table);
    let heading = table.is_some().then(|| Block::Heading("Topics".to_owned()));
    heading.into_iter().chain(table).collect()
}

fn endpoint_row(view: View<'_>, endpoint: &str) -> Vec<Cell> {
    let subjects = view.subjects().iter();
    let latencies = subjects.map(|subject| percentiles(view.latency(&subject.name, endpoint)).into());
    let compared = view
        .judged()
        .and_then(|subject| view.comparison(Family::LatencyP95, endpoint, &subject.name))
        .map(Compared::new);
    let mut cells = vec![endpoint_title(endpoint).into()];
    cells.extend(latencies);
    cells.push(compared.as_ref().map(Compared::with_bounds).into());
    cells.push(compared.map(|compared| compared.word).into());
    cells
}

fn percentiles(latency: Option<&EndpointSummary>) -> String {
    let Some(latency) = latency else {
        return "not measured".to_owned();
    };
    if latency.count == 0 {
        return "no answers".to_owned();
    }
    let judged = [latency.p50_ms, latency.p95_ms, latency.p99_ms];
    let judged = judged.map(figures::milliseconds).join(" / ");
    // Requests that failed count as slower than any answer: beside that stand the answers alone.
    let Some(answers) = &latency.answers else {
        return judged;
    };
    let alone = [answers.p50_ms, answers.p95_ms, answers.p99_ms];
    format!(
        "{judged} (answers alone {})",
        alone.map(figures::milliseconds).join(" / ")
    )
}

fn footer(view: View<'_>) -> Vec<Block> {
    let record = view.record;
    let about = format!(
        "Workload {}: {}. {}, record {}. Repeat with:",
        record.workload.name,
        view.method(),
        figures::moment(&record.created_at),
        record.id
    );
    vec![Block::Text(about), Block::Code(record.command.clone())]
}
