//! One judgement in the making, and the rules that lead from an interval to it.

use super::TargetSpec;
use crate::figures::figure;
use crate::record::{Limit, TargetResult, TargetVerdict};

/// The finding about one target.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Finding {
    pub(super) observed: Option<f64>,
    pub(super) interval: Option<(f64, f64)>,
    pub(super) verdict: TargetVerdict,
    pub(super) detail: String,
    /// Whether a disturbance of the machine may be why it does not hold.
    pub(super) hangs: bool,
}

impl Finding {
    pub(super) fn not_measured(detail: String) -> Self {
        Self {
            observed: None,
            interval: None,
            verdict: TargetVerdict::NotMeasured,
            detail,
            hangs: false,
        }
    }

    /// From an estimate and its interval against a limit on the same scale.
    pub(super) fn from_interval(limit: Limit, observed: f64, interval: Option<(f64, f64)>, clusters: &str) -> Self {
        let (verdict, detail) = match interval {
            None => (TargetVerdict::Inconclusive, NO_INTERVAL.to_owned()),
            Some((low, high)) => (
                verdict_of(limit, low, high),
                format!(
                    "{} to {} with 95 % confidence over {clusters}",
                    figure(low),
                    figure(high)
                ),
            ),
        };
        Self {
            observed: Some(observed),
            interval,
            verdict,
            detail,
            hangs: false,
        }
    }

    pub(super) fn into_result(self, item: &TargetSpec) -> TargetResult {
        let detail = match (&item.not_yet, self.verdict) {
            (Some(why), TargetVerdict::NotMeasured) => format!("not yet: {why} ({})", self.detail),
            _ => self.detail,
        };
        TargetResult {
            id: item.id.clone(),
            priority: item.priority,
            metric: item.metric.clone(),
            endpoint: item.endpoint.clone(),
            source: item.source.clone(),
            limit: item.limit,
            not_yet: item.not_yet.clone(),
            hangs: self.hangs,
            observed: self.observed,
            interval: self.interval,
            verdict: self.verdict,
            detail,
        }
    }
}

/// Why one round decides nothing.
pub(super) const NO_INTERVAL: &str =
    "one round gives no interval: measure five seconds or more, or several rounds (raise the workload's `blocks`)";

/// A value that may lie anywhere in `low..=high` against the limit. "Below" and "above" are strict, the relative
/// ones are not.
fn verdict_of(limit: Limit, low: f64, high: f64) -> TargetVerdict {
    let (holds, missed) = match limit {
        Limit::Below(limit) => (high < limit, low >= limit),
        Limit::Above(limit) => (low > limit, high <= limit),
        Limit::ReducedBy(least) | Limit::MultipliedBy(least) => (low >= least, high < least),
    };
    verdict(holds, missed)
}

pub(super) fn verdict(holds: bool, missed: bool) -> TargetVerdict {
    if holds {
        TargetVerdict::Pass
    } else if missed {
        TargetVerdict::Fail
    } else {
        TargetVerdict::Inconclusive
    }
}
