//! Values over time, on the clock of the load, and what reading them cost.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use measure::record::{ProbeCost, Series};

/// Time that each probe took.
#[derive(Debug, Default)]
pub(super) struct Costs(BTreeMap<&'static str, ProbeCost>);

impl Costs {
    /// Counts one reading.
    pub(super) fn add(&mut self, probe: &'static str, took: Duration) {
        let took_us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let cost = self.0.entry(probe).or_insert_with(|| ProbeCost {
            probe: probe.to_owned(),
            ..ProbeCost::default()
        });
        cost.readings += 1;
        cost.total_us += took_us;
        cost.longest_us = cost.longest_us.max(took_us);
    }

    /// Runs and counts one reading.
    pub(super) async fn timed<F: Future>(&mut self, probe: &'static str, reading: F) -> F::Output {
        let began = Instant::now();
        let output = reading.await;
        self.add(probe, began.elapsed());
        output
    }

    /// In the form of the record.
    pub(super) fn to_record(&self) -> Vec<ProbeCost> {
        self.0.values().cloned().collect()
    }
}

/// Builds the series of a round, one metric after the other.
#[derive(Debug, Default)]
pub(super) struct SeriesSet(BTreeMap<String, Series>);

impl SeriesSet {
    /// Adds a value; what is no number (a share of nothing) is left out.
    pub(super) fn add(&mut self, metric: &str, at_ms: u64, value: f64) {
        if !value.is_finite() {
            return;
        }
        let series = self.0.entry(metric.to_owned()).or_insert_with(|| Series {
            metric: metric.to_owned(),
            ..Series::default()
        });
        series.at_ms.push(at_ms);
        series.values.push(value);
    }

    /// In the form of the record.
    pub(super) fn into_record(self) -> Vec<Series> {
        self.0.into_values().collect()
    }
}
