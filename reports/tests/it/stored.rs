//! A record that was judged again: against a baseline, or for its capacity.

use measure::record::{
    Baseline, BaselineEvidence, BaselineRun, Capacity, CapacityOutcome, CapacityStep, Outcome, Purpose, Record,
    StepKind, Verdict,
};
use reports::{annotations, html, junit, markdown, pull_request, table, verdict_json};
use serde_json::Value;

use crate::support;

/// Against one run of the day before: the first comparison is called.
fn against_baseline() -> Record {
    let mut record = support::single();
    let mut comparisons = support::record().comparisons;
    for (index, comparison) in comparisons.iter_mut().enumerate() {
        "yesterday".clone_into(&mut comparison.before);
        comparison.outcome = match index {
            0 => Outcome::Regress,
            1 => Outcome::InsufficientData,
            _ => Outcome::Pass,
        };
    }
    record.baseline = Some(Baseline {
        runs: vec![BaselineRun {
            id: "yesterday".to_owned(),
            at: record.created_at,
            subject: "phase2".to_owned(),
            git: Some("4b5edd4".to_owned()),
            blocks: 5,
        }],
        evidence: BaselineEvidence::Blocks,
        limit: 1.5,
        comparisons,
        shows: "what it shows".to_owned(),
        cannot_show: "what it cannot".to_owned(),
        notes: vec!["a <b> note".to_owned()],
    });
    record.verdict = Verdict::Regression;
    record.exit_code = 6;
    record
}

fn with_capacity() -> Record {
    let mut record = support::single();
    let step = |kind, rate_per_s: f64, above| CapacityStep {
        kind,
        rate_per_s,
        goal: "fast".to_owned(),
        above,
        of: 1_000,
        allowed: 0.05,
        above_by_service: above,
        p50_ms: Some(2.0),
        p95_ms: Some(rate_per_s / 10.0),
        achieved_per_s: rate_per_s,
        in_flight: 3.0,
        dropped: 0,
        lateness_p99_ms: Some(0.2),
        hdr: String::new(),
    };
    record.purpose = Purpose::Capacity;
    record.capacity = Some(Capacity {
        goals: vec!["fast".to_owned()],
        steps: vec![
            step(StepKind::Doubling, 100.0, 3),
            step(StepKind::Doubling, 200.0, 300),
            step(StepKind::Soak, 140.0, 20),
        ],
        outcome: CapacityOutcome::Found,
        crossing_per_s: Some(151.0),
        interval_per_s: Some((140.0, 163.0)),
        advertised_per_s: Some(140.0),
        wanted_per_s: None,
        soak_s: 600.0,
        failed_soaks: 1,
        scaling: None,
    });
    record
}

#[track_caller]
fn assert_says(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "no {part:?} in:\n{text}");
    }
}

#[test]
fn a_baseline_stands_in_every_output_with_what_it_can_show() {
    let record = against_baseline();
    assert_says(
        &markdown(&record),
        &[
            "### Against the baseline",
            "More than 50.0 % slower counts",
            "| ✗ regression |",
            "It shows what it shows.",
            "It cannot show what it cannot.",
            "- a &lt;b&gt; note",
        ],
    );
    assert_says(
        &html(&record).expect("it can be drawn"),
        &["id=\"baseline\"", "yesterday: phase2 at 4b5edd4", "a &#60;b&#62; note"],
    );
    assert_says(
        &junit(&record).expect("it is written"),
        &["classname=\"baseline.latency_p95\"", "type=\"regression\""],
    );
    assert_says(
        &annotations(&record),
        &["::error title=REGRESSION::", "regression::after ÷ before", "::warning "],
    );
    let document: Value = serde_json::from_str(&verdict_json(&record)).expect("it is JSON");
    assert_eq!(document["baseline"]["limit"], 1.5);
}

#[test]
fn the_link_follows_the_verdict_and_cannot_break_out() {
    let text = pull_request(&support::record(), "https://x/y?a=1&b=(2)>\n# no");
    let heading = text.find("## ").expect("a verdict");
    let link = text.find("[Report](<https://x/y?a=1&b=(2)# no>)").expect("a link");
    assert!(
        heading < link && link < text.find("### Targets").expect("targets"),
        "{text}"
    );
}

#[test]
fn a_terminal_gets_a_table_as_wide_as_it_is() {
    let record = against_baseline();
    let lines = |width| table(&record, width);
    assert_says(
        &lines(None),
        &["✗ REGRESSION: phase2", "÷ baseline", "note: a <b> note", "could see"],
    );
    let narrow = lines(Some(80));
    let rows = narrow.lines().skip(3).take_while(|line| !line.is_empty());
    assert!(rows.map(|row| row.chars().count()).max() <= Some(80), "{narrow}");
    let first = lines(None).lines().position(|line| line.contains("✗ regression"));
    let last = lines(None).lines().position(|line| line.contains("✓ not slower"));
    assert!(first < last);
}

#[test]
fn a_capacity_says_what_is_promised_and_shows_every_step() {
    let record = with_capacity();
    assert_says(
        &markdown(&record),
        &[
            "### Capacity",
            "| Holds | 140/s |",
            "151/s, 95 % interval 140 to 163/s",
            "600 s, 1 failed before",
        ],
    );
    let page = html(&record).expect("it can be drawn");
    assert_says(
        &page,
        &[
            "id=\"capacity\"",
            "holds 140/s",
            "30.0 % of 5.00 %",
            "3 loads, 1 of which missed",
        ],
    );
    assert_says(
        &junit(&record).expect("it is written"),
        &["name=\"fast\" classname=\"capacity\"/>"],
    );
    let document: Value = serde_json::from_str(&verdict_json(&record)).expect("it is JSON");
    assert_eq!(document["capacity"]["advertised_per_s"], 140.0);
    let mut missed = record;
    missed.verdict = Verdict::TargetsMissed;
    assert_says(
        &junit(&missed).expect("it is written"),
        &["type=\"too little capacity\""],
    );
}
