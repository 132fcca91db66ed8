//! Self-checks: named lines that say whether a run can be trusted at all.
//!
//! What belongs here: how the run was made and whether it came to its end ([`of_run`]), identities between what a
//! record holds ([`of_rounds`]), whether the load came as meant ([`of_load`]), whether the generator or its machine was
//! in the way ([`of_machine`]), and whether there are answers enough ([`of_samples`]). What does not: verdicts on the
//! subject.

mod load;
mod machine;
mod queue;
mod run;
mod samples;
mod worst;

use std::collections::BTreeSet;

use crate::figures::percent;
use crate::record::{ALL_ENDPOINTS, About, Check, Phase, Round};
use crate::rounds::{Measured, MeasuredRound, Rounds, measured_phase};
use crate::targets::{TargetSpec, asked_error_rate};

pub(crate) use load::{of_load, of_slices};
pub(crate) use machine::of_machine;
pub(crate) use run::{CAME_TO_ITS_END, DISTURBED_AGAIN, FOUND_ONCE, came_to_its_end, enough_slices, of_run, repeated};
pub(crate) use samples::of_samples;

/// Largest share of requests of a subject that may fail in its measured phases, over all and at each endpoint, unless a
/// target says what may.
const MAX_ERROR_RATE: f64 = 0.01;
/// Failures at one endpoint that are no chance.
const FEW: u64 = 3;

/// Whether the record agrees with itself, and whether the subject answered, each check with the figures behind it.
/// `judged` is the subject that `specs` are about.
pub(crate) fn of_rounds(rounds: &Rounds, judged: &str, specs: &[TargetSpec]) -> Vec<Check> {
    let times = rounds.times.clone();
    let measured = match has_measured(rounds) {
        Ok(()) => check("every endpoint was measured", endpoints_answered(rounds)).about(About::Subject),
        Err(why) => Check::new("every endpoint was measured", false, why),
    };
    let mut checks = vec![
        check(
            "every answer has its time",
            times.map(|(histograms, answers)| format!("{answers} answers in {histograms} histograms")),
        ),
        check("the seconds add up to the measured phase", slices_add_up(rounds.all)),
        check("few errors", errors_stay_few(rounds, judged, specs)).about(About::Subject),
        measured,
    ];
    checks.extend(generator_could_send(rounds.all));
    checks.extend(generator_kept_messages(rounds.all));
    checks.extend(generator_sent_messages(rounds.all));
    checks.extend(few_were_sent_twice(rounds.of(judged), judged));
    checks
}

/// There only where it failed. A request may be sent again where its connection ended before a byte of the answer came,
/// because an idle connection may be closed at the same moment; what happens more often is done to requests.
fn few_were_sent_twice(rounds: &[MeasuredRound], judged: &str) -> Option<Check> {
    let counted = rounds.iter().filter_map(|round| round.endpoints.get(ALL_ENDPOINTS));
    let (twice, due) = counted.fold((0, 0), |sum, one| (sum.0 + one.repeated, sum.1 + one.due()));
    let share = twice as f64 / due.max(1) as f64;
    (share > MAX_ERROR_RATE && twice >= FEW).then(|| {
        let (share, bound) = (percent(share), percent(MAX_ERROR_RATE));
        let detail = format!("{share} of the requests to {judged} lost their connection unanswered (at most {bound})");
        Check::new("connections last until the answer", false, detail).about(About::Subject)
    })
}

/// There only where it failed: requests that were never sent say nothing of the subject, however few they are.
fn generator_could_send(rounds: &[Round]) -> Option<Check> {
    let phases = rounds.iter().flat_map(|round| &round.phases);
    let counts = phases.flat_map(|phase| phase.endpoints.values());
    let unsent: u64 = counts.map(|counts| counts.failures.generator).sum();
    (unsent > 0).then(|| {
        let detail = format!("{unsent} requests were not sent: no file descriptor or no local port was left");
        Check::new("the generator could make its connections", false, detail)
    })
}

