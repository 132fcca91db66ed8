//! The battery: a server that cheats, each kind of it, and what each command must answer (docs/STATISTICS.md has the
//! table). Exit codes are strict: a green light that was not earned fails here.
//!
//! Each run takes seconds, so that margins are wide: an honest answer takes two milliseconds and may take a hundred.

use std::time::Duration;

use measure::record::{CapacityOutcome, Record};

use crate::support::{Cheat, Finished, Trick, WorkloadText, Workplace, edited, even, p95_text, target_text};

/// `/` and, once in eight times, `/other`; what takes longer than half a second has failed.
const PAGES: &str = "\
[think_times]\npause = { constant = { ms = 60 } }\n\
[endpoints.page]\npath = \"/\"\ntimeout_ms = 500\n\
[endpoints.other]\npath = \"/other\"\ntimeout_ms = 500\n\
[journeys.look]\nweight = 7\nsteps = [{ endpoint = \"page\", think = \"pause\" }]\n\
[journeys.stray]\nweight = 1\nsteps = [{ endpoint = \"other\", think = \"pause\" }]\n";

const MS: fn(u64) -> Duration = Duration::from_millis;

/// Both load models: fifty requests a second, or thirty users, whose pauses are long beside the steps of a timer.
fn workload(seconds: f64) -> String {
    let models = even(50.0, 64) + "[model.closed]\nusers = 30\nramp_s = 0\n";
    let text = WorkloadText {
        name: "battery",
        measure_s: seconds,
        drain_s: 1.0,
        model: &models,
        warm_up: "duration_s = 0.3\nthink_time_scale = 1\n",
        rest: PAGES,
        ..WorkloadText::default()
    };
    text.to_string()
}

/// The p95 of all requests below 100 ms.
fn fast() -> String {
    p95_text("all", 100.0)
}

/// Runs `loadtest run` of five seconds at fifty requests a second against a cheat, held to `targets`, and demands its
/// exit code.
fn run(trick: Trick, targets: Option<&str>, code: i32) -> (Finished, Record) {
    run_at(50, trick, targets, code)
}

/// The same at so many requests a second.
fn run_at(rate: u32, trick: Trick, targets: Option<&str>, code: i32) -> (Finished, Record) {
    let place = Workplace::new_shared();
    let cheat = Cheat::start(trick);
    let text = workload(5.0);
    let mut arguments = place.run_arguments(&text, cheat.address, &["--rate", &rate.to_string()]);
    if let Some(targets) = targets {
        let file = place.write("targets.toml", targets);
        arguments.extend(["--targets".to_owned(), file.to_str().unwrap().to_owned()]);
    }
    let finished = place.release_loadtest(&arguments).finish();
    let record = place.record();
    assert_eq!(
        finished.status.code(),
        Some(code),
        "{trick:?}: {}\n{}",
        record.verdict_reason,
        finished.text
    );
    (finished, record)
}

#[test]
fn run_honest_passes() {
    let (_, record) = run(Trick::Honest, Some(&fast()), 0);
    assert!(record.targets[0].detail.contains("the conditions of this run"));
}

#[test]
fn run_without_a_question_is_no_pass() {
    let (finished, _) = run(Trick::Honest, None, 0);
    finished.assert_says("MEASURED");
    assert!(!finished.text.contains("PASS"), "{}", finished.text);
}

#[test]
fn run_hang() {
    run(Trick::Hang { one_in: 10 }, Some(&fast()), 5);
}

/// The targets hold for those that were answered, and 3 % never were.
#[test]
fn run_hang_of_a_few() {
    run(Trick::Hang { one_in: 33 }, Some(&p95_text("all", 400.0)), 5);
}

#[test]
fn run_fail_fast() {
    run(Trick::FailFast { one_in: 10 }, Some(&fast()), 5);
}

#[test]
fn run_truncate() {
    run(Trick::Truncate { one_in: 10 }, Some(&fast()), 5);
}

#[test]
fn run_reset() {
    run(Trick::Reset { one_in: 8 }, Some(&fast()), 5);
}

#[test]
fn run_slow_body() {
    let trick = Trick::SlowBody { one_in: 8, by: MS(400) };
    run(trick, Some(&fast()), 5);
}

#[test]
fn run_slow_quarter() {
    let trick = Trick::SlowQuarter {
        period: MS(1_000),
        by: MS(300),
    };
    run(trick, Some(&fast()), 5);
}

/// A fifth of a second in each: requests that wait for their answer would step around it.
#[test]
fn run_rare_pause() {
    let trick = Trick::RarePause {
        period: MS(1_000),
        lasting: MS(200),
    };
    let tail = target_text("metric = \"http.p99_ms\"\nendpoint = \"all\"\nbelow = 50");
    run_at(150, trick, Some(&tail), 5);
}

