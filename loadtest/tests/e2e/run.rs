//! `loadtest run` on small servers of the test kit: the open model's own accounts, what makes a run invalid, Ctrl-C.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use measure::record::{ALL_ENDPOINTS, Model, PHASE_MEASURE, Verdict};
use nix::sys::signal::Signal;

use crate::support::{
    Response, Server, WorkloadText, Workplace, check, edited, even, even_at, page, pause, repository,
};

/// Requests for `/` under a load model of the test's, with pauses of 20 ms in the closed one.
fn workload(model: &str) -> String {
    let text = WorkloadText {
        name: "even",
        measure_s: 2.0,
        drain_s: 2.0,
        model,
        warm_up: "duration_s = 0.5\nthink_time_scale = 1\n",
        rest: &page(20),
        ..WorkloadText::default()
    };
    text.to_string()
}

fn constant(per_s: f64) -> String {
    workload(&even(per_s, 64))
}

/// The schedule is kept whatever the seed's owner does: as many are due as the rate says, and all are sent and
/// answered.
#[test]
fn what_is_due_is_sent() {
    let place = Workplace::new();
    let received = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&received);
    let server = Server::start(move |_| {
        counted.fetch_add(1, Ordering::SeqCst);
        Response::ok("ok")
    });
    let (_, record) = place.measure(&constant(100.0), server.address, &[]);
    let measured = record.rounds[0]
        .phases
        .iter()
        .find(|phase| phase.name == PHASE_MEASURE)
        .unwrap();
    let arrivals = measured.arrivals.as_ref().unwrap();
    assert_eq!((arrivals.intended, arrivals.sent, arrivals.dropped), (200, 200, 0));
    let page = &measured.endpoints["page"];
    assert_eq!(page.count + page.censored, 200);
    // 50 of the warm-up, which begins with the first interval, and those of the measured phase.
    assert_eq!(received.load(Ordering::SeqCst), 249);
    assert_eq!(record.workload.rate_per_s, Some(100.0));
    for name in ["no arrival was dropped", "every arrival was sent or dropped"] {
        assert!(check(&record, name).ok);
    }
}

#[test]
fn a_rate_may_step_and_ramp() {
    let place = Workplace::new();
    let server = Server::start(|_| Response::ok("ok"));
    let (_, record) = place.measure(
        &workload(&even_at(
            "{ steps = [{ per_s = 20, for_s = 1 }, { per_s = 80, for_s = 1 }] }",
            64,
        )),
        server.address,
        &[],
    );
    let counts: Vec<u64> = record.rounds[0].slices.iter().map(|slice| slice.count).collect();
    // The arrival on the border belongs to one of them; one at the end may be censored.
    assert!(
        (19..=21).contains(&counts[0]) && (78..=81).contains(&counts[1]),
        "{counts:?}"
    );
}

/// Two connections, answers after 200 ms: ten requests a second get through, forty are due.
#[test]
fn an_arrival_that_finds_no_connection_is_dropped_and_failed() {
    let place = Workplace::new();
    let server = Server::start(|_| {
        pause(Duration::from_millis(200));
        Response::ok("ok")
    });
    let (finished, record) = place.measure(&workload(&even(40.0, 2)), server.address, &[]);
    let dropped = check(&record, "no arrival was dropped");
    assert!(
        !dropped.ok && dropped.detail.contains("arrivals dropped"),
        "{dropped:?}"
    );
    assert!(check(&record, "every arrival was sent or dropped").ok);
    let arrivals = record.summary.values().next().unwrap().arrivals.as_ref().unwrap();
    assert!(arrivals.dropped > 40 && arrivals.sent > 10, "{arrivals:?}");
    let all = &record.summary.values().next().unwrap().endpoints[ALL_ENDPOINTS];
    assert!(all.error_rate > 0.5 && all.p50_ms >= 60_000.0, "{all:?}");
    assert_ne!(finished.status.code(), Some(0));
}

/// More than any machine sends: the generator says so itself.
#[test]
fn a_saturated_generator_is_detected() {
    let place = Workplace::new();
    let server = Server::start(|_| Response::ok("ok"));
    let (finished, record) = place.measure(&constant(200_000.0), server.address, &["--measure-s", "1"]);
    finished.assert_code(4);
    let failed: Vec<&str> = record
        .checks
        .iter()
        .filter(|check| !check.ok)
        .map(|check| check.name.as_str())
        .collect();
    assert!(failed.contains(&"the rate was held"), "{failed:?}");
}

/// An answer that comes too late is an error, and never the answer to the next request.
#[test]
fn an_answer_after_its_time_out_is_an_error() {
    for model in ["--rate=20", "--users=2"] {
        let place = Workplace::new();
        let server = Server::start(|_| {
            pause(Duration::from_millis(150));
            Response::ok("late")
        });
        let text = edited(&constant(20.0), "path = \"/\"", "path = \"/\"\ntimeout_ms = 50");
        let (finished, record) = place.measure(&text, server.address, &[model, "--measure-s", "1"]);
        assert_ne!(finished.status.code(), Some(0));
        finished.assert_says("GET page: no answer within 50 ms");
        let all = &record.summary.values().next().unwrap().endpoints[ALL_ENDPOINTS];
        assert!((all.error_rate - 1.0).abs() < f64::EPSILON && all.count == 0, "{all:?}");
    }
}

