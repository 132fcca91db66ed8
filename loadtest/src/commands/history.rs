//! `loadtest history`: figures of runs in an append-only file, and since which commit they are what they are. A trend
//! is for people and gates nothing, so the exit code says only whether it could be shown.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use clap::{Args, Subcommand};
use measure::{
    figures::{Unit, quantity},
    history::{
        Entry, Trend, TrendPoint,
        change::ChangePoint,
        file::{self, History},
        metric_trend, p95_trends,
    },
    metrics,
    record::Record,
};

use super::{ending, files};
use crate::{error::HarnessError, say};

/// Keep figures of runs in a file, and say since when they are what they are
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  loadtest history add target/loadtest/latest/record.json --file history.jsonl
  loadtest history show --file history.jsonl --html trends.html")]
pub(crate) struct HistoryArgs {
    #[command(subcommand)]
    action: HistoryAction,
    /// The history: one line per run and subject
    #[arg(long, value_name = "FILE", default_value = "loadtest-history.jsonl", global = true)]
    file: PathBuf,
}

#[derive(Debug, Subcommand)]
enum HistoryAction {
    Add(AddArgs),
    Show(ShowArgs),
}

/// Append the figures of records; one that is there already is passed over
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  loadtest history add target/loadtest/latest/record.json --file history.jsonl")]
struct AddArgs {
    /// Records of runs
    #[arg(value_name = "RECORD", required = true)]
    records: Vec<PathBuf>,
}

/// Show the p95 of every endpoint over the runs, where it changed, and since which commit
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  loadtest history show --file history.jsonl
  loadtest history show --file history.jsonl --metric service.cpu_us_per_request --html trends.html

Runs of one subject, workload, load and machine make a series. On unchanged figures a change is still seen now and \
then, and it takes 3 to 8 runs until one shows: a trend dates a change, it gates nothing.")]
struct ShowArgs {
    /// Whose runs [default: those of the newest line]
    #[arg(long, value_name = "SUBJECT")]
    subject: Option<String>,
    /// Only this endpoint
    #[arg(long, value_name = "NAME")]
    endpoint: Option<String>,
    /// A metric of the records instead of the p95 of endpoints, e.g. `service.cpu_us_per_request`
    #[arg(long, value_name = "NAME", conflicts_with_all = ["endpoint", "html"])]
    metric: Option<String>,
    /// Draw the trends of the endpoints as a page
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
}

/// Exit code 0 when there was something to add or to show.
pub(super) fn history(arguments: &HistoryArgs) -> Result<u8, HarnessError> {
    match &arguments.action {
        HistoryAction::Add(add) => append(&arguments.file, add),
        HistoryAction::Show(show) => print(&arguments.file, show),
    }
}

/// All records are read before anything is appended.
fn append(file: &Path, arguments: &AddArgs) -> Result<u8, HarnessError> {
    for record in files::records(&arguments.records)? {
        let entries = Entry::of_record(&record);
        if entries.is_empty() {
            say::out(format_args!("{}: nothing was measured, nothing added", record.id));
            continue;
        }
        let added = file::append(file, &entries).map_err(HarnessError::usage)?;
        say::out(added_line(&record, &entries, added));
    }
    ending::path("history", file);
    Ok(0)
}

fn added_line(record: &Record, entries: &[Entry], added: usize) -> String {
    if added == 0 {
        return format!("{}: there already", record.id);
    }
    let names: Vec<&str> = entries.iter().map(|entry| entry.subject.as_str()).collect();
    let trusted = entries.iter().all(Entry::is_trusted);
    let aside = if trusted {
        ""
    } else {
        "; it was not a valid run, so no trend uses it"
    };
    format!("{}: added {}{aside}", record.id, names.join(" and "))
}

fn print(file: &Path, arguments: &ShowArgs) -> Result<u8, HarnessError> {
    let History { mut entries, skipped } = file::read(file).map_err(HarnessError::usage)?;
    let passed_over = |(number, why): &(usize, String)| format!("{}:{number}: passed over: {why}", file.display());
    let skipped: Vec<String> = skipped.iter().map(passed_over).collect();
    for line in &skipped {
        say::err(format_args!("warning: {line}"));
    }
    keep_named("subject", arguments.subject.as_deref(), &mut entries, |entry| {
        &entry.subject
    })?;
    let newest = entries
        .last()
        .ok_or_else(|| HarnessError::Usage(format!("{} holds no runs yet", file.display())))?;
    let trends = chosen(&entries, arguments)?;
    say::out(series_line(&entries, newest));
    for trend in &trends {
        say::out(described(trend, unit(arguments)));
    }
    if let Some(page) = &arguments.html {
        let html = reports::trends(&newest.subject, &trends, &skipped).map_err(HarnessError::internal)?;
        fs::write(page, html).map_err(|error| HarnessError::Usage(format!("{}: {error}", page.display())))?;
        ending::path("page", page);
    }
    Ok(0)
}

