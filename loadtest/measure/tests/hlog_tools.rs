//! `.hlog` files are read by HdrHistogram's own tools: what its Python package read from the stored sample is what this
//! package writes and reads (`tests/hlog_tools.py` says how the stored reading was made).

#![expect(clippy::unwrap_used, reason = "a test that cannot read its own data has failed")]

use std::time::Duration;

use chrono::DateTime;
use measure::histogram::LatencyHistogram;
use measure::hlog::{Hlog, Interval};

const SAMPLE: &str = include_str!("data/sample.hlog");
const AS_PYTHON_READS_IT: &str = include_str!("data/sample.hlog.txt");

fn interval(tag: &str, start_s: u64, times_us: impl Iterator<Item = u64>) -> Interval {
    let mut times = LatencyHistogram::new();
    times_us.for_each(|us| times.record_us(us));
    Interval {
        tag: tag.to_owned(),
        start: Duration::from_secs(start_s),
        length: Duration::from_secs(10),
        times,
    }
}

fn sample() -> Hlog {
    Hlog {
        started_at: DateTime::from_timestamp_millis(1_795_428_900_250).unwrap(),
        intervals: vec![
            interval("phase2/driver_details", 5, (1..=2000).map(|i| i * i % 9000 + 40)),
            interval(
                "phase2/driver_details/service",
                5,
                (1..=2000).map(|i| i * i % 7000 + 30),
            ),
            interval("phase2/slow", 40, (1..=3).map(|i| i * 19_000_000)),
        ],
    }
}

#[test]
fn the_sample_is_what_this_build_writes() {
    let mut written = Vec::new();
    sample().write(&mut written).unwrap();
    assert_eq!(String::from_utf8(written).unwrap(), SAMPLE);
}

#[test]
fn other_tools_read_our_logs() {
    let log = Hlog::parse(SAMPLE.as_bytes()).unwrap();
    let ours: Vec<String> = log.intervals.iter().map(|interval| reading(&log, interval)).collect();
    assert_eq!(ours, AS_PYTHON_READS_IT.lines().collect::<Vec<_>>());
}

fn reading(log: &Hlog, interval: &Interval) -> String {
    let start = log.started_at + interval.start;
    let figures = [0.5, 0.99, 1.0].map(|quantile| interval.times.quantile_us(quantile).unwrap().to_string());
    format!(
        "{} {}.{:03} {} {}",
        interval.tag,
        start.timestamp(),
        start.timestamp_subsec_millis(),
        interval.times.len(),
        figures.join(" ")
    )
}
