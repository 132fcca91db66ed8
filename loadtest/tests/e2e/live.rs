//! Live streams: trips go into the reference service over HTTP, and reach the screens that watch their drivers.

use std::{fs, path::PathBuf};

use measure::record::{PHASE_MEASURE, Record};

use crate::support::{Workplace, edited, repository};

/// The shipped workload, short and small.
fn workload(place: &Workplace) -> PathBuf {
    let text = fs::read_to_string(repository("scenarios/workloads/live.toml")).unwrap();
    let mut text = edited(&text, "users = 100", "users = 20");
    for (from, to) in [
        ("mean_ms = 2000", "mean_ms = 400"),
        ("zipf = { n = 10000,", "zipf = { n = 20,"),
        ("connections = 200", "connections = 40"),
        ("measure_s = 8", "measure_s = 3"),
        ("warm_up_s = 3", "warm_up_s = 1"),
    ] {
        text = edited(&text, from, to);
    }
    place.write("live.toml", &text)
}

fn run(place: &Workplace, profile: &str) -> Record {
    let (file, out) = (workload(place), place.out());
    let subject = format!("profile:{profile}");
    let arguments = [
        "run",
        "--quick",
        "--blocks",
        "1",
        "--workload",
        file.to_str().unwrap(),
        "--subject",
        &subject,
        "--out",
        out.to_str().unwrap(),
    ];
    let finished = place.release_loadtest(&arguments).finish();
    assert!(finished.text.contains("Live streams"), "{}", finished.text);
    place.record()
}

/// What is late on a busy machine is counted as such; what is missed, doubled or out of order nowhere.
#[test]
fn every_trip_reaches_the_screens_that_watch_its_driver_before_and_after() {
    for profile in ["phase1", "phase2"] {
        let place = Workplace::new();
        let record = run(&place, profile);
        let round = record.rounds.last().unwrap();
        let stream = &round.streams["screens"];
        assert_eq!(
            (stream.missed, stream.doubled, stream.reordered),
            (0, 0, 0),
            "{profile}: {stream:?}"
        );
        assert_eq!((stream.clients, stream.came_back), (40, 0), "{profile}: {stream:?}");
        let measured = round.phases.iter().find(|phase| phase.name == PHASE_MEASURE).unwrap();
        assert!(
            stream.owed > 0 && measured.endpoints["trip_upload"].count > 0,
            "{stream:?}"
        );
        let summary = &record.summary[profile];
        let latency_ms = summary.metrics["ws.latency_p95_ms"].value;
        assert!(latency_ms > 0.0, "{latency_ms}");
        assert_eq!(summary.endpoints["all"].count, summary.endpoints["trip_upload"].count);
    }
}

#[test]
fn a_gate_says_that_it_watches_no_live_streams() {
    let place = Workplace::new_beside();
    let file = workload(&place);
    place.assert_gate_refused(&file, "a gate watches no live streams");
}
