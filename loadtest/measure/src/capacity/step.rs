//! What one step of a search says: which requests missed which target, and the figures of its load.

use super::search::Exceedance;
use super::usl::{self, Prediction};
use crate::figures::ms_to_us;
use crate::histogram::LatencyHistogram;
use crate::record::{CapacityStep, Check, Limit, Priority, Round, Scaling, StepKind, TargetVerdict};
use crate::rounds::{Measured, MeasuredRound, RoundError, measured};
use crate::summary::summarise;
use crate::targets::{self, Evidence, TargetSpec, asked_error_rate, asked_percentile};

/// Points within the targets that a scalability law is fitted to at least: as many as checking a prediction takes.
const MIN_SCALING_POINTS: usize = 8;

/// A target that decides how much load is too much: a percentile or the error rate, below a limit.
#[derive(Debug, Clone, PartialEq)]
pub struct Goal {
    /// Id of the target.
    pub id: String,
    /// Endpoint, or `all`.
    endpoint: String,
    /// Answers slower than this miss it, microseconds; absent where only failures do.
    limit_us: Option<u64>,
    /// The share that may miss it.
    tail: f64,
}

impl Goal {
    /// The goal that a target is. `None` for those that load does not decide (a hit ratio, a reduction), and for those
    /// that never fail a run.
    pub fn of(target: &TargetSpec) -> Option<Self> {
        let Limit::Below(limit) = target.limit else { return None };
        if target.priority >= Priority::P2 {
            return None;
        }
        let (endpoint, limit_us, tail) = match asked_percentile(target) {
            Some((_, endpoint, tail)) => (endpoint.to_owned(), Some(ms_to_us(limit)), tail),
            None => (asked_error_rate(target)?.to_owned(), None, limit),
        };
        Some(Self {
            id: target.id.clone(),
            endpoint,
            limit_us,
            tail,
        })
    }

    /// The requests of a step that missed it, by a choice of times. Whatever was not answered as expected misses it.
    fn seen(&self, counted: &Measured, times: Option<&LatencyHistogram>) -> Exceedance {
        let slow = match (self.limit_us, times) {
            (Some(limit_us), Some(times)) => times.count_above_us(limit_us),
            _ => 0,
        };
        Exceedance {
            above: slow + counted.failed(),
            of: counted.due(),
            tail: self.tail,
        }
    }
}

/// One step, measured.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    /// The goal that is missed most, or nearest to it.
    pub worst: Exceedance,
    /// The figures that the record keeps.
    pub kept: CapacityStep,
}

/// The step at `rate_per_s` that `round` was, held against `goals`; `None` where it has no measured phase, or nothing
/// was due that any goal is about.
pub fn of_round(round: &Round, goals: &[Goal], kind: StepKind, rate_per_s: f64) -> Result<Option<Step>, RoundError> {
    let rounds = measured(std::slice::from_ref(round), &round.subject)?;
    let Some(round) = rounds.first() else { return Ok(None) };
    let all = round.all();
    let seen = goals.iter().filter_map(|goal| against(goal, round));
    let Some((goal, worst, by_service)) = seen.max_by(|a, b| a.1.excess().total_cmp(&b.1.excess())) else {
        return Ok(None);
    };
    Ok(Some(Step {
        worst,
        kept: CapacityStep {
            kind,
            rate_per_s,
            goal: goal.id.clone(),
            above: worst.above,
            of: worst.of,
            allowed: worst.tail,
            above_by_service: by_service.above,
            p50_ms: all.latency.quantile_ms(0.5),
            p95_ms: all.latency.quantile_ms(0.95),
            achieved_per_s: (all.count + all.errors) as f64 / round.seconds.max(f64::MIN_POSITIVE),
            in_flight: round.mean_in_flight().unwrap_or(0.0),
            dropped: all.dropped,
            lateness_p99_ms: round.lateness.as_ref().and_then(|lateness| lateness.quantile_ms(0.99)),
            hdr: all.latency.encode(),
        },
    }))
}

/// By response time, and by service time.
fn against<'g>(goal: &'g Goal, round: &MeasuredRound) -> Option<(&'g Goal, Exceedance, Exceedance)> {
    let counted = round.endpoints.get(&goal.endpoint)?;
    let response = goal.seen(counted, Some(&counted.latency));
    let service = goal.seen(counted, counted.service.as_ref());
    (response.of > 0).then_some((goal, response, service))
}

