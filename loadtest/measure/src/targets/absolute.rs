//! Targets with a limit of their own: percentiles, the error rate, and any other metric.
//!
//! A request that failed was slow: in every share it counts as slower than any limit, and the percentiles of the
//! answers alone stand beside it.

use super::finding::{Finding, NO_INTERVAL, verdict};
use super::{Evidence, Metric, Percentile};
use crate::batches::{self, Bad};
use crate::disturbance::Disturbance;
use crate::figures::{figure, ms_to_us, percent, time, us_to_ms};
use crate::histogram::{LatencyHistogram, MAX_US};
use crate::percentile;
use crate::record::{Limit, Summary, TargetVerdict};
use crate::rounds::{Measured, MeasuredRound};
use crate::stats::cluster::ClusterRatio;
use crate::stats::student::{ONE_SIDED_95, TWO_SIDED_95};

pub(super) fn find(metric: &Metric, limit: Limit, evidence: &Evidence) -> Finding {
    match metric {
        Metric::Named(key) => named(key, limit, evidence.summary, evidence.after),
        Metric::Percentile(_, endpoint) | Metric::ErrorRate(endpoint)
            if !evidence.summary.endpoints.contains_key(*endpoint) =>
        {
            Finding::not_measured(format!("no endpoint `{endpoint}` in this workload"))
        }
        Metric::Percentile(percentile, endpoint) => latency(
            *percentile,
            limit,
            &Rounds::of(endpoint, evidence),
            evidence.disturbance,
        ),
        Metric::ErrorRate(endpoint) => error_rate(limit, &Rounds::of(endpoint, evidence)),
    }
}

/// What the rounds counted of one endpoint.
struct Rounds<'a> {
    endpoint: &'a str,
    measured: &'a [MeasuredRound<'a>],
    counted: Vec<&'a Measured>,
}

impl<'a> Rounds<'a> {
    fn of(endpoint: &'a str, evidence: &Evidence<'a>) -> Self {
        let rounds = evidence.after;
        let counted = rounds.iter().filter_map(|round| round.endpoints.get(endpoint));
        Self {
            endpoint,
            measured: rounds,
            counted: counted.collect(),
        }
    }

    fn all(&self) -> Measured {
        let mut all = Measured::default();
        self.counted.iter().for_each(|round| all.merge(round));
        all
    }

    /// The share that is bad: rounds are its clusters, or the batches of a single one.
    fn share(&self, bad: Bad) -> Option<ClusterRatio> {
        let clusters: Vec<(u64, u64)> = self.counted.iter().map(|round| bad.of(round)).collect();
        let share = ClusterRatio::of(&clusters)?;
        let single = match self.measured {
            [only] => batches::share(only, self.endpoint, bad),
            _ => None,
        };
        Some(single.unwrap_or(share))
    }

    /// The clusters in words.
    fn clusters(&self, share: &ClusterRatio) -> String {
        if self.measured.len() == 1 && share.clusters > 1 {
            format!("{} batches of one round: the conditions of this run", share.clusters)
        } else {
            format!("{} rounds", share.clusters)
        }
    }
}

/// A percentile is below T exactly when the share of requests above T is below its tail; that share is counted.
fn latency(percentile: Percentile, limit: Limit, rounds: &Rounds, disturbance: Option<Disturbance>) -> Finding {
    let (Limit::Below(limit_ms) | Limit::Above(limit_ms) | Limit::ReducedBy(limit_ms) | Limit::MultipliedBy(limit_ms)) =
        limit;
    let bound_us = ms_to_us(limit_ms);
    let Some(share) = rounds.share(Bad::Slower(bound_us)) else {
        return Finding::not_measured("no request was due".to_owned());
    };
    let all = rounds.all();
    let judged = all.judged();
    let by_share = share_verdict(&share, percentile.tail, limit);
    let verdict = if bound_us > MAX_US && by_share != TargetVerdict::Pass && !is_missed_by_failures(&all, &percentile) {
        // Times above the range are not told apart, so that they may be below such a limit.
        TargetVerdict::Inconclusive
    } else {
        by_share
    };
    Finding {
        observed: judged.quantile_ms(percentile.quantile),
        interval: woodruff(&judged, percentile.quantile, rounds),
        hangs: disturbance.is_some_and(|found| hangs(found, (limit, bound_us), &percentile, rounds, verdict)),
        detail: format!(
            "{}{}",
            share_detail(&share, percentile.tail, limit_ms, rounds),
            beside(&all, &percentile)
        ),
        verdict,
    }
}

/// Whether the failures alone are more than may be slow.
fn is_missed_by_failures(all: &Measured, percentile: &Percentile) -> bool {
    all.failed_share().is_some_and(|share| share > percentile.tail)
}

