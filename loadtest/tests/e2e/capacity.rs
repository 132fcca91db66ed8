//! `loadtest capacity` on servers of the test kit whose capacity is known.

use std::time::Duration;

use measure::record::{CapacityOutcome, StepKind, TargetVerdict};

use crate::support::{Response, Server, Stall, WorkloadText, Workplace, target_text};

/// `capacity --quick` of requests for `/`, and further arguments.
fn arguments(place: &Workplace, server: &Server, more: &[&str]) -> Vec<String> {
    let workload = WorkloadText {
        warm_up: "duration_s = 1\nthink_time_scale = 1\n",
        quick: "warm_up_s = 1\nmeasure_s = 1\nblocks = 1\n",
        ..WorkloadText::default()
    };
    let workload = place.write("page.toml", &workload.to_string());
    place.arguments("capacity", &workload, server.address, &[&["--quick"], more].concat())
}

/// Four slots of 20 ms serve 200 requests a second and not one more: above, the queue grows without end, so that no
/// rate above can be held, whatever the machine.
#[test]
fn what_a_server_serves_bounds_what_it_is_said_to_hold() {
    let place = Workplace::new();
    let slots = Stall {
        period: Duration::from_hours(1),
        lasting: Duration::ZERO,
        service: Duration::from_millis(20),
        slots: Some(4),
    };
    let server = slots.start();
    let settings = [
        "--p95-ms", "100", "--start", "40", "--rounds", "3", "--step-s", "2", "--soak-s", "10",
    ];
    let finished = place.release_loadtest(&arguments(&place, &server, &settings)).finish();
    finished.assert_says("step 1: 40.0/s");
    let record = place.record();
    let found = record.capacity.as_ref().unwrap();
    assert!(
        matches!(found.outcome, CapacityOutcome::Found | CapacityOutcome::NotHeld),
        "{found:#?}"
    );
    let crossing = found.crossing_per_s.unwrap();
    assert!(crossing < 230.0, "{found:#?}");
    if let Some(held) = found.advertised_per_s {
        assert!(held < 205.0, "{found:#?}");
        let judged = record.targets.iter().map(|target| target.verdict);
        assert_eq!(judged.collect::<Vec<_>>(), [TargetVerdict::Pass]);
        assert_eq!((record.rounds.len(), record.workload.rate_per_s), (5, Some(held)));
    }
    let of = |kind| found.steps.iter().filter(|step| step.kind == kind).count();
    let rounds = of(StepKind::Round);
    assert!(
        rounds >= 12 && rounds % 4 == 0,
        "three rounds of four, and those that moved: {rounds}"
    );
    assert!(of(StepKind::Doubling) >= 2 && of(StepKind::Soak) >= 5, "{found:#?}");
    assert_eq!(finished.status.code(), Some(i32::from(record.exit_code)));
    for part in ["Holds", "First target just missed at"] {
        finished.assert_says(part);
    }
}

/// The request and its target stand on the command line; what is searched for is the same.
#[test]
fn a_url_is_all_that_a_search_needs() {
    let place = Workplace::new();
    let slots = Stall {
        period: Duration::from_hours(1),
        lasting: Duration::ZERO,
        service: Duration::from_millis(20),
        slots: Some(2),
    };
    let (server, out) = (slots.start(), place.out());
    let url = format!("http://{}/page?x=1", server.address);
    let words = ["capacity", &url, "--p95-ms", "200", "--quick", "--start", "40"];
    let short = [
        "--rounds",
        "3",
        "--step-s",
        "1",
        "--soak-s",
        "5",
        "--out",
        out.to_str().unwrap(),
    ];
    let finished = place.release_loadtest(&[&words[..], &short].concat()).finish();
    let record = place.record();
    let found = record.capacity.unwrap();
    assert!(
        matches!(found.outcome, CapacityOutcome::Found | CapacityOutcome::NotHeld),
        "{found:#?}\n{}",
        finished.text
    );
    assert!(found.crossing_per_s.unwrap() < 130.0, "{found:#?}");
    assert_eq!(record.workload.name, "GET /page?x=1");
}

#[test]
fn a_search_needs_a_target_that_load_decides() {
    let place = Workplace::new_beside();
    let server = Server::start(|_| Response::ok("ok"));
    let finished = place.loadtest(&arguments(&place, &server, &[])).finish();
    finished.assert_code(2);
    finished.assert_says("--targets");
    let targets = place.write("ratio.toml", &target_text("metric = \"cache.hit_ratio\"\nabove = 0.8"));
    let finished = place
        .loadtest(&arguments(&place, &server, &["--targets", targets.to_str().unwrap()]))
        .finish();
    finished.assert_code(2);
    finished.assert_says("no target that load decides");
}

/// What was driven before Ctrl-C is kept.
#[test]
fn an_interrupted_search_keeps_its_steps() {
    let place = Workplace::new();
    let server = Server::start(|_| Response::ok("ok"));
    let settings = ["--p95-ms", "5000", "--start", "20", "--step-s", "1"];
    let mut run = place.loadtest(&arguments(&place, &server, &settings));
    run.wait_for("step 2:");
    run.signal(nix::sys::signal::Signal::SIGINT);
    run.finish().assert_code(130);
    let found = place.record().capacity.unwrap();
    assert_eq!(found.outcome, CapacityOutcome::Unfinished);
    assert!(found.steps.len() >= 2, "{found:#?}");
}
