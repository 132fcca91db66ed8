//! Percentiles asked of few and of enough answers.

use super::*;
use crate::record::{Limit, Priority};
use crate::rounds::measured;
use crate::testing::round;

fn target(metric: &str, endpoint: &str) -> TargetSpec {
    TargetSpec {
        id: String::new(),
        priority: Priority::P0,
        metric: metric.to_owned(),
        endpoint: Some(endpoint.to_owned()),
        limit: Limit::Below(5.0),
        source: String::new(),
        not_yet: None,
    }
}

fn asked(answers: u64, targets: &[TargetSpec]) -> Check {
    let rounds = [
        round(0, "s", &[("a", (1..=answers).collect())]),
        round(1, "s", &[("a", (1..=answers).collect())]),
    ];
    of_samples(&measured(&rounds, "s").unwrap(), targets)
}

#[test]
fn too_few_answers_for_a_percentile_are_named() {
    let targets = [
        target("http.p95_ms", "a"),
        target("http.p99_ms", "a"),
        target("db.queries", "a"),
    ];
    let check = asked(60, &targets);
    assert_eq!(
        (check.ok, check.detail.as_str()),
        (
            false,
            "http.p99_ms of a has 120 answers, needs 500 (measure longer, or give it more weight)"
        )
    );
}

#[test]
fn rounds_count_together_and_what_was_never_answered_is_another_checks() {
    assert!(asked(250, &[target("http.p99_ms", "a"), target("http.p95_ms", "never")]).ok);
    assert!(!asked(249, &[target("http.p99_ms", "a")]).ok);
}
