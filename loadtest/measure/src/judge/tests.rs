//! Records judged fresh, again, after a merge; what they carry and what is made anew.

use super::*;
use crate::gate::evaluate::tests::gate_block;
use crate::histogram::DECODED;
use crate::merge;
use crate::record::{Ablated, Arrivals, Consistency, Limit, Outcome, Priority, Round};
use crate::testing::{histogram_of, record, round, subject};

/// Four rounds of one subject.
fn measured(times_us: &[u64]) -> Record {
    Record {
        rounds: (0..4)
            .map(|block| round(block, "phase2", &[("a", times_us.to_vec())]))
            .collect(),
        ..record()
    }
}

/// Six rounds each of the first subject and of others, which answer so many times as slowly.
fn compared(others: &[(&str, u64)]) -> Record {
    let sides: Vec<(&str, u64)> = [("first", 1)].into_iter().chain(others.iter().copied()).collect();
    let times = |factor: u64, block: u64| (0..100).map(|i| factor * (1_000 + i + block)).collect();
    let rounds = (0..6).flat_map(|block: u32| {
        sides
            .iter()
            .map(move |(name, factor)| round(block, name, &[("a", times(*factor, u64::from(block)))]))
            .collect::<Vec<Round>>()
    });
    Record {
        rounds: rounds.collect(),
        subjects: sides.iter().map(|(name, _)| subject(name)).collect(),
        ..record()
    }
}

fn gated(blocks: u32) -> Record {
    let mut gated = compared(&[]);
    gated.purpose = Purpose::Gate;
    gated.subjects = vec![subject("old"), subject("new")];
    gated.rounds = (0..blocks).flat_map(|block| gate_block(block, 1.0)).collect();
    gated.workload.blocks = 24;
    gated
}

fn p95_below(limit_ms: f64) -> TargetSpec {
    TargetSpec {
        id: "fast".to_owned(),
        priority: Priority::P0,
        metric: "http.p95_ms".to_owned(),
        endpoint: Some("a".to_owned()),
        limit: Limit::Below(limit_ms),
        source: "a test".to_owned(),
        not_yet: None,
    }
}

fn complete(targets: &[TargetSpec]) -> Question<'_> {
    Question {
        targets: Some(targets),
        ending: Ending::Complete,
        ..Question::default()
    }
}

fn interrupted() -> Ending {
    Ending::Stopped {
        verdict: Verdict::Interrupted,
        exit_code: 130,
        why: "interrupted".to_owned(),
    }
}

fn times() -> Vec<u64> {
    (0..200).map(|i| 1_000 + i * 20).collect()
}

#[test]
fn other_targets_give_another_verdict() {
    for (limit_ms, verdict) in [(50.0, Verdict::Pass), (2.0, Verdict::TargetsMissed)] {
        let mut record = measured(&times());
        judge(&mut record, &complete(&[p95_below(limit_ms)])).unwrap();
        assert_eq!((record.verdict, record.exit_code), (verdict, verdict.exit_code()));
    }
}

#[test]
fn a_record_judged_again_on_what_it_carries_stays_as_it_is() {
    let mut capacity_like = measured(&times());
    capacity_like.stack.clear();
    for (mut record, targets) in [
        (measured(&times()), vec![p95_below(2.0)]),
        (compared(&[("second", 2)]), vec![p95_below(50.0)]),
        (gated(24), vec![]),
        (capacity_like, vec![]),
    ] {
        judge(&mut record, &complete(&targets)).unwrap();
        let first = record.clone();
        judge(&mut record, &Question::default()).unwrap();
        assert_eq!(record, first);
    }
}

#[test]
fn the_mark_of_a_run_that_was_stopped_stays() {
    let mut stopped = measured(&[1_000; 200]);
    let question = Question {
        ending: interrupted(),
        ..complete(&[])
    };
    judge(&mut stopped, &question).unwrap();
    assert_eq!(
        (stopped.verdict, stopped.exit_code, stopped.verdict_reason.as_str()),
        (Verdict::Interrupted, 130, "interrupted")
    );
    for _ in 0..2 {
        let again = Question {
            targets: Some(&[p95_below(50.0)]),
            ..Question::default()
        };
        judge(&mut stopped, &again).unwrap();
        assert_eq!(stopped.verdict, Verdict::Invalid, "{}", stopped.verdict_reason);
        assert!(stopped.verdict_reason.contains("the run came to its end (interrupted)"));
    }
}