/// Whether every one of `targets` held over the rounds of a soak, each a cluster of the intervals.
///
/// # Errors
/// A histogram that cannot be read.
pub fn holds(soak: &[Round], subject: &str, targets: &[TargetSpec]) -> Result<bool, RoundError> {
    let rounds = measured(soak, subject)?;
    let evidence = Evidence {
        summary: &summarise(&rounds),
        before: None,
        after: &rounds,
        disturbance: None,
    };
    let results = targets::results(targets, evidence);
    Ok(results.iter().all(|target| target.verdict == TargetVerdict::Pass))
}

/// Whether more requests missed the goal than may.
pub fn misses(step: &CapacityStep) -> bool {
    step.above as f64 > step.allowed * step.of as f64
}

/// Whether the generator, not the subject, was why a step missed its goal: by the times of what was really sent, it
/// held.
pub fn is_of_generator(step: &CapacityStep) -> bool {
    misses(step) && step.above_by_service as f64 <= step.allowed * step.of as f64
}

/// The name of the check that the search found the subject's limit and not the generator's.
const WHOSE_LIMIT: &str = "the limit is the subject's, not the generator's";

/// Half of the steps beyond the limit or more that were the generator's are not chance.
pub fn whose_limit(steps: &[CapacityStep]) -> Check {
    let beyond = steps.iter().filter(|step| misses(step)).count();
    let own = steps.iter().filter(|step| is_of_generator(step)).count();
    let detail = format!(
        "{own} of {beyond} steps beyond the limit held by the times of what was really sent: those were late in the \
         generator"
    );
    Check::new(WHOSE_LIMIT, own * 2 < beyond.max(1), detail)
}

