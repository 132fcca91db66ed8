//! Records of two generators merged and compared with one that counted everything itself.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::judge::{Question, judge};
use crate::record::{FailureClass, Model, Stream, Topic, TopicBacklog, TopicEffects, TopicProduced, Verdict};
use crate::recorder::{self, Request, RoundRecorder, Windows};
use crate::testing::{record, some_time, subject};

const WINDOWS: Windows = Windows {
    warm_up_end_us: 500_000,
    measure_end_us: 2_500_000,
};

/// Due, late by, took, worked.
type Sent = (u64, u64, u64, bool);

fn recorded(id: &str, requests: &[Sent]) -> Record {
    let recorder = RoundRecorder::new(vec!["a".to_owned()], WINDOWS).with_model(Model::Open);
    let mut shard = recorder.shard();
    for (intended_us, late_us, took_us, worked) in requests {
        shard.arrival(*intended_us);
        shard.ended(Request {
            endpoint: 0,
            intended_us: *intended_us,
            sent_us: intended_us + late_us,
            ended_us: intended_us + late_us + took_us,
            waited_us: 0,
            outcome: if *worked {
                recorder::RequestEnd::Ok { bytes: 5 }
            } else {
                recorder::RequestEnd::Failed(FailureClass::Status)
            },
        });
    }
    let counted = recorder.finish([&shard], 3_000_000);
    let mut record = record();
    record.id = id.to_owned();
    record.workload.seed = id.bytes().map(u64::from).sum();
    record.workload.model = Model::Open;
    record.workload.users = None;
    record.workload.rate_per_s = Some(requests.len() as f64 / 2.0);
    record.subjects = vec![subject("s")];
    record.rounds = vec![Round {
        subject: "s".to_owned(),
        started_at: some_time() + chrono::Duration::microseconds(id.bytes().map(i64::from).sum()),
        phases: counted.phases,
        slices: counted.slices,
        probes: BTreeMap::from([
            ("harness.cpu_percent".to_owned(), requests.len() as f64),
            ("service.rss_mb".to_owned(), 50.0),
            ("service.cpu_us_per_request".to_owned(), 200.0),
        ]),
        ..Round::default()
    }];
    record
}

fn steady(from_us: u64) -> Vec<Sent> {
    (0..200).map(|i| (from_us + i * 10_000, 20, 1_000 + i, true)).collect()
}

fn refusal(one: &Record, other: &Record) -> String {
    records(&[one.clone(), other.clone()]).unwrap_err().to_string()
}

#[test]
fn two_generators_are_one_load() {
    let mut merged = records(&[recorded("one", &steady(500_000)), recorded("two", &steady(505_000))]).unwrap();
    assert!(
        merged.summary.is_empty() && merged.verdict == Verdict::Invalid,
        "nobody judged it yet"
    );
    judge(&mut merged, &Question::default()).unwrap();
    assert_eq!(merged.id, "one-merged-2");
    assert_eq!(merged.merged_from, ["one", "two"]);
    assert_eq!(merged.workload.rate_per_s, Some(200.0));
    let summary = &merged.summary["s"];
    assert_eq!(
        (
            summary.endpoints["a"].count,
            summary.arrivals.as_ref().unwrap().intended
        ),
        (400, 400)
    );
    let probes = &merged.rounds[0].probes;
    assert_eq!(
        probes.keys().collect::<Vec<_>>(),
        ["harness.cpu_percent", "service.rss_mb"]
    );
    let failed: Vec<_> = merged.checks.iter().filter(|check| !check.ok).collect();
    let allowed = ["the generator was not saturated", "the rate was held"];
    assert!(
        failed.iter().all(|check| allowed.contains(&check.name.as_str())),
        "{failed:?}"
    );
    assert_eq!(merged.comparisons.len(), 0);
    assert_ne!(merged.checks.len(), 0);
}

#[test]
fn unlike_records_are_refused_with_the_reason() {
    let one = recorded("one", &steady(500_000));
    let mut other = recorded("two", &steady(505_000));
    other.workload.sha256 = "ffff".to_owned();
    assert_eq!(
        refusal(&one, &other),
        "record two does not belong to record one: the workload is phase2-mix (ffff), not phase2-mix (ab12)"
    );
    let mut closed = recorded("two", &steady(0));
    closed.workload.model = Model::Closed;
    assert!(refusal(&one, &closed).ends_with("the load model is closed, not open"));
    let mut later = recorded("two", &steady(0));
    later.rounds[0].started_at += chrono::Duration::seconds(60);
    assert!(refusal(&one, &later).contains("its measured phase shares 0 ms of 2000 ms with the other"));
    assert!(matches!(records(&[one]), Err(MergeError::TooFew(1))));
}

