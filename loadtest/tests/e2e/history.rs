//! `loadtest history`: added once, by two at once, past a torn line, and since which commit.

use std::{
    fs::{self, OpenOptions},
    io::Write,
    path::Path,
    process::{Command, Output},
};

use measure::history::file;
use tempfile::TempDir;

use crate::{judge::run, support::assert_ends};

fn history(directory: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_loadtest"));
    command
        .current_dir(directory)
        .arg("history")
        .args(arguments)
        .output()
        .unwrap()
}

/// Records of runs on as many days, twice as slow from the `changed`th on, as files.
fn records(directory: &Path, days: i64, changed: i64) -> Vec<String> {
    (0..days)
        .map(|day| {
            let wobble = 1.0 + [0.0, 0.01, -0.01, 0.005, -0.005][usize::try_from(day % 5).unwrap()];
            let mut record = run(day, 2, if day < changed { wobble } else { 2.0 * wobble });
            record.subjects[0].git = Some(format!("rev{day}"));
            let name = format!("{day}.json");
            record.save(&directory.join(&name)).unwrap();
            name
        })
        .collect()
}

#[test]
fn a_trend_says_since_which_commit_a_figure_is_what_it_is() {
    let directory = TempDir::new().unwrap();
    let files = records(directory.path(), 20, 12);
    let mut add = vec!["add"];
    add.extend(files.iter().map(String::as_str));
    assert_ends(
        &history(directory.path(), &add),
        0,
        &["added s:80", "history: loadtest-history.jsonl"],
    );
    let shown = history(
        directory.path(),
        &["show", "--endpoint", "page", "--html", "trends.html"],
    );
    assert_ends(
        &shown,
        0,
        &[
            "s:80: 20 runs on Example CPU, 2 cores, closed model, 10 users",
            "page: ",
            "since rev12 (",
            "+100 %",
        ],
    );
    let page = fs::read_to_string(directory.path().join("trends.html")).unwrap();
    assert!(page.contains("<code>rev12</code>"));
    assert_ends(
        &history(directory.path(), &["show", "--endpoint", "pag"]),
        2,
        &["no endpoint `pag`", "`page`"],
    );
    assert_ends(
        &history(directory.path(), &["show", "--subject", "x"]),
        2,
        &["no subject `x`", "`s:80`"],
    );
    assert_ends(
        &history(directory.path(), &["show", "--metric", "rss"]),
        2,
        &["no metric `rss`"],
    );
}

#[test]
fn a_record_is_added_once_and_a_torn_line_costs_nothing_else() {
    let directory = TempDir::new().unwrap();
    let files = records(directory.path(), 3, 3);
    let add = |file: &str| history(directory.path(), &["add", file, "--file", "h.jsonl"]);
    assert_ends(&add(&files[0]), 0, &["added s:80"]);
    assert_ends(&add(&files[0]), 0, &["there already"]);
    assert_ends(&add(&files[1]), 0, &["added s:80"]);
    let path = directory.path().join("h.jsonl");
    let whole = fs::read(&path).unwrap();
    fs::write(&path, &whole[..whole.len() - 40]).unwrap();
    assert_ends(&add(&files[2]), 0, &["added s:80"]);
    let shown = history(directory.path(), &["show", "--file", "h.jsonl"]);
    assert_ends(&shown, 0, &["h.jsonl:2: passed over: torn", "2 runs on"]);
    // What was torn can be added again.
    assert_ends(&add(&files[1]), 0, &["added s:80"]);
    assert_ends(
        &history(directory.path(), &["show", "--file", "h.jsonl"]),
        0,
        &["3 runs on"],
    );
}

#[test]
fn runs_that_add_at_once_lose_nothing() {
    let directory = TempDir::new().unwrap();
    let files = records(directory.path(), 8, 8);
    let adding: Vec<_> = files
        .iter()
        .chain(&files)
        .map(|file| {
            let mut command = Command::new(env!("CARGO_BIN_EXE_loadtest"));
            command.current_dir(directory.path()).args(["history", "add", file]);
            command.spawn().unwrap()
        })
        .collect();
    for mut one in adding {
        assert!(one.wait().unwrap().success());
    }
    let kept = file::read(&directory.path().join("loadtest-history.jsonl")).unwrap();
    assert_eq!((kept.entries.len(), kept.skipped.len()), (8, 0));
}

#[test]
fn runs_that_were_not_valid_and_other_loads_stay_out_of_a_trend() {
    let directory = TempDir::new().unwrap();
    let mut invalid = run(1, 2, 9.0);
    invalid.checks[0].ok = false;
    invalid.save(&directory.path().join("invalid.json")).unwrap();
    let mut other = run(2, 2, 9.0);
    other.workload.users = Some(500);
    other.save(&directory.path().join("other.json")).unwrap();
    run(3, 2, 1.0).save(&directory.path().join("valid.json")).unwrap();
    let added = history(directory.path(), &["add", "invalid.json", "other.json", "valid.json"]);
    assert_ends(&added, 0, &["not a valid run, so no trend uses it"]);
    assert_ends(
        &history(directory.path(), &["show"]),
        0,
        &[
            "s:80: 1 runs on",
            "1 were not valid, 1 are of another subject, workload, load or machine not used",
        ],
    );
}

#[test]
fn what_is_no_record_or_no_history_is_refused_and_nothing_is_added() {
    let directory = TempDir::new().unwrap();
    let files = records(directory.path(), 1, 1);
    let mut torn = OpenOptions::new()
        .create(true)
        .append(true)
        .open(directory.path().join("torn.json"))
        .unwrap();
    torn.write_all(b"{\"schema_version\": 1,").unwrap();
    assert_ends(
        &history(directory.path(), &["add", &files[0], "torn.json"]),
        2,
        &["torn.json: the file ends in the middle"],
    );
    assert!(!directory.path().join("loadtest-history.jsonl").exists());
    assert_ends(
        &history(directory.path(), &["show"]),
        2,
        &["loadtest-history.jsonl: cannot read it"],
    );
}
