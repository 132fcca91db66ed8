//! The page of trends.

use std::fs;
use std::path::Path;

use chrono::{Duration, TimeZone, Utc};
use measure::history::change::change_points;
use measure::history::{Trend, TrendPoint};

/// Forty runs that became slower with the 26th.
fn trend() -> Trend {
    let start = Utc
        .with_ymd_and_hms(2026, 11, 1, 3, 0, 0)
        .single()
        .expect("a valid date");
    let points: Vec<TrendPoint> = (0..40)
        .map(|run| TrendPoint {
            id: format!("run-{run}"),
            at: start + Duration::days(run),
            git: Some(format!("rev{run}<b>")),
            value: if run < 25 { 5.0 } else { 6.5 } + (run * 7 % 5) as f64 / 20.0,
        })
        .collect();
    let values: Vec<f64> = points.iter().map(|point| point.value).collect();
    Trend {
        name: "driver_details".to_owned(),
        changes: change_points(&values),
        points,
    }
}

#[test]
fn a_trend_says_since_which_revision() {
    let skipped = ["line 7: torn: it ends in the middle".to_owned()];
    let page = reports::trends("main", &[trend()], &skipped).unwrap();
    fs::write(Path::new(env!("CARGO_TARGET_TMPDIR")).join("report-trend.html"), &page).unwrap();
    for text in [
        "History of main",
        "40 runs",
        "p95 of driver_details over runs",
        "<code>rev25&#60;b&#62;</code>",
        "2026-11-26 03:00:00 UTC",
        "1.29× slower",
        "line 7: torn",
    ] {
        assert!(page.contains(text), "no {text}");
    }
    assert!(!page.contains("<b>") && !page.contains("NaN"));
}

#[test]
fn an_empty_history_says_so() {
    let page = reports::trends("main", &[], &[]).unwrap();
    assert!(page.contains("holds no run that may be shown"));
}