#[test]
fn a_run_of_nothing_but_errors_is_the_subjects_fault() {
    let mut broken = measured(&[]);
    for round in &mut broken.rounds {
        *round = round.clone().with_errors("a", 100);
    }
    judge(&mut broken, &complete(&[p95_below(50.0)])).unwrap();
    assert_eq!(broken.verdict, Verdict::TargetsMissed, "{}", broken.verdict_reason);
    judge(&mut broken, &complete(&[])).unwrap();
    assert_eq!(broken.verdict, Verdict::TargetsMissed);
    assert!(
        broken.verdict_reason.contains("few errors"),
        "{}",
        broken.verdict_reason
    );
}

#[test]
fn a_record_that_cannot_be_judged_is_left_as_it_is() {
    let mut record = measured(&times());
    record.rounds[3].phases[0].endpoints.get_mut("a").unwrap().hdr = "AAAA".to_owned();
    let before = record.clone();
    assert!(matches!(
        judge(&mut record, &complete(&[])),
        Err(JudgeError::Round(RoundError { block: 3, .. }))
    ));
    assert_eq!(record, before);
}

#[test]
fn debug_builds_and_servers_that_do_not_flush_are_found() {
    let failed = |record: &mut Record| {
        judge(record, &complete(&[])).unwrap();
        let failed = record.checks.iter().filter(|check| !check.ok);
        failed.map(|check| check.name.clone()).collect::<Vec<_>>()
    };
    let mut sound = measured(&times());
    assert_eq!(failed(&mut sound), Vec::<String>::new());
    sound.tool.build = "debug".to_owned();
    let postgres = crate::record::Server {
        provider: "native".to_owned(),
        version: "17".to_owned(),
        settings: BTreeMap::from([("fsync".to_owned(), "off".to_owned())]),
        note: None,
    };
    sound.stack.insert("postgres".to_owned(), postgres);
    assert_eq!(
        failed(&mut sound),
        ["the harness is a release build", "Postgres writes to disk"]
    );
}

/// A rate of 10 to 100 times each is far beyond chance, and an ablation asks only how much.
#[test]
fn the_purpose_decides_what_is_compared_and_what_binds() {
    let without = |name: &str| Ablated {
        feature: name.to_owned(),
        what: String::new(),
        subject: name.to_owned(),
        off: BTreeMap::new(),
    };
    let mut record = compared(&[("one", 10), ("other", 100)]);
    judge(&mut record, &complete(&[])).unwrap();
    let after = |record: &Record| {
        record
            .comparisons
            .iter()
            .map(|one| one.after.clone())
            .collect::<BTreeSet<_>>()
    };
    assert_eq!(after(&record), BTreeSet::from(["other".to_owned()]));
    assert_eq!(record.verdict, Verdict::Regression);

    record.purpose = Purpose::Ablation;
    record.ablation = vec![without("one"), without("other")];
    judge(&mut record, &Question::default()).unwrap();
    assert_eq!(after(&record), BTreeSet::from(["one".to_owned(), "other".to_owned()]));
    assert_eq!(
        (record.verdict, record.verdict_reason.as_str()),
        (Verdict::Measured, "every check holds; features switched off in turn: 2")
    );
}

#[test]
fn a_gate_is_decided_by_its_slices_unless_it_was_stopped() {
    let mut decided = gated(24);
    judge(&mut decided, &complete(&[])).unwrap();
    assert_eq!(decided.gate.as_ref().unwrap().stage1_blocks, 24);
    assert!(
        decided
            .checks
            .iter()
            .any(|check| check.name == "enough slices were valid" && check.ok)
    );

    let mut short = gated(10);
    judge(&mut short, &complete(&[])).unwrap();
    assert!(
        short
            .checks
            .iter()
            .any(|check| check.name == "enough slices were valid" && !check.ok)
    );

    let mut stopped = gated(24);
    let question = Question {
        ending: interrupted(),
        ..complete(&[])
    };
    for question in [question, Question::default()] {
        judge(&mut stopped, &question).unwrap();
        assert!(
            stopped.gate.is_none() && stopped.comparisons.is_empty(),
            "a look before the end of a stage"
        );
    }
}

