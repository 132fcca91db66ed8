//! The verdict on a record: which exit code it ends with, and one sentence saying why.
//!
//! What belongs here: the order of importance. What does not: the parts that it weighs (`checks`, `targets`, `compare`,
//! `gate`, `baseline`, `capacity`), and the verdict on a run that was stopped (`judge`).

use std::collections::BTreeSet;

use crate::checks::DISTURBED_AGAIN;
use crate::figures::{figure, percent};
use crate::gate::promise;
use crate::limits::{MIN_BLOCKS, TOLERANCE};
use crate::record::{
    ALL_ENDPOINTS, About, Capacity, CapacityOutcome, Check, Comparison, GateDecision, Limit, Outcome, Priority,
    Purpose, Record, TargetResult, TargetVerdict, Verdict, endpoint_title,
};

/// Offenders named in the sentence; the rest is counted.
const NAMED: usize = 3;

/// Weighs everything that was judged. Whose fault it is decides; the first of these does:
///
/// 1. a failed self-check of the generator, the stack or the record ([`About::Run`]): [`Verdict::Invalid`], nothing
///    else can be trusted;
/// 2. in a search for capacity, a rate that falls short of what was asked for, or none;
/// 3. a missed P0 or P1 target, or a subject measured alone that did not cope ([`About::Subject`]):
///    [`Verdict::TargetsMissed`];
/// 4. a comparison that regressed: [`Verdict::Regression`];
/// 5. a P0 or P1 target that may not hold because the machine was disturbed: [`Verdict::Invalid`];
/// 6. a P0 or P1 target that could not be decided or was not measured, a comparison that binds and was not decided,
///    figures that say too little ([`About::Figures`]): [`Verdict::Inconclusive`];
/// 7. else [`Verdict::Pass`], or [`Verdict::Measured`] where nothing was asked.
///
/// Every comparison binds, of a gate, of a report and with a baseline; but in a report an endpoint with too few
/// requests is only named, as long as the whole mix is decided. An ablation asks how much and not whether: neither its
/// comparisons nor targets on a subject that lacks a feature count. P2 targets never fail a run, and no run passes on
/// targets of which none was measured.
pub(crate) fn of(record: &Record) -> (Verdict, String) {
    let failed = failed_checks(&record.checks, About::Run);
    if !failed.is_empty() {
        return (Verdict::Invalid, sentence("the run is invalid: ", &failed));
    }
    if record.purpose == Purpose::Ablation {
        return (
            Verdict::Measured,
            format!(
                "every check holds; features switched off in turn: {}",
                record.ablation.len()
            ),
        );
    }
    if let (Purpose::Capacity, Some(found)) = (record.purpose, &record.capacity) {
        return match of_capacity(found) {
            (Verdict::Pass, holds) => weigh(record, &holds),
            fallen_short => fallen_short,
        };
    }
    weigh(record, "")
}

/// Everything but the checks that make a run invalid, in the order of [`of`]; `held` is said first where all of it
/// holds.
fn weigh(record: &Record, held: &str) -> (Verdict, String) {
    let baseline = record.baseline.iter().flat_map(|baseline| &baseline.comparisons);
    let comparisons: Vec<&Comparison> = record.comparisons.iter().chain(baseline).collect();
    let subject = failed_checks(&record.checks, About::Subject);
    let (alone, beside) = if record.subjects.len() > 1 {
        (Vec::new(), subject)
    } else {
        (subject, Vec::new())
    };
    let decided = [
        (Verdict::TargetsMissed, "missed: ", missed(&record.targets)),
        (Verdict::TargetsMissed, "the subject did not cope: ", alone),
        (Verdict::Regression, "slower than before: ", regressions(&comparisons)),
        (
            Verdict::Invalid,
            "the machine was disturbed, and the verdict hangs on it: ",
            hanging(record),
        ),
        (Verdict::Inconclusive, "not decided: ", open(record, beside)),
    ];
    if let Some((verdict, lead, names)) = decided.into_iter().find(|(_, _, offenders)| !offenders.is_empty()) {
        return (verdict, sentence(lead, &names));
    }
    let asked = !record.targets.is_empty() || !comparisons.is_empty() || !held.is_empty();
    if !asked {
        return (
            Verdict::Measured,
            "every check holds; nothing was asked: no targets were given".to_owned(),
        );
    }
    let parts = [
        held.to_owned(),
        passed(&record.targets),
        not_slower(&comparisons, record.gate.as_ref()),
        too_few(&comparisons),
        disturbed(&record.checks),
    ];
    let said: Vec<String> = parts.into_iter().filter(|part| !part.is_empty()).collect();
    (Verdict::Pass, said.join("; "))
}

