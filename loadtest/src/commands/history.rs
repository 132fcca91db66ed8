//! `loadtest history`: figures of runs in an append-only file, and since which commit they are what they are. A trend is for
//! people and gates nothing, so the exit code says only whether it could be shown.

use std::{
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

use crate::error::HarnessError;

/// Arguments of `loadtest history`.
#[derive(Debug, Args)]
pub struct HistoryArgs {
    /// What to do.
    #[command(subcommand)]
    pub action: HistoryAction,

    /// The history: one line per run and subject
    #[arg(long, value_name = "FILE", default_value = "loadtest-history.jsonl", global = true)]
    pub file: PathBuf,
}

/// What can be done with a history.
#[derive(Debug, Subcommand)]
pub enum HistoryAction {
    /// Append the figures of records; one that is there already is passed over
    #[command(after_help = "Example:\n  loadtest history add target/loadtest/latest/record.json --file history.jsonl")]
    Add(AddArgs),
    /// Show the p95 of every endpoint over the runs, where it changed, and since which commit
    #[command(after_help = concat!(
        "Examples:\n",
        "  loadtest history show --file history.jsonl\n",
        "  loadtest history show --file history.jsonl --metric service.cpu_us_per_request --html trends.html\n\n",
        "Runs of one subject, workload, load and machine make a series. On unchanged figures a change is still seen now ",
        "and then, and it takes 3 to 8 runs until one shows: a trend dates a change, it gates nothing."
    ))]
    Show(ShowArgs),
}

/// Arguments of `loadtest history add`.
#[derive(Debug, Args)]
pub struct AddArgs {
    /// Records of runs
    #[arg(value_name = "RECORD", required = true)]
    pub records: Vec<PathBuf>,
}

/// Arguments of `loadtest history show`.
#[derive(Debug, Args)]
pub struct ShowArgs {
    /// Whose runs [default: those of the newest line]
    #[arg(long, value_name = "SUBJECT")]
    pub subject: Option<String>,

    /// Only this endpoint
    #[arg(long, value_name = "NAME")]
    pub endpoint: Option<String>,

    /// A metric of the records instead of the p95 of endpoints, e.g. `service.cpu_us_per_request`
    #[arg(long, value_name = "NAME", conflicts_with_all = ["endpoint", "html"])]
    pub metric: Option<String>,

    /// Draw the trends of the endpoints as a page
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
}

/// Exit code 0 when there was something to add or to show.
pub(super) fn history(arguments: &HistoryArgs) -> Result<u8, HarnessError> {
    match &arguments.action {
        HistoryAction::Add(add) => append(&arguments.file, add),
        HistoryAction::Show(show) => print(&arguments.file, show),
    }
}

fn usage(error: &dyn std::fmt::Display) -> HarnessError {
    HarnessError::Usage(error.to_string())
}

/// All records are read before anything is appended.
fn append(file: &Path, arguments: &AddArgs) -> Result<u8, HarnessError> {
    let records = arguments.records.iter().map(|path| Record::load(path));
    let records = records.collect::<Result<Vec<_>, _>>().map_err(|error| usage(&error))?;
    for record in &records {
        let entries = Entry::of_record(record);
        if entries.is_empty() {
            println!("{}: nothing was measured, nothing added", record.id);
            continue;
        }
        let added = file::append(file, &entries).map_err(|error| usage(&error))?;
        println!("{}", added_line(record, &entries, added));
    }
    println!("history: {}", file.display());
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
    let history = file::read(file).map_err(|error| usage(&error))?;
    let skipped = skipped_lines(file, &history);
    for line in &skipped {
        eprintln!("warning: {line}");
    }
    let entries = of_subject(history.entries, arguments.subject.as_deref())?;
    let newest = entries
        .last()
        .ok_or_else(|| HarnessError::Usage(format!("{} holds no runs yet", file.display())))?;
    let trends = chosen(&entries, arguments)?;
    println!("{}", series_line(&entries, newest));
    for trend in &trends {
        println!("{}", described(trend, unit(arguments)));
    }
    if let Some(page) = &arguments.html {
        let html = reports::trends(&newest.subject, &trends, &skipped).map_err(HarnessError::internal)?;
        fs::write(page, html).map_err(|error| usage(&format!("{}: {error}", page.display())))?;
        println!("page: {}", page.display());
    }
    Ok(0)
}

