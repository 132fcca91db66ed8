//! Outputs of a gate for pull requests, for GitHub Actions and for machines.

use measure::record::{Outcome, Priority, Record, TargetVerdict};
use reports::{annotations, markdown, verdict_json};
use serde_json::Value;

use crate::support;

#[test]
fn a_pull_request_sees_the_verdict_first_then_the_families() {
    let text = markdown(&support::gate());
    let place = |needle: &str| text.find(needle).unwrap_or_else(|| panic!("no {needle} in:\n{text}"));
    assert!(text.starts_with("## ✗ REGRESSION: phase1 → phase2\n"), "{text}");
    assert!(place("### Gate") < place("### Targets") && place("### Targets") < place("### Endpoints"));
    for row in [
        "| p95 latency | ✗ regression | 8.10 % | 9.10 % | 1 slower, 1 undecided, 3 not slower; MDE = 8.1 % |",
        "| CPU time per request | ✓ not slower | 2.10 % | 3.10 % |",
        "| share of very slow requests | ✓ not slower | – | – | 5 not slower |",
        "Oversubscribed machine: 93 % of the cores were in use.",
    ] {
        place(row);
    }
    assert!(!markdown(&support::record()).contains("### Gate"));
}

/// A record all of whose comparisons were decided.
fn decided() -> Record {
    let mut record = support::record();
    for comparison in &mut record.comparisons {
        comparison.outcome = Outcome::Pass;
    }
    record
}

#[test]
fn annotations_are_one_command_per_finding() {
    let text = annotations(&support::gate());
    let lines: Vec<&str> = text.lines().collect();
    assert!(
        lines[0].starts_with("::error title=REGRESSION::slower than before: p95 latency of risk_current"),
        "{text}"
    );
    assert!(
        lines[1].starts_with("::error title=p95 latency of risk_current%3A regression::after ÷ before "),
        "{text}"
    );
    assert!(
        lines[2].starts_with("::warning title=p95 latency of record_trip%3A cannot tell::after ÷ before "),
        "{text}"
    );
    assert_eq!(lines.len(), 3, "{text}");
    assert_eq!(annotations(&decided()), "", "a run that passed needs no look");
}

#[test]
fn missed_targets_and_failed_checks_are_annotated_by_their_weight() {
    let mut record = decided();
    record.checks[0].ok = false;
    record.checks[0].detail = "50 %\nof it".to_owned();
    record.targets[0].verdict = TargetVerdict::Fail;
    record.targets[1].verdict = TargetVerdict::Fail;
    record.targets[1].priority = Priority::P2;
    let text = annotations(&record);
    let kinds: Vec<&str> = text
        .lines()
        .map(|line| line.split(' ').next().unwrap_or_default())
        .collect();
    assert_eq!(kinds, ["::error", "::error", "::warning"], "{text}");
    assert!(
        text.lines().next().unwrap_or_default().ends_with("::50 %25%0Aof it"),
        "{text}"
    );
}

#[test]
fn no_more_annotations_than_are_shown() {
    let mut record = support::gate();
    let one = record.comparisons[0].clone();
    record.comparisons = (0..30).map(|_| one.clone()).collect();
    for (index, comparison) in record.comparisons.iter_mut().enumerate() {
        comparison.outcome = if index % 2 == 0 {
            Outcome::Regress
        } else {
            Outcome::Inconclusive
        };
    }
    assert_eq!(annotations(&record).lines().count(), 20);
}

#[test]
fn machines_get_the_verdict_as_json() {
    let document: Value = serde_json::from_str(&verdict_json(&support::gate())).expect("it is JSON");
    assert_eq!(document["verdict"], "regression");
    assert_eq!(document["exit_code"], 6);
    assert_eq!(document["gate"]["families"][1]["mde"], 0.021);
    let comparisons = document["comparisons"].as_array().expect("a list");
    let regressed: Vec<&Value> = comparisons.iter().filter(|one| one["outcome"] == "regress").collect();
    assert_eq!(regressed.len(), 1);
    assert_eq!(regressed[0]["endpoint"], "risk_current");
    assert_eq!(
        document["targets"].as_array().map(Vec::len),
        Some(support::gate().targets.len())
    );
}
