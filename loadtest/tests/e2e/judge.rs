//! `loadtest judge` on stored records: every verdict with its exit code, what it leaves behind, and what it refuses.
//! The records are made here, so that no machine decides.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use chrono::{DateTime, TimeDelta};
use measure::{
    histogram::LatencyHistogram,
    record::{
        Check, EndpointCounts, Machine, Model, Outcome, PHASE_MEASURE, Phase, Record, Round, SCHEMA_VERSION, Slice,
        Subject, Tool, Verdict, WorkloadId,
    },
    rounds::measured,
    summary::summarise,
};
use serde_json::Value;
use tempfile::TempDir;

use crate::support::{assert_ends, p95_text, said};

/// One run of the service `s`: `blocks` blocks of 400 answers of `page` and of `other`, `factor` times as long as
/// usual.
pub(crate) fn run(day: i64, blocks: u32, factor: f64) -> Record {
    let rounds: Vec<Round> = (0..blocks).map(|block| round(block, factor)).collect();
    let at = DateTime::UNIX_EPOCH + TimeDelta::days(20_000 + day);
    finished(Record {
        schema_version: SCHEMA_VERSION,
        id: format!("{}-{day:04}", at.format("%Y%m%dT%H%M%S")),
        created_at: at,
        command: "loadtest run --workload shop.toml --subject url:http://s:80".to_owned(),
        tool: Tool {
            version: "0.1.0".to_owned(),
            git: "4b5edd4".to_owned(),
            build: "release".to_owned(),
        },
        machine: Machine {
            cpu: "Example CPU".to_owned(),
            cores: 2,
            memory_mb: 7936,
            kernel: "6.1.0".to_owned(),
            virtualisation: "kvm".to_owned(),
        },
        workload: WorkloadId {
            name: "shop".to_owned(),
            sha256: "ab12".to_owned(),
            model: Model::Closed,
            users: Some(10),
            measure_s: 10.0,
            blocks,
            ..WorkloadId::default()
        },
        subjects: vec![Subject {
            name: "s:80".to_owned(),
            kind: "url".to_owned(),
            profile: None,
            git: None,
            binary_sha256: None,
            env: BTreeMap::new(),
        }],
        rounds,
        checks: vec![Check {
            name: "the run came to its end".to_owned(),
            ok: true,
            detail: "all rounds".to_owned(),
            ..Check::default()
        }],
        verdict: Verdict::Pass,
        exit_code: 0,
        verdict_reason: "every check holds; no targets were given".to_owned(),
        ..Record::default()
    })
}

/// The record with the summary of its rounds.
fn finished(mut record: Record) -> Record {
    let name = record.subjects[0].name.clone();
    let summary = summarise(&measured(&record.rounds, &name).unwrap());
    record.summary.insert(name, summary);
    record
}

fn round(block: u32, factor: f64) -> Round {
    let typical_us = 10_000.0 * factor * (1.0 + f64::from(block % 3) / 100.0);
    let endpoints = BTreeMap::from([
        ("page".to_owned(), counts(typical_us, 400)),
        ("other".to_owned(), counts(typical_us * 2.0, 400)),
    ]);
    Round {
        block,
        order: block,
        subject: "s:80".to_owned(),
        slices: vec![Slice {
            count: 800,
            ..Slice::default()
        }],
        phases: vec![Phase {
            name: PHASE_MEASURE.to_owned(),
            end_ms: 10_000,
            endpoints,
            ..Phase::default()
        }],
        ..Round::default()
    }
}

/// Times from half of `typical_us` to one and a half of it.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "times of about 10,000"
)]
fn counts(typical_us: f64, answers: u32) -> EndpointCounts {
    let mut times = LatencyHistogram::new();
    (0..answers).for_each(|i| times.record_us((typical_us * (0.5 + f64::from(i) / f64::from(answers))) as u64));
    EndpointCounts {
        count: times.len(),
        hdr: times.encode(),
        ..EndpointCounts::default()
    }
}

/// Nothing but errors, or nothing at all.
fn without_answers(mut record: Record, errors: u64) -> Record {
    for round in &mut record.rounds {
        round.slices[0].count = 0;
        round.slices[0].errors = errors * 2;
        for counted in round.phases[0].endpoints.values_mut() {
            *counted = EndpointCounts {
                errors,
                hdr: LatencyHistogram::new().encode(),
                ..EndpointCounts::default()
            };
        }
    }
    finished(record)
}

