//! Targets that ask for a change against the first subject, a reduction or a multiple: block by block, as both sides of
//! a block share its conditions.

use super::absolute::why_absent;
use super::finding::Finding;
use super::{Evidence, Metric};
use crate::record::Limit;
use crate::rounds::{MeasuredRound, pairs};
use crate::stats::student;

pub(super) fn find(metric: &Metric, limit: Limit, evidence: &Evidence) -> Finding {
    let Some(before) = evidence.before else {
        return Finding::not_measured(
            "a relative limit needs a subject to compare against, and one was measured".to_owned(),
        );
    };
    let changes: Vec<f64> = pairs(before, evidence.after)
        .into_iter()
        .filter_map(|(before, after)| change(metric, limit, before, after))
        .collect();
    match estimate(limit, &changes) {
        Some((value, interval)) => Finding::from_interval(limit, value, interval, &format!("{} rounds", changes.len())),
        None => Finding::not_measured(why_nothing(metric, before, evidence.after)),
    }
}

/// The change within one block, on the scale that is averaged: `1 - after / before`, or the logarithm of a multiple.
/// `None` where a side has no value or there was nothing before.
fn change(metric: &Metric, limit: Limit, before: &MeasuredRound, after: &MeasuredRound) -> Option<f64> {
    let (before, after) = (value(metric, before)?, value(metric, after)?);
    match limit {
        Limit::MultipliedBy(_) => (before > 0.0 && after > 0.0).then(|| (after / before).ln()),
        _ => (before > 0.0).then(|| 1.0 - after / before),
    }
}

type Interval = Option<(f64, f64)>;

/// Mean and interval on the scale of the limit. Multiples are averaged as logarithms: twice and half cancel.
fn estimate(limit: Limit, changes: &[f64]) -> Option<(f64, Interval)> {
    let mean = student::mean(changes)?;
    Some(match limit {
        Limit::MultipliedBy(_) => (
            mean.value.exp(),
            mean.interval.map(|(low, high)| (low.exp(), high.exp())),
        ),
        _ => (mean.value, mean.interval),
    })
}

fn value(metric: &Metric, round: &MeasuredRound) -> Option<f64> {
    match metric {
        Metric::Named(key) => round.metric(key),
        Metric::Percentile(percentile, endpoint) => round
            .endpoints
            .get(*endpoint)?
            .judged()
            .quantile_ms(percentile.quantile),
        Metric::ErrorRate(endpoint) => round.endpoints.get(*endpoint)?.failed_share(),
    }
}

fn why_nothing(metric: &Metric, before: &[MeasuredRound], after: &[MeasuredRound]) -> String {
    let has_value = |rounds: &[MeasuredRound]| rounds.iter().any(|round| value(metric, round).is_some());
    match (metric, has_value(before), has_value(after)) {
        (_, true, true) => "the first subject had nothing to compare with, or no block has both subjects".to_owned(),
        (Metric::Named(key), _, false) => why_absent(key, after),
        (Metric::Named(key), false, true) => format!("{} for the first subject", why_absent(key, before)),
        (Metric::Percentile(_, endpoint) | Metric::ErrorRate(endpoint), ..) => {
            format!("`{endpoint}` was not answered on both sides of any block")
        }
    }
}