#[test]
fn run_median_shift() {
    let median = target_text("metric = \"http.p50_ms\"\nendpoint = \"all\"\nbelow = 40");
    run(Trick::MedianShift { by: MS(70) }, Some(&median), 5);
}

/// One answer of eight at one of two pages: few over all, and no target is about them.
#[test]
fn run_error_on_one_route() {
    let (finished, _) = run(Trick::ErrorOnRoute { one_in: 2 }, Some(&fast()), 5);
    finished.assert_says("other of");
}

#[test]
fn run_rate_limit() {
    run(Trick::RateLimit { per_s: 25 }, Some(&fast()), 5);
}

/// Twenty-five a second and no more, of fifty: the generator was on time, so that it is no invalid run.
#[test]
fn run_overload() {
    run(Trick::OneAtATime { each: MS(40) }, Some(&fast()), 5);
}

#[test]
fn run_nothing_but_errors_without_targets() {
    run(Trick::FailFast { one_in: 1 }, None, 5);
}

#[test]
fn run_target_that_nothing_measures() {
    let unmeasured = target_text("metric = \"kafka.lag_p99_ms\"\nbelow = 10");
    let (finished, _) = run(Trick::Honest, Some(&unmeasured), 7);
    finished.assert_says("was not measured");
    let not_yet = unmeasured + "not_yet = \"no probe\"\n";
    run(Trick::Honest, Some(&not_yet), 7);
    let beside = not_yet
        + "[targets.quick]\npriority = \"P0\"\nsource = \"a test\"\nmetric = \"http.p95_ms\"\n\
                            endpoint = \"all\"\nbelow = 100\n";
    let (finished, _) = run(Trick::Honest, Some(&beside), 0);
    finished.assert_says("1 not yet measured");
}

/// Runs a closed comparison of two servers in so many short blocks, without targets, and demands its exit code.
fn compare([before, after]: [Trick; 2], blocks: u32, code: i32) -> Record {
    let place = Workplace::new_shared();
    let [before, after] = [before, after].map(Cheat::start);
    let file = place.write("workload.toml", &workload(0.6));
    let (out, blocks) = (place.out(), blocks.to_string());
    let arguments = [
        "compare",
        "--model",
        "closed",
        "--workload",
        file.to_str().unwrap(),
        "--blocks",
        &blocks,
        "--out",
        out.to_str().unwrap(),
        &before.subject(),
        &after.subject(),
    ];
    let finished = place.release_loadtest(&arguments).finish();
    let record = place.record();
    assert_eq!(
        finished.status.code(),
        Some(code),
        "{}\n{}",
        record.verdict_reason,
        finished.text
    );
    record
}

#[test]
fn compare_with_a_slower_one_passes() {
    compare([Trick::Slower { by: MS(20) }, Trick::Honest], 5, 0);
}

#[test]
fn compare_hang() {
    compare([Trick::Honest, Trick::Hang { one_in: 10 }], 5, 6);
}

/// It is quicker by its failures.
#[test]
fn compare_fail_fast() {
    compare([Trick::Slower { by: MS(20) }, Trick::FailFast { one_in: 10 }], 5, 6);
}

#[test]
fn compare_median_shift() {
    compare([Trick::Honest, Trick::MedianShift { by: MS(20) }], 5, 6);
}

#[test]
fn compare_rate_limit() {
    compare([Trick::Honest, Trick::RateLimit { per_s: 100 }], 5, 6);
}

/// Three blocks decide nothing, however slow.
#[test]
fn compare_of_too_few_blocks() {
    let record = compare([Trick::Honest, Trick::Slower { by: MS(100) }], 3, 7);
    assert!(
        record.verdict_reason.contains("3 blocks with data are too few"),
        "{}",
        record.verdict_reason
    );
}

/// A capacity at which one request in ten is never answered is none.
#[test]
fn capacity_hang() {
    let place = Workplace::new_shared();
    let cheat = Cheat::start(Trick::Hang { one_in: 10 });
    let text = edited(&workload(1.0), "drain_s = 1", "drain_s = 0.5");
    let file = place.write("workload.toml", &text.replace("timeout_ms = 500", "timeout_ms = 100"));
    let settings = [
        "--quick", "--p95-ms", "100", "--start", "400", "--rounds", "3", "--step-s", "0.5", "--soak-s", "1",
    ];
    let finished = place
        .release_loadtest(&place.arguments("capacity", &file, cheat.address, &settings))
        .finish();
    finished.assert_code(5);
    let found = place.record().capacity.unwrap();
    assert_eq!(
        (found.outcome, found.advertised_per_s, found.failed_soaks),
        (CapacityOutcome::NotHeld, None, 10)
    );
}