/// Files of one test.
struct Desk {
    dir: TempDir,
}

impl Desk {
    fn new() -> Self {
        Self {
            dir: tempfile::tempdir().unwrap(),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Saves a record as `NAME/record.json`.
    fn save(&self, name: &str, record: &Record) -> String {
        let directory = self.path(name);
        fs::create_dir_all(&directory).unwrap();
        let file = directory.join("record.json");
        record.save(&file).unwrap();
        file.to_str().unwrap().to_owned()
    }

    /// Targets: p95 of `page` below so many milliseconds.
    fn targets(&self, endpoint: &str, below_ms: f64) -> String {
        let file = self.path("targets.toml");
        fs::write(&file, p95_text(endpoint, below_ms)).unwrap();
        file.to_str().unwrap().to_owned()
    }

    fn judged(&self, name: &str) -> Record {
        Record::load(&self.path(name).join("judgement/record.json")).unwrap()
    }
}

/// Runs `loadtest judge` outside of any CI.
fn judge(arguments: &[&str]) -> Output {
    judge_in(arguments, &[])
}

fn judge_in(arguments: &[&str], variables: &[(&str, &str)]) -> Output {
    run_command(&[&["judge"], arguments].concat(), variables)
}

fn run_command(words: &[&str], variables: &[(&str, &str)]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_loadtest"));
    command.args(words);
    for name in [
        "GITHUB_ACTIONS",
        "GITHUB_STEP_SUMMARY",
        "GITHUB_SERVER_URL",
        "GITHUB_REPOSITORY",
        "GITHUB_RUN_ID",
    ] {
        command.env_remove(name);
    }
    command.envs(variables.iter().copied()).output().unwrap()
}

#[test]
fn a_record_that_holds_passes_and_everything_is_written() {
    let desk = Desk::new();
    let (new, old) = (desk.save("new", &run(9, 5, 1.0)), desk.save("old", &run(0, 5, 1.0)));
    let before = fs::read(&new).unwrap();
    let output = judge(&[&new, "--targets", &desk.targets("page", 50.0), "--baseline", &old]);
    assert_ends(
        &output,
        0,
        &[
            "✓ PASS: s:80 (exit code 0)",
            "all 1 measured targets hold; none of 3 comparisons is slower",
            "p95 latency of page ÷ baseline",
            "The baseline shows whether s:80 is more than 50 % slower",
            "It cannot show smaller changes: the runs were not interleaved",
        ],
    );
    for file in [
        "record.json",
        "report.html",
        "summary.md",
        "junit.xml",
        "verdict.json",
        "times.hlog",
    ] {
        assert!(desk.path("new/judgement").join(file).is_file(), "{file} is missing");
    }
    assert_eq!(fs::read(&new).unwrap(), before, "the record itself stays as it is");
    let summary = fs::read_to_string(desk.path("new/judgement/summary.md")).unwrap();
    assert!(
        summary.starts_with("## ✓ PASS") && summary.contains("[Report](<report.html>)"),
        "{summary}"
    );
    let page = fs::read_to_string(desk.path("new/judgement/report.html")).unwrap();
    assert!(page.contains("Against the baseline"));
}

#[test]
fn misses_and_regressions_have_their_codes() {
    let desk = Desk::new();
    let (slow, old) = (desk.save("slow", &run(9, 5, 2.0)), desk.save("old", &run(0, 5, 1.0)));
    let output = judge(&[&slow, "--baseline", &old]);
    assert_ends(&output, 6, &["✗ REGRESSION", "p95 latency of all requests is 2 times"]);
    let strict = desk.targets("page", 12.0);
    assert_ends(
        &judge(&[&slow, "--targets", &strict]),
        5,
        &["✗ TARGETS MISSED", "P0 `fast`"],
    );
    assert_ends(
        &judge(&[&slow, "--targets", &strict, "--baseline", &old]),
        5,
        &["÷ baseline", "✗ regression"],
    );
    let junit = fs::read_to_string(desk.path("slow/judgement/junit.xml")).unwrap();
    for part in [
        "classname=\"target.P0\"",
        "classname=\"baseline.latency_p95\"",
        "type=\"regression\"",
    ] {
        assert!(junit.contains(part), "no {part} in:\n{junit}");
    }
    assert_ends(
        &judge(&[&slow, "--baseline", &old, "--max-ratio", "2.5"]),
        0,
        &["✓ PASS"],
    );
}

#[test]
fn one_block_decides_nothing_and_says_why() {
    let desk = Desk::new();
    let (one, old) = (desk.save("one", &run(9, 1, 3.0)), desk.save("old", &run(0, 5, 1.0)));
    assert_ends(
        &judge(&[&one, "--baseline", &old]),
        7,
        &[
            "? INCONCLUSIVE",
            "too little data",
            "the record has 1 measured blocks",
            "raise --blocks",
        ],
    );
    assert_ends(
        &judge(&[&one, "--targets", &desk.targets("page", 50.0)]),
        7,
        &["one round gives no interval"],
    );
}

#[test]
fn a_missing_endpoint_is_never_passed_over() {
    let desk = Desk::new();
    let mut lacking = run(9, 5, 1.0);
    for round in &mut lacking.rounds {
        round.phases[0].endpoints.remove("other");
        round.slices[0].count = 400;
    }
    let lacking = desk.save("lacking", &finished(lacking));
    let old = desk.save("old", &run(0, 5, 1.0));
    assert_ends(
        &judge(&[&lacking, "--baseline", &old]),
        7,
        &[
            "other answered in baseline",
            "p95 latency of other: 0 blocks with data are too few",
        ],
    );
    assert_ends(
        &judge(&[&lacking, "--targets", &desk.targets("othr", 5.0)]),
        2,
        &["othr", "targets.toml"],
    );
}

#[test]
fn no_requests_make_an_invalid_run_and_nothing_but_errors_is_the_subjects_fault() {
    let desk = Desk::new();
    let targets = desk.targets("page", 50.0);
    let silent = desk.save("silent", &without_answers(run(9, 5, 1.0), 0));
    assert_ends(
        &judge(&[&silent, "--targets", &targets]),
        4,
        &["✗ INVALID RUN", "no request was due"],
    );
    let broken = desk.save("broken", &without_answers(run(9, 5, 1.0), 100));
    assert_ends(
        &judge(&[&broken, "--targets", &targets]),
        5,
        &["✗ TARGETS MISSED", "over 60 s"],
    );
    let mut nothing = run(9, 5, 1.0);
    nothing.rounds.clear();
    let nothing = desk.save("nothing", &finished(nothing));
    assert_ends(
        &judge(&[&nothing, "--targets", &targets]),
        4,
        &["no round came to its measured phase"],
    );
    let old = desk.save("old", &run(0, 5, 1.0));
    assert_ends(&judge(&[&broken, "--baseline", &old]), 5, &["few errors"]);
    assert_ends(
        &judge(&[&desk.save("new", &run(10, 5, 1.0)), "--baseline", &broken]),
        2,
        &["was called unable to cope when it ran"],
    );
}

/// A run that was stopped half way keeps its record, and cannot be judged.
#[test]
fn a_run_that_was_stopped_is_invalid() {
    let desk = Desk::new();
    let mut stopped = run(9, 2, 1.0);
    stopped.verdict = Verdict::Interrupted;
    stopped.exit_code = 130;
    stopped.checks[0].ok = false;
    stopped.checks[0].detail = "interrupted".to_owned();
    let file = desk.save("stopped", &stopped);
    let targets = desk.targets("page", 50.0);
    assert_ends(
        &judge(&[&file, "--targets", &targets]),
        4,
        &["the run came to its end (interrupted)"],
    );
    let new = desk.save("new", &run(10, 5, 1.0));
    assert_ends(
        &judge(&[&new, "--baseline", &file]),
        2,
        &["was called interrupted when it ran"],
    );
}

#[test]
fn a_record_cut_in_half_is_refused_and_left_alone() {
    let desk = Desk::new();
    let whole = desk.save("whole", &run(9, 5, 1.0));
    let bytes = fs::read(&whole).unwrap();
    let half = desk.path("half.json");
    fs::write(&half, &bytes[..bytes.len() / 2]).unwrap();
    let half = half.to_str().unwrap();
    for arguments in [vec![half, "--baseline", &whole], vec![&whole, "--baseline", half]] {
        assert_ends(
            &judge(&arguments),
            2,
            &["half.json: the file ends in the middle", "get a whole copy"],
        );
    }
    assert_eq!(fs::read(half).unwrap().len(), bytes.len() / 2);
    assert!(
        !desk.path("whole/judgement").exists(),
        "nothing was judged, nothing is written"
    );
}

#[test]
fn unlike_records_are_refused_with_the_reason() {
    let desk = Desk::new();
    let new = desk.save("new", &run(9, 5, 1.0));
    let mut elsewhere = run(0, 5, 1.0);
    elsewhere.machine.cpu = "Other CPU".to_owned();
    elsewhere.machine.cores = 64;
    let mut otherwise = run(1, 5, 1.0);
    otherwise.workload.sha256 = "cd34".to_owned();
    let mut longer = run(2, 5, 1.0);
    longer.workload.measure_s = 60.0;
    for (name, record, reason) in [
        (
            "elsewhere",
            elsewhere,
            "the processor is Other CPU, 64 cores there, Example CPU, 2 cores here",
        ),
        (
            "otherwise",
            otherwise,
            "the workload is shop (cd34) there, shop (ab12) here",
        ),
        (
            "longer",
            longer,
            "the length of a launch is 0 s + 60 s there, 0 s + 10 s here",
        ),
    ] {
        let old = desk.save(name, &record);
        assert_ends(&judge(&[&new, "--baseline", &old]), 2, &["is not like record", reason]);
    }
    assert_ends(
        &judge(&[&new, "--baseline", &new]),
        2,
        &["is the same run as the record", "could only ever pass"],
    );
}

#[test]
fn a_judgement_that_asks_nothing_or_would_overwrite_is_refused() {
    let desk = Desk::new();
    let new = desk.save("new", &run(9, 5, 1.0));
    assert_ends(
        &judge(&[&new]),
        2,
        &["nothing to judge", "--targets FILE, --baseline RECORD"],
    );
    let before = fs::read(&new).unwrap();
    let (own, targets) = (desk.path("new"), desk.targets("page", 50.0));
    let output = judge(&[&new, "--targets", &targets, "--out", own.to_str().unwrap()]);
    assert_ends(&output, 2, &["it would be overwritten"]);
    assert_eq!(fs::read(&new).unwrap(), before);
}

#[test]
fn five_baselines_of_different_days_see_smaller_slowdowns() {
    let desk = Desk::new();
    let factors = [0.99, 1.0, 1.01, 1.0, 1.005];
    let old: Vec<String> = (0..)
        .zip(factors)
        .map(|(day, factor)| desk.save(&format!("old{day}"), &run(day, 5, factor)))
        .collect();
    let slow = desk.save("slow", &run(9, 5, 1.3));
    let mut arguments = vec![slow.as_str()];
    arguments.extend(old.iter().flat_map(|file| ["--baseline", file.as_str()]));
    assert_ends(
        &judge(&arguments),
        6,
        &["÷ baseline", "5 runs of the baseline at different times"],
    );
    let judged = desk.judged("slow").baseline.unwrap();
    assert!(
        judged.comparisons.iter().all(|one| one.outcome == Outcome::Regress),
        "{judged:#?}"
    );
    assert_ends(&judge(&arguments[..3]), 0, &["✓ PASS"]);
}

#[test]
fn machines_get_json_and_nothing_else() {
    let desk = Desk::new();
    let (slow, old) = (desk.save("slow", &run(9, 5, 2.0)), desk.save("old", &run(0, 5, 1.0)));
    let output = judge_in(&[&slow, "--baseline", &old, "--json"], &[("GITHUB_ACTIONS", "true")]);
    let verdict: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        (&verdict["verdict"], &verdict["exit_code"]),
        (&"regression".into(), &6.into())
    );
    assert_eq!(verdict["baseline"]["evidence"], "blocks");
    let file: Value = serde_json::from_slice(&fs::read(desk.path("slow/judgement/verdict.json")).unwrap()).unwrap();
    assert_eq!(file, verdict);
}

#[test]
fn github_gets_annotations_and_a_summary_with_a_link_to_the_run() {
    let desk = Desk::new();
    let (slow, old) = (desk.save("slow", &run(9, 5, 2.0)), desk.save("old", &run(0, 5, 1.0)));
    let summaries = desk.path("summary");
    fs::write(&summaries, "what another step said\n").unwrap();
    let variables = [
        ("GITHUB_ACTIONS", "true"),
        ("GITHUB_STEP_SUMMARY", summaries.to_str().unwrap()),
        ("GITHUB_SERVER_URL", "https://github.com"),
        ("GITHUB_REPOSITORY", "o/r"),
        ("GITHUB_RUN_ID", "17"),
    ];
    let output = judge_in(&[&slow, "--baseline", &old], &variables);
    assert_ends(
        &output,
        6,
        &[
            "::error title=REGRESSION::slower than before",
            "::error title=p95 latency of page",
        ],
    );
    let summary = fs::read_to_string(&summaries).unwrap();
    let (_, own) = summary.split_once("what another step said\n").unwrap();
    assert!(own.starts_with("## ✗ REGRESSION: s:80"), "{own}");
    assert!(
        own.contains("[Report](<https://github.com/o/r/actions/runs/17>)"),
        "{own}"
    );
    let given = judge_in(
        &[&slow, "--baseline", &old, "--report-url", "https://pages/x.html"],
        &variables[..2],
    );
    assert_eq!(given.status.code(), Some(6));
    assert!(
        fs::read_to_string(&summaries)
            .unwrap()
            .contains("[Report](<https://pages/x.html>)")
    );
    let unwritable = judge_in(
        &[&slow, "--baseline", &old],
        &[("GITHUB_STEP_SUMMARY", "/nowhere/summary")],
    );
    assert_ends(&unwritable, 6, &["GITHUB_STEP_SUMMARY=/nowhere/summary"]);
    let same = judge_in(
        &[&old, "--targets", &desk.targets("page", 5_000.0)],
        &[("GITHUB_STEP_SUMMARY", "/nowhere/summary")],
    );
    assert_ends(&same, 1, &["GITHUB_STEP_SUMMARY=/nowhere/summary"]);
}

/// What the table of a terminal looks like.
#[test]
fn the_table_puts_first_what_needs_a_look() {
    let desk = Desk::new();
    let (slow, old) = (desk.save("slow", &run(9, 5, 2.0)), desk.save("old", &run(0, 5, 1.0)));
    let output = judge(&[&slow, "--targets", &desk.targets("page", 50.0), "--baseline", &old]);
    let text = said(&output);
    let rows: Vec<&str> = text
        .lines()
        .filter(|line| line.starts_with(' ') && line.contains("p95 latency"))
        .collect();
    assert!(rows[0].contains("✓ holds") && rows[0].contains("< 50 ms"), "{text}");
    assert!(
        rows[1..]
            .iter()
            .all(|row| row.contains("✗ regression") && row.contains("÷ baseline")),
        "{text}"
    );
    assert!(
        Path::new(text.lines().last().unwrap().trim_start_matches("report: ")).is_file(),
        "{text}"
    );
}

/// What follows from the data is made anew, and data that was edited passes nowhere.
#[test]
fn an_edited_record_gains_nothing() {
    let desk = Desk::new();
    let targets = desk.targets("page", 12.0);
    let slow = desk.save("slow", &run(9, 5, 2.0));
    assert_ends(&judge(&[&slow, "--targets", &targets]), 5, &["✗ TARGETS MISSED"]);
    let judged = desk.path("slow/judgement/record.json");
    let text = fs::read_to_string(&judged).unwrap();
    let file = desk.path("edited.json");
    let edited = file.to_str().unwrap();
    fs::write(
        &file,
        text.replace("\"fail\"", "\"pass\"")
            .replace("\"targets_missed\"", "\"pass\""),
    )
    .unwrap();
    assert_ends(
        &judge(&[edited, "--out", desk.path("a").to_str().unwrap()]),
        5,
        &["✗ TARGETS MISSED"],
    );
    fs::write(&file, text.replace("\"below\": 12.0", "\"below\": 1200.0")).unwrap();
    assert_ends(
        &judge(&[edited, "--out", desk.path("b").to_str().unwrap()]),
        4,
        &["✗ INVALID RUN", "it was edited since"],
    );
    let again = desk.path("b/record.json");
    assert_ends(
        &judge(&[again.to_str().unwrap(), "--out", desk.path("c").to_str().unwrap()]),
        4,
        &["it was edited since"],
    );
    let old = desk.save("old", &run(0, 5, 1.0));
    assert_ends(
        &judge(&[&old, "--baseline", edited, "--out", desk.path("d").to_str().unwrap()]),
        2,
        &["was called invalid when it ran"],
    );
    let without_digest = text
        .split("\"digest\"")
        .next()
        .unwrap()
        .trim_end()
        .trim_end_matches(',')
        .to_owned()
        + "\n}\n";
    fs::write(&file, without_digest).unwrap();
    assert_ends(
        &judge(&[edited, "--out", desk.path("e").to_str().unwrap()]),
        4,
        &["it has no digest"],
    );
}
