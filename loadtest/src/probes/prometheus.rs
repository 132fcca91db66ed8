//! The subject's own cache counters, from `/metrics`.

use prometheus_parse::{Scrape, Value};

use crate::error::HarnessError;

/// Lookups so far, all endpoints and tiers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct CacheCounters {
    pub(crate) hits: u64,
    pub(crate) misses: u64,
}

impl CacheCounters {
    pub(crate) fn lookups(self) -> u64 {
        self.hits + self.misses
    }

    pub(crate) fn since(self, earlier: Self) -> Self {
        Self {
            hits: self.hits.saturating_sub(earlier.hits),
            misses: self.misses.saturating_sub(earlier.misses),
        }
    }
}

/// Reads the counters; a subject without a cache has none.
pub(crate) async fn scrape(client: &reqwest::Client, url: &str) -> Result<CacheCounters, HarnessError> {
    let unavailable = |error: reqwest::Error| HarnessError::Unavailable(format!("probe of {url}: {error}"));
    let text = client
        .get(url)
        .send()
        .await
        .map_err(unavailable)?
        .text()
        .await
        .map_err(unavailable)?;
    counters(&text).map_err(|error| HarnessError::Unavailable(format!("probe of {url}: {error}")))
}

fn counters(text: &str) -> Result<CacheCounters, std::io::Error> {
    let scrape = Scrape::parse(text.lines().map(|line| Ok(line.to_owned())))?;
    let sum = |name: &str| {
        scrape
            .samples
            .iter()
            .filter(|sample| sample.metric == name)
            .map(|sample| count(&sample.value))
            .sum()
    };
    Ok(CacheCounters {
        hits: sum("cache_hits_total"),
        misses: sum("cache_misses_total"),
    })
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "counters are whole and not negative"
)]
fn count(value: &Value) -> u64 {
    match value {
        Value::Counter(value) | Value::Gauge(value) | Value::Untyped(value) => *value as u64,
        Value::Histogram(_) | Value::Summary(_) => 0,
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
# EOF
";

    #[test]
    fn sums_over_endpoints_and_tiers() {
        let seen = counters(OPENMETRICS).unwrap();
        assert_eq!(seen, CacheCounters { hits: 42, misses: 8 });
        assert_eq!(
            seen.since(CacheCounters { hits: 2, misses: 8 }),
            CacheCounters { hits: 40, misses: 0 }
        );
    }

    #[test]
    fn a_subject_without_a_cache_has_no_lookups() {
        assert_eq!(counters("up 1\n").unwrap().lookups(), 0);
    }
}
