//! Did the load come as it was meant to, and do its own figures agree (STATISTICS section 4)?

use super::queue::{part_of, queue};
use super::worst::{Shown, check, of_subject};
use crate::disturbance::is_generator_behind;
use crate::figures::{figure, percent, us_to_ms};
use crate::histogram::MAX_US;
use crate::limits::allowed_lateness_us;
use crate::metrics;
use crate::record::{About, Arrivals, Check, Machine, Model, Pulse, RateStretch, WorkloadId};
use crate::rounds::{MeasuredRound, Rounds};
use crate::steady;

/// Largest relative difference between figures that must agree.
const AGREE: f64 = 0.02;
/// Largest relative difference between CPU times counted twice, over windows that differ by a probe's reading.
const AGREE_CPU: f64 = 0.05;
/// Detail of a check on what older builds did not count.
const UNREAD: &str = "not counted by this record";

const LITTLE: &str = "Little's law holds on the generator's own figures";
const PAUSES: &str = "users were busy or thinking, nothing else";
const DROPPED: &str = "no arrival was dropped";
const ACCOUNTED: &str = "every arrival was sent or dropped";
const RATE: &str = "the rate was held";
const QUEUE: &str = "no queue grew";
const LATENESS: &str = "requests were sent on time";
const UTILISATION: &str = "CPU time agrees with the rate";
const STEADY: &str = "the measured phase was steady";

/// The checks of the load that `workload` describes, on `machine`.
pub(crate) fn of_load(rounds: &Rounds, workload: &WorkloadId, machine: &Machine) -> Vec<Check> {
    let rounds = rounds.in_order();
    let cores = f64::from(machine.cores);
    let mut checks = vec![
        check(LITTLE, &rounds, UNREAD, little),
        check(UTILISATION, &rounds, "the subject's CPU time was not read", |round| {
            utilisation(round, cores)
        }),
        steady_phase(&rounds, workload),
    ];
    match workload.model {
        Model::Closed => checks.push(check(PAUSES, &rounds, UNREAD, |round| {
            busy_or_thinking(round, workload)
        })),
        Model::Open => {
            let behind = |round: &MeasuredRound| is_generator_behind(round, cores);
            checks.extend(of_arrivals(&rounds, workload, cores));
            checks.push(of_subject(QUEUE, &rounds, UNREAD, behind, |round| {
                queue(round, &workload.stretches)
            }));
            checks.push(check(LATENESS, &rounds, UNREAD, lateness).about(About::Machine));
        }
    }
    checks
}

/// The checks of the arrivals of a gate. Its slices are judged one by one (`gate::lateness`), and what was in flight is
/// not kept of them. Arrivals that found no connection were kept from it by the subject: they failed.
pub(crate) fn of_slices(rounds: &Rounds, workload: &WorkloadId) -> Vec<Check> {
    let rounds = rounds.in_order();
    vec![
        check(ACCOUNTED, &rounds, UNREAD, accounted),
        check(RATE, &rounds, UNREAD, |round| rate_offered(round, workload)),
    ]
}

fn of_arrivals(rounds: &[&MeasuredRound], workload: &WorkloadId, cores: f64) -> Vec<Check> {
    let behind = |round: &MeasuredRound| is_generator_behind(round, cores);
    vec![
        of_subject(DROPPED, rounds, UNREAD, behind, dropped),
        check(ACCOUNTED, rounds, UNREAD, accounted),
        of_subject(RATE, rounds, UNREAD, behind, |round| rate_held(round, workload)),
    ]
}

/// `|N - X R| / N`, N from the time in flight and R from the histograms. Requests that cross an edge of the phase are
/// in N only in part, and in X R not at all or with all of their time: together at most the longest of them each, which
/// is what is allowed beyond 2 %. Of requests that failed only the sum of their times is known.
fn little(round: &MeasuredRound) -> Option<Shown> {
    let (flow, all, mean) = (round.phase.flow?, round.all(), round.mean_in_flight()?);
    let answers_us = all.latency.mean_us().unwrap_or(0.0) * all.latency.len() as f64;
    let explained = (answers_us + flow.error_us as f64) / (round.seconds * 1e6);
    let longest_us = flow.longest_us.max(all.latency.max_us().unwrap_or(0));
    let failed_us = flow.error_us.min(flow.at_end * MAX_US);
    let edges = ((flow.at_start + flow.at_end) * longest_us + failed_us) as f64 / flow.in_flight_us as f64;
    let (value, allowed) = ((mean - explained).abs() / mean, AGREE.max(edges));
    Some(Shown {
        value,
        allowed,
        detail: format!(
            "{} in flight on average, rate x response time gives {}: {} apart, allowed {}",
            figure(mean),
            figure(explained),
            percent(value),
            percent(allowed)
        ),
    })
}

