//! From readings to a round: the value of each metric over the measured phase, and its values over time.
//!
//! The kind of a metric decides: a level is the largest reading, everything else the difference of two readings. A
//! counter that fell was reset, by a restart of whoever keeps it: it has no difference, and the round says so.

use std::collections::{BTreeMap, BTreeSet};

use measure::{
    figures::Unit,
    metrics::{Kind, Metric, Source},
    record::{Phase, ProbeCost, Ratio, Series},
};

use super::{Probes, sample::Sample, sample::Seen};

/// How far a time that is reckoned from several clocks may go back, in its unit and as a share: a few ticks of a
/// hundredth of a second.
const GRAIN: f64 = 0.05;

/// Metrics, series and costs that the probes add to a round.
#[derive(Debug, Default)]
pub(crate) struct Observed {
    pub(crate) probes: BTreeMap<String, f64>,
    pub(crate) ratios: BTreeMap<String, Ratio>,
    /// Metrics whose counter fell within the measured phase.
    pub(crate) resets: Vec<String>,
    pub(crate) series: Vec<Series>,
    pub(crate) costs: Vec<ProbeCost>,
}

/// Readings of one round.
#[derive(Default)]
pub(crate) struct Observation {
    readings: Vec<Reading>,
    /// Position of the first reading of the measured phase; the last of all is its last.
    measured_from: Option<usize>,
}

/// Everything at one moment of the round's clock.
struct Reading {
    at_ms: u64,
    sample: Sample,
}

/// Two readings, what was counted between them, and for how long.
struct Span<'a> {
    from: &'a Sample,
    to: &'a Sample,
    seconds: f64,
    cores: f64,
}

impl Observation {
    pub(super) fn add(&mut self, at_ms: u64, sample: Sample) {
        self.readings.push(Reading { at_ms, sample });
    }

    /// The measured phase begins with the last reading.
    pub(super) fn measure_from_last(&mut self) {
        self.measured_from = self.readings.len().checked_sub(1);
    }

    /// Metrics of the measured phase over its requests, and everything over time.
    pub(crate) fn observed(&self, probes: &Probes, measured: &Phase) -> Observed {
        let counts = measured.endpoints.values();
        let requests = counts.map(|counts| counts.count + counts.errors).sum();
        let (probes_of_round, ratios) = self.measured(requests);
        Observed {
            probes: probes_of_round,
            ratios,
            resets: self.resets().into_iter().collect(),
            series: self.series(),
            costs: probes.costs(),
        }
    }

    /// Values and ratios of the measured phase, in which so many requests were answered.
    fn measured(&self, requests: u64) -> (BTreeMap<String, f64>, BTreeMap<String, Ratio>) {
        let (mut values, mut ratios) = (BTreeMap::new(), BTreeMap::new());
        let readings = &self.readings[self.measured_from.unwrap_or(self.readings.len())..];
        let [first, .., last] = readings else {
            return (values, ratios);
        };
        let span = Span::new(first, last);
        let resets = self.resets();
        for (metric, _) in last.sample.iter().filter(|(metric, _)| !resets.contains(metric.name())) {
            ratios.extend(span.ratio(metric, requests).map(|ratio| (metric.key(), ratio)));
            let per_request = span.per_request(metric, requests);
            values.extend(span.growth(metric).or(per_request).map(|value| (metric.key(), value)));
        }
        for (metric, value) in readings.iter().flat_map(|reading| levels(&reading.sample)) {
            let largest = values.entry(metric.key()).or_insert(value);
            *largest = largest.max(value);
        }
        (values, ratios)
    }

    /// Names of the counters that fell between two readings of the measured phase. First and last alone would not show
    /// one that has outgrown its old value since.
    fn resets(&self) -> BTreeSet<String> {
        let readings = &self.readings[self.measured_from.unwrap_or(self.readings.len())..];
        let spans = readings.windows(2).map(|pair| Span::new(&pair[0], &pair[1]));
        spans
            .flat_map(|span| {
                let fell = span.to.iter().filter(move |(metric, _)| span.fell(metric));
                fell.map(|(metric, _)| metric.key()).collect::<Vec<_>>()
            })
            .collect()
    }

