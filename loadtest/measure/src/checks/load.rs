//! Did the load come as it was meant to, and do its own figures agree (STATISTICS section 4)?

use super::queue::{clip, queue, steps_of};
use super::worst::{Shown, all_measured, check, held};
use crate::figures::{figure, percent, us_to_ms};
use crate::histogram::LatencyHistogram;
use crate::metrics;
use crate::record::{ALL_ENDPOINTS, Arrivals, Check, Flow, Machine, Model, Pulse, RateStretch, Round, WorkloadId};
use crate::rounds::{Measured, MeasuredRound, RoundError};
use crate::steady;

/// Largest relative difference between figures that must agree.
const AGREE: f64 = 0.02;
/// The same for CPU time counted twice, over windows that differ by a probe's reading.
const AGREE_CPU: f64 = 0.05;
/// A send may be later than this only where it is a small part of what is measured, microseconds.
const LATENESS_FLOOR_US: f64 = 1_000.0;
/// That part: of the median response time.
const LATENESS_SHARE: f64 = 0.2;

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
pub fn of_load(rounds: &[Round], workload: &WorkloadId, machine: &Machine) -> Result<Vec<Check>, RoundError> {
    let rounds = all_measured(rounds)?;
    let unread = "not counted by this record";
    let cores = f64::from(machine.cores);
    let mut checks = vec![
        check(LITTLE, &rounds, unread, little),
        check(UTILISATION, &rounds, "the subject's CPU time was not read", |round| {
            utilisation(round, cores)
        }),
        steady_phase(&rounds, workload),
    ];
    checks.extend(match workload.model {
        Model::Closed => vec![check(PAUSES, &rounds, unread, |round| {
            busy_or_thinking(round, workload)
        })],
        Model::Open => of_arrivals(&rounds, workload, unread),
    });
    Ok(checks)
}

/// The checks of the arrivals of a gate. Its slices judge the generator one by one (`gate::differences`), and what was in
/// flight is not kept of them.
pub fn of_slices(rounds: &[Round], workload: &WorkloadId) -> Result<Vec<Check>, RoundError> {
    let rounds = all_measured(rounds)?;
    let unread = "not counted by this record";
    Ok(vec![
        check(DROPPED, &rounds, unread, dropped),
        check(ACCOUNTED, &rounds, unread, accounted),
        check(RATE, &rounds, unread, |round| rate_held(round, workload)),
    ])
}

fn of_arrivals(rounds: &[MeasuredRound], workload: &WorkloadId, unread: &str) -> Vec<Check> {
    vec![
        check(DROPPED, rounds, unread, dropped),
        check(ACCOUNTED, rounds, unread, accounted),
        check(RATE, rounds, unread, |round| rate_held(round, workload)),
        check(QUEUE, rounds, unread, |round| queue(round, &workload.stretches)),
        check(LATENESS, rounds, unread, lateness),
    ]
}

fn all<'r>(round: &'r MeasuredRound) -> Option<&'r Measured> {
    round.endpoints.get(ALL_ENDPOINTS)
}

/// Mean number in flight over the measured phase; `None` where nothing was.
pub(super) fn mean_in_flight(round: &MeasuredRound, flow: Flow) -> Option<f64> {
    let mean = flow.in_flight_us as f64 / (round.seconds * 1e6);
    (mean > 0.0 && mean.is_finite()).then_some(mean)
}

/// `|N - X R| / N`, N from the time in flight and R from the histograms. Requests that cross an edge of the phase are in
/// N only in part and not at all in X R: together at most the longest of them each, which is what is allowed beyond 2 %.
fn little(round: &MeasuredRound) -> Option<Shown> {
    let (flow, all) = (round.phase.flow?, all(round)?);
    let mean = mean_in_flight(round, flow)?;
    let answers_us = all.latency.mean_us().unwrap_or(0.0) * all.latency.len() as f64;
    let explained = (answers_us + flow.error_us as f64) / (round.seconds * 1e6);
    let edges = ((flow.at_start + flow.at_end) * flow.longest_us) as f64 / flow.in_flight_us as f64;
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
            "requests and intended pauses fill {} of the time of {users} users, must be within {} of all; pauses took {} \
             of what was intended",
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

/// `|X / lambda - 1| <= 2 % + 3 / sqrt(lambda W)`. X is what ended within the phase, begun in it or before: where an answer takes a
/// good part of the phase, what is in flight at its end is no less than what was at its beginning, and no fault of the rate.
///
/// Requests of sessions come in clusters, so that their number varies by more than a Poisson number's 1 / sqrt(lambda W): it is
/// held against those that were due, exactly.
fn rate_held(round: &MeasuredRound, workload: &WorkloadId) -> Option<Shown> {
    let (arrivals, all, flow) = (arrivals(round)?, all(round)?, round.phase.flow?);
    let asked = workload.rate_per_s.filter(|_| !workload.sessions);
    let due = asked.map_or(arrivals.intended as f64, |rate| rate * round.seconds);
    if due <= 0.0 {
        return None;
    }
    let ended = (all.count + all.errors + flow.at_start) as f64;
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

/// 99th percentile of the send lateness against max(1 ms, 20 % of the median response time).
fn lateness(round: &MeasuredRound) -> Option<Shown> {
    let lateness = LatencyHistogram::decode(&arrivals(round)?.lateness_hdr).ok()?;
    let p99_us = lateness.quantile_us(0.99)?;
    let p50_us = all(round)?.latency.quantile_us(0.5).unwrap_or(0);
    let allowed_us = LATENESS_FLOOR_US.max(LATENESS_SHARE * p50_us as f64);
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
    let all = all(round)?;
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

/// Half of the rounds or more that never settle are not chance. Where the rate changes, each level of it is a phase of its own;
/// while it rises or falls nothing can be steady, and nothing is asked.
fn steady_phase(rounds: &[MeasuredRound], workload: &WorkloadId) -> Check {
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
        return held(STEADY, why.to_owned());
    };
    worst.clone()
}

/// The same for one level of the rate, or for the whole phase.
fn steady_level(rounds: &[MeasuredRound], level: Option<RateStretch>) -> Option<Check> {
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
    (!judged.is_empty()).then(|| Check {
        name: STEADY.to_owned(),
        ok: unsteady * 2 < judged.len().max(2),
        detail: format!(
            "{unsteady} of {} rounds had not settled by the middle of {whole} (MSER-5 of response time and requests \
             in flight)",
            judged.len()
        ),
    })
}

/// The steps of a phase that lie within a stretch of its rate.
fn part_of(pulse: &Pulse, stretch: RateStretch) -> Pulse {
    let within = steps_of(stretch.from_s, stretch.to_s);
    let cut = |values: &[u64]| values.get(clip(&within, values.len())).unwrap_or_default().to_vec();
    Pulse {
        answers: cut(&pulse.answers),
        response_us: cut(&pulse.response_us),
        in_flight_us: cut(&pulse.in_flight_us),
    }
}

#[cfg(test)]
mod tests;