/// `|X (R + Z) / N - 1|` with N the users and Z as drawn: time that is neither is hidden think time.
fn busy_or_thinking(round: &MeasuredRound, workload: &WorkloadId) -> Option<Shown> {
    let (flow, users) = (round.phase.flow?, workload.users?);
    let pauses = flow.pauses?;
    let user_us = f64::from(users) * round.seconds * 1e6;
    let share = (flow.in_flight_us + pauses.intended_us) as f64 / user_us;
    let value = (share - 1.0).abs();
    Some(Shown {
        value,
        allowed: AGREE,
        detail: format!(
            "requests and intended pauses fill {} of the time of {users} users, must be within {} of all; pauses took \
             {} of what was intended",
            percent(share),
            percent(AGREE),
            percent(ratio(pauses.observed_us, pauses.intended_us))
        ),
    })
}

/// 1 of nothing.
fn ratio(part: u64, whole: u64) -> f64 {
    if whole > 0 { part as f64 / whole as f64 } else { 1.0 }
}

fn arrivals<'r>(round: &'r MeasuredRound) -> Option<&'r Arrivals> {
    round.phase.arrivals.as_ref()
}

fn dropped(round: &MeasuredRound) -> Option<Shown> {
    let arrivals = arrivals(round)?;
    Some(Shown {
        value: arrivals.dropped as f64,
        allowed: 0.0,
        detail: format!("{} of {} arrivals dropped", arrivals.dropped, arrivals.intended),
    })
}

fn accounted(round: &MeasuredRound) -> Option<Shown> {
    let arrivals = arrivals(round)?;
    Some(Shown {
        value: arrivals.intended.abs_diff(arrivals.sent + arrivals.dropped) as f64,
        allowed: 0.0,
        detail: format!(
            "{} due, {} sent, {} dropped",
            arrivals.intended, arrivals.sent, arrivals.dropped
        ),
    })
}

/// `|X / lambda - 1| <= 2 % + 3 / sqrt(lambda W)`. X counts what was due in the phase and ended before the drain did.
///
/// Requests of sessions come in clusters, so that their number varies by more than a Poisson number's 1 / sqrt(lambda
/// W): it is held against those that were due, exactly.
fn rate_held(round: &MeasuredRound, workload: &WorkloadId) -> Option<Shown> {
    let (arrivals, all) = (arrivals(round)?, round.all());
    let asked = workload.rate_per_s.filter(|_| !workload.sessions);
    let due = asked.map_or(arrivals.intended as f64, |rate| rate * round.seconds);
    if due <= 0.0 {
        return None;
    }
    let ended = (all.count + all.errors) as f64;
    let (value, allowed) = ((ended / due - 1.0).abs(), AGREE + 3.0 / due.sqrt());
    Some(Shown {
        value,
        allowed,
        detail: format!(
            "{}/s ended of {}/s {}: {} apart, allowed {}",
            figure(ended / round.seconds),
            figure(due / round.seconds),
            if asked.is_some() { "intended" } else { "due" },
            percent(value),
            percent(allowed)
        ),
    })
}

/// `|X / lambda - 1| <= 2 % + 3 / sqrt(lambda W)` of what was due: the rate that the generator offered, whatever became
/// of it.
fn rate_offered(round: &MeasuredRound, workload: &WorkloadId) -> Option<Shown> {
    let (arrivals, rate) = (arrivals(round)?, workload.rate_per_s?);
    let due = rate * round.seconds;
    let value = (arrivals.intended as f64 / due - 1.0).abs();
    (due > 0.0).then(|| Shown {
        value,
        allowed: AGREE + 3.0 / due.sqrt(),
        detail: format!(
            "{}/s offered of {}/s intended",
            figure(arrivals.intended as f64 / round.seconds),
            figure(rate)
        ),
    })
}

