//! Targets that ask for a reduction against the first subject: block by block, as both sides of a block share its
//! conditions.

use super::absolute::why_absent;
use super::finding::Finding;
use super::{Evidence, Metric};
use crate::figures::us_to_ms;
use crate::record::Limit;
use crate::rounds::{MeasuredRound, pairs};
use crate::stats::student;

pub(super) fn find(metric: &Metric, share: f64, evidence: &Evidence) -> Finding {
    let Some(before) = &evidence.before else {
        return Finding::not_measured(
            "a reduction needs a subject to compare against, and one was measured".to_owned(),
        );
    };
    let reductions: Vec<f64> = pairs(before, &evidence.after)
        .into_iter()
        .filter_map(|(before, after)| reduction(metric, before, after))
        .collect();
    match student::mean(&reductions) {
        Some(mean) => Finding::from_interval(Limit::ReducedBy(share), mean.value, mean.interval, reductions.len()),
        None => Finding::not_measured(why_nothing(metric, before, &evidence.after)),
    }
}

/// `1 - after / before` of one block, where both sides have a value and there was something to reduce.
fn reduction(metric: &Metric, before: &MeasuredRound, after: &MeasuredRound) -> Option<f64> {
    let (before, after) = (value(metric, before)?, value(metric, after)?);
    (before > 0.0).then(|| 1.0 - after / before)
}

fn value(metric: &Metric, round: &MeasuredRound) -> Option<f64> {
    match metric {
        Metric::Named(key) => round.metric(key),
        Metric::Percentile(percentile, endpoint) => round
            .endpoints
            .get(*endpoint)?
            .latency
            .quantile_us(percentile.quantile)
            .map(us_to_ms),
        Metric::ErrorRate(endpoint) => {
            let measured = round.endpoints.get(*endpoint)?;
            (measured.sent() > 0).then(|| measured.errors as f64 / measured.sent() as f64)
        }
    }
}

fn why_nothing(metric: &Metric, before: &[MeasuredRound], after: &[MeasuredRound]) -> String {
    let has_value = |rounds: &[MeasuredRound]| rounds.iter().any(|round| value(metric, round).is_some());
    match (metric, has_value(before), has_value(after)) {
        (_, true, true) => "the first subject had nothing to reduce, or no block has both subjects".to_owned(),
        (Metric::Named(key), _, false) => why_absent(key, after),
        (Metric::Named(key), false, true) => format!("{} for the first subject", why_absent(key, before)),
        (Metric::Percentile(_, endpoint) | Metric::ErrorRate(endpoint), ..) => {
            format!("`{endpoint}` was not answered on both sides of any block")
        }
    }
}
