//! Was the generator, its clock or another job on the machine in the way? From probes of each round.

use super::worst::{Shown, check, probe};
use crate::disturbance::{MAX_OTHER_CPU_PERCENT, MAX_STEAL_PERCENT, allowed_lag_ms};
use crate::figures::figure;
use crate::limits::MAX_GENERATOR_CPU;
use crate::metrics;
use crate::record::{About, Check};
use crate::rounds::{MeasuredRound, Rounds};

/// A clock step is fine enough below this, microseconds, or below 1 % of the fastest median.
const STEP_FLOOR_US: f64 = 1.0;
const STEP_SHARE: f64 = 0.01;

/// The checks of the generator and its machine. What no probe read is said, not failed.
pub(crate) fn of_machine(rounds: &Rounds) -> Vec<Check> {
    let rounds = rounds.in_order();
    let checked = |name: &str, show: &dyn Fn(&MeasuredRound) -> Option<Shown>| {
        check(name, &rounds, "not read", show).about(About::Machine)
    };
    let at_most = |name: &str, metric: &str, allowed: f64| {
        checked(name, &|round| probe(round, metric, allowed, "% of all cores"))
    };
    vec![
        at_most(
            "the generator was not saturated",
            metrics::HARNESS_CPU_PERCENT.name(),
            100.0 * MAX_GENERATOR_CPU,
        ),
        checked("the generator's timers were on time", &timer_lag),
        checked("the clock is fine enough", &clock_step).about(About::Run),
        at_most(
            "the hypervisor took little time",
            metrics::STEAL_PERCENT.name(),
            MAX_STEAL_PERCENT,
        ),
        at_most(
            "no other job used the machine",
            metrics::OTHER_CPU_PERCENT.name(),
            MAX_OTHER_CPU_PERCENT,
        ),
    ]
}

/// 99th percentile of the lag against max(5 ms, 20 % of the 95th percentile of the response times).
fn timer_lag(round: &MeasuredRound) -> Option<Shown> {
    let allowed_ms = allowed_lag_ms(round);
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