/// An answer that comes while the load drains is one, and the drain is as long as the time-out.
#[test]
fn the_drain_waits_for_every_answer() {
    let place = Workplace::new();
    let server = Server::start(|_| {
        pause(Duration::from_secs(3));
        Response::ok("ok")
    });
    let text = edited(&constant(10.0), "path = \"/\"", "path = \"/\"\ntimeout_ms = 4000");
    let (finished, record) = place.measure(&text, server.address, &[]);
    finished.assert_says("drain lengthened from 2 s to at most 4 s");
    assert!((record.workload.drain_s - 4.0).abs() < 1e-9);
    let measured = record.rounds[0]
        .phases
        .iter()
        .find(|phase| phase.name == PHASE_MEASURE)
        .unwrap();
    assert_eq!(
        (measured.endpoints["page"].count, measured.endpoints["page"].censored),
        (20, 0)
    );
}

#[test]
fn the_command_line_may_choose_model_and_users() {
    let place = Workplace::new();
    let server = Server::start(|_| Response::ok("ok"));
    let (finished, record) = place.measure(&constant(100.0), server.address, &["--users", "2", "--measure-s", "1"]);
    finished.assert_says("2 users");
    assert_eq!((record.workload.users, record.workload.rate_per_s), (Some(2), None));
    let finished = place
        .loadtest(&place.run_arguments(&constant(100.0), server.address, &["--users", "2", "--rate", "5"]))
        .finish();
    finished.assert_code(2);
    finished.assert_says("give one of them");
}

/// A generator that stands still for half a second lets its users think longer than they should.
#[test]
fn hidden_think_time_is_detected() {
    let place = Workplace::new();
    let server = Server::start(|_| Response::ok("ok"));
    let mut run = place.loadtest(&place.run_arguments(&constant(50.0), server.address, &["--users", "4"]));
    run.wait_for(&format!("{} measure", server.address));
    run.signal(Signal::SIGSTOP);
    pause(Duration::from_millis(500));
    run.signal(Signal::SIGCONT);
    run.finish().assert_code(4);
    let record = place.record();
    let busy = check(&record, "users were busy or thinking, nothing else");
    assert!(!busy.ok, "{busy:?}");
}

/// The first Ctrl-C lets what is in flight end and keeps what was measured so far.
#[test]
fn an_interrupt_keeps_the_round_it_falls_into() {
    for model in ["--rate=50", "--users=4"] {
        let place = Workplace::new();
        let (entered, requests) = std::sync::mpsc::sync_channel(10_000);
        let server = Server::start(move |_| {
            let _ = entered.try_send(());
            Response::ok("ok")
        });
        let arguments = ["--measure-s", "60", model];
        let run = place.loadtest(&place.run_arguments(&constant(50.0), server.address, &arguments));
        // Far more than the warm-up brings.
        requests.iter().take(300).for_each(drop);
        run.signal(Signal::SIGINT);
        let finished = run.finish();
        finished.assert_code(130);
        let record = place.record();
        assert_eq!((record.verdict, record.rounds.len()), (Verdict::Interrupted, 1));
        let all = &record.summary.values().next().unwrap().endpoints[ALL_ENDPOINTS];
        assert!(all.count > 100, "{model}: {}", all.count);
    }
}

/// The second gives up what is in flight: a service that never answers does not hold the harness.
#[test]
fn a_second_interrupt_abandons_what_is_in_flight() {
    for model in ["--rate=5", "--users=4"] {
        let place = Workplace::new();
        let (entered, waits) = std::sync::mpsc::sync_channel(1_000);
        let server = Server::start(move |_| {
            let _ = entered.try_send(());
            pause(Duration::from_mins(2));
            Response::ok("ok")
        });
        let arguments = ["--measure-s", "60", model];
        let mut run = place.loadtest(&place.run_arguments(&constant(5.0), server.address, &arguments));
        waits.recv().unwrap();
        run.signal(Signal::SIGINT);
        run.wait_for("stopping:");
        run.signal(Signal::SIGINT);
        run.finish().assert_code(130);
    }
}

/// The shortest workload that `docs/WORKLOADS.md` shows runs as it stands there, in the model that is asked for.
#[test]
fn the_whole_workload_of_the_documentation_runs_in_both_models() {
    let page = std::fs::read_to_string(repository("docs/WORKLOADS.md")).unwrap();
    let (_, after) = page.split_once("```toml\n").unwrap();
    let (text, _) = after.split_once("```").unwrap();
    for (load, model) in [(["--users", "10"], Model::Closed), (["--rate", "50"], Model::Open)] {
        let place = Workplace::new();
        let server = Server::start(|_| Response::ok("ok"));
        let (finished, record) = place.measure(text, server.address, &["--quick", "--blocks", "1", load[0], load[1]]);
        assert_eq!(
            (record.workload.model, record.rounds.len()),
            (model, 1),
            "{}",
            finished.text
        );
        let summary = record.summary.values().next().unwrap();
        let page = &summary.endpoints["page"];
        assert!(page.count > 20 && page.error_rate == 0.0, "{}", finished.text);
    }
}