/// Of every phase and slice, response and service times, lateness and propagation: once, whoever reads them.
#[test]
fn each_histogram_is_decoded_once() {
    let open = |mut round: Round| {
        let measured = &mut round.phases[0];
        measured.endpoints.get_mut("a").unwrap().service_hdr = Some(histogram_of(vec![100; 100]).encode());
        measured.arrivals = Some(Arrivals {
            intended: 100,
            sent: 100,
            late: 0,
            dropped: 0,
            lateness_hdr: histogram_of(vec![50; 100]).encode(),
        });
        let mut drain = measured.clone();
        (drain.name, drain.arrivals) = ("drain".to_owned(), None);
        round.phases.push(drain);
        round.consistency = Some(Consistency {
            propagation_hdr: histogram_of(vec![5; 10]).encode(),
            ..Consistency::default()
        });
        round
    };
    let mut record = compared(&[("second", 2)]);
    record.rounds = record.rounds.into_iter().map(open).collect();
    let targets = [p95_below(50.0), p95_below(1.0)];
    let baseline = Record {
        id: "earlier".to_owned(),
        rounds: vec![],
        verdict: Verdict::Pass,
        ..record.clone()
    };
    let question = Question {
        baselines: Some(Baselines {
            records: &[baseline],
            rules: BaselineRules::default(),
        }),
        ..complete(&targets)
    };
    DECODED.set(0);
    judge(&mut record, &question).unwrap();
    // 12 rounds: two phases with two histograms each, lateness, propagation.
    assert_eq!(DECODED.get(), 12 * (2 * 2 + 2));

    let mut gate = gated(24);
    DECODED.set(0);
    judge(&mut gate, &complete(&[])).unwrap();
    // 24 blocks of two sides with eight slices: two endpoints and the canary.
    assert_eq!(DECODED.get(), 24 * 2 * 8 * 3);
}

/// What tells the generators of one load apart.
fn apart(index: usize, record: &mut Record) {
    record.workload.seed = index as u64;
    for round in &mut record.rounds {
        round.started_at += chrono::Duration::milliseconds(i64::try_from(index).unwrap());
    }
}

/// Two records of one load, as their generators left them.
fn of_two_generators(mut change: impl FnMut(usize, &mut Record)) -> Vec<Record> {
    let seconds = |round: &mut Round| round.slices[0].hdr = Some(crate::testing::seconds_of(&times()));
    let of_one = |(index, id): (usize, &str)| {
        let mut one = measured(&times());
        one.id = id.to_owned();
        apart(index, &mut one);
        one.rounds.iter_mut().for_each(seconds);
        judge(&mut one, &complete(&[p95_below(2.0)])).unwrap();
        change(index, &mut one);
        one
    };
    ["one", "two"].into_iter().enumerate().map(of_one).collect()
}

#[test]
fn a_merge_is_judged_by_the_targets_that_its_records_were_measured_with() {
    let mut merged = merge::records(&of_two_generators(|_, _| ())).unwrap();
    judge(&mut merged, &Question::default()).unwrap();
    assert_eq!((merged.verdict, merged.exit_code), (Verdict::TargetsMissed, 5));
    assert_eq!(merged.summary["phase2"].endpoints["a"].count, 2 * 4 * 200);
    let other = [p95_below(50.0)];
    let question = Question {
        targets: Some(&other),
        ..Question::default()
    };
    judge(&mut merged, &question).unwrap();
    assert_eq!(merged.verdict, Verdict::Pass, "{}", merged.verdict_reason);
}

