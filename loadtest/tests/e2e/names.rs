//! Former names of commands and options: they still work, and a line on standard error says the present one.

use std::process::{Command, Output};

use crate::{
    judge::run,
    support::{assert_ends, p95_text, said},
};

fn loadtest(words: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_loadtest"));
    command
        .args(words)
        .env_remove("GITHUB_ACTIONS")
        .env_remove("GITHUB_STEP_SUMMARY");
    command.output().unwrap()
}

fn notices(output: &Output) -> Vec<String> {
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    let notices = text.lines().filter(|line| line.starts_with("note: "));
    notices.map(str::to_owned).collect()
}

#[test]
fn gate_of_a_record_is_judge_and_says_so() {
    let directory = tempfile::tempdir().unwrap();
    let record = directory.path().join("record.json");
    run(1, 5, 1.0).save(&record).unwrap();
    let targets = directory.path().join("targets.toml");
    std::fs::write(&targets, p95_text("page", 50.0)).unwrap();
    let arguments = [
        record.to_str().unwrap(),
        "--targets",
        targets.to_str().unwrap(),
        "--json",
    ];

    let present = loadtest(&[&["judge"], &arguments[..]].concat());
    let former = loadtest(&[&["gate"], &arguments[..]].concat());
    for output in [&present, &former] {
        assert_ends(output, 0, &["\"verdict\": \"pass\""]);
    }
    assert_eq!(present.stdout, former.stdout, "the notice is not in what machines read");
    assert_eq!(notices(&present), Vec::<String>::new());
    assert_eq!(
        notices(&former),
        ["note: `loadtest gate` is now called `loadtest judge`"]
    );
}

/// The workload is missing, so that nothing is measured.
#[test]
fn the_target_of_a_run_and_of_a_capacity_is_its_subject() {
    let workload = ["--workload", "/nonexistent/gate"];
    for command in [&["run"][..], &["capacity", "--p95-ms", "50"]] {
        for (subject, said) in [
            (&["--subject", "url:http://127.0.0.1:1"][..], None),
            (
                &["--target", "url:http://127.0.0.1:1"],
                Some("note: `--target` is now called `--subject`"),
            ),
            (
                &["--target=url:http://127.0.0.1:1"],
                Some("note: `--target` is now called `--subject`"),
            ),
        ] {
            let output = loadtest(&[command, &workload, subject].concat());
            assert_ends(&output, 2, &["/nonexistent/gate"]);
            assert_eq!(
                notices(&output),
                Vec::from_iter(said.map(str::to_owned)),
                "{command:?} {subject:?}"
            );
        }
    }
}

#[test]
fn a_run_without_a_subject_is_asked_for_one() {
    let output = loadtest(&["run", "--workload", "shop.toml"]);
    assert_ends(&output, 2, &["--subject <SUBJECT>"]);
}

#[test]
fn help_shows_the_present_names_alone() {
    let commands = said(&loadtest(&["--help"]));
    assert!(commands.contains("\n  judge "), "{commands}");
    assert!(!commands.contains("\n  gate "), "{commands}");
    for command in ["run", "capacity"] {
        let help = said(&loadtest(&[command, "--help"]));
        assert!(
            help.contains("--subject <SUBJECT>") && help.contains("--targets <FILE>"),
            "{help}"
        );
        assert!(!help.contains("--target "), "{help}");
    }
}

/// Each command's help says what it is for and shows an example.
#[test]
fn every_command_has_an_example() {
    for command in [
        "compare", "run", "merge", "capacity", "judge", "history", "init", "report", "stack", "doctor",
    ] {
        let help = said(&loadtest(&[command, "--help"]));
        assert!(
            help.contains("Example") && help.contains(&format!("  loadtest {command}")),
            "{help}"
        );
        assert!(
            !help.starts_with("Usage:"),
            "{command} does not say what it is for:\n{help}"
        );
    }
}
