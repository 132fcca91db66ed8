//! The record as Markdown, for a pull request: verdict first, then targets, endpoints and failed checks.

use measure::record::{Comparison, EndpointSummary, Record, TargetResult};

use crate::format;
use crate::html::{self, ablation, baseline::limit_and_evidence, gate::how};
use crate::metrics;
use crate::view::{TARGET_ORDER, View, endpoint_title};
use crate::words::{self, mark};

/// The whole text.
pub(crate) fn summary(record: &Record) -> String {
    with_link(record, String::new())
}

/// The same with a link to the report below the verdict.
pub(crate) fn linked(record: &Record, report: &str) -> String {
    // Within angle brackets an address may hold anything but these and line breaks.
    let safe: String = report
        .chars()
        .filter(|c| !matches!(c, '<' | '>' | '\n' | '\r'))
        .collect();
    with_link(record, format!("[Report](<{safe}>)"))
}

fn with_link(record: &Record, link: String) -> String {
    let view = View { record };
    let parts = [
        heading(view),
        link,
        failed_checks(record),
        gate(record),
        baseline(record),
        capacity(record),
        ablation(view),
        targets(view),
        endpoints(view),
        footer(view),
    ];
    parts
        .into_iter()
        .filter(|part| !part.is_empty())
        .collect::<Vec<_>>()
        .join("\n\n")
        + "\n"
}

fn heading(view: View<'_>) -> String {
    let record = view.record;
    let word = words::verdict(record.verdict);
    let title = format!("## {}: {}", mark(word), prose(&view.compared()));
    let reason = format!("{} (exit code {})", prose(&record.verdict_reason), record.exit_code);
    let headlines: Vec<_> = view
        .headlines()
        .into_iter()
        .filter_map(|headline| headline.value.map(|value| format!("- {}: **{value}**", headline.label)))
        .collect();
    let parts = [title, reason, headlines.join("\n")];
    parts
        .into_iter()
        .filter(|part| !part.is_empty())
        .collect::<Vec<_>>()
        .join("\n\n")
}

fn failed_checks(record: &Record) -> String {
    let failed: Vec<_> = record
        .checks
        .iter()
        .filter(|check| !check.ok)
        .map(|check| format!("- {}: {}", prose(&check.name), prose(&check.detail)))
        .collect();
    if failed.is_empty() {
        String::new()
    } else {
        format!("### Self-checks that failed\n\n{}", failed.join("\n"))
    }
}

/// What each family of a gate came to; empty for a run that is no gate.
fn gate(record: &Record) -> String {
    let Some(gate) = &record.gate else {
        return String::new();
    };
    let rows: Vec<String> = gate
        .families
        .iter()
        .map(|family| {
            format!(
                "| {} | {} | {} | {} |",
                prose(&words::family(&family.family)),
                mark(words::outcome(family.outcome)),
                family.mde.map_or_else(|| "–".to_owned(), format::percent),
                prose(&family.detail)
            )
        })
        .collect();
    let warning = gate.oversubscribed.as_ref().map_or_else(String::new, |why| {
        format!("\n\nOversubscribed machine: {}.", prose(why))
    });
    format!(
        "### Gate\n\n| Family | Outcome | Smallest slowdown it could see | Endpoints |\n|---|---|---:|---|\n{}\n\n{}{warning}",
        rows.join("\n"),
        how(gate)
    )
}

/// What the record came to against baselines; empty where it was given none.
fn baseline(record: &Record) -> String {
    let Some(baseline) = &record.baseline else {
        return String::new();
    };
    let rows: Vec<String> = baseline.comparisons.iter().map(baseline_row).collect();
    let notes: Vec<String> = baseline.notes.iter().map(|note| format!("- {}", prose(note))).collect();
    let parts = [
        format!("### Against the baseline\n\n{}", prose(&limit_and_evidence(baseline))),
        format!(
            "| State | Figure | Endpoint | After ÷ baseline | Smallest slowdown it would call |\n|---|---|---|---:|---:|\n{}",
            rows.join("\n")
        ),
        format!(
            "It shows {}.\n\nIt cannot show {}.",
            prose(&baseline.shows),
            prose(&baseline.cannot_show)
        ),
        notes.join("\n"),
    ];
    parts
        .into_iter()
        .filter(|part| !part.is_empty())
        .collect::<Vec<_>>()
        .join("\n\n")
}

/// How much load it takes; empty where nobody asked.
fn capacity(record: &Record) -> String {
    let Some(found) = &record.capacity else {
        return String::new();
    };
    let facts: Vec<String> = html::capacity::facts(found)
        .into_iter()
        .map(|(name, value)| format!("| {} | {} |", prose(name), prose(&value)))
        .collect();
    format!("### Capacity\n\n| Figure | Value |\n|---|---|\n{}", facts.join("\n"))
}

fn baseline_row(comparison: &Comparison) -> String {
    format!(
        "| {} | {} | {} | {} | {} |",
        mark(words::outcome(comparison.outcome)),
        prose(&words::family(&comparison.family)),
        prose(endpoint_title(&comparison.endpoint)),
        words::ratio(comparison).unwrap_or_else(|| "–".to_owned()),
        comparison.mde.map_or_else(|| "–".to_owned(), format::percent),
    )
}

/// What each feature buys; empty for a run that is no ablation.
fn ablation(view: View<'_>) -> String {
    let rows: Vec<String> = ablation::rows(view).iter().map(ablation_row).collect();
    if rows.is_empty() {
        return String::new();
    }
    format!(
        "### What each feature buys: without it ÷ with it\n\n\
         | Feature | p95 of all requests | Without it | CPU time per request | Without it | Most, p95 |\n|---|---:|---|---:|---|---|\n{}",
        rows.join("\n")
    )
}