/// P0 and P1 targets that are missed, and by more than a disturbance explains.
fn missed(targets: &[TargetResult]) -> Vec<String> {
    binding(targets, |target| target.verdict == TargetVerdict::Fail && !target.hangs)
}

/// P0 and P1 targets that a disturbance of the machine keeps from being decided, with the disturbances.
fn hanging(record: &Record) -> Vec<String> {
    let mut found = binding(&record.targets, |target| target.hangs);
    if !found.is_empty() {
        found.extend(failed_checks(&record.checks, About::Machine));
    }
    found
}

/// What could not be decided.
fn open(record: &Record, beside: Vec<String>) -> Vec<String> {
    let targets = &record.targets;
    let mut open = binding(targets, |target| target.verdict == TargetVerdict::Inconclusive);
    open.extend(unmeasured(targets));
    let baseline = record.baseline.iter().flat_map(|baseline| &baseline.comparisons);
    open.extend(undecided(&record.comparisons, |one| is_only_named(record, one)));
    open.extend(undecided(baseline, |_| false));
    open.extend(beside);
    open.extend(failed_checks(&record.checks, About::Figures));
    open
}

/// P0 and P1 targets without a figure, unless their file says why they have none yet; and where no target of any
/// priority has one, that.
fn unmeasured(targets: &[TargetResult]) -> Vec<String> {
    let absent = |target: &&TargetResult| target.verdict == TargetVerdict::NotMeasured;
    let found: Vec<String> = targets
        .iter()
        .filter(absent)
        .filter(|target| target.priority < Priority::P2 && target.not_yet.is_none())
        .map(|target| {
            format!(
                "{:?} `{}` was not measured: {}",
                target.priority, target.id, target.detail
            )
        })
        .collect();
    if found.is_empty() && !targets.is_empty() && targets.iter().all(|target| absent(&target)) {
        return vec![format!("none of {} targets was measured", targets.len())];
    }
    found
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

fn undecided<'c>(
    comparisons: impl IntoIterator<Item = &'c Comparison>,
    is_only_named: impl Fn(&Comparison) -> bool,
) -> Vec<String> {
    let is_open = |one: &&Comparison| match one.outcome {
        Outcome::Inconclusive => true,
        Outcome::InsufficientData => !is_only_named(one),
        _ => false,
    };
    comparisons
        .into_iter()
        .filter(is_open)
        .map(|one| {
            let why = match (one.outcome, one.mde) {
                (Outcome::InsufficientData, _) if (one.blocks as usize) < MIN_BLOCKS => {
                    format!("{} blocks with data are too few, {MIN_BLOCKS} are needed", one.blocks)
                }
                (Outcome::InsufficientData, _) => "too little data".to_owned(),
                (_, Some(mde)) => {
                    let change = if one.family.is_share() { "rises" } else { "slowdowns" };
                    format!("this run could only see {change} above {}", percent(mde))
                }
                (_, None) => "too few blocks".to_owned(),
            };
            format!("{}: {why}", compared(one))
        })
        .collect()
}

