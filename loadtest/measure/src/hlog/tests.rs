//! Logs written, read back, merged, and refused.

use proptest::prelude::*;

use super::*;
use crate::testing::{histogram_of, record, round};

fn log_of(times: Vec<u64>) -> Hlog {
    let mut record = record();
    record.rounds = vec![
        round(0, "phase2", &[("a", times), ("b c", vec![7])]),
        round(1, "phase2", &[("a", vec![3]), ("b c", vec![])]),
    ];
    record.rounds[1].started_at += chrono::Duration::seconds(30);
    Hlog::of_record(&record).unwrap()
}

fn text(log: &Hlog) -> String {
    let mut bytes = Vec::new();
    log.write(&mut bytes).unwrap();
    String::from_utf8(bytes).unwrap()
}

#[test]
fn a_record_becomes_tagged_lines() {
    let text = text(&log_of(vec![1500, 2500]));
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[0], "#[Histogram log format version 1.3]");
    assert_eq!(lines[2], "#[StartTime: 1795428900.000 (seconds since epoch)]");
    let tags: Vec<&str> = lines
        .iter()
        .filter_map(|line| line.split(',').next()?.strip_prefix("Tag="))
        .collect();
    assert_eq!(tags, ["phase2/a", "phase2/b%20c", "phase2/a", "phase2/b%20c"]);
    assert!(
        lines[4].starts_with("Tag=phase2/a,2.000,10.000,2.501,HISTFAAAA"),
        "{}",
        lines[4]
    );
    assert!(lines[6].starts_with("Tag=phase2/a,32.000,10.000,"), "{}", lines[6]);
}

/// Names that one escape for everything would make one: counts of one would be added to the other.
#[test]
fn no_two_names_give_one_tag() {
    let names = [
        "a b",
        "a,b",
        "a_b",
        "a%20b",
        "y",
        "y/service",
        "y/service/b0/p1",
        "é\n",
        "a\tb",
    ];
    let mut record = record();
    let times: Vec<(&str, Vec<u64>)> = names.iter().map(|name| (*name, vec![1])).collect();
    record.rounds = vec![round(0, "s", &times), round(0, "s/y", &[("service", vec![1])])];
    let counts = record.rounds[0].phases[0].endpoints["y"].clone();
    let y = record.rounds[0].phases[0].endpoints.get_mut("y").unwrap();
    y.service_hdr = Some(counts.hdr.clone());
    record.rounds[0].gate_slices = vec![GateSlice {
        position: 1,
        endpoints: BTreeMap::from([("y/service".to_owned(), counts)]),
        ..GateSlice::default()
    }];
    let log = Hlog::of_record(&record).unwrap();
    let tags: BTreeSet<&str> = log.intervals.iter().map(|interval| interval.tag.as_str()).collect();
    assert_eq!(tags.len(), names.len() + 3, "{tags:?}");
    assert_eq!(Hlog::parse(text(&log).as_bytes()).unwrap().intervals.len(), tags.len());
}

#[test]
fn service_times_and_gate_slices_have_their_own_lines() {
    let mut record = record();
    let mut with_service = round(4, "new", &[("a", vec![10])]);
    let counts = with_service.phases[0].endpoints["a"].clone();
    with_service.phases[0].endpoints.get_mut("a").unwrap().service_hdr = Some(histogram_of([9]).encode());
    with_service.gate_slices = vec![GateSlice {
        position: 3,
        start_ms: 500,
        length_ms: 1000,
        endpoints: BTreeMap::from([("a".to_owned(), counts)]),
        ..GateSlice::default()
    }];
    record.rounds = vec![with_service];
    let log = Hlog::of_record(&record).unwrap();
    let tags: Vec<&str> = log.intervals.iter().map(|interval| interval.tag.as_str()).collect();
    assert_eq!(tags, ["new/a/b4/p3", "new/a", "new/a/service"]);
}

#[test]
fn what_is_not_a_log_is_refused_by_line() {
    let good = text(&log_of(vec![1, 2]));
    let broken = good.replacen("Tag=phase2/b%20c,2.000", "Tag=phase2/b%20c,two", 1);
    assert_eq!(
        Hlog::parse(broken.as_bytes()).unwrap_err().to_string(),
        "line 6: not a line of a histogram log (expected `[Tag=x,]start,length,max,base64`)"
    );
    let cut = &good[..good.len() - 20];
    assert!(
        Hlog::parse(cut.as_bytes())
            .unwrap_err()
            .to_string()
            .starts_with("line 8: ")
    );
    assert!(matches!(Hlog::parse(b"# nothing\n"), Err(HlogError::Empty)));
}

#[test]
fn a_log_of_the_java_tools_is_read() {
    let body = text(&log_of(vec![1, 2])).lines().nth(4).unwrap().to_owned();
    let java = format!(
        "#[Logged with jHiccup 2.0.7]\n#[Histogram log format version 1.2]\n#[StartTime: 1795428900.123 (seconds since \
         epoch), Mon Nov 23 10:15:00 UTC 2026]\n\"StartTimestamp\",\"Interval_Length\",\"Interval_Max\",\
         \"Interval_Compressed_Histogram\"\r\n{body}\r\n"
    );
    let log = Hlog::parse(java.as_bytes()).unwrap();
    assert_eq!((log.intervals.len(), log.intervals[0].times.len()), (1, 2));
    assert_eq!(log.started_at.timestamp_millis(), 1_795_428_900_123);
}

#[test]
fn logs_of_two_generators_add_up_line_by_line() {
    let (one, mut other) = (log_of(vec![1, 2]), log_of(vec![3]));
    other.started_at += chrono::Duration::milliseconds(250);
    let merged = Hlog::merge(&[other, one]).unwrap();
    let first = &merged.intervals[0];
    assert_eq!((first.tag.as_str(), first.times.len()), ("phase2/a", 3));
    assert_eq!(
        (first.start, first.length),
        (Duration::from_secs(2), Duration::from_millis(10_250))
    );
    assert_eq!(merged.intervals.len(), 4);
}

#[test]
fn logs_of_unlike_loads_are_refused_with_the_tag() {
    let one = log_of(vec![1, 2]);
    let mut short = one.clone();
    short.intervals.pop();
    assert_eq!(
        Hlog::merge(&[one, short]).unwrap_err().to_string(),
        "log 2 has 1 intervals of `phase2/b%20c`, log 1 has 2: they are not of one load"
    );
    assert_eq!(Hlog::merge(&[]).unwrap_err(), UnlikeHlogs::None);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn a_log_reads_back_as_written(times in prop::collection::vec(0..80_000_000_u64, 0..100)) {
        let log = log_of(times);
        prop_assert_eq!(Hlog::parse(text(&log).as_bytes()).unwrap(), log);
    }

    #[test]
    fn merging_logs_loses_no_count(a in prop::collection::vec(0..80_000_000_u64, 0..100),
                                   b in prop::collection::vec(0..80_000_000_u64, 0..100)) {
        let merged = Hlog::merge(&[log_of(a.clone()), log_of(b.clone())]).unwrap();
        prop_assert_eq!(&merged.intervals[0].times, &histogram_of(a.into_iter().chain(b)));
    }
}
