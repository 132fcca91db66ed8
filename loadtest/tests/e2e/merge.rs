//! `loadtest merge`: two generators, one record.

use std::{net::SocketAddr, path::Path, process::Command, time::Duration};

use measure::{
    record::{ALL_ENDPOINTS, Limit, Priority, Record, Round, TargetResult, TargetVerdict, Verdict},
    recorder::{self, Request, RoundRecorder, Windows},
};

use crate::{
    judge,
    support::{Finished, Response, Server, WorkloadText, Workplace, p95_text, said},
};

fn page(name: &str) -> String {
    let text = WorkloadText {
        name,
        measure_s: 5.0,
        model: "[model.open]\nrate = { constant = { per_s = 50 } }\n",
        ..WorkloadText::default()
    };
    text.to_string()
}

fn counted(record: &Record) -> u64 {
    record.summary.values().next().unwrap().endpoints[ALL_ENDPOINTS].count
}

/// Lets two generators share one load, each from its own place, until they measured at the same time: which they do
/// where both processes come up alike, and a busy machine may hold one of them back. Gives their records and what
/// their merge into `into` said.
fn measured_together(places: &[Workplace; 2], address: SocketAddr, into: &Path) -> ([Record; 2], Finished) {
    let mut apart = String::new();
    for _ in 0..5 {
        let records = std::thread::scope(|scope| {
            let runs = [0, 1].map(|index| {
                let (place, shard): (&Workplace, &str) = (&places[index], ["1/2", "2/2"][index]);
                scope.spawn(move || place.measure(&page("page"), address, &["--shard", shard]).1)
            });
            runs.map(|run| run.join().unwrap())
        });
        let [a, b] = places.each_ref().map(|place| place.out().join("record.json"));
        let merge = ["merge", text(&a), text(&b), "--out", text(into)];
        let finished = places[0].loadtest(&merge).finish();
        if !finished.text.contains("start the generators together") {
            return (records, finished);
        }
        apart = finished.text;
    }
    panic!("five times not at the same time: {apart}");
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn generators_are_put_together_exactly() {
    let server = Server::start(|_| Response::ok("ok"));
    let places = [Workplace::new_beside(), Workplace::new_beside()];
    let merged = places[0].out().join("merged");
    let (records, finished) = measured_together(&places, server.address, &merged);
    assert!(finished.text.contains("report: "), "{}", finished.text);
    let record = Record::load(&merged.join("record.json")).unwrap();
    assert_eq!(counted(&record), records.iter().map(counted).sum::<u64>());
    assert_eq!(record.merged_from.len(), 2);
    assert_eq!(record.workload.rate_per_s, Some(100.0));

    let logs = places.each_ref().map(|place| place.out().join("times.hlog"));
    let [a, b] = logs.each_ref().map(|log| text(log));
    let finished = places[0].loadtest(&["merge", a, b, "--out", text(&merged)]).finish();
    finished.assert_code(0);
    let log = std::fs::read_to_string(merged.join("merged.hlog")).unwrap();
    assert!(log.starts_with('#') && log.contains("Tag="), "{log}");
    let finished = places[0].loadtest(&["merge", a, a, "--out", text(&merged)]).finish();
    finished.assert_code(2);
    finished.assert_says("would be counted twice");
}

#[test]
fn unlike_records_are_refused_with_the_reason() {
    let server = Server::start(|_| Response::ok("ok"));
    let places = [Workplace::new_beside(), Workplace::new_beside()];
    places[0].measure(&page("page"), server.address, &[]);
    places[1].measure(&page("other"), server.address, &[]);
    let files = places.each_ref().map(|place| place.out().join("record.json"));
    let [a, b] = files.each_ref().map(|file| file.to_str().unwrap());
    let merged = places[0].out().join("merged");
    let finished = places[0]
        .loadtest(&["merge", a, b, "--out", merged.to_str().unwrap()])
        .finish();
    finished.assert_code(2);
    finished.assert_says("workload");
}

/// A stored record of the generator `name`, measured with a P0 target that its answers of about 10 ms miss.
fn stored(name: &str) -> Record {
    let mut record = judge::run(0, 5, 1.0);
    name.clone_into(&mut record.id);
    record.workload.seed = name.bytes().map(u64::from).sum();
    for round in &mut record.rounds {
        answer_slowly(round);
        round.started_at += chrono::Duration::milliseconds(i64::from(name == "two"));
    }
    record.targets = vec![TargetResult {
        id: "fast".to_owned(),
        priority: Priority::P0,
        metric: "http.p95_ms".to_owned(),
        endpoint: Some("page".to_owned()),
        source: "a test".to_owned(),
        limit: Limit::Below(5.0),
        observed: None,
        interval: None,
        not_yet: None,
        verdict: TargetVerdict::Fail,
        hangs: false,
        detail: String::new(),
    }];
    record
}

/// Gives a round 400 answers of about 10 ms, as a generator counts them; its flow is left out.
fn answer_slowly(round: &mut Round) {
    let windows = Windows::from_lengths(Duration::ZERO, Duration::from_secs(10));
    let recorder = RoundRecorder::new(vec!["page".to_owned()], windows);
    let mut shard = recorder.shard();
    for number in 0..400 {
        let sent_us = number * 20_000;
        shard.ended(Request {
            endpoint: 0,
            intended_us: sent_us,
            sent_us,
            ended_us: sent_us + 10_000 + number,
            waited_us: 0,
            outcome: recorder::RequestEnd::Ok { bytes: 1 },
        });
    }
    let counted = recorder.finish([&shard], 10_000_000);
    (round.phases, round.slices) = (counted.phases, counted.slices);
    round.phases[1].flow = None;
}

/// Merges records of two generators: the exit code, what was said, and the merged record.
fn merged(records: &[Record; 2], options: &[&str]) -> (Option<i32>, String, Record) {
    let desk = tempfile::tempdir().unwrap();
    let out = desk.path().join("merged");
    let mut command = Command::new(env!("CARGO_BIN_EXE_loadtest"));
    command.arg("merge");
    for record in records {
        let file = desk.path().join(format!("{}.json", record.id));
        record.save(&file).unwrap();
        command.arg(file);
    }
    let output = command.arg("--out").arg(&out).args(options).output().unwrap();
    let text = said(&output);
    let record = Record::load(&out.join("record.json")).unwrap_or_else(|error| panic!("{error}\n{text}"));
    (output.status.code(), text, record)
}

#[test]
fn the_targets_that_records_were_measured_with_bind_their_merge() {
    let (code, text, record) = merged(&[stored("one"), stored("two")], &[]);
    assert_eq!((code, record.verdict), (Some(5), Verdict::TargetsMissed), "{text}");
    assert_eq!(record.targets.len(), 1);
}

#[test]
fn a_merge_may_be_judged_by_other_targets() {
    let desk = tempfile::tempdir().unwrap();
    let file = desk.path().join("targets.toml");
    std::fs::write(&file, p95_text("page", 500.0).replace("fast", "lenient")).unwrap();
    let options = ["--targets", file.to_str().unwrap()];
    let (code, text, record) = merged(&[stored("one"), stored("two")], &options);
    assert_eq!((code, record.targets[0].id.as_str()), (Some(0), "lenient"), "{text}");
}

/// The first generator or the second: half of the load came to no end, whoever else came to his.
#[test]
fn the_mark_of_an_interrupted_record_survives_its_merge() {
    for interrupted in [0, 1] {
        let mut records = [stored("one"), stored("two")];
        records[interrupted].verdict = Verdict::Interrupted;
        records[interrupted].checks[0].ok = false;
        records[interrupted].checks[0].detail = "interrupted".to_owned();
        let (code, text, record) = merged(&records, &[]);
        assert_eq!(code, Some(4), "{text}");
        assert!(
            record
                .verdict_reason
                .contains("the run came to its end (interrupted (record "),
            "{}",
            record.verdict_reason
        );
    }
}

/// What cannot be two generators of one load is refused: the same run, the same seed, an edited copy of a record.
#[test]
fn records_that_are_one_run_are_refused() {
    let desk = tempfile::tempdir().unwrap();
    let save = |name: &str, record: &Record| {
        let file = desk.path().join(name);
        record.save(&file).unwrap();
        file
    };
    let seeded = Record {
        workload: stored("one").workload,
        ..stored("two")
    };
    let renamed = Record {
        id: "renamed".to_owned(),
        workload: stored("two").workload,
        ..stored("one")
    };
    for (other, says) in [
        (stored("one"), "both hold the run one"),
        (seeded, "--shard"),
        (renamed, "the same content"),
    ] {
        let files = [save("one.json", &stored("one")), save("other.json", &other)];
        let mut command = Command::new(env!("CARGO_BIN_EXE_loadtest"));
        command
            .arg("merge")
            .args(&files)
            .arg("--out")
            .arg(desk.path().join("merged"));
        let output = command.output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{}", said(&output));
        assert!(said(&output).contains(says), "{}", said(&output));
    }
}
