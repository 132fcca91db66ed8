//! Was the machine left alone while a round was measured, and what can a round that was disturbed still decide
//! (STATISTICS section 4)?
//!
//! What belongs here: which rounds were disturbed, by how much, and what that explains. What does not: the checks that
//! say so in a record (`checks`), and repeating such rounds (the command).
//!
//! Whatever disturbs the machine only lengthens times. So a target that holds in spite of it holds, and one that is
//! missed by more than it explains is missed.

use std::collections::BTreeSet;

use crate::figures::figure;
use crate::limits::{LATENESS_SHARE, MAX_GENERATOR_CPU, allowed_lateness_us};
use crate::metrics;
use crate::record::Round;
use crate::rounds::{MeasuredRound, RoundError, measured};

/// A timer of the generator may fire later than this only where it is a small part of what is measured, milliseconds:
/// tokio's wheel turns once a millisecond, and a busy core hands over within a few.
const LAG_FLOOR_MS: f64 = 5.0;
/// Most time that the hypervisor may take, percent of all cores.
pub(crate) const MAX_STEAL_PERCENT: f64 = 10.0;
/// Most CPU that jobs foreign to the run may use, percent of all cores.
pub(crate) const MAX_OTHER_CPU_PERCENT: f64 = 10.0;
/// A disturbance that took more of the machine than this may have lengthened times by any factor.
const MAX_EXPLAINED: f64 = 0.5;
/// A disturbance within [`MAX_EXPLAINED`] is taken to have lengthened no time by more than this factor: a machine of
/// which half is left works at half its speed.
const MAX_FACTOR: f64 = 2.0;

/// By how much the timers of the generator may be late in a round, milliseconds: the larger of 5 ms and 20 % of the
/// 95th percentile of the response times.
pub(crate) fn allowed_lag_ms(round: &MeasuredRound) -> f64 {
    let p95_ms = round.all().latency.quantile_ms(0.95).unwrap_or(0.0);
    LAG_FLOOR_MS.max(LATENESS_SHARE * p95_ms)
}

/// What disturbed a round from outside, each in words; none where it was left alone.
///
/// # Errors
/// A histogram that cannot be read.
pub fn of_round(round: &Round) -> Result<Vec<String>, RoundError> {
    let measured = measured(std::slice::from_ref(round), &round.subject)?;
    Ok(measured.first().map(reasons).unwrap_or_default())
}

/// Timers that were late, a hypervisor or another job that took time.
fn reasons(round: &MeasuredRound) -> Vec<String> {
    let over = |metric: &metrics::Metric, allowed: f64, words: &str| {
        let value = round.metric(metric.name()).filter(|value| *value > allowed)?;
        Some(format!("{words} ({}, allowed {})", figure(value), figure(allowed)))
    };
    let lag = over(
        &metrics::HARNESS_LAG_P99_MS,
        allowed_lag_ms(round),
        "timers were late, ms at p99",
    );
    let steal = over(
        &metrics::STEAL_PERCENT,
        MAX_STEAL_PERCENT,
        "the hypervisor took time, %",
    );
    let other = over(
        &metrics::OTHER_CPU_PERCENT,
        MAX_OTHER_CPU_PERCENT,
        "another job took time, %",
    );
    [lag, steal, other].into_iter().flatten().collect()
}

/// Blocks in which any round was disturbed, with the first reason of each.
pub(crate) fn blocks<'r>(rounds: impl IntoIterator<Item = &'r MeasuredRound<'r>>) -> Vec<(u32, String)> {
    let mut seen = BTreeSet::new();
    let disturbed = rounds.into_iter().filter_map(|round| {
        let why = reasons(round).into_iter().next()?;
        let block = round.round.block;
        seen.insert(block)
            .then(|| (block, format!("block {block}, subject {}: {why}", round.round.subject)))
    });
    disturbed.collect()
}

/// Whether the generator could not keep up in a round, so that what was not sent or not read in time is its own fault:
/// half of its sends late, its timers late, or its threads saturated.
pub(crate) fn is_generator_behind(round: &MeasuredRound, cores: f64) -> bool {
    let p50_us = round.all().latency.quantile_us(0.5).unwrap_or(0);
    let late = round
        .lateness
        .as_ref()
        .and_then(|lateness| lateness.quantile_us(0.5))
        .is_some_and(|us| us as f64 > allowed_lateness_us(p50_us));
    let lag = round
        .metric(metrics::HARNESS_LAG_P99_MS.name())
        .is_some_and(|ms| ms > allowed_lag_ms(round));
    // One thread sends what arrives, so that one core is all that it can use.
    let threads = if round.lateness.is_some() { 1.0 } else { cores };
    let saturated = round
        .metric(metrics::HARNESS_CPU_PERCENT.name())
        .is_some_and(|percent| percent / 100.0 * cores > MAX_GENERATOR_CPU * threads);
    late || lag || saturated
}