/// There only where it failed: a message that the generator had no room for would count as missed.
fn generator_kept_messages(rounds: &[Round]) -> Option<Check> {
    let streams = rounds.iter().flat_map(|round| round.streams.values());
    let topics = rounds.iter().flat_map(|round| round.topics.values());
    let to_clients: u64 = streams.map(|stream| stream.not_kept).sum();
    let of_topics: u64 = topics.map(|topic| topic.not_kept).sum();
    (to_clients + of_topics > 0).then(|| {
        let detail = format!(
            "{to_clients} messages to clients of live streams and {of_topics} records of topics found no room: measure \
             for a shorter time, or let each client watch less"
        );
        Check::new("the generator kept every message", false, detail)
    })
}

/// There only where it failed: a message that was not sent has no time, however long it would have taken.
fn generator_sent_messages(rounds: &[Round]) -> Option<Check> {
    let topics = rounds.iter().flat_map(|round| round.topics.values());
    let produced = topics.filter_map(|topic| topic.produced.as_ref());
    let not_sent: u64 = produced.map(|produced| produced.not_sent).sum();
    (not_sent > 0).then(|| {
        let detail = format!(
            "{not_sent} messages found no room in the generator's queue, or came too late to be sent: the broker takes \
             fewer than the workload produces"
        );
        Check::new("the generator sent every message", false, detail)
    })
}

/// The first fault found, or the figures of what held.
type Found = Result<String, String>;

fn check(name: &str, found: Found) -> Check {
    Check::new(name, found.is_ok(), found.unwrap_or_else(|fault| fault))
}

/// The sum of the slices = the sum over the endpoints, answers and errors.
fn slices_add_up(rounds: &[Round]) -> Found {
    for round in rounds {
        let seconds = round
            .slices
            .iter()
            .fold((0, 0), |sum, slice| (sum.0 + slice.count, sum.1 + slice.errors));
        let phase = measured_phase(round).map_or((0, 0), answers_and_errors);
        if seconds != phase {
            return Err(format!(
                "block {}, subject {}: answers and errors are {seconds:?} by second, {phase:?} by endpoint",
                round.block, round.subject
            ));
        }
    }
    Ok(format!("{} rounds", rounds.len()))
}

fn answers_and_errors(phase: &Phase) -> (u64, u64) {
    phase
        .endpoints
        .values()
        .fold((0, 0), |sum, counts| (sum.0 + counts.count, sum.1 + counts.errors))
}

/// The subject judged, over all its requests and at each endpoint; the others are shown. Where a target says how many
/// may fail over all, it decides.
fn errors_stay_few(rounds: &Rounds, judged: &str, specs: &[TargetSpec]) -> Found {
    let shares: Vec<String> = rounds
        .subjects()
        .map(|(subject, measured)| format!("{subject} {}", percent(failed_share(measured, ALL_ENDPOINTS).0)))
        .collect();
    let shown = shares.join(", ");
    if specs.iter().any(|spec| asked_error_rate(spec) == Some(ALL_ENDPOINTS)) {
        return Ok(format!("{shown} of requests failed (a target says how many may)"));
    }
    let over = rounds.of(judged).iter().flat_map(|round| round.endpoints.keys());
    let mut seen = BTreeSet::new();
    let over = over.filter_map(|name| {
        let (share, failed) = seen.insert(name).then(|| failed_share(rounds.of(judged), name))?;
        let enough = name == ALL_ENDPOINTS || failed >= FEW;
        (share > MAX_ERROR_RATE && enough).then_some((share, name))
    });
    let worst = over.max_by(|a, b| a.0.total_cmp(&b.0));
    let bound = format!("at most {} over all and at each endpoint", percent(MAX_ERROR_RATE));
    match worst {
        None => Ok(format!("{shown} of requests failed ({bound})")),
        Some((share, name)) => {
            let worst = format!("{name} of {judged} {}", percent(share));
            Err(format!("{shown} of requests failed, {worst} ({bound})"))
        }
    }
}

/// The share of an endpoint's requests that failed, and how many did; 0 of nothing, which another check calls.
fn failed_share(rounds: &[MeasuredRound], endpoint: &str) -> (f64, u64) {
    let counted = rounds.iter().filter_map(|round| round.endpoints.get(endpoint));
    let (failed, due) = counted.fold((0, 0), |sum, one| (sum.0 + one.failed(), sum.1 + one.due()));
    (failed as f64 / due.max(1) as f64, failed)
}

