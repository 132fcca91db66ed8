//! Records written, read, refused.

use super::*;
use crate::judge::{Question, judge};
use crate::record::{
    Ablated, Capacity, CapacityOutcome, Comparison, EndpointSummary, Failures, GateDecision, GateSlice, Limit,
    MetricSummary, Outcome, Priority, Round, Summary, TargetResult, TargetVerdict,
};
use crate::testing::{record, round, subject};

/// A record with rounds, summaries and comparisons as a run makes them.
fn full_record() -> Record {
    let mut record = record();
    record.subjects = vec![subject("old"), subject("new")];
    record.rounds = (0..6)
        .flat_map(|block| {
            let times = |start: u64| (start..start + 200).map(|i| i * 37 % 9000 + u64::from(block)).collect();
            [
                round(block, "old", &[("a", times(1000))]),
                round(block, "new", &[("a", times(700))]),
            ]
        })
        .collect();
    judge(&mut record, &Question::default()).unwrap();
    record
}

fn files_in(directory: &Path) -> Vec<String> {
    let mut names: Vec<_> = std::fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn what_is_saved_is_loaded_to_the_last_bit() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("record.json");
    let record = full_record();
    record.save(&path).unwrap();
    assert_eq!(Record::load(&path).unwrap(), record);
    assert_eq!(files_in(directory.path()), ["record.json"]);
}

#[test]
fn a_record_without_identity_is_refused_by_name() {
    let mut bare = record();
    bare.id.clear();
    bare.workload.sha256.clear();
    bare.machine.cores = 0;
    bare.tool.git.clear();
    bare.subjects[0].binary_sha256 = None;
    let directory = tempfile::tempdir().unwrap();
    let error = bare.save(&directory.path().join("record.json")).unwrap_err();
    assert_eq!(
        error.to_string(),
        "a record cannot be saved without its id, the workload's hash, the machine, the harness's git revision, \
         the binary hash of subject phase2"
    );
    assert!(files_in(directory.path()).is_empty());
}

#[test]
fn a_subject_by_url_needs_no_binary_hash() {
    let directory = tempfile::tempdir().unwrap();
    let mut remote = record();
    remote.subjects[0].kind = "url".to_owned();
    remote.subjects[0].binary_sha256 = None;
    remote.save(&directory.path().join("record.json")).unwrap();
}

#[test]
fn a_failed_save_leaves_the_old_file_and_nothing_else() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("record.json");
    record().save(&path).unwrap();
    let mut unreadable = record();
    unreadable.workload.warm_up_s = f64::NAN;
    assert!(matches!(
        unreadable.save(&path),
        Err(RecordError::NotReadableAgain { .. })
    ));
    assert_eq!(Record::load(&path).unwrap(), record());
    assert_eq!(files_in(directory.path()), ["record.json"]);
}

#[test]
fn a_save_that_cannot_be_put_in_place_leaves_no_half_file() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("taken");
    std::fs::create_dir(&path).unwrap();
    let error = record().save(&path).unwrap_err();
    assert!(
        error.to_string().contains("taken: cannot put it in its place"),
        "{error}"
    );
    assert_eq!(files_in(directory.path()), ["taken"]);
    let nowhere = record()
        .save(&directory.path().join("missing/record.json"))
        .unwrap_err();
    assert!(
        nowhere.to_string().contains("cannot create a temporary file beside it"),
        "{nowhere}"
    );
}

#[test]
fn a_reader_never_sees_a_half_written_file() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("record.json");
    let mut saved = full_record();
    saved.save(&path).unwrap();
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            for turn in 0..20 {
                saved.exit_code = turn;
                saved.save(&path).unwrap();
            }
        });
        while !writer.is_finished() {
            Record::load(&path).unwrap();
        }
        writer.join().unwrap();
    });
    assert_eq!(Record::load(&path).unwrap().exit_code, 19);
}