/// How much a disturbance may have added to the times of some rounds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Disturbance {
    /// Added to any time, microseconds: how late timers and sends were at the 99th percentile.
    late_us: f64,
    /// Share of the machine that was taken, 0 to 1.
    taken: f64,
}

impl Disturbance {
    /// The largest over `rounds`; `None` where all of them were left alone and sent on time.
    pub(crate) fn of(rounds: &[MeasuredRound], cores: f64) -> Option<Self> {
        let found = rounds.iter().filter_map(|round| Self::of_one(round, cores));
        found.reduce(|one, other| Self {
            late_us: one.late_us.max(other.late_us),
            taken: one.taken.max(other.taken),
        })
    }

    fn of_one(round: &MeasuredRound, cores: f64) -> Option<Self> {
        let p99_us = round.lateness.as_ref().and_then(|late| late.quantile_us(0.99));
        let p50_us = round.all().latency.quantile_us(0.5).unwrap_or(0);
        let late = p99_us.is_some_and(|us| us as f64 > allowed_lateness_us(p50_us));
        if !late && reasons(round).is_empty() && !is_generator_behind(round, cores) {
            return None;
        }
        let of = |metric: &metrics::Metric| round.metric(metric.name()).unwrap_or(0.0).max(0.0);
        let lag_us = of(&metrics::HARNESS_LAG_P99_MS) * 1000.0;
        Some(Self {
            late_us: lag_us.max(p99_us.unwrap_or(0) as f64),
            taken: (of(&metrics::STEAL_PERCENT) + of(&metrics::OTHER_CPU_PERCENT)) / 100.0,
        })
    }

    /// The time that one of `limit_us` may have become; `None` where it may have become any.
    pub(crate) fn lengthened_us(&self, limit_us: u64) -> Option<u64> {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a sum of times that are not negative; a cast saturates"
        )]
        let lengthened = (limit_us as f64 * MAX_FACTOR + self.late_us).ceil() as u64;
        (self.taken <= MAX_EXPLAINED).then_some(lengthened)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::round;

    fn with(probes: &[(&metrics::Metric, f64)]) -> Round {
        probes.iter().fold(
            round(3, "s", &[("a", (1..=1000).collect())]),
            |round, (metric, value)| round.with_probe(metric.name(), *value),
        )
    }

    #[test]
    fn timers_steal_and_other_jobs_disturb_a_round() {
        let calm = with(&[
            (&metrics::HARNESS_LAG_P99_MS, 4.9),
            (&metrics::STEAL_PERCENT, 9.0),
            (&metrics::OTHER_CPU_PERCENT, 9.0),
        ]);
        assert!(of_round(&calm).unwrap().is_empty());
        for (metric, value) in [
            (&metrics::HARNESS_LAG_P99_MS, 5.3),
            (&metrics::STEAL_PERCENT, 12.0),
            (&metrics::OTHER_CPU_PERCENT, 13.0),
        ] {
            let disturbed = with(&[(metric, value)]);
            assert_eq!(of_round(&disturbed).unwrap().len(), 1, "{}", metric.name());
            let rounds = [disturbed];
            assert_eq!(blocks(&measured(&rounds, "s").unwrap())[0].0, 3);
        }
    }

    #[test]
    fn what_a_disturbance_explains_is_bounded() {
        let half = [with(&[
            (&metrics::OTHER_CPU_PERCENT, 20.0),
            (&metrics::HARNESS_LAG_P99_MS, 7.0),
        ])];
        let found = Disturbance::of(&measured(&half, "s").unwrap(), 2.0).unwrap();
        assert_eq!(found.lengthened_us(10_000), Some(27_000));
        let most = [with(&[(&metrics::OTHER_CPU_PERCENT, 60.0)])];
        let found = Disturbance::of(&measured(&most, "s").unwrap(), 2.0).unwrap();
        assert_eq!(found.lengthened_us(10_000), None);
        let calm = [with(&[])];
        assert_eq!(Disturbance::of(&measured(&calm, "s").unwrap(), 2.0), None);
    }
}
