//! Live streams, in each form of the report.

use measure::record::{Record, StreamSummary};
use reports::{html, markdown, text};

use crate::support;

fn with(found: StreamSummary) -> Record {
    let mut record = support::single();
    let (_, judged) = record.sides();
    let judged = judged.to_owned();
    let summary = record.summary.get_mut(&judged).expect("a summary");
    summary.streams = [("screens".to_owned(), found)].into();
    record
}

#[test]
fn what_clients_were_owed_and_not_shown_stands_in_every_form() {
    let record = with(StreamSummary {
        clients: 1_000,
        owed: 24_000,
        missed: 3,
        came_back: 7,
        reasons: [("closed with <code> 4008".to_owned(), 7)].into(),
        ..StreamSummary::default()
    });
    let page = html(&record).unwrap();
    let (_, section) = page.split_once("<section id=\"streams\"").unwrap();
    let (section, _) = section.split_once("</section>").unwrap();
    for shown in ["screens", "1,000", "24,000", "closed with &#60;code&#62; 4008"] {
        assert!(section.contains(shown), "{shown}: {section}");
    }
    assert!(page.contains("<a href=\"#streams\">"));
    for form in [markdown(&record), text(&record)] {
        assert!(form.contains("Live streams") && form.contains("24,000"), "{form}");
    }
}

#[test]
fn a_run_without_streams_says_nothing_of_them() {
    let record = support::single();
    assert!(!html(&record).unwrap().contains("id=\"streams\""));
    assert!(!text(&record).contains("Live streams"));
}
