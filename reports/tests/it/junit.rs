//! `JUnit` XML: well-formed, counted right, never green for a run that is not.

use measure::record::{Outcome, Record, TargetVerdict, Verdict};
use reports::junit;
use roxmltree::{Document, Node};

use crate::support;

fn suite<'a>(document: &'a Document<'a>) -> Node<'a, 'a> {
    document
        .descendants()
        .find(|node| node.has_tag_name("testsuite"))
        .expect("a testsuite")
}

fn count(document: &Document<'_>, tag: &str) -> usize {
    document.descendants().filter(|node| node.has_tag_name(tag)).count()
}

fn attribute(document: &Document<'_>, name: &str) -> usize {
    suite(document)
        .attribute(name)
        .expect("an attribute")
        .parse()
        .expect("a number")
}

/// Asserts that the counts in the head are those of the body.
fn assert_counts(document: &Document<'_>) {
    for (name, tag) in [
        ("tests", "testcase"),
        ("failures", "failure"),
        ("errors", "error"),
        ("skipped", "skipped"),
    ] {
        assert_eq!(attribute(document, name), count(document, tag), "{name}");
    }
}

fn message<'a>(document: &'a Document<'a>, case: &str, tag: &str) -> &'a str {
    let fits = |node: &Node<'_, '_>| node.attribute("name").is_some_and(|name| name.starts_with(case));
    let case = document
        .descendants()
        .find(|node| node.has_tag_name("testcase") && fits(node))
        .expect("the test case");
    let end = case.children().find(|node| node.has_tag_name(tag)).expect("an end");
    end.attribute("message").expect("a message")
}

#[test]
fn a_passed_run_has_no_failure_and_skips_what_was_not_measured() {
    let record = support::record();
    let xml = junit(&record).unwrap();
    let document = Document::parse(&xml).unwrap();
    assert_counts(&document);
    let parts = 1 + record.checks.len() + record.targets.len() + record.comparisons.len();
    assert_eq!(attribute(&document, "tests"), parts);
    assert_eq!(attribute(&document, "failures"), 0);
    assert_eq!(attribute(&document, "errors"), 0);
    // Eight targets that nothing measures, one comparison that cannot tell.
    assert_eq!(attribute(&document, "skipped"), 9);
    assert_eq!(
        message(&document, "kafka-lag", "skipped"),
        "not measured: no probe delivers kafka.lag_p99_ms yet"
    );
}

#[test]
fn misses_failed_checks_and_regressions_are_failures_with_their_figures() {
    let mut record = support::record();
    record.targets[0].verdict = TargetVerdict::Fail;
    record.targets[0].observed = Some(17.25);
    record.targets[0].interval = Some((16.0, 18.5));
    record.targets[1].verdict = TargetVerdict::Inconclusive;
    record.checks[1].ok = false;
    record.comparisons[1].outcome = Outcome::Regress;
    let xml = junit(&record).unwrap();
    let document = Document::parse(&xml).unwrap();
    assert_counts(&document);
    assert_eq!(attribute(&document, "failures"), 3);
    assert_eq!(
        message(&document, "p95-all", "failure"),
        "17.2 ms (16.0 to 18.5 ms), asked < 15 ms"
    );
    assert!(message(&document, "p95-dashboard", "skipped").starts_with("inconclusive: 0.913 ms"));
    assert!(message(&document, "Little's law holds", "failure").contains("difference 0.6 %"));
    assert!(message(&document, "dashboard_summary", "failure").starts_with("regression"));
}

#[test]
fn a_message_of_several_lines_stands_whole_in_the_body() {
    let mut record = support::record();
    record.checks[0].ok = false;
    record.checks[0].detail = "first line\nsecond <line>".to_owned();
    let xml = junit(&record).unwrap();
    let document = Document::parse(&xml).unwrap();
    assert_eq!(message(&document, "fsync is on", "failure"), "first line second <line>");
    let failure = document.descendants().find(|node| node.has_tag_name("failure"));
    assert_eq!(failure.unwrap().text(), Some("first line\nsecond <line>"));
}

#[test]
fn a_run_that_did_not_come_about_is_an_error() {
    for verdict in [Verdict::Unavailable, Verdict::Interrupted, Verdict::Invalid] {
        let record = Record {
            verdict,
            ..support::unavailable()
        };
        let xml = junit(&record).unwrap();
        let document = Document::parse(&xml).unwrap();
        assert_counts(&document);
        assert_eq!(attribute(&document, "errors"), 1, "{verdict:?}");
    }
}

#[test]
fn names_are_escaped_and_come_back_as_they_were() {
    let hostile = "<script a=\"1\" b='2'>&amp; ]]> \\ second word";
    let mut record = support::record();
    record.checks[0].name = hostile.to_owned();
    record.checks[1].name = "nul \u{0} and escape \u{1b}".to_owned();
    record.workload.name = hostile.to_owned();
    let xml = junit(&record).unwrap();
    let document = Document::parse(&xml).unwrap();
    assert_eq!(suite(&document).attribute("name"), Some(hostile));
    let names: Vec<_> = document
        .descendants()
        .filter_map(|node| node.attribute("name"))
        .collect();
    assert!(names.contains(&hostile));
    assert!(names.contains(&"nul \u{FFFD} and escape \u{FFFD}"));
}

#[test]
fn escape_sequences_and_control_characters_never_break_the_xml() {
    let controls: String = (0..0x20)
        .chain(0x7f..0xa0)
        .chain([0xFFFE, 0xFFFF])
        .filter_map(char::from_u32)
        .collect();
    for hostile in [
        "\u{1b}[31mred\u{1b}[0m",
        "\u{1b}]8;;http://x\u{7}link\u{1b}]8;;\u{7}",
        &controls,
    ] {
        let mut record = support::unavailable();
        record.checks = support::record().checks;
        record.targets = support::record().targets;
        record.comparisons = support::record().comparisons;
        let text = format!("before {hostile} after");
        record.workload.name.clone_from(&text);
        record.verdict_reason.clone_from(&text);
        record.checks[0].ok = false;
        record.checks[0].name.clone_from(&text);
        record.checks[0].detail.clone_from(&text);
        record.targets[0].id.clone_from(&text);
        record.targets[0].detail.clone_from(&text);
        record.targets[0].verdict = TargetVerdict::Inconclusive;
        record.comparisons[0].endpoint.clone_from(&text);
        record.comparisons[0].outcome = Outcome::Regress;
        let xml = junit(&record).unwrap();
        let document = Document::parse(&xml).unwrap_or_else(|error| panic!("{hostile:?}: {error}\n{xml}"));
        assert_counts(&document);
        for (case, tag) in [("no subject", "error"), ("before", "failure")] {
            let message = message(&document, case, tag);
            assert!(
                message.starts_with("before ") && message.ends_with(" after"),
                "{message:?}"
            );
            assert!(!message.contains('\u{1b}'), "{message:?}");
        }
    }
}
