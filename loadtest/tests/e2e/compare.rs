//! `loadtest compare` end to end: the real binary, real servers, the real service.

use measure::record::{ALL_ENDPOINTS, TargetVerdict, Verdict};
use nix::sys::signal::Signal;

use crate::support::{Finished, Response, Server, Workplace, assert_blocks, data, judged, repository};

const SHORT: &str = "short.toml";

/// The job that the project exists for, with the shipped workload and the targets that are ratios: absolute times are
/// for a report on a known machine, not for a test.
#[test]
fn phase2_is_ahead_of_phase1() {
    let workload = repository("scenarios/workloads/phase2-mix.toml");
    let targets = data("ratios.toml");
    let arguments = [
        "--quick",
        "--for",
        "8s",
        "--workload",
        workload.to_str().unwrap(),
        "--targets",
        targets.to_str().unwrap(),
    ];
    let (place, finished, record) = judged(0, |place| place.compare(&arguments).finish());
    place.assert_nothing_left(&finished);
    assert!(
        record
            .targets
            .iter()
            .all(|target| target.verdict == TargetVerdict::Pass),
        "{:#?}",
        record.targets
    );
    assert_blocks(&record, 5);
    for endpoint in ["dashboard_summary", "driver_details", "risk_current"] {
        let p95_ms = |subject: &str| record.summary[subject].endpoints[endpoint].p95_ms;
        assert!(
            p95_ms("phase2") < p95_ms("phase1"),
            "{endpoint}: {} against {}",
            p95_ms("phase2"),
            p95_ms("phase1")
        );
    }
    for subject in ["phase1", "phase2"] {
        let all = &record.summary[subject].endpoints[ALL_ENDPOINTS];
        assert!(
            all.count > 500 && all.error_rate == 0.0,
            "{subject}: {} answers, {} errors",
            all.count,
            all.error_rate
        );
    }
    let report = std::fs::read_to_string(place.out().join("report.html")).unwrap();
    assert!(report.contains("<svg") && report.contains("phase2") && !report.contains("src=\"http"));
    for file in ["summary.md", "junit.xml"] {
        assert!(place.out().join(file).metadata().unwrap().len() > 100, "{file}");
    }
}

#[test]
fn a_target_that_cannot_hold_gives_exit_code_5() {
    let (workload, targets) = (data(SHORT), data("impossible.toml"));
    let arguments = [
        "--workload",
        workload.to_str().unwrap(),
        "--targets",
        targets.to_str().unwrap(),
        // Two blocks of so few requests decide no p95.
        "--blocks",
        "4",
    ];
    let (place, finished, record) = judged(5, |place| place.compare(&arguments).finish());
    place.assert_nothing_left(&finished);
    let verdict = |id: &str| record.targets.iter().find(|target| target.id == id).unwrap().verdict;
    assert_eq!(verdict("instant-answers"), TargetVerdict::Fail);
    assert_eq!(verdict("any-answers"), TargetVerdict::Pass);
}

/// What switches the cache off.
const ABLATION: &str = "[features.cache]\nwhat = \"answers kept\"\noff = { CACHE_ENABLED = \"false\" }\n";

/// `compare --ablate` of the file, less the subject.
fn ablate(place: &Workplace, ablation: &str, subject: &str) -> Finished {
    let file = place.write("ablation.toml", ablation);
    let (workload, out) = (data(SHORT), place.out());
    let arguments = [
        "compare",
        &format!("--ablate={}", file.display()),
        "--workload",
        workload.to_str().unwrap(),
        "--out",
        out.to_str().unwrap(),
        subject,
    ];
    place.release_loadtest(&arguments).finish()
}

/// The subject whole and without its cache, each launched in both blocks: the variable reached the one launched
/// without it, and what it costs is in the record and on the report. How much is not a verdict.
#[test]
fn an_ablation_says_what_a_feature_buys() {
    let (place, finished, record) = judged(0, |place| ablate(place, ABLATION, "profile:phase2"));
    place.assert_nothing_left(&finished);
    let ablated = &record.ablation[0];
    assert_eq!(ablated.feature, "cache");
    assert_blocks(&record, 2);
    assert_eq!(ablated.off["CACHE_ENABLED"], "false");
    let [whole, without] =
        ["phase2", &ablated.subject].map(|subject| record.summary[subject].metrics["db.queries_per_request"].value);
    assert!(
        without > 1.5 * whole,
        "{whole} statements per request with the cache, {without} without"
    );
    assert!(record.comparisons.iter().all(|one| one.after == ablated.subject));
    let report = std::fs::read_to_string(place.out().join("report.html")).unwrap();
    assert!(report.contains("answers kept") && report.contains("CACHE_ENABLED=false"));
}

/// Refused before anything starts.
#[test]
fn what_cannot_be_ablated_is_refused() {
    let misspelt = ABLATION.replace("off =", "of =");
    let server = Server::start(|_| Response::ok("ok"));
    let up = format!("url:http://{}", server.address);
    for (ablation, subject, says) in [
        (misspelt.as_str(), "profile:phase2", "ablation.toml:3: unknown key `of`"),
        (ABLATION, &up, "cannot be set"),
    ] {
        let place = Workplace::new_beside();
        let finished = ablate(&place, ablation, subject);
        finished.assert_code(2);
        finished.assert_says(says);
        assert!(finished.started.is_empty() && !place.out().exists());
    }
}