/// An endpoint of a report that too few requests ask for, in some blocks perhaps none: the whole mix, which it is part
/// of, is decided by itself. Where the run has too few blocks, nothing is.
fn is_only_named(record: &Record, one: &Comparison) -> bool {
    let is_whole = |other: &Comparison| other.endpoint == ALL_ENDPOINTS && other.blocks as usize >= MIN_BLOCKS;
    record.purpose != Purpose::Gate && one.endpoint != ALL_ENDPOINTS && record.comparisons.iter().any(is_whole)
}

/// What a pass says of the machine, where it was not left alone.
fn disturbed(checks: &[Check]) -> String {
    let of_machine = || checks.iter().filter(|check| check.about == About::Machine);
    let failed: Vec<&str> = of_machine()
        .filter(|check| !check.ok)
        .map(|check| check.name.as_str())
        .collect();
    let repeated = of_machine().find(|check| check.ok && check.name == DISTURBED_AGAIN);
    match (failed.as_slice(), repeated) {
        ([], None) => String::new(),
        ([], Some(check)) => format!("{}: {}", check.name, check.detail),
        (failed, _) => format!(
            "in spite of a disturbed machine, of which these failed: {}",
            failed.join(", ")
        ),
    }
}

fn too_few(comparisons: &[&Comparison]) -> String {
    let rare = comparisons
        .iter()
        .filter(|one| one.outcome == Outcome::InsufficientData);
    let names: BTreeSet<&str> = rare.map(|one| one.endpoint.as_str()).collect();
    if names.is_empty() {
        return String::new();
    }
    let names: Vec<&str> = names.into_iter().collect();
    format!("too few requests to compare: {}", names.join(", "))
}

/// Passing is said with what the run could have seen.
fn not_slower(comparisons: &[&Comparison], gate: Option<&GateDecision>) -> String {
    if comparisons.is_empty() {
        return String::new();
    }
    let tolerated = comparisons
        .iter()
        .filter(|one| one.outcome == Outcome::SlowerWithinTolerance)
        .count();
    let decided = comparisons
        .iter()
        .filter(|one| one.outcome != Outcome::InsufficientData && !one.family.is_share());
    let mde = decided.filter_map(|one| one.mde).reduce(f64::max);
    let seen = gate.and_then(promise).or_else(|| {
        // Whatever is seen below the tolerance is tolerated.
        let seen = mde?.max(TOLERANCE - 1.0);
        Some(format!("slowdowns above {} would have been seen", percent(seen)))
    });
    let seen = seen.map_or_else(String::new, |seen| format!("; {seen}"));
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

fn failed_checks(checks: &[Check], about: About) -> Vec<String> {
    checks
        .iter()
        .filter(|check| !check.ok && check.about == about)
        .map(|check| format!("{} ({})", check.name, check.detail))
        .collect()
}

/// P0 and P1 targets of which something holds, the most important first.
fn binding(targets: &[TargetResult], holds: impl Fn(&TargetResult) -> bool) -> Vec<String> {
    let mut found: Vec<&TargetResult> = targets
        .iter()
        .filter(|target| target.priority < Priority::P2 && holds(target))
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
            if one.family.is_share() {
                return format!("{} is higher than that of {}", compared(one), one.before);
            }
            format!(
                "{} is {} times that of {}",
                compared(one),
                figure(one.ratio),
                one.before
            )
        })
        .collect()
}

/// Family and endpoint of a comparison, as tables name them.
fn compared(one: &Comparison) -> String {
    format!("{} of {}", one.family.title(), endpoint_title(&one.endpoint))
}