/// Whether a disturbance of the machine may be why a target does not hold: it is missed no more, or not surely, once
/// each time is allowed what the disturbance may have added. A limit from below is helped by it, so that a hold hangs
/// on it.
fn hangs(
    found: Disturbance,
    (limit, bound_us): (Limit, u64),
    percentile: &Percentile,
    rounds: &Rounds,
    verdict: TargetVerdict,
) -> bool {
    if let Limit::Above(_) = limit {
        return verdict == TargetVerdict::Pass;
    }
    let robust = || {
        let share = rounds.share(Bad::Slower(found.lengthened_us(bound_us)?))?;
        Some(share_verdict(&share, percentile.tail, limit) == TargetVerdict::Fail)
    };
    match verdict {
        TargetVerdict::Pass | TargetVerdict::NotMeasured => false,
        TargetVerdict::Fail => !is_missed_by_failures(&rounds.all(), percentile) && !robust().unwrap_or(false),
        TargetVerdict::Inconclusive => true,
    }
}

/// The interval of the percentile, milliseconds (Woodruff 1952).
fn woodruff(judged: &LatencyHistogram, quantile: f64, rounds: &Rounds) -> Option<(f64, f64)> {
    let share = rounds.share(Bad::Slower(judged.quantile_us(quantile)?))?;
    let (low, high) = percentile::around_us(judged, quantile, share.half_width(TWO_SIDED_95)?)?;
    Some((us_to_ms(low), us_to_ms(high)))
}

fn share_verdict(share: &ClusterRatio, tail: f64, limit: Limit) -> TargetVerdict {
    let Some(half) = half_width(share, tail) else {
        return TargetVerdict::Inconclusive;
    };
    let (surely_less, surely_more) = (share.value + half < tail, share.value - half > tail);
    match limit {
        Limit::Above(_) => verdict(surely_more, surely_less),
        Limit::Below(_) | Limit::ReducedBy(_) | Limit::MultipliedBy(_) => verdict(surely_less, surely_more),
    }
}

/// Half the width of the one-sided interval. A subject that stands at the limit has at least the error of as many
/// independent requests of which `tail` are slow, however few were seen to be.
fn half_width(share: &ClusterRatio, tail: f64) -> Option<f64> {
    let least = (tail * (1.0 - tail) / share.total as f64).sqrt();
    let at_limit = ClusterRatio {
        se: share.se.map(|se| se.max(least)),
        ..*share
    };
    at_limit.half_width(ONE_SIDED_95)
}

fn share_detail(share: &ClusterRatio, tail: f64, limit_ms: f64, rounds: &Rounds) -> String {
    let above = format!("{} of requests above {} ms", percent(share.value), figure(limit_ms));
    let Some(half) = half_width(share, tail) else {
        return format!("{above}; {NO_INTERVAL}");
    };
    let effect = share
        .design_effect()
        .map_or_else(String::new, |effect| format!(", design effect {}", figure(effect)));
    let (half, tail) = (percent(half), percent(tail));
    format!(
        "{above} +- {half} (one-sided 95 %), decided against {tail}; {}{effect}",
        rounds.clusters(share)
    )
}

/// What the judged percentile leaves unsaid where requests failed: how many, and the percentile of the answers alone.
fn beside(all: &Measured, percentile: &Percentile) -> String {
    if all.failed() == 0 {
        return String::new();
    }
    let answers = all.latency.quantile_ms(percentile.quantile).map_or_else(
        || "none was answered".to_owned(),
        |ms| format!("of the answers alone {}", time(ms)),
    );
    format!(
        "; {} of {} failed and count as slower; {answers}",
        all.failed(),
        all.due()
    )
}

fn error_rate(limit: Limit, rounds: &Rounds) -> Finding {
    let Some(rate) = rounds.share(Bad::Failed) else {
        return Finding::not_measured("no request was due".to_owned());
    };
    let interval = rate.interval().map(|(low, high)| (low.max(0.0), high.min(1.0)));
    Finding::from_interval(limit, rate.value, interval, &rounds.clusters(&rate))
}

fn named(key: &str, limit: Limit, summary: &Summary, rounds: &[MeasuredRound]) -> Finding {
    match summary.metrics.get(key) {
        Some(metric) => Finding::from_interval(limit, metric.value, metric.ci, &format!("{} rounds", metric.rounds)),
        None => Finding::not_measured(why_absent(key, rounds)),
    }
}

pub(super) fn why_absent(key: &str, rounds: &[MeasuredRound]) -> String {
    if let Some(round) = rounds
        .iter()
        .find(|round| round.round.resets.iter().any(|name| name == key))
    {
        format!("`{key}` was reset while it was counted (block {})", round.round.block)
    } else if rounds.iter().any(|round| round.round.ratios.contains_key(key)) {
        format!("`{key}` had nothing to count")
    } else {
        format!("nothing measures `{key}` in this run")
    }
}
