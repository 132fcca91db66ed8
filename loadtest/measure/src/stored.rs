//! A stored record judged again: against other targets, against baselines.
//!
//! What belongs here: what is derived anew from a record's rounds, and what stays as it was found when it ran. What does
//! not: reading the record (`store`), and the comparison with baselines (`baseline`).
//!
//! Comparisons within the record, and how its gate decided, stay: nothing about them has changed.

use std::collections::BTreeSet;

use crate::checks::{self, CheckLimits};
use crate::record::{Baseline, Check, Record};
use crate::rounds::RoundError;
use crate::targets::{self, TargetSpec};
use crate::verdict;

/// Judges `record` on `items`, or on its own targets without any, and on what it came to against baselines.
pub fn judge(record: &mut Record, items: Option<&[TargetSpec]>, baseline: Option<Baseline>) -> Result<(), RoundError> {
    if let Some(items) = items {
        let names: Vec<&str> = record.subjects.iter().map(|subject| subject.name.as_str()).collect();
        let (before, after) = match names.as_slice() {
            [before, .., after] => (Some(*before), *after),
            [only] => (None, *only),
            [] => (None, ""),
        };
        record.targets = targets::judge(items, &record.summary, &record.rounds, before, after)?;
    }
    record.checks = checks_again(record)?;
    record.baseline = baseline;
    (record.verdict, record.verdict_reason) = verdict::of_stored(record);
    record.exit_code = record.verdict.exit_code();
    Ok(())
}

/// The checks that the rounds allow, made again, and those that they do not (build, servers, whether the run came to its
/// end) as they were found. A gate judges its slices one by one, so of its checks only that of the targets is made again.
pub fn checks_again(record: &Record) -> Result<Vec<Check>, RoundError> {
    let specs: Vec<TargetSpec> = record.targets.iter().map(TargetSpec::of_result).collect();
    let judged = record.subjects.last().map_or("", |subject| subject.name.as_str());
    let mut again = if record.gate.is_none() {
        of_rounds(record)?
    } else {
        vec![]
    };
    again.push(checks::of_samples(&record.rounds, judged, &specs)?);
    let names: BTreeSet<String> = again.iter().map(|check| check.name.clone()).collect();
    let kept = record
        .checks
        .iter()
        .filter(|check| !names.contains(&check.name))
        .cloned();
    Ok(kept.chain(again).collect())
}

fn of_rounds(record: &Record) -> Result<Vec<Check>, RoundError> {
    let limits = CheckLimits::default();
    let mut all = checks::of_rounds(&record.rounds, limits);
    all.extend(checks::of_load(&record.rounds, &record.workload, &record.machine)?);
    all.extend(checks::of_machine(&record.rounds, limits)?);
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{Limit, Priority, Verdict};
    use crate::summary::summarise;
    use crate::testing::{record, round};

    fn measured(times_us: &[u64]) -> Record {
        let mut stored = record();
        stored.rounds = (0..4)
            .map(|block| round(block, "phase2", &[("a", times_us.to_vec())]))
            .collect();
        let summary = summarise(&stored.rounds, "phase2").unwrap();
        stored.summary.insert("phase2".to_owned(), summary);
        stored
    }

    fn p95_below(limit_ms: f64) -> TargetSpec {
        TargetSpec {
            id: "fast".to_owned(),
            priority: Priority::P0,
            metric: "http.p95_ms".to_owned(),
            endpoint: Some("a".to_owned()),
            limit: Limit::Below(limit_ms),
            source: "a test".to_owned(),
        }
    }

    #[test]
    fn other_targets_give_another_verdict() {
        let times: Vec<u64> = (0..200).map(|i| 1_000 + i * 20).collect();
        for (limit_ms, verdict) in [(50.0, Verdict::Pass), (2.0, Verdict::TargetsMissed)] {
            let mut stored = measured(&times);
            judge(&mut stored, Some(&[p95_below(limit_ms)]), None).unwrap();
            assert_eq!((stored.verdict, stored.exit_code), (verdict, verdict.exit_code()));
        }
    }

    #[test]
    fn what_the_rounds_cannot_tell_is_kept_as_it_was_found() {
        let mut stopped = measured(&[1_000; 200]);
        stopped.verdict = Verdict::Interrupted;
        stopped.checks.push(Check {
            name: "the run came to its end".to_owned(),
            ok: false,
            detail: "interrupted".to_owned(),
        });
        judge(&mut stopped, Some(&[p95_below(50.0)]), None).unwrap();
        assert_eq!(stopped.verdict, Verdict::Invalid, "{}", stopped.verdict_reason);
        assert!(stopped.verdict_reason.contains("the run came to its end (interrupted)"));
    }

    #[test]
    fn a_run_of_nothing_but_errors_is_invalid() {
        let mut broken = measured(&[]);
        for round in &mut broken.rounds {
            *round = round.clone().with_errors("a", 100);
        }
        judge(&mut broken, Some(&[p95_below(50.0)]), None).unwrap();
        assert_eq!(broken.verdict, Verdict::Invalid);
        assert!(
            broken.verdict_reason.contains("few errors"),
            "{}",
            broken.verdict_reason
        );
    }
}