/// Every two of them, not only the first and another.
#[test]
fn the_same_run_twice_is_refused_wherever_it_stands() {
    let [a, b] = [recorded("a", &steady(500_000)), recorded("b", &steady(505_000))];
    let among = |other: &Record| records(&[a.clone(), b.clone(), other.clone()]).unwrap_err().to_string();
    assert!(
        among(&b).contains("both hold the run b, which would be counted twice"),
        "{}",
        among(&b)
    );
    let mut copied = b.clone();
    copied.id = "copied".to_owned();
    copied.workload.seed = 7;
    assert!(among(&copied).contains("it has the same content"), "{}", among(&copied));
    let merged = Record {
        merged_from: vec!["b".to_owned(), "d".to_owned()],
        ..recorded("merged", &steady(507_000))
    };
    assert!(among(&merged).contains("both hold the run b"), "{}", among(&merged));
}

/// The same seed is the same keys at the same moments, unless each generator was given its part.
#[test]
fn generators_need_seeds_or_parts_of_their_own() {
    let with = |id: &str, from_us, shard: Option<(u32, u32)>| {
        let mut one = recorded(id, &steady(from_us));
        one.workload.seed = 42;
        one.workload.shard = shard.map(|(index, of)| Shard { index, of });
        one
    };
    let pair = |a, b| records(&[with("one", 500_000, a), with("two", 505_000, b)]);
    for (a, b) in [
        (None, None),
        (Some((1, 2)), None),
        (Some((1, 2)), Some((1, 2))),
        (Some((1, 2)), Some((2, 3))),
    ] {
        let error = pair(a, b).unwrap_err().to_string();
        assert!(error.contains("seed 42") && error.contains("--shard"), "{error}");
    }
    let merged = pair(Some((1, 2)), Some((2, 2))).unwrap();
    assert_eq!((merged.workload.seed, merged.workload.shard), (42, None));
}

#[test]
fn generators_must_measure_together_for_nearly_all_of_the_time() {
    let after = |ms| {
        let mut later = recorded("two", &steady(505_000));
        later.rounds[0].started_at += chrono::Duration::milliseconds(ms);
        records(&[recorded("one", &steady(500_000)), later])
    };
    assert!(after(90).is_ok());
    let error = after(110).unwrap_err().to_string();
    assert!(error.contains("shares 1890 ms of 2000 ms"), "{error}");
}

#[test]
fn every_mark_of_an_interrupted_record_is_kept() {
    let stopped = |id: &str, from_us| {
        let mut one = recorded(id, &steady(from_us));
        one.checks = vec![crate::checks::came_to_its_end(Some("interrupted"))];
        one
    };
    let merged = records(&[stopped("one", 500_000), stopped("two", 505_000)]).unwrap();
    assert_eq!(
        (merged.checks[0].ok, merged.checks[0].detail.as_str()),
        (false, "interrupted (record one); interrupted (record two)")
    );
}

#[test]
fn a_histogram_that_cannot_be_read_is_named() {
    let one = recorded("one", &steady(500_000));
    let mut other = recorded("two", &steady(505_000));
    other.rounds[0].phases[1].endpoints.get_mut("a").unwrap().hdr = "AAAA".to_owned();
    let error = refusal(&one, &other);
    assert!(
        error.starts_with("record two, block 0, subject s, measure of a: not an HdrHistogram"),
        "{error}"
    );
}

#[test]
fn what_belongs_to_one_generator_does_not_merge() {
    for (purpose, why) in [
        (Purpose::Gate, "a gate's slices belong to one generator"),
        (Purpose::Capacity, "a search for capacity belongs to one generator"),
    ] {
        let of_purpose = |id: &str| Record {
            purpose,
            ..recorded(id, &steady(500_000))
        };
        let error = refusal(&of_purpose("one"), &of_purpose("two"));
        assert!(error.ends_with(why), "{error}");
    }
}

