//! Topics of Kafka, in each form of the report.

use measure::record::{Record, TopicBacklog, TopicSummary};
use reports::{html, markdown, text};

use crate::support;

fn with(found: TopicSummary) -> Record {
    let mut record = support::single();
    let (_, judged) = record.sides();
    let judged = judged.to_owned();
    let summary = record.summary.get_mut(&judged).expect("a summary");
    summary.topics = [("telemetry".to_owned(), found)].into();
    record
}

#[test]
fn what_was_owed_committed_and_worked_off_stands_in_every_form() {
    let record = with(TopicSummary {
        owed: 24_000,
        missed: 3,
        missed_effects: Some(17),
        offset_lag_max: Some(1_234),
        backlog: Some(TopicBacklog {
            messages: 50_000,
            acknowledged: 50_000,
            worked_off: 40_000,
            produced_s: 2.0,
            took_s: 10.0,
        }),
        reasons: [("Broker <transport> failure".to_owned(), 7)].into(),
        ..TopicSummary::default()
    });
    let page = html(&record).unwrap();
    let (_, section) = page.split_once("<section id=\"topics\"").unwrap();
    let (section, _) = section.split_once("</section>").unwrap();
    for shown in [
        "telemetry",
        "24,000",
        "17",
        "1,234",
        "40,000 of 50,000, 4000/s",
        "produced at 25000/s",
        "7 × Broker &#60;transport&#62; failure",
    ] {
        assert!(section.contains(shown), "{shown}: {section}");
    }
    assert!(page.contains("<a href=\"#topics\">"));
    for form in [markdown(&record), text(&record)] {
        assert!(form.contains("Topics") && form.contains("24,000"), "{form}");
    }
}

#[test]
fn a_run_without_topics_says_nothing_of_them() {
    let record = support::single();
    assert!(!html(&record).unwrap().contains("id=\"topics\""));
    assert!(!text(&record).contains("Topics"));
}
