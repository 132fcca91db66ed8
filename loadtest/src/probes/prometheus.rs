//! A page in Prometheus' text form: the subject's cache counters, and the metrics that the workload chose.

use load::{Pages, Target};
use measure::metrics::Metric;
use prometheus_parse::{Labels, Scrape, Value};
use scenarios::{Quotient, Samples};

use super::{Probe, sample::Sample};
use crate::error::HarnessError;

/// 1 for each fault that the subject makes on purpose; kept always, so that nobody takes such figures for real ones.
const FAULTS: &str = "fault_active";

/// A page, and what to take from it.
#[derive(Debug, Clone)]
pub(crate) struct MetricsPage {
    pub(crate) target: Target,
    pub(crate) path: String,
    /// Names of samples to keep as they are.
    pub(crate) keep: Vec<String>,
    pub(crate) quotients: Vec<Quotient>,
}

/// A page to read.
pub(super) struct Page {
    path: String,
    quotients: Vec<Quotient>,
    /// Names on the page, and the metrics under which they are kept.
    keep: Vec<(String, Metric)>,
    pages: Pages,
}

/// One moment of it.
struct PageReading(Scrape);

impl Page {
    pub(super) fn new(page: MetricsPage) -> Self {
        let names = page.keep.iter().map(String::as_str).chain([FAULTS]);
        Self {
            path: page.path,
            quotients: page.quotients,
            keep: names.map(|name| (name.to_owned(), Metric::of_page(name))).collect(),
            pages: Pages::of(page.target),
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
        let seen = PageReading::parse(&text).map_err(|error| self.unavailable(&error))?;
        for quotient in &self.quotients {
            let (part, of) = seen.counts(quotient);
            sample.part(quotient.metric, part, of);
        }
        for (name, metric) in &self.keep {
            if let Some(value) = seen.sum(|sample, _| sample == name) {
                sample.chosen(metric, value);
            }
        }
        Ok(())
    }
}

impl PageReading {
    fn parse(text: &str) -> Result<Self, std::io::Error> {
        Ok(Self(Scrape::parse(text.lines().map(|line| Ok(line.to_owned())))?))
    }

    /// The sum of all samples that `counts` takes; none where there are none.
    fn sum(&self, counts: impl Fn(&str, &Labels) -> bool) -> Option<f64> {
        let samples = self
            .0
            .samples
            .iter()
            .filter(|sample| counts(&sample.metric, &sample.labels));
        samples.filter_map(|sample| number(&sample.value)).reduce(|a, b| a + b)
    }

    /// Both counts of a quotient so far; what is not on the page has not happened yet.
    fn counts(&self, quotient: &Quotient) -> (u64, u64) {
        let count = |samples: &Samples| whole(self.sum(|name, labels| samples.include(name, labels)));
        (count(&quotient.part), quotient.of.iter().map(count).sum())
    }
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

    fn page(more: &str) -> Page {
        let file = format!("start = \"./shop --port {{port}}\"\n{more}");
        let service = scenarios::Service::parse(std::path::Path::new("shop.toml"), &file).unwrap();
        Page::new(MetricsPage {
            target: Target::at("127.0.0.1:1".parse().unwrap()),
            path: "/metrics".to_owned(),
            keep: vec!["cache_memory_bytes".to_owned(), "not_there".to_owned()],
            quotients: service.quotients,
        })
    }

    fn counts(page: &Page, text: &str) -> Vec<(&'static str, u64, u64)> {
        let seen = PageReading::parse(text).unwrap();
        let counts = page.quotients.iter().map(|quotient| {
            let (part, of) = seen.counts(quotient);
            (quotient.metric.name(), part, of)
        });
        counts.collect()
    }

    #[test]
    fn sums_over_labels_and_keeps_what_was_chosen() {
        let page = page("");
        assert_eq!(counts(&page, OPENMETRICS), [("cache.hit_ratio", 42, 50)]);
        let seen = PageReading::parse(OPENMETRICS).unwrap();
        let kept = page.keep.iter().map(|(name, _)| seen.sum(|sample, _| sample == name));
        assert_eq!(kept.collect::<Vec<_>>(), [Some(1500.0), None, None]);
    }

    #[test]
    fn a_subject_file_says_what_its_page_calls_things() {
        let page = page(
            "[metrics]\n\
             \"cache.hit_ratio\" = { part = \"lookups_total{result=\\\"hit\\\"}\", of = \"lookups_total\" }\n\
             \"kafka.bytes_per_message\" = { part = \"sent_bytes_total\", of = \"sent_total\" }",
        );
        let text = "lookups_total{result=\"hit\",tier=\"l1\"} 4\nlookups_total{result=\"hit\",tier=\"l2\"} 2\n\
                    lookups_total{result=\"miss\"} 3\nsent_bytes_total 900\nsent_total 6\n";
        assert_eq!(
            counts(&page, text),
            [("cache.hit_ratio", 6, 9), ("kafka.bytes_per_message", 900, 6)]
        );
    }

    #[test]
    fn a_subject_that_misbehaves_on_purpose_says_so_unasked() {
        let page = page("");
        let (name, metric) = page.keep.last().unwrap();
        assert_eq!(metric.name(), "prometheus.fault_active");
        let text = "fault_active{fault=\"sleep:risk:5ms\"} 1\nfault_active{fault=\"error:*:1/9\"} 1\n";
        let seen = PageReading::parse(text).unwrap();
        assert_eq!(seen.sum(|sample, _| sample == name), Some(2.0));
    }

    #[test]
    fn a_subject_without_a_cache_has_no_lookups() {
        assert_eq!(counts(&page(""), "up 1\n"), [("cache.hit_ratio", 0, 0)]);
    }
}