/// Whether any round came to its measured phase and any request was due in it.
fn has_measured(rounds: &Rounds) -> Result<(), String> {
    let mut measured = rounds.subjects().flat_map(|(_, measured)| measured).peekable();
    if measured.peek().is_none() {
        Err("no round came to its measured phase".to_owned())
    } else if measured.all(|round| round.all().due() == 0) {
        Err("no request was due".to_owned())
    } else {
        Ok(())
    }
}

/// Every endpoint that was due has an answer from every subject. One that no request was due for in a sparse load has
/// nothing to answer, and is named.
fn endpoints_answered(rounds: &Rounds) -> Found {
    let known: BTreeSet<&String> = rounds
        .subjects()
        .flat_map(|(_, measured)| measured)
        .flat_map(|round| round.endpoints.keys())
        .collect();
    let (mut silent, mut idle, mut subjects) = (Vec::new(), Vec::new(), 0);
    for (subject, measured) in rounds.subjects() {
        subjects += 1;
        for name in known.iter().filter(|name| name.as_str() != ALL_ENDPOINTS) {
            let counted = || measured.iter().filter_map(|round| round.endpoints.get(*name));
            let due: u64 = counted().map(Measured::due).sum();
            let answers: u64 = counted().map(|one| one.count).sum();
            match (due, answers) {
                (0, _) => idle.push(format!("{name} by {subject}")),
                (_, 0) => silent.push(format!("{name} by {subject}")),
                _ => {}
            }
        }
    }
    if !silent.is_empty() {
        return Err(format!("never answered as expected: {}", silent.join(", ")));
    }
    let shown = format!("{} endpoints, {subjects} subjects", known.len() - 1);
    Ok(if idle.is_empty() {
        shown
    } else {
        format!("{shown}; nothing was due for {}", idle.join(", "))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::round;

    fn rounds() -> Vec<Round> {
        vec![
            round(0, "old", &[("a", (1..=200).collect()), ("b", vec![5])]),
            round(0, "new", &[("a", (1..=99).collect()), ("b", vec![5])]).with_errors("a", 1),
        ]
    }

    fn failing(rounds: &[Round]) -> Vec<(String, String)> {
        let checks = of_rounds(&Rounds::decode(rounds).unwrap(), "new", &[]);
        assert_eq!(checks.len(), 4);
        checks
            .into_iter()
            .filter(|check| !check.ok)
            .map(|check| (check.name, check.detail))
            .collect()
    }

    #[track_caller]
    fn assert_fails(rounds: &[Round], name: &str, detail: &str) {
        assert_eq!(failing(rounds), [(name.to_owned(), detail.to_owned())]);
    }

    #[test]
    fn requests_that_were_never_sent_spoil_a_run_however_few() {
        let mut rounds = rounds();
        let counts = rounds[0].phases[0].endpoints.get_mut("a").unwrap();
        counts.failures.generator = 1;
        let checks = of_rounds(&Rounds::decode(&rounds).unwrap(), "new", &[]);
        let failed: Vec<_> = checks.iter().filter(|check| !check.ok).collect();
        assert_eq!(failed.len(), 1);
        assert!(failed[0].detail.starts_with("1 requests were not sent"), "{failed:?}");
    }

    #[test]
    fn connections_that_end_under_requests_are_the_subjects_fault() {
        for (repeated, ok) in [(1, true), (3, false)] {
            let mut rounds = rounds();
            let counts = rounds[1].phases[0].endpoints.get_mut("a").unwrap();
            counts.repeated = repeated;
            let checks = of_rounds(&Rounds::decode(&rounds).unwrap(), "new", &[]);
            let failed: Vec<_> = checks.iter().filter(|check| !check.ok).collect();
            assert_eq!(failed.is_empty(), ok, "{failed:?}");
            assert!(failed.iter().all(|check| check.about == About::Subject));
        }
    }

    #[test]
    fn sound_rounds_pass_with_their_figures() {
        let checks = of_rounds(&Rounds::decode(&rounds()).unwrap(), "new", &[]);
        let details: Vec<_> = checks.iter().map(|check| (check.ok, check.detail.as_str())).collect();
        assert_eq!(
            details,
            [
                (true, "301 answers in 4 histograms"),
                (true, "2 rounds"),
                (
                    true,
                    "new 0.99 %, old 0 % of requests failed (at most 1 % over all and at each endpoint)"
                ),
                (true, "2 endpoints, 2 subjects"),
            ]
        );
    }

    #[test]
    fn an_answer_without_a_time_is_found() {
        let mut bad = rounds();
        bad[1].phases[0].endpoints.get_mut("b").unwrap().count += 1;
        bad[1].slices[0].count += 1;
        assert_fails(
            &bad,
            "every answer has its time",
            "block 0, subject new, measure of b: 1 times for 2 answers",
        );
    }

    #[test]
    fn an_unreadable_histogram_is_found() {
        let mut bad = rounds();
        let mut warm_up = bad[0].phases[0].clone();
        warm_up.name = "warm_up".to_owned();
        warm_up.endpoints.get_mut("a").unwrap().hdr = "?".to_owned();
        bad[0].phases.insert(0, warm_up);
        let found = failing(&bad);
        assert!(
            found[0].1.starts_with("block 0, subject old, warm_up of a: not base64"),
            "{found:?}"
        );
        bad[0].phases.swap(0, 1);
        assert_eq!(failing(&bad), found);
    }

    #[test]
    fn a_second_that_lost_an_answer_is_found() {
        let mut bad = rounds();
        bad[0].slices[0].count -= 1;
        assert_fails(
            &bad,
            "the seconds add up to the measured phase",
            "block 0, subject old: answers and errors are (200, 0) by second, (201, 0) by endpoint",
        );
    }

    #[test]
    fn failures_of_the_subject_judged_are_not_diluted_by_the_other() {
        let mut bad = rounds();
        bad[1] = bad[1].clone().with_errors("a", 2);
        assert_fails(
            &bad,
            "few errors",
            "new 2.91 %, old 0 % of requests failed, a of new 2.94 % (at most 1 % over all and at each endpoint)",
        );
    }

    #[test]
    fn failures_of_one_endpoint_are_not_diluted_by_the_others() {
        let mut bad = vec![round(0, "new", &[("a", vec![1_000; 2_000]), ("b", vec![1_000; 60])]).with_errors("b", 8)];
        assert_fails(
            &bad,
            "few errors",
            "new 0.387 % of requests failed, b of new 11.8 % (at most 1 % over all and at each endpoint)",
        );
        bad[0].phases[0].endpoints.get_mut("b").unwrap().errors = 0;
        bad[0].phases[0].endpoints.get_mut("b").unwrap().censored = 8;
        bad[0].slices[0].errors = 0;
        assert_eq!(failing(&bad).len(), 1, "never answered is failed");
    }

    #[test]
    fn a_target_says_how_many_may_fail() {
        let bad = [round(0, "new", &[("a", vec![1_000; 90])]).with_errors("a", 10)];
        let may = TargetSpec {
            id: "some".to_owned(),
            priority: crate::record::Priority::P0,
            metric: "http.error_rate".to_owned(),
            endpoint: None,
            limit: crate::record::Limit::Below(0.2),
            source: String::new(),
            not_yet: None,
        };
        assert!(of_rounds(&Rounds::decode(&bad).unwrap(), "new", &[may])[2].ok);
    }

    #[test]
    fn an_endpoint_that_never_answered_is_named_and_one_that_nothing_was_due_for_is_no_fault() {
        let mut bad = rounds();
        bad[1] = round(0, "new", &[("a", (1..=400).collect()), ("b", vec![])]);
        let found = of_rounds(&Rounds::decode(&bad).unwrap(), "new", &[]).remove(3);
        assert!(
            found.ok && found.detail.ends_with("nothing was due for b by new"),
            "{found:?}"
        );
        bad[1] = bad[1].clone().with_errors("b", 2);
        assert_fails(
            &bad,
            "every endpoint was measured",
            "never answered as expected: b by new",
        );
    }

    #[test]
    fn what_the_subject_did_is_told_from_what_was_never_measured() {
        let nothing = of_rounds(&Rounds::decode(&[]).unwrap(), "new", &[]).remove(3);
        assert_eq!((nothing.ok, nothing.about), (false, About::Run));
        let silent = [round(0, "new", &[("a", vec![])]).with_errors("a", 5)];
        let silent = of_rounds(&Rounds::decode(&silent).unwrap(), "new", &[]).remove(3);
        assert_eq!((silent.ok, silent.about), (false, About::Subject));
    }

    #[test]
    fn no_rounds_at_all_are_not_sound() {
        assert_fails(
            &[],
            "every endpoint was measured",
            "no round came to its measured phase",
        );
    }
}