#[test]
fn a_file_cut_anywhere_is_called_truncated_with_its_position() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("record.json");
    record().save(&path).unwrap();
    let whole = std::fs::read(&path).unwrap();
    for length in [0, 1, 30, whole.len() / 2, whole.len() - 3] {
        std::fs::write(&path, &whole[..length]).unwrap();
        let error = Record::load(&path).unwrap_err();
        assert!(
            matches!(error, RecordError::Truncated { bytes, .. } if bytes == length),
            "{length}: {error}"
        );
        assert!(
            error
                .to_string()
                .contains("record.json: the file ends in the middle, at line "),
            "{error}"
        );
    }
}

#[test]
fn a_newer_or_foreign_file_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("record.json");
    std::fs::write(&path, r#"{"schema_version": 2, "rounds": "in another shape"}"#).unwrap();
    let newer = Record::load(&path).unwrap_err().to_string();
    assert!(
        newer.ends_with("a record of schema version 2, this build reads up to 1: use a newer loadtest"),
        "{newer}"
    );
    std::fs::write(&path, "{\n  \"schema_version\": 1,\n  \"id\": 7\n}").unwrap();
    let foreign = Record::load(&path).unwrap_err().to_string();
    assert!(
        foreign.contains("record.json:3:9: not a record: invalid type: integer `7`"),
        "{foreign}"
    );
    let absent = Record::load(&directory.path().join("none.json"))
        .unwrap_err()
        .to_string();
    assert!(absent.contains("none.json: cannot read it"), "{absent}");
}

/// Writes a record as builds wrote it that did not know purposes, and reads it.
fn read_without_purpose(record: &Record) -> Record {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("record.json");
    record.save(&path).unwrap();
    let text = std::fs::read_to_string(&path).unwrap();
    let without: String = text
        .lines()
        .filter(|line| !line.starts_with("  \"purpose\":"))
        .collect();
    assert!(without.len() < text.len());
    std::fs::write(&path, without).unwrap();
    Record::load(&path).unwrap()
}

#[test]
fn a_record_without_a_purpose_gets_that_of_its_parts() {
    let decided = Record {
        gate: Some(GateDecision::default()),
        ..record()
    };
    let stopped = Record {
        rounds: vec![Round {
            gate_slices: vec![GateSlice::default()],
            ..Round::default()
        }],
        ..record()
    };
    let search = Record {
        capacity: Some(Capacity {
            goals: vec![],
            steps: vec![],
            outcome: CapacityOutcome::Unfinished,
            crossing_per_s: None,
            interval_per_s: None,
            advertised_per_s: None,
            wanted_per_s: None,
            soak_s: 600.0,
            failed_soaks: 0,
            scaling: None,
        }),
        ..record()
    };
    let ablation = Record {
        ablation: vec![Ablated {
            feature: "cache".to_owned(),
            what: String::new(),
            subject: "without cache".to_owned(),
            off: std::collections::BTreeMap::new(),
        }],
        ..record()
    };
    for (old, purpose) in [
        (record(), Purpose::Report),
        (decided, Purpose::Gate),
        (stopped, Purpose::Gate),
        (search, Purpose::Capacity),
        (ablation, Purpose::Ablation),
    ] {
        let mut read = read_without_purpose(&old);
        // Its text was edited to lack one.
        assert!(is_said_to_be_edited(&read));
        read.checks.retain(|check| check.name != AS_WRITTEN);
        assert_eq!(read, Record { purpose, ..old });
    }
}

#[test]
fn a_stated_purpose_is_kept() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("record.json");
    // A gate that was stopped in its first block has neither slices nor a decision.
    let stopped = Record {
        purpose: Purpose::Gate,
        ..record()
    };
    stopped.save(&path).unwrap();
    assert_eq!(Record::load(&path).unwrap().purpose, Purpose::Gate);
}

#[test]
fn other_users_may_read_a_record() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("record.json");
    record().save(&path).unwrap();
    // As any file made here under the same umask.
    let plain = directory.path().join("plain");
    std::fs::write(&plain, "").unwrap();
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&path), mode(&plain));
}

