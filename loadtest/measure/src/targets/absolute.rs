//! Targets with a limit of their own: percentiles, the error rate, and any other metric.

use super::finding::{Finding, NO_INTERVAL, verdict};
use super::{Metric, Percentile};
use crate::figures::{figure, ms_to_us, percent, us_to_ms};
use crate::histogram::LatencyHistogram;
use crate::percentile;
use crate::record::{EndpointSummary, Limit, Summary, TargetVerdict};
use crate::rounds::{Measured, MeasuredRound};
use crate::stats::cluster::ClusterRatio;
use crate::stats::student::ONE_SIDED_95;

pub(super) fn find(metric: &Metric, limit: Limit, summary: &Summary, rounds: &[MeasuredRound]) -> Finding {
    match metric {
        Metric::Named(key) => named(key, limit, summary, rounds),
        Metric::Percentile(_, endpoint) | Metric::ErrorRate(endpoint) => match summary.endpoints.get(*endpoint) {
            None => Finding::not_measured(format!("no endpoint `{endpoint}` in this workload")),
            Some(figures) => http(metric, limit, figures, &of_endpoint(rounds, endpoint)),
        },
    }
}

fn of_endpoint<'a>(rounds: &'a [MeasuredRound], endpoint: &str) -> Vec<&'a Measured> {
    rounds
        .iter()
        .filter_map(|round| round.endpoints.get(endpoint))
        .collect()
}

fn http(metric: &Metric, limit: Limit, figures: &EndpointSummary, rounds: &[&Measured]) -> Finding {
    match metric {
        Metric::Percentile(percentile, _) => {
            let latencies: Vec<_> = rounds.iter().map(|round| &round.latency).collect();
            latency(*percentile, limit, figures, &latencies)
        }
        _ => error_rate(limit, rounds),
    }
}

/// A percentile is below T exactly when the share of answers above T is below its tail; that share is counted.
fn latency(percentile: Percentile, limit: Limit, figures: &EndpointSummary, rounds: &[&LatencyHistogram]) -> Finding {
    let (Limit::Below(limit_ms) | Limit::Above(limit_ms) | Limit::ReducedBy(limit_ms) | Limit::MultipliedBy(limit_ms)) =
        limit;
    let Some(share) = percentile::share_above(rounds, ms_to_us(limit_ms)) else {
        return Finding::not_measured(format!(
            "no answer as expected ({} errors)",
            percent(figures.error_rate)
        ));
    };
    let interval_us = percentile::interval_us(rounds, percentile.quantile);
    Finding {
        observed: percentile::merged(rounds.iter().copied()).quantile_ms(percentile.quantile),
        interval: interval_us.map(|(low, high)| (us_to_ms(low), us_to_ms(high))),
        verdict: share_verdict(&share, percentile.tail, limit),
        detail: share_detail(&share, percentile.tail, limit_ms),
    }
}

fn share_verdict(share: &ClusterRatio, tail: f64, limit: Limit) -> TargetVerdict {
    let Some(half) = share.half_width(ONE_SIDED_95) else {
        return TargetVerdict::Inconclusive;
    };
    let (surely_less, surely_more) = (share.value + half < tail, share.value - half > tail);
    match limit {
        Limit::Above(_) => verdict(surely_more, surely_less),
        Limit::Below(_) | Limit::ReducedBy(_) | Limit::MultipliedBy(_) => verdict(surely_less, surely_more),
    }
}

fn share_detail(share: &ClusterRatio, tail: f64, limit_ms: f64) -> String {
    let above = format!("{} of answers above {} ms", percent(share.value), figure(limit_ms));
    let Some(half) = share.half_width(ONE_SIDED_95) else {
        return format!("{above}; {NO_INTERVAL}");
    };
    let effect = share
        .design_effect()
        .map_or_else(String::new, |effect| format!(", design effect {}", figure(effect)));
    let (half, tail) = (percent(half), percent(tail));
    format!(
        "{above} +- {half} (one-sided 95 %), decided against {tail}; {} rounds{effect}",
        share.clusters
    )
}

fn error_rate(limit: Limit, rounds: &[&Measured]) -> Finding {
    let clusters: Vec<_> = rounds.iter().map(|round| (round.errors, round.sent())).collect();
    let Some(rate) = ClusterRatio::of(&clusters) else {
        return Finding::not_measured("no request was sent".to_owned());
    };
    let interval = rate.interval().map(|(low, high)| (low.max(0.0), high.min(1.0)));
    Finding::from_interval(limit, rate.value, interval, rate.clusters)
}

fn named(key: &str, limit: Limit, summary: &Summary, rounds: &[MeasuredRound]) -> Finding {
    match summary.metrics.get(key) {
        Some(metric) => Finding::from_interval(limit, metric.value, metric.ci, metric.rounds as usize),
        None => Finding::not_measured(why_absent(key, rounds)),
    }
}

pub(super) fn why_absent(key: &str, rounds: &[MeasuredRound]) -> String {
    if rounds.iter().any(|round| round.round.ratios.contains_key(key)) {
        format!("`{key}` had nothing to count")
    } else {
        format!("nothing measures `{key}` in this run")
    }
}
