//! Topics of Kafka: trips go into the reference service over HTTP, their records come through its topic, and its group
//! works them off, before and after.

use std::{fs, net::TcpListener, path::PathBuf};

use measure::record::{Record, TopicBacklog};

use crate::support::{Workplace, edited, repository};

const BACKLOG: u64 = 2_000;

/// The shipped workload, short and small.
fn workload(place: &Workplace) -> PathBuf {
    let text = fs::read_to_string(repository("scenarios/workloads/telemetry.toml")).unwrap();
    let mut text = edited(&text, "users = 100", "users = 20");
    for (from, to) in [
        ("mean_ms = 1000", "mean_ms = 400"),
        ("messages = 20000", "messages = 2000"),
        ("measure_s = 8", "measure_s = 3"),
        ("warm_up_s = 3", "warm_up_s = 1"),
    ] {
        text = edited(&text, from, to);
    }
    place.write("telemetry.toml", &text)
}

fn compare(place: &Workplace) -> Record {
    let (file, out) = (workload(place), place.out());
    let arguments = [
        "compare",
        "--quick",
        "--blocks",
        "1",
        "--workload",
        file.to_str().unwrap(),
        "--out",
        out.to_str().unwrap(),
        "profile:phase1",
        "profile:phase2",
    ];
    let finished = place.release_loadtest(&arguments).finish();
    assert!(finished.text.contains("Topics"), "{}", finished.text);
    finished.assert_says("messages worked off in");
    place.record()
}

/// What is late on a busy machine is counted as such; what is missed, doubled or out of order nowhere. Version 1 of the
/// events comes through the one's topic, version 2 through the other's.
#[test]
fn every_trip_has_its_record_and_its_effect_before_and_after() {
    let place = Workplace::new();
    let record = compare(&place);
    for profile in ["phase1", "phase2"] {
        let round = record.rounds.iter().find(|round| round.subject == profile).unwrap();
        let topic = &round.topics["trips"];
        assert!(topic.owed > 0, "{profile}: {topic:?}");
        assert_eq!(
            (topic.missed, topic.doubled, topic.reordered),
            (0, 0, 0),
            "{profile}: {topic:?}"
        );
        let effects = topic.effects.as_ref().unwrap();
        assert_eq!((effects.owed, effects.missed), (topic.owed, 0), "{profile}: {topic:?}");
        let backlog = topic.backlog.as_ref().unwrap();
        assert_eq!(
            (backlog.messages, backlog.acknowledged),
            (BACKLOG, BACKLOG),
            "{profile}: {backlog:?}"
        );
        assert!(backlog.worked_off > 0, "{profile}: {backlog:?}");
        let summary = &record.summary[profile];
        for metric in [
            "kafka.lag_p99_ms",
            "kafka.throughput_msgs_per_s",
            "kafka.produced_msgs_per_s",
        ] {
            let value = summary.metrics[metric].value;
            assert!(value > 0.0, "{profile} {metric}: {value}");
        }
        assert_eq!(
            summary.metrics["kafka.missed_records"].value.to_bits(),
            0.0_f64.to_bits()
        );
        assert_eq!(summary.endpoints["all"].count, summary.endpoints["trip_upload"].count);
        assert!(summary.endpoints["trips"].count > 0 && summary.endpoints["trips.effect"].count > 0);
    }
    let after: &TopicBacklog = record.summary["phase2"].topics["trips"].backlog.as_ref().unwrap();
    assert!(after.is_worked_off(), "{after:?}");
}

#[test]
fn a_gate_says_that_it_watches_no_topics() {
    let place = Workplace::new_beside();
    let file = workload(&place);
    place.assert_gate_refused(&file, "a gate watches no topics");
}

#[test]
fn a_subject_whose_topic_nobody_knows_is_refused_with_what_to_write() {
    let place = Workplace::new_beside();
    let file = workload(&place);
    // It takes connections, which is all that is asked of it before that.
    let runs_already = TcpListener::bind("127.0.0.1:0").unwrap();
    let subject = format!("url:http://{}", runs_already.local_addr().unwrap());
    let arguments = ["run", "--workload", file.to_str().unwrap(), "--subject", &subject];
    let finished = place.loadtest(&arguments).finish();
    finished.assert_code(2);
    finished.assert_says("[kafka.trips]: ");
    finished.assert_says("nobody here knows its {kafka.brokers}");
    finished.assert_says("give `brokers = \"HOST:PORT\"`");
}
