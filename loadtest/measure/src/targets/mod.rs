//! Targets: what must hold, judged on the last subject (STATISTICS section 2).
//!
//! What belongs here: finding what a target is about and the judgement on it. What does not: reading targets files
//! (`scenarios`), and what a miss means for the run (`verdict`).
//!
//! Every judgement comes from an interval with the round as the unit, never from a point. What nothing measured is
//! "not measured", never passed.

mod absolute;
mod finding;
mod relative;

use crate::disturbance::Disturbance;
use crate::metrics;
use crate::record::{ALL_ENDPOINTS, Limit, Priority, Summary, TargetResult};
use crate::rounds::MeasuredRound;
use finding::Finding;

/// One target as the targets file states it.
#[derive(Debug, Clone, PartialEq)]
pub struct TargetSpec {
    /// Identifier, unique within the file.
    pub id: String,
    /// How much it matters.
    pub priority: Priority,
    /// Name of a metric ([`crate::metrics`]).
    pub metric: String,
    /// Endpoint of an `http.` metric, absent for the whole mix; of another metric see [`metric_key`].
    pub endpoint: Option<String>,
    /// The limit that must hold, in the unit of the metric.
    pub limit: Limit,
    /// The line of the plan it stands for.
    pub source: String,
    /// Why nothing measures it yet; a target without a figure then does not bind.
    pub not_yet: Option<String>,
}

impl TargetSpec {
    /// The target that a record judged.
    pub fn of_result(result: &TargetResult) -> Self {
        Self {
            id: result.id.clone(),
            priority: result.priority,
            metric: result.metric.clone(),
            endpoint: result.endpoint.clone(),
            limit: result.limit,
            source: result.source.clone(),
            not_yet: result.not_yet.clone(),
        }
    }
}

/// The rounds on which targets are judged.
#[derive(Debug, Clone, Copy)]
pub struct Evidence<'a> {
    /// Summary of the subject judged.
    pub summary: &'a Summary,
    /// Rounds of the subject that relative limits are against; absent when one subject was measured alone.
    pub before: Option<&'a [MeasuredRound<'a>]>,
    /// Rounds of the subject judged.
    pub after: &'a [MeasuredRound<'a>],
    /// By how much the machine may have lengthened the times of those rounds; absent where it was left alone.
    pub disturbance: Option<Disturbance>,
}

/// The result of each of `items`.
pub fn results(items: &[TargetSpec], evidence: Evidence) -> Vec<TargetResult> {
    items
        .iter()
        .map(|item| finding(item, &evidence).into_result(item))
        .collect()
}

/// The key under which a metric of one endpoint stands among probes and ratios: `cache.hit_ratio{driver_details}`;
/// without endpoint the name itself.
pub fn metric_key(metric: &str, endpoint: Option<&str>) -> String {
    endpoint.map_or_else(|| metric.to_owned(), |endpoint| format!("{metric}{{{endpoint}}}"))
}

/// Metric, endpoint and tail (0.05 of a p95) of a target that asks for a percentile; `None` for the others.
pub(crate) fn asked_percentile(item: &TargetSpec) -> Option<(&str, &str, f64)> {
    match Metric::of(item) {
        Metric::Percentile(percentile, endpoint) => Some((&item.metric, endpoint, percentile.tail)),
        _ => None,
    }
}

/// The endpoint of a target that asks for an error rate; `None` for the others.
pub(crate) fn asked_error_rate(item: &TargetSpec) -> Option<&str> {
    match Metric::of(item) {
        Metric::ErrorRate(endpoint) => Some(endpoint),
        _ => None,
    }
}

/// A percentile that a target may name.
#[derive(Debug, Clone, Copy)]
struct Percentile {
    quantile: f64,
    /// 1 - quantile, written out so that 0.05 is 0.05.
    tail: f64,
}

/// Names of the percentiles, each with its quantile and its tail.
static PERCENTILES: [(&metrics::Metric, f64, f64); 5] = [
    (&metrics::HTTP_P50_MS, 0.5, 0.5),
    (&metrics::HTTP_P90_MS, 0.9, 0.1),
    (&metrics::HTTP_P95_MS, 0.95, 0.05),
    (&metrics::HTTP_P99_MS, 0.99, 0.01),
    (&metrics::HTTP_P999_MS, 0.999, 0.001),
];

/// The metric that a target is about.
enum Metric<'a> {
    Percentile(Percentile, &'a str),
    ErrorRate(&'a str),
    Named(String),
}

impl<'a> Metric<'a> {
    fn of(item: &'a TargetSpec) -> Self {
        let endpoint = item.endpoint.as_deref().unwrap_or(ALL_ENDPOINTS);
        match PERCENTILES.iter().find(|(metric, ..)| metric.name() == item.metric) {
            Some(&(_, quantile, tail)) => Self::Percentile(Percentile { quantile, tail }, endpoint),
            None if item.metric == metrics::HTTP_ERROR_RATE.name() => Self::ErrorRate(endpoint),
            None => Self::Named(metric_key(&item.metric, item.endpoint.as_deref())),
        }
    }
}

fn finding(item: &TargetSpec, evidence: &Evidence) -> Finding {
    let metric = Metric::of(item);
    match item.limit {
        _ if evidence.after.is_empty() => Finding::not_measured("the subject was not measured".to_owned()),
        Limit::ReducedBy(_) | Limit::MultipliedBy(_) => relative::find(&metric, item.limit, evidence),
        limit => absolute::find(&metric, limit, evidence),
    }
}

#[cfg(test)]
mod tests;
