//! The gate, `loadtest compare --model open`, end to end: slices of two residents, the canary, two stages, what ends
//! it early. Slices are a tenth of a second here: they find a fault of many times the service's own time, and prove
//! nothing about small ones (`loadtest/examples/gate_acceptance.py` does).

use std::{
    path::Path,
    sync::{Arc, Mutex},
    time::Duration,
};

use measure::gate::order::{self, Side};
use measure::record::{CANARY, Comparison, EndpointCounts, Family, Outcome, Phase, Record, Verdict};
use nix::sys::signal::Signal;

use crate::support::{Response, Running, Server, WorkloadText, Workplace, data, even, pause};

/// Blocks of a stage, the fewest that can convict at every level.
const STAGE: u32 = 8;

/// Two endpoints, one asked for twice as often.
const REQUESTS: &str = r#"
[think_times]
pause = { constant = { ms = 1 } }
[feeders.page]
uniform = { min = 1, max = 1000000 }
[endpoints.one]
path = "/one/{page}"
[endpoints.other]
path = "/other/{page}"
[journeys.look]
weight = 1
steps = [
    { endpoint = "one", think = "pause" },
    { endpoint = "other", think = "pause" },
    { endpoint = "other", think = "pause" },
]
"#;

fn workload() -> String {
    let text = WorkloadText {
        name: "two",
        drain_s: 2.0,
        model: &even(400.0, 256),
        warm_up: "duration_s = 0.1\nthink_time_scale = 1\n",
        rest: REQUESTS,
        ..WorkloadText::default()
    };
    text.to_string()
}

/// Every answer takes so long: a busy machine sends a request some milliseconds late, which must be little beside it
/// or the slice is invalid.
const ANSWER: Duration = Duration::from_millis(25);
/// What one endpoint of the slower server takes beyond that.
const SLOWDOWN: Duration = Duration::from_millis(50);

/// Everything that a server was asked.
type Asked = Arc<Mutex<Vec<String>>>;

/// A server whose `/one` takes longer by `slowdown`.
fn server(slowdown: Duration) -> (Server, Asked) {
    let asked = Asked::default();
    let log = Arc::clone(&asked);
    let server = Server::start(move |request| {
        log.lock().unwrap().push(request.path.clone());
        pause(ANSWER);
        if request.path.starts_with("/one") {
            pause(slowdown);
        }
        Response::ok("ok")
    });
    (server, asked)
}

/// `compare --model open` with the shortest blocks and what else is given.
fn gate(place: &Workplace, workload: &Path, arguments: &[&str]) -> Running {
    let out = place.out();
    let own = ["compare", "--model", "open", "--blocks", "8", "--measure-s", "0.1"];
    let files = ["--workload", workload.to_str().unwrap(), "--out", out.to_str().unwrap()];
    place.release_loadtest(&[&own[..], &files[..], arguments].concat())
}

fn comparison<'r>(record: &'r Record, family: Family, endpoint: &str) -> &'r Comparison {
    let fits = |one: &&Comparison| one.family == family && one.endpoint == endpoint;
    let found = record.comparisons.iter().find(fits);
    found.unwrap_or_else(|| panic!("no {family} of {endpoint} among {:#?}", record.comparisons))
}

fn sorted(asked: &Asked) -> Vec<String> {
    let mut asked = asked.lock().unwrap().clone();
    asked.sort();
    asked
}