/// The scalability law through the steps that held their goal, in which on average one request or more was in flight.
pub fn scaling(steps: &[CapacityStep]) -> Option<Scaling> {
    let held = |step: &&CapacityStep| !misses(step) && step.in_flight >= 1.0;
    let points: Vec<(f64, f64)> = steps
        .iter()
        .filter(held)
        .map(|step| (step.in_flight, step.achieved_per_s))
        .collect();
    if points.len() < MIN_SCALING_POINTS {
        return None;
    }
    let law = usl::fit(&points)?;
    let peak_n = Some(law.peak_n()).filter(|n| n.is_finite());
    let supported = peak_n.and_then(|n| {
        let Prediction { value, interval } = law.predict(n)?;
        Some((n, (value, interval.0, interval.1)))
    });
    Some(Scaling {
        lambda: law.lambda,
        sigma: law.sigma,
        kappa: law.kappa,
        largest_n: law.largest_n,
        peak_n: supported.map(|(n, _)| n),
        peak_per_s: supported.map(|(_, throughput)| throughput),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Arrivals;
    use crate::testing::{histogram_of, round};

    fn target(metric: &str, endpoint: &str, limit: Limit) -> TargetSpec {
        TargetSpec {
            id: format!("{metric} of {endpoint}"),
            priority: Priority::P0,
            metric: metric.to_owned(),
            endpoint: Some(endpoint.to_owned()),
            limit,
            source: "a test".to_owned(),
            not_yet: None,
        }
    }

    fn goals() -> Vec<Goal> {
        let targets = [
            target("http.p95_ms", "a", Limit::Below(5.0)),
            target("http.p99_ms", "all", Limit::Below(50.0)),
            target("http.error_rate", "all", Limit::Below(0.01)),
        ];
        targets.iter().filter_map(Goal::of).collect()
    }

    fn step(round: &Round) -> Step {
        of_round(round, &goals(), StepKind::Round, 100.0).unwrap().unwrap()
    }

    #[test]
    fn goals_are_what_load_decides() {
        assert_eq!(goals().len(), 3);
        let p2 = TargetSpec {
            priority: Priority::P2,
            ..target("http.p95_ms", "a", Limit::Below(5.0))
        };
        let others = [
            p2,
            target("http.p95_ms", "a", Limit::ReducedBy(0.5)),
            target("cache.hit_ratio", "a", Limit::Below(0.5)),
        ];
        assert!(others.iter().all(|target| Goal::of(target).is_none()));
    }

    #[test]
    fn the_goal_that_is_missed_most_decides() {
        let slow: Vec<u64> = (0..100).map(|i| if i < 10 { 9_000 } else { 1_000 }).collect();
        let found = step(&round(0, "s", &[("a", slow), ("b", vec![1_000; 900])]));
        assert_eq!(
            (
                found.kept.goal.as_str(),
                found.worst.above,
                found.worst.of,
                found.worst.exceeds()
            ),
            ("http.p95_ms of a", 10, 100, true)
        );
        let failing = round(0, "s", &[("a", vec![1_000; 100]), ("b", vec![1_000; 900])]).with_errors("b", 50);
        let found = step(&failing);
        assert_eq!(
            (found.kept.goal.as_str(), found.worst.above, found.worst.of),
            ("http.error_rate of all", 50, 1_050)
        );
    }

    #[test]
    fn what_was_dropped_misses_every_goal() {
        let mut busy = round(0, "s", &[("a", vec![1_000; 100]), ("b", vec![1_000; 300])]);
        busy.phases[0].arrivals = Some(Arrivals {
            intended: 500,
            sent: 400,
            late: 0,
            dropped: 100,
            lateness_hdr: histogram_of(vec![40; 400]).encode(),
        });
        let of_a = Goal::of(&target("http.p95_ms", "a", Limit::Below(5.0))).unwrap();
        let found = of_round(&busy, &[of_a], StepKind::Doubling, 50.0).unwrap().unwrap();
        assert_eq!((found.worst.above, found.worst.of, found.kept.dropped), (25, 125, 100));
        assert!(found.kept.lateness_p99_ms.unwrap() < 0.1);
    }

    /// One request in twenty is never answered, and all answers are quick.
    #[test]
    fn a_soak_that_was_not_answered_was_not_held() {
        let targets = [target("http.p95_ms", "a", Limit::Below(5.0))];
        let soak = |censored: u64| -> Vec<Round> {
            let part = |block| {
                let mut one = round(block, "s", &[("a", vec![1_000; 2_000])]);
                one.phases[0].endpoints.get_mut("a").unwrap().censored = censored;
                one
            };
            (0..5).map(part).collect()
        };
        assert!(holds(&soak(0), "s", &targets).unwrap());
        assert!(!holds(&soak(200), "s", &targets).unwrap());
        assert!(step(&soak(200)[0]).worst.exceeds());
    }

    #[test]
    fn late_sends_are_told_from_a_slow_subject() {
        let mut late = round(0, "s", &[("a", vec![9_000; 100])]);
        late.phases[0].endpoints.get_mut("a").unwrap().service_hdr = Some(histogram_of(vec![1_000; 100]).encode());
        assert!(is_of_generator(&step(&late).kept));
        late.phases[0].endpoints.get_mut("a").unwrap().service_hdr = Some(histogram_of(vec![8_000; 100]).encode());
        assert!(!is_of_generator(&step(&late).kept));
    }

    #[test]
    fn a_step_in_which_nothing_was_due_says_nothing() {
        let idle = round(0, "s", &[("a", vec![])]);
        assert_eq!(of_round(&idle, &goals(), StepKind::Doubling, 1.0).unwrap(), None);
    }

    #[test]
    fn the_law_is_fitted_to_what_held() {
        let held = |n: u32| {
            let n = f64::from(n);
            let mut kept = step(&round(0, "s", &[("a", vec![1_000; 100])])).kept;
            kept.in_flight = n;
            kept.achieved_per_s = 100.0 * n / (1.0 + 0.05 * (n - 1.0) + 0.002 * n * (n - 1.0));
            kept
        };
        let mut steps: Vec<CapacityStep> = (1..=16).map(held).collect();
        steps.push(CapacityStep {
            above: 90,
            in_flight: 400.0,
            ..held(1)
        });
        let law = scaling(&steps).unwrap();
        assert!(
            (law.sigma - 0.05).abs() < 1e-6 && (law.kappa - 0.002).abs() < 1e-7,
            "{law:?}"
        );
        assert!((law.largest_n - 16.0).abs() < 1e-9 && law.peak_n.is_some());
        assert_eq!(scaling(&steps[..7]), None);
    }
}
