//! One reading of all probes: values by registered metric.

use std::{borrow::Cow, collections::BTreeMap};

use measure::metrics::Metric;

/// Bytes of what records call a megabyte.
pub(super) const MIB: f64 = 1024.0 * 1024.0;

/// A value as a probe read it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Seen {
    /// A level, or something counted in fractions, such as seconds.
    Value(f64),
    /// Something counted.
    Count(u64),
    /// Two counts, one of which is a part of the other.
    Part { part: u64, of: u64 },
}

impl Seen {
    /// As a number; of a part, the part.
    pub(super) fn number(self) -> f64 {
        match self {
            Self::Value(value) => value,
            Self::Count(count) | Self::Part { part: count, .. } => count as f64,
        }
    }
}

/// Everything at one moment, by name; what there is no access to is absent.
#[derive(Debug, Clone, Default)]
pub(super) struct Sample(BTreeMap<String, (Cow<'static, Metric>, Seen)>);

impl Sample {
    /// Adds a level, or something counted in fractions.
    pub(super) fn put(&mut self, metric: &'static Metric, value: f64) {
        self.insert(Cow::Borrowed(metric), Seen::Value(value));
    }

    /// Adds a count so far.
    pub(super) fn count(&mut self, metric: &'static Metric, count: u64) {
        self.insert(Cow::Borrowed(metric), Seen::Count(count));
    }

    /// Adds two counts so far, one of which is a part of the other.
    pub(super) fn part(&mut self, metric: &'static Metric, part: u64, of: u64) {
        self.insert(Cow::Borrowed(metric), Seen::Part { part, of });
    }

    /// Adds a value of a metric that the workload chose.
    pub(super) fn chosen(&mut self, metric: &Metric, value: f64) {
        self.insert(Cow::Owned(metric.clone()), Seen::Value(value));
    }

    fn insert(&mut self, metric: Cow<'static, Metric>, seen: Seen) {
        self.0.insert(metric.key(), (metric, seen));
    }

    /// Every value with its metric.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&Metric, Seen)> {
        self.0.values().map(|(metric, seen)| (metric.as_ref(), *seen))
    }

    /// The value of one metric.
    pub(super) fn get(&self, metric: &Metric) -> Option<Seen> {
        self.0.get(metric.name()).map(|(_, seen)| *seen)
    }
}
