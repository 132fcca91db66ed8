//! The verdict on a record: which exit code it ends with, and one sentence saying why.
//!
//! What belongs here: the order of importance. What does not: the parts that it weighs (`checks`, `targets`, `compare`,
//! `gate`, `baseline`, `capacity`), and the verdict on a run that was stopped (`judge`).

use crate::figures::{figure, percent};
use crate::record::{
    Capacity, CapacityOutcome, Check, Comparison, Limit, Outcome, Priority, Purpose, Record, TargetResult,
    TargetVerdict, Verdict,
};

/// Offenders named in the sentence; the rest is counted.
const NAMED: usize = 3;

/// Weighs everything that was judged. The first of these decides:
///
/// 1. a failed self-check: [`Verdict::Invalid`], nothing else can be trusted;
/// 2. in a search for capacity, a rate that falls short of what was asked for, or none;
/// 3. a missed P0 or P1 target: [`Verdict::TargetsMissed`];
/// 4. a comparison that regressed: [`Verdict::Regression`];
/// 5. a P0 or P1 target, or a comparison that binds, that could not be decided: [`Verdict::Inconclusive`];
/// 6. else [`Verdict::Pass`].
///
/// Every comparison of a gate binds, and every one with a baseline. A report is about targets and large effects: of its
/// comparisons only a regression counts. An ablation asks how much and not whether: neither its comparisons nor targets
/// on a subject that lacks a feature count. Targets that nothing measured are counted in the sentence, never passed
/// silently; P2 targets never fail a run.
pub(crate) fn of(record: &Record) -> (Verdict, String) {
    let failed = failed_checks(&record.checks);
    if !failed.is_empty() {
        return (Verdict::Invalid, sentence("the run is invalid: ", &failed));
    }
    let own = record
        .comparisons
        .iter()
        .filter(|one| binds(record.purpose, one.outcome));
    let baseline = record.baseline.iter().flat_map(|baseline| &baseline.comparisons);
    let comparisons: Vec<&Comparison> = own.chain(baseline).collect();
    match (record.purpose, &record.capacity) {
        (Purpose::Ablation, _) => {
            let features = record.ablation.len();
            weigh(
                &[],
                &comparisons,
                &format!("every check holds; features switched off in turn: {features}"),
            )
        }
        (Purpose::Capacity, Some(found)) => match of_capacity(found) {
            (Verdict::Pass, holds) => weigh(&record.targets, &comparisons, &holds),
            fallen_short => fallen_short,
        },
        (Purpose::Report | Purpose::Gate | Purpose::Capacity, _) => weigh(
            &record.targets,
            &comparisons,
            &passed(&record.targets, !comparisons.is_empty()),
        ),
    }
}

/// Whether a comparison within a record counts.
fn binds(purpose: Purpose, outcome: Outcome) -> bool {
    match purpose {
        Purpose::Gate => true,
        Purpose::Report | Purpose::Capacity => outcome == Outcome::Regress,
        Purpose::Ablation => false,
    }
}

/// Targets and comparisons, in the order of [`of`]; `passed` is said where all of them hold.
fn weigh(targets: &[TargetResult], comparisons: &[&Comparison], passed: &str) -> (Verdict, String) {
    let missed = binding(targets, TargetVerdict::Fail);
    let mut open = binding(targets, TargetVerdict::Inconclusive);
    open.extend(undecided(comparisons));
    let decided = [
        (Verdict::TargetsMissed, "missed: ", missed),
        (Verdict::Regression, "slower than before: ", regressions(comparisons)),
        (Verdict::Inconclusive, "not decided: ", open),
    ];
    let first = decided.into_iter().find(|(_, _, offenders)| !offenders.is_empty());
    first.map_or_else(
        || {
            let not_slower = (!comparisons.is_empty()).then(|| not_slower(comparisons));
            let parts = [passed.to_owned(), not_slower.unwrap_or_default()];
            let said: Vec<String> = parts.into_iter().filter(|part| !part.is_empty()).collect();
            (Verdict::Pass, said.join("; "))
        },
        |(verdict, lead, names)| (verdict, sentence(lead, &names)),
    )
}