fn ablation_row(row: &ablation::Row) -> String {
    let bought = |bought: &ablation::Bought| {
        let bounds = if bought.bounds.is_empty() {
            String::new()
        } else {
            format!(" ({})", bought.bounds)
        };
        format!("{}{bounds} | {}", bought.ratio, mark(bought.word))
    };
    format!(
        "| {} | {} | {} | {} |",
        prose(&row.feature),
        bought(&row.bought[0]),
        bought(&row.bought[1]),
        prose(row.most.as_deref().unwrap_or("–"))
    )
}

fn targets(view: View<'_>) -> String {
    let rows: Vec<_> = TARGET_ORDER
        .iter()
        .flat_map(|verdict| view.targets(*verdict))
        .map(target_row)
        .collect();
    if rows.is_empty() {
        return "### Targets\n\nNo targets were judged.".to_owned();
    }
    let head = "| State | Priority | Target | Asked | Observed | Detail |\n|---|---|---|---:|---:|---|";
    format!("### Targets: {}\n\n{head}\n{}", view.target_counts(), rows.join("\n"))
}

fn target_row(target: &TargetResult) -> String {
    let interval = words::observed_interval(target).map_or(String::new(), |interval| format!(" ({interval})"));
    let observed = words::observed(target).map_or("–".to_owned(), |observed| observed + &interval);
    format!(
        "| {} | {} | {} | {} | {observed} | {} |",
        mark(words::target(target.verdict)),
        words::priority(target.priority),
        prose(&words::target_title(target)),
        prose(&words::limit(target.limit, metrics::describe(&target.metric).unit)),
        prose(&target.detail),
    )
}

fn endpoints(view: View<'_>) -> String {
    let endpoints = view.endpoints();
    if endpoints.is_empty() {
        return "### Endpoints\n\nNo latency was measured.".to_owned();
    }
    let subjects = view.subjects();
    let names = cells(subjects.iter().map(|subject| prose(&subject.name)));
    let rule = "---:|".repeat(subjects.len());
    let rows: Vec<_> = endpoints
        .into_iter()
        .map(|endpoint| endpoint_row(view, endpoint))
        .collect();
    format!(
        "### Endpoints: p50 / p95 / p99, milliseconds\n\n\
         | Endpoint |{names} After ÷ before, p95 | Outcome |\n|---|{rule}---:|---|\n{}",
        rows.join("\n")
    )
}

fn endpoint_row(view: View<'_>, endpoint: &str) -> String {
    let latencies = view
        .subjects()
        .iter()
        .map(|subject| view.latency(&subject.name, endpoint));
    let cells = cells(latencies.map(percentiles));
    let comparison = view
        .judged()
        .and_then(|subject| view.comparison(words::LATENCY, endpoint, &subject.name));
    let (ratio, outcome) = comparison.map_or(("–".to_owned(), "–".to_owned()), |comparison| {
        let bounds = words::ratio_bounds(comparison).map_or(String::new(), |bounds| format!(" ({bounds})"));
        (
            format!("{}{bounds}", format::number(comparison.ratio)),
            mark(words::outcome(comparison.outcome)),
        )
    });
    format!("| {} |{cells} {ratio} | {outcome} |", prose(endpoint_title(endpoint)))
}

/// ` a | b |`
fn cells(texts: impl Iterator<Item = String>) -> String {
    texts.fold(String::new(), |row, text| row + " " + &text + " |")
}

fn percentiles(latency: Option<&EndpointSummary>) -> String {
    let Some(latency) = latency else {
        return "not measured".to_owned();
    };
    if latency.count == 0 {
        return "no answers".to_owned();
    }
    [latency.p50_ms, latency.p95_ms, latency.p99_ms]
        .map(format::number)
        .join(" / ")
}

fn footer(view: View<'_>) -> String {
    let record = view.record;
    format!(
        "Workload {}: {}. {}, record {}. Repeat with:\n\n{}",
        prose(&record.workload.name),
        view.method(),
        format::moment(&record.created_at),
        prose(&record.id),
        block(&record.command),
    )
}

/// Text from a record as Markdown that shows exactly that text, on one line and within one table cell.
fn prose(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in words::printable(text).chars() {
        match character {
            '\n' | '\r' | '\t' => out.push(' '),
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            // An at sign would notify whoever bears the name.
            '@' => out.push_str("&#64;"),
            '\\' | '|' | '`' | '*' | '_' | '[' | ']' | '#' | '~' => out.extend(['\\', character]),
            other => out.push(other),
        }
    }
    out
}

/// The text that `prose` made Markdown of, for a terminal: the tables and headings stay, the escapes go.
pub(crate) fn plain(markdown: &str) -> String {
    let mut out = String::with_capacity(markdown.len());
    let mut characters = markdown.chars();
    while let Some(character) = characters.next() {
        match character {
            '\\' => out.extend(characters.next()),
            other => out.push(other),
        }
    }
    let entities = [("&lt;", "<"), ("&gt;", ">"), ("&#64;", "@"), ("&amp;", "&")];
    entities
        .iter()
        .fold(out.replace("**", ""), |text, (entity, character)| {
            text.replace(entity, character)
        })
}

/// A code block, by a fence longer than any run of backticks in it.
fn block(text: &str) -> String {
    let longest = text.split(|c| c != '`').map(str::len).max().unwrap_or(0);
    let fence = "`".repeat(longest.max(2) + 1);
    format!("{fence}sh\n{}\n{fence}", words::printable(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_shows_the_text_that_prose_escaped() {
        let text = r"a_b <script> & 5 > 3 @you `x` [y] #1 ~z";
        assert_eq!(plain(&prose(text)), text);
    }
}
