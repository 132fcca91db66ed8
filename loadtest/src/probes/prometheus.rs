//! A page in Prometheus' text form: the subject's cache counters, and the metrics that the workload chose.

use load::{Pages, Target};
use measure::metrics::{self, Metric};
use prometheus_parse::{Scrape, Value};

use super::{Probe, sample::Sample};
use crate::error::HarnessError;

/// Lookups that a cache answered and that it did not, by the names that the reference service gives them.
const HITS: &str = "cache_hits_total";
const MISSES: &str = "cache_misses_total";

/// 1 for each fault that the subject makes on purpose; kept always, so that nobody takes such figures for real ones.
const FAULTS: &str = "fault_active";

/// A page to read.
pub(super) struct Page {
    path: String,
    /// Names on the page, and the metrics under which they are kept.
    keep: Vec<(String, Metric)>,
    pages: Pages,
}

/// One moment of it.
#[derive(Debug, Clone, Default, PartialEq)]
struct PageReading {
    /// Lookups so far, all endpoints and tiers.
    hits: u64,
    misses: u64,
    /// Sums over the labels, by the order of the names; none for absent ones.
    kept: Vec<Option<f64>>,
}

impl Page {
    pub(super) fn new(target: Target, path: String, keep: &[String]) -> Self {
        let names = keep.iter().map(String::as_str).chain([FAULTS]);
        Self {
            path,
            keep: names.map(|name| (name.to_owned(), Metric::of_page(name))).collect(),
            pages: Pages::of(target),
        }
    }

    fn unavailable(&self, why: &dyn std::fmt::Display) -> HarnessError {
        HarnessError::Probe(format!("probe of {}: {why}", self.pages.address(&self.path)))
    }
}

#[async_trait::async_trait]
impl Probe for Page {
    fn name(&self) -> &'static str {
        "prometheus"
    }

    async fn read(&mut self, sample: &mut Sample) -> Result<(), HarnessError> {
        let text = self.pages.get(&self.path).await;
        let text = text.map_err(|why| self.unavailable(&why))?;
        let names: Vec<&str> = self.keep.iter().map(|(name, _)| name.as_str()).collect();
        let seen = reading(&text, &names).map_err(|error| self.unavailable(&error))?;
        sample.part(&metrics::CACHE_HIT_RATIO, seen.hits, seen.hits + seen.misses);
        for ((_, metric), value) in self.keep.iter().zip(seen.kept) {
            if let Some(value) = value {
                sample.chosen(metric, value);
            }
        }
        Ok(())
    }
}

fn reading(text: &str, names: &[&str]) -> Result<PageReading, std::io::Error> {
    let scrape = Scrape::parse(text.lines().map(|line| Ok(line.to_owned())))?;
    let sum = |name: &str| -> Option<f64> {
        let samples = scrape.samples.iter().filter(|sample| sample.metric == name);
        samples.filter_map(|sample| number(&sample.value)).reduce(|a, b| a + b)
    };
    Ok(PageReading {
        hits: whole(sum(HITS)),
        misses: whole(sum(MISSES)),
        kept: names.iter().map(|name| sum(name)).collect(),
    })
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "counters are whole and not negative"
)]
fn whole(value: Option<f64>) -> u64 {
    value.unwrap_or_default() as u64
}

fn number(value: &Value) -> Option<f64> {
    match value {
        Value::Counter(value) | Value::Gauge(value) | Value::Untyped(value) => Some(*value),
        Value::Histogram(_) | Value::Summary(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As `prometheus-client` writes it: the type line names the family, the samples carry the suffix.
    const OPENMETRICS: &str = "\
# HELP cache_hits Lookups answered from the cache.
# TYPE cache_hits counter
cache_hits_total{endpoint=\"risk_current\",tier=\"l1\"} 40
cache_hits_total{endpoint=\"risk_current\",tier=\"l2\"} 2
# HELP cache_misses Lookups that had to load.
# TYPE cache_misses counter
cache_misses_total{endpoint=\"risk_current\"} 8
# TYPE cache_memory_bytes gauge
cache_memory_bytes 1.5e3
# EOF
";

    #[test]
    fn sums_over_labels_and_keeps_what_was_chosen() {
        let seen = reading(OPENMETRICS, &["cache_memory_bytes", "not_there"]).unwrap();
        assert_eq!((seen.hits, seen.misses), (42, 8));
        assert_eq!(seen.kept, [Some(1500.0), None]);
    }

    #[test]
    fn a_subject_that_misbehaves_on_purpose_says_so_unasked() {
        let target = Target::at("127.0.0.1:1".parse().unwrap());
        let page = Page::new(target, "/metrics".to_owned(), &[]);
        let kept: Vec<&str> = page.keep.iter().map(|(_, metric)| metric.name()).collect();
        assert_eq!(kept, ["prometheus.fault_active"]);
        let text = "fault_active{fault=\"sleep:risk:5ms\"} 1\nfault_active{fault=\"error:*:1/9\"} 1\n";
        assert_eq!(reading(text, &[FAULTS]).unwrap().kept, [Some(2.0)]);
    }

    #[test]
    fn a_subject_without_a_cache_has_no_lookups() {
        assert_eq!(reading("up 1\n", &[]).unwrap(), PageReading::default());
    }
}