    fn series(&self) -> Vec<Series> {
        let mut set: BTreeMap<String, Series> = BTreeMap::new();
        let mut add = |metric: &Metric, at_ms: u64, value: f64| {
            let series = set.entry(metric.key()).or_insert_with(|| Series {
                metric: metric.key(),
                ..Series::default()
            });
            series.at_ms.push(at_ms);
            series.values.push(value);
        };
        for reading in &self.readings {
            levels(&reading.sample).for_each(|(metric, value)| add(metric, reading.at_ms, value));
        }
        for pair in self.readings.windows(2) {
            let span = Span::new(&pair[0], &pair[1]);
            for (metric, _) in span.to.iter().filter(|(metric, _)| metric.is_over_time()) {
                if let Some(value) = span.growth(metric).or_else(|| span.share(metric)) {
                    add(metric, pair[1].at_ms, value);
                }
            }
        }
        set.into_values().collect()
    }
}

fn levels(sample: &Sample) -> impl Iterator<Item = (&Metric, f64)> {
    let levels = sample.iter().filter(|(metric, _)| metric.kind == Kind::Level);
    levels.map(|(metric, seen)| (metric, seen.number()))
}

impl<'a> Span<'a> {
    fn new(from: &'a Reading, to: &'a Reading) -> Self {
        Self {
            seconds: to.at_ms.saturating_sub(from.at_ms).max(1) as f64 / 1000.0,
            cores: std::thread::available_parallelism().map_or(1.0, |cores| cores.get() as f64),
            from: &from.sample,
            to: &to.sample,
        }
    }

    /// Whether a counter fell, and so was reset. What is reckoned from several clocks may go back by their grain.
    fn fell(&self, metric: &Metric) -> bool {
        let (Some(before), Some(now)) = (self.from.get(metric), self.to.get(metric)) else {
            return false;
        };
        match (metric.kind, before, now) {
            (Kind::Level | Kind::Constant | Kind::Percentile, ..) => false,
            (_, Seen::Part { part, of }, Seen::Part { part: now, of: all }) => now < part || all < of,
            (_, Seen::Value(before), Seen::Value(now)) if metric.source != Source::Prometheus => {
                before - now > GRAIN.max(GRAIN * before)
            }
            _ => now.number() < before.number(),
        }
    }

    /// Difference of a counter; none of one that was reset. One that is new counted nothing before.
    fn difference(&self, metric: &Metric) -> Option<f64> {
        let before = self.from.get(metric).map_or(0.0, Seen::number);
        let now = self.to.get(metric)?.number();
        (!self.fell(metric)).then(|| (now - before).max(0.0))
    }

    /// Of a counter or a rate, in the unit of the metric; none for other kinds.
    fn growth(&self, metric: &Metric) -> Option<f64> {
        let difference = self.difference(metric)?;
        match (metric.kind, metric.unit) {
            (Kind::Counter, _) => Some(difference),
            (Kind::Rate, Unit::Percent) => Some(100.0 * difference / self.seconds / self.cores),
            (Kind::Rate, Unit::PerMinute) => Some(60.0 * difference / self.seconds),
            (Kind::Rate, _) => Some(difference / self.seconds),
            _ => None,
        }
    }

    /// A cost by the request; none without any.
    fn per_request(&self, metric: &Metric, requests: u64) -> Option<f64> {
        let fits = metric.kind == Kind::CostPerRequest && requests > 0;
        fits.then(|| self.difference(metric))
            .flatten()
            .map(|difference| difference / requests as f64)
    }

    /// Both counts of a part of something; none where nothing was counted.
    fn ratio(&self, metric: &Metric, requests: u64) -> Option<Ratio> {
        if self.fell(metric) {
            return None;
        }
        let (numerator, denominator) = match (metric.kind, self.from.get(metric), self.to.get(metric)?) {
            (Kind::Ratio, Some(Seen::Part { part, of }), Seen::Part { part: now, of: all }) => {
                (now.saturating_sub(part), all.saturating_sub(of))
            }
            (Kind::CountPerRequest, Some(Seen::Count(before)), Seen::Count(now)) => {
                (now.saturating_sub(before), requests)
            }
            _ => return None,
        };
        (denominator > 0).then_some(Ratio { numerator, denominator })
    }

    /// A part of something, 0 to 1.
    fn share(&self, metric: &Metric) -> Option<f64> {
        let ratio = self.ratio(metric, 0)?;
        Some(ratio.numerator as f64 / ratio.denominator as f64)
    }
}

#[cfg(test)]
mod tests {
    use measure::metrics;

    use super::*;

