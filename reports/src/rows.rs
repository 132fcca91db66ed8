//! Comparisons and targets as text: what every output shows of them, each in its own layout.

use measure::figures::{self, Unit};
use measure::metrics;
use measure::record::{Comparison, Family, Limit, Outcome, TargetResult};

use crate::words::{self, Word, endpoint_title};

/// A share as per cent, for a table.
pub(crate) fn share(share: f64) -> String {
    figures::quantity(share, Unit::Share)
}

/// A change of what a family compares: per cent of a figure, or points of a share.
pub(crate) fn change(family: Family, size: f64) -> String {
    if family.is_share() {
        format!("{} points", figures::number(100.0 * size))
    } else {
        share(size)
    }
}

/// A comparison as text.
#[derive(Debug, Clone)]
pub(crate) struct Compared<'a> {
    pub(crate) of: &'a Comparison,
    pub(crate) family: &'static str,
    pub(crate) endpoint: &'a str,
    pub(crate) word: Word,
    /// After / before.
    pub(crate) ratio: String,
    /// Its bounds; none where the run allows neither.
    pub(crate) bounds: Option<String>,
    pub(crate) speed: Option<String>,
    /// The smallest change for the worse that could be seen.
    pub(crate) mde: Option<String>,
}

impl<'a> Compared<'a> {
    pub(crate) fn new(of: &'a Comparison) -> Self {
        Self {
            family: of.family.title(),
            endpoint: endpoint_title(&of.endpoint),
            word: words::outcome(of.outcome),
            ratio: figures::number(of.ratio),
            bounds: bounds(of),
            speed: figures::speed(of.ratio),
            mde: of.mde.map(|mde| change(of.family, mde)),
            of,
        }
    }

    /// The ratio with its bounds, e.g. `1.21 (1.10 to 1.33)`.
    pub(crate) fn with_bounds(&self) -> String {
        let bounds = self.bounds.as_ref();
        bounds.map_or_else(|| self.ratio.clone(), |bounds| format!("{} ({bounds})", self.ratio))
    }

    /// The ratio with its bounds; none where nothing was compared.
    pub(crate) fn if_compared(&self) -> Option<String> {
        (self.of.outcome != Outcome::InsufficientData).then(|| self.with_bounds())
    }
}

fn bounds(of: &Comparison) -> Option<String> {
    match (of.ratio_low, of.ratio_high) {
        (Some(low), Some(high)) => Some(figures::interval((low, high), Unit::Plain)),
        (Some(low), None) => Some(format!("at least {}", figures::number(low))),
        (None, Some(high)) => Some(format!("at most {}", figures::number(high))),
        (None, None) => None,
    }
}

/// A target as text.
#[derive(Debug, Clone)]
pub(crate) struct Target<'a> {
    pub(crate) of: &'a TargetResult,
    pub(crate) word: Word,
    /// `P0` to `P2`.
    pub(crate) priority: &'static str,
    /// Subject of the target, e.g. `p95 latency of driver_details`.
    pub(crate) title: String,
    /// Its limit, e.g. `< 10 ms`.
    pub(crate) asked: String,
    /// The observed value; none where nothing was measured.
    pub(crate) observed: Option<String>,
    pub(crate) interval: Option<String>,
}

impl<'a> Target<'a> {
    pub(crate) fn new(of: &'a TargetResult) -> Self {
        let metric = metrics::describe(&of.metric);
        let title = metric.title();
        Self {
            word: words::target(of.verdict),
            priority: words::priority(of.priority),
            title: match &of.endpoint {
                Some(endpoint) => format!("{title} of {endpoint}"),
                None => title.to_owned(),
            },
            asked: words::limit(of.limit, metric.unit),
            observed: of.observed.map(|value| observed(of.limit, value, metric.unit)),
            interval: of
                .interval
                .map(|interval| observed_interval(of.limit, interval, metric.unit)),
            of,
        }
    }

    /// Consequence of a miss.
    pub(crate) fn meaning(&self) -> &'static str {
        words::priority_meaning(self.of.priority)
    }

    /// The observed value with its interval.
    pub(crate) fn seen(&self) -> Option<String> {
        let interval = self.interval.as_ref();
        let observed = self.observed.as_ref()?;
        Some(interval.map_or_else(|| observed.clone(), |interval| format!("{observed} ({interval})")))
    }
}

fn observed(limit: Limit, value: f64, unit: Unit) -> String {
    match limit {
        Limit::Below(_) | Limit::Above(_) => figures::quantity(value, unit),
        Limit::MultipliedBy(_) => format!("{} times before", figures::number(value)),
        Limit::ReducedBy(_) if value < 0.0 => format!("{} higher", share(value.abs())),
        Limit::ReducedBy(_) => format!("{} lower", share(value)),
    }
}

/// A reduction below zero is an increase.
fn observed_interval(limit: Limit, interval: (f64, f64), unit: Unit) -> String {
    match limit {
        Limit::ReducedBy(_) => figures::interval(interval, Unit::Share) + " lower",
        Limit::MultipliedBy(_) => figures::interval(interval, Unit::Plain) + " times before",
        Limit::Below(_) | Limit::Above(_) => figures::interval(interval, unit),
    }
}
