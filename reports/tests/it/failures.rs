//! Failures by class and kind, in each form of the report.

use reports::{html, junit, markdown};
use roxmltree::Document;

use crate::support;

#[test]
fn a_record_without_failures_says_nothing_of_them() {
    let record = support::record();
    assert!(!html(&record).unwrap().contains("failures-heading"));
    assert!(!markdown(&record).contains("### Failures"));
    assert!(!junit(&record).unwrap().contains("system-out"));
}

#[test]
fn markdown_has_the_classes_and_the_kinds_with_an_example() {
    let text = markdown(&support::with_failures(support::record()));
    let (_, failures) = text.split_once("### Failures\n\n").unwrap();
    let (failures, _) = failures.split_once("\nWorkload").unwrap();
    insta::assert_snapshot!(failures, @r"
    | Subject | Endpoint | Failed | By class | Sent twice |
    |---|---|---:|---|---:|
    | phase2 | all requests | 57 | 52 status, 3 time-out, 2 not answered | 4 |
    | phase2 | risk\_current | 57 | 52 status, 3 time-out, 2 not answered | 4 |

    | Failures | Kind | Endpoint | Subject | Examples |
    |---:|---|---|---|---|
    | 61 | status 500 | risk\_current | phase2 | GET risk\_current: got 500 &lt;b&gt;�\[31m\|no\| |
    | 3 | time-out | risk\_current | phase2 | GET risk\_current: no answer within 100 ms |
    ");
}

#[test]
fn the_page_has_both_tables_and_nothing_of_a_body_becomes_markup() {
    let page = html(&support::with_failures(support::record())).unwrap();
    assert!(page.contains("52 status, 3 time-out, 2 not answered"));
    assert!(page.contains("status 500") && page.contains("no answer within 100 ms"));
    assert!(!page.contains("got 500 <b>"));
    assert!(page.contains("href=\"#failures\""));
}

#[test]
fn junit_has_them_as_the_output_of_the_run() {
    let xml = junit(&support::with_failures(support::record())).unwrap();
    let document = Document::parse(&xml).unwrap();
    let output = document
        .descendants()
        .find(|node| node.has_tag_name("system-out"))
        .unwrap();
    assert_eq!(output.parent().unwrap().attribute("classname"), Some("run"));
    let text = output.text().unwrap();
    assert!(
        text.contains("phase2, risk_current: 57 failed: 52 status, 3 time-out, 2 not answered"),
        "{text}"
    );
    assert!(
        text.contains("phase2: 61x status 500 of risk_current, such as: GET risk_current: got 500"),
        "{text}"
    );
    assert!(!text.contains('\u{1b}'));
}
