//! Families of comparisons: the same figure of all endpoints.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A family of comparisons.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum Family {
    /// 95th percentiles of the response times: what users feel.
    LatencyP95,
    /// Medians of the response times: what most requests take.
    LatencyP50,
    /// Means of the response times over the whole mix. Only a comparison of whole rounds tests them.
    LatencyMean,
    /// Throughput of users who wait for their answers, as the time per answer, so that more is worse as everywhere.
    /// Only a comparison of whole rounds under the closed model tests it.
    Throughput,
    /// CPU time per request: what the code costs.
    CpuPerRequest,
    /// Shares of requests above the p95 of both sides together: slow stretches, which trimmed percentiles leave out.
    /// Only a gate tests them.
    SlowShare,
    /// Shares of requests above four times that p95: rare pauses. Only a gate tests them.
    TailShare,
    /// Shares of requests without an answer as expected.
    FailedShare,
}

impl Family {
    /// All of them, in the order in which they are shown.
    pub const ALL: [Self; 8] = [
        Self::LatencyP95,
        Self::LatencyP50,
        Self::LatencyMean,
        Self::Throughput,
        Self::CpuPerRequest,
        Self::SlowShare,
        Self::TailShare,
        Self::FailedShare,
    ];

    /// Its name in records.
    pub fn name(self) -> &'static str {
        match self {
            Self::LatencyP95 => "latency_p95",
            Self::LatencyP50 => "latency_p50",
            Self::LatencyMean => "latency_mean",
            Self::Throughput => "throughput",
            Self::CpuPerRequest => "cpu_per_request",
            Self::SlowShare => "slow_share",
            Self::TailShare => "tail_share",
            Self::FailedShare => "failed_share",
        }
    }

    /// Its name for people.
    pub fn title(self) -> &'static str {
        match self {
            Self::LatencyP95 => "p95 latency",
            Self::LatencyP50 => "p50 latency",
            Self::LatencyMean => "mean latency",
            Self::Throughput => "throughput (time per answer)",
            Self::CpuPerRequest => "CPU time per request",
            Self::SlowShare => "share of slow requests",
            Self::TailShare => "share of very slow requests",
            Self::FailedShare => "share of failed requests",
        }
    }

    /// Whether it compares shares of requests by their difference; the others compare figures by their ratio.
    pub fn is_share(self) -> bool {
        matches!(self, Self::SlowShare | Self::TailShare | Self::FailedShare)
    }

    /// Whether it is about response times, which the CPU time of an idle resident disturbs.
    pub fn is_latency(self) -> bool {
        matches!(
            self,
            Self::LatencyP95 | Self::LatencyP50 | Self::SlowShare | Self::TailShare
        )
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics;

    #[test]
    fn records_have_the_names_of_families() {
        for family in Family::ALL {
            let text = serde_json::to_string(&family).expect("it is written");
            assert_eq!(text, format!("\"{family}\""));
            assert_eq!(serde_json::from_str::<Family>(&text).expect("it is read"), family);
        }
        assert_eq!(
            Family::ALL.map(Family::name),
            [
                "latency_p95",
                "latency_p50",
                "latency_mean",
                "throughput",
                "cpu_per_request",
                "slow_share",
                "tail_share",
                "failed_share"
            ]
        );
    }

    #[test]
    fn a_family_is_titled_like_the_metric_that_it_compares() {
        assert_eq!(Family::LatencyP95.title(), metrics::HTTP_P95_MS.title());
        assert_eq!(Family::LatencyP50.title(), metrics::HTTP_P50_MS.title());
        assert_eq!(
            Family::CpuPerRequest.title(),
            metrics::SERVICE_CPU_US_PER_REQUEST.title()
        );
    }
}
