//! Was the generator, its clock or another job on the machine in the way? From probes of each round.

use super::CheckLimits;
use super::worst::{Shown, all_measured, check, probe};
use crate::figures::figure;
use crate::metrics;
use crate::record::{ALL_ENDPOINTS, Check, Round};
use crate::rounds::{MeasuredRound, RoundError};

/// A timer of the generator may fire later than this only where it is a small part of what is measured, milliseconds:
/// tokio's wheel turns once a millisecond, and a busy core hands over within a few.
const LAG_FLOOR_MS: f64 = 5.0;
/// That part: of the 95th percentile of the response times.
const LAG_SHARE: f64 = 0.2;
/// A clock step is fine enough below this, microseconds, or below 1 % of the fastest median.
const STEP_FLOOR_US: f64 = 1.0;
const STEP_SHARE: f64 = 0.01;

/// The checks of the generator and its machine. What no probe read is said, not failed.
pub fn of_machine(rounds: &[Round], limits: CheckLimits) -> Result<Vec<Check>, RoundError> {
    let rounds = all_measured(rounds)?;
    let percent_of_cores = "% of all cores";
    let at_most = |name: &str, metric: &str, allowed: f64| {
        check(name, &rounds, "not read", |round| {
            probe(round, metric, allowed, percent_of_cores)
        })
    };
    Ok(vec![
        at_most(
            "the generator was not saturated",
            metrics::HARNESS_CPU_PERCENT.name(),
            limits.max_harness_cpu_percent,
        ),
        check("the generator's timers were on time", &rounds, "not read", timer_lag),
        check("the clock is fine enough", &rounds, "not read", clock_step),
        at_most(
            "the hypervisor took little time",
            metrics::STEAL_PERCENT.name(),
            limits.max_steal_percent,
        ),
        at_most(
            "no other job used the machine",
            metrics::OTHER_CPU_PERCENT.name(),
            limits.max_other_cpu_percent,
        ),
    ])
}

fn timer_lag(round: &MeasuredRound) -> Option<Shown> {
    let p95_us = round
        .endpoints
        .get(ALL_ENDPOINTS)?
        .latency
        .quantile_us(0.95)
        .unwrap_or(0);
    let allowed_ms = LAG_FLOOR_MS.max(LAG_SHARE * p95_us as f64 / 1000.0);
    probe(round, metrics::HARNESS_LAG_P99_MS.name(), allowed_ms, "ms late at p99")
}

fn clock_step(round: &MeasuredRound) -> Option<Shown> {
    let value = round.metric(metrics::CLOCK_STEP_US.name())?;
    let medians = round.endpoints.values().filter_map(|one| one.latency.quantile_us(0.5));
    let fastest_us = medians.min()? as f64;
    let allowed = STEP_FLOOR_US.max(STEP_SHARE * fastest_us);
    Some(Shown {
        value,
        allowed,
        detail: format!(
            "steps of {} us, allowed {} us where the fastest median is {} us",
            figure(value),
            figure(allowed),
            figure(fastest_us)
        ),
    })
}

#[cfg(test)]
mod tests;
