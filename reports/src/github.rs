//! What GitHub Actions shows: annotations, as workflow commands on standard output. The step summary is the Markdown.
//!
//! <https://docs.github.com/actions/reference/workflow-commands-for-github-actions>

use measure::record::{Comparison, Outcome, Priority, Purpose, Record, TargetResult, TargetVerdict};

use crate::format;
use crate::view::endpoint_title;
use crate::words;

/// GitHub shows ten annotations of each kind per step; the rest stands in the summary.
const SHOWN: usize = 10;

/// One line per finding that needs a look, the verdict first; empty for a run that passed.
pub(crate) fn annotations(record: &Record) -> String {
    let mut errors: Vec<String> = Vec::new();
    let mut warnings: Vec<String> = Vec::new();
    if record.exit_code != 0 {
        errors.push(command(
            "error",
            words::verdict(record.verdict).text,
            &record.verdict_reason,
        ));
    }
    let failed = record.checks.iter().filter(|check| !check.ok);
    errors.extend(failed.map(|check| command("error", &format!("Self-check: {}", check.name), &check.detail)));
    for target in &record.targets {
        match kind_of_target(target) {
            Some("error") => errors.push(command("error", &words::target_title(target), &target_line(target))),
            Some(kind) => warnings.push(command(kind, &words::target_title(target), &target_line(target))),
            None => (),
        }
    }
    let own = record
        .comparisons
        .iter()
        .map(|one| (one, record.purpose == Purpose::Gate));
    let baseline = record.baseline.iter().flat_map(|baseline| &baseline.comparisons);
    for (comparison, is_gated) in own.chain(baseline.map(|one| (one, true))) {
        let line = |kind| command(kind, &comparison_title(comparison), &comparison_line(comparison));
        match comparison.outcome {
            Outcome::Regress => errors.push(line("error")),
            // A report is about targets; only a gate asks whether each comparison could be decided.
            Outcome::Inconclusive | Outcome::InsufficientData if !is_gated => (),
            Outcome::SlowerWithinTolerance | Outcome::Inconclusive | Outcome::InsufficientData => {
                warnings.push(line("warning"));
            }
            Outcome::Improved | Outcome::Pass => (),
        }
    }
    errors.truncate(SHOWN);
    warnings.truncate(SHOWN);
    errors.into_iter().chain(warnings).collect()
}

/// A missed P2 target never fails a run, so it is a warning.
fn kind_of_target(target: &TargetResult) -> Option<&'static str> {
    match (target.verdict, target.priority) {
        (TargetVerdict::Fail, Priority::P0 | Priority::P1) => Some("error"),
        (TargetVerdict::Fail, Priority::P2) | (TargetVerdict::Inconclusive, _) => Some("warning"),
        (TargetVerdict::Pass | TargetVerdict::NotMeasured, _) => None,
    }
}

fn target_line(target: &TargetResult) -> String {
    let observed = words::observed(target).unwrap_or_else(|| "not measured".to_owned());
    let asked = words::limit(target.limit, crate::metrics::describe(&target.metric).unit);
    format!("{observed}, asked {asked}. {}", target.detail)
}

fn comparison_title(comparison: &Comparison) -> String {
    format!(
        "{} of {}: {}",
        words::family(&comparison.family),
        endpoint_title(&comparison.endpoint),
        words::outcome(comparison.outcome).text
    )
}

fn comparison_line(comparison: &Comparison) -> String {
    let bounds = words::ratio_bounds(comparison).map_or(String::new(), |bounds| format!(" ({bounds})"));
    let mde = comparison.mde.map_or(String::new(), |mde| {
        format!("; the smallest slowdown this run could see is {}", format::percent(mde))
    });
    format!(
        "after ÷ before {}{bounds} over {} blocks{mde}",
        format::number(comparison.ratio),
        comparison.blocks
    )
}

/// `::kind title=...::message`, with what ends a property or a line escaped.
fn command(kind: &str, title: &str, message: &str) -> String {
    format!("::{kind} title={}::{}\n", property(title), data(message))
}

fn data(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}
