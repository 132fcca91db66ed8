//! What a comparison with a stored baseline calls under the noise model, where both runs have a time of their own
//! (STATISTICS section 7).

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta};
use measure::baseline::{BaselineRules, compare};
use measure::record::{
    Baseline, BaselineEvidence, Machine as Host, Outcome, PHASE_MEASURE, Phase, Record, Round, SCHEMA_VERSION, Subject,
    Verdict,
};
use measure::rounds::measured;
use rayon::prelude::*;

use crate::noise::{AWFUL, ENDPOINTS, Level, MODERATE, Machine, NOISY, QUIET, counts};
use crate::repetitions;

/// A run of the report: five blocks of 20 s, each with a launch, a clone of the database and a warm-up before it.
const BLOCKS: u32 = 5;
const MEASURE_S: f64 = 20.0;
const BETWEEN_S: f64 = 15.0;

/// One run at a time of its own, every endpoint's times multiplied by `ratio`.
fn run(level: Level, seed: u64, ratio: f64) -> Record {
    let mut machine = Machine::new(level, seed);
    let rounds = (0..BLOCKS)
        .map(|block| {
            machine.idle(BETWEEN_S);
            let launch = machine.launch();
            let times = machine.slice(MEASURE_S, &launch, &[ratio; ENDPOINTS]).endpoints;
            round(block, &times)
        })
        .collect();
    Record {
        schema_version: SCHEMA_VERSION,
        id: format!("{seed}"),
        created_at: DateTime::UNIX_EPOCH + TimeDelta::days(i64::try_from(seed).unwrap_or_default()),
        machine: Host {
            cpu: String::new(),
            cores: 1,
            memory_mb: 1,
            kernel: String::new(),
            virtualisation: String::new(),
        },
        subjects: vec![Subject {
            name: "s".to_owned(),
            kind: "url".to_owned(),
            profile: None,
            git: None,
            binary_sha256: None,
            env: BTreeMap::new(),
        }],
        rounds,
        verdict: Verdict::Pass,
        ..Record::default()
    }
}

fn round(block: u32, times: &[Vec<f64>]) -> Round {
    let endpoints = times.iter().enumerate();
    let endpoints = endpoints.map(|(index, times)| (format!("{index}"), counts(times)));
    Round {
        block,
        subject: "s".to_owned(),
        phases: vec![Phase {
            name: PHASE_MEASURE.to_owned(),
            end_ms: 20_000,
            endpoints: endpoints.collect(),
            ..Phase::default()
        }],
        ..Round::default()
    }
}

/// Shares of comparisons that called a regression, and that passed every endpoint.
fn shares(level: Level, ratio: f64, baselines: u64, comparisons: usize) -> (f64, f64) {
    let judge = |comparison: usize| {
        let first = 1 + comparison as u64 * (baselines + 1);
        let before: Vec<Record> = (0..baselines).map(|one| run(level, first + one, 1.0)).collect();
        let after = run(level, first + baselines, ratio);
        let rounds = measured(&after.rounds, "s").expect("readable");
        let judged = compare(&after, &rounds, &before, &BaselineRules::default()).expect("they are alike");
        assert_eq!(judged.evidence == BaselineEvidence::Runs, baselines >= 5);
        judged
    };
    let judged: Vec<_> = (0..comparisons).into_par_iter().map(judge).collect();
    let share =
        |fits: fn(&Baseline) -> bool| judged.iter().filter(|judged| fits(judged)).count() as f64 / comparisons as f64;
    let called = share(|judged| judged.comparisons.iter().any(|one| one.outcome == Outcome::Regress));
    let passed = share(|judged| {
        let fine = |outcome| matches!(outcome, Outcome::Pass | Outcome::Improved);
        judged.comparisons.iter().all(|one| fine(one.outcome))
    });
    (called, passed)
}

/// One baseline and the wide limit: equal code at another time is not called slower, three times as slow is.
#[test]
fn one_baseline_calls_what_times_do_not_explain() {
    for (level, at_most, at_least) in [
        (QUIET, 0.01, 0.95),
        (MODERATE, 0.01, 0.95),
        (NOISY, 1.0, 0.0),
        (AWFUL, 1.0, 0.0),
    ] {
        let comparisons = repetitions(2, 400);
        let (alarms, passed) = shares(level, 1.0, 1, comparisons);
        let (called, _) = shares(level, 3.0, 1, comparisons);
        println!(
            "{:9} one baseline: alarms {alarms:.3}, all pass {passed:.3}, three times as slow called {called:.3}",
            level.name
        );
        // Of two comparisons one alarm is a half.
        let chance = if comparisons < 100 { 0.5 } else { 0.0 };
        assert!(alarms <= at_most + chance, "{}: {alarms}", level.name);
        assert!(called >= at_least - chance, "{}: {called}", level.name);
    }
}

/// Five baselines at different times and the narrow limit.
#[test]
fn five_baselines_hold_what_times_do() {
    for level in [QUIET, MODERATE, NOISY, AWFUL] {
        let comparisons = repetitions(2, 400);
        let (alarms, passed) = shares(level, 1.0, 5, comparisons);
        let (called, _) = shares(level, 1.5, 5, comparisons);
        println!(
            "{:9} five baselines: alarms {alarms:.3}, all pass {passed:.3}, 1.5 times as slow called {called:.3}",
            level.name
        );
        let chance = if comparisons < 100 { 0.5 } else { 0.0 };
        assert!(alarms <= 0.05 + chance, "{}: {alarms}", level.name);
    }
}