fn skipped_lines(file: &Path, history: &History) -> Vec<String> {
    let line = |(number, why): &(usize, String)| format!("{}:{number}: passed over: {why}", file.display());
    history.skipped.iter().map(line).collect()
}

/// The entries of one subject; all of them without one, since the newest decides which of them make the series.
fn of_subject(entries: Vec<Entry>, subject: Option<&str>) -> Result<Vec<Entry>, HarnessError> {
    let Some(subject) = subject else { return Ok(entries) };
    let mut names: Vec<String> = entries.iter().map(|entry| entry.subject.clone()).collect();
    let own: Vec<Entry> = entries.into_iter().filter(|entry| entry.subject == subject).collect();
    if own.is_empty() {
        names.sort();
        names.dedup();
        return Err(unknown("subject", subject, &names));
    }
    Ok(own)
}

fn chosen(entries: &[Entry], arguments: &ShowArgs) -> Result<Vec<Trend>, HarnessError> {
    if let Some(metric) = &arguments.metric {
        let trend = metric_trend(entries, metric);
        if trend.points.is_empty() {
            let names = entries.iter().flat_map(|entry| entry.metrics.keys().cloned());
            let names: std::collections::BTreeSet<String> = names.collect();
            return Err(unknown("metric", metric, &Vec::from_iter(names)));
        }
        return Ok(vec![trend]);
    }
    let trends = p95_trends(entries);
    let Some(endpoint) = &arguments.endpoint else {
        return Ok(trends);
    };
    let names: Vec<String> = trends.iter().map(|trend| trend.name.clone()).collect();
    let own: Vec<Trend> = trends.into_iter().filter(|trend| trend.name == *endpoint).collect();
    if own.is_empty() {
        return Err(unknown("endpoint", endpoint, &names));
    }
    Ok(own)
}

/// Names the nearest that there is.
fn unknown(what: &str, name: &str, known: &[String]) -> HarnessError {
    let nearest = known
        .iter()
        .max_by(|a, b| strsim::jaro_winkler(a, name).total_cmp(&strsim::jaro_winkler(b, name)));
    let hint = nearest.map_or_else(String::new, |nearest| format!("; did you mean `{nearest}`?"));
    HarnessError::Usage(format!("the history has no {what} `{name}`{hint}"))
}

fn unit(arguments: &ShowArgs) -> Unit {
    let metric = arguments.metric.as_deref();
    metric.map_or(Unit::Milliseconds, |metric| metrics::describe(metric).unit)
}

/// What the series is made of, and what was left out of it.
fn series_line(entries: &[Entry], newest: &Entry) -> String {
    let (like, others): (Vec<&Entry>, Vec<&Entry>) = entries.iter().partition(|entry| entry.is_like(newest));
    let trusted = like.iter().filter(|entry| entry.is_trusted()).count();
    let mut left_out = Vec::new();
    if like.len() > trusted {
        left_out.push(format!("{} were not valid", like.len() - trusted));
    }
    if !others.is_empty() {
        left_out.push(format!(
            "{} are of another subject, workload, load or machine",
            others.len()
        ));
    }
    let aside = if left_out.is_empty() {
        String::new()
    } else {
        format!(" ({} not used)", left_out.join(", "))
    };
    format!("{}: {trusted} runs on {}{aside}", newest.subject, newest.place)
}

/// "details: 8.1 ms in the last of 40 runs; since 4b5edd4 (2026-11-20) 8.0 ms, before 5.0 ms (+60 %, p = 2e-9)"
fn described(trend: &Trend, unit: Unit) -> String {
    let Some(last) = trend.points.last() else {
        return format!("{}: no value", trend.name);
    };
    let head = format!(
        "{}: {} in the last of {} runs",
        trend.name,
        quantity(last.value, unit),
        trend.points.len()
    );
    if trend.changes.is_empty() {
        return format!("{head}; no change of level");
    }
    let changes = trend
        .changes
        .iter()
        .rev()
        .map(|change| changed(&trend.points, change, unit));
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