/// 99th percentile of the send lateness against max(1 ms, 20 % of the median response time).
fn lateness(round: &MeasuredRound) -> Option<Shown> {
    let lateness = round.lateness.as_ref()?;
    let p99_us = lateness.quantile_us(0.99)?;
    let allowed_us = allowed_lateness_us(round.all().latency.quantile_us(0.5).unwrap_or(0));
    Some(Shown {
        value: p99_us as f64,
        allowed: allowed_us,
        detail: format!(
            "p99 of the send lateness {} ms, allowed {} ms; {} of {} sends late",
            figure(us_to_ms(p99_us)),
            figure(allowed_us / 1000.0),
            arrivals(round)?.late,
            lateness.len()
        ),
    })
}

/// `U = X S / cores` from the CPU time per request, against the CPU share that was read by itself.
fn utilisation(round: &MeasuredRound, cores: f64) -> Option<Shown> {
    let per_request_us = round.metric(metrics::SERVICE_CPU_US_PER_REQUEST.name())?;
    let counted = round.metric(metrics::SERVICE_CPU_PERCENT.name())? / 100.0;
    let all = round.all();
    let used = (all.count + all.errors) as f64 / round.seconds * per_request_us / 1e6 / cores;
    let apart = (used - counted).abs() / counted.max(f64::MIN_POSITIVE);
    // Above 1 nothing else matters: more than all cores cannot be used.
    let value = if used > 1.0 + AGREE_CPU { f64::INFINITY } else { apart };
    (counted > 0.0).then(|| Shown {
        value,
        allowed: AGREE_CPU,
        detail: format!(
            "rate x CPU time per request uses {} of {cores} cores, read as {}: {} apart, allowed {}",
            percent(used),
            percent(counted),
            percent(apart),
            percent(AGREE_CPU)
        ),
    })
}

/// Half of the rounds or more that never settle are not chance. Where the rate changes, each level of it is a phase of
/// its own; while it rises or falls nothing can be steady, and nothing is asked.
fn steady_phase(rounds: &[&MeasuredRound], workload: &WorkloadId) -> Check {
    let changing = !workload.stretches.is_empty();
    let levels: Vec<Option<RateStretch>> = if changing {
        let levels = workload.stretches.iter().filter(|stretch| stretch.is_level());
        levels.map(|level| Some(*level)).collect()
    } else {
        vec![None]
    };
    let judged: Vec<Check> = levels.iter().filter_map(|level| steady_level(rounds, *level)).collect();
    let Some(worst) = judged.iter().find(|level| !level.ok).or(judged.first()) else {
        let why = if changing {
            "the rate changes all the time, or its levels are too short to tell"
        } else {
            "too short to tell, or not counted by this record"
        };
        return Check::new(STEADY, true, why.to_owned()).about(About::Figures);
    };
    worst.clone().about(About::Figures)
}

/// Whether the rounds settled at one level of the rate, or over the whole phase; `None` where it is too short to tell.
fn steady_level(rounds: &[&MeasuredRound], level: Option<RateStretch>) -> Option<Check> {
    let settled = |pulse: &Pulse| match level {
        Some(level) => steady::of_pulse(&part_of(pulse, level)),
        None => steady::of_pulse(pulse),
    };
    let judged: Vec<bool> = rounds
        .iter()
        .filter_map(|round| round.phase.pulse.as_ref().and_then(settled))
        .collect();
    let unsteady = judged.iter().filter(|steady| !**steady).count();
    let whole = level.map_or_else(
        || "the phase".to_owned(),
        |level| {
            format!(
                "the {} s at {}/s",
                figure(level.to_s - level.from_s),
                figure(level.from_per_s)
            )
        },
    );
    let detail = format!(
        "{unsteady} of {} rounds had not settled by the middle of {whole} (MSER-5 of response time and requests in \
         flight)",
        judged.len()
    );
    (!judged.is_empty()).then(|| Check::new(STEADY, unsteady * 2 < judged.len().max(2), detail))
}

#[cfg(test)]
mod tests;