/// One endpoint is three times as slow, the other the same: only the one is called, by new blocks, and both sides
/// were asked the same.
#[test]
fn a_slower_endpoint_is_called_by_new_blocks() {
    let place = Workplace::new();
    let workload = place.write("workload.toml", &workload());
    let ((before, asked_before), (after, asked_after)) = (server(Duration::ZERO), server(SLOWDOWN));
    let subjects = [before.address, after.address].map(|address| format!("url:http://{address}"));
    let finished = gate(&place, &workload, &[&subjects[0], &subjects[1]]).finish();
    place.assert_nothing_left(&finished);
    finished.assert_code(6);
    finished.assert_says("stage 1 has 8 blocks of about ");

    let record = place.record();
    let gate = record.gate.as_ref().unwrap();
    assert_eq!(
        (gate.stage1_blocks, gate.stage2_blocks, gate.late_blocks),
        (STAGE, STAGE, 0)
    );
    let slow = comparison(&record, Family::LatencyP95, "one");
    assert_eq!((slow.outcome, slow.blocks), (Outcome::Regress, STAGE));
    assert!(slow.ratio > 2.0 && slow.mde.is_some(), "{slow:?}");
    assert_ne!(
        comparison(&record, Family::LatencyP95, "other").outcome,
        Outcome::Regress
    );
    assert!(finished.text.contains("MDE"), "{}", finished.text);

    // What a server is not asked at the end of a slice, when its generator is late, is the only difference there may
    // be.
    let (before, after) = (sorted(&asked_before), sorted(&asked_after));
    assert_eq!(before.len(), after.len());
    assert_eq!(before, after, "both sides replay one plan");
    let entered = gate.stage1_blocks + gate.stage2_blocks;
    let blocks = usize::try_from(entered + gate.repeated_blocks + gate.late_blocks).unwrap();
    assert_eq!(record.rounds.len(), 2 * blocks);
    for round in &record.rounds {
        // Which side is launched first is drawn block by block.
        let is_first = (order::first(record.workload.seed, round.block) == Side::Before)
            == (round.subject == record.subjects[0].name);
        assert_eq!(round.order, round.block * 2 + u32::from(!is_first));
        assert_eq!(round.gate_slices.len(), 8, "block {} of {}", round.block, round.subject);
        // Four requests of the canary in a slice on average, so that one may have none.
        let canary = round.gate_slices.iter().map(|slice| slice.endpoints[CANARY].count);
        assert!(canary.sum::<u64>() > 0);
    }
}

/// The service against itself, stopped in its second block: the first is kept, and no service, canary, server or
/// directory is left.
#[test]
fn an_interrupted_gate_keeps_its_blocks_and_leaves_nothing() {
    let place = Workplace::new();
    let mut run = gate(
        &place,
        &data("short.toml"),
        &["--rate", "100", "profile:phase2", "profile:phase2"],
    );
    run.wait_for("block 1 of 8");
    run.signal(Signal::SIGINT);
    let finished = run.finish();
    finished.assert_code(130);
    place.assert_nothing_left(&finished);
    assert!(
        finished.started.iter().any(|(_, name)| name == "loadtest"),
        "the canary was seen: {:?}",
        finished.started
    );
    let record = place.record();
    assert_eq!((record.verdict, record.rounds.len()), (Verdict::Interrupted, 2));
    assert!(
        record.comparisons.is_empty() && record.gate.is_none(),
        "a look before the end of a stage"
    );
    for round in &record.rounds {
        let (cpu, sent) = (round.resident_cpu.unwrap(), |phase: &Phase| {
            phase.endpoints.values().map(EndpointCounts::sent).sum::<u64>()
        });
        assert!(cpu.cpu_us > cpu.idle_us && cpu.idle_ms > 0, "{cpu:?}");
        assert_eq!(cpu.requests, round.phases.iter().map(sent).sum::<u64>());
    }
}

/// Refused before anything starts.
#[test]
fn what_cannot_be_gated_is_refused() {
    let (server, _) = server(Duration::ZERO);
    let up = format!("url:http://{}", server.address);
    let cases = [
        (vec![up.as_str(), "profile:phase2"], "are unlike"),
        (vec![&up, &up, "--blocks", "7"], "8 to 48 blocks in a stage"),
        (vec![&up, &up, "--after-env", "FAULTS=cpu:*:1ms"], "cannot be set"),
        (
            vec!["profile:phase1", "profile:phase2", "--after-env", "REDIS_URL=x"],
            "given by the harness",
        ),
    ];
    for (arguments, why) in cases {
        let place = Workplace::new_beside();
        let workload = place.write("workload.toml", &workload());
        let out = place.out();
        let own = [
            "compare",
            "--workload",
            workload.to_str().unwrap(),
            "--out",
            out.to_str().unwrap(),
        ];
        let finished = place.release_loadtest(&[&own[..], &arguments[..]].concat()).finish();
        finished.assert_code(2);
        finished.assert_says(why);
        assert!(finished.started.is_empty() && !place.out().exists());
    }
}
