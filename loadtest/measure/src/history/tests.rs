//! Entries written, torn, raced for, and read as trends.

use std::io::Write as _;
use std::path::PathBuf;

use super::file::{append, read};
use super::*;
use crate::judge::{Question, judge};
use crate::testing::{record, round, some_time, subject};

fn entry(number: i64, p95_ms: f64) -> Entry {
    let mut record = record();
    record.id = format!("run-{number}");
    record.created_at = some_time() + chrono::Duration::hours(number);
    record.subjects = vec![subject("s")];
    record.subjects[0].git = Some(format!("rev{number}"));
    record.rounds = vec![round(0, "s", &[("a", vec![1000; 10])]).with_probe("service.rss_mb", 50.0)];
    judge(&mut record, &Question::default()).unwrap();
    record.verdict = Verdict::Pass;
    let mut entry = Entry::of_record(&record).remove(0);
    entry.endpoints.get_mut("a").unwrap().p95_ms = p95_ms;
    entry
}

fn path() -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("history.jsonl");
    (directory, path)
}

#[test]
fn what_is_appended_is_read_in_order() {
    let (_directory, path) = path();
    append(&path, &[entry(0, 5.0)]).unwrap();
    append(&path, &[entry(1, 6.0), entry(2, 7.0)]).unwrap();
    let history = read(&path).unwrap();
    assert_eq!(history.entries, [entry(0, 5.0), entry(1, 6.0), entry(2, 7.0)]);
    assert_eq!(history.skipped, []);
    assert_eq!(
        history.entries[0].place,
        "Example CPU, 2 cores, closed model, 100 users, 5 s + 20 s a launch, PROFILE=s"
    );
}

#[test]
fn what_is_added_twice_stands_there_once() {
    let (_directory, path) = path();
    assert_eq!(append(&path, &[entry(0, 5.0), entry(1, 6.0)]).unwrap(), 2);
    let before = std::fs::read(&path).unwrap();
    assert_eq!(append(&path, &[entry(1, 6.0)]).unwrap(), 0);
    assert_eq!(std::fs::read(&path).unwrap(), before);
    assert_eq!(append(&path, &[entry(1, 6.0), entry(2, 7.0)]).unwrap(), 1);
    assert_eq!(read(&path).unwrap().entries.len(), 3);
}

#[test]
fn a_torn_last_line_is_passed_over_and_nothing_after_it_is_lost() {
    let (_directory, path) = path();
    append(&path, &[entry(0, 5.0), entry(1, 6.0)]).unwrap();
    let whole = std::fs::read(&path).unwrap();
    std::fs::write(&path, &whole[..whole.len() - 30]).unwrap();
    assert_eq!(
        read(&path).unwrap().skipped,
        [(2, "torn: it ends in the middle".to_owned())]
    );
    append(&path, &[entry(2, 7.0)]).unwrap();
    let history = read(&path).unwrap();
    assert_eq!(history.entries, [entry(0, 5.0), entry(2, 7.0)]);
    assert_eq!(history.skipped.len(), 1);
}

#[test]
fn runs_that_append_at_once_lose_nothing() {
    let (_directory, path) = path();
    std::thread::scope(|scope| {
        for writer in 0..8 {
            let path = &path;
            scope.spawn(move || {
                for run in 0..20 {
                    append(path, &[entry(writer * 20 + run, 5.0)]).unwrap();
                }
            });
        }
    });
    let history = read(&path).unwrap();
    assert_eq!((history.entries.len(), history.skipped.len()), (160, 0));
}

#[test]
fn strange_and_newer_lines_are_said() {
    let (_directory, path) = path();
    append(&path, &[entry(0, 5.0)]).unwrap();
    let mut file = std::fs::OpenOptions::new().append(true).open(&path).unwrap();
    file.write_all(b"{\"version\": 2}\n[1]\n").unwrap();
    let skipped = read(&path).unwrap().skipped;
    assert_eq!(skipped[0], (2, "written by a newer loadtest (version 2)".to_owned()));
    assert!(
        skipped[1].0 == 3 && skipped[1].1.starts_with("not an entry"),
        "{skipped:?}"
    );
}

#[test]
fn a_missing_file_and_a_figure_that_is_none_are_refused_by_name() {
    let (_directory, path) = path();
    assert!(
        read(&path)
            .unwrap_err()
            .to_string()
            .contains("history.jsonl: cannot read it")
    );
    let error = append(&path, &[entry(0, f64::NAN)]).unwrap_err().to_string();
    assert!(error.starts_with("the entry of run-0 cannot be written"), "{error}");
}

#[test]
fn a_trend_says_since_which_commit() {
    let entries: Vec<Entry> = (0..40)
        .map(|run| {
            entry(
                run,
                if run < 25 { 5.0 } else { 6.0 } + f64::from(i32::try_from(run % 5).unwrap()) / 50.0,
            )
        })
        .collect();
    let trends = p95_trends(&entries);
    let a = trends.iter().find(|trend| trend.name == "a").unwrap();
    assert_eq!(a.changes.len(), 1, "{:?}", a.changes);
    assert_eq!(a.points[a.changes[0].index].git.as_deref(), Some("rev25"));
    assert_eq!(metric_trend(&entries, "service.rss_mb").points.len(), 40);
}

#[test]
fn only_like_and_valid_runs_make_a_series() {
    let mut entries = vec![entry(0, 5.0), entry(1, 5.0), entry(2, 5.0), entry(3, 5.0)];
    entries[0].workload_sha256 = "other".to_owned();
    entries[1].verdict = Verdict::Invalid;
    entries[2].place = "another machine".to_owned();
    let ids: Vec<String> = p95_trends(&entries)[0]
        .points
        .iter()
        .map(|point| point.id.clone())
        .collect();
    assert_eq!(ids, ["run-3"]);
    assert!(p95_trends(&[]).is_empty());
}

#[test]
fn another_stack_other_settings_and_other_arrivals_are_other_places() {
    let place = |change: fn(&mut crate::record::Record)| {
        let mut changed = record();
        changed.subjects = vec![subject("s")];
        changed.rounds = vec![round(0, "s", &[("a", vec![1000; 10])])];
        change(&mut changed);
        judge(&mut changed, &Question::default()).unwrap();
        Entry::of_record(&changed).remove(0).place
    };
    let usual = place(|_| ());
    let others: [fn(&mut crate::record::Record); 3] = [
        |record| {
            let server = crate::record::Server {
                provider: "native".to_owned(),
                version: "17".to_owned(),
                settings: [("fsync".to_owned(), "on".to_owned())].into(),
                note: None,
            };
            record.stack.insert("postgres".to_owned(), server);
        },
        |record| {
            record.subjects[0]
                .env
                .insert("CACHE_ENABLED".to_owned(), "false".to_owned());
        },
        |record| record.workload.arrivals = Some("poisson".to_owned()),
    ];
    for change in others {
        assert_ne!(place(change), usual);
    }
}
