//! `loadtest merge`: two generators, one record.

use measure::record::{ALL_ENDPOINTS, Record};

use crate::support::{Response, Server, WorkloadText, Workplace};

fn page(name: &str) -> String {
    let text = WorkloadText {
        name,
        model: "[model.open]\nrate = { constant = { per_s = 50 } }\n",
        ..WorkloadText::default()
    };
    text.to_string()
}

fn counted(record: &Record) -> u64 {
    record.summary.values().next().unwrap().endpoints[ALL_ENDPOINTS].count
}

#[test]
fn generators_are_put_together_exactly() {
    let server = Server::start(|_| Response::ok("ok"));
    let places = [Workplace::new_beside(), Workplace::new_beside()];
    let records = std::thread::scope(|scope| {
        let runs = places
            .each_ref()
            .map(|place| scope.spawn(|| place.measure(&page("page"), server.address, &[]).1));
        runs.map(|run| run.join().unwrap())
    });
    let merged = places[0].out().join("merged");
    let files = places.each_ref().map(|place| place.out().join("record.json"));
    let [a, b] = files.each_ref().map(|file| file.to_str().unwrap());
    let finished = places[0]
        .loadtest(&["merge", a, b, "--out", merged.to_str().unwrap()])
        .finish();
    assert!(finished.text.contains("report: "), "{}", finished.text);
    let record = Record::load(&merged.join("record.json")).unwrap();
    assert_eq!(counted(&record), records.iter().map(counted).sum::<u64>());
    assert_eq!(record.merged_from.len(), 2);
    assert_eq!(record.workload.rate_per_s, Some(100.0));

    let logs = places.each_ref().map(|place| place.out().join("times.hlog"));
    let [a, b] = logs.each_ref().map(|log| log.to_str().unwrap());
    let finished = places[0]
        .loadtest(&["merge", a, b, "--out", merged.to_str().unwrap()])
        .finish();
    finished.assert_code(0);
    let log = std::fs::read_to_string(merged.join("merged.hlog")).unwrap();
    assert!(log.starts_with('#') && log.contains("Tag="), "{log}");
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