    /// Three readings a second apart; the measured phase begins with the second.
    fn observation() -> Observation {
        let orders = Metric::of_page("orders_total");
        let mut observation = Observation::default();
        for (second, rss_mb, queries, hits) in [(0_u32, 10.0, 100, 5), (1, 30.0, 200, 10), (2, 20.0, 260, 40)] {
            let mut sample = Sample::default();
            sample.put(&metrics::SERVICE_RSS_MB, rss_mb);
            sample.put(&metrics::SERVICE_CPU_US_PER_REQUEST, f64::from(second) * 1e4);
            sample.count(&metrics::DB_QUERIES_PER_MINUTE, queries);
            sample.count(&metrics::DB_QUERIES_PER_REQUEST, queries);
            sample.part(&metrics::CACHE_HIT_RATIO, hits, 2 * hits);
            if second > 0 {
                sample.chosen(&orders, f64::from(second) * 7.0);
            }
            observation.add(u64::from(second) * 1000, sample);
            if second == 1 {
                observation.measure_from_last();
            }
        }
        observation
    }

    #[test]
    fn the_kind_of_a_metric_decides_what_a_round_keeps() {
        let (values, ratios) = observation().measured(20);
        let expected = [
            ("db.queries_per_minute", 3_600.0),
            ("prometheus.orders_total", 7.0),
            ("service.cpu_us_per_request", 500.0),
            ("service.rss_mb", 30.0),
        ];
        assert_eq!(values, expected.map(|(name, value)| (name.to_owned(), value)).into());
        let ratio = |numerator, denominator| Ratio { numerator, denominator };
        let expected = [
            ("cache.hit_ratio", ratio(30, 60)),
            ("db.queries_per_request", ratio(60, 20)),
        ];
        assert_eq!(ratios, expected.map(|(name, ratio)| (name.to_owned(), ratio)).into());
    }

    /// The metrics page was restarted after the second reading: everything on it began anew.
    #[test]
    fn a_counter_that_was_reset_has_no_figure_and_is_named() {
        for (hits, orders) in [(3, 2.0), (50, 20.0)] {
            let mut observation = observation();
            let mut sample = Sample::default();
            sample.part(&metrics::CACHE_HIT_RATIO, 0, 0);
            sample.chosen(&Metric::of_page("orders_total"), 1.0);
            sample.count(&metrics::DB_QUERIES_PER_REQUEST, 270);
            observation.add(3000, sample);
            let mut sample = Sample::default();
            sample.part(&metrics::CACHE_HIT_RATIO, hits, 2 * hits);
            sample.chosen(&Metric::of_page("orders_total"), orders);
            sample.count(&metrics::DB_QUERIES_PER_REQUEST, 280);
            observation.add(4000, sample);
            let (values, ratios) = observation.measured(20);
            assert!(!values.contains_key("prometheus.orders_total"), "{values:?}");
            assert_eq!(ratios.keys().collect::<Vec<_>>(), ["db.queries_per_request"]);
            let resets: Vec<String> = observation.resets().into_iter().collect();
            assert_eq!(resets, ["cache.hit_ratio", "prometheus.orders_total"]);
        }
    }

    #[test]
    fn a_clock_that_goes_back_by_its_grain_stands_still() {
        let mut observation = Observation::default();
        for (at_ms, busy_s) in [(0, 10.0), (1000, 9.98)] {
            let mut sample = Sample::default();
            sample.put(&metrics::OTHER_CPU_PERCENT, busy_s);
            observation.add(at_ms, sample);
            if at_ms == 0 {
                observation.measure_from_last();
            }
        }
        assert!(observation.measured(1).0["machine.other_cpu_percent"].abs() < 1e-9);
        assert!(observation.resets().is_empty());
    }

    #[test]
    fn a_phase_without_requests_divides_by_none() {
        let (values, ratios) = observation().measured(0);
        assert!(!values.contains_key("service.cpu_us_per_request"));
        assert!(!ratios.contains_key("db.queries_per_request"));
    }

    #[test]
    fn levels_are_kept_at_every_reading_and_rates_between_them() {
        let series = observation().series();
        let of = |name: &str| {
            let series = series.iter().find(|series| series.metric == name);
            series.map(|series| (series.at_ms.clone(), series.values.clone()))
        };
        assert_eq!(
            of("service.rss_mb"),
            Some((vec![0, 1000, 2000], vec![10.0, 30.0, 20.0]))
        );
        assert_eq!(of("cache.hit_ratio"), Some((vec![1000, 2000], vec![0.5, 0.5])));
        assert_eq!(of("prometheus.orders_total"), Some((vec![1000, 2000], vec![7.0, 7.0])));
        assert_eq!(of("service.cpu_us_per_request"), None);
    }

    #[test]
    fn without_a_measured_phase_there_are_no_metrics() {
        let mut observation = observation();
        observation.measured_from = None;
        assert_eq!(observation.measured(20), (BTreeMap::new(), BTreeMap::new()));
        assert!(!observation.series().is_empty());
    }
}
