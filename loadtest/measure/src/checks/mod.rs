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

use std::collections::{BTreeMap, BTreeSet};

use crate::figures::percent;
use crate::record::{Check, EndpointCounts, Phase, Round};
use crate::rounds::{Rounds, measured_phase};

pub(crate) use load::{of_load, of_slices};
pub(crate) use machine::of_machine;
pub(crate) use run::{CAME_TO_ITS_END, came_to_its_end, enough_slices, of_run};
pub(crate) use samples::of_samples;

/// Largest share of errors of a subject in its measured phases. Above it, latencies describe the fast failing of a
/// broken subject.
const MAX_ERROR_RATE: f64 = 0.01;

/// Whether the record agrees with itself, each check with the figures behind it.
pub(crate) fn of_rounds(rounds: &Rounds) -> Vec<Check> {
    let times = rounds.times.clone();
    let mut checks = vec![
        check(
            "every answer has its time",
            times.map(|(histograms, answers)| format!("{answers} answers in {histograms} histograms")),
        ),
        check("the seconds add up to the measured phase", slices_add_up(rounds.all)),
        check("few errors", errors_stay_few(rounds.all)),
        check("every endpoint was measured", endpoints_were_measured(rounds.all)),
    ];
    checks.extend(generator_could_send(rounds.all));
    checks
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

fn errors_stay_few(rounds: &[Round]) -> Found {
    let rates: Vec<(String, f64)> = by_subject(rounds)
        .into_iter()
        .map(|(subject, phases)| (subject.to_owned(), error_rate(&phases)))
        .collect();
    let shown: Vec<String> = rates
        .iter()
        .map(|(subject, rate)| format!("{subject} {}", percent(*rate)))
        .collect();
    let detail = format!("{} (at most {})", shown.join(", "), percent(MAX_ERROR_RATE));
    if rates.iter().all(|(_, rate)| *rate <= MAX_ERROR_RATE) {
        Ok(detail)
    } else {
        Err(detail)
    }
}

/// Errors over everything sent; 0 of nothing, which another check calls.
fn error_rate(phases: &[&Phase]) -> f64 {
    let counts = || phases.iter().flat_map(|phase| phase.endpoints.values());
    let errors: u64 = counts().map(|counts| counts.errors).sum();
    let sent: u64 = counts().map(EndpointCounts::sent).sum();
    errors as f64 / sent.max(1) as f64
}

/// Every endpoint that any round knows has an answer from every subject.
fn endpoints_were_measured(rounds: &[Round]) -> Found {
    let subjects = by_subject(rounds);
    let known: BTreeSet<&String> = subjects
        .values()
        .flatten()
        .flat_map(|phase| phase.endpoints.keys())
        .collect();
    let answered = |phases: &[&Phase], endpoint: &String| {
        phases
            .iter()
            .any(|phase| phase.endpoints.get(endpoint).is_some_and(|counts| counts.count > 0))
    };
    let missing: Vec<String> = subjects
        .iter()
        .flat_map(|(subject, phases)| {
            known
                .iter()
                .filter(|name| !answered(phases, name))
                .map(move |name| format!("{name} by {subject}"))
        })
        .collect();
    if known.is_empty() {
        Err("no round came to its measured phase".to_owned())
    } else if missing.is_empty() {
        Ok(format!("{} endpoints, {} subjects", known.len(), subjects.len()))
    } else {
        Err(format!("never answered as expected: {}", missing.join(", ")))
    }
}

/// Measured phases of each subject; a subject whose rounds have none stands with an empty list.
fn by_subject(rounds: &[Round]) -> BTreeMap<&str, Vec<&Phase>> {
    let mut subjects: BTreeMap<&str, Vec<&Phase>> = BTreeMap::new();
    for round in rounds {
        subjects
            .entry(&round.subject)
            .or_default()
            .extend(measured_phase(round));
    }
    subjects
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
        let checks = of_rounds(&Rounds::decode(rounds).unwrap());
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
        let checks = of_rounds(&Rounds::decode(&rounds).unwrap());
        let failed: Vec<_> = checks.iter().filter(|check| !check.ok).collect();
        assert_eq!(failed.len(), 1);
        assert!(failed[0].detail.starts_with("1 requests were not sent"), "{failed:?}");
    }

    #[test]
    fn sound_rounds_pass_with_their_figures() {
        let checks = of_rounds(&Rounds::decode(&rounds()).unwrap());
        let details: Vec<_> = checks.iter().map(|check| (check.ok, check.detail.as_str())).collect();
        assert_eq!(
            details,
            [
                (true, "301 answers in 4 histograms"),
                (true, "2 rounds"),
                (true, "new 0.99 %, old 0 % (at most 1 %)"),
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
    fn errors_of_one_subject_are_not_diluted_by_the_other() {
        let mut bad = rounds();
        bad[1] = bad[1].clone().with_errors("a", 1);
        assert_fails(&bad, "few errors", "new 1.96 %, old 0 % (at most 1 %)");
    }

    #[test]
    fn an_endpoint_that_never_answered_is_named() {
        let mut bad = rounds();
        bad[1] = round(0, "new", &[("a", (1..=99).collect()), ("b", vec![])]);
        assert_fails(
            &bad,
            "every endpoint was measured",
            "never answered as expected: b by new",
        );
        bad[1].phases.clear();
        bad[1].slices.clear();
        assert_fails(
            &bad,
            "every endpoint was measured",
            "never answered as expected: a by new, b by new",
        );
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