fn chosen(entries: &[Entry], arguments: &ShowArgs) -> Result<Vec<Trend>, HarnessError> {
    if let Some(metric) = &arguments.metric {
        let trend = metric_trend(entries, metric);
        if trend.points.is_empty() {
            let known = entries.iter().flat_map(|entry| entry.metrics.keys());
            return Err(unknown("metric", metric, known));
        }
        return Ok(vec![trend]);
    }
    let mut trends = p95_trends(entries);
    keep_named("endpoint", arguments.endpoint.as_deref(), &mut trends, |trend| {
        &trend.name
    })?;
    Ok(trends)
}

/// Keeps what has a name, if one is given.
fn keep_named<T>(
    what: &str,
    name: Option<&str>,
    all: &mut Vec<T>,
    name_of: impl Fn(&T) -> &String,
) -> Result<(), HarnessError> {
    let Some(name) = name else { return Ok(()) };
    if all.iter().all(|one| name_of(one) != name) {
        return Err(unknown(what, name, all.iter().map(name_of)));
    }
    all.retain(|one| name_of(one) == name);
    Ok(())
}

fn unknown<'n>(what: &str, name: &str, known: impl Iterator<Item = &'n String>) -> HarnessError {
    let known: BTreeSet<&str> = known.map(String::as_str).collect();
    let hint = scenarios::did_you_mean(name, known).map_or_else(String::new, |hint| format!("; {hint}"));
    HarnessError::Usage(format!("the history has no {what} `{name}`{hint}"))
}

/// What the series is made of, and what was left out of it.
fn series_line(entries: &[Entry], newest: &Entry) -> String {
    let (like, others): (Vec<&Entry>, Vec<&Entry>) = entries.iter().partition(|entry| entry.is_like(newest));
    let trusted = like.iter().filter(|entry| entry.is_trusted()).count();
    let left_out: Vec<String> = [
        (like.len() - trusted, "were not valid"),
        (others.len(), "are of another subject, workload, load or machine"),
    ]
    .iter()
    .filter(|(count, _)| *count > 0)
    .map(|(count, why)| format!("{count} {why}"))
    .collect();
    let runs = format!("{}: {trusted} runs on {}", newest.subject, newest.place);
    if left_out.is_empty() {
        return runs;
    }
    format!("{runs} ({} not used)", left_out.join(", "))
}

fn unit(arguments: &ShowArgs) -> Unit {
    let metric = arguments.metric.as_deref();
    metric.map_or(Unit::Milliseconds, |metric| metrics::describe(metric).unit)
}

/// "details: 8.1 ms in the last of 40 runs; since 4b5edd4 (2026-11-20) 8.0 ms, before 5.0 ms (+60 %, p = 2e-9)"
fn described(trend: &Trend, unit: Unit) -> String {
    let (name, runs) = (&trend.name, trend.points.len());
    let Some(last) = trend.points.last() else {
        return format!("{name}: no value");
    };
    let head = format!("{name}: {} in the last of {runs} runs", quantity(last.value, unit));
    if trend.changes.is_empty() {
        return format!("{head}; no change of level");
    }
    let changes = trend.changes.iter().rev();
    let changes = changes.map(|change| changed(&trend.points, change, unit));
    changes.fold(head, |text, change| format!("{text}\n  {change}"))
}

fn changed(points: &[TrendPoint], change: &ChangePoint, unit: Unit) -> String {
    let first = &points[change.index];
    let since = first.git.as_deref().unwrap_or(&first.id);
    format!(
        "since {since} ({}): {}, before {} ({:+.0} %, p = {:.1e})",
        first.at.format("%Y-%m-%d %H:%M"),
        quantity(change.after, unit),
        quantity(change.before, unit),
        (change.after / change.before - 1.0) * 100.0,
        change.p
    )
}