#[test]
fn the_schema_of_a_record() {
    let mut record = record();
    record.summary.insert("phase2".to_owned(), Summary::default());
    insta::assert_snapshot!(serde_json::to_string_pretty(&record).unwrap(), @r#"
    {
      "schema_version": 1,
      "purpose": "report",
      "id": "20261123T101500-7f3a",
      "created_at": "2026-11-23T10:15:00Z",
      "command": "loadtest compare --seed 0",
      "tool": {
        "version": "0.1.0",
        "git": "4b5edd4",
        "build": "release"
      },
      "machine": {
        "cpu": "Example CPU",
        "cores": 2,
        "memory_mb": 7936,
        "kernel": "6.1.0",
        "virtualisation": "kvm"
      },
      "stack": {},
      "workload": {
        "name": "phase2-mix",
        "sha256": "ab12",
        "seed": 0,
        "model": "closed",
        "users": 100,
        "rate_per_s": null,
        "think_time_mean_ms": 250.0,
        "warm_up_s": 5.0,
        "measure_s": 20.0,
        "drain_s": 0.0,
        "blocks": 3
      },
      "subjects": [
        {
          "name": "phase2",
          "kind": "profile",
          "profile": "phase2",
          "git": null,
          "binary_sha256": "cd34",
          "env": {
            "PROFILE": "phase2"
          }
        }
      ],
      "rounds": [],
      "summary": {
        "phase2": {
          "endpoints": {},
          "metrics": {}
        }
      },
      "comparisons": [],
      "targets": [],
      "checks": [
        {
          "name": "fsync is on",
          "ok": true,
          "about": "run",
          "detail": "fsync = on"
        }
      ],
      "verdict": "pass",
      "exit_code": 0,
      "verdict_reason": "every measured target holds"
    }
    "#);
}

#[test]
fn the_schema_of_a_round() {
    let mut round = round(0, "phase2", &[("a", vec![1500, 2500])])
        .with_probe("rss", 61.5)
        .with_ratio("hits", 9, 10);
    // The compressed bytes may differ between zlib implementations.
    round.phases[0].endpoints.get_mut("a").unwrap().hdr = "(V2-deflate)".to_owned();
    insta::assert_snapshot!(serde_json::to_string_pretty(&round).unwrap(), @r#"
    {
      "block": 0,
      "order": 0,
      "subject": "phase2",
      "started_at": "2026-11-23T10:15:00Z",
      "phases": [
        {
          "name": "measure",
          "start_ms": 2000,
          "end_ms": 12000,
          "endpoints": {
            "a": {
              "count": 2,
              "errors": 0,
              "censored": 0,
              "bytes": 0,
              "hdr": "(V2-deflate)"
            }
          }
        }
      ],
      "slices": [
        {
          "start_ms": 0,
          "count": 2,
          "errors": 0,
          "p50_ms": null,
          "p95_ms": null
        }
      ],
      "probes": {
        "rss": 61.5
      },
      "ratios": {
        "hits": {
          "numerator": 9,
          "denominator": 10
        }
      }
    }
    "#);
}

/// Judgements with every field set.
fn judgements() -> (EndpointSummary, MetricSummary, Comparison, TargetResult) {
    let summary = EndpointSummary {
        count: 1200,
        rps: 20.0,
        error_rate: 0.0,
        censored: 3,
        dropped: 2,
        failures: Failures {
            status: 2,
            ..Failures::default()
        },
        repeated: 1,
        mean_ms: 3.5,
        p50_ms: 3.0,
        p90_ms: 8.0,
        p95_ms: 8.5,
        p99_ms: 8.75,
        p999_ms: 9.0,
        max_ms: 9.0,
        p95_ci_ms: Some((8.25, 8.75)),
        curve: vec![(0.5, 3.0)],
        answers: None,
        service: None,
    };
    let metric = MetricSummary {
        value: 0.875,
        ci: None,
        rounds: 1,
    };
    let comparison = Comparison {
        family: crate::record::Family::LatencyP95,
        endpoint: "a".to_owned(),
        before: "phase1".to_owned(),
        after: "phase2".to_owned(),
        blocks: 6,
        ratio: 0.25,
        ratio_low: Some(0.125),
        ratio_high: None,
        p_slower: 1.0,
        p_faster: 0.015_625,
        mde: Some(0.0625),
        outcome: Outcome::SlowerWithinTolerance,
    };
    let target = TargetResult {
        id: "p95-a".to_owned(),
        priority: Priority::P0,
        metric: "http.p95_ms".to_owned(),
        endpoint: None,
        source: "p95 below 15 ms".to_owned(),
        limit: Limit::ReducedBy(0.5),
        observed: Some(8.5),
        interval: Some((8.25, 8.75)),
        not_yet: Some("no probe".to_owned()),
        verdict: TargetVerdict::NotMeasured,
        hangs: true,
        detail: "why".to_owned(),
    };
    (summary, metric, comparison, target)
}

#[test]
fn the_schema_of_its_judgements() {
    insta::assert_snapshot!(serde_json::to_string_pretty(&judgements()).unwrap(), @r#"
    [
      {
        "count": 1200,
        "rps": 20.0,
        "error_rate": 0.0,
        "censored": 3,
        "dropped": 2,
        "failures": {
          "status": 2
        },
        "repeated": 1,
        "mean_ms": 3.5,
        "p50_ms": 3.0,
        "p90_ms": 8.0,
        "p95_ms": 8.5,
        "p99_ms": 8.75,
        "p999_ms": 9.0,
        "max_ms": 9.0,
        "p95_ci_ms": [
          8.25,
          8.75
        ],
        "curve": [
          [
            0.5,
            3.0
          ]
        ]
      },
      {
        "value": 0.875,
        "ci": null,
        "rounds": 1
      },
      {
        "family": "latency_p95",
        "endpoint": "a",
        "before": "phase1",
        "after": "phase2",
        "blocks": 6,
        "ratio": 0.25,
        "ratio_low": 0.125,
        "ratio_high": null,
        "p_slower": 1.0,
        "p_faster": 0.015625,
        "mde": 0.0625,
        "outcome": "slower_within_tolerance"
      },
      {
        "id": "p95-a",
        "priority": "P0",
        "metric": "http.p95_ms",
        "endpoint": null,
        "source": "p95 below 15 ms",
        "limit": {
          "reduced_by": 0.5
        },
        "observed": 8.5,
        "interval": [
          8.25,
          8.75
        ],
        "not_yet": "no probe",
        "verdict": "not_measured",
        "hangs": true,
        "detail": "why"
      }
    ]
    "#);
}

/// The text of a saved record, edited as somebody would, and loaded again.
fn edited_text(edit: impl FnOnce(&str) -> String) -> Record {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("record.json");
    full_record().save(&path).unwrap();
    let text = std::fs::read_to_string(&path).unwrap();
    let edited = edit(&text);
    assert_ne!(edited, text, "nothing was edited");
    std::fs::write(&path, edited).unwrap();
    Record::load(&path).unwrap()
}

fn is_said_to_be_edited(record: &Record) -> bool {
    record.checks.iter().any(|check| check.name == AS_WRITTEN && !check.ok)
}

#[test]
fn a_record_whose_data_was_edited_is_never_a_pass() {
    let mut edited = edited_text(|text| text.replacen("\"errors\": 0", "\"errors\": 7", 1));
    assert!(is_said_to_be_edited(&edited));
    judge(&mut edited, &Question::default()).unwrap();
    assert_eq!(edited.verdict, crate::record::Verdict::Invalid);
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("again.json");
    edited.save(&path).unwrap();
    assert!(
        is_said_to_be_edited(&Record::load(&path).unwrap()),
        "judging it again launders nothing"
    );
}

#[test]
fn a_record_without_a_digest_is_read_and_said() {
    let bare = edited_text(|text| {
        let at = text.find("\"digest\"").unwrap();
        format!("{}\n}}\n", text[..at].trim_end().trim_end_matches(','))
    });
    assert!(is_said_to_be_edited(&bare));
    assert_eq!(bare.rounds.len(), full_record().rounds.len());
}

/// What follows from the data is computed again, so that nothing is gained by editing it.
#[test]
fn an_edited_judgement_is_made_anew() {
    let mut edited = edited_text(|text| text.replacen("\"exit_code\": ", "\"exit_code\": 9", 1));
    assert!(!is_said_to_be_edited(&edited));
    judge(&mut edited, &Question::default()).unwrap();
    assert_eq!(edited, full_record());
}