/// What is said of targets that hold; nothing where none were given.
fn passed(targets: &[TargetResult]) -> String {
    if targets.is_empty() {
        return String::new();
    }
    let count = |holds: fn(&TargetResult) -> bool| targets.iter().filter(|target| holds(target)).count();
    let held = count(|target| target.verdict == TargetVerdict::Pass);
    let absent = count(|target| target.verdict == TargetVerdict::NotMeasured);
    let not_yet = count(|target| target.verdict == TargetVerdict::NotMeasured && target.not_yet.is_some());
    let open = targets.len() - held - absent;
    let sentence = if open == 0 {
        format!("all {held} measured targets hold")
    } else {
        format!(
            "{held} of {} measured targets hold, the others are nice to have (P2)",
            held + open
        )
    };
    match (absent - not_yet, not_yet) {
        (0, 0) => sentence,
        (0, not_yet) => format!("{sentence}; {not_yet} not yet measured"),
        (absent, 0) => format!("{sentence}; {absent} not measured"),
        (absent, not_yet) => format!("{sentence}; {absent} not measured, and {not_yet} not yet"),
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
            ..Check::default()
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
            not_yet: None,
            verdict,
            hangs: false,
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
            (of_report(&[check(true)], &[target("a", P0, Pass)], &[]), Verdict::Pass),
            (of_report(&[check(true)], &[], &[]), Verdict::Measured),
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
            "slower than before: p95 latency of all requests is 1.2 times that of phase1"
        );
    }

    #[test]
    fn nice_to_have_targets_never_fail_a_run() {
        let targets = [
            target("a", P0, Pass),
            target("b", P2, Fail),
            target("c", P2, NotMeasured),
        ];
        let (verdict, reason) = of_report(&[], &targets, &[]);
        assert_eq!(verdict, Verdict::Pass);
        assert_eq!(
            reason,
            "1 of 2 measured targets hold, the others are nice to have (P2); 1 not measured"
        );
    }

    #[test]
    fn what_was_not_measured_is_not_passed() {
        for priority in [P0, P1] {
            let targets = [target("a", P0, Pass), target("b", priority, NotMeasured)];
            let (verdict, reason) = of_report(&[], &targets, &[]);
            assert_eq!(verdict, Verdict::Inconclusive);
            assert!(reason.contains("`b` was not measured"), "{reason}");
        }
        let (verdict, reason) = of_report(&[], &[target("a", P2, NotMeasured)], &[]);
        assert_eq!(
            (verdict, reason.as_str()),
            (Verdict::Inconclusive, "not decided: none of 1 targets was measured")
        );
    }

    #[test]
    fn a_target_may_say_why_it_is_not_measured_yet() {
        let later = |id| TargetResult {
            not_yet: Some("no probe".to_owned()),
            ..target(id, P0, NotMeasured)
        };
        let (verdict, reason) = of_report(&[], &[target("a", P0, Pass), later("b"), later("c")], &[]);
        assert_eq!(
            (verdict, reason.as_str()),
            (Verdict::Pass, "all 1 measured targets hold; 2 not yet measured")
        );
        assert_eq!(of_report(&[], &[later("b")], &[]).0, Verdict::Inconclusive);
    }

    #[test]
    fn a_comparison_that_could_not_decide_does_not_pass() {
        for (outcome, blocks, verdict) in [
            (Outcome::Inconclusive, 6, Verdict::Inconclusive),
            (Outcome::InsufficientData, 3, Verdict::Inconclusive),
            (Outcome::SlowerWithinTolerance, 6, Verdict::Pass),
        ] {
            let one = Comparison {
                blocks,
                ..comparison(outcome)
            };
            let (found, reason) = of_report(&[check(true)], &[target("a", P0, Pass)], &[one]);
            assert_eq!(found, verdict, "{reason}");
        }
        let rare = Comparison {
            endpoint: "rare".to_owned(),
            ..comparison(Outcome::InsufficientData)
        };
        let (verdict, reason) = of_report(&[], &[], &[comparison(Outcome::Pass), rare.clone()]);
        assert_eq!(verdict, Verdict::Pass);
        assert!(reason.ends_with("too few requests to compare: rare"), "{reason}");
        let in_some_blocks = Comparison {
            blocks: 2,
            ..rare.clone()
        };
        assert_eq!(
            of_report(&[], &[], &[comparison(Outcome::Pass), in_some_blocks.clone()]).0,
            Verdict::Pass
        );
        let few_blocks = Comparison {
            blocks: 3,
            ..comparison(Outcome::Pass)
        };
        assert_eq!(
            of_report(&[], &[], &[few_blocks, in_some_blocks]).0,
            Verdict::Inconclusive
        );
        assert_eq!(of_gate(&[], &[], &[rare]).0, Verdict::Inconclusive);
    }

    #[test]
    fn whose_fault_it_is_decides() {
        let failed = |about| Check { about, ..check(false) };
        let held = [target("a", P0, Pass)];
        let one = |about| of_report(&[failed(about)], &held, &[]).0;
        assert_eq!(one(About::Run), Verdict::Invalid);
        assert_eq!(one(About::Subject), Verdict::TargetsMissed);
        assert_eq!(one(About::Figures), Verdict::Inconclusive);
        assert_eq!(one(About::Machine), Verdict::Pass, "it only lengthens times");
        let two = |outcome| {
            let mut record = judged(Purpose::Report, &[failed(About::Subject)], &[], &[comparison(outcome)]);
            record.subjects = ["a", "b"].map(crate::testing::subject).into();
            of(&record).0
        };
        assert_eq!(two(Outcome::Regress), Verdict::Regression);
        assert_eq!(two(Outcome::Pass), Verdict::Inconclusive);
    }

    #[test]
    fn a_miss_that_a_disturbance_explains_makes_the_run_invalid_and_another_does_not() {
        let hangs = TargetResult {
            hangs: true,
            ..target("a", P0, Fail)
        };
        let noisy = Check {
            about: About::Machine,
            ..check(false)
        };
        let (verdict, reason) = of_report(std::slice::from_ref(&noisy), std::slice::from_ref(&hangs), &[]);
        assert_eq!(verdict, Verdict::Invalid);
        assert!(reason.contains("`a`") && reason.contains("fsync"), "{reason}");
        let clear = [hangs, target("b", P1, Fail)];
        assert_eq!(of_report(&[noisy], &clear, &[]).0, Verdict::TargetsMissed);
    }

    #[test]
    fn a_gate_that_cannot_tell_is_inconclusive() {
        let mut noisy = comparison(Outcome::Inconclusive);
        noisy.mde = Some(0.25);
        let (verdict, reason) = of_gate(&[check(true)], &[], &[comparison(Outcome::Pass), noisy.clone()]);
        assert_eq!(verdict, Verdict::Inconclusive);
        assert_eq!(
            reason,
            "not decided: p95 latency of all requests: this run could only see slowdowns above 25 %"
        );
        let regressed = [comparison(Outcome::Regress), noisy];
        assert_eq!(of_gate(&[], &[], &regressed).0, Verdict::Regression);
        assert_eq!(of_gate(&[check(false)], &[], &regressed).0, Verdict::Invalid);
        assert_eq!(
            of_gate(&[], &[], &[comparison(Outcome::InsufficientData)]),
            (
                Verdict::Inconclusive,
                "not decided: p95 latency of all requests: too little data".to_owned()
            )
        );
    }

    #[test]
    fn a_gate_that_passes_promises_what_would_have_failed() {
        let mut record = judged(Purpose::Gate, &[], &[], &[comparison(Outcome::Pass)]);
        let family = |family, would_fail| crate::record::FamilyVerdict {
            family,
            outcome: Outcome::Pass,
            mde: Some(0.01),
            would_fail: Some(would_fail),
            detail: String::new(),
        };
        record.gate = Some(crate::record::GateDecision {
            families: vec![
                family(crate::record::Family::LatencyP95, 0.066),
                family(crate::record::Family::TailShare, 0.0012),
            ],
            ..Default::default()
        });
        assert_eq!(
            of(&record).1,
            "none of 1 comparisons is slower; a rise of any of these would have failed: p95 latency by 6.6 % at one \
             endpoint, share of very slow requests by 0.12 points at one endpoint"
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
        assert_eq!(of(&own(Outcome::Inconclusive)).0, Verdict::Inconclusive);
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
                Verdict::Measured,
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