#[test]
fn the_mark_of_either_generator_survives_the_merge() {
    for stopped in [0, 1] {
        let records = of_two_generators(|index, record| {
            if index == stopped {
                let question = Question {
                    ending: interrupted(),
                    ..Question::default()
                };
                judge(record, &question).unwrap();
            }
        });
        let mut merged = merge::records(&records).unwrap();
        judge(&mut merged, &Question::default()).unwrap();
        assert_eq!(merged.verdict, Verdict::Invalid);
        let said = format!("the run came to its end (interrupted (record {}))", records[stopped].id);
        assert!(merged.verdict_reason.contains(&said), "{}", merged.verdict_reason);
    }
}

#[test]
fn a_merge_of_comparisons_compares_the_sums() {
    let of_one = |index: usize, id: &str| {
        let mut one = compared(&[("second", 2)]);
        one.id = id.to_owned();
        apart(index, &mut one);
        for round in &mut one.rounds {
            round.slices[0].hdr = Some(crate::testing::seconds_of(&times()));
        }
        one
    };
    let mut merged = merge::records(&[of_one(0, "one"), of_one(1, "two")]).unwrap();
    judge(&mut merged, &Question::default()).unwrap();
    assert_eq!(merged.comparisons[0].outcome, Outcome::Regress);
}

/// Three of nine blocks were disturbed, and measured again.
fn with_disturbed(disturbed: &[u32], planned: u32) -> Record {
    let mut record = compared(&[("second", 1)]);
    record.workload.blocks = planned;
    for round in &mut record.rounds {
        if disturbed.contains(&round.block) && round.subject == "first" {
            round.probes.insert(crate::metrics::OTHER_CPU_PERCENT.key(), 20.0);
        }
    }
    record
}

#[test]
fn disturbed_blocks_are_left_out_where_enough_others_were_measured() {
    let mut record = with_disturbed(&[2], 5);
    judge(&mut record, &complete(&[p95_below(50.0)])).unwrap();
    assert_eq!(record.comparisons[0].blocks, 5);
    let said = record
        .checks
        .iter()
        .find(|check| check.name == "disturbed blocks were measured again");
    let said = said.unwrap();
    assert!(
        said.ok && said.detail.contains("1 left out, 5 blocks without"),
        "{said:?}"
    );
    assert_eq!(record.summary["first"].endpoints["a"].count, 500);
    assert_eq!(record.verdict, Verdict::Pass, "{}", record.verdict_reason);
}

#[test]
fn where_the_repeats_were_disturbed_too_what_holds_all_the_same_holds() {
    let mut record = with_disturbed(&[0, 2, 3], 5);
    judge(&mut record, &complete(&[p95_below(50.0)])).unwrap();
    assert_eq!(record.comparisons[0].blocks, 6);
    assert_eq!(record.verdict, Verdict::Pass, "{}", record.verdict_reason);
    let alone = |record: &mut Record| {
        record.subjects.remove(1);
        record.rounds.retain(|round| round.subject == "first");
    };
    alone(&mut record);
    judge(&mut record, &complete(&[p95_below(1.01)])).unwrap();
    assert_eq!(record.verdict, Verdict::Invalid, "{}", record.verdict_reason);
    assert!(
        record
            .verdict_reason
            .starts_with("the machine was disturbed, and the verdict hangs on it: P0 `fast`")
    );
    judge(&mut record, &complete(&[p95_below(0.1)])).unwrap();
    assert_eq!(
        record.verdict,
        Verdict::TargetsMissed,
        "no disturbance of a fifth explains ten times"
    );
}

#[test]
fn a_record_derived_anew_believes_nothing_that_was_written() {
    let mut record = measured(&times());
    judge(&mut record, &complete(&[p95_below(2.0)])).unwrap();
    let written = record.clone();
    record.verdict = Verdict::Pass;
    record.exit_code = 0;
    record.targets[0].verdict = crate::record::TargetVerdict::Pass;
    record.summary.clear();
    rederive(&mut record).unwrap();
    assert_eq!(record, written);
    let mut stopped = measured(&times());
    let question = Question {
        ending: interrupted(),
        ..complete(&[])
    };
    judge(&mut stopped, &question).unwrap();
    let written = stopped.clone();
    rederive(&mut stopped).unwrap();
    assert_eq!((stopped.verdict, stopped.exit_code), (written.verdict, 130));
}