#[test]
fn a_service_killed_while_measured_is_named_and_nothing_is_left() {
    let place = Workplace::new();
    let mut run = place.compare(&["--workload", data(SHORT).to_str().unwrap()]);
    run.wait_for("block 2/2 phase2 measure");
    run.kill_service();
    let finished = run.finish();
    finished.assert_code(3);
    finished.assert_says("subject `phase2` (profile:phase2) was killed by signal 9 during measure of block 2 of 2");
    place.assert_nothing_left(&finished);
    let record = place.record();
    assert_eq!((record.verdict, record.exit_code), (Verdict::Unavailable, 3));
    assert!(
        record.rounds.len() >= 2,
        "the rounds before it are kept, not {}",
        record.rounds.len()
    );
}

#[test]
fn an_interrupt_keeps_what_was_measured_and_leaves_nothing() {
    for signal in [Signal::SIGINT, Signal::SIGTERM] {
        let place = Workplace::new();
        let mut run = place.compare(&["--workload", data(SHORT).to_str().unwrap()]);
        run.wait_for("block 2/2");
        run.signal(signal);
        let finished = run.finish();
        finished.assert_code(130);
        place.assert_nothing_left(&finished);
        let record = place.record();
        assert_eq!(record.verdict, Verdict::Interrupted);
        assert_eq!(record.rounds.len(), 2, "the first block is kept");
    }
}

#[test]
fn an_interrupt_while_servers_start_leaves_nothing() {
    let place = Workplace::new();
    let mut run = place.compare(&["--workload", data(SHORT).to_str().unwrap()]);
    run.wait_for("seeding");
    run.signal(Signal::SIGINT);
    let finished = run.finish();
    finished.assert_code(130);
    place.assert_nothing_left(&finished);
}

/// Each is refused before anything starts, with file, line and the nearest valid name.
#[test]
fn mistakes_in_input_files_are_refused() {
    let short = std::fs::read_to_string(data(SHORT)).unwrap();
    let impossible = std::fs::read_to_string(data("impossible.toml")).unwrap();
    let line = |text: &str, part: &str| text.lines().position(|line| line.contains(part)).unwrap() + 1;
    let cases = [
        (
            "a misspelt key",
            short.replace("ramp_s", "ramp_sec"),
            impossible.clone(),
            "workload.toml",
            line(&short, "ramp_s"),
            "ramp_s",
        ),
        (
            "an unknown endpoint in a target",
            short.clone(),
            impossible.replace("driver_details", "driver_detail"),
            "targets.toml",
            line(&impossible, "driver_details"),
            "driver_details",
        ),
        (
            "a weight of zero everywhere",
            short
                .replace("weight = 9", "weight = 0")
                .replace("weight = 1\n", "weight = 0\n"),
            impossible.clone(),
            "workload.toml",
            0,
            "weight",
        ),
    ];
    for (what, workload, targets, file, line, name) in cases {
        let place = Workplace::new();
        let workload = place.write("workload.toml", &workload);
        let targets = place.write("targets.toml", &targets);
        let finished = place
            .compare(&[
                "--workload",
                workload.to_str().unwrap(),
                "--targets",
                targets.to_str().unwrap(),
            ])
            .finish();
        finished.assert_code(2);
        finished.assert_says(name);
        let place_in_file = if line == 0 {
            format!("{file}:")
        } else {
            format!("{file}:{line}:")
        };
        finished.assert_says(&place_in_file);
        assert!(
            finished.started.is_empty() && !place.out().exists(),
            "{what}: something was started"
        );
    }
}

/// The subject file says where a build of the working tree stands, and what makes it.
#[test]
fn a_build_that_is_not_there_says_how_to_make_it() {
    let place = Workplace::new();
    let shipped = std::fs::read_to_string(repository("scenarios/subjects/insurance-service.toml")).unwrap();
    let elsewhere = place.write("elsewhere.toml", &shipped.replace("\"{harness}\"", "\"/nonexistent\""));
    let short = data(SHORT);
    let compare = |file: &std::path::Path| {
        let files = [
            "--workload",
            short.to_str().unwrap(),
            "--service",
            file.to_str().unwrap(),
        ];
        place.compare(&files).finish()
    };
    let finished = compare(&elsewhere);
    finished.assert_code(3);
    finished.assert_says("cargo build --release --locked -p insurance-service");
    assert!(!place.out().exists());
    let misspelt = place.write("misspelt.toml", &shipped.replace("needs =", "need ="));
    let finished = compare(&misspelt);
    finished.assert_code(2);
    finished.assert_says("misspelt.toml:5: unknown key `need`; did you mean `needs`?");
}

#[test]
fn a_wrong_argument_is_a_usage_error() {
    let place = Workplace::new();
    let finished = place.compare(&["--workload", "/nonexistent/workload.toml"]).finish();
    finished.assert_code(2);
    finished.assert_says("/nonexistent/workload.toml");
}
