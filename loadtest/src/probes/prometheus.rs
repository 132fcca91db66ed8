//! A page in Prometheus' text form: the subject's cache counters, and the metrics that the workload chose.

use std::collections::BTreeMap;

use prometheus_parse::{Scrape, Value};

use crate::error::HarnessError;

/// Lookups that a cache answered and that it did not, by the names that the reference service gives them.
const HITS: &str = "cache_hits_total";
const MISSES: &str = "cache_misses_total";

/// 1 for each fault that the subject makes on purpose; kept always, so that nobody takes such figures for real ones.
const FAULTS: &str = "fault_active";

/// A page to read.
pub(super) struct Page {
    url: String,
    keep: Vec<String>,
    http: reqwest::Client,
}

/// One moment of it.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct PageReading {
    /// Lookups so far, all endpoints and tiers.
    pub(super) hits: u64,
    pub(super) misses: u64,
    /// Chosen metrics, each summed over its labels; absent ones are left out.
    pub(super) kept: BTreeMap<String, f64>,
}

impl Page {
    pub(super) fn new(url: String, keep: Vec<String>) -> Self {
        Self {
            url,
            keep,
            http: reqwest::Client::new(),
        }
    }

    pub(super) async fn read(&self) -> Result<PageReading, HarnessError> {
        let unavailable = |error: reqwest::Error| HarnessError::Probe(format!("probe of {}: {error}", self.url));
        let answer = self
            .http
            .get(&self.url)
            .send()
            .await
            .and_then(reqwest::Response::error_for_status);
        let text = answer.map_err(unavailable)?.text().await.map_err(unavailable)?;
        reading(&text, &self.keep).map_err(|error| HarnessError::Probe(format!("probe of {}: {error}", self.url)))
    }
}

fn reading(text: &str, keep: &[String]) -> Result<PageReading, std::io::Error> {
    let scrape = Scrape::parse(text.lines().map(|line| Ok(line.to_owned())))?;
    let sum = |name: &str| -> Option<f64> {
        let samples = scrape.samples.iter().filter(|sample| sample.metric == name);
        samples.filter_map(|sample| number(&sample.value)).reduce(|a, b| a + b)
    };
    let names = keep.iter().map(String::as_str).chain([FAULTS]);
    let kept = names.filter_map(|name| Some((name.to_owned(), sum(name)?)));
    Ok(PageReading {
        hits: whole(sum(HITS)),
        misses: whole(sum(MISSES)),
        kept: kept.collect(),
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
        let keep = ["cache_memory_bytes".to_owned(), "not_there".to_owned()];
        let seen = reading(OPENMETRICS, &keep).unwrap();
        assert_eq!((seen.hits, seen.misses), (42, 8));
        assert_eq!(seen.kept, BTreeMap::from([("cache_memory_bytes".to_owned(), 1500.0)]));
    }

    #[test]
    fn a_subject_that_misbehaves_on_purpose_says_so_unasked() {
        let page = "fault_active{fault=\"sleep:risk:5ms\"} 1\nfault_active{fault=\"error:*:1/9\"} 1\n";
        let seen = reading(page, &[]).unwrap();
        assert_eq!(seen.kept, BTreeMap::from([("fault_active".to_owned(), 2.0)]));
    }

    #[test]
    fn a_subject_without_a_cache_has_no_lookups() {
        assert_eq!(reading("up 1\n", &[]).unwrap(), PageReading::default());
    }
}