fn requests() -> impl Strategy<Value = Vec<Sent>> {
    prop::collection::vec(
        (
            0..2_600_000_u64,
            0..5_000_u64,
            1..700_000_u64,
            prop::bool::weighted(0.9),
        ),
        1..80,
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn merging_equals_counting_together(a in requests(), b in requests()) {
        let together: Vec<Sent> = a.iter().chain(&b).copied().collect();
        let expected = recorded("all", &together);
        let merged = records(&[recorded("one", &a), recorded("two", &b)]).unwrap();
        let (merged, expected) = (&merged.rounds[0], &expected.rounds[0]);
        prop_assert_eq!(&merged.phases, &expected.phases);
        for (one, other) in merged.slices.iter().zip(&expected.slices) {
            prop_assert_eq!((one.count, one.errors, one.p50_ms, one.p95_ms, &one.hdr, &one.failures),
                            (other.count, other.errors, other.p50_ms, other.p95_ms, &other.hdr, &other.failures));
        }
    }
}

/// Clients of both generators watched the same stream, each its own part.
#[test]
fn live_streams_add_up() {
    let with = |id: &str, owed: u64, missed: u64| {
        let mut record = recorded(id, &steady(500_000));
        let messages = record.rounds[0].phases[1].endpoints["a"].clone();
        let stream = Stream {
            clients: 20,
            messages,
            owed,
            missed,
            reasons: [("closed with code 1012".to_owned(), 1)].into(),
            came_back: 1,
            ..Stream::default()
        };
        record.rounds[0].streams = [("screens".to_owned(), stream)].into();
        record
    };
    let mut merged = records(&[with("one", 400, 1), with("two", 300, 0)]).unwrap();
    judge(&mut merged, &Question::default()).unwrap();
    let summary = &merged.summary["s"];
    let sums = &summary.streams["screens"];
    assert_eq!((sums.clients, sums.owed, sums.missed, sums.came_back), (40, 700, 1, 2));
    assert_eq!(sums.reasons["closed with code 1012"], 2);
    // Messages have times as requests have, and are no requests.
    assert_eq!(
        (summary.endpoints["screens"].count, summary.endpoints["all"].count),
        (400, 400)
    );
}

/// They would count as missed.
#[test]
fn messages_that_a_generator_had_no_room_for_make_a_run_invalid() {
    let mut record = recorded("one", &steady(500_000));
    let mut stream = Stream {
        messages: record.rounds[0].phases[1].endpoints["a"].clone(),
        ..Stream::default()
    };
    let failed = |record: &mut Record| {
        judge(record, &Question::default()).unwrap();
        let mut checks = record.checks.iter();
        checks.any(|check| !check.ok && check.name == "the generator kept every message")
    };
    record.rounds[0].streams = [("screens".to_owned(), stream.clone())].into();
    assert!(!failed(&mut record));
    stream.not_kept = 3;
    record.rounds[0].streams = [("screens".to_owned(), stream)].into();
    assert!(failed(&mut record) && record.verdict == Verdict::Invalid);
}

/// Both generators watched the same topic, each for its own writes.
#[test]
fn topics_add_up() {
    let with = |id: &str, owed: u64, missed: u64, took_s: f64| {
        let mut record = recorded(id, &steady(500_000));
        let counts = record.rounds[0].phases[1].endpoints["a"].clone();
        let topic = Topic {
            partitions: 4,
            records: Some(counts.clone()),
            owed,
            missed,
            effects: Some(TopicEffects {
                commits: counts.clone(),
                owed,
                missed: missed + 1,
            }),
            offset_lag_max: Some(owed),
            produced: Some(TopicProduced {
                acknowledgements: counts,
                not_sent: 2,
            }),
            backlog: Some(TopicBacklog {
                messages: 100,
                acknowledged: 100,
                worked_off: 90,
                produced_s: 1.0,
                took_s,
            }),
            reasons: [("timed out".to_owned(), 1)].into(),
            ..Topic::default()
        };
        record.rounds[0].topics = [("telemetry".to_owned(), topic)].into();
        record
    };
    let mut merged = records(&[with("one", 400, 1, 5.0), with("two", 300, 0, 4.0)]).unwrap();
    judge(&mut merged, &Question::default()).unwrap();
    let summary = &merged.summary["s"];
    let sums = &summary.topics["telemetry"];
    assert_eq!(
        (sums.owed, sums.missed, sums.missed_effects, sums.offset_lag_max),
        (700, 1, Some(3), Some(400))
    );
    assert_eq!(sums.reasons["timed out"], 2);
    let backlog = sums.backlog.clone().unwrap();
    assert_eq!((backlog.messages, backlog.worked_off_per_s()), (200, Some(36.0)));
    for name in ["telemetry", "telemetry.effect", "telemetry.produced", "all"] {
        assert_eq!(summary.endpoints[name].count, 400, "{name}");
    }
    let failed = |name: &str| merged.checks.iter().any(|check| !check.ok && check.name == name);
    assert!(failed("the generator sent every message") && merged.verdict == Verdict::Invalid);
    assert!(!failed("the generator kept every message"));
}
