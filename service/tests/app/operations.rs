//! The files in `ops`: they use metrics that the service exports, and no others.

use std::collections::BTreeSet;
use std::path::PathBuf;

use serde_json::Value;

use crate::support::{Scene, eventually, promtool};

fn ops(file: &str) -> String {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../ops").join(file);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The expressions of the alert rules: one per line, in single quotes.
fn rules() -> Vec<String> {
    let text = ops("alerts.yml");
    let expressions = text.lines().filter_map(|line| {
        let quoted = line.trim().strip_prefix("expr: '")?;
        quoted.strip_suffix('\'').map(str::to_owned)
    });
    expressions.collect()
}

/// The expressions of the dashboard, its annotations included.
fn panels() -> Vec<String> {
    let dashboard: Value = serde_json::from_str(&ops("grafana/dashboards/insurance-service.json")).expect("JSON");
    let mut found = Vec::new();
    collect(&dashboard, &mut found);
    found
}

fn collect(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            found.extend(fields.get("expr").and_then(Value::as_str).map(str::to_owned));
            fields.values().for_each(|field| collect(field, found));
        }
        Value::Array(items) => items.iter().for_each(|item| collect(item, found)),
        _ => {}
    }
}

/// The names of metrics in an expression: words that are no function, no label and no keyword.
fn metrics_of(expression: &str) -> BTreeSet<String> {
    const KEYWORDS: [&str; 4] = ["by", "and", "or", "on"];
    let without_labels = without(&without(expression, '{', '}'), '[', ']');
    let mut names = BTreeSet::new();
    let mut rest = without_labels.as_str();
    while let Some(start) = rest.find(|c: char| c.is_ascii_alphabetic()) {
        let word_and_on = &rest[start..];
        let end = word_and_on
            .find(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))
            .unwrap_or(word_and_on.len());
        let (word, after) = word_and_on.split_at(end);
        rest = after;
        if KEYWORDS.contains(&word) {
            // What is grouped by are labels.
            rest = after.find(')').map_or("", |close| &after[close..]);
        } else if !after.starts_with('(') && !after.trim_start().starts_with("by") {
            names.insert(word.to_owned());
        }
    }
    names
}

fn without(text: &str, open: char, close: char) -> String {
    let mut depth = 0;
    text.chars()
        .filter(|c| {
            depth += i32::from(*c == open);
            let inside = depth > 0;
            depth -= i32::from(*c == close);
            !inside
        })
        .collect()
}

#[test]
fn metrics_are_told_from_functions_labels_and_keywords() {
    let names = metrics_of(
        "histogram_quantile(0.95, sum by (le, route) (rate(a_bucket{x=\"y\"}[5m]))) / max(b_bytes > 0) and on (z) c",
    );
    assert_eq!(names.into_iter().collect::<Vec<_>>(), ["a_bucket", "b_bytes", "c"]);
}

#[tokio::test]
async fn rules_and_dashboard_use_only_what_is_exported() {
    let scene = Scene::new().await;
    let app = scene.app().set("FAULTS", "sleep:premium:1ms").start_ready().await;
    // A series appears with the first thing that it counts.
    app.nobody().get("/nowhere").await.problem(404);
    let exported = eventually("Kafka's clients have told of themselves", async || {
        let metrics = app.metrics().await;
        let told = [
            "kafka_consumer_offset_lag",
            "kafka_round_trip_seconds",
            "kafka_messages_total",
        ];
        told.iter()
            .all(|name| metrics.text().contains(&format!("# TYPE {name} ")))
            .then_some(metrics)
    })
    .await;
    let is_exported = |name: &str| {
        let family = name.strip_suffix("_bucket").unwrap_or(name);
        exported.text().contains(&format!("# TYPE {family} "))
    };
    let (rules, panels) = (rules(), panels());
    assert!(
        rules.len() >= 8 && panels.len() >= 12,
        "{} rules, {} panels",
        rules.len(),
        panels.len()
    );
    for expression in rules.into_iter().chain(panels) {
        let names = metrics_of(&expression);
        assert!(!names.is_empty(), "{expression} names no metric");
        // Made by Prometheus for each of its targets.
        for name in names.iter().filter(|name| *name != "up") {
            assert!(is_exported(name), "{expression} uses {name}, which is not exported");
        }
    }
    app.stop().await;
    scene.end().await;
}

fn path(file: &str) -> String {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../ops").join(file);
    path.to_str().expect("a readable path").to_owned()
}

#[tokio::test]
async fn promtool_reads_the_rules() {
    promtool(&["check", "rules", &path("alerts.yml")], "").await;
}

/// Names after `key` in a file, in its order.
fn named(file: &str, key: &str) -> Vec<String> {
    let text = ops(file);
    let names = text.lines().filter_map(|line| line.trim().strip_prefix(key));
    names.map(|name| name.trim().to_owned()).collect()
}

#[tokio::test]
async fn each_rule_fires_when_it_should_and_not_otherwise() {
    promtool(&["test", "rules", &path("alerts_test.yml")], "").await;
    let rules: BTreeSet<String> = named("alerts.yml", "- alert:").into_iter().collect();
    // Each with two cases, one of which expects nothing.
    let tested = named("alerts_test.yml", "alertname:");
    assert_eq!(tested.iter().cloned().collect::<BTreeSet<_>>(), rules);
    assert_eq!(tested.len(), 2 * rules.len());
    let quiet = ops("alerts_test.yml").matches("exp_alerts: []").count();
    assert_eq!(quiet, rules.len());
}