/// What a search for capacity promises against what was asked for.
fn of_capacity(found: &Capacity) -> (Verdict, String) {
    let largest = found.steps.iter().map(|step| step.rate_per_s).fold(0.0, f64::max);
    match (found.outcome, found.advertised_per_s, found.wanted_per_s) {
        (CapacityOutcome::Found, Some(holds), Some(wanted)) if holds < wanted => (
            Verdict::TargetsMissed,
            format!(
                "it holds {}/s, {}/s were asked for{}",
                figure(holds),
                figure(wanted),
                crossing(found)
            ),
        ),
        (CapacityOutcome::Found, Some(holds), _) => (
            Verdict::Pass,
            format!("it holds {}/s{}", figure(holds), crossing(found)),
        ),
        (CapacityOutcome::BeyondReach, ..) => (
            Verdict::Inconclusive,
            format!(
                "even {}/s missed no target: the limit lies beyond what was driven, start higher or use more \
                 generators",
                figure(largest)
            ),
        ),
        (CapacityOutcome::NotHeld, ..) => (
            Verdict::TargetsMissed,
            format!(
                "no rate was held for {} s: {} soaks failed, each at a lower rate{}",
                figure(found.soak_s),
                found.failed_soaks,
                crossing(found)
            ),
        ),
        (CapacityOutcome::Found | CapacityOutcome::Unfinished, ..) => {
            (Verdict::Inconclusive, "the search did not come to its end".to_owned())
        }
    }
}

/// Where the first target is just missed.
fn crossing(found: &Capacity) -> String {
    match (found.crossing_per_s, found.interval_per_s) {
        (Some(crossing), Some((low, high))) => format!(
            "; the first target is just missed at {}/s ({} to {}/s)",
            figure(crossing),
            figure(low),
            figure(high)
        ),
        _ => String::new(),
    }
}

fn undecided(comparisons: &[&Comparison]) -> Vec<String> {
    let open = |one: &&&Comparison| matches!(one.outcome, Outcome::Inconclusive | Outcome::InsufficientData);
    comparisons
        .iter()
        .filter(open)
        .map(|one| {
            let why = match (one.outcome, one.mde) {
                (Outcome::InsufficientData, _) => "too little data".to_owned(),
                (_, Some(mde)) => format!("this run could only see slowdowns above {}", percent(mde)),
                (_, None) => "too few blocks".to_owned(),
            };
            format!("{} of {}: {why}", one.family, one.endpoint)
        })
        .collect()
}

/// Passing is said with what the run could have seen.
fn not_slower(comparisons: &[&Comparison]) -> String {
    let tolerated = comparisons
        .iter()
        .filter(|one| one.outcome == Outcome::SlowerWithinTolerance)
        .count();
    let mde = comparisons.iter().filter_map(|one| one.mde).reduce(f64::max);
    let seen = mde.map_or_else(String::new, |mde| {
        format!("; slowdowns above {} would have been seen", percent(mde))
    });
    let slower = if tolerated > 0 {
        format!(
            "{tolerated} of {} comparisons slower within tolerance, none beyond",
            comparisons.len()
        )
    } else {
        format!("none of {} comparisons is slower", comparisons.len())
    };
    slower + &seen
}

fn sentence(lead: &str, offenders: &[String]) -> String {
    let named = &offenders[..offenders.len().min(NAMED)];
    let more = offenders.len() - named.len();
    let rest = if more > 0 {
        format!("; and {more} more")
    } else {
        String::new()
    };
    format!("{lead}{}{rest}", named.join("; "))
}

fn failed_checks(checks: &[Check]) -> Vec<String> {
    checks
        .iter()
        .filter(|check| !check.ok)
        .map(|check| format!("{} ({})", check.name, check.detail))
        .collect()
}

/// P0 and P1 targets with this verdict, the most important first.
fn binding(targets: &[TargetResult], verdict: TargetVerdict) -> Vec<String> {
    let mut found: Vec<&TargetResult> = targets
        .iter()
        .filter(|target| target.priority < Priority::P2 && target.verdict == verdict)
        .collect();
    found.sort_by_key(|target| target.priority);
    found.into_iter().map(describe_target).collect()
}

fn describe_target(target: &TargetResult) -> String {
    let of = target
        .endpoint
        .as_ref()
        .map_or_else(String::new, |endpoint| format!(" of {endpoint}"));
    let TargetResult {
        priority, id, metric, ..
    } = target;
    format!(
        "{priority:?} `{id}`: {metric}{of} {}",
        describe_limit(target.limit, target.observed.unwrap_or(f64::NAN))
    )
}

fn describe_limit(limit: Limit, observed: f64) -> String {
    match limit {
        Limit::Below(limit) => format!("is {}, must be below {}", figure(observed), figure(limit)),
        Limit::Above(limit) => format!("is {}, must be above {}", figure(observed), figure(limit)),
        Limit::ReducedBy(share) => format!("fell by {}, must fall by {}", percent(observed), percent(share)),
        Limit::MultipliedBy(factor) => {
            format!("is {} times before, must be {} times", figure(observed), figure(factor))
        }
    }
}

fn regressions(comparisons: &[&Comparison]) -> Vec<String> {
    let regressed = comparisons
        .iter()
        .filter(|comparison| comparison.outcome == Outcome::Regress);
    regressed
        .map(|one| {
            format!(
                "{} of {} is {} times that of {}",
                one.family,
                one.endpoint,
                figure(one.ratio),
                one.before
            )
        })
        .collect()
}

/// What is said of targets that hold; nothing where comparisons alone were asked for.
fn passed(targets: &[TargetResult], compared: bool) -> String {
    if targets.is_empty() {
        let none = "every check holds; no targets were given";
        return if compared { String::new() } else { none.to_owned() };
    }
    let count = |verdict| targets.iter().filter(|target| target.verdict == verdict).count();
    let (held, absent) = (count(TargetVerdict::Pass), count(TargetVerdict::NotMeasured));
    let open = targets.len() - held - absent;
    let sentence = if open == 0 {
        format!("all {held} measured targets hold")
    } else {
        format!(
            "{held} of {} measured targets hold, the others are nice to have (P2)",
            held + open
        )
    };
    if absent > 0 {
        format!("{sentence}; {absent} not measured")
    } else {
        sentence
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(ok: bool) -> Check {
        Check {
            name: "fsync is on".to_owned(),
            ok,
            detail: "fsync = off".to_owned(),
        }
    }

    fn target(id: &str, priority: Priority, verdict: TargetVerdict) -> TargetResult {
        TargetResult {
            id: id.to_owned(),
            priority,
            metric: "http.p95_ms".to_owned(),
            endpoint: Some("driver_details".to_owned()),
            source: String::new(),
            limit: Limit::Below(5.0),
            observed: Some(7.25),
            interval: None,
            verdict,
            detail: String::new(),
        }
    }

    fn comparison(outcome: Outcome) -> Comparison {
        Comparison {
            family: crate::record::Family::LatencyP95,
            endpoint: "all".to_owned(),
            before: "phase1".to_owned(),
            after: "phase2".to_owned(),
            blocks: 6,
            ratio: 1.2,
            ratio_low: None,
            ratio_high: None,
            p_slower: 0.01,
            p_faster: 1.0,
            mde: None,
            outcome,
        }
    }

    fn judged(purpose: Purpose, checks: &[Check], targets: &[TargetResult], comparisons: &[Comparison]) -> Record {
        Record {
            purpose,
            checks: checks.to_vec(),
            targets: targets.to_vec(),
            comparisons: comparisons.to_vec(),
            ..Record::default()
        }
    }

    fn of_report(checks: &[Check], targets: &[TargetResult], comparisons: &[Comparison]) -> (Verdict, String) {
        of(&judged(Purpose::Report, checks, targets, comparisons))
    }

    fn of_gate(checks: &[Check], targets: &[TargetResult], comparisons: &[Comparison]) -> (Verdict, String) {
        of(&judged(Purpose::Gate, checks, targets, comparisons))
    }

    use Priority::{P0, P1, P2};
    use TargetVerdict::{Fail, Inconclusive, NotMeasured, Pass};

    #[test]
    fn the_gravest_finding_decides() {
        let missed = [target("a", P1, Fail), target("b", P0, Inconclusive)];
        let undecided = [target("b", P0, Inconclusive)];
        let regressed = [comparison(Outcome::Regress)];
        let cases = [
            (of_report(&[check(false)], &missed, &regressed), Verdict::Invalid),
            (of_report(&[check(true)], &missed, &regressed), Verdict::TargetsMissed),
            (of_report(&[check(true)], &undecided, &regressed), Verdict::Regression),
            (of_report(&[check(true)], &undecided, &[]), Verdict::Inconclusive),
            (of_report(&[check(true)], &[], &[]), Verdict::Pass),
        ];
        for ((verdict, reason), expected) in cases {
            assert_eq!(verdict, expected, "{reason}");
        }
    }

    #[test]
    fn the_sentence_names_the_first_offenders() {
        let missed = [
            target("late", P1, Fail),
            target("fine", P0, Pass),
            target("first", P0, Fail),
            target("third", P1, Fail),
            target("fourth", P1, Fail),
        ];
        let (_, reason) = of_report(&[], &missed, &[]);
        assert!(
            reason.starts_with("missed: P0 `first`: http.p95_ms of driver_details is 7.25, must be below 5; P1 `late`")
        );
        assert!(reason.ends_with("; and 1 more"), "{reason}");
        assert_eq!(
            of_report(&[check(false)], &[], &[]).1,
            "the run is invalid: fsync is on (fsync = off)"
        );
        let (_, slower) = of_report(&[], &[], &[comparison(Outcome::Regress)]);
        assert_eq!(
            slower,
            "slower than before: latency_p95 of all is 1.2 times that of phase1"
        );
    }

    #[test]
    fn nice_to_have_and_unmeasured_targets_never_fail_a_run() {
        let targets = [
            target("a", P0, Pass),
            target("b", P2, Fail),
            target("c", P0, NotMeasured),
        ];
        let (verdict, reason) = of_report(&[], &targets, &[]);
        assert_eq!(verdict, Verdict::Pass);
        assert_eq!(
            reason,
            "1 of 2 measured targets hold, the others are nice to have (P2); 1 not measured"
        );
    }

    #[test]
    fn undecided_comparisons_do_not_change_the_verdict() {
        for outcome in [
            Outcome::Inconclusive,
            Outcome::InsufficientData,
            Outcome::SlowerWithinTolerance,
        ] {
            let (verdict, reason) = of_report(&[check(true)], &[target("a", P0, Pass)], &[comparison(outcome)]);
            assert_eq!(
                (verdict, reason.as_str()),
                (Verdict::Pass, "all 1 measured targets hold")
            );
        }
    }

    #[test]
    fn a_gate_that_cannot_tell_is_inconclusive() {
        let mut noisy = comparison(Outcome::Inconclusive);
        noisy.mde = Some(0.25);
        let (verdict, reason) = of_gate(&[check(true)], &[], &[comparison(Outcome::Pass), noisy.clone()]);
        assert_eq!(verdict, Verdict::Inconclusive);
        assert_eq!(
            reason,
            "not decided: latency_p95 of all: this run could only see slowdowns above 25 %"
        );
        let regressed = [comparison(Outcome::Regress), noisy];
        assert_eq!(of_gate(&[], &[], &regressed).0, Verdict::Regression);
        assert_eq!(of_gate(&[check(false)], &[], &regressed).0, Verdict::Invalid);
        assert_eq!(
            of_gate(&[], &[], &[comparison(Outcome::InsufficientData)]),
            (
                Verdict::Inconclusive,
                "not decided: latency_p95 of all: too little data".to_owned()
            )
        );
    }

    #[test]
    fn a_gate_that_passes_says_what_it_could_have_seen() {
        let mut pass = comparison(Outcome::Pass);
        pass.mde = Some(0.06);
        let (verdict, reason) = of_gate(&[], &[], &[pass.clone()]);
        assert_eq!(
            (verdict, reason.as_str()),
            (
                Verdict::Pass,
                "none of 1 comparisons is slower; slowdowns above 6 % would have been seen"
            )
        );
        let (verdict, reason) = of_gate(&[], &[], &[pass, comparison(Outcome::SlowerWithinTolerance)]);
        assert_eq!(verdict, Verdict::Pass);
        assert!(
            reason.starts_with("1 of 2 comparisons slower within tolerance, none beyond"),
            "{reason}"
        );
        let held = target("a", P0, Pass);
        assert_eq!(of_gate(&[], &[held], &[]).1, "all 1 measured targets hold");
    }

    #[test]
    fn baselines_and_own_regressions_bind_a_report() {
        let own = |outcome| judged(Purpose::Report, &[check(true)], &[], &[comparison(outcome)]);
        assert_eq!(
            of(&own(Outcome::Inconclusive)).0,
            Verdict::Pass,
            "a report is about large effects"
        );
        assert_eq!(of(&own(Outcome::Regress)).0, Verdict::Regression);
        let against = |outcome| Record {
            baseline: Some(crate::record::Baseline {
                runs: vec![],
                evidence: crate::record::BaselineEvidence::Blocks,
                limit: 1.5,
                comparisons: vec![comparison(outcome)],
                shows: String::new(),
                cannot_show: String::new(),
                notes: vec![],
            }),
            ..judged(Purpose::Report, &[check(true)], &[target("a", P0, Pass)], &[])
        };
        for (outcome, verdict) in [
            (Outcome::Pass, Verdict::Pass),
            (Outcome::InsufficientData, Verdict::Inconclusive),
            (Outcome::Regress, Verdict::Regression),
        ] {
            assert_eq!(of(&against(outcome)).0, verdict);
        }
        assert_eq!(
            of(&against(Outcome::Pass)).1,
            "all 1 measured targets hold; none of 1 comparisons is slower"
        );
    }

    fn capacity(outcome: CapacityOutcome, advertised: Option<f64>, wanted: Option<f64>) -> Capacity {
        Capacity {
            goals: vec!["fast".to_owned()],
            steps: vec![],
            outcome,
            crossing_per_s: Some(120.0),
            interval_per_s: Some((100.0, 140.0)),
            advertised_per_s: advertised,
            wanted_per_s: wanted,
            soak_s: 600.0,
            failed_soaks: 0,
            scaling: None,
        }
    }

    #[test]
    fn a_capacity_is_judged_by_what_was_asked_for() {
        use CapacityOutcome::{BeyondReach, Found, NotHeld, Unfinished};
        for (found, verdict) in [
            (capacity(Found, Some(100.0), None), Verdict::Pass),
            (capacity(Found, Some(100.0), Some(90.0)), Verdict::Pass),
            (capacity(Found, Some(100.0), Some(110.0)), Verdict::TargetsMissed),
            (capacity(NotHeld, None, None), Verdict::TargetsMissed),
            (capacity(BeyondReach, None, Some(10.0)), Verdict::Inconclusive),
            (capacity(Unfinished, None, None), Verdict::Inconclusive),
        ] {
            let of_search = |ok| {
                of(&Record {
                    capacity: Some(found.clone()),
                    ..judged(Purpose::Capacity, &[check(ok)], &[], &[])
                })
            };
            assert_eq!(of_search(true).0, verdict, "{found:?}");
            assert_eq!(of_search(false).0, Verdict::Invalid);
        }
        let (_, reason) = of_capacity(&capacity(Found, Some(100.0), Some(110.0)));
        assert_eq!(
            reason,
            "it holds 100/s, 110/s were asked for; the first target is just missed at 120/s (100 to 140/s)"
        );
    }

    #[test]
    fn a_capacity_is_bound_by_its_targets_too() {
        let found = Record {
            capacity: Some(capacity(CapacityOutcome::Found, Some(100.0), None)),
            ..judged(Purpose::Capacity, &[], &[target("a", P0, Fail)], &[])
        };
        assert_eq!(of(&found).0, Verdict::TargetsMissed);
    }

    #[test]
    fn an_ablation_has_nothing_to_miss() {
        let missed = [target("a", P0, Fail)];
        let slower = [comparison(Outcome::Regress)];
        assert_eq!(
            of(&judged(Purpose::Ablation, &[check(true)], &missed, &slower)),
            (
                Verdict::Pass,
                "every check holds; features switched off in turn: 0".to_owned()
            )
        );
        assert_eq!(
            of(&judged(Purpose::Ablation, &[check(false)], &[], &[])).0,
            Verdict::Invalid
        );
    }

    #[test]
    fn a_missed_reduction_reads_as_one() {
        let mut reduction = target("queries", P0, Fail);
        reduction.limit = Limit::ReducedBy(0.5);
        reduction.observed = Some(0.25);
        let (_, reason) = of_report(&[], &[reduction], &[]);
        assert!(reason.ends_with("fell by 25 %, must fall by 50 %"), "{reason}");
    }
}
